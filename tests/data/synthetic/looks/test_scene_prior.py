"""Glasses, clothes and backgrounds: how frequent, and in which colours."""

import numpy as np
import pytest

from anifacegan.data.synthetic.looks.appearance import BACKGROUND_KINDS
from anifacegan.data.synthetic.looks.scene_prior import (
    FREQUENCIES,
    GLASSES_OLD,
    GLASSES_YOUNG,
    BackgroundPrior,
    clothes,
    glasses,
)
from anifacegan.data.synthetic.looks.traits import Traits


def aged(years: float) -> Traits:
    return Traits(male=0.5, age_years=years, african=0.3, asian=0.3, melanin=0.4)


@pytest.mark.parametrize("years, share", [(30.0, GLASSES_YOUNG), (75.0, GLASSES_OLD)])
def test_glasses_are_as_frequent_as_promised_and_mostly_on_or_off(years: float, share: float) -> None:
    noise = np.random.default_rng(0).normal(size=(1500, 4))
    sizes = np.array([glasses(aged(years), z).size for z in noise])
    assert (sizes > 0.5).mean() == pytest.approx(share, abs=0.045)  # 4 sigma of 1500 draws at 0.24
    assert ((sizes > 0) & (sizes < 1)).mean() < 0.08


def test_clothes_are_mostly_dark_and_pale_and_never_black_or_glowing() -> None:
    noise = np.random.default_rng(1).normal(size=(1000, 4))
    drawn = [clothes(z) for z in noise]
    rgb = np.stack([one.rgb for one in drawn])
    assert rgb.min() >= 0.008 and rgb.max() <= 0.85
    assert 0.3 < (rgb.mean(axis=1) < 0.08).mean() < 0.5
    saturation = np.ptp(rgb, axis=1) / rgb.max(axis=1)
    assert np.median(saturation) < 0.4 and (saturation > 0.55).mean() > 0.05
    assert {-0.2, 0.0, 0.22} <= {round(one.collar, 6) for one in drawn}


def test_backgrounds_are_as_frequent_as_in_the_table_and_plausibly_bright() -> None:
    prior = BackgroundPrior.fit()
    drawn = [prior.background(z) for z in np.random.default_rng(2).normal(size=(800, 8))]
    weights = np.stack([one.kind_weights for one in drawn])
    for name, share in zip(BACKGROUND_KINDS, weights.mean(axis=0), strict=True):
        assert share == pytest.approx(FREQUENCIES[name], abs=0.06), name  # 4 sigma of 800 draws at 0.25
    palettes = np.stack([one.palette_rgb for one in drawn])
    assert palettes.min() > 0.01 and palettes.max() < 1.0
    green = weights[:, BACKGROUND_KINDS.index("green")] > 0.9
    assert (palettes[green, :3, 1] > palettes[green, :3, 0]).mean() > 0.95
    studio = weights[:, BACKGROUND_KINDS.index("studio")] > 0.95
    assert max(one.lights for one, there in zip(drawn, studio, strict=True) if there) < 0.06
