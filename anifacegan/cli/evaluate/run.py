"""Measures a model with the selected metrics, and writes the results: metrics.json and table.md.

A metric whose input is missing (a judge, Inception weights in the cache) is reported in one line, and the next metric
is measured.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from anifacegan.cli.evaluate.config import EvaluateConfig
from anifacegan.evaluation.config import DEFINITIONS
from anifacegan.evaluation.evaluate import Evaluation
from anifacegan.evaluation.setup import EvaluationSetup, evaluation_setup
from anifacegan.models.checkpoints import ModelCard
from anifacegan.models.model_folder import weights_hash_suffix
from anifacegan.rendering.model import load_model
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InputError, say
from anifacegan.runtime.files import complete_or_absent, encoded, write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.interrupts import interrupts_put_off
from anifacegan.runtime.markdown import markdown_table
from anifacegan.runtime.provenance import installed_versions, without_nan
from anifacegan.runtime.resources import located_model
from anifacegan.runtime.typed_config import plain

RESULTS = ("metrics.json", "table.md")
"""Names of the files in the output folder."""
PARTIAL = "unfinished-metrics.json"
"""Name of the file that holds what has been measured, until the last metric is."""


def run(config: EvaluateConfig) -> str:
    """Measure a model and write the output folder; return the table.

    Raises:
        InputError: a model or file cannot be used.
    """
    with GrowingFolder(config.out, config.overwrite) as folder:
        folder.require_room([PARTIAL, *RESULTS])
        config = dataclasses.replace(config, model=located_model(config.model))
        device = torch.device(select_device(config.device))
        model = load_model(config.model, str(device))
        opened = evaluation_setup(config, model.card, device)
        evaluation = opened.evaluation(config, model)
        folder.claim([PARTIAL, *RESULTS])
        document = provenance(config, model.card, opened, evaluation, str(device))
        text = table(results(evaluation, document, config.out))
        metrics, summary = (config.out / name for name in RESULTS)
        with interrupts_put_off():  # the two belong together
            with complete_or_absent(metrics) as new_metrics, complete_or_absent(summary) as new_summary:
                new_metrics.write_bytes(encoded(_file_text(document)))
                new_summary.write_bytes(encoded(text))
            folder.remove([PARTIAL])
        return text


def results(evaluation: Evaluation, document: dict[str, Any], out: Path) -> dict[str, Any]:
    """Measure the selected metrics, add them to ``document``, and return it.

    ``document`` is the content of metrics.json. After each metric, it is written to ``PARTIAL`` in the folder ``out``;
    results of an earlier run stay beside it.
    """
    for name in evaluation.config.metrics:
        entry: dict[str, Any] = {"definition": DEFINITIONS[name]}
        try:
            entry["values"] = dataclasses.asdict(evaluation.measure(name))
        except InputError as error:
            say(f"{name}: not measured: {error}")
            entry["not_measured"] = str(error)
        document["embedder"] = evaluation.image_sets.loaded_embedder_name
        document["metrics"][name] = entry
        write_complete(out / PARTIAL, _file_text(document))
    return document


def _file_text(document: dict[str, Any]) -> str:
    return json.dumps(without_nan(document), indent=1) + "\n"


def table(document: dict[str, Any]) -> str:
    """Format the content of metrics.json as a Markdown table: a row for each number, with the numbers of images, people
    or faces behind it.
    """
    rows = []
    for name, entry in document["metrics"].items():
        if "not_measured" in entry:
            rows.append([name, "not measured", entry["not_measured"]])
            continue
        values = entry["values"]
        counts = ", ".join(f"{key} {value}" for key, value in values.items() if isinstance(value, int))
        numbers = {key: value for key, value in values.items() if isinstance(value, float)}
        of = f" of {values['features']}" if "features" in values else ""
        rows += [[f"{name}{of}: {key}", f"{value:.4g}", counts] for key, value in numbers.items()]
    lines = [markdown_table(["metric", "value", "of"], rows), ""]
    lines += [*(f"- {name}: {entry['definition']}." for name, entry in document["metrics"].items()), ""]
    legend = (f"{key}: {document[key]}" for key in ("model", "judge", "embedder", "data", "expressions_from"))
    return "\n".join([*lines, *legend, ""])


def provenance(
    config: EvaluateConfig, card: ModelCard, opened: EvaluationSetup, evaluation: Evaluation, device: str
) -> dict[str, Any]:
    """Return what metrics.json holds beside the results: model, face regressor for evaluation (judge), data, settings,
    package versions and device.
    """
    sampling = {"size": evaluation.samples.size, "pitch_offset": opened.dataset.config.pitch_offset}
    return {
        "model": f"{card.name} ({config.model}{weights_hash_suffix(config.model)})",
        "judge": None if opened.judge is None else opened.judge.name,
        "embedder": None,
        "data": {"path": str(config.data), "images": len(opened.dataset), "size": opened.size},
        "expressions_from": config.expressions_from,
        "settings": plain(config) | sampling,
        "versions": installed_versions(),
        "device": device,
        "metrics": {},
    }
