"""One expression on many people."""

import dataclasses
from pathlib import Path

import pytest

from anifacegan.evaluation.figures import (
    identities,
)
from anifacegan.runtime.errors import ConfigError
from tests.fixtures.small_figures import few_options


def test_people_are_those_of_the_seeds_and_of_the_ones_that_follow(small: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(few_options(identities.FIGURE, small, tmp_path), seeds=(9, 4), count=4)
    assert identities.draw(config).record["seeds"] == [9, 4, 10, 11]  # nobody twice
    ranged = dataclasses.replace(config, seeds=(2, "4-5"), count=3)
    assert identities.draw(ranged).record["seeds"] == [2, 4, 5]
    with pytest.raises(ConfigError, match="seeds is 1001 values, expected at most 1000"):
        dataclasses.replace(config, seeds="0-1000")
