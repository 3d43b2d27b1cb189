"""Distances and cosines within and between people, for vectors whose distances are known."""

import math

import pytest
import torch
from torch import Tensor

from anifacegan.evaluation.recognition import RecognitionItems, identity_items


def test_distances_of_points_on_a_line() -> None:
    """Two people at 0 and 10, each pictured half a unit to both sides."""
    vectors = torch.tensor([[[-0.5], [0.5]], [[9.5], [10.5]]])
    spread = identity_items(vectors).report()
    assert spread.within == pytest.approx(1) and spread.between == pytest.approx(10)
    assert spread.ratio == pytest.approx(0.1) and (spread.people, spread.images_each) == (2, 2)


def test_a_person_who_never_changes_has_ratio_zero() -> None:
    people = torch.randn(4, 1, 8).expand(4, 3, 8)
    spread = identity_items(people).report()
    assert spread.within == 0 == spread.ratio and spread.between > 1


def test_images_that_do_not_tell_people_apart_have_ratio_one() -> None:
    spread = identity_items(torch.randn(40, 6, 32, generator=torch.Generator().manual_seed(1))).report()
    assert spread.ratio == pytest.approx(1, abs=0.01)


def test_distances_are_those_of_a_slow_loop() -> None:
    vectors = torch.randn(3, 4, 5, dtype=torch.float64)
    rows = [(who, vectors[who, k]) for who in range(3) for k in range(4)]
    within, between = [], []
    for i, (who, a) in enumerate(rows):
        for other, b in rows[:i]:
            (within if who == other else between).append((a - b).square().sum().sqrt())
    spread = identity_items(vectors).report()
    assert spread.within == pytest.approx(float(torch.stack(within).mean()), rel=1e-12)
    assert spread.between == pytest.approx(float(torch.stack(between).mean()), rel=1e-12)


@pytest.mark.parametrize("shape", [(1, 3, 5), (3, 1, 5)])
def test_one_person_or_one_image_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 2 and 2"):
        identity_items(torch.zeros(shape))


def test_an_image_that_both_sets_share_counts_once() -> None:
    """The neutral frontal face is among the yaws and the first of the expressions; counted twice it would be a pair
    without any distance."""
    rng = torch.Generator().manual_seed(0)
    yaws = torch.randn(4, 5, 8, generator=rng)
    expressions = torch.cat([yaws[:, :1], torch.randn(4, 3, 8, generator=rng)], dim=1)
    spread = identity_items(torch.cat([yaws, expressions[:, 1:]], dim=1)).report()
    assert RecognitionItems(yaws, expressions).report().between_over_within == pytest.approx(
        spread.between / spread.within
    )


def test_cosines_of_directions_in_the_plane() -> None:
    """Two people at right angles, each turning by 60 degrees between two images and not in the others."""

    def at(*degrees: float) -> Tensor:
        angle = torch.deg2rad(torch.tensor(degrees))
        return 5 * torch.stack([angle.cos(), angle.sin()], dim=-1)

    turning = torch.stack([at(0, 60), at(90, 150)])
    still = torch.stack([at(0, 0, 0), at(90, 90, 90)])
    found = RecognitionItems(turning, still).report()
    assert found.across_yaw == pytest.approx(0.5)
    between = [math.cos(math.radians(angle)) for angle in (90, 150, 30, 90)]
    assert found.across_yaw_others == pytest.approx(sum(between) / 4, abs=1e-6)
    assert found.across_expressions == pytest.approx(1)
    assert found.across_expressions_others == pytest.approx(0, abs=1e-6)
    assert (found.people, found.yaws, found.expressions) == (2, 2, 3)
    # Radius 5, and the first of ``still`` is that of ``turning``: of a person's six pairs three are 60 degrees, that is
    # 5, apart, and three are the same.
    rows = torch.cat([turning, still[:, 1:]], dim=1)
    within = [(a - b).norm() for person in rows for i, a in enumerate(person) for b in person[:i]]
    others = [(a - b).norm() for a in rows[0] for b in rows[1]]
    ratio = float(torch.stack(others).mean() / torch.stack(within).mean())
    assert found.between_over_within == pytest.approx(ratio, rel=1e-5)
    assert float(torch.stack(within).mean()) == pytest.approx(5 * 3 / 6, rel=1e-5)
