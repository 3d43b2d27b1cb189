"""Vertices between others of a grid are interpolated or solved for from there, and are where the deformation is
inverted."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from anifacegan.avatars.baking.inverse_warp import TOLERANCE, target_points
from anifacegan.avatars.baking.layers import LayerMesh
from anifacegan.avatars.baking.nested_vertices import INTERPOLATED, STARTED, NestedVertices
from tests.fixtures.ball_people import along_y, person, z_exp_rows

ON = z_exp_rows((1,))[0]
SIDE, SPACING = 33, 0.001
"""Vertices along each side of the mesh, and world units between them."""


def square() -> LayerMesh:
    """A square of vertices at z = 0.08, rows along y; triangles do not matter here."""
    place = np.stack(np.unravel_index(np.arange(SIDE**2), (1, SIDE, SIDE)), -1)
    x_template = np.concatenate([SPACING * (place[:, :0:-1] - SIDE // 2), np.full((SIDE**2, 1), 0.08)], 1)
    return LayerMesh(
        x_template=x_template.astype(np.float32),
        texels=place[:, :0:-1].astype(np.float32),
        triangles=np.zeros((0, 3), np.int32),
        layer_starts=np.zeros(2, np.int32),
        cell=np.zeros(0, np.int64),
        place=place,
    )


def found(step_of_y: Callable[[Tensor], Tensor], mesh: LayerMesh) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the vertices' target points, how far they are from where every vertex is solved for alone, and the number
    of evaluated points."""
    evaluated = []

    def move(x: Tensor, z_exp: np.ndarray) -> Tensor:
        evaluated.append(x.shape[1])
        return along_y(step_of_y)(x, z_exp)

    x, residual = NestedVertices.of(mesh).target_points(person(move), ON)
    count = sum(evaluated)
    alone, left = target_points(person(move), ON, torch.from_numpy(mesh.x_template))
    np.testing.assert_array_equal(residual > STARTED, left.numpy() > STARTED)
    return x, np.linalg.norm(x - alone.numpy(), axis=1), count


def test_where_it_is_smooth_three_quarters_are_interpolated() -> None:
    """The offset bends by 0.002 / 0.03^2 a world unit: half a millionth is left between vertices."""
    x, missed, count = found(lambda y: 0.002 * (y / 0.03).sin(), square())
    assert missed.max() < 2e-5  # what the iteration leaves
    assert (abs(x - square().x_template) > 1e-4).any()
    assert count <= 4 * (SIDE // 2 + 1) ** 2


def test_where_it_bends_vertices_between_others_are_solved_for() -> None:
    """Waves of five vertices: interpolation would miss them by more than INTERPOLATED."""
    _, missed, count = found(lambda y: 3e-4 * (2 * np.pi * y / (5 * SPACING)).sin(), square())
    assert missed.max() < 2 * TOLERANCE < INTERPOLATED + TOLERANCE
    assert count > SIDE**2


def test_beside_a_jump_nothing_is_interpolated_across() -> None:
    """The template points of |y| < 2 mm are shown nowhere; all vertices above go up, and those below go down."""
    x, missed, _ = found(lambda y: 0.002 * torch.where(y > 0, 1.0, -1.0), square())
    y_template = square().x_template[:, 1]
    shown = abs(y_template) > 0.0021
    np.testing.assert_allclose(x[shown, 1], (y_template - 0.002 * np.sign(y_template))[shown], atol=1e-6)
    assert missed[shown].max() < 1e-6


def test_vertices_at_a_ragged_rim_are_solved_for_alone() -> None:
    """Without a quarter of the vertices others lack a neighbour, or a probe."""
    mesh, kept = square(), np.random.default_rng(0).random(SIDE**2) > 0.25
    part = LayerMesh(
        mesh.x_template[kept],
        mesh.texels[kept],
        mesh.triangles,
        mesh.layer_starts,
        mesh.cell,
        mesh.place[kept],
    )
    _, missed, _ = found(lambda y: 0.002 * (y / 0.01).sin(), part)
    assert missed.max() < INTERPOLATED + TOLERANCE
