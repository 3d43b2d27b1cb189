"""Surfaces, meshes and cuts of spheres, whose answer is known."""

import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.evaluation.figures import slices
from anifacegan.evaluation.figures.mesh import mesh_images
from anifacegan.evaluation.figures.slices import REACH, Slice, manifold_lines, skin_curves, with_arrows
from anifacegan.evaluation.figures.surface_mesh import SurfaceMesh, SurfaceView, extract_mesh, fused_distances
from anifacegan.geometry.conventions import WORLD_PER_NETWORK_UNIT
from anifacegan.geometry.rays import RaySamplingConfig, image_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering.frame import RenderedImage
from anifacegan.rendering.surface import camera_normals, visible_surface
from anifacegan.rendering.volume import render_rays
from tests.fixtures.closed_forms import constant_step, distance_to, numbers, spheres
from tests.fixtures.one_line import assert_one_line

RADIUS, SIZE = 0.06, 41
RAY_SAMPLING = RaySamplingConfig(samples=200)
UPRIGHT, LEVEL = Slice("yz", 0.0), Slice("xz", 0.0)


def red(x: Tensor) -> tuple[Tensor, Tensor]:
    """Opaque, what is on the sphere; the background is left to the renderer."""
    return numbers(1.0, 0.0, 0.0).expand_as(x), torch.ones_like(x[..., 0])


def ball(**changes: object) -> ConditionedFields:
    """A sphere whose front is seen: s falls inwards."""
    return spheres(RADIUS, **({"ray_sampling": RAY_SAMPLING, "radiance": red} | changes))


def image_of(fields: ConditionedFields, yaw: float) -> RenderedImage:
    seen = render_rays(
        fields, image_rays(yaw=numbers(yaw), pitch=numbers(0.0), size=SIZE, fov_deg=RAY_SAMPLING.fov_deg)
    )
    rows = [seen.rgb[0], seen.foreground[0, :, None], seen.foreground_rgb[0], seen.depth[0, :, None]]
    image = torch.cat(rows, dim=-1).T.reshape(8, SIZE, SIZE).float()
    return RenderedImage(image[:3], image[3:4], image[4:7], image[7:])


def view_of(fields: ConditionedFields, yaw: float) -> SurfaceView:
    image = image_of(fields, yaw)
    return SurfaceView(
        yaw=yaw,
        pitch=0.0,
        surface=visible_surface(image, yaw=yaw, pitch=0.0, ray_sampling=RAY_SAMPLING),
        rgb=image.foreground_rgb,
        fov_deg=RAY_SAMPLING.fov_deg,
    )


@pytest.mark.parametrize("yaw", [0.0, 0.5])
def test_the_visible_surface_of_a_sphere_is_on_the_sphere(yaw: float) -> None:
    surface = visible_surface(image_of(ball(), yaw), yaw=yaw, pitch=0.0, ray_sampling=RAY_SAMPLING)
    radii = surface.points[surface.mask].norm(dim=-1)
    torch.testing.assert_close(radii, torch.full_like(radii, RADIUS), atol=2e-5, rtol=0)
    expected = math.tan(math.asin(RADIUS)) / math.tan(math.radians(6)) * (SIZE - 1) / 2
    assert float(surface.mask.sum()) == pytest.approx(math.pi * expected**2, rel=0.03)


def test_a_half_transparent_sphere_is_where_it_is_and_not_on_the_way_to_the_background() -> None:
    glass = ball(radiance=lambda x: (red(x)[0], torch.full_like(x[..., 0], 0.6)))
    surface = visible_surface(image_of(glass, 0.3), yaw=0.3, pitch=0.0, ray_sampling=RAY_SAMPLING)
    assert surface.mask.any()
    radii = surface.points[surface.mask].norm(dim=-1)
    torch.testing.assert_close(radii, torch.full_like(radii, RADIUS), atol=2e-5, rtol=0)


@pytest.mark.parametrize("yaw", [0.0, 0.5])
def test_normals_of_a_sphere_point_from_its_centre(yaw: float) -> None:
    surface = visible_surface(image_of(ball(), yaw), yaw=yaw, pitch=0.0, ray_sampling=RAY_SAMPLING)
    normals = camera_normals(surface, yaw=yaw, pitch=0.0)
    centre = SIZE // 2
    torch.testing.assert_close(normals[centre, centre], torch.tensor([0.0, 0.0, 1.0]), atol=1e-3, rtol=0)
    assert float(normals[centre, centre + 8, 0]) > 0.3  # to the right
    assert float(normals[centre - 8, centre, 1]) > 0.3  # up
    assert not normals[0, 0].any()


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


def test_nothing_to_see_is_no_mesh() -> None:
    pytest.importorskip("skimage.measure", reason="pip install 'anifacegan[figures]'")
    clear = ball(radiance=lambda x: (red(x)[0], torch.zeros_like(x[..., 0])))
    assert_one_line(lambda: extract_mesh([view_of(clear, 0.0)], 8), "no surface")


def test_a_mesh_needs_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    assert_one_line(
        lambda: extract_mesh([], 8), "scikit-image: not installed", "pip install scikit-image trimesh"
    )


@pytest.mark.parametrize("cut", [UPRIGHT, LEVEL, Slice("yz", 0.02)], ids=lambda cut: cut.label)
def test_a_manifold_is_a_line_where_its_level_is(cut: Slice) -> None:
    size = 61
    inked = (manifold_lines(ball(), cut, size)[1:-1, 1:-1] < 0.5).any(dim=-1)  # within the frame
    x = torch.linspace(-1, 1, size, dtype=torch.float64)
    down, across = torch.meshgrid(x, x, indexing="ij")
    off = (cut.points(across, down).norm(dim=-1) - RADIUS).abs()[1:-1, 1:-1] / (2 * REACH / (size - 1))
    assert inked[off < 0.5].all() and not inked[off > 1.5].any()


def test_the_cut_of_a_moved_face_is_moved_and_the_template_is_not() -> None:
    moved = ball(offset=constant_step(0.0, -0.02, 0.0))  # the face is 20 mm above its template
    still = manifold_lines(ball(), UPRIGHT, 91)
    assert torch.equal(manifold_lines(moved, UPRIGHT, 91, in_template=True), still)
    rows = round(0.02 / (2 * REACH / 90))
    torch.testing.assert_close(
        manifold_lines(moved, UPRIGHT, 91)[1 : 90 - rows, 1:-1], still[1 + rows : 90, 1:-1], atol=0.02, rtol=0
    )


@pytest.mark.parametrize("cut", [UPRIGHT, LEVEL], ids=lambda cut: cut.plane)
def test_the_skin_is_the_front_of_the_surface(cut: Slice) -> None:
    (curve,) = skin_curves(ball(), cut, 91)
    along = torch.linspace(-0.05, 0.05, 21, dtype=torch.float64)
    front, zero = (RADIUS**2 - along**2).sqrt(), torch.zeros_like(along)
    points = torch.stack([zero, along, front] if cut is UPRIGHT else [along, zero, front], dim=-1)
    gaps = np.linalg.norm(curve[None] - cut.place(points, 91)[:, None], axis=-1).min(axis=1)
    assert gaps.max() < 1.5


def test_places_and_points_are_each_others_inverse() -> None:
    for cut in (Slice("yz", 0.01), Slice("xz", -0.03)):
        across, down = numbers(-1, 0.2, 1), numbers(1, -0.4, -1)
        pixels = (torch.stack([across, down], dim=-1) + 1) / 2 * 90
        np.testing.assert_allclose(cut.place(cut.points(across, down), 91), pixels.numpy(), atol=1e-9)


def arrows(step: float, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Where one arrow from the middle of a cut is drawn, for a step up; no manifold is near."""
    monkeypatch.setattr(slices, "ARROWS", 1)
    fields = ball(offset=constant_step(0.0, step, 0.0), level=distance_to(9, 9, 9))
    return (with_arrows(torch.ones(90, 90, 3), fields, UPRIGHT, 1.0) < 250).any(axis=-1)


@pytest.mark.parametrize("step", [0.03, -0.03])
def test_an_arrow_leads_from_the_face_to_the_template(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.flatnonzero(arrows(step, monkeypatch).any(axis=1))
    length = round(0.03 / (2 * REACH) * 89)
    tail, head = (rows[-1], rows[0]) if step > 0 else (rows[0], rows[-1])
    assert abs(tail - 44.5) <= 1.5 and abs(abs(head - tail) - length) <= 2
    widths = arrows(step, monkeypatch).sum(axis=1)
    assert widths[min(tail, head) : max(tail, head)].max() == max(widths[head - 4 : head + 5]) > widths[tail]


def test_a_face_that_hardly_moves_has_no_arrows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not arrows(0.0005, monkeypatch).any()
