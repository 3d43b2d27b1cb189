"""Random people and poses of synthetic images."""

import dataclasses
import math

import numpy as np
import pytest

from anifacegan.data.synthetic.sampling import (
    PITCH_LIMIT,
    YAW_LIMIT,
    sample_expression,
    sample_identity,
    sample_pose,
)
from anifacegan.face_model.open_model import HeadParts
from tests.fixtures.tiny_head import UNITS, tiny_model, tiny_parts


def test_poses_are_normal_and_clamped() -> None:
    rng = np.random.default_rng(0)
    poses = np.array([sample_pose(rng) for _ in range(4000)])
    assert np.abs(poses).max(axis=0) == pytest.approx([PITCH_LIMIT, YAW_LIMIT])
    assert poses.std(axis=0) == pytest.approx([0.154, 0.347], abs=0.01)


@pytest.fixture(scope="module")
def parts() -> HeadParts:
    return tiny_parts(tiny_model())


def test_identities_are_mixes_that_keep_the_variance(parts: HeadParts) -> None:
    rng = np.random.default_rng(9)
    draws = np.stack([sample_identity(parts, rng) for _ in range(3000)])
    bank = parts.bank_id.astype(np.float64)
    cross_term = 4 / math.pi * np.square(bank.mean(axis=0)).sum()  # the tiny bank's mean is not quite zero
    expected = np.square(bank).sum(1).mean()
    assert np.square(draws).sum(1).mean() == pytest.approx(expected, abs=0.03 * expected + cross_term)
    apart = dataclasses.replace(parts, bank_id=np.eye(80, dtype=np.float16))
    lengths = np.array([np.linalg.norm(sample_identity(apart, rng)) for _ in range(300)])
    assert (np.abs(lengths - 1) < 1e-5).mean() > 0.9  # all but the same person drawn twice


def test_expressions_are_neutral_as_often_as_promised_and_never_stick_out_the_tongue(
    parts: HeadParts,
) -> None:
    tongue = UNITS.index("tongueOut")
    known = np.zeros((64, len(UNITS)), np.float32)
    known[np.arange(len(UNITS)), np.arange(len(UNITS))] = 1.0  # read strengths straight from the coefficients
    plain = dataclasses.replace(parts, au2exp=known)
    rng = np.random.default_rng(10)
    draws = np.stack([sample_expression(plain, rng) for _ in range(3000)])[:, : len(UNITS)]
    moved = (draws != 0).sum(axis=1)
    assert (moved == 0).mean() == pytest.approx(0.10, abs=0.02)
    clear = (moved > 0) & (moved < 8)
    assert clear.mean() == pytest.approx(0.16, abs=0.03)
    assert (draws[:, tongue] == 0).all() and draws.min() >= 0
    smile_left, smile_right = UNITS.index("mouthSmileLeft"), UNITS.index("mouthSmileRight")
    lopsided = clear & ((draws[:, smile_left] > 0) != (draws[:, smile_right] > 0))
    assert 0.002 < lopsided.mean() < 0.03
