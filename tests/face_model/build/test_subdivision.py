"""Catmull-Clark subdivision, against points worked out by hand."""

import numpy as np

from anifacegan.face_model.build.subdivision import catmull_clark
from tests.fixtures.small_surfaces import grid

CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])

CUBE_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


def test_a_subdivided_cube_has_catmull_and_clarks_points() -> None:
    step = catmull_clark(CUBE_QUADS, 8)
    points = step.matrix @ CUBE
    assert points.shape == (8 + 12 + 6, 3) and step.quads.shape == (24, 4)
    np.testing.assert_allclose(points[:8], CUBE * 5 / 9)
    np.testing.assert_allclose(np.sort(np.abs(points[8:20]), axis=1), np.tile([0, 0.75, 0.75], (12, 1)))
    np.testing.assert_allclose(np.sort(np.abs(points[20:]), axis=1), np.tile([0, 0, 1], (6, 1)))


def test_subdividing_keeps_the_outside_outside() -> None:
    step = catmull_clark(CUBE_QUADS, 8)
    corners = (step.matrix @ CUBE)[step.quads]
    outward = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    before = CUBE[CUBE_QUADS]
    sign = np.sign(
        np.sum(np.cross(before[:, 2] - before[:, 0], before[:, 3] - before[:, 1]) * before.mean(1), -1)
    )
    assert np.all(np.sign(np.sum(outward * corners.mean(axis=1), axis=-1)) == np.repeat(sign, 4))


def test_subdivision_moves_with_the_mesh() -> None:
    step = catmull_clark(CUBE_QUADS, 8)
    np.testing.assert_allclose(np.asarray(step.matrix.sum(axis=1)).ravel(), 1)


def test_a_boundary_is_a_curve_of_its_own() -> None:
    """One square: its edges' middles stay on the edges, its corners are half-way to the middle of their edges."""
    points, quads = grid(1)
    moved = catmull_clark(quads, 4).matrix @ points
    np.testing.assert_allclose(moved[0], [0.125, 0.125, 0])
    np.testing.assert_allclose(sorted(moved[4:8, 0]), [0, 0.5, 0.5, 1])
