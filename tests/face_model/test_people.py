"""Groups of people by sex, descent and age."""

import numpy as np

from anifacegan.face_model.people import (
    GROUPS,
    group_by_turns,
    group_parts,
    groups_of,
    nearest_groups,
    proportions,
)


def test_every_group_is_a_sex_a_descent_and_an_age_band_of_its_own() -> None:
    assert len({group_parts(group) for group in range(GROUPS)}) == GROUPS == 18


def test_groups_are_told_from_traits() -> None:
    for group in range(GROUPS):
        sex, descent, band = group_parts(group)
        race = np.full((1, 3), 0.1)
        race[0, descent] = 0.8
        found = groups_of(np.array([0.1 + 0.8 * sex]), np.array([(20.0, 40.0, 78.0)[band]]), race)
        assert found.tolist() == [group]
    outside = groups_of(np.array([0.9, 0.9]), np.array([12.0, 90.0]), np.array([[1.0, 0, 0]] * 2))
    assert [group_parts(group)[2] for group in outside] == [0, 2]


def test_proportions_are_one_line_of_shares() -> None:
    line = proportions(np.arange(GROUPS))
    assert line.count("50.0 %") == 2 and line.count("33.3 %") == 6 and "\n" not in line
    assert "female 100.0 %, male 0.0 %" in proportions(np.zeros(5, int))


def test_an_identity_belongs_to_the_group_with_the_nearest_mean() -> None:
    """The first axis varies ten times as much within groups as the others, and tells least."""
    rng = np.random.default_rng(0)
    means, deviations = rng.normal(0, 3, (GROUPS, 80)), np.r_[30.0, np.full(79, 1.0)]
    groups = np.repeat(np.arange(GROUPS), 150)
    bank = means[groups] + deviations * rng.normal(size=(len(groups), 80))
    others = means[groups] + deviations * rng.normal(size=(len(groups), 80))
    assert (nearest_groups(others, bank, groups) == groups).mean() > 0.99


def test_a_line_up_takes_turns() -> None:
    parts = np.array([group_parts(group_by_turns(person)) for person in range(6)])
    assert len({tuple(row) for row in parts}) == 6
    assert (parts[1:] != parts[:-1]).all()
    for column, count in enumerate((2, 3, 3)):
        assert (np.bincount(parts[:, column]) == 6 // count).all()
