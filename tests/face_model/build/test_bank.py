"""People of the bank: groups, sexes near the corners, targets of a sex."""

import numpy as np

from anifacegan.face_model.build.bank import FEMININE, MASCULINE, draw_wide_person
from anifacegan.face_model.build.identity import MakeHumanPerson, coefficients_of, find_sliders
from anifacegan.face_model.people import AGE_BANDS, GROUPS, group_parts, groups_of

SLIDERS = find_sliders(["nose/nose-hump-decr", "nose/nose-hump-incr", "eyes/l-eye-scale-decr",
                        "eyes/l-eye-scale-incr", "eyes/r-eye-scale-decr", "eyes/r-eye-scale-incr"])  # fmt: skip
ASYMMETRIES = [f"asym/asym-{i}" for i in range(8)]


def drawn(seed: int, count: int) -> list[MakeHumanPerson]:
    rng = np.random.default_rng(seed)
    return [draw_wide_person(rng, SLIDERS, ASYMMETRIES, index % GROUPS) for index in range(count)]


def test_everybody_belongs_to_the_group_that_was_asked_for() -> None:
    people = drawn(0, 10 * GROUPS)
    gender, age = (np.array([getattr(person, name) for person in people]) for name in ("gender", "age"))
    race = np.stack([person.race for person in people])
    assert np.array_equal(groups_of(gender, age, race), np.arange(len(people)) % GROUPS)
    assert ((gender < 0.25) | (gender > 0.75)).all() and np.allclose(race.sum(axis=1), 1)
    assert (race.max(axis=1) > 0.8).mean() > 0.5
    for person, group in zip(people, np.arange(len(people)) % GROUPS, strict=True):
        start, end = AGE_BANDS[group_parts(group)[2]]
        assert start <= person.age <= end


def test_people_depend_on_the_generator_alone() -> None:
    assert (
        [p.strengths for p in drawn(3, 40)]
        == [p.strengths for p in drawn(3, 40)]
        != [p.strengths for p in drawn(4, 40)]
    )


def test_targets_of_a_sex_are_stronger_in_that_sex_and_even_on_both_sides() -> None:
    people = drawn(1, 20 * GROUPS)
    for name, sex in (("chin/chin-width-decr", 0), ("chin/chin-bones-incr", 1)):
        table = (FEMININE, MASCULINE)[sex]
        strengths = np.array([person.strengths[name] for person in people])
        mine = np.array([group_parts(index % GROUPS)[0] == sex for index in range(len(people))])
        assert strengths[mine].mean() > 5 * strengths[~mine].mean()
        assert (
            0.8 * table[name] < strengths[mine].mean() < table[name]
        )  # genders are near the corner, not at it
    assert all(
        p.strengths["cheek/l-cheek-bones-incr"] == p.strengths["cheek/r-cheek-bones-incr"] for p in people
    )


def test_eyes_are_larger_and_sliders_wider_than_makehumans() -> None:
    people = drawn(2, 30 * GROUPS)

    def values(name: str) -> np.ndarray:
        return np.array(
            [p.strengths.get(f"{name}-incr", 0) - p.strengths.get(f"{name}-decr", 0) for p in people]
        )

    assert abs(values("eyes/l-eye-scale").mean() - 0.35) < 0.06
    assert abs(values("nose/nose-hump").std() - 1.25 * 0.15) < 0.02


def test_coefficients_are_those_of_a_weighted_projection() -> None:
    rng = np.random.default_rng(5)
    basis, truth = rng.normal(size=(30, 4)), rng.normal(size=(6, 4))
    weights = rng.uniform(0.1, 1, 10)
    found = coefficients_of(basis, (truth @ basis.T).astype(np.float32), weights)
    np.testing.assert_allclose(found, truth, atol=1e-5)  # float32 samples of size 3
