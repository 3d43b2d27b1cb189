#!/usr/bin/env python3
"""Measure a model, and say what was measured: a table, and metrics.json with values, counts, definitions and seeds.

    python scripts/evaluate.py --model checkpoints/demo --data DATA --judge checkpoints/judge [--metrics NAME ...]

A metric that lacks something (a judge, Inception weights, a package) says so in one line, and the next one is measured.
The definitions: docs/evaluation.md.
"""

import dataclasses
import hashlib
import json
import math
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from anifacegan.atomic_files import write_complete
from anifacegan.checkpoints import TENSORS, ModelCard
from anifacegan.coefficients import OPEN_FACE_MODEL
from anifacegan.command_line import plain, read_config
from anifacegan.data import DataConfig, FaceDataset, picture_size
from anifacegan.devices import Device, chosen_device
from anifacegan.errors import InputError, exit_on_input_error, require
from anifacegan.head_geometry import load_head_geometry
from anifacegan.library import load_model
from anifacegan.metrics.evaluation import Evaluation
from anifacegan.metrics.gallery import Subject
from anifacegan.metrics.judge import Judge, load_judge
from anifacegan.metrics.samples import SampleConfig
from anifacegan.metrics.settings import DEFINITIONS, METRICS, EvaluationConfig

PACKAGES = ("anifacegan", "torch", "numpy", "torch-fidelity", "onnxruntime", "dlib-bin")


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a model."""

    data: Path
    """Folder or .zip with images and .mat files: real pictures, and the poses that faces are generated in."""
    model: Path = Path("checkpoints/demo")
    """Model folder."""
    judge: Path | None = None
    """Folder of a face reconstruction network that was in no loss of this model."""
    metrics: str | tuple[str, ...] = METRICS
    """One name or several, of: inception, frechet, embedding_frechet, expression, identity, recognition,
    disentanglement, view_consistency, smoothness, deformation."""
    embedder: str = "judge"
    """Who recognises faces: judge, dlib, or a file .onnx or .pt (TorchScript) that takes aligned 112 px crops."""
    inception_weights: Path | None = None
    """torch-fidelity's weights file. null: the one in PyTorch's cache."""
    count: int = 2000
    """Generated pictures for Frechet distances and expression control; twice as many real ones."""
    inception_count: int = 5000
    """Generated pictures, and real ones, for FID, KID and IS."""
    people: int = 40
    """People of identity, recognition and disentanglement."""
    expressions: int = 6
    """Expressions of each of them."""
    mesh_faces: int = 200
    """Faces of the deformation error."""
    consistency_faces: int = 20
    """Faces of the view consistency."""
    ramps: int = 6
    """Expression ramps of the temporal smoothness."""
    frames: int = 24
    """Frames of a ramp."""
    bootstrap: int = 100
    """Draws for the deviations of Frechet distances."""
    size: int | None = None
    """Height and width of generated pictures, to which real ones are brought, pixels. null: that of the data."""
    psi: float = 1.0
    """Variety of people."""
    seed: int = 1
    """Of everything that is drawn."""
    batch: int = 32
    """Pictures that are judged at once; changes no result."""
    pitch_offset: float | None = None
    """Subtracted from the files' pitch where they have no exact pose, radians. null: as the model's card says."""
    face_model: Path | None = None
    """File of the open face model. null: the cached one."""
    device: Device = "auto"
    out: Path = Path("runs/evaluate")
    """Folder for metrics.json and table.md."""

    def __post_init__(self) -> None:
        require(self, "", "count inception_count batch", at_least=1)
        self.evaluation(64)                                            # refuses what it cannot take

    def evaluation(self, size: int) -> EvaluationConfig:
        """The same for the package, with pictures of this size."""
        samples = SampleConfig(self.count, self.seed, size if self.size is None else self.size, self.psi, self.batch)
        return EvaluationConfig(
            metrics=(self.metrics,) if isinstance(self.metrics, str) else self.metrics,
            samples=samples,
            bootstrap=self.bootstrap,
            inception_count=self.inception_count,
            people=self.people,
            expressions=self.expressions,
            mesh_faces=self.mesh_faces,
            consistency_faces=self.consistency_faces,
            ramps=self.ramps,
            frames=self.frames,
        )


def matching_judge(config: EvaluateConfig, card: ModelCard, device: torch.device) -> Judge | None:
    """The judge, where there is one.

    Raises:
        InputError: it cannot be read, or it cannot know this model's faces.
    """
    if config.judge is None:
        return None
    if card.face_model != OPEN_FACE_MODEL:
        raise InputError(f"judge: model '{card.name}' takes '{card.face_model}', a judge knows '{OPEN_FACE_MODEL}'")
    return load_judge(config.judge, config.face_model, device)


def results(evaluation: Evaluation, document: dict[str, Any], out: Path) -> dict[str, Any]:
    """The document with the chosen metrics, written anew after each of them."""
    for name in evaluation.config.metrics:
        entry: dict[str, Any] = {"definition": DEFINITIONS[name]}
        try:
            entry["values"] = dataclasses.asdict(evaluation.measure(name))
        except InputError as error:
            print(f"{name}: not measured: {error}", file=sys.stderr)
            entry["not_measured"] = str(error)
        if "embedder" in vars(evaluation.gallery):                     # loaded by a metric that needs it
            document["embedder"] = evaluation.gallery.embedder.name
        document["metrics"][name] = entry
        write_complete(out / "metrics.json", json.dumps(without_nan(document), indent=1) + "\n")
    return document


def without_nan(value: Any) -> Any:
    """Plain values; what is not a finite number is null: JSON has no nan."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(document: dict[str, Any]) -> str:
    """Markdown: one row a number, and what was counted behind it."""
    lines = ["| metric | value | of |", "|---|---|---|"]
    for name, entry in document["metrics"].items():
        if "not_measured" in entry:
            lines.append(f"| {name} | not measured | {entry['not_measured']} |")
            continue
        values = entry["values"]
        counts = ", ".join(f"{key} {value}" for key, value in values.items() if isinstance(value, int))
        numbers = {key: value for key, value in values.items() if isinstance(value, float)}
        lines += [f"| {name}: {key} | {value:.4g} | {counts} |" for key, value in numbers.items()]
    lines += ["", *(f"- {name}: {entry['definition']}." for name, entry in document["metrics"].items()), ""]
    return "\n".join([*lines, *(f"{key}: {document[key]}" for key in ("model", "judge", "embedder", "data")), ""])


def weights_sum(model: Path) -> str:
    """The start of the weights' sum, to tell versions of a model apart; of our own model folders."""
    weights = model / TENSORS
    return f", sha256 {hashlib.sha256(weights.read_bytes()).hexdigest()[:12]}" if weights.is_file() else ""


def installed_versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    with exit_on_input_error():
        config = read_config(EvaluateConfig, sys.argv[1:], "evaluate.py")
        device = torch.device(chosen_device(config.device))
        model = load_model(config.model, str(device))
        judge = matching_judge(config, model.card, device)
        size = picture_size(config.data)
        offset = model.card.pitch_offset if config.pitch_offset is None else config.pitch_offset
        dataset = FaceDataset(DataConfig(config.data, size, offset))
        head = load_head_geometry(config.face_model) if model.card.face_model == OPEN_FACE_MODEL else None
        subject = Subject(model.generator, dataset, judge, head, config.embedder, config.inception_weights)
        evaluation = Evaluation(subject, config.evaluation(size))
        config.out.mkdir(parents=True, exist_ok=True)
        document = {
            "model": f"{model.card.name} ({config.model}{weights_sum(config.model)})",
            "judge": None if judge is None else judge.name,
            "embedder": None,
            "data": {"path": str(config.data), "pictures": len(dataset), "size": size},
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
