"""Comparison of two models, A and B, by the statistics of every metric.

Both models are measured on the same items: faces of the same seeds, the same cameras, expressions and real images. The
intervals come from bootstrap draws, random samples of these items (:mod:`anifacegan.evaluation.bootstrap`); each draw
picks the same items for both models.

    A model wins a statistic if it is better and the 95 % interval of the difference excludes zero, or if the other
    model's value is undefined.
    B may replace A if it wins at least one statistic and loses none.

FID, KID and Inception Score have no intervals: they are reported but do not enter the verdict.
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
from anifacegan.runtime.markdown import markdown_table

ModelName = Literal["A", "B"]
RULE = "B may replace A if it wins at least one number beyond its 95 % interval, and loses none"


@dataclass(frozen=True)
class ComparedStatistic:
    """One statistic of a metric for both compared models, A and B."""

    metric: str
    """Name of the metric."""
    name: str
    """Name of the statistic."""
    better: Better
    """Whether lower or higher values of the statistic are better."""
    estimates: Difference
    """Values of both models and their difference, with intervals."""

    @property
    def ahead(self) -> ModelName | None:
        """The model with the better value; None if the values are equal or both undefined."""
        if self.only_defined_for is not None:
            return self.only_defined_for
        difference = self.estimates.difference.value
        if not math.isfinite(difference) or difference == 0:
            return None
        return "B" if (difference < 0) == (self.better == "lower") else "A"

    @property
    def only_defined_for(self) -> ModelName | None:
        """The model whose value is defined while the other model's value is nan; None if both or neither are defined.

        A depth, for example, is undefined for a head without a surface.
        """
        undefined_a, undefined_b = math.isnan(self.estimates.a.value), math.isnan(self.estimates.b.value)
        if undefined_a == undefined_b:
            return None
        return "B" if undefined_a else "A"

    @property
    def significant(self) -> bool | None:
        """Whether the difference between the models counts; None if there is no interval.

        It counts if its 95 % interval excludes zero, or if the value of only one model is defined.
        """
        return True if self.only_defined_for is not None else self.estimates.is_significant()

    @property
    def winner(self) -> ModelName | None:
        """The model with the better value if the difference is significant, else None."""
        return self.ahead if self.significant else None

    def record(self) -> dict[str, Any]:
        """Return the values of both models, their difference and the intervals as plain values for JSON."""
        return {
            "better": self.better,
            **asdict(self.estimates),
            "ahead": self.ahead,
            "beyond_interval": self.significant,
        }


@dataclass(frozen=True)
class Verdict:
    """Result of a comparison: the statistics that each of the models A and B wins.

    B may replace A if it wins at least one statistic and loses none.
    """

    wins: tuple[str, ...]
    """Names of the statistics that B wins."""
    losses: tuple[str, ...]
    """Names of the statistics that A wins."""
    decidable: int
    """Number of statistics that have an interval."""
    undecidable: int = 0
    """Number of statistics that have none, as their values are undefined or of one item."""

    @property
    def replaces(self) -> bool:
        """Whether model B wins at least one statistic and loses none, and so may replace model A."""
        return bool(self.wins) and not self.losses

    @property
    def text(self) -> str:
        """The verdict in one sentence."""
        if not self.decidable:
            return f"Nothing was compared that has an interval: no winner. {RULE}."
        wins, losses = len(self.wins), len(self.losses)
        won = f"B wins {wins} of {self.decidable} metrics beyond their 95 % intervals, loses {losses}"
        if self.undecidable:
            won += f" ({self.undecidable} without an interval are not counted)"
        if not self.wins and not self.losses:
            return f"{won}: no winner, B does not replace A ({RULE})."
        return f"{won}: B {'replaces' if self.replaces else 'does not replace'} A ({RULE})."


def verdict(statistics: Iterable[ComparedStatistic]) -> Verdict:
    """Decide which statistics model A wins, and which statistics model B wins."""
    statistics = list(statistics)
    decidable = [statistic for statistic in statistics if statistic.significant is not None]
    won_by = {
        model: tuple(f"{s.metric}: {s.name}" for s in decidable if s.winner == model) for model in ("A", "B")
    }
    undecidable = len(statistics) - len(decidable)
    return Verdict(won_by["B"], won_by["A"], len(decidable), undecidable)


@dataclass(frozen=True)
class ComparedMetric:
    """All statistics of one metric for both compared models, A and B."""

    metric: str
    """Name of the metric."""
    reports: tuple[dict[str, Any], dict[str, Any]]
    """The full reports of A and of B, as ``anifacegan evaluate`` gives them."""
    items: dict[str, int]
    """Kind of item that the bootstrap resamples, such as people -> number of these items; empty if the metric has no
    intervals."""
    statistics: tuple[ComparedStatistic, ...]
    """The statistics by which the models are compared."""

    def record(self, draws: int) -> dict[str, Any]:
        """Return the metric as plain values for JSON; ``draws`` is the number of bootstrap draws behind its
        intervals.
        """
        return {
            "definition": DEFINITIONS[self.metric],
            "a": self.reports[0],
            "b": self.reports[1],
            "items": self.items,
            "draws": draws if self.items else 0,
            "compared": {statistic.name: statistic.record() for statistic in self.statistics},
        }


def compare(metric: str, a: Evaluation, b: Evaluation, draws: int, seed: int) -> ComparedMetric:
    """Compare model A and model B by one metric; both evaluations must have the same settings.

    The intervals come from ``draws`` bootstrap draws (random samples of the measured items, with replacement). The
    draws depend only on the seed and on the metric's name.

    Raises:
        InputError: something that the metric needs (a face regressor for evaluation, a mesh, a package) is missing.
    """
    items_a, items_b = a.items(metric), b.items(metric)
    rng = np.random.default_rng([seed, *metric.encode()])
    statistics_a, statistics_b = items_a.bootstrap_statistics(), items_b.bootstrap_statistics()
    compared = differences(statistics_a, statistics_b, draws, rng)
    return ComparedMetric(
        metric=metric,
        reports=(asdict(items_a.report()), asdict(items_b.report())),
        items=dict(statistics_a.counts),
        statistics=tuple(
            ComparedStatistic(metric, name, COMPARED[metric][name], estimates)
            for name, estimates in compared.items()
        ),
    )


def require_same_faces(face_models: tuple[str, str], pitch_offsets: tuple[float, float] | None) -> None:
    """Refuse two models that cannot show the same faces from the same cameras.

    Args:
        face_models: names of the models' face models.
        pitch_offsets: ``pitch_offset`` of A and of B in their card.yaml, radians: the pitch of a frontal face in .mat
            files without an exact pose. None if the user gave one value for both models.

    Raises:
        InputError: the face models or the pitch offsets differ.
    """
    a, b = face_models
    if a != b:
        raise InputError(
            f"A takes face model '{a}', B takes '{b}', expected the same: their expressions differ"
        )
    if pitch_offsets is not None and pitch_offsets[0] != pitch_offsets[1]:
        raise InputError(
            f"A's card.yaml has pitch_offset {pitch_offsets[0]:g}, B's {pitch_offsets[1]:g}, "
            "expected --pitch_offset for both"
        )


def same_priors(a: Generator, b: Generator, seed: int) -> bool:
    """Return whether both models' priors give the same latents for a seed, tested on two people and two expressions."""
    first, second = (vars(expression_grid_views(model, 2, 3, seed).latents) for model in (a, b))
    return all(torch.equal(first[name].cpu(), second[name].cpu()) for name in first)


def table(metrics: Iterable[ComparedMetric], not_measured: dict[str, str]) -> str:
    """Format a Markdown table with one row per statistic: values and intervals of A, B and B - A.

    ``not_measured`` maps the names of metrics that could not be measured to the reasons.
    """
    rows = []
    for metric in metrics:
        for statistic in metric.statistics:
            estimates, significant = statistic.estimates, statistic.significant
            cells = map(_estimate_text, (estimates.a, estimates.b, estimates.difference))
            significance = "no interval" if significant is None else "yes" if significant else "no"
            features = metric.reports[0].get("features")
            title = f"{metric.metric}{f' of {features}' if features else ''}: {statistic.name}"
            ahead = statistic.ahead or ("equal" if estimates.difference.value == 0 else "")
            rows.append([title, statistic.better, *cells, ahead, significance])
    rows += [[name, "", "not measured", reason, "", "", ""] for name, reason in not_measured.items()]
    return markdown_table(["metric", "better", "A", "B", "B - A", "ahead", "beyond the interval"], rows)


def _estimate_text(estimate: Estimate) -> str:
    value = f"{estimate.value:.4g}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{estimate.low:.4g}, {estimate.high:.4g}]"
