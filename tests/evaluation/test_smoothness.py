"""Second differences of landmarks whose motion is known."""

import math

import pytest
import torch
from torch import Tensor

from anifacegan.evaluation.smoothness import Smoothness, eased_strengths, smoothness_items


def smoothness(measured: Tensor, target: Tensor) -> Smoothness:
    return smoothness_items(measured, target).report()


def target(frames: int = 9) -> Tensor:
    shape = torch.randn(2, 1, 68, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return eased_strengths(frames).double()[None, :, None, None] * shape


def test_strengths_rise_from_0_to_1_and_are_eased() -> None:
    strength = eased_strengths(9)
    assert strength[0] == 0 and strength[-1] == 1 and strength[4] == pytest.approx(0.5)
    assert (strength.diff() > 0).all() and strength[1] < 0.5 / 8


def test_the_target_itself_has_ratio_1() -> None:
    found = smoothness(target() + 3.0, target())
    assert found.ratio == pytest.approx(1) and (found.ramps, found.frames) == (2, 9) and found.target_mm > 0


def test_alternating_steps_of_1_mm_have_a_second_difference_of_4_mm() -> None:
    """Landmarks that step 1 mm to and fro along one axis."""
    jitter = torch.zeros(2, 9, 68, 3, dtype=torch.float64)
    jitter[..., 0] = ((-1.0) ** torch.arange(9))[None, :, None]
    assert smoothness(jitter, target()).measured_mm == pytest.approx(4)
    still = smoothness(jitter, torch.zeros_like(jitter))
    assert still.target_mm == 0 and math.isnan(still.ratio)
