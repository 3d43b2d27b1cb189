"""Hair, brows, lashes and beards: frequencies by sex, descent and age, and colours."""

import numpy as np
import pytest

from anifacegan.data.synthetic.looks.appearance import HAIR_STYLES
from anifacegan.data.synthetic.looks.colour_prior import brow_colour, hair_colour, iris_colour
from anifacegan.data.synthetic.looks.hair_prior import (
    GROUP_NAMES,
    HairPrior,
    beard,
    brows,
    lashes,
    style_frequencies,
)
from anifacegan.data.synthetic.looks.traits import Traits
from anifacegan.data.synthetic.renderer import SyntheticRenderer

WOMAN = Traits(male=0.0, age_years=30.0, african=0.0, asian=0.0, melanin=0.2)
MAN = Traits(male=1.0, age_years=30.0, african=0.0, asian=0.0, melanin=0.2)
OLD_MAN = Traits(male=1.0, age_years=78.0, african=0.0, asian=0.0, melanin=0.2)
AFRICAN_MAN = Traits(male=1.0, age_years=30.0, african=1.0, asian=0.0, melanin=0.8)


@pytest.fixture(scope="module")
def prior(renderer: SyntheticRenderer) -> HairPrior:
    return renderer.prior.hair


def test_frequencies_are_of_known_styles_and_sum_to_one() -> None:
    for group in GROUP_NAMES:
        table = style_frequencies(*group)
        assert sum(table.values()) == pytest.approx(1) and set(table) <= set(HAIR_STYLES)
    worn = {style for group in GROUP_NAMES for style in style_frequencies(*group)}
    assert worn == set(HAIR_STYLES)


@pytest.mark.parametrize(
    "traits, group",
    [(WOMAN, ("w", "other", "young")), (MAN, ("m", "other", "young")), (AFRICAN_MAN, ("m", "african", "young")),
     (OLD_MAN, ("m", "other", "old"))],
)  # fmt: skip
def test_styles_are_as_frequent_as_in_the_tables(
    prior: HairPrior, traits: Traits, group: tuple[str, str, str]
) -> None:
    rng = np.random.default_rng(1)
    draws = [prior.hair(traits, rng.normal(size=6), np.zeros(3), np.zeros(3)) for _ in range(600)]
    weights = np.stack([hair.style_weights for hair in draws])
    expected = style_frequencies(*group)
    for style, share in zip(HAIR_STYLES, weights.mean(axis=0), strict=True):
        frequency = pytest.approx(expected.get(style, 0.0), abs=0.055)  # 2.7 sigma of 600 draws at 0.42
        assert share == frequency, style
    assert (weights.max(axis=1) > 0.8).mean() > 0.75


def test_men_have_shadows_stubble_or_beards_and_women_none() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(400, 4))
    men = [beard(MAN, z, np.zeros(3)) for z in noise]
    assert all(beard(WOMAN, z, np.zeros(3)).density == 0 for z in noise[:50])
    long = np.array([one.length > 0.03 for one in men])
    assert long.mean() == pytest.approx(0.31, abs=0.09)
    assert min(one.density for one in men) > 0 and np.std([one.density for one in men]) > 0.2
    bare = np.array([one.cheeks < 0.1 for one in men])
    assert (
        bare <= long
    ).all() and 0.05 < bare.mean() < 0.2  # bare cheeks with a goatee only, never with stubble


def test_brows_and_lashes_differ_between_the_sexes() -> None:
    zero = np.zeros(5)
    assert brows(MAN, zero, zero[:3]).thickness > brows(WOMAN, zero, zero[:3]).thickness + 0.2
    assert lashes(WOMAN, zero[:1]).length > lashes(MAN, zero[:1]).length + 0.2


def test_hair_greys_with_age_and_brows_later() -> None:
    zero = np.zeros(3)
    young, old = hair_colour(MAN, zero), hair_colour(OLD_MAN, zero)
    assert old.mean() > 2 * young.mean() and np.ptp(old) / old.mean() < 0.3 * np.ptp(young) / young.mean()
    assert brow_colour(OLD_MAN, zero).mean() < 0.7 * old.mean()


def test_dark_hair_and_brown_eyes_prevail_by_descent() -> None:
    noise = np.random.default_rng(3).normal(size=(200, 3))
    hair = {traits: np.mean([hair_colour(traits, z) for z in noise]) for traits in (MAN, AFRICAN_MAN)}
    assert hair[AFRICAN_MAN] < 0.4 * hair[MAN]
    blue = {
        traits: np.mean([np.diff(iris_colour(traits, z[:2])[[0, 2]]) > 0 for z in noise])
        for traits in (MAN, AFRICAN_MAN)
    }
    assert blue[AFRICAN_MAN] == 0 and 0.2 < blue[MAN] < 0.5
