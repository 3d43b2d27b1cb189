"""The adaptive renderer draws the brute-force renderer's image from fewer evaluations.

Colours and opacity may differ by what hidden or hardly visible manifolds add: 1/4096 of the light behind the last
point, and 1e-7 of each manifold that is skipped. Distances may differ by the same shares of the sampled depth range.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering import adaptive_tracing
from anifacegan.rendering.adaptive import render_adaptive
from anifacegan.rendering.adaptive_cells import CELL_SIZE
from anifacegan.rendering.adaptive_tracing import MIN_TRANSMITTANCE
from anifacegan.rendering.model import Face, Model, load_model
from anifacegan.rendering.volume import in_slices
from anifacegan.runtime.cpu import torch_threads
from benchmarks.brute_force_renderer import brute_force_colours
from tests.fixtures.closed_forms import (
    bumpy_fields,
    camera_rays,
    constant_step,
    distance_to,
    numbers,
    spheres,
)
from tests.fixtures.small_models import SMALL, WITH_PLANES, small_checkpoint

STEP = 1 / 255
"""Of an 8-bit image."""
ROUNDING = MIN_TRANSMITTANCE
"""Slices and threads give BLAS products of other shapes, whose sums are added in another order. In float32 a sine's
argument of up to 36 is off by 36 * 2^-24 = 2e-6; two more layers (rows of |W| sum to 6 at most), the density head
(0.28) and the small model's density (300 * 0.04) make up to 2.3e-4 of it. A ray that ends a crossing earlier loses
1/4096."""
DEPTH = 1e-4
"""World units: 1/4096 of the light may come from the other end of the sampled range, 0.24 away; and float32."""
STRIDES = [1, 2, 3, 5]


def assert_same_image(fields: ConditionedFields, rays: Rays, size: int, stride: int | None) -> Tensor:
    expected = brute_force_colours(fields, rays).T.reshape(8, size, size)
    seen = render_adaptive(fields, rays, size, stride)
    torch.testing.assert_close(seen[:7], expected[:7], atol=0.6 * STEP, rtol=0)
    torch.testing.assert_close(seen[7], expected[7], atol=DEPTH, rtol=0)
    return expected


def close_rays(*, yaw: float, pitch: float, size: int, stride: int) -> Rays:
    """Of a view so narrow that every ``stride``-th ray is as far from the next as in an image of a head."""
    width = CELL_SIZE / stride * (size - 1)
    fov_deg = math.degrees(2 * math.atan(width / 2))
    return image_rays(yaw=numbers(yaw), pitch=numbers(pitch), size=size, fov_deg=fov_deg)


@pytest.fixture(scope="module", params=[SMALL, WITH_PLANES], ids=["paper", "planes"])
def small(request: pytest.FixtureRequest) -> Face:
    return Model(small_checkpoint(config=request.param)).face(seed=7, expression="smile")


@torch.no_grad()
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize(("pitch", "yaw"), [(0.0, 0.0), (0.2, -0.7)])
def test_networks_give_the_brute_force_image(small: Face, stride: int, pitch: float, yaw: float) -> None:
    rays = close_rays(yaw=yaw, pitch=pitch, size=48, stride=stride)
    rays = Rays(rays.origins.float(), rays.directions.float())
    image = assert_same_image(small.fields, rays, 48, stride)
    assert image[:3].std() > 0.01 and image[3].max() > 0.02


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_s_may_rise_and_fall(stride: int, gain: float) -> None:
    fields = bumpy_fields(0.09, 0.04, 0.0, -0.06, radiance_offset_gain=gain)
    fields = dataclasses.replace(fields, align=lambda x: 0.005 * (30 * x).cos())
    assert_same_image(fields, close_rays(yaw=-0.4, pitch=0.2, size=61, stride=stride), 61, stride)


@pytest.mark.parametrize("stride", STRIDES)
def test_rays_that_graze_spheres_and_rays_that_miss_them(stride: int) -> None:
    """The rims of three spheres are inside the image; the smallest one is hidden in part."""
    fields = spheres(0.09, 0.05, 0.02, offset=constant_step(0.01, 0.0, 0.0))
    image = assert_same_image(fields, camera_rays(yaw=0.3, pitch=0.1, size=40), 40, stride)
    assert len(image[3].round(decimals=3).unique()) == 4  # none, one, two and three manifolds


@pytest.mark.parametrize("stride", STRIDES)
def test_behind_the_background_is_nothing(stride: int) -> None:
    """The last sphere is cut by the background's plane."""
    fields = spheres(0.09, 0.07, scalar=distance_to(0, 0, -0.16), ray_sampling=RaySamplingConfig(far=1.2))
    rays = camera_rays(yaw=0.2, pitch=0.0, size=40)
    image = assert_same_image(fields, rays, 40, stride)
    assert image[7].max() < 1.2 and (image[3] == 0).any() and (image[3] > 0.7).any()


@pytest.mark.parametrize("stride", STRIDES)
def test_an_image_of_nothing_is_the_background(stride: int) -> None:
    offset_spheres = spheres(0.09, 0.07, scalar=distance_to(0, 5, 0))
    image = assert_same_image(offset_spheres, camera_rays(size=20), 20, stride)
    assert not image[3].any()


def counted(fields: ConditionedFields) -> tuple[ConditionedFields, dict[str, int]]:
    """Fields that count the points they are evaluated at, and the counts."""
    requested = {"offset": 0, "radiance": 0}

    def counting(name: str):
        def function(x: Tensor):
            requested[name] += x.shape[1]
            return getattr(fields, name)(x)

        return function

    return dataclasses.replace(fields, **{name: counting(name) for name in requested}), requested


def onion(opacity: float) -> ConditionedFields:
    """Ten spheres, wider than the image."""
    radii = torch.linspace(0.32, 0.23, 10, dtype=torch.float64)
    return spheres(
        *radii.tolist(),
        scalar=distance_to(0, 0, -0.25),
        radiance=lambda x: (0.5 + 0.5 * (40 * x).sin(), torch.full_like(x[..., 0], opacity)),
    )


def test_of_opaque_manifolds_only_the_first_is_evaluated_and_the_ray_ends_there() -> None:
    fields, requested = counted(onion(1.0))
    rays = close_rays(yaw=0.0, pitch=0.0, size=40, stride=4)
    seen = render_adaptive(fields, rays, 40, 1)
    assert requested["radiance"] == 1600 and requested["offset"] <= 1600 * 64 / 2
    requested.update(offset=0, radiance=0)
    torch.testing.assert_close(render_adaptive(fields, rays, 40, 4), seen, atol=1e-9, rtol=0)
    assert requested["radiance"] == 1600
    assert requested["offset"] <= 16 * 64 + 1600 * 8  # all samples of every 16th grid ray, few of the others


def test_transparent_manifolds_are_evaluated_on_grid_rays_only() -> None:
    fields, requested = counted(onion(1e-8))
    image = render_adaptive(fields, close_rays(yaw=0.0, pitch=0.0, size=40, stride=4), 40, 4)
    assert requested["radiance"] == 1600 + 121 * 10
    assert requested["offset"] <= 16 * 64 + 121 * 32  # rays inside cells are not looked at
    assert image[3].max() < 1e-4


@pytest.mark.parametrize("opacity", [0.01, 0.3, 0.9])
def test_an_image_loses_no_more_than_the_light_behind_the_last_point(opacity: float) -> None:
    rays = camera_rays(size=24)
    seen = render_adaptive(onion(opacity), rays, 24, 3)
    expected = brute_force_colours(onion(opacity), rays).T.reshape(8, 24, 24)
    assert (seen[:4] - expected[:4]).abs().max() < 1.01 * MIN_TRANSMITTANCE


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.0113, -0.0287), (-0.041, 0.052)])
def test_a_visible_spot_as_large_as_a_cell_is_rendered_wherever_it_is(place: tuple[float, float]) -> None:
    """Opaque, 5 pixels wide, on one manifold of many; it touches one grid ray, all of whose cells are rendered."""
    pixel = 0.21 / 95

    def radiance(x: Tensor) -> tuple[Tensor, Tensor]:
        far = (x[..., :2] - numbers(*place)).norm(dim=-1)
        radius = (x - numbers(0, 0, -0.25)).norm(dim=-1)
        inside = (far < 2.5 * pixel) & ((radius - 0.27).abs() < 0.003)
        return 0.5 + 0 * x, inside.double()

    fields = dataclasses.replace(onion(1.0), radiance=radiance)
    image = assert_same_image(fields, camera_rays(size=96), 96, 3)
    assert 10 < (image[3] > 0.5).sum() < 30


def test_a_ray_is_traced_on_its_own_where_the_corners_disagree() -> None:
    """A step of the manifold, 0.04 deep, through the middle of cells."""
    fields = spheres(0.0, scalar=lambda x: x[..., 2] + 0.04 * (x[..., 0] > 0.0031))
    assert_same_image(fields, camera_rays(yaw=0.1, pitch=0.0, size=40), 40, 4)


@pytest.mark.parametrize(
    "height", [lambda x: x[..., 2] + 0.04 * (x[..., 0] > -0.00105), lambda x: x[..., 2] + 2.5 * x[..., 0]]
)
def test_a_strip_that_is_visible_only_where_a_manifold_folds_or_is_steep_is_rendered(
    height: Callable[[Tensor], Tensor],
) -> None:
    """The same step, and a ramp, with a visible strip one pixel wide that no grid ray touches."""

    def radiance(x: Tensor) -> tuple[Tensor, Tensor]:
        return 0.5 + 0 * x, ((x[..., 0] + 0.00105).abs() < 0.0005).double()

    fields = spheres(0.0, scalar=height, radiance=radiance)
    image = assert_same_image(fields, close_rays(yaw=0.0, pitch=0.0, size=40, stride=4), 40, 4)
    assert (image[3] > 0.9).sum() >= 40 and image[3, ::4, ::4].max() < 1e-6


def test_slices_give_the_same_image(small: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = small.image(yaw=0.2, pitch=0.1, size=130)
    monkeypatch.setattr(adaptive_tracing, "SLICE_SAMPLES", 12 * 1000)
    parts = small.image(yaw=0.2, pitch=0.1, size=130)
    for field in dataclasses.fields(whole):
        torch.testing.assert_close(
            getattr(parts, field.name), getattr(whole, field.name), atol=ROUNDING, rtol=0
        )


def test_one_thread_and_several_give_the_same_image(small: Face) -> None:
    images = []
    for count in (1, 2, 5):
        with torch_threads(count):
            images.append(small.image(yaw=0.2, pitch=0.1, size=65))
    for image in images[1:]:
        for field in dataclasses.fields(image):
            one, other = getattr(images[0], field.name), getattr(image, field.name)
            torch.testing.assert_close(other, one, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_small_images(size: int) -> None:
    fields = bumpy_fields(0.09, 0.04, 0.0, -0.06)
    for stride in STRIDES:
        assert_same_image(fields, camera_rays(size=size), size, stride)


@pytest.mark.parametrize(
    ("seed", "expression", "yaw", "psi"), [(8, "jaw_open", -0.35, 1.0), (21, "smile=0.7,blink=1", 0.5, 0.7)]
)
def test_the_demo_gives_the_brute_force_image(seed: int, expression: str, yaw: float, psi: float) -> None:
    """At 128 pixels, where every second ray is a grid ray; one of three rays is compared, grid rays and others."""
    model = load_model(Path(__file__).parents[2] / "checkpoints" / "demo")
    face = model.face(seed=seed, expression=expression, psi=psi)
    rays = image_rays(yaw=torch.tensor([yaw]), pitch=torch.tensor([0.1]), size=128)
    with torch.inference_mode():
        expected = torch.cat([brute_force_colours(face.fields, part) for part in in_slices(rays[::3], 2048)])
    seen = render_adaptive(face.fields, rays, 128).flatten(1).T[::3]
    assert (seen[:, :7] - expected[:, :7]).abs().max() < 0.5 * STEP
    assert (seen[:, 7] - expected[:, 7]).abs().max() < DEPTH


def test_the_fold_of_a_closed_lid_is_not_stepped_over() -> None:
    """Between four corner rays that meet the lid later; 35 of 255 in a pixel."""
    face = load_model("demo").face(seed=3, expression="blink=1", psi=0.7)
    rays = image_rays(yaw=torch.tensor([-0.35]), pitch=torch.zeros(1), size=128)
    seen, expected = (render_adaptive(face.fields, rays, 128, stride)[:3] for stride in (None, 1))
    assert (seen - expected).abs().max() < 0.5 * STEP
