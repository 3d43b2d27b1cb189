"""Blendshapes of a known deformation at the edge of occluded skin, and what triangles that span it show."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.avatars.baking.blendshapes import OCCLUDED_RESIDUAL, MovingMesh, deformed_mesh, moving_mesh
from anifacegan.avatars.baking.layers import LayerMesh
from anifacegan.avatars.baking.nested_vertices import NestedVertices
from anifacegan.models.generator import ConditionedFields
from tests.fixtures.ball_people import (
    LEVELS,
    along_y,
    person,
    z_exp_rows,
)

ON, OFF = z_exp_rows((1,))[0], z_exp_rows(())[0]


GAP, SLOPE, EDGE = 0.004, 0.2, 0.0
"""Target points above y = EDGE show template points that are GAP higher. Below, skin is stretched by 1 / SLOPE up to
the edge. Template points within GAP of the edge, on both sides, are occluded: no target point shows them."""
BAND = GAP / (1 - SLOPE)
"""Height of the stretched skin in the target."""


def lid(y: Tensor) -> Tensor:
    below = EDGE - GAP + SLOPE * (y - EDGE)
    return torch.where(y >= EDGE, y + GAP, torch.where(y > EDGE - BAND, below, y)) - y


def strip() -> LayerMesh:
    """Two columns of vertices along y, and triangles between them."""
    y = np.linspace(-0.015, 0.015, 61) + 0.00025
    x_template = np.stack(np.broadcast_arrays(np.array([0.0, 0.0001]), y[:, None], 0.08), -1).reshape(-1, 3)
    a = 2 * np.arange(60)
    triangles = np.stack([np.stack([a, a + 1, a + 2], -1), np.stack([a + 3, a + 2, a + 1], -1)], 1).reshape(
        -1, 3
    )
    return LayerMesh(
        x_template=x_template.astype(np.float32),
        texels=np.stack([x_template[:, 0] * 1e3, x_template[:, 1] * 1e3], -1).astype(np.float32),
        triangles=triangles.astype(np.int32),
        layer_starts=np.array([0, 120], np.int32),
        cell=np.repeat(np.arange(60), 2),
        place=np.stack(np.unravel_index(np.arange(122), (1, 61, 2)), -1),
    )


def test_occluded_points_move_to_the_side_that_is_not_stretched() -> None:
    mesh = strip()
    deformed = deformed_mesh(person(along_y(lid)), ON, NestedVertices.of(mesh))
    y_template, y = mesh.x_template[:, 1], deformed.x[:, 1]
    distance = np.minimum(abs(y_template - (EDGE - GAP)), abs(y_template - (EDGE + GAP)))
    occluded = (abs(y_template - EDGE) < GAP) & (distance > OCCLUDED_RESIDUAL)
    np.testing.assert_array_equal(deformed.residual > OCCLUDED_RESIDUAL, occluded)
    assert 20 < occluded.sum() < 40
    above, band = y_template > GAP, (y_template < -GAP) & (y_template > -BAND)
    np.testing.assert_allclose(y[above], (y_template - GAP)[above], atol=1e-4)
    np.testing.assert_allclose(y[band], (y_template + GAP)[band] / SLOPE, atol=2e-4)
    # Occluded points are at the lowest visible points above the gap.
    np.testing.assert_allclose(y[occluded], y[above].min(), atol=1e-5)
    np.testing.assert_allclose(y_template[deformed.stretched], -0.00425, atol=1e-6)
    assert deformed.stretched.sum() == 2


def layer_at(z: float) -> Callable[[np.ndarray], ConditionedFields]:
    """A person with the deformation of a lid, whose outermost manifold is a plane."""
    condition = person(along_y(lid))
    return lambda z_exp: replace(condition(z_exp), scalar=lambda x: LEVELS[0] + 100 * (x[..., 2] - z))


def in_mm(level: np.ndarray, x_template: np.ndarray) -> np.ndarray:
    """The strip's texels."""
    assert (level == 0).all()
    return 1e3 * x_template[:, :2]


def texels_at(moving: MovingMesh, shape: int = 0, inbetween: int = 0) -> np.ndarray:
    """The mesh's texels at an in-between shape of an expression."""
    texels = moving.mesh.texels.copy()
    offsets = moving.texel_offsets[shape, inbetween]
    texels[len(texels) - len(offsets) :] += offsets
    return texels


def test_triangles_across_an_occluded_gap_show_the_stretched_side() -> None:
    mesh = strip()
    moving = moving_mesh(layer_at(0.08), z_exp_rows((1,)), 1, mesh, in_mm)
    assert len(moving.neutral) > len(mesh.x_template)
    changed = np.flatnonzero((moving.mesh.triangles != mesh.triangles).any(1))
    assert 0 < len(changed) <= 2 and moving.spanning.tolist() == changed.tolist()
    posed_y = (moving.neutral + moving.blendshapes[0, 0])[moving.mesh.triangles[changed]][..., 1]
    with_expression = texels_at(moving)
    np.testing.assert_array_equal(
        moving.neutral[moving.mesh.triangles[changed]], moving.neutral[mesh.triangles[changed]]
    )
    for triangle, y in zip(moving.mesh.triangles[changed], posed_y, strict=True):
        texels = with_expression[triangle]
        # The template points at their place: skin that is stretched up to the edge, of which 4 mm are the last.
        np.testing.assert_allclose(texels[:, 1], 1e3 * (y.mean() * SLOPE - GAP), atol=0.2)
        assert (-4.3 < texels[:, 1]).all() and (texels[:, 1] < -3.99).all()
        assert np.ptp(y) < GAP
    others = np.setdiff1d(np.arange(120), changed)
    unchanged = with_expression[moving.mesh.triangles[others]]
    np.testing.assert_array_equal(unchanged, mesh.texels[mesh.triangles[others]])
    np.testing.assert_array_equal(moving.mesh.texels[moving.mesh.triangles], mesh.texels[mesh.triangles])
    np.testing.assert_allclose(moving.neutral[:122], mesh.x_template, atol=1e-6)
    # The image has no hole: the posed strip covers its whole height.
    y = np.sort((moving.neutral + moving.blendshapes[0, 0])[moving.mesh.triangles][..., 1], axis=1)
    covered = np.linspace(-0.0145, 0.011, 200)
    assert ((y[:, :1] <= covered) & (covered <= y[:, 2:])).any(0).all()


def test_a_spanning_triangle_at_which_its_layer_is_not_visible_shrinks_to_a_point() -> None:
    """The layer is 20 cm in front of its mesh, beyond the range of the search."""
    moving = moving_mesh(layer_at(0.28), z_exp_rows((1,)), 1, strip(), in_mm)
    spanning = moving.mesh.triangles[moving.spanning]
    assert 0 < len(spanning) <= 2 and moving.spanning.dtype.kind == "i"
    gone = (moving.neutral + moving.blendshapes[0, 0])[spanning]
    np.testing.assert_allclose(gone, np.broadcast_to(gone[:, :1], gone.shape), atol=1e-6)
    assert (np.ptp(moving.neutral[spanning], axis=1).max(1) > 1e-4).all()  # and is there with a neutral face
    np.testing.assert_array_equal(
        texels_at(moving)[spanning], strip().texels[strip().triangles[moving.spanning]]
    )


def test_a_spanning_triangle_shows_the_right_texels_at_every_inbetween() -> None:
    """With two expressions, and half-way to one: the same as if that were the only one."""
    one, other, half = z_exp_rows((1,), (1.1,), (0.5,))
    moving = moving_mesh(layer_at(0.08), np.stack([other, one]), 2, strip(), in_mm)
    assert moving.blendshapes.shape[:2] == moving.texel_offsets.shape[:2] == (2, 2)
    for place, z_exp in (((0, 1), other), ((1, 0), half), ((1, 1), one)):
        single = moving_mesh(layer_at(0.08), z_exp[None], 1, strip(), in_mm)
        assert set(single.spanning) <= set(moving.spanning) and len(single.spanning) == (
            0 if z_exp is half else 2
        )
        for triangle in moving.spanning:
            found, target = (
                (made.neutral + made.blendshapes[at])[made.mesh.triangles[triangle]]
                for made, at in ((moving, place), (single, (0, 0)))
            )
            np.testing.assert_allclose(found, target, atol=1e-6)
            found, target = (
                texels_at(made, *at)[made.mesh.triangles[triangle]]
                for made, at in ((moving, place), (single, (0, 0)))
            )
            np.testing.assert_allclose(found, target, atol=1e-3)
    assert np.abs(moving.texel_offsets[1, 1] - moving.texel_offsets[1, 0]).max() > 0.1


def test_residuals_are_those_of_the_expressions() -> None:
    moving = moving_mesh(layer_at(0.08), z_exp_rows((1,), (0, 1)), 2, strip(), in_mm)
    assert moving.residual[0] == pytest.approx(GAP, rel=0.1) and moving.residual[1] < 1e-6
    assert (moving.blendshapes[1] == 0).all() and math.isfinite(moving.residual.sum())
