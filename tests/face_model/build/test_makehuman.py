"""MakeHuman's macro blend."""

import numpy as np
import pytest

from anifacegan.face_model.build.makehuman import macro_weights


def test_macro_shares_sum_to_one_in_each_family() -> None:
    strengths = macro_weights(0.3, 0.7, np.array([0.2, 0.3, 0.5]), 0.4, 0.9)
    races = [value for name, value in strengths.items() if "universal" not in name]
    bodies = [value for name, value in strengths.items() if "universal" in name]
    assert sum(races) == pytest.approx(1) and sum(bodies) == pytest.approx(1)
    assert strengths["macro/asian-male-old"] == pytest.approx(0.3 * 0.3 * 0.4)
    assert macro_weights(1.0, 0.5, (0.0, 0.0, 1.0), 0.5, 0.5) == {
        "macro/caucasian-male-young": 1,
        "macro/universal-male-young-averagemuscle-averageweight": 1,
    }


def test_the_young_are_part_child() -> None:
    strengths = macro_weights(0.0, 0.34375, (0.0, 1.0, 0.0), 0.5, 0.5)  # half-way from 10 to 25 years
    assert strengths["macro/asian-female-child"] == strengths["macro/asian-female-young"] == 0.5
    assert not any("old" in name for name in strengths)
