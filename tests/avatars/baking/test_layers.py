"""Sheets: lines, texels and triangles lie where they say; hidden skin is put aside; deformations are undone."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.avatars.baking.blendshapes import HIDDEN, MovingMesh, moving_mesh, posed
from anifacegan.avatars.baking.charts import ManifoldCharts, chart_manifolds
from anifacegan.avatars.baking.inverse_warp import FIXED_POINT_STEPS, _fixed_point, targets, volume_ratio
from anifacegan.avatars.baking.layers import LayerMesh, Layers, even_layers, grown, mesh_of, restricted
from anifacegan.avatars.baking.refinement import stretched_layers
from anifacegan.avatars.baking.textures import coarse_textures, fine_textures
from anifacegan.avatars.baking.visibility import cells_before
from anifacegan.avatars.players.numba_player import View, entered_triangles
from anifacegan.models.generator import ConditionedFields
from tests.fixtures.ball_people import (
    LEVELS,
    RAY_SAMPLING,
    SIDE,
    Move,
    ball_level,
    charts,
    latents,
    painted,
    person,
    squeezed,
)

ON, OFF = latents((1,))[0], latents(())[0]


def uneven_layers(height: int, width: int) -> Layers:
    """More lines in one place of the rows, in another of the columns."""
    rows = torch.cat([torch.arange(8.0), 8 + torch.arange(8) / 4, torch.arange(10.0, SIDE)])
    columns = torch.cat([torch.arange(15.0), 15 + torch.arange(4) / 2, torch.arange(17.0, SIDE)])
    return Layers(charts(), rows, columns, height, width)


# --------------------------------------------------------------------------------------------------- lines and texels
def test_a_vertex_is_at_its_texel() -> None:
    """Textures in which every line of the mesh runs through texels."""
    lines = uneven_layers(9, 9)
    layers = uneven_layers(3 * (len(lines.rows) - 1) + 1, 2 * (len(lines.columns) - 1) + 1)
    mesh = mesh_of(layers.complete_cells(), layers)
    column, row = np.rint(mesh.texels).astype(int).T
    np.testing.assert_allclose(mesh.texels, np.stack([column, row], -1), atol=1e-4)
    assert column.max() == layers.width - 1 and row.max() == layers.height - 1
    places = layers.texel_places(layers.height, layers.width)[row, column]
    for level in range(len(LEVELS)):
        own = np.unique(mesh.triangles[mesh.starts[level] : mesh.starts[level + 1]])
        x = charts().points(level, places[own])
        np.testing.assert_allclose(mesh.x_template[own], x.numpy(), atol=1e-6)
        assert (ball_level(x) - LEVELS[level]).abs().max() < 1e-3


def test_a_template_point_is_found_at_its_texel_and_in_its_cell() -> None:
    """Also where it is beside its manifold: towards the centre, or away from it."""
    layers = uneven_layers(40, 31)
    mesh = mesh_of(layers.complete_cells(), layers)
    level = np.searchsorted(mesh.starts, np.arange(len(mesh.triangles)), side="right") - 1
    middle = mesh.texels[mesh.triangles].mean(1)  # within a cell
    x = mesh.x_template[mesh.triangles]
    centre = np.float32([0, 0, -0.18])
    for corner in range(3):
        for share in (1.0, 0.7):
            beside = centre + np.float32(share) * (x[:, corner] - centre)
            expected = mesh.texels[mesh.triangles[:, corner]]
            np.testing.assert_allclose(layers.texels(level, beside), expected, atol=2e-3)
    np.testing.assert_array_equal(layers.cells_at(level, middle), layers.complete_cells())
    one = layers.cells_at(level[100:101], middle[100:101])
    assert np.flatnonzero(one).tolist() == [mesh.cell[100]]


def test_triangles_turn_their_outside_away_from_the_centre() -> None:
    layers = uneven_layers(40, 40)
    mesh = mesh_of(layers.complete_cells(), layers)
    a, b, c = mesh.x_template[mesh.triangles].transpose(1, 0, 2)
    outwards = (a + b + c) / 3 - (0, 0, -0.18)
    assert ((np.cross(b - a, c - a) * outwards).sum(1) > 0).all()


def test_a_mesh_of_some_cells_has_just_these() -> None:
    layers = even_layers(charts(), 32)
    cells = np.random.default_rng(0).random((len(LEVELS), SIDE - 1, SIDE - 1)) < 0.2
    mesh = mesh_of(cells, layers)
    assert (
        np.array_equal(np.unique(mesh.cell), np.flatnonzero(cells)) and len(mesh.triangles) == 2 * cells.sum()
    )
    for level in range(len(LEVELS)):
        assert mesh.starts[level + 1] - mesh.starts[level] == 2 * cells[level].sum()
    fewer = cells & (np.arange(SIDE - 1) > 10)
    part, alone = restricted(mesh, fewer), mesh_of(fewer, layers)
    np.testing.assert_array_equal(part.starts, alone.starts)
    np.testing.assert_array_equal(part.x_template[part.triangles], alone.x_template[alone.triangles])


@pytest.mark.parametrize(("height", "width"), [(29, 47), (SIDE, 70), (13, 12)])
def test_a_cell_counts_where_a_texel_that_it_shows_does(height: int, width: int) -> None:
    layers = uneven_layers(64, 64)
    texels = np.random.default_rng(height).random((len(LEVELS), height, width)) < 0.02
    expected = np.zeros((len(LEVELS), len(layers.rows) - 1, len(layers.columns) - 1), bool)
    for level, t, s in np.argwhere(texels):
        for row in range(expected.shape[1]):
            for column in range(expected.shape[2]):
                top, bottom = (k * (height - 1) / expected.shape[1] for k in (row, row + 1))
                left, right = (k * (width - 1) / expected.shape[2] for k in (column, column + 1))
                # Texels are looked up between the four around: one is seen from less than 1 away.
                near = max(top - t, t - bottom, 0) < 1 - 1e-6 and max(left - s, s - right, 0) < 1 - 1e-6
                expected[level, row, column] |= near
    np.testing.assert_array_equal(layers.cells(texels), expected)


def test_cells_grow_on_their_own_layer() -> None:
    cells = np.zeros((3, 9, 9), bool)
    cells[1, 4, 4] = True
    found = grown(cells, 2)
    assert found[1, 2:7, 2:7].all() and found.sum() == 25


def test_fine_textures_are_exact_where_cells_are_seen_and_close_elsewhere() -> None:
    layers = uneven_layers(90, 77)
    coarse = coarse_textures(person()(OFF), layers)
    assert coarse.shape[:3] == (len(LEVELS), 23, 20)
    seen = np.zeros((len(LEVELS), len(layers.rows) - 1, len(layers.columns) - 1), bool)
    seen[:, :, 10:] = True
    textures, evaluated = fine_textures(person()(OFF), layers, coarse, seen)
    places = layers.texel_places(90, 77)
    for level in range(len(LEVELS)):
        rgb, alpha = painted(charts().points(level, places.reshape(-1, 2)))
        exact = torch.cat([rgb * alpha[:, None], alpha[:, None]], -1).reshape(90, 77, 4).numpy()
        column = np.arange(77) * (len(layers.columns) - 1) / 76
        error = np.abs(textures[level] / 255 - exact).max((0, 2))
        assert error[column >= 10].max() < 0.6 / 255
        assert 0.6 / 255 < error[column < 10].max()
        # The coarse texels' own shift would show on the far edge: there they are texels as well.
        np.testing.assert_allclose(coarse[level][[0, -1]][:, [0, -1]], exact[[0, -1]][:, [0, -1]], atol=1e-5)
    assert evaluated == len(LEVELS) * 90 * (column >= 10).sum()


def test_lines_are_close_where_an_expression_stretches_the_skin() -> None:
    """By up to ten times along y about y = 0.01; not along x."""
    side = 80  # cells of some millimetres
    condition = person(squeezed(0))
    fine = chart_manifolds(ball_level, torch.tensor(LEVELS), RAY_SAMPLING, side)
    layers = stretched_layers(condition, latents((1,)), condition(OFF), fine, 96)
    np.testing.assert_array_equal(layers.columns, np.arange(side))
    steps = layers.rows.diff()
    assert layers.rows[0] == 0 and layers.rows[-1] == pytest.approx(side - 1, abs=1e-4)
    assert 0 < steps.min() < 0.6 and steps.max() == pytest.approx(1, abs=1e-5)
    middle = fine.vertices()[0, :, side // 2, 1]  # y of the charts' rows
    close = layers.rows[:-1][steps < 0.9].floor().long()
    assert (middle[close] - 0.01).abs().max() < 0.02
    assert layers.width == 96 and layers.height == round(96 * len(layers.rows) / side)
    assert len(stretched_layers(condition, latents(), condition(OFF), fine, 96).rows) == side


@pytest.mark.parametrize("nose", [0.0, 0.05])
def test_a_transparent_nose_still_hides_the_cheek_behind_it(nose: float) -> None:
    """From aside a ray enters the sheet at the nose, which may be transparent, and only there the sheet counts."""
    side, widest = 40, 0.9
    u = torch.linspace(-0.7, 0.7, side)
    radius = 0.24 + nose * torch.exp(-(u[:, None] ** 2 + u**2) / 0.12**2)
    bumpy = ManifoldCharts(torch.full((1, 2), -0.7), torch.full((1, 2), 0.7), radius[None], 0.0)
    layers = even_layers(bumpy, 64)
    complete = mesh_of(layers.complete_cells(), layers)
    cheek = np.zeros((1, side - 1, side - 1), bool)
    cheek[:, :, 26:] = True  # the nose ends at about column 25
    before = cells_before(cheek, complete, 12.0, widest)
    assert (before & ~cheek).any() == (nose > 0)
    kept = restricted(complete, cheek | before)
    hidden = 0
    for yaw in np.linspace(-0.85, 0.85, 12):  # between the views that were looked from
        view = View(yaw=float(yaw), pitch=0.05, size=64, fov_deg=12.0)
        first, alone, found = (
            np.where(entered < 0, -1, mesh.cell[entered])
            for mesh in (complete, restricted(complete, cheek), kept)
            for entered in [entered_triangles(mesh.x_template, mesh.triangles, mesh.starts, view)]
        )
        hidden += ((alone >= 0) & (alone != first)).sum()
        assert ((found != first) & (alone >= 0)).sum() <= 2  # without the nose's cells: all that is hidden
    assert (hidden > 20) == (nose > 0)


# ----------------------------------------------------------------------------------------------- inverse deformation
def only_y(step_of_y) -> Move:
    """A deformation along y, as strong as the first coefficient."""

    def move(x: Tensor, code: np.ndarray) -> Tensor:
        step = float(code[0]) * step_of_y(x[..., 1])
        return torch.stack([0 * step, step, 0 * step], dim=-1)

    return move


def line_of_points(count: int = 61) -> Tensor:
    y = torch.linspace(-0.03, 0.03, count)
    return torch.stack([0.01 + 0 * y, y, 0.08 + 0 * y], dim=-1)


def test_targets_undo_a_stretch_that_fixed_point_steps_do_not() -> None:
    """The template is squeezed into a tenth of its height: D has slope -0.9, of which 6 steps leave a half."""
    move = only_y(lambda y: -0.9 * 0.01 * (y / 0.01).tanh())
    condition, x_template = person(move), line_of_points()
    x, residual = targets(condition, ON, x_template)
    reached = x + move(x, ON)
    assert (reached - x_template).norm(dim=-1).max() < 4e-5
    torch.testing.assert_close(residual, (reached - x_template).norm(dim=-1), atol=1e-6, rtol=0)
    assert (x[:, [0, 2]] - x_template[:, [0, 2]]).abs().max() < 1e-5
    assert _fixed_point(condition(ON).offset, x_template)[1].max() > 2e-4
    # y + D(y) = y_template by bisection.
    low, high = torch.full_like(x[:, 1], -0.1), torch.full_like(x[:, 1], 0.1)
    for _ in range(60):
        middle = (low + high) / 2
        above = middle - 0.9 * 0.01 * (middle / 0.01).tanh() > x_template[:, 1]
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    assert (x[:, 1] - middle).abs().max() < 4e-4  # the residual over the slope


def test_targets_undo_a_turn() -> None:
    """The template is the target turned by 70 degrees and squeezed, about a point: fixed-point steps run away."""
    pivot, matrix = (
        torch.tensor([0.01, 0.0, 0.08]),
        torch.tensor([[0.3, 0.8, 0.0], [-0.8, 0.3, 0.1], [0.0, 0.0, 1.0]]),
    )

    def move(x: Tensor, code: np.ndarray) -> Tensor:
        return float(code[0]) * (x - pivot) @ (matrix - torch.eye(3)).T

    x_template = line_of_points()
    x, residual = targets(person(move), ON, x_template)
    expected = pivot + (x_template - pivot) @ torch.linalg.inv(matrix).T
    assert residual.max() < 3e-5
    torch.testing.assert_close(x, expected, atol=5e-5, rtol=0)
    assert _fixed_point(person(move)(ON).offset, x_template)[1].max() > 1e-3


def test_targets_of_a_small_deformation_are_settled_at_once() -> None:
    calls = []
    move = only_y(lambda y: 0.001 * (100 * y).sin())

    def counted(x: Tensor, code: np.ndarray) -> Tensor:
        calls.append(x.shape[1])
        return move(x, code)

    x, residual = targets(person(counted), ON, line_of_points())
    assert residual.max() < 3e-5 and len(calls) <= FIXED_POINT_STEPS
    assert (x + move(x, ON) - line_of_points()).norm(dim=-1).max() < 4e-5


def test_a_volume_ratio_is_the_determinant() -> None:
    matrix = torch.tensor([[0.5, 0.1, 0.0], [0.0, 2.0, 0.3], [0.2, 0.0, 0.8]])
    ratio = volume_ratio(lambda x: x @ (matrix - torch.eye(3)).T, 0.05 * torch.randn(5, 3))
    torch.testing.assert_close(ratio, torch.linalg.det(matrix).expand(5), atol=2e-3, rtol=0)


# -------------------------------------------------------------------------------------------------------- hidden skin
GAP, SLOPE, EDGE = 0.004, 0.2, 0.0
"""Target points above y = EDGE show what is GAP higher. Below, skin is stretched by 1 / SLOPE up to the edge: what is
within GAP of it in the template, on both sides, is shown by no target point."""
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
        starts=np.array([0, 120], np.int32),
        cell=np.repeat(np.arange(60), 2),
    )


def test_hidden_points_lie_down_on_the_side_that_is_not_stretched() -> None:
    mesh = strip()
    pose = posed(person(only_y(lid)), ON, mesh)
    y_template, y = mesh.x_template[:, 1], pose.x[:, 1]
    distance = np.minimum(abs(y_template - (EDGE - GAP)), abs(y_template - (EDGE + GAP)))
    hidden = (abs(y_template - EDGE) < GAP) & (distance > HIDDEN)
    np.testing.assert_array_equal(pose.residual > HIDDEN, hidden)
    assert 20 < hidden.sum() < 40
    above, band = y_template > GAP, (y_template < -GAP) & (y_template > -BAND)
    np.testing.assert_allclose(y[above], (y_template - GAP)[above], atol=1e-4)
    np.testing.assert_allclose(y[band], (y_template + GAP)[band] / SLOPE, atol=2e-4)
    # The lowest visible points above the gap, where the hidden ones are gathered.
    np.testing.assert_allclose(y[hidden], y[above].min(), atol=1e-5)
    np.testing.assert_allclose(y_template[pose.stretched], -0.00425, atol=1e-6)
    assert pose.stretched.sum() == 2


def layer_at(z: float) -> Callable[[np.ndarray], ConditionedFields]:
    """A person under a lid whose outermost manifold is a plane."""
    condition = person(only_y(lid))
    return lambda code: replace(condition(code), level=lambda x: LEVELS[0] + 100 * (x[..., 2] - z))


def in_mm(level: np.ndarray, x_template: np.ndarray) -> np.ndarray:
    """The strip's texels."""
    assert (level == 0).all()
    return 1e3 * x_template[:, :2]


def with_glide(moving: MovingMesh, shape: int = 0, inbetween: int = 0) -> np.ndarray:
    """The mesh's texels at an in-between shape of an expression."""
    texels = moving.mesh.texels.copy()
    glide = moving.texel_steps[shape, inbetween]
    texels[len(texels) - len(glide) :] += glide
    return texels


def test_triangles_across_the_gap_show_the_stretched_side() -> None:
    mesh = strip()
    moving = moving_mesh(layer_at(0.08), latents((1,)), 1, mesh, in_mm)
    assert len(moving.neutral) > len(mesh.x_template)
    changed = np.flatnonzero((moving.mesh.triangles != mesh.triangles).any(1))
    assert 0 < len(changed) <= 2 and moving.torn.tolist() == changed.tolist()
    posed_y = (moving.neutral + moving.blendshapes[0, 0])[moving.mesh.triangles[changed]][..., 1]
    with_expression = with_glide(moving)
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
    kept = with_expression[moving.mesh.triangles[others]]
    np.testing.assert_array_equal(kept, mesh.texels[mesh.triangles[others]])
    np.testing.assert_array_equal(moving.mesh.texels[moving.mesh.triangles], mesh.texels[mesh.triangles])
    np.testing.assert_allclose(moving.neutral[:122], mesh.x_template, atol=1e-6)
    # The image has no hole: the posed strip covers its whole height.
    y = np.sort((moving.neutral + moving.blendshapes[0, 0])[moving.mesh.triangles][..., 1], axis=1)
    covered = np.linspace(-0.0145, 0.011, 200)
    assert ((y[:, :1] <= covered) & (covered <= y[:, 2:])).any(0).all()


def test_a_torn_triangle_where_there_is_nothing_of_its_layer_shrinks_away() -> None:
    """The sheet is 20 cm in front of its mesh, and not looked for so far away."""
    moving = moving_mesh(layer_at(0.28), latents((1,)), 1, strip(), in_mm)
    torn = moving.mesh.triangles[moving.torn]
    assert 0 < len(torn) <= 2 and moving.torn.dtype.kind == "i"
    gone = (moving.neutral + moving.blendshapes[0, 0])[torn]
    np.testing.assert_allclose(gone, np.broadcast_to(gone[:, :1], gone.shape), atol=1e-6)
    assert (np.ptp(moving.neutral[torn], axis=1).max(1) > 1e-4).all()  # and is there with a neutral face
    np.testing.assert_array_equal(with_glide(moving)[torn], strip().texels[strip().triangles[moving.torn]])


def test_a_triangle_that_is_torn_shows_at_every_inbetween_what_is_there() -> None:
    """Of two expressions, and half-way to one: the same as if that were the only one."""
    one, other, half = latents((1,), (1.1,), (0.5,))
    moving = moving_mesh(layer_at(0.08), np.stack([other, one]), 2, strip(), in_mm)
    assert moving.blendshapes.shape[:2] == moving.texel_steps.shape[:2] == (2, 2)
    for place, code in (((0, 1), other), ((1, 0), half), ((1, 1), one)):
        alone = moving_mesh(layer_at(0.08), code[None], 1, strip(), in_mm)
        assert set(alone.torn) <= set(moving.torn) and len(alone.torn) == (0 if code is half else 2)
        for triangle in moving.torn:
            found, target = (
                (made.neutral + made.blendshapes[at])[made.mesh.triangles[triangle]]
                for made, at in ((moving, place), (alone, (0, 0)))
            )
            np.testing.assert_allclose(found, target, atol=1e-6)
            found, target = (
                with_glide(made, *at)[made.mesh.triangles[triangle]]
                for made, at in ((moving, place), (alone, (0, 0)))
            )
            np.testing.assert_allclose(found, target, atol=1e-3)
    assert np.abs(moving.texel_steps[1, 1] - moving.texel_steps[1, 0]).max() > 0.1


def test_residuals_are_those_of_the_expressions() -> None:
    moving = moving_mesh(layer_at(0.08), latents((1,), (0, 1)), 2, strip(), in_mm)
    assert moving.residual[0] == pytest.approx(GAP, rel=0.1) and moving.residual[1] < 1e-6
    assert (moving.blendshapes[1] == 0).all() and math.isfinite(moving.residual.sum())
