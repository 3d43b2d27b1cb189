"""Counts and sizes are compared with limits and with the memory before anything is allocated."""

import resource
from dataclasses import dataclass
from pathlib import Path

import pytest

from anifacegan.avatars.config import BakeConfig
from anifacegan.cli.dataset.config import DatasetConfig
from anifacegan.cli.prepare.config import PrepareConfig
from anifacegan.cli.render.config import RenderConfig
from anifacegan.evaluation.config import EvaluationConfig, MeasureConfig, SampleConfig
from anifacegan.evaluation.figures.config import (
    ExpressionsConfig,
    IdentitiesConfig,
    InterpolationConfig,
    MeshConfig,
    TruncationConfig,
)
from anifacegan.runtime import errors, limits
from anifacegan.runtime.errors import InputError, require_at_least, require_memory
from anifacegan.training.config import AdversarialConfig, Reporting
from anifacegan.training.schedule import Schedule


@dataclass(frozen=True)
class Tiles:
    texture: int = 64
    batch: int = 2


def test_what_needs_more_memory_than_there_is_is_refused_with_both_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errors, "memory_bytes", lambda: 5 * 10**9)
    require_memory(Tiles(), 5e9, "texture")
    with pytest.raises(InputError) as error:
        require_memory(Tiles(), 6e9, "texture", "batch")
    assert str(error.value) == (
        "texture is 64, expected less, with batch 2: about 6 GB of memory are needed, at most 5 GB can be used"
    )


def test_the_memory_is_at_most_what_ulimit_allows() -> None:
    whole = limits.memory_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**37, hard))
    try:
        assert limits.memory_bytes() == min(whole, 2**37)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_a_count_has_the_limit_of_its_name() -> None:
    require_at_least(Tiles(batch=limits.LARGEST["batch"]), 1, "batch")
    with pytest.raises(InputError, match="batch is 65537, expected at most 65536"):
        require_at_least(Tiles(batch=limits.LARGEST["batch"] + 1), 1, "batch")
    with pytest.raises(InputError, match="batch is 999.*, expected at most 65536"):
        require_at_least(Tiles(batch=10**500 - 1), 1, "batch")
    assert limits.largest("first_seed") == 2**63 - 1 and limits.largest("warm_up") == limits.LARGEST_COUNT


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: BakeConfig(texture=8192), "texture is 8192"),
        (lambda: SampleConfig(count=100_000, size=1024), "count is 100000, expected less, with size 1024"),
        (lambda: SampleConfig(count=4000, batch=4000, size=512), "batch is 4000"),
        (lambda: EvaluationConfig(people=10**5, expressions=100), "people is 100000"),
        (lambda: EvaluationConfig(ramps=10**4, frames=10**5), "ramps is 10000"),
        (lambda: MeasureConfig(Path("data"), metrics="frechet", count=10**7), "count is 10000000"),
        (lambda: IdentitiesConfig(count=1000, size=1024), "count is 1000"),
        (lambda: IdentitiesConfig(count=10**9), "count is 1000000000, expected 1 to 1000"),
        (lambda: ExpressionsConfig(drawn=10**9), "drawn is 1000000000"),
        (lambda: InterpolationConfig(steps=10**9), "steps is 1000000000"),
        (lambda: TruncationConfig(psis=(0.5,) * 1001), "psis is 1001 values"),
        (lambda: MeshConfig(resolution=1000), "resolution is 1000"),
        (lambda: RenderConfig(grid_yaw=(0.1,) * 10_000, grid_size=1024), "grid_size is 1024"),
        (lambda: PrepareConfig(Path("a"), Path("b"), processes=10**9), "processes is 1000000000"),
        (lambda: DatasetConfig(Path("a"), 10**9), "count is 1000000000"),
        (lambda: AdversarialConfig(batch=10**9), "batch is 1000000000"),
        (lambda: Schedule(rays=10**9), "rays is 1000000000"),
        (lambda: Reporting(sheet_size=10**9), "sheet_size is 1000000000"),
    ],
)
def test_options_that_would_fill_the_memory_are_refused_by_name(
    make: object, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "memory_bytes", lambda: 10 * 10**9)
    with pytest.raises(InputError) as error:
        make()  # type: ignore[operator]
    assert str(error.value).startswith(named)
