"""Anti-aliased silhouettes: coverage and gradients of the same bodies on every backend."""

import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.geometry.cameras import Camera, orbit_camera
from anifacegan.geometry.rasterization.antialiasing import antialias, neighbours_across_edges, raster_buffer
from anifacegan.geometry.rasterization.rasterizer import clip_positions, interpolate, rasterize, supersampled
from anifacegan.runtime.errors import InputError
from tests.fixtures.pixel_meshes import at_pixels, on, plain_camera
from tests.fixtures.triangulated_sphere import triangulated_sphere

QUAD = torch.tensor([[0, 1, 2], [0, 2, 3]])


def smooth_coverage(vertices: Tensor, triangles: Tensor, camera: Camera, backend: str) -> Tensor:
    """Coverage of each pixel (B, H, W) by the mesh, from anti-aliasing its mask."""
    fragments = rasterize(vertices, triangles, camera, backend)
    return antialias(
        fragments.mask[..., None].to(vertices.dtype), vertices, triangles, camera, fragments, backend
    )[..., 0]


def counted_coverage(
    vertices: Tensor, triangles: Tensor, camera: Camera, backend: str, factor: int
) -> Tensor:
    """Share of factor x factor samples in each pixel (B, H, W) that the mesh covers."""
    mask = rasterize(vertices, triangles, supersampled(camera, factor), backend).mask.double()
    return mask.unflatten(1, (-1, factor)).unflatten(3, (-1, factor)).mean(dim=(2, 4))


def rectangle(left: float, top: float, right: float, bottom: float, depth: float, size: int) -> Tensor:
    """Corners (4, 3) of a rectangle given in pixels, clockwise from the top left."""
    return at_pixels(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]), depth, size)


def cone(device: str) -> tuple[Tensor, Tensor, Camera]:
    """A closed cone of 28 large triangles with its tip towards the camera, 60 pixels wide."""
    azimuth = 2 * np.pi * np.arange(14) / 14
    rim = np.stack([0.07 * np.cos(azimuth), 0.07 * np.sin(azimuth), np.zeros(14)], axis=1)
    vertices = np.concatenate([rim, [[0, 0, 0.05], [0, 0, -0.01]]])
    here, following = np.arange(14), (np.arange(14) + 1) % 14
    triangles = np.concatenate([np.stack([here, following, np.full(14, tip)], axis=1) for tip in (14, 15)])
    camera = on(orbit_camera(yaw=torch.tensor([-0.3]), pitch=torch.tensor([0.2]), size=96), device)
    return torch.from_numpy(vertices).float()[None].to(device), torch.from_numpy(triangles).to(device), camera


def fine_sphere() -> tuple[Tensor, Tensor, Camera]:
    """A sphere of 6,000 vertices, 62 pixels wide: at its silhouette triangles are much thinner than pixels."""
    points, triangles = triangulated_sphere(6000)
    camera = orbit_camera(yaw=torch.tensor([-0.4]), pitch=torch.tensor([0.2]), size=96)
    return 0.07 * points[None], triangles, camera


@pytest.mark.parametrize("share", [0.2, 0.45, 0.7, 0.95])
@pytest.mark.parametrize("upright", [True, False], ids=["upright", "level"])
def test_a_straight_edge_gives_each_pixel_its_covered_share(
    backend: tuple[str, str], share: float, upright: bool
) -> None:
    name, device = backend
    size, first, last = 12, 2.3, 6.5 + share  # covers 0.2 of pixel 2, share of pixel 7
    reach = (first, -9.0, last, size + 9.0) if upright else (-9.0, first, size + 9.0, last)
    corners = rectangle(*reach, depth=2.0, size=size)[None].to(device)
    got = smooth_coverage(corners, QUAD.to(device), plain_camera(size, device=device), name)[0].cpu()
    pixel = torch.arange(float(size))
    expected = ((pixel + 0.5).clamp(max=last) - (pixel - 0.5).clamp(min=first)).clamp(0).expand(size, size)
    assert torch.allclose(got, expected if upright else expected.T, atol=1e-3)


def test_the_edge_of_a_near_surface_mixes_its_colour_with_what_is_behind(backend: tuple[str, str]) -> None:
    name, device = backend
    size = 10
    near, wall = rectangle(-9, -9, 4.8, 20, 1.0, size), rectangle(-30, -30, 40, 40, 3.0, size)
    colours = torch.tensor([[0.9, 0.1, 0.4]] * 4 + [[0.2, 0.6, 0.3]] * 4, device=device)
    camera = plain_camera(size, device=device)
    vertices = torch.cat([near, wall])[None].to(device)
    triangles = torch.cat([QUAD, QUAD + 4]).to(device)
    for order in (triangles, triangles.flip(0), triangles.flip(1)):
        fragments = rasterize(vertices, order, camera, name)
        image = interpolate(colours, order, fragments)
        got = antialias(image, vertices, order, camera, fragments, name)[0].cpu()
        mixed = 0.3 * colours[0].cpu() + 0.7 * colours[4].cpu()  # 4.8 covers 0.3 of pixel 5
        assert torch.allclose(got[:, 5], mixed.expand(size, 3), atol=1e-3)
        others = [0, 1, 2, 3, 4, 6, 7, 8, 9]
        assert torch.equal(got[:, others], image[0].cpu()[:, others])


@pytest.mark.parametrize("turn_rad", [0.0, 0.25, 0.6, 1.1])
def test_the_gradient_of_area_by_an_edge_is_the_length_of_the_edge(
    backend: tuple[str, str], turn_rad: float
) -> None:
    name, device = backend
    size, half = 96, 30.3
    turn = np.array([[np.cos(turn_rad), np.sin(turn_rad)], [-np.sin(turn_rad), np.cos(turn_rad)]])
    square = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) @ turn + 47.6
    outwards = np.array([1.0, 0.0]) @ turn  # normal of the edge from corner 1 to corner 2
    camera = plain_camera(size, device=device)
    focal = camera.focal_px

    def moved(steps: Tensor) -> Tensor:
        shift = torch.from_numpy(outwards * [1, -1] / focal).to(steps)
        pushed = torch.tensor([0.0, 1, 1, 0], dtype=steps.dtype, device=device)[:, None] * steps * shift
        return (at_pixels(square, 1.0, size).to(steps) + torch.nn.functional.pad(pushed, (0, 1)))[None]

    steps = torch.zeros((), device=device, requires_grad=True)
    smooth_coverage(moved(steps), QUAD.to(device), camera, name).sum().backward()
    before, after = (
        counted_coverage(moved(torch.tensor(s, device=device)), QUAD.to(device), camera, name, 8).sum().item()
        for s in (-1.0, 1.0)
    )
    assert steps.grad is not None
    assert (after - before) / 2 == pytest.approx(2 * half, rel=0.01)  # the reference itself
    assert steps.grad.item() == pytest.approx(2 * half, rel=0.03)  # a row more or less at either end


def test_the_gradient_of_area_by_size_is_that_of_finite_differences(backend: tuple[str, str]) -> None:
    name, device = backend
    assert_area_grows_as_counted(*cone(device), name)


def test_a_slanted_silhouette_is_nearer_to_its_coverage_than_without(backend: tuple[str, str]) -> None:
    name, device = backend
    assert_nearer_to_coverage_than_without(*cone(device), name)


def assert_area_grows_as_counted(vertices: Tensor, triangles: Tensor, camera: Camera, name: str) -> None:
    scale = torch.ones((), device=vertices.device, requires_grad=True)
    smooth_coverage(vertices * scale, triangles, camera, name).sum().backward()
    before, after = (
        counted_coverage(vertices * s, triangles, camera, name, 8).sum().item() for s in (0.97, 1.03)
    )
    assert scale.grad is not None
    assert scale.grad.item() == pytest.approx((after - before) / 0.06, rel=0.05)


def assert_nearer_to_coverage_than_without(
    vertices: Tensor, triangles: Tensor, camera: Camera, name: str
) -> None:
    truth = counted_coverage(vertices, triangles, camera, name, 16)
    stairs = (rasterize(vertices, triangles, camera, name).mask.double() - truth).abs()
    smooth = (smooth_coverage(vertices, triangles, camera, name).double() - truth).abs()
    assert stairs.max() > 0.45
    assert smooth.sum() < stairs.sum() / 3 and smooth.max() < 0.3


def test_triangles_may_be_finer_than_pixels_on_the_cpu() -> None:
    assert_area_grows_as_counted(*fine_sphere(), "numba")
    assert_nearer_to_coverage_than_without(*fine_sphere(), "numba")


def test_pixels_away_from_silhouettes_are_unchanged(backend: tuple[str, str]) -> None:
    name, device = backend
    vertices, triangles, camera = cone(device)
    fragments = rasterize(vertices, triangles, camera, name)
    image = torch.rand(1, 96, 96, 3, generator=torch.Generator().manual_seed(0)).to(device)
    got = antialias(image, vertices, triangles, camera, fragments, name)
    mask = torch.nn.functional.pad(fragments.mask.float(), (1, 1, 1, 1), mode="replicate")
    neighbours = (mask[:, :-2, 1:-1], mask[:, 2:, 1:-1], mask[:, 1:-1, :-2], mask[:, 1:-1, 2:])
    alike = (torch.stack(neighbours) == fragments.mask).all(
        dim=0
    )  # all four neighbours are in, or all are out
    assert torch.equal(got[alike], image[alike])
    assert (got[~alike] != image[~alike]).any(-1).float().mean() > 0.4  # one of the two at each crossing


def fold(apex_px: float, size: int) -> tuple[Tensor, Tensor]:
    """Two triangles with the edge x = 5.2 in common; one reaches far to the left, the other to ``apex_px``."""
    pixels = np.array([[5.2, -200.0], [5.2, 200.0], [-300.0, 5.0], [apex_px, 5.0]])
    return at_pixels(pixels, np.array([2.0, 2.0, 2.0, 3.0]), size)[None], torch.tensor([[0, 1, 2], [1, 0, 3]])


def test_an_inner_edge_is_not_blended_and_a_fold_is(
    backend: tuple[str, str],
) -> None:
    name, device = backend
    size = 10
    camera = plain_camera(size, device=device)
    image = torch.zeros(1, size, size, 1, device=device)
    image[:, :, 6:] = 1.0  # another colour beyond the edge
    for apex_px, changes in ((300.0, False), (-300.0, True)):
        vertices, triangles = (tensor.to(device) for tensor in fold(apex_px, size))
        fragments = rasterize(vertices, triangles, camera, name)
        assert fragments.mask[:, :, 6:].all() != changes
        got = antialias(image, vertices, triangles, camera, fragments, name)
        expected = image.clone()
        if changes:
            expected[:, :, 5] = 0.3  # 5.2 leaves 0.3 of pixel 5 to the other colour
        assert torch.allclose(got, expected, atol=1e-3)


def test_a_batch_equals_its_items_one_by_one(backend: tuple[str, str]) -> None:
    name, device = backend
    size = 24
    triangles = torch.arange(12, device=device).reshape(4, 3)
    rng = np.random.default_rng(0)
    items = [at_pixels(rng.uniform(0, size, (12, 2)), rng.uniform(1, 2, 12), size) for _ in range(3)]
    vertices = torch.stack(items).to(device)
    together = smooth_coverage(vertices, triangles, plain_camera(size, 3, device), name)
    for item, got in zip(vertices, together, strict=True):
        single = smooth_coverage(item[None], triangles, plain_camera(size, device=device), name)[0]
        assert torch.allclose(got, single, atol=1e-6)


def test_silhouettes_have_the_gradients_of_finite_differences_in_vertices_and_image() -> None:
    size = 7
    pixels = np.array([[0.83, 0.71], [5.64, 1.37], [2.32, 5.81], [-9.0, -9.0], [30.0, -9.0], [-9.0, 30.0]])
    vertices = at_pixels(pixels, np.array([1.0, 1.4, 1.2, 3.0, 3.0, 4.0]), size).double()[None]
    triangles = torch.arange(6).reshape(2, 3)
    camera = plain_camera(size)
    camera = Camera(
        camera.rotation.double(), camera.translation.double(), camera.focal_px, camera.principal_px, size
    )
    fragments = rasterize(vertices, triangles, camera, "numba")
    image = torch.rand(1, size, size, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def smoothed(image: Tensor, vertices: Tensor) -> Tensor:
        return antialias(image, vertices, triangles, camera, fragments, "numba")

    assert torch.autograd.gradcheck(smoothed, (image.requires_grad_(), vertices.requires_grad_()))
    (gradient,) = torch.autograd.grad(smoothed(image, vertices).sum(), vertices)
    assert (gradient[0, :3].abs().sum(-1) > 0).all() and (gradient[0, 3:] == 0).all()


@pytest.mark.parametrize("at_px", [4.0, 3.9999, 4.0001, 4.0004, 4.5])
@pytest.mark.parametrize("upright", [True, False], ids=["upright", "level"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_an_edge_at_or_near_pixel_centres_has_the_right_coverage(
    at_px: float, upright: bool, before: bool
) -> None:
    size = 9
    span = (-9.0, at_px) if before else (at_px, 20.0)  # the body lies before the edge, or after it
    reach = (span[0], -9.0, span[1], 20.0) if upright else (-9.0, span[0], 20.0, span[1])
    got = smooth_coverage(rectangle(*reach, depth=2.0, size=size)[None], QUAD, plain_camera(size), "numba")[0]
    line = got[2] if upright else got[:, 2]
    assert line[4].item() == pytest.approx(at_px - 3.5 if before else 4.5 - at_px, abs=1e-5)
    assert line.sum().item() == pytest.approx(at_px + 0.5 if before else 8.5 - at_px, abs=1e-5)


def test_the_neighbour_across_an_edge_is_the_drawn_triangle_on_its_other_side() -> None:
    points = torch.tensor([[[0.0, 0], [4, 0], [0, 4], [4, 4]]], dtype=torch.float64)
    triangles = torch.tensor([[0, 1, 2], [1, 3, 2]])  # edge 1 - 2 is shared
    both, first = torch.tensor([[True, True]]), torch.tensor([[True, False]])
    assert neighbours_across_edges(points, triangles, both).tolist() == [[[-1, 1, -1], [-1, -1, 0]]]
    assert neighbours_across_edges(points, triangles, first)[0, 0].tolist() == [-1, -1, -1]
    points[0, 3] = 1.0  # fold corner 3 back over the edge
    assert neighbours_across_edges(points, triangles, both).tolist() == [[[-1, -1, -1], [-1, -1, -1]]]


def test_a_triangle_that_reaches_behind_the_camera_is_no_neighbour() -> None:
    size = 10
    vertices = torch.cat([rectangle(-9, -9, 5.2, 20, 2.0, size), torch.tensor([[4.0, 0.0, 1.0]])])[None]
    triangles = torch.cat([QUAD, torch.tensor([[1, 4, 2]])])  # the third shares the edge at 5.2
    got = smooth_coverage(vertices.requires_grad_(), triangles, plain_camera(size), "numba")
    assert torch.allclose(got[0, :, 5], torch.tensor(0.7), atol=1e-3)
    got.sum().backward()
    assert vertices.grad is not None and vertices.grad.isfinite().all()


def test_fragments_turn_back_into_the_buffer_that_nvdiffrast_documents() -> None:
    size = 16
    pixels = np.array([[0.5, 1.0], [14.0, 2.0], [3.0, 14.5]])
    vertices, triangles = at_pixels(pixels, np.array([1.0, 1.5, 2.5]), size)[None], torch.tensor([[2, 0, 1]])
    camera = plain_camera(size)
    fragments = rasterize(vertices, triangles, camera, "numba")
    clip = clip_positions(camera.to_camera(vertices), camera)
    buffer = raster_buffer(clip, triangles, fragments)
    hit = fragments.mask
    u, v, z_over_w, number = buffer[hit].unbind(-1)
    assert hit.sum() > 50 and (buffer[~hit] == 0).all() and (number == 1).all()
    weights = torch.stack([u, v, 1 - u - v], dim=-1)
    at = (weights[..., None] * clip[0][triangles[0]]).sum(
        dim=1
    )  # (P, 4): the points of the fragments in clip space
    rows, columns = hit[0].nonzero(as_tuple=True)
    assert torch.allclose((at[:, 0] / at[:, 3] + 1) / 2 * size - 0.5, columns.float(), atol=1e-3)
    assert torch.allclose((at[:, 1] / at[:, 3] + 1) / 2 * size - 0.5, rows.float(), atol=1e-3)
    assert torch.allclose(at[:, 3], fragments.depth[hit], atol=1e-5)
    assert torch.allclose(at[:, 2] / at[:, 3], z_over_w, atol=1e-5)


def test_missing_nvdiffrast_is_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nvdiffrast", None)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", None)
    vertices, triangles, camera = cone("cpu")
    fragments = rasterize(vertices, triangles, camera, "numba")
    with pytest.raises(InputError, match="diffrp-nvdiffrast.*numba") as caught:
        antialias(torch.zeros(1, 96, 96, 1), vertices, triangles, camera, fragments, "nvdiffrast")
    assert "\n" not in str(caught.value)
