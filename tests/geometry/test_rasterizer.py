"""The rasterizer against closed forms and a slow reference, and its rules of coverage, on all backends."""

import sys

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from anifacegan.geometry.cameras import Camera, orbit_camera, reconstruction_camera
from anifacegan.geometry.config import Backend
from anifacegan.geometry.rasterization import rasterizer, torch_backend
from anifacegan.geometry.rasterization.numba_kernels import draw_triangles
from anifacegan.geometry.rasterization.rasterizer import (
    clip_positions,
    interpolate,
    rasterize,
    supersampled,
)
from anifacegan.runtime.errors import InputError
from tests.fixtures.pixel_meshes import at_pixels, on, plain_camera
from tests.fixtures.triangulated_sphere import triangulated_sphere


def random_mesh(rng: np.random.Generator, triangles: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Unconnected triangles all over the image and beyond its edges."""
    centres = rng.uniform(-3, size + 3, (triangles, 1, 2))
    pixels = centres + rng.normal(0, size / 5, (triangles, 3, 2))
    depth = rng.uniform(1, 3, (triangles * 3))
    points = at_pixels(pixels.reshape(-1, 2), depth, size)
    return points[None], torch.arange(3 * triangles).reshape(-1, 3)


def slow_reference(vertices: torch.Tensor, triangles: torch.Tensor, camera: Camera) -> tuple[np.ndarray, ...]:
    """Intersect the ray of every pixel with every triangle.

    Returns triangle, barycentrics, depth, and the distance to the nearest other outcome (an edge, an equal depth).
    """
    points = camera.to_camera(vertices)[0].double().numpy()
    size = camera.size
    best, clear = np.full((size, size), -1), np.full((size, size), np.inf)
    weights, depth = np.zeros((size, size, 3)), np.full((size, size), np.inf)
    for row in range(size):
        for column in range(size):
            ray = np.array([column - camera.principal_px, camera.principal_px - row, -camera.focal_px])
            for t, corners in enumerate(points[triangles.numpy()]):
                solution = np.linalg.solve(corners.T, ray)  # ray = corners.T @ w, w >= 0 inside
                share = solution / solution.sum()
                distance = -(share @ corners[:, 2])
                margin = np.abs(share).min()
                if (solution >= 0).all():
                    clear[row, column] = min(clear[row, column], margin, abs(distance - depth[row, column]))
                    if distance < depth[row, column]:
                        best[row, column], weights[row, column], depth[row, column] = t, share, distance
                elif solution.sum() > 0 and (share >= -0.05).all():
                    clear[row, column] = min(clear[row, column], margin)
    return best, weights, depth, clear


def test_a_triangle_covers_the_pixels_whose_centres_it_contains(backend: tuple[str, str]) -> None:
    name, device = backend
    size = 8
    corners = at_pixels(np.array([[0.5, 0.5], [6.5, 0.5], [0.5, 6.5]]), 2.0, size)[None].to(device)
    got = rasterize(
        corners, torch.tensor([[0, 1, 2]], device=device), plain_camera(size, device=device), name
    )
    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    inside = (rows >= 1) & (columns >= 1) & (rows + columns < 7)
    edge = rows + columns == 7  # on the slanted edge, where the fill rule decides
    assert torch.equal(got.mask[0].cpu()[~edge], inside[~edge])
    assert torch.equal(got.mask, got.triangle == 0) and got.triangle[0, 0, 0] == -1
    assert torch.allclose(got.depth[got.mask], torch.tensor(2.0, device=device))
    assert torch.allclose(
        got.barycentric[0, 2, 3].cpu(), torch.tensor([1 - 4 / 6, 2.5 / 6, 1.5 / 6]), atol=1e-5
    )
    assert (got.barycentric[~got.mask] == 0).all() and (got.depth[~got.mask] == 0).all()


def test_depth_of_a_sphere_is_the_closed_form(backend: tuple[str, str]) -> None:
    name, device = backend
    points, triangles = triangulated_sphere(6000)
    vertices, triangles = 0.08 * points[None].to(device), triangles.to(device)
    camera = on(orbit_camera(yaw=torch.tensor([-0.4]), pitch=torch.tensor([0.2]), size=65), device)
    got = rasterize(vertices, triangles, camera, name)
    pixel = (torch.arange(65, device=device) - 32.0) / camera.focal_px
    y, x = torch.meshgrid(-pixel, pixel, indexing="ij")
    aside = x**2 + y**2  # the ray is d = (x, y, -1), the centre of the sphere is at depth 1
    discriminant = 1 - (1 + aside) * (1 - 0.08**2)
    depth = (1 - discriminant.clamp(min=0).sqrt()) / (1 + aside)
    core = discriminant > 0.0006  # away from the silhouette
    assert got.mask[0][core].all() and not got.mask[0][discriminant < -0.0003].any()
    assert core.sum() > 1500
    assert torch.allclose(
        got.depth[0][core], depth[core], atol=2e-4
    )  # facets: 3e-5 inside, seen at 18 degrees


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_matches_the_slow_reference(backend: tuple[str, str], seed: int) -> None:
    name, device = backend
    size = 24
    vertices, triangles = random_mesh(np.random.default_rng(seed), 12, size)
    best, weights, depth, clear = slow_reference(vertices, triangles, plain_camera(size))
    got = rasterize(vertices.to(device), triangles.to(device), plain_camera(size, device=device), name)
    sure = clear > 1e-3  # corners are rounded to 1/1024 of a pixel
    assert sure.mean() > 0.95
    assert (got.triangle[0].cpu().numpy()[sure] == best[sure]).all()
    seen = sure & (best >= 0)
    assert np.allclose(got.barycentric[0].cpu().numpy()[seen], weights[seen], atol=1e-4)
    assert np.allclose(got.depth[0].cpu().numpy()[seen], depth[seen], rtol=1e-4)


def tessellation(rng: np.random.Generator, size: int, grid: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Triangles that tile a square larger than the image; corners on a grid meet pixel centres exactly."""
    inner = rng.uniform(0, size - 1, (60, 2))
    if grid is not None:
        inner = np.unique(np.round(inner / grid) * grid, axis=0)
    frame = np.array([[-9, -9], [size + 9, -9], [-9, size + 9], [size + 9, size + 9]], float)
    pixels = np.concatenate([frame, inner])
    return pixels, Delaunay(pixels).simplices


@pytest.mark.parametrize("grid", [None, 1.0, 0.5], ids=["anywhere", "pixel centres", "half pixels"])
@pytest.mark.parametrize("seed", range(4))
def test_triangles_that_share_edges_cover_every_pixel_exactly_once(
    backend: tuple[str, str], seed: int, grid: float | None
) -> None:
    name, device = backend
    size = 16
    rng = np.random.default_rng(seed)
    pixels, simplices = tessellation(rng, size, grid)
    flipped = np.where(rng.random(len(simplices))[:, None] < 0.5, simplices, simplices[:, ::-1])
    vertices = at_pixels(pixels, rng.uniform(1, 2, len(pixels)), size)[None].to(device)
    camera = plain_camera(size, device=device)
    triangles = torch.from_numpy(np.ascontiguousarray(flipped)).long().to(device)
    count = sum(rasterize(vertices, triangle[None], camera, name).mask[0].int() for triangle in triangles)
    assert (count == 1).all()


def test_the_nearest_triangle_is_seen_whatever_the_order(backend: tuple[str, str]) -> None:
    name, device = backend
    square = np.array([[-9.0, -9.0], [40, -9], [-9, 40]])
    points = torch.cat([at_pixels(square, depth, 6) for depth in (3.0, 1.0, 2.0)])[None].to(device)
    triangles = torch.arange(9, device=device).reshape(3, 3)
    camera = plain_camera(6, device=device)
    assert (rasterize(points, triangles, camera, name).triangle == 1).all()
    assert (rasterize(points, triangles.flip(0), camera, name).triangle == 1).all()


@pytest.mark.parametrize("depth", [0.7, 1.1, 2.0, 2.6, 3.0])
@pytest.mark.parametrize("name", ["numba", "torch"])
def test_of_two_equally_near_triangles_the_first_is_seen(name: Backend, depth: float) -> None:
    points = at_pixels(np.array([[-9.0, -9.0], [40, -9], [-9, 40]]), depth, 6)[None]
    assert (
        rasterize(points, torch.zeros(2, 1).long() + torch.arange(3), plain_camera(6), name).triangle == 0
    ).all()


@pytest.mark.parametrize("tests", [1, 300, 10**6], ids=["one by one", "some", "all"])
def test_torch_draws_the_pixels_that_numba_draws(tests: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With corners on centres and edges of pixels, and two images at once."""
    monkeypatch.setattr(torch_backend, "MOST_TESTS", {"cpu": tests})
    rng = np.random.default_rng(4)
    size, count = 24, 150
    pixels = rng.integers(-8, 2 * size + 8, (2, 3 * count, 2)) / 2
    vertices = torch.stack([at_pixels(some, rng.uniform(1, 3, 3 * count), size) for some in pixels])
    triangles = torch.arange(3 * count).reshape(-1, 3)
    one, other = (rasterize(vertices, triangles, plain_camera(size, 2), name) for name in ("numba", "torch"))
    assert one.mask.float().mean() > 0.9 and len(one.triangle.unique()) > 60
    assert torch.equal(one.triangle, other.triangle)


def cameras(batch: int) -> list[Camera]:
    angle = torch.tensor([[0.2, -0.4, 0.1], [-0.1, 0.5, -0.2]])[:batch]
    return [
        orbit_camera(yaw=angle[:, 1], pitch=angle[:, 0], size=48),
        reconstruction_camera(angle, torch.tensor([[0.1, -0.2, 0.3], [0.0, 0.1, -0.5]])[:batch], 48),
    ]


@pytest.mark.parametrize("kind", [0, 1], ids=["orbit", "reconstruction"])
def test_a_surface_point_is_seen_at_the_pixel_where_the_camera_projects_it(
    backend: tuple[str, str], kind: int
) -> None:
    name, device = backend
    camera = on(cameras(2)[kind], device)
    scale = 0.08 if kind == 0 else 0.8  # world or model units
    rng = np.random.default_rng(3)
    corners = torch.from_numpy(scale * rng.uniform(-1, 1, (2, 30, 3))).float().to(device)
    triangles = torch.arange(30, device=device).reshape(10, 3)
    got = rasterize(corners, triangles, camera, name)
    points = interpolate(corners, triangles, got)  # (2, 48, 48, 3)
    pixels = camera.project(points.reshape(2, -1, 3)).reshape(2, 48, 48, 2)
    rows, columns = torch.meshgrid(*[torch.arange(48.0, device=device)] * 2, indexing="ij")
    error = (pixels - torch.stack([columns, rows], dim=-1)).abs()[got.mask]
    assert got.mask[0].sum() > 100 and got.mask[1].sum() > 100
    assert error.max() < 2e-3  # float32 at a focal length of 220 pixels


def test_a_batch_equals_its_items_one_by_one(backend: tuple[str, str]) -> None:
    name, device = backend
    camera = on(cameras(2)[0], device)
    vertices = 0.04 * torch.randn(2, 30, 3, generator=torch.Generator().manual_seed(5)).to(device)
    triangles = torch.arange(30, device=device).reshape(10, 3)
    both = rasterize(vertices, triangles, camera, name)
    for i in range(2):
        single = Camera(camera.rotation[i : i + 1], camera.translation[i : i + 1], camera.focal_px, 23.5, 48)
        got = rasterize(vertices[i : i + 1], triangles, single, name)
        same = got.triangle[0] == both.triangle[i]
        # A matrix product of another shape rounds differently (1e-5 of a pixel), which may move a corner to the next of
        # 1024 places in a pixel, and an edge across the centre of a pixel or two.
        assert (~same).sum() <= 2
        assert torch.allclose(got.depth[0][same], both.depth[i][same], atol=1e-6)


def test_interpolation_and_depth_have_the_gradients_of_finite_differences() -> None:
    size = 6
    vertices = at_pixels(np.array([[0.3, 0.4], [5.2, 1.3], [1.1, 5.3]]), np.array([1.0, 1.5, 2.0]), size)
    triangles = torch.tensor([[0, 1, 2]])
    camera = plain_camera(size)
    camera = Camera(
        camera.rotation.double(), camera.translation.double(), camera.focal_px, camera.principal_px, size
    )

    def image(vertices: torch.Tensor, attributes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        got = rasterize(vertices, triangles, camera, "numba")
        return interpolate(attributes, triangles, got), got.depth

    attributes = torch.randn(1, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(image, (vertices.double()[None].requires_grad_(), attributes))


def test_attributes_may_be_shared_by_the_batch() -> None:
    vertices, triangles = random_mesh(np.random.default_rng(0), 5, 16)
    got = rasterize(vertices.expand(2, -1, -1), triangles, plain_camera(16, batch=2))
    attributes = torch.rand(15, 4)
    one_each = interpolate(attributes.expand(2, -1, -1), triangles, got)
    assert torch.equal(interpolate(attributes, triangles, got), one_each)


@pytest.mark.parametrize("name", ["numba", "torch"])
def test_triangles_behind_the_camera_or_not_finite_are_omitted(name: Backend) -> None:
    square = np.array([[-9.0, -9.0], [40, -9], [-9, 40]])
    seen = at_pixels(square, 2.0, 6)
    behind = -seen
    straddling = torch.cat([0.1 * seen[:2], -seen[2:]])
    broken = torch.full((3, 3), float("nan"))
    far_off = seen * torch.tensor([1e9, 1.0, 1.0])
    points = torch.cat([behind, straddling, broken, far_off, seen])[None]
    got = rasterize(points, torch.arange(15).reshape(5, 3), plain_camera(6), name)
    assert (got.triangle == 4).all()


def test_supersampling_spreads_samples_evenly_around_each_pixel_centre() -> None:
    camera = orbit_camera(yaw=torch.tensor([0.2]), pitch=torch.tensor([0.1]), size=10)
    points = 0.05 * torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(6))
    coarse, fine = camera.project(points), supersampled(camera, 3).project(points)
    assert torch.allclose((fine + 0.5) / 3 - 0.5, coarse, atol=1e-4)  # sample 3i+1 is the centre of pixel i
    assert supersampled(camera, 3).size == 30


@pytest.mark.parametrize("kind", [0, 1], ids=["orbit", "reconstruction"])
def test_clip_positions_put_points_on_the_pixels_of_the_camera(kind: int) -> None:
    camera = cameras(2)[kind]
    scale = 0.05 if kind == 0 else 0.5
    points = scale * torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(7))
    x, y, z, w = clip_positions(camera.to_camera(points), camera).unbind(-1)
    rows_from_minus_one = torch.stack([x / w, y / w], dim=-1)  # nvdiffrast: first row at y = -1
    pixels = (rows_from_minus_one + 1) / 2 * camera.size - 0.5  # pixel i has its centre at (i + 0.5) / size
    assert torch.allclose(pixels, camera.project(points), atol=1e-3)
    assert ((z / w).abs() < 1).all()
    nearer = w[0].argsort()
    assert ((z / w)[0][nearer].diff() > 0).all()


def test_missing_nvdiffrast_is_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvdiffrast", None)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", None)
    with pytest.raises(InputError, match="diffrp-nvdiffrast.*numba") as caught:
        rasterize(torch.randn(1, 3, 3), torch.tensor([[0, 1, 2]]), plain_camera(4), "nvdiffrast")
    assert "\n" not in str(caught.value)


def test_the_kernel_keeps_what_is_already_nearer() -> None:
    triangle_map, nearest = np.full((4, 4), 7, np.int32), np.full((4, 4), 0.5, np.float32)
    corners = np.array([[-9.0, -9], [40, -9], [-9, 40]])
    draw_triangles(
        corners[:, 0], corners[:, 1], np.full(3, 0.4), np.array([[0, 1, 2]]), triangle_map, nearest
    )
    assert (triangle_map == 7).all()
    draw_triangles(
        corners[:, 0], corners[:, 1], np.full(3, 0.6), np.array([[0, 1, 2]]), triangle_map, nearest
    )
    assert (triangle_map == 0).all() and np.allclose(nearest, 0.6)


def test_every_pixel_computed_is_as_the_covered_ones_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU all pixels are, so that it need not wait for their number; gradients are the same."""
    vertices = torch.tensor([[[-0.4, -0.3, 0.0], [0.5, -0.2, 0.1], [0.0, 0.6, -0.1]]], requires_grad=True)
    triangles = torch.tensor([[0, 1, 2]])
    camera = orbit_camera(yaw=torch.tensor([0.2]), pitch=torch.tensor([0.1]), size=24, fov_deg=60.0)
    found = []
    every = lambda mask: torch.ones_like(mask).nonzero(as_tuple=True)  # noqa: E731
    for pixels in (rasterizer._pixels, every):
        monkeypatch.setattr(rasterizer, "_pixels", pixels)
        fragments = rasterize(vertices, triangles, camera, "torch")
        image = interpolate(vertices.detach(), triangles, fragments)
        (gradient,) = torch.autograd.grad((image.square().sum() + fragments.depth.sum()), vertices)
        found.append((fragments.barycentric, fragments.depth, image, gradient))
    assert 0.02 < fragments.mask.float().mean() < 0.8
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(one, other) for one, other in zip(found[0][:3], found[1][:3], strict=True))
