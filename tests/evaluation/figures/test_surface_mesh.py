"""Meshes extracted from views of a sphere."""

import sys

import numpy as np
import pytest
import torch

from anifacegan.evaluation.figures.mesh import mesh_images
from anifacegan.evaluation.figures.surface_mesh import (
    SurfaceMesh,
    extract_mesh,
    fused_distances,
    vertex_colours,
    without_crumbs,
)
from anifacegan.geometry.conventions import WORLD_PER_NETWORK_UNIT
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.sphere_views import RADIUS, RAY_SAMPLING, SIZE, ball, red, view_of


def test_distances_are_signed_and_cut_off_and_unknown_behind() -> None:
    points = torch.tensor(
        [[0.0, 0, 0.065], [0, 0, 0.055], [0, 0, 0.1], [0, 0, 0.0], [0.1, 0, 0], [0.5, 0, 0]]
    )
    distance, known = fused_distances([view_of(ball(), 0.0)], points)
    assert known.tolist() == [True, True, True, False, True, False]
    torch.testing.assert_close(distance[:3], torch.tensor([0.005, -0.005, 0.012]), atol=2e-4, rtol=0)
    assert float(distance[4]) > 0  # beside the ball nothing is


@pytest.fixture(scope="module")
def sphere_mesh() -> SurfaceMesh:
    pytest.importorskip("skimage.measure", reason="pip install 'anifacegan[figures]'")
    return extract_mesh([view_of(ball(), yaw) for yaw in (-0.6, 0.0, 0.6)], 32)


def test_the_mesh_of_a_sphere_is_a_sphere(sphere_mesh: SurfaceMesh) -> None:
    front = sphere_mesh.vertices[:, 2] > 0.02
    radii = np.linalg.norm(sphere_mesh.vertices[front], axis=1)
    assert front.sum() > 200
    np.testing.assert_allclose(np.median(radii), RADIUS, atol=0.0005)
    assert (np.abs(radii - RADIUS) < 2 * WORLD_PER_NETWORK_UNIT / 32).all()  # within a cell


def test_the_triangles_of_a_mesh_face_outward(sphere_mesh: SurfaceMesh) -> None:
    a, b, c = (sphere_mesh.vertices[sphere_mesh.triangles[:, k]] for k in range(3))
    middle, normal = (a + b + c) / 3, np.cross(b - a, c - a)
    front = middle[:, 2] > 0.02
    assert ((middle * normal).sum(axis=1)[front] > 0).mean() > 0.99


def test_a_mesh_has_the_colours_of_its_views(sphere_mesh: SurfaceMesh) -> None:
    front = sphere_mesh.vertices[:, 2] > 0.03
    np.testing.assert_allclose(sphere_mesh.rgb[front], np.tile([1.0, 0.0, 0.0], (front.sum(), 1)), atol=0.02)
    coloured, grey = mesh_images(sphere_mesh, 0.0, SIZE, RAY_SAMPLING.fov_deg)
    assert coloured[SIZE // 2, SIZE // 2].tolist() == [255, 0, 0] and (coloured[0, 0] == 255).all()
    assert len(set(grey[SIZE // 2, SIZE // 2].tolist())) == 1


def test_a_vertex_that_no_view_shows_has_its_neighbours_colour() -> None:
    """The second triangle lies behind the ball, where nothing is known; its own colour would be black."""
    on_ball = np.array([[0.0, 0.0, 0.06], [0.01, 0.0, 0.059], [0.0, 0.01, 0.059]])
    behind = np.array([[0.0, 0.0, 0.0], [0.01, 0.01, 0.0]])
    vertices = np.concatenate([on_ball, behind]).astype(np.float32)
    triangles = np.array([[0, 1, 2], [1, 3, 2], [1, 4, 3]])
    found = vertex_colours([view_of(ball(), 0.0)], vertices, triangles)
    np.testing.assert_allclose(found, np.tile([1.0, 0.0, 0.0], (5, 1)), atol=0.02)


def test_crumbs_are_left_out_and_large_pieces_stay(sphere_mesh: SurfaceMesh) -> None:
    vertices, triangles = sphere_mesh.vertices, sphere_mesh.triangles
    count = len(vertices)
    crumb = np.array([[0.1, 0.1, 0.1], [0.11, 0.1, 0.1], [0.1, 0.11, 0.1]], np.float32)
    both = np.concatenate([vertices, crumb, vertices + np.float32(0.2)])
    pieces = np.concatenate([triangles, [[count, count + 1, count + 2]], triangles + count + 3])
    kept, renumbered = without_crumbs(both, pieces)
    np.testing.assert_array_equal(kept, np.concatenate([vertices, vertices + np.float32(0.2)]))
    np.testing.assert_array_equal(renumbered, np.concatenate([triangles, triangles + count]))


def test_nothing_to_see_is_no_mesh() -> None:
    pytest.importorskip("skimage.measure", reason="pip install 'anifacegan[figures]'")
    clear = ball(radiance=lambda x: (red(x)[0], torch.zeros_like(x[..., 0])))
    assert_one_line(lambda: extract_mesh([view_of(clear, 0.0)], 8), "no surface")


def test_a_mesh_needs_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    assert_one_line(
        lambda: extract_mesh([], 8), "scikit-image: not installed", "pip install scikit-image trimesh"
    )
