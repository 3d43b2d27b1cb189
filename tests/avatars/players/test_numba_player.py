"""The numba player against closed forms, and against a brute-force one that tests every triangle."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from anifacegan.avatars.players.numba_player import entered_triangles, play, visible_triangles
from anifacegan.avatars.players.view import View
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.conventions import FOV_DEG
from anifacegan.geometry.rasterization.numba_kernels import draw_triangles
from anifacegan.geometry.rays import image_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering.sharp_edges import mean_weight
from anifacegan.rendering.volume import render_rays
from anifacegan.runtime.cpu import torch_threads
from tests.fixtures.closed_forms import stay
from tests.fixtures.flat_avatars import (
    Layer,
    as_planes,
    brute_force_view,
    bumpy_layer,
    layered_mesh_of,
    square,
    together,
)

FLOAT = 2e-5
"""Tolerance of about ten float32 roundings (6e-8 each, of values about 1) and of the texture coordinates' error."""
MIDDLE = np.s_[:, 4, 4]
"""The middle pixel of 9 x 9, whose ray runs along -z through the origin."""


def frontal(*layers: Layer, **changes: object) -> np.ndarray:
    """(8, 9, 9)"""
    layered_mesh = layered_mesh_of(*layers, **changes)
    return as_planes(play(layered_mesh, layered_mesh.neutral, yaw=0.0, pitch=0.0, size=9))


# --------------------------------------------------------------------------------------------------- closed forms
def test_a_half_transparent_square_lets_half_of_the_background_through() -> None:
    rgba = np.array([100, 50, 20, 128])
    image = frontal(square(0.05, tuple(rgba), half=0.03))
    tan = math.tan(math.radians(FOV_DEG / 2)) * np.linspace(-1, 1, 9)
    dx, dy = np.meshgrid(tan, -tan)
    length = np.sqrt(dx**2 + dy**2 + 1)
    inside = np.maximum(abs(dx), abs(dy)) * (1 - 0.05) < 0.03
    assert 4 < inside.sum() < 60
    opacity = np.where(inside, 128 / 255, 0)
    colour = np.where(inside, rgba[:3, None, None] / 255, 0)
    expected = [
        *(colour + (1 - opacity) * 0.2), opacity, *colour, length * (opacity * (1 - 0.05) + (1 - opacity) * 1.12)
    ]  # fmt: skip
    np.testing.assert_allclose(image, expected, atol=FLOAT)


def test_two_layers_blend_from_the_outermost_inwards() -> None:
    near, far = (60, 90, 30, 102), (20, 10, 70, 153)
    image = frontal(square(0.05, near), square(0.02, far))[MIDDLE]
    front, back = np.array(near) / 255, np.array(far) / 255
    rgb = front[:3] + (1 - front[3]) * (back[:3] + (1 - back[3]) * 0.2)
    depth = front[3] * 0.95 + (1 - front[3]) * (back[3] * 0.98 + (1 - back[3]) * 1.12)
    np.testing.assert_allclose(image[:3], rgb, atol=FLOAT)
    np.testing.assert_allclose(image[3], 1 - (1 - front[3]) * (1 - back[3]), atol=FLOAT)
    np.testing.assert_allclose(image[7], depth, atol=FLOAT)


def test_an_opaque_layer_hides_what_is_behind_it() -> None:
    single, over_another = frontal(square(0.05)), frontal(square(0.05), square(0.02, (255, 255, 255, 255)))
    np.testing.assert_array_equal(single[MIDDLE], over_another[MIDDLE])
    assert single[3, 4, 4] == 1


def test_only_the_nearest_point_of_a_layer_is_visible() -> None:
    """A transparent part of a layer occludes what the same ray would meet farther off on that layer."""
    clear, coloured = square(0.06, (0, 0, 0, 0)), square(0.03, (255, 0, 0, 255))
    texture = np.concatenate([np.zeros((2, 4, 4), np.uint8), coloured.texture[:2]])
    at_top, at_bottom = np.zeros((4, 2), np.float32), np.full((4, 2), 3, np.float32)
    layer = together(replace(clear, texels=at_top, texture=texture), replace(coloured, texels=at_bottom))
    assert frontal(layer)[3, 4, 4] == 0
    turned = together(replace(clear, texels=at_bottom, texture=texture), replace(coloured, texels=at_top))
    image = frontal(turned)
    assert image[3, 4, 4] == 1 and image[7, 4, 4] == pytest.approx(0.94)


def test_triangles_are_not_seen_from_behind() -> None:
    assert (frontal(square(0.05, outwards=False))[3] == 0).all()


@pytest.mark.parametrize(
    ("z", "ray_sampling", "is_seen"),
    [
        (0.11, RaySamplingConfig(near=0.88), True),
        (0.13, RaySamplingConfig(near=0.88), False),  # nearer than the nearest sample
        (-0.04, RaySamplingConfig(far=1.05), True),
        (-0.06, RaySamplingConfig(far=1.05), False),  # beyond its end
        (-0.11, RaySamplingConfig(far=1.3), True),
        (-0.13, RaySamplingConfig(far=1.3), False),  # behind the background
        (-0.04, RaySamplingConfig(far=1.3, background_z=-0.03), False),
    ],
)
def test_a_layer_is_visible_between_near_and_far_before_the_background(
    z: float, ray_sampling: RaySamplingConfig, is_seen: bool
) -> None:
    assert frontal(square(z), ray_sampling=ray_sampling)[3, 4, 4] == is_seen


def test_a_thin_layer_is_visible_only_where_a_ray_sample_is_inside() -> None:
    """As in the networks' renderer, which finds manifolds between samples of a ray."""
    ray_sampling = RaySamplingConfig(samples=13)  # every 0.02
    rng = np.random.default_rng(1)
    counts = {True: 0, False: 0}
    for middle, thick in zip(rng.uniform(-0.05, 0.1, 60), rng.uniform(0.002, 0.035, 60), strict=True):
        front, back = middle + thick / 2, middle - thick / 2
        slab = together(square(front), square(back, outwards=False))
        played = frontal(slab, ray_sampling=ray_sampling)[3, 4, 4]
        fields = ConditionedFields(
            stay,
            lambda x, middle=middle: (x[..., 2] - middle).abs(),
            lambda x: (0 * x, torch.ones_like(x[..., 0])),
            torch.tensor([thick / 2], dtype=torch.float64),
            ray_sampling,
        )
        angle = torch.zeros(1, dtype=torch.float64)
        seen = bool(render_rays(fields, image_rays(yaw=angle, pitch=angle, size=9)).hit[0, 40, 0])
        assert played == seen, (middle, thick)
        counts[seen] += 1
    assert min(counts.values()) > 10


def test_the_background_lies_on_its_plane_the_first_row_at_the_top() -> None:
    """Red rises with x, green with y; and the edge is repeated beyond."""
    ramp = np.arange(256)
    red, green = np.meshgrid(ramp, 255 - ramp)
    background = np.stack([red, green, np.full_like(red, 7)], -1).astype(np.uint8)
    layered_mesh = replace(layered_mesh_of(square(0.5), background=background), background_reach=0.1)
    for yaw, pitch in ((0.0, 0.0), (0.4, 0.2), (-0.3, -0.5)):
        image = as_planes(play(layered_mesh, layered_mesh.neutral, yaw=yaw, pitch=pitch, size=9))
        angles = torch.tensor([[pitch, yaw]], dtype=torch.float64)
        rays = image_rays(yaw=angles[:, 1], pitch=angles[:, 0], size=9)
        t = (-0.12 - rays.origins[..., 2]) / rays.directions[..., 2]
        x, y, _ = rays.at(t[..., None])[0, :, 0].T.reshape(3, 9, 9)
        assert (abs(x) > 0.1).any() and (abs(x) < 0.1).any()
        np.testing.assert_allclose(image[0], ((x / 0.1 + 1) / 2).clamp(0, 1), atol=FLOAT)
        np.testing.assert_allclose(image[1], ((y / 0.1 + 1) / 2).clamp(0, 1), atol=FLOAT)
        np.testing.assert_allclose(image[7], t.reshape(9, 9), atol=FLOAT)


# ------------------------------------------------------------------------------------------------- any other image
VIEWS = [(0.0, 0.0, 8), (0.5, 0.1, 12), (-0.7, -0.3, 9)]


@pytest.mark.parametrize(("yaw", "pitch", "size"), VIEWS)
def test_bumpy_layers_look_as_a_brute_force_player_draws_them(yaw: float, pitch: float, size: int) -> None:
    rng = np.random.default_rng(size + 10)
    layers, background = [bumpy_layer(z, rng) for z in (0.07, 0.05, 0.0)], rng.integers(0, 256, (5, 5, 3))
    layered_mesh = layered_mesh_of(*layers, background=background.astype(np.uint8))
    expected = brute_force_view(layered_mesh, yaw=yaw, pitch=pitch, size=size)
    assert 0.2 < (expected.planes[3] > 0.3).mean() and (expected.entered >= 0).any((1, 2)).all()
    np.testing.assert_allclose(
        as_planes(play(layered_mesh, layered_mesh.neutral, yaw=yaw, pitch=pitch, size=size)),
        expected.planes,
        atol=2e-4,
    )
    view = View(yaw=yaw, pitch=pitch, size=size, fov_deg=FOV_DEG)
    entered = entered_triangles(
        layered_mesh.vertices, layered_mesh.triangles, layered_mesh.layer_starts, view
    )
    np.testing.assert_array_equal(entered, expected.entered)
    np.testing.assert_array_equal(
        visible_triangles(layered_mesh, layered_mesh.neutral, yaw=yaw, pitch=pitch, size=size)[0],
        expected.seen,
    )


def test_folded_layers_with_insides_look_as_a_brute_force_player_draws_them() -> None:
    """Closed, thin shapes, of which a ray may miss a corner between two samples of a ray."""
    rng = np.random.default_rng(5)
    layers = []
    for z in (0.07, 0.04):
        front = bumpy_layer(z, rng, bump=0.012)
        back = replace(
            front, vertices=front.vertices - np.float32([0, 0, 0.012]), triangles=front.triangles[:, ::-1]
        )
        layers.append(together(front, back))
    layered_mesh = layered_mesh_of(*layers, ray_sampling=RaySamplingConfig(samples=13))
    dense = replace(layered_mesh, ray_sampling=RaySamplingConfig(samples=600))
    coarse, fine = (
        brute_force_view(layered_mesh, yaw=0.4, pitch=0.2, size=12),
        brute_force_view(dense, yaw=0.4, pitch=0.2, size=12),
    )
    assert (abs(coarse.planes - fine.planes).max(0) > 0.02).sum() > 20  # the samples matter here
    np.testing.assert_allclose(
        as_planes(play(layered_mesh, layered_mesh.neutral, yaw=0.4, pitch=0.2, size=12)),
        coarse.planes,
        atol=2e-4,
    )


def test_neighbouring_triangles_leave_no_cracks_and_do_not_overlap() -> None:
    rng = np.random.default_rng(3)
    net = bumpy_layer(0.03, rng, lines=14, half=0.2, bump=0.004)  # larger than the image
    for opacity in (255, 128):
        net.texture[...] = opacity
        layered_mesh = layered_mesh_of(net)
        foreground = as_planes(play(layered_mesh, layered_mesh.neutral, yaw=0.2, pitch=0.1, size=64))[3]
        np.testing.assert_allclose(foreground, opacity / 255, atol=1e-6)


def test_triangles_by_which_rays_leave_a_visible_layer_are_marked() -> None:
    front, back = square(0.05), square(0.0, outwards=False)
    layered_mesh = layered_mesh_of(together(front, back), square(-0.05))
    seen, left, _ = visible_triangles(layered_mesh, layered_mesh.neutral, yaw=0.0, pitch=0.0, size=33)
    assert seen.tolist() == [True, True, False, False, False, False]  # the opaque front hides the last
    assert left.tolist() == [False, False, True, True, False, False]


def test_texel_offsets_move_a_vertex_on_its_texture() -> None:
    texture = np.zeros((4, 4, 4), np.uint8)
    texture[:, :2], texture[:, 2:] = (255, 0, 0, 255), (0, 255, 0, 255)
    layer = replace(square(0.05), texture=texture, texels=np.zeros((4, 2), np.float32))
    layered_mesh = replace(
        layered_mesh_of(layer),
        z_exp=np.eye(1, 64, dtype=np.float32),
        blendshapes=np.zeros((1, 1, 4, 3), np.float32),
        texel_offsets=np.tile(np.float32([3, 0]), (1, 1, 4, 1)),
    )
    colours = [
        as_planes(
            play(layered_mesh, layered_mesh.posed(w * layered_mesh.z_exp[0]), yaw=0.0, pitch=0.0, size=9)
        )[:3, 4, 4]
        for w in (0, 1)
    ]
    np.testing.assert_allclose(colours, [[1, 0, 0], [0, 1, 0]], atol=1e-6)


def test_the_depth_of_a_sliver_is_between_those_of_its_corners() -> None:
    """Coverage is decided on a grid of 1/1024 px: a sliver covers pixels that are a little outside, where its plane
    would have any depth.
    """
    rng = np.random.default_rng(0)
    tan = math.tan(math.radians(FOV_DEG / 2))
    slivers = []
    for _ in range(1500):
        # Corners whose pixels lie almost on a line through the middle pixel of 9 x 9, at very different depths.
        way, shift = rng.normal(size=2), rng.normal(size=2) * 2e-4
        along = np.sort(rng.uniform(-3, 3, 3))
        off = rng.normal(size=(3, 2)) * 10.0 ** rng.uniform(-7, -3.5)
        px = along[:, None] * way / np.linalg.norm(way) + shift + off
        depth = rng.uniform(0.9, 1.1, 3)
        slivers.append(np.column_stack([px * (1, -1) * (tan / 4) * depth[:, None], 1 - depth]))
    vertices, count = np.concatenate(slivers).astype(np.float32), len(slivers)
    texels, texture = np.array([[0, 0], [3, 0], [0, 3]], np.float32), np.full((4, 4, 4), 255, np.uint8)
    view = View(yaw=0.0, pitch=0.0, size=9, fov_deg=FOV_DEG)
    for order in ([0, 1, 2], [0, 2, 1]):
        # Each sliver is a layer of its own; those that cover the middle pixel are drawn.
        triangles = (3 * np.arange(count)[:, None] + order).astype(np.int32)
        entered = entered_triangles(vertices, triangles, np.arange(count + 1, dtype=np.int32), view)[:, 4, 4]
        assert (entered >= 0).sum() > 10
        for corners in vertices.reshape(-1, 3, 3)[entered >= 0]:
            layer = Layer(corners, np.array([order], np.int32), texels, texture)
            layered_mesh = layered_mesh_of(layer, ray_sampling=RaySamplingConfig(near=0.5, far=1.11))
            image = as_planes(play(layered_mesh, layered_mesh.neutral, yaw=0.0, pitch=0.0, size=9))
            assert np.isfinite(image).all() and image[3, 4, 4] == 1
            assert 1 - corners[:, 2].max() - 1e-3 < image[7, 4, 4] < 1 - corners[:, 2].min() + 1e-3


@pytest.mark.parametrize("threads", [2, 3])
def test_one_thread_and_several_draw_the_same(threads: int) -> None:
    rng = np.random.default_rng(2)
    layered_mesh = layered_mesh_of(*(bumpy_layer(z, rng) for z in (0.07, 0.05, 0.0)))
    images = []
    for count in (1, threads):
        with torch_threads(count):
            images.append(as_planes(play(layered_mesh, layered_mesh.neutral, yaw=0.3, pitch=0.1, size=33)))
    np.testing.assert_array_equal(*images)


def test_triangles_are_those_of_the_rasterizer() -> None:
    """Small and large ones, of both orientations, some behind the camera, some with corners that are not numbers."""
    rng = np.random.default_rng(0)
    size, count = 61, 400
    tan = math.tan(math.radians(FOV_DEG / 2))
    centres = rng.uniform(-1.2, 1.2, (count, 1, 2))
    places = centres + rng.normal(0, 0.03, (count, 3, 2)) * rng.choice([1, 12], (count, 1, 1))
    depth = rng.uniform(0.8, 1.2, (count, 3, 1))
    vertices = np.concatenate([tan * places * depth, 1 - depth], axis=-1).reshape(-1, 3).astype(np.float32)
    vertices[21, 2], vertices[24, 0], vertices[27, 1] = 2.0, np.nan, 1e30
    triangles = np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    view = View(yaw=0.0, pitch=0.0, size=size, fov_deg=FOV_DEG)
    found = entered_triangles(vertices, triangles, np.array([0, count], np.int32), view)[0]

    camera = orbit_camera(yaw=torch.zeros(1), pitch=torch.zeros(1), size=size, fov_deg=FOV_DEG)
    projected = camera.pixels(camera.to_camera(torch.from_numpy(vertices)[None]))
    x_px, y_px, inverse_depth = (values[0].numpy() for values in projected)
    corners = np.stack([x_px, y_px], axis=-1)[triangles]
    to_c, to_b = corners[:, 2] - corners[:, 0], corners[:, 1] - corners[:, 0]
    outside = to_b[:, 0] * to_c[:, 1] - to_b[:, 1] * to_c[:, 0] < 0
    expected, nearest = np.full((size, size), -1, np.int32), np.zeros((size, size), np.float32)
    draw_triangles(x_px, y_px, inverse_depth, triangles[outside], expected, nearest)
    expected = np.where(expected >= 0, np.flatnonzero(outside)[expected], -1)
    assert 100 < len(np.unique(expected))
    assert (found != expected).mean() < 0.002  # projected by other operations, rounded to 1/1024 px


# ------------------------------------------------------------------------------------------------- smooth outlines
@pytest.mark.parametrize("size", [2, 31, 64])
def test_smooth_outlines_leave_the_other_pixels_alone(size: int) -> None:
    """Corners are rounded to a 256th of a pixel, which is half as wide in the doubled image: an edge may pass a centre
    on its other side."""
    layered_mesh = layered_mesh_of(
        square(0.05, (250, 40, 20, 255), half=0.031), square(0.02, (10, 200, 70, 128))
    )
    plain, smooth = (
        as_planes(
            play(layered_mesh, layered_mesh.neutral, yaw=0.2, pitch=0.1, size=size, antialias=antialias)
        )
        for antialias in (False, True)
    )
    weight = mean_weight(torch.from_numpy(plain)).numpy()
    assert (abs(plain - smooth)[:, weight == 0].max(axis=0) > 0.01).sum() <= 2
    assert (abs(plain - smooth)[7] > 1e-4).sum() <= 2
    if size > 2:
        assert (plain != smooth)[:7, weight > 0].any(axis=0).mean() > 0.5


def test_smooth_outlines_are_nearer_to_the_mean_over_the_pixel() -> None:
    layered_mesh = layered_mesh_of(square(0.05, (250, 40, 20, 255), half=0.031))

    def drawn(size: int, antialias: bool = False) -> np.ndarray:
        view = {"yaw": 0.2, "pitch": 0.1, "size": size, "antialias": antialias}
        return as_planes(play(layered_mesh, layered_mesh.neutral, **view))

    # 7 samples a pixel in each direction; the outermost pixels, of which half is missing, do not count.
    fine = torch.from_numpy(drawn(7 * 159 + 1))[None, :7]
    exact = torch.nn.functional.avg_pool2d(fine[..., 4:-4, 4:-4], 7)[0].numpy()
    plain, smooth = (abs(drawn(160, antialias)[:7, 1:-1, 1:-1] - exact).mean() for antialias in (False, True))
    assert smooth < 0.5 * plain
