"""Colours of closed-form fields: background, compositing against the painter's algorithm, culled points."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering.culled import INVISIBLE, render_culled
from anifacegan.rendering.volume import render_rays
from tests.fixtures.closed_forms import (
    TINY,
    assert_same_colours,
    bumpy_fields,
    camera_rays,
    constant_step,
    numbers,
    parallel_rays,
    spheres,
)

OUT_OF_ORDER = (0.0, 0.09, -0.06, 0.04, 0.3, -0.02)


@pytest.mark.parametrize(("pitch", "yaw"), [(0.0, 0.0), (0.2, -0.5), (-0.4, 0.9)])
def test_the_background_is_the_plane_z_minus_0_12(pitch: float, yaw: float) -> None:
    rays = camera_rays(yaw=yaw, pitch=pitch)
    colours = render_rays(spheres(9.0, 8.0), rays)  # no ray meets these
    t = (-0.12 - rays.origins[..., 2]) / rays.directions[..., 2]
    assert colours.hit.sum(-1).unique().tolist() == [1] and colours.hit[..., -1].all()
    torch.testing.assert_close(colours.depth, t, atol=TINY, rtol=0)
    torch.testing.assert_close(colours.x_target[..., -1, 2], torch.full_like(t, -0.12), atol=TINY, rtol=0)
    rgb = 0.5 + 4 * (rays.origins + t[..., None] * rays.directions)
    torch.testing.assert_close(colours.rgb, rgb, atol=TINY, rtol=0)
    assert not colours.foreground.any()


def test_the_background_is_opaque_and_not_deformed() -> None:
    fields = spheres(9.0, offset=constant_step(0.03, 0, 0.02), radiance_offset_gain=5.0)
    colours = render_rays(fields, parallel_rays((0.02, 0.01)))
    torch.testing.assert_close(colours.x_template[0, 0, -1], numbers(0.02, 0.01, -0.12), atol=TINY, rtol=0)
    assert colours.weights[0, 0, -1].item() == pytest.approx(1) and colours.alpha[0, 0, -1] == 1


def test_half_opaque_spheres_halve_the_light() -> None:
    colours = render_rays(spheres(0.1, 0.08, 0.06), parallel_rays((0.0, 0.0)))
    torch.testing.assert_close(colours.weights[0, 0], numbers(0.5, 0.25, 0.125, 0.125), atol=TINY, rtol=0)
    depth = 0.5 * 0.9 + 0.25 * 0.92 + 0.125 * 0.94 + 0.125 * 1.12
    assert colours.depth.item() == pytest.approx(depth, abs=TINY)
    assert colours.foreground.item() == pytest.approx(0.875, abs=TINY)
    blue = 0.5 * 0.9 + 0.25 * 0.82 + 0.125 * 0.74  # 0.5 + 4 z
    assert colours.foreground_rgb[0, 0, 2].item() == pytest.approx(blue, abs=TINY)
    assert colours.rgb[0, 0, 2].item() == pytest.approx(blue + 0.125 * (0.5 - 0.48), abs=TINY)


def test_opaque_first_level_hides_the_rest() -> None:
    def opaque(x: Tensor) -> tuple[Tensor, Tensor]:
        return 0.5 + 4 * x, torch.ones_like(x[..., 0])

    colours = render_rays(spheres(0.1, 0.08, radiance=opaque), parallel_rays((0.0, 0.0)))
    torch.testing.assert_close(colours.rgb[0, 0], numbers(0.5, 0.5, 0.9), atol=TINY, rtol=0)
    assert colours.depth.item() == pytest.approx(0.9, abs=TINY)
    assert colours.foreground.item() == pytest.approx(1, abs=TINY)


def test_missed_level_changes_nothing() -> None:
    rays = camera_rays(yaw=0.3, pitch=0.1)
    some, more = render_rays(spheres(0.1, 0.08), rays), render_rays(spheres(5.0, 0.1, 0.08, 0.0), rays)
    for name in ("rgb", "depth", "foreground", "foreground_rgb"):
        torch.testing.assert_close(getattr(more, name), getattr(some, name), atol=TINY, rtol=0)
    torch.testing.assert_close(more.weights[..., [1, 2, 4]], some.weights, atol=TINY, rtol=0)


def paint(fields: ConditionedFields, origin: Tensor, direction: Tensor) -> tuple[Tensor, float, list[int]]:
    """The painter's algorithm on one ray: colour, depth, and which levels were met. One point at a time."""
    ray_sampling = fields.ray_sampling
    spacing = (ray_sampling.far - ray_sampling.near) / (ray_sampling.samples - 1)
    distances = [ray_sampling.near + k * spacing for k in range(ray_sampling.samples)]
    samples = [origin + t * direction for t in distances]
    steps = [fields.offset(x[None, None])[0, 0] for x in samples]
    heights = [fields.scalar((x + step)[None, None]).item() for x, step in zip(samples, steps, strict=True)]
    paints, met = [], []
    for index, level in enumerate(fields.levels.tolist()):
        for k in range(ray_sampling.samples - 1):
            if (heights[k] - level) * (heights[k + 1] - level) < 0:  # the first crossing, rising or falling
                if heights[k] > heights[k + 1]:
                    share = (heights[k] - level) / (heights[k] - heights[k + 1])
                    x = samples[k] + share * (samples[k + 1] - samples[k])
                    step = steps[k] + share * (steps[k + 1] - steps[k])
                    rgb, alpha = fields.radiance((x + fields.radiance_offset_gain * step)[None, None])
                    paints.append((distances[k] + share * spacing, rgb[0, 0], alpha.item()))
                    met.append(index)
                break
    t_plane = ((ray_sampling.background_z - origin[2]) / direction[2]).item()
    paints.append((t_plane, fields.radiance((origin + t_plane * direction)[None, None])[0][0, 0], 1.0))
    canvas, depth = numbers(0, 0, 0), 0.0
    for t, rgb, alpha in sorted(paints, key=lambda paint: -paint[0]):
        canvas, depth = (1 - alpha) * canvas + alpha * rgb, (1 - alpha) * depth + alpha * t
    return canvas, depth, met


@pytest.mark.parametrize("gain", [1.0, 3.0])
@pytest.mark.parametrize("background_z", [-0.12, 0.02])
def test_matches_painters_algorithm(background_z: float, gain: float) -> None:
    """Levels out of order, some missed, some behind the background; offset and point are interpolated, not evaluated
    again."""
    fields = bumpy_fields(
        *OUT_OF_ORDER,
        ray_sampling=RaySamplingConfig(samples=24, background_z=background_z),
        radiance_offset_gain=gain,
    )
    rays = camera_rays(yaw=-0.4, pitch=0.15)
    colours = render_rays(fields, rays)
    behind = 0
    for ray in range(len(rays)):
        rgb, depth, met = paint(fields, rays.origins[0, ray], rays.directions[0, ray])
        torch.testing.assert_close(colours.rgb[0, ray], rgb, atol=TINY, rtol=0)
        assert colours.depth[0, ray].item() == pytest.approx(depth, abs=TINY)
        assert colours.hit[0, ray, :-1].nonzero()[:, 0].tolist() == met
        behind += (colours.hit[0, ray] & (colours.t[0, ray] > colours.t[0, ray, -1])).sum().item()
    assert not colours.hit[..., :-1].all() and colours.hit[..., :-1].any()
    assert (behind > 0) == (background_z > 0)


def test_points_stay_in_the_order_of_the_levels() -> None:
    rays = parallel_rays((0.0, 0.0), (0.03, 0.02))
    falling, mixed = render_rays(spheres(0.1, 0.08, 0.06), rays), render_rays(spheres(0.06, 0.1, 0.08), rays)
    assert_same_colours(
        dataclasses.replace(
            mixed,
            **{
                name: getattr(mixed, name)[:, :, [1, 2, 0, 3]]
                for name in ("alpha", "weights", "hit", "t", "x_target", "x_template")
            },
        ),
        falling,
        atol=TINY,
    )


def layered() -> ConditionedFields:
    """Eleven spheres, opaque enough that little light reaches the inner ones; half the points are brighter."""

    def radiance(x: Tensor) -> tuple[Tensor, Tensor]:
        return 0.5 + 0.5 * (60 * x).sin(), 0.8 + 0.199 * (70 * x.sum(-1)).sin()

    return spheres(*torch.linspace(0.11, 0.03, 11).tolist(), radiance=radiance)


def test_skipping_invisible_points_changes_the_image_by_less_than_they_could() -> None:
    """At most 1/16384 of the light is lost; colours are within 1 and distances within 0.24 of each other."""
    rays = camera_rays(yaw=-0.2, pitch=0.1, size=15)
    whole, fast = render_rays(layered(), rays), render_culled(layered(), rays)
    for name in ("rgb", "foreground", "foreground_rgb", "depth"):
        torch.testing.assert_close(getattr(fast, name), getattr(whole, name), atol=INVISIBLE, rtol=0)
    skipped = (fast.weights == 0) & (whole.weights > 0)
    assert skipped.any() and whole.weights[skipped].max() < INVISIBLE
    for name in ("hit", "t", "x_target", "x_template"):
        assert torch.equal(getattr(fast, name), getattr(whole, name))


def test_culling_is_right_for_levels_out_of_order() -> None:
    fields = bumpy_fields(
        *OUT_OF_ORDER, ray_sampling=RaySamplingConfig(samples=24, background_z=0.02), radiance_offset_gain=3.0
    )
    rays = camera_rays(yaw=-0.4, pitch=0.15)
    whole, fast = render_rays(fields, rays), render_culled(fields, rays)
    for name in ("rgb", "foreground", "foreground_rgb", "depth"):
        torch.testing.assert_close(getattr(fast, name), getattr(whole, name), atol=TINY, rtol=0)


def test_only_visible_points_are_evaluated() -> None:
    """An opaque outer sphere: points behind it are shaded in its group of three at most, missed ones never."""
    shaded = []

    def opaque(x: Tensor) -> tuple[Tensor, Tensor]:
        shaded.append(x)
        return torch.full_like(x, 0.5), torch.ones_like(x[..., 0])

    fields = spheres(0.1, 0.09, 0.08, 0.07, 0.06, radiance=opaque)
    rays = parallel_rays((0.0, 0.0), (0.0, 0.095), (0.2, 0.0))
    with torch.no_grad():
        render_culled(fields, rays)
    heights = torch.cat(shaded, dim=1)[0, :, 2].sort().values
    # The first ray meets all five, the second one sphere and the background, the third the background.
    expected = numbers(-0.12, -0.12, math.sqrt(0.1**2 - 0.095**2), 0.08, 0.09, 0.1)
    torch.testing.assert_close(heights, expected, atol=1e-4, rtol=0)  # the second ray is a grazing one


def test_only_selected_levels_are_rendered() -> None:
    """Selected points carry the indices' order; a selected level that does not exist is transparent."""

    def second_and_first(t: Tensor, hit: Tensor) -> tuple[Tensor, Tensor]:
        index = torch.tensor([1, 0]).expand(*t.shape[:2], 2)
        return index, hit.gather(-1, index)

    rays = camera_rays(yaw=0.3, pitch=0.1)
    selected, alone = (
        render_rays(spheres(0.1, 0.08, 0.06), rays, second_and_first),
        render_rays(spheres(0.08, 0.1), rays),
    )
    assert_same_colours(selected, alone, atol=TINY)
