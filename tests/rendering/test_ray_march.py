"""A march finds the crossings that a search of every sample finds, from fewer samples."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering import ray_march
from anifacegan.rendering.adaptive_tracing import RayTracer, TracedRays
from anifacegan.rendering.numba_march_kernels import farthest_above
from anifacegan.rendering.ray_march import FallBounds, march, trace
from tests.fixtures.closed_forms import bumpy_fields, distance_to, numbers, spheres

SIZE = 24
LINES = torch.tensor([0, 4, 8, 12, 16, 20, 23])
"""About as far apart, 0.012 world units, as in an image of a head."""
BUMPY = bumpy_fields(0.09, 0.06, 0.04, 0.035, -0.02, -0.06)


def rays(yaw: float = 0.2, pitch: float = 0.1) -> Rays:
    """Of the middle of a head, 0.07 wide."""
    return image_rays(yaw=numbers(yaw), pitch=numbers(pitch), size=SIZE, fov_deg=4.0)


def marched(
    fields: ConditionedFields, wanted: Tensor | None = None, seen_by: Rays | None = None
) -> TracedRays:
    tracer = RayTracer(fields, seen_by or rays())
    pixels = torch.arange(SIZE * SIZE)
    bounds = FallBounds.measure(tracer, LINES, SIZE)
    squares = bounds.squares((pixels // SIZE).double(), (pixels % SIZE).double())
    return march(tracer, bounds, pixels, squares, wanted)


def traced(fields: ConditionedFields, seen_by: Rays | None = None) -> TracedRays:
    return trace(RayTracer(fields, seen_by or rays()), torch.arange(SIZE * SIZE))


def clear(fields: ConditionedFields) -> ConditionedFields:
    """The same manifolds, hardly visible, so that no ray ends before its last crossing."""
    return dataclasses.replace(fields, radiance=lambda x: (0.5 + x, torch.full_like(x[..., 0], 0.01)))


def counted(fields: ConditionedFields) -> tuple[ConditionedFields, list[int]]:
    counts: list[int] = []

    def scalar(x: Tensor) -> Tensor:
        counts.append(x.shape[1])
        return fields.scalar(x)

    return dataclasses.replace(fields, scalar=scalar), counts


@pytest.mark.parametrize("fields", [BUMPY, spheres(0.09, 0.085, 0.05, 0.02)], ids=["bumpy", "spheres"])
def test_every_crossing_is_where_the_search_of_all_samples_has_it(fields: ConditionedFields) -> None:
    seen, expected = marched(clear(fields)), traced(clear(fields))
    for field in dataclasses.fields(TracedRays):
        torch.testing.assert_close(
            getattr(seen, field.name), getattr(expected, field.name), atol=1e-12, rtol=0
        )
    assert 0 < seen.hit.sum() < seen.hit.numel()


def test_only_wanted_manifolds_are_composited_in_the_order_of_their_levels() -> None:
    fields = spheres(0.09, 0.07, 0.05)
    wanted = torch.tensor([True, False, True]).expand(SIZE * SIZE, 3)
    seen, expected = marched(fields, wanted), traced(spheres(0.09, 0.05))
    torch.testing.assert_close(seen.values, expected.values, atol=1e-12, rtol=0)
    assert not seen.hit[:, 1].any() and seen.hit[:, 2].any()


def test_a_ray_that_wants_nothing_sees_the_background_and_evaluates_nothing() -> None:
    fields, counts = counted(spheres(0.09, 0.07))
    tracer = RayTracer(fields, rays())
    bounds = FallBounds.measure(tracer, LINES, SIZE)
    counts.clear()
    nothing = torch.zeros(SIZE, 2, dtype=torch.bool)
    seen = march(tracer, bounds, torch.arange(SIZE), torch.zeros(SIZE, dtype=torch.long), nothing)
    assert not sum(counts) and not seen.values[:, 3].any()


def test_a_march_evaluates_a_third_of_the_samples_or_less() -> None:
    fields, counts = counted(clear(spheres(0.09, 0.085, 0.05, 0.02)))
    marched(fields)
    assert sum(counts) < (len(LINES) ** 2 + SIZE**2 / 3) * 64


def test_where_s_falls_faster_than_its_bound_the_crossing_is_still_found() -> None:
    """A cliff between the measured rays, in the middle of a long step over smooth s."""

    def scalar(x: Tensor) -> Tensor:
        cliff = (x[..., 2] < 0.03) & ((x[..., 0] - 0.0076).abs() < 0.004)
        return x[..., 2] + 0.1 - 0.15 * cliff

    fields, along_z = clear(spheres(0.05, 0.0, scalar=scalar)), rays(0.0, 0.0)
    seen, expected = marched(fields, seen_by=along_z), traced(fields, along_z)
    assert (seen.hit == expected.hit).all()
    torch.testing.assert_close(seen.distance, expected.distance, atol=1e-12, rtol=0)
    assert (expected.distance[:, 0].diff().abs() > 0.06).any()  # the cliff is in the image


def test_bounds_hold_the_largest_falls_of_the_measured_rays_around_a_square() -> None:
    fields = spheres(0.1, 0.0, scalar=lambda x: x[..., 2] * (1 + 5 * (x[..., 0] > 0.02)))
    tracer = RayTracer(fields, rays(0.0, 0.0))
    bounds = FallBounds.measure(tracer, LINES, SIZE)
    step = float(tracer.t[1] - tracer.t[0])
    margin = ray_march.FALL_MARGIN * 0.1
    falls = bounds.falls.reshape(6, 6, -1)
    assert falls.shape == (6, 6, len(tracer.t) - 1)
    # The rays are parallel to z within 2 degrees. s is steep from column 18.5 on: at the
    # measured ray of column 20, which is among those around square 3.
    assert (falls[:, :3] <= ray_march.FALL_SAFETY * step + margin).all()
    assert (falls[:, 3:].amax(dim=-1) > ray_march.FALL_SAFETY * 5.9 * step).all()


def test_squares_are_found_by_row_and_column_and_end_at_the_image() -> None:
    bounds = FallBounds(torch.tensor([0, 8, 16, 23]), torch.zeros(9, 63))
    row, column = numbers(0.0, 8.0, 7.9, 23.4, -0.4), numbers(0.0, 15.9, 16.0, 23.4, 9.0)
    assert bounds.squares(row, column).tolist() == [0, 4, 2, 8, 1]


@pytest.mark.parametrize(
    ("room", "sample", "farthest"),
    [(0.5, 0, 1), (1.0, 0, 1), (3.9, 0, 2), (4.0, 0, 3), (100.0, 0, 4), (2.0, 3, 4)],
)
def test_the_farthest_sample_is_the_last_that_the_falls_allow(
    room: float, sample: int, farthest: int
) -> None:
    assert farthest_above(room, sample, np.array([1.0, 1.0, 2.0, 1.0])) == farthest


def test_a_ray_goes_on_from_the_earliest_sample_and_back_where_that_is_too_far() -> None:
    """The crossings are those of all samples, also where all that is expected is far behind them."""
    fields, counts = counted(
        clear(spheres(0.06, 0.05, 0.0, -0.03, scalar=lambda x: x[..., 2] + 0.1 * x[..., 0]))
    )
    expected = traced(fields)
    tracer, pixels = RayTracer(fields, rays()), torch.arange(SIZE * SIZE)
    bounds = FallBounds.measure(tracer, LINES, SIZE)
    squares = bounds.squares((pixels // SIZE).double(), (pixels % SIZE).double())
    evaluated = []
    for shift in (None, 0, 40):
        counts.clear()
        earliest = None if shift is None else (expected.interval + shift).clamp(max=63)
        seen = march(tracer, bounds, pixels, squares, None, earliest)
        for field in dataclasses.fields(TracedRays):
            torch.testing.assert_close(
                getattr(seen, field.name), getattr(expected, field.name), atol=1e-12, rtol=0
            )
        evaluated.append(sum(counts))
    assert evaluated[1] < 0.8 * evaluated[0] < evaluated[2]


def test_distances_are_those_of_a_sphere() -> None:
    """Independent of the tracer: |origin + t direction - centre| = radius at the crossing, up to the samples' chord."""
    fields = clear(spheres(0.05, scalar=distance_to(0, 0, 0)))
    seen = marched(fields)
    place = rays().origins[0] + seen.distance * rays().directions[0]
    radius = place.norm(dim=-1)[seen.hit[:, 0]]
    step = 0.2 / 63
    assert (
        radius - 0.05
    ).abs().max() < step**2 / 8 / 0.05 * 8  # the sagitta of a chord that grazes is larger
