"""The exact renderer on avatars in closed form: spheres, a tent, known deformations, the painter's algorithm."""

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from anifacegan.models.generator import INVISIBLE, Avatar, MarchConfig, RayColours, in_slices, render_rays
from anifacegan.rays import Rays, image_rays

BETWEEN_SAMPLES = 2e-5
"""A sphere of radius 0.05 or more, met at 60 degrees or steeper, is this close to its chord between samples 0.0038
apart: spacing^2 / 8 * s'' / s'."""
TINY = 1e-8
"""The 1e-10 that every transmittance carries, and float64 rounding."""


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stay(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


def constant_step(*step: float) -> Callable[[Tensor], Tensor]:
    return lambda x: numbers(*step).expand_as(x)


def distance_to(*centre: float) -> Callable[[Tensor], Tensor]:
    return lambda x: (x - numbers(*centre)).norm(dim=-1)


def half_opaque(x: Tensor) -> tuple[Tensor, Tensor]:
    """A colour that says where the point is, and opacity 1/2."""
    return 0.5 + 4 * x, torch.full_like(x[..., 0], 0.5)


def spheres(*radii: float, **changes: object) -> Avatar:
    """Concentric spheres about the origin, half opaque, not deformed."""
    avatar = Avatar(stay, distance_to(0, 0, 0), half_opaque, numbers(*radii), MarchConfig())
    return dataclasses.replace(avatar, **changes)


def parallel_rays(*xy: tuple[float, float]) -> Rays:
    """Rays along -z from the plane z = 1, where t = 1 - z."""
    origins = torch.tensor([[[x, y, 1.0] for x, y in xy]], dtype=torch.float64)
    return Rays(origins, numbers(0, 0, -1).expand_as(origins))


def camera_rays(pitch: float = 0.0, yaw: float = 0.0, size: int = 7) -> Rays:
    return image_rays(numbers(pitch), numbers(yaw), size)


def assert_same_colours(a: RayColours, b: RayColours, atol: float) -> None:
    for name in (field.name for field in dataclasses.fields(RayColours)):
        one, other = getattr(a, name), getattr(b, name)
        torch.testing.assert_close(one, other, atol=atol, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


# Intersection.


def test_rays_meet_spheres_where_geometry_says() -> None:
    """z = sqrt(radius^2 - distance of the ray from the axis^2)."""
    places = [(0.0, 0.0), (0.04, 0.0), (-0.02, 0.03)]
    colours = render_rays(spheres(0.1, 0.07), parallel_rays(*places))
    for ray, (x, y) in enumerate(places):
        for level, radius in enumerate((0.1, 0.07)):
            z = math.sqrt(radius**2 - x**2 - y**2)
            assert colours.hit[0, ray, level]
            assert colours.t[0, ray, level].item() == pytest.approx(1 - z, abs=BETWEEN_SAMPLES)
            torch.testing.assert_close(
                colours.x_target[0, ray, level], numbers(x, y, z), atol=BETWEEN_SAMPLES, rtol=0
            )


@pytest.mark.parametrize(("pitch", "yaw"), [(0.0, 0.0), (0.2, -0.5), (-0.4, 0.9)])
def test_every_hit_of_a_camera_lies_on_its_sphere_before_the_centre(pitch: float, yaw: float) -> None:
    rays = camera_rays(pitch, yaw)
    colours = render_rays(spheres(0.11, 0.09), rays)
    hit, x = colours.hit[..., :2], colours.x_target[..., :2, :]
    toward = -(x * rays.directions[:, :, None]).sum(-1)                # of the sphere's radius, along the ray
    assert hit.any() and (toward[hit] > 0).all()
    steep = hit & (toward > 0.5 * x.norm(dim=-1))
    assert (x.norm(dim=-1) - numbers(0.11, 0.09))[steep].abs().max() < BETWEEN_SAMPLES
    torch.testing.assert_close(rays.at(colours.t)[colours.hit], colours.x_target[colours.hit], atol=TINY, rtol=0)


def test_a_ray_beside_a_sphere_misses_it() -> None:
    colours = render_rays(spheres(0.1, 0.07), parallel_rays((0.09, 0.0)))
    assert colours.hit[0, 0].tolist() == [True, False, True]
    assert colours.t[0, 0, 1] == 0 and colours.weights[0, 0, 1] == 0


def test_a_sphere_is_not_met_from_inside() -> None:
    """s rises where the ray leaves it."""
    inside = spheres(0.06, level=distance_to(0, 0, 0.1))
    assert render_rays(inside, parallel_rays((0.0, 0.0))).hit[0, 0].tolist() == [False, True]


def test_a_level_that_s_first_rises_through_is_missed_even_if_s_falls_later() -> None:
    """A tent: s is 3 where the march starts, 10 at z = 0.05, and falls from there on, at 100 per world unit."""
    avatar = spheres(level=lambda x: 10 - 100 * (x[..., 2] - 0.05).abs(), levels=numbers(5.0, 2.0))
    colours = render_rays(avatar, parallel_rays((0.0, 0.0)))
    assert colours.hit[0, 0].tolist() == [False, True, True]
    assert colours.t[0, 0, 1].item() == pytest.approx(1.03, abs=TINY)


def test_the_march_includes_both_ends() -> None:
    """s = z falls through a level just behind the first sample, and one just before the last."""
    avatar = spheres(level=lambda x: x[..., 2], levels=numbers(0.1199, -0.1199), march=MarchConfig(samples=3))
    colours = render_rays(avatar, parallel_rays((0.0, 0.0)))
    assert colours.hit.all()
    torch.testing.assert_close(colours.t[0, 0, :2], numbers(0.8801, 1.1199), atol=TINY, rtol=0)


# Background and blending.


@pytest.mark.parametrize(("pitch", "yaw"), [(0.0, 0.0), (0.2, -0.5), (-0.4, 0.9)])
def test_the_background_is_the_plane_z_minus_0_12(pitch: float, yaw: float) -> None:
    rays = camera_rays(pitch, yaw)
    colours = render_rays(spheres(9.0, 8.0), rays)                     # no ray meets these
    t = (-0.12 - rays.origins[..., 2]) / rays.directions[..., 2]
    assert colours.hit.sum(-1).unique().tolist() == [1] and colours.hit[..., -1].all()
    torch.testing.assert_close(colours.depth, t, atol=TINY, rtol=0)
    torch.testing.assert_close(colours.x_target[..., -1, 2], torch.full_like(t, -0.12), atol=TINY, rtol=0)
    rgb = 0.5 + 4 * (rays.origins + t[..., None] * rays.directions)
    torch.testing.assert_close(colours.rgb, rgb, atol=TINY, rtol=0)
    assert not colours.foreground.any()


def test_the_background_is_opaque_and_not_deformed() -> None:
    avatar = spheres(9.0, offset=constant_step(0.03, 0, 0.02), radiance_offset_gain=5.0)
    colours = render_rays(avatar, parallel_rays((0.02, 0.01)))
    torch.testing.assert_close(colours.x_template[0, 0, -1], numbers(0.02, 0.01, -0.12), atol=TINY, rtol=0)
    assert colours.weights[0, 0, -1].item() == pytest.approx(1) and colours.alpha[0, 0, -1] == 1


def test_half_opaque_spheres_halve_the_light() -> None:
    colours = render_rays(spheres(0.1, 0.08, 0.06), parallel_rays((0.0, 0.0)))
    torch.testing.assert_close(colours.weights[0, 0], numbers(0.5, 0.25, 0.125, 0.125), atol=TINY, rtol=0)
    depth = 0.5 * 0.9 + 0.25 * 0.92 + 0.125 * 0.94 + 0.125 * 1.12
    assert colours.depth.item() == pytest.approx(depth, abs=TINY)
    assert colours.foreground.item() == pytest.approx(0.875, abs=TINY)
    blue = 0.5 * 0.9 + 0.25 * 0.82 + 0.125 * 0.74                      # 0.5 + 4 z
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
    rays = camera_rays(0.1, 0.3)
    some, more = render_rays(spheres(0.1, 0.08), rays), render_rays(spheres(5.0, 0.1, 0.08, 0.0), rays)
    for name in ("rgb", "depth", "foreground", "foreground_rgb"):
        torch.testing.assert_close(getattr(more, name), getattr(some, name), atol=TINY, rtol=0)
    torch.testing.assert_close(more.weights[..., [1, 2, 4]], some.weights, atol=TINY, rtol=0)


def bumpy(x: Tensor) -> Tensor:
    """A field with several ups and downs along a ray."""
    return x[..., 2] + 0.05 * (40 * x[..., 0] + 90 * x[..., 2]).sin()


def bumpy_step(x: Tensor) -> Tensor:
    return 0.01 * torch.stack([(50 * x[..., 1]).sin(), (50 * x[..., 2]).cos(), (50 * x[..., 0]).sin()], dim=-1)


def bumpy_radiance(x: Tensor) -> tuple[Tensor, Tensor]:
    return 0.5 + 0.5 * (60 * x).sin(), 0.5 + 0.4 * (70 * x.sum(-1)).sin()


def paint(avatar: Avatar, origin: Tensor, direction: Tensor) -> tuple[Tensor, float, list[int]]:
    """The painter's algorithm on one ray: colour, depth, and which levels were met. One point at a time."""
    march = avatar.march
    spacing = (march.far - march.near) / (march.samples - 1)
    distances = [march.near + k * spacing for k in range(march.samples)]
    samples = [origin + t * direction for t in distances]
    steps = [avatar.offset(x[None, None])[0, 0] for x in samples]
    heights = [avatar.level((x + step)[None, None]).item() for x, step in zip(samples, steps, strict=True)]
    paints, met = [], []
    for index, level in enumerate(avatar.levels.tolist()):
        for k in range(march.samples - 1):
            if (heights[k] - level) * (heights[k + 1] - level) < 0:    # the first crossing, rising or falling
                if heights[k] > heights[k + 1]:
                    share = (heights[k] - level) / (heights[k] - heights[k + 1])
                    x = samples[k] + share * (samples[k + 1] - samples[k])
                    step = steps[k] + share * (steps[k + 1] - steps[k])
                    rgb, alpha = avatar.radiance((x + avatar.radiance_offset_gain * step)[None, None])
                    paints.append((distances[k] + share * spacing, rgb[0, 0], alpha.item()))
                    met.append(index)
                break
    t_plane = ((march.background_z - origin[2]) / direction[2]).item()
    paints.append((t_plane, avatar.radiance((origin + t_plane * direction)[None, None])[0][0, 0], 1.0))
    canvas, depth = numbers(0, 0, 0), 0.0
    for t, rgb, alpha in sorted(paints, key=lambda paint: -paint[0]):
        canvas, depth = (1 - alpha) * canvas + alpha * rgb, (1 - alpha) * depth + alpha * t
    return canvas, depth, met


@pytest.mark.parametrize("gain", [1.0, 3.0])
@pytest.mark.parametrize("background_z", [-0.12, 0.02])
def test_matches_painters_algorithm(background_z: float, gain: float) -> None:
    """Levels out of order, some missed, some behind the background; step and point interpolated, not read again."""
    march = MarchConfig(samples=24, background_z=background_z)
    levels = numbers(0.0, 0.09, -0.06, 0.04, 0.3, -0.02)
    avatar = Avatar(bumpy_step, bumpy, bumpy_radiance, levels, march, gain)
    rays = camera_rays(0.15, -0.4)
    colours = render_rays(avatar, rays)
    behind = 0
    for ray in range(len(rays)):
        rgb, depth, met = paint(avatar, rays.origins[0, ray], rays.directions[0, ray])
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


def layered() -> Avatar:
    """Eleven spheres, opaque enough that little light reaches the inner ones; half the points are brighter."""

    def radiance(x: Tensor) -> tuple[Tensor, Tensor]:
        return 0.5 + 0.5 * (60 * x).sin(), 0.8 + 0.199 * (70 * x.sum(-1)).sin()

    return spheres(*torch.linspace(0.11, 0.03, 11).tolist(), radiance=radiance)


def test_skipping_invisible_points_changes_the_picture_by_less_than_they_could() -> None:
    """At most 1/16384 of the light is lost; colours are within 1 and distances within 0.24 of each other."""
    rays = camera_rays(0.1, -0.2, size=15)
    whole, fast = render_rays(layered(), rays), render_rays(layered(), rays, skip_invisible=True)
    for name in ("rgb", "foreground", "foreground_rgb", "depth"):
        torch.testing.assert_close(getattr(fast, name), getattr(whole, name), atol=INVISIBLE, rtol=0)
    skipped = (fast.weights == 0) & (whole.weights > 0)
    assert skipped.any() and whole.weights[skipped].max() < INVISIBLE
    for name in ("hit", "t", "x_target", "x_template"):
        assert torch.equal(getattr(fast, name), getattr(whole, name))


def test_skipping_invisible_points_keeps_what_is_seen_through_levels_out_of_order() -> None:
    march = MarchConfig(samples=24, background_z=0.02)
    levels = numbers(0.0, 0.09, -0.06, 0.04, 0.3, -0.02)
    avatar = Avatar(bumpy_step, bumpy, bumpy_radiance, levels, march, radiance_offset_gain=3.0)
    rays = camera_rays(0.15, -0.4)
    whole, fast = render_rays(avatar, rays), render_rays(avatar, rays, skip_invisible=True)
    for name in ("rgb", "foreground", "foreground_rgb", "depth"):
        torch.testing.assert_close(getattr(fast, name), getattr(whole, name), atol=TINY, rtol=0)


def test_only_visible_points_are_shaded() -> None:
    """An opaque outer sphere: points behind it are shaded in its group of three at most, missed ones never."""
    shaded = []

    def opaque(x: Tensor) -> tuple[Tensor, Tensor]:
        shaded.append(x)
        return torch.full_like(x, 0.5), torch.ones_like(x[..., 0])

    avatar = spheres(0.1, 0.09, 0.08, 0.07, 0.06, radiance=opaque)
    render_rays(avatar, parallel_rays((0.0, 0.0), (0.0, 0.095), (0.2, 0.0)), skip_invisible=True)
    heights = torch.cat(shaded, dim=1)[0, :, 2].sort().values
    # The first ray meets all five, the second one sphere and the background, the third the background.
    expected = numbers(-0.12, -0.12, math.sqrt(0.1**2 - 0.095**2), 0.08, 0.09, 0.1)
    torch.testing.assert_close(heights, expected, atol=1e-4, rtol=0)   # the second ray is a grazing one


def test_a_choice_of_levels_shades_only_those() -> None:
    """Chosen points carry the indices' order; a chosen level that does not exist is transparent."""

    def second_and_first(t: Tensor, hit: Tensor) -> tuple[Tensor, Tensor]:
        index = torch.tensor([1, 0]).expand(*t.shape[:2], 2)
        return index, hit.gather(-1, index)

    rays = camera_rays(0.1, 0.3)
    chosen, alone = render_rays(spheres(0.1, 0.08, 0.06), rays, second_and_first), render_rays(spheres(0.08, 0.1), rays)
    assert_same_colours(chosen, alone, atol=TINY)


# Deformation.


def test_deformed_face_is_the_template_moved() -> None:
    """x_template = x_target + delta: a constant delta is a face that stands delta the other way."""
    rays, step = camera_rays(0.1, -0.2), (0.01, -0.005, 0.0)
    moved_rays = Rays(rays.origins + numbers(*step), rays.directions)
    deformed = render_rays(spheres(0.09, 0.07, offset=constant_step(*step)), rays)
    template = render_rays(spheres(0.09, 0.07), moved_rays)
    assert not torch.equal(deformed.hit, render_rays(spheres(0.09, 0.07), rays).hit)
    for name in ("hit", "t", "weights", "foreground", "foreground_rgb", "depth"):
        torch.testing.assert_close(getattr(deformed, name), getattr(template, name), atol=TINY, rtol=0)
    torch.testing.assert_close(deformed.x_template[..., :-1, :], template.x_target[..., :-1, :], atol=TINY, rtol=0)


def test_a_face_moved_to_plus_x_moves_right_in_the_picture() -> None:
    """delta leads back to the template, so delta = -0.02 shows the sphere at x = +0.02."""
    colours = render_rays(spheres(0.05, offset=constant_step(-0.02, 0, 0)), camera_rays(size=65))
    columns = colours.hit[0, :, 0].reshape(65, 65).any(dim=0).nonzero()[:, 0]
    focal = 32 / math.tan(math.radians(6))
    assert columns.double().mean().item() == pytest.approx(32 + focal * 0.02, abs=1.0)


@pytest.mark.parametrize("gain", [1.0, 3.0, 1 / 0.12])
def test_manifolds_are_read_at_gain_1_and_colours_at_the_gain(gain: float) -> None:
    """With delta = (0.01, 0, -0.02): the ray x = 0.03 passes the sphere at x = 0.04, and meets it where
    z - 0.02 = sqrt(0.1^2 - 0.04^2)."""
    step = numbers(0.01, 0, -0.02)
    avatar = spheres(0.1, offset=constant_step(*step.tolist()), radiance_offset_gain=gain)
    colours = render_rays(avatar, parallel_rays((0.03, 0.0)))
    x_target = numbers(0.03, 0, 0.02 + math.sqrt(0.1**2 - 0.04**2))
    torch.testing.assert_close(colours.x_target[0, 0, 0], x_target, atol=BETWEEN_SAMPLES, rtol=0)
    torch.testing.assert_close(colours.x_template[0, 0, 0], x_target + gain * step, atol=BETWEEN_SAMPLES, rtol=0)
    rgb = 0.5 * (0.5 + 4 * colours.x_template[0, 0, 0])
    torch.testing.assert_close(colours.foreground_rgb[0, 0], rgb, atol=TINY, rtol=0)


def test_a_head_that_shrinks_is_met_deeper() -> None:
    """delta = 0.25 x: a template sphere of radius 0.1 is a target sphere of radius 0.08."""
    colours = render_rays(spheres(0.1, offset=lambda x: 0.25 * x), parallel_rays((0.0, 0.0)))
    torch.testing.assert_close(colours.x_target[0, 0, 0], numbers(0, 0, 0.08), atol=TINY, rtol=0)
    torch.testing.assert_close(colours.x_template[0, 0, 0], numbers(0, 0, 0.1), atol=TINY, rtol=0)


@pytest.mark.parametrize("skip_invisible", [False, True])
def test_an_alignment_moves_where_colours_are_read_and_nothing_else(skip_invisible: bool) -> None:
    """The step depends on the template point, 0.01 + z / 10 along x; the background is read where it is."""
    step = constant_step(0.0, 0.01, 0.02)
    avatar = spheres(0.1, offset=step, radiance_offset_gain=2.0)
    aligned = dataclasses.replace(avatar, align=lambda x: numbers(1, 0, 0) * (0.01 + 0.1 * x[..., 2:]))
    rays = parallel_rays((0.0, -0.01))
    plain, seen = render_rays(avatar, rays), render_rays(aligned, rays, skip_invisible=skip_invisible)
    torch.testing.assert_close(seen.x_template[0, 0, 0], numbers(0, 0.01, 0.08 + 0.04), atol=TINY, rtol=0)
    for name in ("hit", "t", "weights", "depth", "x_target", "x_template"):
        torch.testing.assert_close(getattr(seen, name), getattr(plain, name), atol=TINY, rtol=0)
    change = numbers(0.5 * 4 * (0.01 + 0.1 * 0.12), 0, 0)              # half opaque, and 4 of colour for 1 of x
    torch.testing.assert_close(seen.foreground_rgb[0, 0] - plain.foreground_rgb[0, 0], change, atol=TINY, rtol=0)
    torch.testing.assert_close(seen.rgb[0, 0] - plain.rgb[0, 0], change, atol=TINY, rtol=0)


# Laws.


@pytest.mark.parametrize("size", [1, 10, 49, 100])
def test_slices_give_the_same_picture(size: int) -> None:
    avatar = Avatar(bumpy_step, bumpy, bumpy_radiance, numbers(0.09, 0.04, 0.0, -0.06), MarchConfig(samples=24))
    rays = camera_rays(0.2, 0.3)
    whole, parts = render_rays(avatar, rays), [render_rays(avatar, part) for part in in_slices(rays, size)]
    assert len(parts) == math.ceil(49 / size)
    joined = {f.name: torch.cat([getattr(p, f.name) for p in parts], dim=1) for f in dataclasses.fields(RayColours)}
    assert_same_colours(RayColours(**joined), whole, atol=1e-12)


def test_a_batch_of_poses_equals_one_by_one() -> None:
    avatar = Avatar(bumpy_step, bumpy, bumpy_radiance, numbers(0.09, 0.04, 0.0, -0.06), MarchConfig(samples=24))
    pitch, yaw = numbers(0.0, 0.2, -0.3), numbers(0.5, 0.0, -0.4)
    together = render_rays(avatar, image_rays(pitch, yaw, 5))
    for k in range(3):
        alone = render_rays(avatar, image_rays(pitch[k : k + 1], yaw[k : k + 1], 5))
        one = {f.name: getattr(together, f.name)[k : k + 1] for f in dataclasses.fields(RayColours)}
        assert_same_colours(RayColours(**one), alone, atol=1e-12)


def test_a_picture_is_differentiable_in_everything() -> None:
    """Centre and scale of the spheres, a linear deformation, colour and opacity; rays that hit both, one and none."""
    rays = parallel_rays((0.01, 0.02), (0.055, -0.06), (0.2, 0.0))
    rays = Rays(rays.origins, torch.nn.functional.normalize(rays.directions + numbers(0.02, -0.03, 0), dim=-1))

    def render(centre: Tensor, growth: Tensor, step: Tensor, colour: Tensor, opacity: Tensor) -> tuple[Tensor, ...]:
        avatar = Avatar(
            offset=lambda x: x @ step,
            level=lambda x: growth * (x - centre).norm(dim=-1),
            radiance=lambda x: ((x @ colour).sigmoid(), (opacity + 20 * x.sum(-1)).sigmoid()),
            levels=numbers(0.09, 0.07),
            march=MarchConfig(samples=6),
            radiance_offset_gain=2.0,
        )
        seen = render_rays(avatar, rays)
        return seen.rgb, seen.depth, seen.foreground, seen.foreground_rgb, seen.x_template

    centre, growth, opacity = numbers(0.01, -0.01, 0.0), numbers(1.1), numbers(0.3)
    step, colour = 0.05 * draw(3, 3, seed=0), 10 * draw(3, 3, seed=1)
    inputs = [value.requires_grad_() for value in (centre, growth, step, colour, opacity)]
    assert torch.autograd.gradcheck(render, inputs)


def test_gradients_are_finite_where_nothing_is_hit() -> None:
    height = torch.zeros((), dtype=torch.float64, requires_grad=True)
    avatar = spheres(9.0, 8.0, level=lambda x: height.expand(x.shape[:2]))
    render_rays(avatar, parallel_rays((0.0, 0.0))).rgb.sum().backward()
    assert height.grad is not None and height.grad.isfinite()


@pytest.mark.parametrize("bad", [{"samples": 1}, {"near": 1.2}, {"near": -0.1}])
def test_a_march_that_goes_nowhere_is_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="march"):
        MarchConfig(**bad)
