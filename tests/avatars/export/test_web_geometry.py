"""The packed geometry holds the mesh: the same triangles, and points within the promised precision."""

import dataclasses

import numpy as np
import pytest

from anifacegan.avatars.export.grid_coding import GridPlaces
from anifacegan.avatars.export.visible_part import VisiblePart, visible_part
from anifacegan.avatars.export.web_geometry import (
    HIDDEN_TOLERANCE,
    NEUTRAL_STEPS,
    ByteStream,
    packed_geometry,
)
from anifacegan.runtime.errors import InputError
from tests.fixtures.ball_avatars import ball_avatar, shuffled
from tests.fixtures.decoded_pages import bits, decoded_field, decoded_links, whole_numbers
from tests.fixtures.flat_avatars import layered_mesh_of, square

STEP = 6e-5


@pytest.fixture(scope="module")
def part() -> VisiblePart:
    return visible_part(ball_avatar().layered_mesh, 0.6)


def test_points_come_back_within_the_precision(part: VisiblePart) -> None:
    mesh, geometry = part.layered_mesh, packed_geometry(part, STEP, {})
    places = GridPlaces.of(mesh)
    allowed = (np.where(part.visible, 1, HIDDEN_TOLERANCE) + 0.5) * STEP + 1e-7
    low, fine = geometry.header["neutral"]
    assert fine == STEP / NEUTRAL_STEPS
    for axis in range(3):
        found = low + fine * decoded_field(whole_numbers(geometry, f"neutral.{axis}"), places)
        assert (np.abs(found - mesh.vertices[:, axis]) <= allowed).all()
        for s, p in np.ndindex(*mesh.blendshapes.shape[:2]):
            found = STEP * decoded_field(whole_numbers(geometry, f"shape.{s}.{p}.{axis}"), places)
            placed = len(places.row)
            error = np.abs(found - mesh.blendshapes[s, p, :, axis])
            assert (error[:placed] <= allowed[:placed]).all() and (error <= 2 * allowed.max()).all()


def test_triangles_come_back(part: VisiblePart) -> None:
    mesh, geometry = part.layered_mesh, packed_geometry(part, STEP, {})
    places = GridPlaces.of(mesh)
    vertex = np.full(places.shape, -1)
    placed = len(places.row)
    vertex[places.layer[:placed], places.row, places.column] = np.arange(placed)
    count = int(np.prod(places.shape))
    np.testing.assert_array_equal(bits(geometry, "occupied")[:count], vertex.ravel() >= 0)
    lower, upper = bits(geometry, "cells")[: 2 * count].reshape(2, *places.shape)
    found = set()
    for layer, row, column in np.argwhere(lower | upper).tolist():
        a, b = vertex[layer, row, column : column + 2]
        c, d = vertex[layer, row + 1, column : column + 2]
        found |= {(a, b, c)} if lower[layer, row, column] else set()
        found |= {(d, c, b)} if upper[layer, row, column] else set()
    own = (mesh.triangles >= placed).any(1)
    assert found == {tuple(triangle) for triangle in mesh.triangles[~own].tolist()} and own.any()


def test_a_mesh_without_rows_comes_back() -> None:
    mesh = shuffled(ball_avatar(own_corners=False).layered_mesh)
    geometry = packed_geometry(VisiblePart(mesh, np.ones(len(mesh.vertices), bool)), STEP, {})
    np.testing.assert_array_equal(whole_numbers(geometry, "indices").cumsum(), mesh.triangles.ravel())
    assert geometry.header["grid"] == (len(mesh.textures),) and geometry.header["moving"] == 0

    def field(name: str) -> np.ndarray:
        return decoded_links(whole_numbers(geometry, name), mesh.triangles)

    low, fine = geometry.header["neutral"]
    for axis in range(3):
        np.testing.assert_allclose(
            low + fine * field(f"neutral.{axis}"), mesh.vertices[:, axis], atol=1.6 * STEP
        )
        for s, p in np.ndindex(*mesh.blendshapes.shape[:2]):
            found = STEP * field(f"shape.{s}.{p}.{axis}")
            np.testing.assert_allclose(found, mesh.blendshapes[s, p, :, axis], atol=1.6 * STEP)
    for axis in range(2):
        found = geometry.header["texelStep"] * field(f"texel.{axis}")
        np.testing.assert_allclose(found, mesh.texels[:, axis], atol=0.51 * geometry.header["texelStep"])


def test_whole_numbers_of_any_size_come_back() -> None:
    values = np.array([0, -1, 1, 127, -128, 128, 70000, -70000])
    stream = ByteStream()
    stream.add_planes("one", values)
    start, count, planes = stream.table["one"]
    assert (start, count, planes) == (0, 8, 3) and len(stream.parts[0]) == 24


def test_a_mesh_that_is_no_grid_is_refused() -> None:
    mesh = layered_mesh_of(square(0.05))
    turned = dataclasses.replace(
        mesh,
        texels=np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32),
        triangles=mesh.triangles[:, [1, 2, 0]],
    )
    with pytest.raises(InputError, match="not halves of cells"):
        packed_geometry(VisiblePart(turned, np.ones(4, bool)), STEP, {})
