"""A baked person looks as the networks' renderer draws it, with every expression that it was baked for."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.avatars.baking import blendshapes
from anifacegan.avatars.baking.bake import BakeReport, _background_reach, bake
from anifacegan.avatars.baking.still import bake_still
from anifacegan.avatars.config import BakeConfig
from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.geometry.rays import image_rays
from tests.fixtures.ball_people import (
    LEVELS,
    RAY_SAMPLING,
    SMALL_BAKE,
    adaptive_image,
    ball_scalar,
    charts,
    opaque_everywhere,
    painted,
    person,
    psnr_to_adaptive,
    squeezed,
    z_exp_rows,
)
from tests.fixtures.one_line import assert_one_line

NEUTRAL = z_exp_rows(())[0]
SHIFT = (0.004, -0.003, 0.006)
"""World units, of an expression that moves everything."""


def shifted(x: Tensor, z_exp: np.ndarray) -> Tensor:
    """The first coefficient moves the head by SHIFT: the template point is where it came from."""
    return -float(z_exp[0]) * torch.tensor(SHIFT).expand_as(x)


@functools.cache
def baked_without_expressions() -> LayeredMesh:
    return bake(person(), z_exp_rows(), charts(), SMALL_BAKE)[0]


@functools.cache
def opaque_ball() -> LayeredMesh:
    return bake(person(radiance=opaque_everywhere), z_exp_rows(), charts(), SMALL_BAKE)[0]


@functools.cache
def baked_with_stretch() -> tuple[LayeredMesh, BakeReport]:
    return bake(person(squeezed(1)), z_exp_rows((0, 1)), charts(), SMALL_BAKE)


# ------------------------------------------------------------------------------------------------------ the image
@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (0.55, 0.0), (-0.3, 0.15), (0.0, -0.55), (0.3, 0.45)])
def test_a_person_without_expressions_looks_the_same(yaw: float, pitch: float) -> None:
    assert psnr_to_adaptive(baked_without_expressions(), person(), NEUTRAL, yaw=yaw, pitch=pitch) > 45


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (0.59, 0.0), (0.0, 0.58), (0.0, -0.58), (-0.25, 0.5)])
def test_every_view_up_to_the_widest_sees_a_complete_person(yaw: float, pitch: float) -> None:
    """The ball is opaque: if a visible part were missing, the background would show."""
    assert (
        psnr_to_adaptive(opaque_ball(), person(radiance=opaque_everywhere), NEUTRAL, yaw=yaw, pitch=pitch)
        > 45
    )


def test_parts_that_no_view_sees_are_left_out() -> None:
    narrow = bake(
        person(radiance=opaque_everywhere),
        z_exp_rows(),
        charts(),
        dataclasses.replace(SMALL_BAKE, widest_rad=0.1),
    )[0]
    wide = opaque_ball()
    assert len(narrow.triangles) < 0.8 * len(wide.triangles)
    inner = np.diff(wide.layer_starts)[1:]
    assert inner.max() < 0.3 * wide.layer_starts[1]  # hidden by the opaque outermost ball


def test_an_expression_that_moves_the_head_moves_every_vertex_as_far() -> None:
    layered_mesh, report = bake(person(shifted), z_exp_rows((1,)), charts(), SMALL_BAKE)
    assert layered_mesh.blendshapes.shape == (1, 2, len(layered_mesh.vertices), 3)
    for share, step in zip((0.5, 1.0), layered_mesh.blendshapes[0], strict=True):
        np.testing.assert_allclose(
            step, np.broadcast_to(share * np.array(SHIFT), layered_mesh.vertices.shape), atol=1e-6
        )
    assert report.residual[0] < 1e-6 and report.folded_share == 0
    for strength in (0.5, 1.0):
        assert (
            psnr_to_adaptive(layered_mesh, person(shifted), z_exp_rows((strength,))[0], yaw=0.3, pitch=0.1)
            > 42
        )


def test_two_expressions_add_up() -> None:
    condition = person(lambda x, z_exp: shifted(x, z_exp) + squeezed(1)(x, 0.3 * z_exp))
    layered_mesh, report = bake(condition, z_exp_rows((1,), (0, 1)), charts(), SMALL_BAKE)
    assert report.residual.max() < 1e-4
    assert psnr_to_adaptive(layered_mesh, condition, z_exp_rows((0, 1))[0]) > 40
    assert psnr_to_adaptive(layered_mesh, condition, z_exp_rows((0.7, 1))[0]) > 38


def test_skin_that_is_stretched_far_looks_the_same() -> None:
    layered_mesh, report = baked_with_stretch()
    assert report.residual[0] < 1e-4
    assert psnr_to_adaptive(layered_mesh, person(squeezed(1)), z_exp_rows((0, 1))[0]) > 40


@pytest.mark.parametrize("name", ["bake", "bake_still"])
def test_triangles_that_span_an_opening_show_what_is_near_their_centre(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third triangle is treated as one that spans an opening. There is none: the image only becomes coarser."""
    z_exp = z_exp_rows((0, 1))[0]
    unchanged = psnr_to_adaptive(baked_with_stretch()[0], person(squeezed(1)), z_exp)

    def some(deformed: blendshapes.DeformedMesh, triangles: np.ndarray, neutral: np.ndarray) -> np.ndarray:
        return (np.arange(len(triangles)) % 3 == 0) & (abs(deformed.x - neutral).max() > 1e-3)

    monkeypatch.setattr(blendshapes.DeformedMesh, "spanning", some)
    if name == "bake":
        layered_mesh, _ = bake(person(squeezed(1)), z_exp[None], charts(), SMALL_BAKE)
        own = layered_mesh.texel_offsets.shape[2]
        assert layered_mesh.texel_offsets.shape == (1, 2, own, 2) and 500 < own < len(layered_mesh.vertices)
        np.testing.assert_array_equal(
            layered_mesh.at_inbetween(0, 1).texels[:-own], layered_mesh.texels[:-own]
        )
        assert (
            psnr_to_adaptive(layered_mesh, person(squeezed(1)), NEUTRAL) > 45
        )  # as they were, without the expression
        assert 36 < psnr_to_adaptive(layered_mesh, person(squeezed(1)), 0.5 * z_exp)
    else:
        layered_mesh, _ = bake_still(person(squeezed(1)), z_exp, charts(), SMALL_BAKE)
    assert 36 < psnr_to_adaptive(layered_mesh, person(squeezed(1)), z_exp) < unchanged - 5


def test_colours_are_read_at_the_aligned_point() -> None:
    step = torch.tensor([0.01, -0.02, 0.0])
    aligned = person(align=lambda x: step.expand_as(x))
    layered_mesh = bake(aligned, z_exp_rows(), charts(), SMALL_BAKE)[0]
    moved = person(radiance=lambda x: painted(x + step))
    assert psnr_to_adaptive(layered_mesh, aligned, NEUTRAL) > 45
    np.testing.assert_allclose(
        layered_mesh.textures, bake(moved, z_exp_rows(), charts(), SMALL_BAKE)[0].textures, atol=1
    )


def test_the_background_is_not_aligned() -> None:
    plain, aligned = (
        baked_without_expressions(),
        bake(person(align=lambda x: x - 0.02), z_exp_rows(), charts(), SMALL_BAKE)[0],
    )
    np.testing.assert_array_equal(plain.background, aligned.background)


# ------------------------------------------------------------------------------------------------------- the arrays
def test_the_arrays_of_a_layered_mesh_fit_together() -> None:
    layered_mesh, report = bake(person(shifted), z_exp_rows((1,), (0, 0, 1)), charts(), SMALL_BAKE)
    vertices = len(layered_mesh.vertices)
    assert layered_mesh.texels.shape == (vertices, 2) and layered_mesh.blendshapes.shape == (
        2,
        2,
        vertices,
        3,
    )
    assert sorted(set(layered_mesh.triangles.ravel().tolist())) == list(
        range(vertices)
    )  # no vertex without a triangle
    assert (
        layered_mesh.layer_starts[0] == 0
        and layered_mesh.layer_starts[-1] == len(layered_mesh.triangles)
        and (np.diff(layered_mesh.layer_starts) >= 0).all()
    )
    assert (layered_mesh.texels >= 0).all() and (layered_mesh.texels <= 95).all()
    assert layered_mesh.textures.shape == (len(LEVELS), 96, 96, 4)
    assert (layered_mesh.textures[..., :3] <= layered_mesh.textures[..., 3:]).all()  # premultiplied
    assert (layered_mesh.blendshapes[1] == 0).all()  # a coefficient that moves nothing
    assert 0 < report.evaluated < 1.2 * len(LEVELS) * 96**2


def test_vertices_lie_on_their_manifold_and_their_texels_have_its_colour() -> None:
    layered_mesh = baked_without_expressions()
    for level in range(len(LEVELS)):
        own = np.unique(
            layered_mesh.triangles[layered_mesh.layer_starts[level] : layered_mesh.layer_starts[level + 1]]
        )
        x = torch.from_numpy(layered_mesh.vertices[own])
        torch.testing.assert_close(ball_scalar(x), torch.full((len(own),), LEVELS[level]), atol=2e-4, rtol=0)
        column, row = np.rint(layered_mesh.texels[own]).astype(int).T
        off = np.abs(layered_mesh.texels[own] - np.rint(layered_mesh.texels[own])).max(1)
        rgb, alpha = (part.numpy() for part in painted(x))
        texel = layered_mesh.textures[level, row, column] / 255
        close = off < 0.1
        assert close.sum() > 10
        # A tenth of a texel is 0.2 mm of the ball; the opacity's edge is 4 mm wide.
        np.testing.assert_allclose(texel[close, 3], alpha[close], atol=0.03)
        np.testing.assert_allclose(texel[close, :3], (rgb * alpha[:, None])[close], atol=0.03)


# -------------------------------------------------------------------------------------------------------- refusals
def test_a_model_that_reads_colours_beside_its_manifolds_is_refused() -> None:
    released = person(radiance_offset_gain=8.3)
    assert_one_line(lambda: bake(released, z_exp_rows(), charts(), SMALL_BAKE), "radiance_offset_gain", "8.3")


@pytest.mark.parametrize("expressions", [0, 1])
def test_a_transparent_person_is_refused(expressions: int) -> None:
    glass = person(shifted, radiance=lambda x: (x, torch.zeros_like(x[..., 0])))
    assert_one_line(lambda: bake(glass, z_exp_rows((1,))[:expressions], charts(), SMALL_BAKE), "transparent")


def test_a_person_who_is_half_transparent_everywhere_is_baked() -> None:
    """No layer is opaque enough to be taken for the skin."""
    faint = person(shifted, radiance=lambda x: (painted(x)[0], 0.4 * painted(x)[1]))
    layered_mesh = bake(faint, z_exp_rows((1,)), charts(), SMALL_BAKE)[0]
    assert psnr_to_adaptive(layered_mesh, faint, z_exp_rows((1,))[0]) > 42


@pytest.mark.parametrize("broken", ["colour", "opacity", "step"])
def test_a_person_with_broken_weights_is_refused(broken: str) -> None:
    def radiance(x: Tensor) -> tuple[Tensor, Tensor]:
        rgb, alpha = painted(x)
        return rgb * (math.nan if broken == "colour" else 1), alpha * (math.nan if broken == "opacity" else 1)

    move = (lambda x, z_exp: x * math.nan) if broken == "step" else shifted
    assert_one_line(
        lambda: bake(person(move, radiance), z_exp_rows((1,)), charts(), SMALL_BAKE), "not finite"
    )


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"texture": 8}, ("texture is 8",)),
        ({"grid": 2}, ("grid is 2",)),
        ({"inbetweens": 0}, ("inbetweens is 0",)),
        ({"widest_rad": 1.5}, ("widest_rad is 1.5", "1.2")),
        ({"widest_rad": math.nan}, ("widest_rad",)),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict, parts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError) as error:
        BakeConfig(**changes)
    assert all(part in str(error.value) for part in parts)


# ------------------------------------------------------------------------------------------------------ background
@pytest.mark.parametrize("widest", [0.05, 0.3, 0.6, 0.9, 1.2])
def test_every_background_pixel_of_every_view_is_on_the_baked_background(widest: float) -> None:
    reach = _background_reach(RAY_SAMPLING.background_z, widest, RAY_SAMPLING.fov_deg)
    way = torch.linspace(0, 2 * math.pi, 33, dtype=torch.float64)
    farthest = 0.0
    for share in (0.0, 0.5, 0.8, 1.0):
        # A view so far from frontal, in every direction: cos(angle) = cos(pitch) cos(yaw).
        pitch = torch.asin(way.sin() * math.sin(share * widest))
        yaw = torch.atan2(
            way.cos() * math.sin(share * widest), torch.tensor(math.cos(share * widest)).double()
        )
        rays = image_rays(yaw=yaw, pitch=pitch, size=2, fov_deg=RAY_SAMPLING.fov_deg)  # four corners
        t = (RAY_SAMPLING.background_z - rays.origins[..., 2]) / rays.directions[..., 2]
        assert (t > 0).all()
        farthest = max(farthest, rays.at(t[..., None])[..., :2].abs().max().item())
    assert 0.6 * reach < farthest < reach * (1 + 1e-9)


def test_the_background_has_the_colours_of_its_plane() -> None:
    """A background of one colour in each quarter of the plane."""

    def quarters(x: Tensor) -> tuple[Tensor, Tensor]:
        ball, alpha = painted(x)
        behind = torch.stack([(x[..., 0] > 0).float(), (x[..., 1] > 0).float(), 0 * alpha], dim=-1)
        return torch.where((x[..., 2:] < -0.119), behind, ball), alpha * (x[..., 2] > -0.05)

    condition = person(radiance=quarters)
    layered_mesh = bake(condition, z_exp_rows(), charts(), SMALL_BAKE)[0]
    assert layered_mesh.background[0, -1].tolist() == [255, 255, 0] and layered_mesh.background[
        -1, 0
    ].tolist() == [
        0,
        0,
        0,
    ]
    assert layered_mesh.background[0, 0].tolist() == [0, 255, 0]
    image = adaptive_image(condition(NEUTRAL), yaw=0.2, pitch=0.0, size=40)
    assert image[2, 0, 0] < 0.01  # a corner shows the plane
    assert psnr_to_adaptive(layered_mesh, condition, NEUTRAL, yaw=0.2) > 40
