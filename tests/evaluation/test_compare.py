"""Comparison of two models: statistics, intervals, verdict and contact sheet."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.data.synthetic.surface.head import load_head_geometry
from anifacegan.evaluation.bootstrap import BootstrapStatistics, Difference, Estimate, differences
from anifacegan.evaluation.compare import (
    ComparedStatistic,
    compare,
    require_same_faces,
    same_priors,
    table,
    verdict,
)
from anifacegan.evaluation.comparison_sheet import EXPRESSIONS, YAWS, ComparedModel, comparison_sheet
from anifacegan.evaluation.config import COMPARED, METRICS, OFFLINE, EvaluationConfig, SampleConfig
from anifacegan.evaluation.evaluate import Evaluation
from anifacegan.evaluation.image_sets import EvaluationInputs
from anifacegan.evaluation.inception import InceptionItems, InceptionReport
from anifacegan.evaluation.samples import expression_grid_views, render_view_rgb
from anifacegan.models.checkpoints import Checkpoint, ModelCard
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.model import Model
from tests.fixtures.judged_model import generator, tiny_dataset, tiny_judge
from tests.fixtures.one_line import assert_one_line

CONFIG = EvaluationConfig(
    samples=SampleConfig(count=6, size=12, batch=4),
    bootstrap=2,
    people=3,
    expressions=2,
    appearances=2,
    mesh_faces=6,
    consistency_faces=2,
    ramps=2,
    frames=3,
)
Measured = Callable[..., Evaluation]


@pytest.fixture(scope="module")
def measured(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """An evaluation of a generator with the tiny data set and judge."""
    judge = tiny_judge(tiny, tmp_path_factory.mktemp("judge"))
    dataset, head = tiny_dataset(tiny), load_head_geometry(tiny / "face_model.npz")

    def evaluation(made: Generator, batch: int = 4) -> Evaluation:
        samples = dataclasses.replace(CONFIG.samples, batch=batch)
        return Evaluation(
            EvaluationInputs(made, dataset, judge, head), dataclasses.replace(CONFIG, samples=samples)
        )

    return evaluation


def damaged() -> Generator:
    """Its deformation says more, and no more that is right."""
    made, rng = generator(), torch.Generator().manual_seed(5)
    made.deformation.head.weight += 0.3 * torch.randn(made.deformation.head.weight.shape, generator=rng)
    return made


# ------------------------------------------------------------------------------------------------------------- numbers
def test_a_model_does_not_differ_from_itself(measured: Measured) -> None:
    a, b = measured(generator()), measured(generator())
    metrics = [compare(name, a, b, 30, seed=1) for name in OFFLINE]
    numbers = [number for metric in metrics for number in metric.statistics]
    assert {metric.metric: {n.name for n in metric.statistics} for metric in metrics} == {
        name: set(COMPARED[name]) for name in OFFLINE
    }
    for number in numbers:
        assert number.estimates.difference == Estimate(0.0, 0.0, 0.0), (number.metric, number.name)
        assert number.ahead is number.winner is None
        assert number.estimates.a.low is not None and number.estimates.a.low <= number.estimates.a.value
    result = verdict(numbers)
    assert result.wins == result.losses == () and result.decidable == len(numbers) and not result.replaces
    assert "no winner" in result.text


def test_a_damaged_copy_loses_whichever_side_it_is_on(measured: Measured) -> None:
    whole, broken = generator(), damaged()
    numbers = compare("deformation", measured(whole), measured(broken), 200, seed=1).statistics
    assert [number.winner for number in numbers] == ["A", "A"]
    assert verdict(numbers).losses == ("deformation: error_interocular", "deformation: moving_relative")
    mirrored = compare("deformation", measured(broken), measured(whole), 200, seed=1).statistics
    assert [number.winner for number in mirrored] == ["B", "B"] and verdict(mirrored).replaces
    for number, other in zip(numbers, mirrored, strict=True):
        assert number.estimates.difference.value == -other.estimates.difference.value
        assert (number.estimates.a, number.estimates.b) == (other.estimates.b, other.estimates.a)


def test_numbers_depend_on_the_seed_alone(measured: Measured) -> None:
    """Not on the batch, within what the judge rounds in it, and not on the metrics compared before."""
    pair = measured(generator()), measured(damaged())
    alone = compare("expression", *pair, 40, seed=1)
    compare("identity", *pair, 40, seed=1)
    assert compare("expression", *pair, 40, seed=1) == alone
    other = compare("expression", *(measured(made, batch=5) for made in (generator(), damaged())), 40, seed=1)
    for number, again in zip(alone.statistics, other.statistics, strict=True):
        first, second = (dataclasses.astuple(n.estimates.difference) for n in (number, again))
        assert first == pytest.approx(second, rel=1e-4, abs=1e-5), number.name
    assert compare("expression", *pair, 40, seed=2).statistics != alone.statistics


def test_a_metric_of_whole_sets_decides_nothing(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = measured(generator()), measured(generator())
    for evaluation, fid in ((a, 9.0), (b, 3.0)):
        found = InceptionItems(InceptionReport(fid, 2.0, 0.1, 1.5, 0.1, 12, 12, 12))
        monkeypatch.setattr(evaluation, "_inception", lambda found=found: found)
    metric = compare("inception", a, b, 30, seed=1)
    fid, kid, score = metric.statistics
    assert (fid.ahead, fid.winner, kid.ahead, score.name) == ("B", None, None, "inception_score")
    assert (
        verdict(metric.statistics).decidable == 0
        and "Nothing was compared" in verdict(metric.statistics).text
    )
    assert metric.record(30)["draws"] == 0 and "| 9 | 3 | -6 | B | no interval |" in table([metric], {})


# ------------------------------------------------------------------------------------------------------------- verdict
def number(better: str, low: float, high: float) -> ComparedStatistic:
    difference = Estimate((low + high) / 2, float(low), float(high))
    return ComparedStatistic(
        "m", f"{better} {low}", better, Difference(Estimate(1.0), Estimate(1.0), difference)
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("better", "low", "high", "ahead", "winner"),
    [
        ("lower", -3, -1, "B", "B"),
        ("lower", -3, 1, "B", None),
        ("lower", 1, 3, "A", "A"),
        ("higher", 1, 3, "B", "B"),
        ("higher", -3, -1, "A", "A"),
        ("higher", -1, 3, "B", None),
        ("lower", -1, 0, "B", None),
        ("lower", -1, 1, None, None),
    ],
)
def test_who_wins_a_number(
    better: str, low: float, high: float, ahead: str | None, winner: str | None
) -> None:
    found = number(better, low, high)
    assert (found.ahead, found.winner) == (ahead, winner)


def test_who_has_no_number_loses_it() -> None:
    """A head of which nothing is opaque has no surface to compare, and must not get away with it."""
    some, none = Estimate(30.0, 29.0, 31.0), Estimate(math.nan)
    for a, b, winner in ((some, none, "A"), (none, some, "B"), (none, none, None)):
        found = ComparedStatistic(
            "view_consistency", "psnr_db", "higher", Difference(a, b, Estimate(math.nan))
        )
        assert (found.ahead, found.winner) == (winner, winner)
        assert verdict([found]).decidable == (winner is not None)


def test_b_replaces_a_if_it_wins_one_and_loses_none() -> None:
    win, loss, draw = number("lower", -3, -1), number("higher", -3, -1), number("lower", -1, 3)
    assert verdict([win, draw, draw]).replaces and verdict([win]).replaces
    for others in ([win, loss], [win, win, loss], [draw], [loss], []):
        assert not verdict(others).replaces
    result = verdict([win, loss, draw])
    assert result.text.startswith(
        "B wins 1 of 3 metrics beyond their 95 % intervals, loses 1: B does not replace A"
    )
    assert (
        "B wins 1 of 2 metrics beyond their 95 % intervals, loses 0: B replaces A ("
        in verdict([win, draw]).text
    )


def test_a_number_without_an_interval_is_said_not_to_count() -> None:
    undefined = ComparedStatistic(
        "view_consistency", "psnr_db", "higher", Difference(*[Estimate(math.nan)] * 3)
    )
    result = verdict([number("lower", -3, -1), undefined])
    assert "B wins 1 of 1 metrics beyond their 95 % intervals, loses 0 (1 without an interval" in result.text


def test_of_one_item_there_is_no_interval() -> None:
    """Each draw would pick it, and every difference would count."""
    a, b = (BootstrapStatistics({"faces": 1}, lambda w, x=x: {"mm": w[0] @ [x]}) for x in (1.0, 2.0))
    found = differences(a, b, 100, np.random.default_rng(0))["mm"]
    assert found.difference == Estimate(1.0) and found.is_significant() is None


def test_every_metric_says_which_way_is_better() -> None:
    assert tuple(COMPARED) == METRICS


def test_models_without_common_targets_are_refused() -> None:
    require_same_faces(("x", "x"), (0.1, 0.1))
    require_same_faces(("x", "x"), None)
    assert_one_line(
        lambda: require_same_faces(("x", "bfm09"), None), "A takes face model 'x', B takes 'bfm09'"
    )
    assert_one_line(lambda: require_same_faces(("x", "x"), (0.1, 0.0)), "0.1", "--pitch_offset")


def test_priors_are_the_same_where_they_draw_the_same() -> None:
    a, encoder, identity, expression = (generator() for _ in range(4))
    next(encoder.expression_prior.encoder.parameters()).data.zero_()  # it draws nothing
    next(identity.identity_prior.decoder.parameters()).data.mul_(2)
    next(expression.expression_prior.decoder.parameters()).data.mul_(2)
    assert [same_priors(a, other, 1) for other in (a, encoder, identity, expression)] == [
        True,
        True,
        False,
        False,
    ]


# --------------------------------------------------------------------------------------------------------------- sheet
def test_the_sheet_has_both_models_rows_of_the_same_people() -> None:
    a, b = (Model(Checkpoint(made, ModelCard("some", "face model"))) for made in (generator(), damaged()))
    size, people = 24, 2
    sheet = comparison_sheet(
        (ComparedModel("A", a, Path("a"), 1.0), ComparedModel("B", b, Path("b"), 0.5)),
        a,
        people,
        size,
        seed=3,
    )
    assert sheet.columns[0] == "neutral" and len(sheet.columns) == 1 + EXPRESSIONS + len(YAWS)
    who = expression_grid_views(a.generator, people, 1, 3).latents
    for k in range(people):
        for column, yaw in ((0, 0.0), (-2, YAWS[0]), (-1, YAWS[1])):
            cells = []
            for model, psi in ((a, 1.0), (b, 0.5)):
                latents = Latents(who.z_id[k : k + 1], torch.zeros(1, 64), who.z_noise[k : k + 1])
                view = PosedLatents(latents, torch.tensor([[0.0, yaw]]))
                cells.append(to_bytes(render_view_rgb(model.generator, view, size, psi)))
                assert len(places(sheet.image, cells[-1])) == 1, (k, column)
            (top,), (bottom,) = (places(sheet.image, cell) for cell in cells)
            assert bottom == (top[0] + size, top[1])  # B's right below A's


def places(image: np.ndarray, cell: np.ndarray) -> list[tuple[int, int]]:
    """Where a cell is in a sheet: all (row, column) of its upper left corner."""
    height, width = cell.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(image, (height, width, 3))[:, :, 0]
    corner = (windows[:, :, 0] == cell[0]).all(axis=(2, 3))
    return [(r, c) for r, c in np.argwhere(corner).tolist() if (windows[r, c] == cell).all()]
