"""Identity within and between people: distances that were put in come out."""

import pytest
import torch

from anifacegan.evaluation.recognition import identity_items, recognition


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
def test_one_person_or_one_image_says_nothing(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 2 and 2"):
        identity_items(torch.zeros(shape))


def test_an_image_that_two_grids_share_is_one_image() -> None:
    """The neutral frontal face is among the yaws and the first of the expressions; counted twice it would be a pair
    without any distance."""
    rng = torch.Generator().manual_seed(0)
    yaws = torch.randn(4, 5, 8, generator=rng)
    expressions = torch.cat([yaws[:, :1], torch.randn(4, 3, 8, generator=rng)], dim=1)
    spread = identity_items(torch.cat([yaws, expressions[:, 1:]], dim=1)).report()
    assert recognition(yaws, expressions).between_over_within == pytest.approx(spread.between / spread.within)
