"""Run of ``anifacegan compare``: measures two models and writes comparison.json, table.md, sheet.png and a verdict."""

import json
import sys
from typing import Any

import torch
from tqdm import tqdm

from anifacegan.evaluation.compare import (
    RULE,
    ComparedMetric,
    Verdict,
    compare,
    require_same_faces,
    same_priors,
    table,
    verdict,
)
from anifacegan.evaluation.comparison_sheet import ComparedModel, ComparisonSheet, comparison_sheet
from anifacegan.evaluation.config import CompareConfig
from anifacegan.evaluation.evaluate import Evaluation
from anifacegan.evaluation.setup import EvaluationSetup, evaluation_setup
from anifacegan.rendering.images import write_png
from anifacegan.rendering.model import load_model
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InputError, one_line
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.output_folders import filled_when_complete, require_room
from anifacegan.runtime.provenance import installed_versions, without_nan
from anifacegan.runtime.resources import located_model
from anifacegan.runtime.typed_config import plain


def run(config: CompareConfig) -> str:
    """Compare two models by the metrics of ``config``, and write the output folder.

    Returns a text: the table, and the verdict whether B may replace A. If the run is interrupted, the output folder
    stays as it was before.

    Raises:
        InputError: an option, a model or a file is wrong, or the models cannot show the same faces.
    """
    require_room(config.out, ("comparison.json", "table.md", "sheet.png"), config.overwrite)
    device = torch.device(select_device(config.device))
    paths = located_model(config.a), located_model(config.a if config.b is None else config.b)
    a, b = (
        ComparedModel(name, load_model(path, str(device)), path, psi)
        for name, path, psi in zip("AB", paths, config.psis, strict=True)
    )
    offsets = (a.model.card.pitch_offset, b.model.card.pitch_offset) if config.pitch_offset is None else None
    require_same_faces((a.model.card.face_model, b.model.card.face_model), offsets)
    setup = evaluation_setup(config, a.model.card, device)
    priors = a.model if config.faces == "shared" else None
    evaluations = (
        setup.evaluation(config, a.model, a.psi),
        setup.evaluation(config, b.model, b.psi, priors),
    )
    with filled_when_complete(config.out, config.overwrite, whole=True) as folder:
        metrics, not_measured = _compare_metrics(config, evaluations)
        result = verdict(statistic for metric in metrics for statistic in metric.statistics)
        sheet = comparison_sheet((a, b), a.model, config.sheet_people, config.sheet_size, config.seed)
        document = {
            "a": a.record(),
            "b": b.record(),
            **_conditions(config, setup, evaluations[0]),
            "faces": {
                "drawn_by": "each model's own priors" if priors is None else "A's priors",
                "priors_are_equal": same_priors(a.model.generator, b.model.generator, config.seed),
                "expressions_from": config.expressions_from,
            },
            "metrics": {metric.metric: metric.record(config.draws) for metric in metrics},
            "not_measured": not_measured,
            **_outcome(result, sheet),
        }
        text = "\n".join([table(metrics, not_measured), "", *_legend(document), result.text, ""])
        write_png(folder / "sheet.png", sheet.image)
        write_complete(folder / "table.md", text)
        content = json.dumps(without_nan(document), indent=1, allow_nan=False)
        (folder / "comparison.json").write_text(content + "\n")
    return text


def _compare_metrics(
    config: CompareConfig, evaluations: tuple[Evaluation, Evaluation]
) -> tuple[list[ComparedMetric], dict[str, str]]:
    """Compare the models by all selected metrics.

    Returns the compared metrics, and the name of each metric that could not be measured -> the reason.
    """
    compared, not_measured = [], {}
    selected = dict.fromkeys(evaluations[0].config.metrics)
    for name in tqdm(selected, desc="metrics", unit="metric", disable=None, leave=False):
        try:
            compared.append(compare(name, *evaluations, config.draws, config.seed))
        except InputError as error:
            tqdm.write(one_line(f"{name}: not measured: {error}"), file=sys.stderr)
            not_measured[name] = str(error)
    return compared, not_measured


def _conditions(config: CompareConfig, setup: EvaluationSetup, evaluation: Evaluation) -> dict[str, Any]:
    """Record the judge, the embedder, the data, all settings and the versions."""
    dataset = setup.dataset
    return {
        "judge": None if setup.judge is None else setup.judge.name,
        "embedder": evaluation.image_sets.loaded_embedder_name,
        "data": {"path": str(config.data), "images": len(dataset), "size": setup.size},
        "settings": plain(config)
        | {"size": evaluation.samples.size, "pitch_offset": dataset.config.pitch_offset},
        "versions": installed_versions(),
        "device": str(evaluation.image_sets.device),
    }


def _outcome(result: Verdict, sheet: ComparisonSheet) -> dict[str, Any]:
    """Record the verdict, and the columns of sheet.png."""
    return {
        "sheet": {"file": "sheet.png", "columns": list(sheet.columns)},
        "verdict": {
            "rule": RULE,
            "b_wins": list(result.wins),
            "b_loses": list(result.losses),
            "of": result.decidable,
            "b_replaces_a": result.replaces,
            "text": result.text,
        },
    }


def _legend(document: dict[str, Any]) -> list[str]:
    """Return the lines below the table: definitions of the metrics, the two models and the sampled faces."""
    lines = [f"- {name}: {entry['definition']}." for name, entry in document["metrics"].items()]
    lines += ["", "Values [95 % interval]; the interval of B - A is that of the same items of both.", ""]
    for name in ("a", "b"):
        lines.append(f"{name.upper()}: {document[name]['model']}, psi {document[name]['psi']:g}")
    faces = document["faces"]
    equality = "equal" if faces["priors_are_equal"] else "not equal"
    source = "" if faces["expressions_from"] == "prior" else ", with expressions of the data"
    lines.append(f"faces: drawn by {faces['drawn_by']}{source}; the priors of A and B are {equality}")
    return [*lines, *(f"{key}: {document[key]}" for key in ("judge", "embedder", "data")), ""]
