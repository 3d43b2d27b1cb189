"""The exact renderer shows what the reference shows, from fewer points.

Colours and opacity may differ by what hidden or hardly visible sheets add: 1/4096 of the light behind the last point,
and 1e-7 of each sheet that is left out. Distances may differ by the same shares of the march's length.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.rays import MarchConfig, Rays, image_rays
from anifacegan.models.generator import Avatar
from anifacegan.rendering import adaptive
from anifacegan.rendering.adaptive import CELL, OPAQUE, render_image
from anifacegan.rendering.model import Face, Model, load_model
from benchmarks.brute_force_renderer import reference_colours, reference_picture
from tests.fixtures.closed_forms import (
    bumpy_avatar,
    camera_rays,
    constant_step,
    distance_to,
    numbers,
    spheres,
)
from tests.fixtures.small_models import small_checkpoint
from tests.fixtures.thread_counts import pytorch_threads

STEP = 1 / 255
"""Of an 8-bit picture."""
DEPTH = 1e-4
"""World units: 1/4096 of the light may come from the other end of the march, 0.24 away; and float32."""
STRIDES = [1, 2, 3, 5]


def assert_same_picture(avatar: Avatar, rays: Rays, size: int, stride: int | None) -> Tensor:
    expected = reference_colours(avatar, rays).T.reshape(8, size, size)
    seen = render_image(avatar, rays, size, stride)
    torch.testing.assert_close(seen[:7], expected[:7], atol=0.6 * STEP, rtol=0)
    torch.testing.assert_close(seen[7], expected[7], atol=DEPTH, rtol=0)
    return expected


def close_rays(pitch: float, yaw: float, size: int, stride: int) -> Rays:
    """Of a view so narrow that every ``stride``-th ray is as far from the next as in a picture of a head."""
    width = CELL / stride * (size - 1)
    fov_deg = math.degrees(2 * math.atan(width / 2))
    return image_rays(numbers(pitch), numbers(yaw), size, fov_deg)


@pytest.fixture(scope="module")
def small() -> Face:
    return Model(small_checkpoint()).face(seed=3, expression="smile")


@torch.no_grad()
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize(("pitch", "yaw"), [(0.0, 0.0), (0.2, -0.7)])
def test_networks_show_the_reference_picture(small: Face, stride: int, pitch: float, yaw: float) -> None:
    rays = close_rays(pitch, yaw, 48, stride)
    rays = Rays(rays.origins.float(), rays.directions.float())
    picture = assert_same_picture(small.avatar, rays, 48, stride)
    assert picture[:3].std() > 0.01 and picture[3].max() > 0.02


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_s_may_rise_and_fall(stride: int, gain: float) -> None:
    avatar = bumpy_avatar(0.09, 0.04, 0.0, -0.06, radiance_offset_gain=gain)
    avatar = dataclasses.replace(avatar, align=lambda x: 0.005 * (30 * x).cos())
    assert_same_picture(avatar, close_rays(0.2, -0.4, 61, stride), 61, stride)


@pytest.mark.parametrize("stride", STRIDES)
def test_rays_that_graze_spheres_and_rays_that_miss_them(stride: int) -> None:
    """The rims of three spheres are inside the picture; the smallest one is hidden in part."""
    avatar = spheres(0.09, 0.05, 0.02, offset=constant_step(0.01, 0.0, 0.0))
    picture = assert_same_picture(avatar, camera_rays(0.1, 0.3, size=40), 40, stride)
    assert len(picture[3].round(decimals=3).unique()) == 4             # none, one, two and three sheets


@pytest.mark.parametrize("stride", STRIDES)
def test_behind_the_background_is_nothing(stride: int) -> None:
    """The last sphere is cut by the background's plane."""
    avatar = spheres(0.09, 0.07, level=distance_to(0, 0, -0.16), march=MarchConfig(far=1.2))
    rays = camera_rays(0.0, 0.2, size=40)
    picture = assert_same_picture(avatar, rays, 40, stride)
    assert picture[7].max() < 1.2 and (picture[3] == 0).any() and (picture[3] > 0.7).any()


@pytest.mark.parametrize("stride", STRIDES)
def test_a_picture_of_nothing_is_the_background(stride: int) -> None:
    beside = spheres(0.09, 0.07, level=distance_to(0, 5, 0))
    picture = assert_same_picture(beside, camera_rays(size=20), 20, stride)
    assert not picture[3].any()


def counted(avatar: Avatar) -> tuple[Avatar, dict[str, int]]:
    """The avatar, and how many points each of its fields is asked for."""
    asked = {"offset": 0, "radiance": 0}

    def counting(name: str):
        def function(x: Tensor):
            asked[name] += x.shape[1]
            return getattr(avatar, name)(x)

        return function

    return dataclasses.replace(avatar, **{name: counting(name) for name in asked}), asked


def onion(opacity: float) -> Avatar:
    """Ten spheres, wider than the picture."""
    radii = torch.linspace(0.32, 0.23, 10, dtype=torch.float64)
    return spheres(
        *radii.tolist(),
        level=distance_to(0, 0, -0.25),
        radiance=lambda x: (0.5 + 0.5 * (40 * x).sin(), torch.full_like(x[..., 0], opacity)),
    )


def test_only_the_first_of_opaque_sheets_is_shaded_and_the_march_ends_there() -> None:
    avatar, asked = counted(onion(1.0))
    rays = close_rays(0.0, 0.0, 40, 4)
    seen = render_image(avatar, rays, 40, 1)
    assert asked["radiance"] == 1600 and asked["offset"] <= 1600 * 64 / 2
    asked.update(offset=0, radiance=0)
    torch.testing.assert_close(render_image(avatar, rays, 40, 4), seen, atol=1e-9, rtol=0)
    assert asked["radiance"] == 1600
    assert asked["offset"] <= 121 * 64 + 1500 * 4                      # corners, and two or so samples of the others


def test_transparent_sheets_are_looked_at_in_the_corners_only() -> None:
    avatar, asked = counted(onion(1e-8))
    picture = render_image(avatar, close_rays(0.0, 0.0, 40, 4), 40, 4)
    assert asked["radiance"] == 1600 + 121 * 10 and asked["offset"] == 121 * 64
    assert picture[3].max() < 1e-4


@pytest.mark.parametrize("opacity", [0.01, 0.3, 0.9])
def test_a_picture_loses_no_more_than_the_light_behind_the_last_point(opacity: float) -> None:
    rays = camera_rays(size=24)
    seen = render_image(onion(opacity), rays, 24, 3)
    expected = reference_colours(onion(opacity), rays).T.reshape(8, 24, 24)
    assert (seen[:4] - expected[:4]).abs().max() < 1.01 * OPAQUE


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.0113, -0.0287), (-0.041, 0.052)])
def test_a_speck_as_large_as_a_cell_is_seen_wherever_it_is(place: tuple[float, float]) -> None:
    """Opaque, 5 pixels wide, on one sheet of many; it touches one ray of every third, whose cells are all looked at."""
    pixel = 0.21 / 95

    def radiance(x: Tensor) -> tuple[Tensor, Tensor]:
        far = (x[..., :2] - numbers(*place)).norm(dim=-1)
        sheet = (x - numbers(0, 0, -0.25)).norm(dim=-1)
        inside = (far < 2.5 * pixel) & ((sheet - 0.27).abs() < 0.003)
        return 0.5 + 0 * x, inside.double()

    avatar = dataclasses.replace(onion(1.0), radiance=radiance)
    picture = assert_same_picture(avatar, camera_rays(size=96), 96, 3)
    assert 10 < (picture[3] > 0.5).sum() < 30


def test_a_ray_whose_corners_do_not_say_where_the_sheet_is_walks_on_its_own() -> None:
    """A step of the sheet, 0.04 deep, through the middle of cells."""
    avatar = spheres(0.0, level=lambda x: x[..., 2] + 0.04 * (x[..., 0] > 0.0031))
    assert_same_picture(avatar, camera_rays(0.0, 0.1, size=40), 40, 4)


@pytest.mark.parametrize(
    "sheet", [lambda x: x[..., 2] + 0.04 * (x[..., 0] > -0.00105), lambda x: x[..., 2] + 2.5 * x[..., 0]]
)
def test_what_is_seen_only_where_a_sheet_folds_or_is_steep_is_found(sheet: Callable[[Tensor], Tensor]) -> None:
    """The same step, and a slope, with a visible strip of one pixel that no corner sees."""

    def radiance(x: Tensor) -> tuple[Tensor, Tensor]:
        return 0.5 + 0 * x, ((x[..., 0] + 0.00105).abs() < 0.0005).double()

    avatar = spheres(0.0, level=sheet, radiance=radiance)
    picture = assert_same_picture(avatar, close_rays(0.0, 0.0, 40, 4), 40, 4)
    assert (picture[3] > 0.9).sum() >= 40 and picture[3, ::4, ::4].max() < 1e-6


def test_slices_give_the_same_picture(small: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = small.picture(0.2, 0.1, 130)
    monkeypatch.setattr(adaptive, "SLICE_SAMPLES", {"cpu": 12 * 1000})
    parts = small.picture(0.2, 0.1, 130)
    for field in dataclasses.fields(whole):
        torch.testing.assert_close(getattr(parts, field.name), getattr(whole, field.name), atol=1e-6, rtol=0)


def test_one_thread_and_several_show_the_same_picture(small: Face) -> None:
    pictures = []
    for count in (1, 2, 5):
        with pytorch_threads(count):
            pictures.append(small.picture(0.2, 0.1, 65))
    for picture in pictures[1:]:
        for field in dataclasses.fields(picture):
            one, other = getattr(pictures[0], field.name), getattr(picture, field.name)
            torch.testing.assert_close(other, one, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_small_pictures(size: int) -> None:
    avatar = bumpy_avatar(0.09, 0.04, 0.0, -0.06)
    for stride in STRIDES:
        assert_same_picture(avatar, camera_rays(size=max(size, 2)), max(size, 2), stride)


@pytest.mark.parametrize(
    ("seed", "expression", "yaw", "psi"), [(8, "jaw_open", -0.35, 1.0), (21, "smile=0.7,blink=1", 0.5, 0.7)]
)
def test_the_demo_shows_the_reference_picture(seed: int, expression: str, yaw: float, psi: float) -> None:
    """At 128 pixels, where every second ray is walked."""
    model = load_model(Path(__file__).parents[2] / "checkpoints" / "demo")
    face = model.face(seed=seed, expression=expression, psi=psi)
    seen, expected = face.picture(yaw, 0.1, 128), reference_picture(face, yaw, 0.1, 128)
    for name in ("rgb", "foreground", "foreground_rgb"):
        assert (getattr(seen, name) - getattr(expected, name)).abs().max() < 0.5 * STEP, name
    assert (seen.depth - expected.depth).abs().max() < DEPTH
