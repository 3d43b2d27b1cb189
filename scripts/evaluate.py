#!/usr/bin/env python3
"""Measure a model, and say what was measured: a table, and metrics.json with values, counts, definitions and seeds.

    python scripts/evaluate.py --model checkpoints/demo --data DATA [--metrics NAME ...]

A metric that lacks something (a judge, Inception weights in the cache) says so in one line, and the next one is
measured. The definitions: docs/evaluation.md. Two models side by side: scripts/compare.py.
"""

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from anifacegan.evaluation.config import DEFINITIONS, METRICS
from anifacegan.evaluation.evaluate import Evaluation
from anifacegan.evaluation.setup import MeasureConfig, evaluation_setup
from anifacegan.models.model_folder import weights_hash_suffix
from anifacegan.rendering.model import load_model
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.files import markdown_table, write_complete
from anifacegan.runtime.provenance import installed_versions, without_nan
from anifacegan.runtime.typed_config import plain, read_config


@dataclass(frozen=True)
class EvaluateConfig(MeasureConfig):
    """Measure a model."""

    model: Path = Path("checkpoints/demo")
    """Model folder."""
    metrics: str | tuple[str, ...] = METRICS
    """One name or several, of: inception, frechet, embedding_frechet, expression, identity, recognition,
    disentanglement, view_consistency, smoothness, deformation."""
    out: Path = Path("runs/evaluate")
    """Folder for metrics.json and table.md."""


def results(evaluation: Evaluation, document: dict[str, Any], out: Path) -> dict[str, Any]:
    """The document with the chosen metrics, written anew after each of them."""
    for name in evaluation.config.metrics:
        entry: dict[str, Any] = {"definition": DEFINITIONS[name]}
        try:
            entry["values"] = dataclasses.asdict(evaluation.measure(name))
        except InputError as error:
            print(f"{name}: not measured: {error}", file=sys.stderr)
            entry["not_measured"] = str(error)
        if "embedder" in vars(evaluation.image_sets):  # loaded by a metric that needs it
            document["embedder"] = evaluation.image_sets.embedder.name
        document["metrics"][name] = entry
        write_complete(out / "metrics.json", json.dumps(without_nan(document), indent=1) + "\n")
    return document


def table(document: dict[str, Any]) -> str:
    """Markdown: one row a number, and what was counted behind it."""
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


def main() -> None:
    with exit_on_input_error():
        config = read_config(EvaluateConfig, sys.argv[1:], "evaluate.py")
        device = torch.device(select_device(config.device))
        model = load_model(config.model, str(device))
        opened = evaluation_setup(config, model.card, device)
        evaluation = opened.evaluation(config, model)
        config.out.mkdir(parents=True, exist_ok=True)
        offset = opened.dataset.config.pitch_offset
        document = {
            "model": f"{model.card.name} ({config.model}{weights_hash_suffix(config.model)})",
            "judge": None if opened.judge is None else opened.judge.name,
            "embedder": None,
            "data": {"path": str(config.data), "images": len(opened.dataset), "size": opened.size},
            "expressions_from": config.expressions_from,
            "settings": plain(config) | {"size": evaluation.samples.size, "pitch_offset": offset},
            "versions": installed_versions(),
            "device": str(device),
            "metrics": {},
        }
        shown = table(results(evaluation, document, config.out))
        write_complete(config.out / "table.md", shown)
        print(shown, end="")


if __name__ == "__main__":
    main()
