"""Random people and poses of synthetic images."""

import dataclasses
import math

import numpy as np
import pytest

from anifacegan.data.synthetic.renderer import SyntheticRenderer
from anifacegan.data.synthetic.sampling import (
    GROUP_STRIDE,
    IDENTITY_SPREAD,
    PITCH_LIMIT,
    YAW_LIMIT,
    item_identity,
    sample_expression,
    sample_identity,
    sample_item,
    sample_pose,
)
from anifacegan.face_model.open_model import HeadParts
from anifacegan.face_model.people import GROUPS
from tests.fixtures.tiny_head import UNITS


def test_poses_are_normal_and_clamped() -> None:
    rng = np.random.default_rng(0)
    poses = np.array([sample_pose(rng) for _ in range(4000)])
    assert np.abs(poses).max(axis=0) == pytest.approx([PITCH_LIMIT, YAW_LIMIT])
    assert poses.std(axis=0) == pytest.approx([0.154, 0.347], abs=0.01)


@pytest.fixture(scope="module")
def parts(renderer: SyntheticRenderer) -> HeadParts:
    return renderer.head.parts


def test_identities_are_mixes_with_the_mean_and_a_larger_variance_of_their_group(parts: HeadParts) -> None:
    rng = np.random.default_rng(9)
    draws = np.stack([sample_identity(parts, rng, group=4) for _ in range(3000)])
    bank = parts.bank_id[parts.bank_group == 4].astype(np.float64)
    assert len(bank) > 20
    sigma = IDENTITY_SPREAD * bank.std(axis=0) / math.sqrt(3000)  # of the mean of 3000 draws
    assert (np.abs(draws.mean(axis=0) - bank.mean(axis=0)) < 5 * sigma + 1e-6).all()
    assert draws.var(axis=0).sum() == pytest.approx(IDENTITY_SPREAD**2 * bank.var(axis=0).sum(), rel=0.05)
    other = sample_identity(dataclasses.replace(parts, bank_id=np.zeros_like(parts.bank_id)), rng, group=4)
    assert not other.any()  # nothing but the bank


def test_a_data_set_has_as_many_people_of_every_group(parts: HeadParts) -> None:
    people = [sample_item(parts, 3, index)[0] for index in range(4 * GROUPS)]
    gender = np.array([person.z_id[0] > 0 for person in people])  # of the tiny bank
    african = np.array([person.z_id[1] for person in people])
    assert gender.mean() == 0.5 and 0.2 < (african > 0.8).mean() < 0.45
    again, pose = sample_item(parts, 3, 5)
    assert np.array_equal(again.z_id, people[5].z_id) and np.array_equal(again.z_noise, people[5].z_noise)
    assert np.array_equal(item_identity(parts, 3, 5), again.z_id)
    assert pose == sample_item(parts, 3, 5)[1] and abs(pose[0]) <= PITCH_LIMIT and abs(pose[1]) <= YAW_LIMIT
    assert math.gcd(GROUP_STRIDE, GROUPS) == 1


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
