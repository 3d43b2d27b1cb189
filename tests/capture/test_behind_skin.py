"""Plain colours of eyes and mouth take the light of the photograph's skin."""

import numpy as np
import pytest

from anifacegan.capture.behind_skin import AVERAGE_SKIN, _agreement, light_colour


def test_average_skin_is_white_light() -> None:
    assert light_colour(np.array(AVERAGE_SKIN)) == pytest.approx(np.ones(3), abs=1e-6)


def test_darker_skin_means_less_light_of_the_same_colour() -> None:
    light = light_colour(0.6 * np.array(AVERAGE_SKIN))
    assert light == pytest.approx(np.full(3, 0.6), abs=1e-5)


def test_reddish_skin_means_warm_light_in_part() -> None:
    skin = np.array(AVERAGE_SKIN) * [1.2, 1.0, 0.8]
    red, green, blue = light_colour(skin)
    assert red > green > blue
    assert red / blue < 1.5, "the skin's own tint is not all the light's"


def test_unseen_teeth_agree_with_those_that_the_photograph_shows() -> None:
    own = np.tile([0.8, 0.8, 0.8], (5, 1))
    assert _agreement(own * [0.5, 0.6, 0.7], own) == pytest.approx([0.5, 0.6, 0.7])
    assert _agreement(0 * own, own) == pytest.approx(np.full(3, 0.4)), "a dark gap does not make teeth black"
