"""What a run shows of its generator: a sphere in closed form, and the sheets of a small one."""

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.rendering.deformation_maps import heat_colours, render_deformation
from anifacegan.training.previews import PEOPLE, YAW, held_out_faces, held_out_psnr, sheets
from tests.fixtures.closed_forms import constant_step, numbers, spheres
from tests.fixtures.small_models import small_generator
from tests.fixtures.small_training_data import random_paired_data

SIZE = 9
"""Odd: one pixel looks at the centre."""


def red(x: Tensor) -> tuple[Tensor, Tensor]:
    """Opaque; rays that miss the sphere do not matter."""
    return numbers(1.0, 0.0, 0.0).expand_as(x), torch.ones_like(x[..., 0])


def test_a_sphere_is_seen_in_its_colour_at_its_depth() -> None:
    ray_sampling = RaySamplingConfig(near=0.88, far=1.12, samples=200)
    seen = render_deformation(spheres(0.06, ray_sampling=ray_sampling, radiance=red), 0.0, SIZE)
    centre = SIZE // 2
    torch.testing.assert_close(seen.rgb[centre, centre], numbers(1, 0, 0), atol=1e-3, rtol=0)
    assert float(seen.depth[centre, centre]) == pytest.approx((1.12 - 0.94) / 0.24, abs=1e-4)
    assert float(seen.depth[0, 0]) == 0  # the background lies beyond the last sample


@pytest.mark.parametrize("gain", [1.0, 1 / 0.12])
def test_the_length_of_the_deformation_is_that_of_what_is_seen(gain: float) -> None:
    """Whatever its factor on the place where colours are read. The background is never deformed."""
    fields = spheres(0.06, radiance=red, offset=constant_step(0.003, 0.0, 0.004), radiance_offset_gain=gain)
    seen = render_deformation(fields, 0.0, SIZE)
    assert float(seen.step[SIZE // 2, SIZE // 2]) == pytest.approx(0.005, abs=1e-6)
    assert float(seen.step[0, 0]) == 0


def test_heat_goes_from_black_over_red_and_yellow_to_white() -> None:
    colours = heat_colours(torch.tensor([0.0, 1 / 3, 2 / 3, 1.0, 9.0]))
    expected = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]]
    torch.testing.assert_close(colours, torch.tensor(expected, dtype=torch.float32))


def test_sheets_show_every_person_with_every_expression_and_view() -> None:
    generator, size = small_generator(), 6
    smile = np.random.default_rng(0).standard_normal(64).astype(np.float32)
    drawn = sheets(generator, {"neutral": np.zeros(64, np.float32), "smile": smile}, size)
    assert drawn.keys() == {"expressions", "deformation", "yaw", "depth"}
    for name, columns in (("expressions", 2), ("deformation", 2), ("yaw", len(YAW)), ("depth", len(YAW))):
        assert drawn[name].shape[0] > len(PEOPLE) * size and drawn[name].shape[1] > columns * size, name
    again = sheets(generator, {"neutral": np.zeros(64, np.float32), "smile": smile}, size)
    assert all(np.array_equal(drawn[name], again[name]) for name in drawn)
    other = sheets(generator, {"neutral": np.zeros(64, np.float32), "smile": 0 * smile}, size)
    changed = {name for name in drawn if not np.array_equal(drawn[name], other[name])}
    assert changed == {"expressions", "deformation"}


def test_the_error_of_held_out_faces_is_that_of_their_renderings() -> None:
    """All pixels of small images, of two faces: the mean of the squared differences that the preview shows."""
    generator, data, count, size = small_generator(), random_paired_data(held_out=2), 2, 8
    drawn = held_out_faces(generator, data, count, size).astype(np.float64) / 255
    squared = (drawn[:size] - drawn[size : 2 * size]) ** 2
    # Bytes: each value is off by up to 0.002, the differences are tenths.
    assert held_out_psnr(generator, data, count, size) == pytest.approx(
        -10 * np.log10(squared.mean()), abs=0.05
    )
    one = held_out_psnr(generator, data, 1, size)
    assert one == pytest.approx(-10 * np.log10(squared[:, :size].mean()), abs=0.05)
    assert one != held_out_psnr(generator, data, count, size)
