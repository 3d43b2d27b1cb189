"""Two models side by side: by every number, which is better, and whether by more than chance makes of these images.

Both are measured on the same items: faces of the same seeds, the same cameras, the same expressions, the same real
images. Every draw of the bootstrap (:mod:`anifacegan.metrics.bootstrap`) takes the same items of both.

    A model wins a number if it is better and the 95 % interval of the difference leaves out zero, or if the other has
    no such number at all.
    B may replace A if it wins at least one number and loses none.

Numbers of whole sets have no interval, so they are shown and decide nothing.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch

from anifacegan.evaluation.bootstrap import Difference, Estimate, differences
from anifacegan.evaluation.config import COMPARED, DEFINITIONS, Better
from anifacegan.evaluation.evaluate import Evaluation
from anifacegan.evaluation.samples import expression_grid_views
from anifacegan.models.generator import Generator
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import markdown_table

Side = Literal["A", "B"]
RULE = "B may replace A if it wins at least one number beyond its 95 % interval, and loses none"


@dataclass(frozen=True)
class ComparedNumber:
    """One number of both."""

    metric: str
    name: str
    better: Better
    found: Difference

    @property
    def ahead(self) -> Side | None:
        """Who is better, by however little; None where they are equal, or where both have no number."""
        if self.only is not None:
            return self.only
        difference = self.found.difference.value
        if not math.isfinite(difference) or difference == 0:
            return None
        return "B" if (difference < 0) == (self.better == "lower") else "A"

    @property
    def only(self) -> Side | None:
        """Who has a number where the other has none: no surface to compare, say."""
        a, b = (math.isnan(estimate.value) for estimate in (self.found.a, self.found.b))
        return None if a == b else "B" if a else "A"

    @property
    def beyond(self) -> bool | None:
        """Whether the difference is more than chance; None where there is no interval to tell it by."""
        return True if self.only is not None else self.found.beyond()

    @property
    def winner(self) -> Side | None:
        """Who is better beyond the interval."""
        return self.ahead if self.beyond else None

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "better": self.better,
            **asdict(self.found),
            "ahead": self.ahead,
            "beyond_interval": self.beyond,
        }


@dataclass(frozen=True)
class Verdict:
    """Who wins how many numbers."""

    wins: tuple[str, ...]
    """Names of the numbers that B wins."""
    losses: tuple[str, ...]
    """Of those that A wins."""
    decidable: int
    """Numbers that have an interval."""

    @property
    def replaces(self) -> bool:
        """Whether B may replace A."""
        return bool(self.wins) and not self.losses

    @property
    def text(self) -> str:
        if not self.decidable:
            return f"Nothing was compared that has an interval: no winner. {RULE}."
        wins, losses = len(self.wins), len(self.losses)
        won = f"B wins {wins} of {self.decidable} metrics beyond their 95 % intervals, loses {losses}"
        if not self.wins and not self.losses:
            return f"{won}: no winner, B does not replace A ({RULE})."
        return f"{won}: B {'replaces' if self.replaces else 'does not replace'} A ({RULE})."


def verdict(numbers: Iterable[ComparedNumber]) -> Verdict:
    """Of everything that was compared."""
    known = [number for number in numbers if number.beyond is not None]
    names = {side: tuple(f"{n.metric}: {n.name}" for n in known if n.winner == side) for side in ("A", "B")}
    return Verdict(names["B"], names["A"], len(known))


@dataclass(frozen=True)
class ComparedMetric:
    """All numbers of one metric."""

    metric: str
    reports: tuple[dict[str, Any], dict[str, Any]]
    """What evaluate.py says of A and of B."""
    items: dict[str, int]
    """How many of each kind were drawn from; nothing where there is no interval."""
    numbers: tuple[ComparedNumber, ...]

    def record(self, draws: int) -> dict[str, Any]:
        """Plain values."""
        return {
            "definition": DEFINITIONS[self.metric],
            "a": self.reports[0],
            "b": self.reports[1],
            "items": self.items,
            "draws": draws if self.items else 0,
            "compared": {number.name: number.record() for number in self.numbers},
        }


def compare(metric: str, a: Evaluation, b: Evaluation, draws: int, seed: int) -> ComparedMetric:
    """One metric of two models that are measured with the same settings.

    Its draws depend on the seed and on the metric's name, whichever other metrics are compared.

    Raises:
        InputError: something the metric needs is missing, in one line.
    """
    first, second = a.items(metric), b.items(metric)
    rng = np.random.default_rng([seed, *metric.encode()])
    bootstrap_statistics = first.bootstrap_statistics(), second.bootstrap_statistics()
    found = differences(*bootstrap_statistics, draws, rng)
    numbers = tuple(
        ComparedNumber(metric, name, COMPARED[metric][name], pair) for name, pair in found.items()
    )
    return ComparedMetric(
        metric,
        (asdict(first.report()), asdict(second.report())),
        dict(bootstrap_statistics[0].counts),
        numbers,
    )


def require_same_faces(face_models: tuple[str, str], pitch_offsets: tuple[float, float] | None) -> None:
    """Refuse two models that cannot be asked for the same; offsets where the models' cards choose them.

    Raises:
        InputError: they belong to different face models, or take the data's pitch for different cameras.
    """
    a, b = face_models
    if a != b:
        raise InputError(
            f"A takes face model '{a}', B takes '{b}', expected the same: their expressions differ"
        )
    if pitch_offsets is not None and pitch_offsets[0] != pitch_offsets[1]:
        raise InputError(
            f"A's card has pitch_offset {pitch_offsets[0]:g}, B's {pitch_offsets[1]:g}, "
            "expected --pitch_offset for both"
        )


def same_priors(a: Generator, b: Generator, seed: int) -> bool:
    """Whether both draw the same people and expressions from the same seed; two of each are looked at."""
    first, second = (vars(expression_grid_views(made, 2, 3, seed).latents) for made in (a, b))
    return all(torch.equal(first[name].cpu(), second[name].cpu()) for name in first)


def table(metrics: Iterable[ComparedMetric], not_measured: dict[str, str]) -> str:
    """Markdown: a row a number, with the intervals of both and of B - A."""
    rows = []
    for metric in metrics:
        for number in metric.numbers:
            found, beyond = number.found, number.beyond
            cells = map(_shown, (found.a, found.b, found.difference))
            sure = "no interval" if beyond is None else "yes" if beyond else "no"
            features = metric.reports[0].get("features")
            title = f"{metric.metric}{f' of {features}' if features else ''}: {number.name}"
            ahead = number.ahead or ("equal" if found.difference.value == 0 else "")
            rows.append([title, number.better, *cells, ahead, sure])
    rows += [[name, "", "not measured", reason, "", "", ""] for name, reason in not_measured.items()]
    return markdown_table(["metric", "better", "A", "B", "B - A", "ahead", "beyond the interval"], rows)


def _shown(estimate: Estimate) -> str:
    value = f"{estimate.value:.4g}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{estimate.low:.4g}, {estimate.high:.4g}]"
