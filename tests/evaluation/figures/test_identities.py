"""One expression on many people."""

import dataclasses
from pathlib import Path

from anifacegan.evaluation.figures import (
    identities,
)
from tests.fixtures.small_figures import few_options


def test_people_are_those_of_the_seeds_and_of_the_ones_that_follow(small: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(few_options(identities.FIGURE, small, tmp_path), seeds=(9, 4), count=4)
    assert identities.draw(config).record["seeds"] == [9, 4, 10, 11]  # nobody twice
