"""Lines, texels and triangles of layers on the charts of spheres."""

import dataclasses

import numpy as np
import pytest

from anifacegan.avatars.baking.layers import (
    cell_mesh,
    closed,
    dilated,
    doubled_cells,
    halved_cells,
    submesh,
    unrefined_layers,
)
from tests.fixtures.ball_people import (
    LEVELS,
    SIDE,
    ball_scalar,
    charts,
    uneven_layers,
    z_exp_rows,
)

ON, OFF = z_exp_rows((1,))[0], z_exp_rows(())[0]


def test_a_vertex_is_at_its_texel() -> None:
    """The texture sizes are such that every line of the mesh runs through texels."""
    lines = uneven_layers(9, 9)
    layers = uneven_layers(3 * (len(lines.rows) - 1) + 1, 2 * (len(lines.columns) - 1) + 1)
    mesh = cell_mesh(layers.complete_cells(), layers)
    column, row = np.rint(mesh.texels).astype(int).T
    np.testing.assert_allclose(mesh.texels, np.stack([column, row], -1), atol=1e-4)
    assert column.max() == layers.width - 1 and row.max() == layers.height - 1
    places = layers.texel_positions(layers.height, layers.width)[row, column]
    for level in range(len(LEVELS)):
        own = np.unique(mesh.triangles[mesh.layer_starts[level] : mesh.layer_starts[level + 1]])
        x = charts().points(level, places[own])
        np.testing.assert_allclose(mesh.x_template[own], x.numpy(), atol=1e-6)
        assert (ball_scalar(x) - LEVELS[level]).abs().max() < 1e-3


def test_a_template_point_is_found_at_its_texel_and_in_its_cell() -> None:
    """So is a point off its manifold, towards the centre."""
    layers = uneven_layers(40, 31)
    mesh = cell_mesh(layers.complete_cells(), layers)
    level = np.searchsorted(mesh.layer_starts, np.arange(len(mesh.triangles)), side="right") - 1
    middle = mesh.texels[mesh.triangles].mean(1)  # within a cell
    x = mesh.x_template[mesh.triangles]
    centre = np.float32([0, 0, -0.18])
    for corner in range(3):
        for share in (1.0, 0.7):
            moved = centre + np.float32(share) * (x[:, corner] - centre)
            expected = mesh.texels[mesh.triangles[:, corner]]
            np.testing.assert_allclose(layers.texels(level, moved), expected, atol=2e-3)
    np.testing.assert_array_equal(layers.cells_at(level, middle), layers.complete_cells())
    one = layers.cells_at(level[100:101], middle[100:101])
    assert np.flatnonzero(one).tolist() == [mesh.cell[100]]


def test_triangles_face_away_from_the_centre() -> None:
    layers = uneven_layers(40, 40)
    mesh = cell_mesh(layers.complete_cells(), layers)
    a, b, c = mesh.x_template[mesh.triangles].transpose(1, 0, 2)
    outwards = (a + b + c) / 3 - (0, 0, -0.18)
    assert ((np.cross(b - a, c - a) * outwards).sum(1) > 0).all()


def test_a_mesh_has_two_triangles_for_each_selected_cell() -> None:
    layers = unrefined_layers(charts(), 32)
    cells = np.random.default_rng(0).random((len(LEVELS), SIDE - 1, SIDE - 1)) < 0.2
    mesh = cell_mesh(cells, layers)
    assert (
        np.array_equal(np.unique(mesh.cell), np.flatnonzero(cells)) and len(mesh.triangles) == 2 * cells.sum()
    )
    for level in range(len(LEVELS)):
        assert mesh.layer_starts[level + 1] - mesh.layer_starts[level] == 2 * cells[level].sum()
    fewer = cells & (np.arange(SIDE - 1) > 10)
    part, rebuilt = submesh(mesh, fewer), cell_mesh(fewer, layers)
    np.testing.assert_array_equal(part.layer_starts, rebuilt.layer_starts)
    np.testing.assert_array_equal(part.x_template[part.triangles], rebuilt.x_template[rebuilt.triangles])


@pytest.mark.parametrize(("height", "width"), [(29, 47), (SIDE, 70), (13, 12)])
def test_a_cell_is_selected_if_it_shows_a_marked_texel(height: int, width: int) -> None:
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
    np.testing.assert_array_equal(layers.cells_showing(texels), expected)


def test_cells_grow_on_their_own_layer() -> None:
    cells = np.zeros((3, 9, 9), bool)
    cells[1, 4, 4] = True
    found = dilated(cells, 2)
    assert found[1, 2:7, 2:7].all() and found.sum() == 25


def test_gaps_are_filled_up_to_their_width_and_the_outline_stays() -> None:
    """Also at the edge of the layer."""
    cells = np.zeros((2, 7, 20), bool)
    cells[1, :, :4] = cells[1, :, 8:10] = cells[1, :, 15:] = True  # gaps of four and of five columns
    filled = closed(cells, 4)
    assert filled[1, :, 4:8].all() and not filled[1, :, 10:15].any() and not filled[0].any()
    np.testing.assert_array_equal(filled[1, :, 8:], cells[1, :, 8:])


@pytest.mark.parametrize("parts", [3, 4])
def test_halved_layers_have_every_second_line_and_the_last(parts: int) -> None:
    layers = uneven_layers(40, 31)
    layers = dataclasses.replace(layers, rows=layers.rows[: parts + 1], columns=layers.columns[:6])
    halved = layers.halved()
    assert halved.rows.tolist() == [*layers.rows[:-1:2].tolist(), layers.rows[-1].item()]
    cells = np.ones((1, parts, 5), bool)
    cells[0, 0, 1] = False
    smaller = halved_cells(cells)
    assert smaller.shape[1:] == (len(halved.rows) - 1, len(halved.columns) - 1)
    assert smaller.sum() == smaller.size - 1 and not smaller[0, 0, 0]
    back = doubled_cells(smaller, cells)
    assert back.shape == cells.shape and back.sum() == cells.size - 4 and not back[0, :2, :2].any()
