"""Volume rendering: intersections with closed-form manifolds, known deformations, and invariances."""

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering.compositing import RayColours
from anifacegan.rendering.culled import render_culled
from anifacegan.rendering.volume import in_slices, render_rays
from tests.fixtures.closed_forms import (
    TINY,
    assert_same_colours,
    bumpy_fields,
    camera_rays,
    constant_step,
    distance_to,
    draw,
    numbers,
    parallel_rays,
    spheres,
)

BETWEEN_SAMPLES = 2e-5
"""A sphere of radius 0.05 or more, met at 60 degrees or steeper, is this close to its chord between samples 0.0038
apart: spacing^2 / 8 * s'' / s'."""


# Intersection.


def test_rays_meet_spheres_at_the_analytic_distance() -> None:
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
    rays = camera_rays(yaw=yaw, pitch=pitch)
    colours = render_rays(spheres(0.11, 0.09), rays)
    hit, x = colours.hit[..., :2], colours.x_target[..., :2, :]
    toward = -(x * rays.directions[:, :, None]).sum(-1)  # of the sphere's radius, along the ray
    assert hit.any() and (toward[hit] > 0).all()
    steep = hit & (toward > 0.5 * x.norm(dim=-1))
    assert (x.norm(dim=-1) - numbers(0.11, 0.09))[steep].abs().max() < BETWEEN_SAMPLES
    torch.testing.assert_close(
        rays.at(colours.t)[colours.hit], colours.x_target[colours.hit], atol=TINY, rtol=0
    )


def test_a_ray_beside_a_sphere_misses_it() -> None:
    colours = render_rays(spheres(0.1, 0.07), parallel_rays((0.09, 0.0)))
    assert colours.hit[0, 0].tolist() == [True, False, True]
    assert colours.t[0, 0, 1] == 0 and colours.weights[0, 0, 1] == 0


def test_a_sphere_is_not_met_from_inside() -> None:
    """s rises where the ray leaves it."""
    inside = spheres(0.06, scalar=distance_to(0, 0, 0.1))
    assert render_rays(inside, parallel_rays((0.0, 0.0))).hit[0, 0].tolist() == [False, True]


def test_a_level_that_s_first_rises_through_is_missed_even_if_s_falls_later() -> None:
    """A tent: s is 3 at the first sample, 10 at z = 0.05, and falls from there on, at 100 per world unit."""
    fields = spheres(scalar=lambda x: 10 - 100 * (x[..., 2] - 0.05).abs(), levels=numbers(5.0, 2.0))
    colours = render_rays(fields, parallel_rays((0.0, 0.0)))
    assert colours.hit[0, 0].tolist() == [False, True, True]
    assert colours.t[0, 0, 1].item() == pytest.approx(1.03, abs=TINY)


def test_samples_include_both_ends() -> None:
    """s = z falls through a level just behind the first sample, and one just before the last."""
    fields = spheres(
        scalar=lambda x: x[..., 2], levels=numbers(0.1199, -0.1199), ray_sampling=RaySamplingConfig(samples=3)
    )
    colours = render_rays(fields, parallel_rays((0.0, 0.0)))
    assert colours.hit.all()
    torch.testing.assert_close(colours.t[0, 0, :2], numbers(0.8801, 1.1199), atol=TINY, rtol=0)


# View direction.


def test_view_dependent_colours_are_given_each_points_ray_direction() -> None:
    rays = camera_rays(yaw=0.4, pitch=-0.2)
    fields = spheres(
        0.1,
        radiance=lambda x, direction: (direction, torch.ones_like(x[..., 0])),
        view_dependent=True,
    )
    for render in (render_rays, render_culled):
        colours = render(fields, rays)
        torch.testing.assert_close(colours.rgb, rays.directions, atol=TINY, rtol=0)


# Deformation.


def test_deformed_face_is_the_template_moved() -> None:
    """x_template = x_target + delta: a constant delta is a face that stands delta the other way."""
    rays, step = camera_rays(yaw=-0.2, pitch=0.1), (0.01, -0.005, 0.0)
    moved_rays = Rays(rays.origins + numbers(*step), rays.directions)
    deformed = render_rays(spheres(0.09, 0.07, offset=constant_step(*step)), rays)
    template = render_rays(spheres(0.09, 0.07), moved_rays)
    assert not torch.equal(deformed.hit, render_rays(spheres(0.09, 0.07), rays).hit)
    for name in ("hit", "t", "weights", "foreground", "foreground_rgb", "depth"):
        torch.testing.assert_close(getattr(deformed, name), getattr(template, name), atol=TINY, rtol=0)
    torch.testing.assert_close(
        deformed.x_template[..., :-1, :], template.x_target[..., :-1, :], atol=TINY, rtol=0
    )


def test_a_face_moved_to_plus_x_moves_right_in_the_image() -> None:
    """delta leads back to the template, so delta = -0.02 shows the sphere at x = +0.02."""
    colours = render_rays(spheres(0.05, offset=constant_step(-0.02, 0, 0)), camera_rays(size=65))
    columns = colours.hit[0, :, 0].reshape(65, 65).any(dim=0).nonzero()[:, 0]
    focal = 32 / math.tan(math.radians(6))
    assert columns.double().mean().item() == pytest.approx(32 + focal * 0.02, abs=1.0)


@pytest.mark.parametrize("gain", [1.0, 3.0, 1 / 0.12])
def test_manifolds_use_gain_1_and_colours_the_radiance_offset_gain(gain: float) -> None:
    """With delta = (0.01, 0, -0.02): the ray x = 0.03 passes the sphere at x = 0.04, and meets it where
    z - 0.02 = sqrt(0.1^2 - 0.04^2)."""
    step = numbers(0.01, 0, -0.02)
    fields = spheres(0.1, offset=constant_step(*step.tolist()), radiance_offset_gain=gain)
    colours = render_rays(fields, parallel_rays((0.03, 0.0)))
    x_target = numbers(0.03, 0, 0.02 + math.sqrt(0.1**2 - 0.04**2))
    torch.testing.assert_close(colours.x_target[0, 0, 0], x_target, atol=BETWEEN_SAMPLES, rtol=0)
    torch.testing.assert_close(
        colours.x_template[0, 0, 0], x_target + gain * step, atol=BETWEEN_SAMPLES, rtol=0
    )
    rgb = 0.5 * (0.5 + 4 * colours.x_template[0, 0, 0])
    torch.testing.assert_close(colours.foreground_rgb[0, 0], rgb, atol=TINY, rtol=0)


def test_a_head_that_shrinks_is_met_deeper() -> None:
    """delta = 0.25 x: a template sphere of radius 0.1 is a target sphere of radius 0.08."""
    colours = render_rays(spheres(0.1, offset=lambda x: 0.25 * x), parallel_rays((0.0, 0.0)))
    torch.testing.assert_close(colours.x_target[0, 0, 0], numbers(0, 0, 0.08), atol=TINY, rtol=0)
    torch.testing.assert_close(colours.x_template[0, 0, 0], numbers(0, 0, 0.1), atol=TINY, rtol=0)


@pytest.mark.parametrize("render", [render_rays, render_culled])
def test_an_alignment_changes_only_where_the_radiance_is_evaluated(
    render: Callable[[ConditionedFields, Rays], RayColours],
) -> None:
    """The step depends on the template point, 0.01 + z / 10 along x; the background is read where it is."""
    step = constant_step(0.0, 0.01, 0.02)
    fields = spheres(0.1, offset=step, radiance_offset_gain=2.0)
    aligned = dataclasses.replace(fields, align=lambda x: numbers(1, 0, 0) * (0.01 + 0.1 * x[..., 2:]))
    rays = parallel_rays((0.0, -0.01))
    plain, seen = render_rays(fields, rays), render(aligned, rays)
    torch.testing.assert_close(seen.x_template[0, 0, 0], numbers(0, 0.01, 0.08 + 0.04), atol=TINY, rtol=0)
    for name in ("hit", "t", "weights", "depth", "x_target", "x_template"):
        torch.testing.assert_close(getattr(seen, name), getattr(plain, name), atol=TINY, rtol=0)
    change = numbers(0.5 * 4 * (0.01 + 0.1 * 0.12), 0, 0)  # half opaque, and 4 of colour for 1 of x
    torch.testing.assert_close(
        seen.foreground_rgb[0, 0] - plain.foreground_rgb[0, 0], change, atol=TINY, rtol=0
    )
    torch.testing.assert_close(seen.rgb[0, 0] - plain.rgb[0, 0], change, atol=TINY, rtol=0)


# Invariances and gradients.


@pytest.mark.parametrize("size", [1, 10, 49, 100])
def test_slices_give_the_same_image(size: int) -> None:
    fields = bumpy_fields(0.09, 0.04, 0.0, -0.06)
    rays = camera_rays(yaw=0.3, pitch=0.2)
    whole, parts = render_rays(fields, rays), [render_rays(fields, part) for part in in_slices(rays, size)]
    assert len(parts) == math.ceil(49 / size)
    joined = {
        f.name: torch.cat([getattr(p, f.name) for p in parts], dim=1) for f in dataclasses.fields(RayColours)
    }
    assert_same_colours(RayColours(**joined), whole, atol=1e-12)


def test_a_batch_of_poses_equals_one_by_one() -> None:
    fields = bumpy_fields(0.09, 0.04, 0.0, -0.06)
    pitch, yaw = numbers(0.0, 0.2, -0.3), numbers(0.5, 0.0, -0.4)
    together = render_rays(fields, image_rays(yaw=yaw, pitch=pitch, size=5))
    for k in range(3):
        alone = render_rays(fields, image_rays(yaw=yaw[k : k + 1], pitch=pitch[k : k + 1], size=5))
        one = {f.name: getattr(together, f.name)[k : k + 1] for f in dataclasses.fields(RayColours)}
        assert_same_colours(RayColours(**one), alone, atol=1e-12)


def test_an_image_is_differentiable_in_everything() -> None:
    """Centre and scale of the spheres, a linear deformation, colour and opacity; rays that hit both, one and none."""
    rays = parallel_rays((0.01, 0.02), (0.055, -0.06), (0.2, 0.0))
    rays = Rays(
        rays.origins, torch.nn.functional.normalize(rays.directions + numbers(0.02, -0.03, 0), dim=-1)
    )

    def render(
        centre: Tensor, growth: Tensor, step: Tensor, colour: Tensor, opacity: Tensor
    ) -> tuple[Tensor, ...]:
        fields = ConditionedFields(
            offset=lambda x: x @ step,
            scalar=lambda x: growth * (x - centre).norm(dim=-1),
            radiance=lambda x: ((x @ colour).sigmoid(), (opacity + 20 * x.sum(-1)).sigmoid()),
            levels=numbers(0.09, 0.07),
            ray_sampling=RaySamplingConfig(samples=6),
            radiance_offset_gain=2.0,
        )
        seen = render_rays(fields, rays)
        return seen.rgb, seen.depth, seen.foreground, seen.foreground_rgb, seen.x_template

    centre, growth, opacity = numbers(0.01, -0.01, 0.0), numbers(1.1), numbers(0.3)
    step, colour = 0.05 * draw(3, 3, seed=0), 10 * draw(3, 3, seed=1)
    inputs = [value.requires_grad_() for value in (centre, growth, step, colour, opacity)]
    assert torch.autograd.gradcheck(render, inputs)


def test_gradients_are_finite_where_nothing_is_hit() -> None:
    height = torch.zeros((), dtype=torch.float64, requires_grad=True)
    fields = spheres(9.0, 8.0, scalar=lambda x: height.expand(x.shape[:2]))
    render_rays(fields, parallel_rays((0.0, 0.0))).rgb.sum().backward()
    assert height.grad is not None and height.grad.isfinite()


@pytest.mark.parametrize(
    ("bad", "expected"),
    [({"samples": 1}, "samples is 1"), ({"near": 1.2}, "near < far"), ({"near": -0.1}, "near < far")],
)
def test_an_empty_sampling_range_is_refused(bad: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        RaySamplingConfig(**bad)
