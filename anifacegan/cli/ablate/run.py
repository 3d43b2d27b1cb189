"""Trains the variants of an ablation and measures each finished model.

Variants differ in one loss weight only: they start from the same seed and draw the same data. Each is measured on new
draws of people and expressions, seen by cameras of the data set, by a network that no loss has used: how well it shows
the requested expressions, how well identity is preserved under them, and how far the deformation is from the mesh.
"""

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from anifacegan.cli.ablate.config import FULL, NONE, AblationConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.synthetic.geometry_buffers import FILES, NOTE
from anifacegan.data.synthetic.surface.head import HeadGeometry, load_head_geometry
from anifacegan.evaluation.config import EvaluationConfig
from anifacegan.evaluation.evaluate import evaluate
from anifacegan.evaluation.judge import Judge, load_judge
from anifacegan.models.checkpoints import load_checkpoint
from anifacegan.models.generator import Generator
from anifacegan.models.model_folder import weights_sha256
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import sha256, write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.markdown import markdown_table
from anifacegan.runtime.output_folders import filled_when_complete, require_room, write_noted
from anifacegan.runtime.paths import exists
from anifacegan.runtime.structured_text import read_json
from anifacegan.runtime.typed_config import from_plain, plain
from anifacegan.training.config import TrainConfig
from anifacegan.training.run import run

FIRST_COEFFICIENTS = 3
"""Number of first expression coefficients whose mean correlation has a column of its own: in the open face model they
are jaw, smile and raised brows."""
RESULT = "ablation.json"
"""Name of the file with measurements: in a run folder those of the variant, in the ablation's folder those of all
variants."""


@dataclass(frozen=True)
class AblationResult:
    """Measurements of one trained variant: how well its faces show expressions, keep a person's identity, and move as
    the face model's mesh does.
    """

    correlation: float
    """Correlation between requested and estimated expression coefficients, mean over the first ten coefficients."""
    correlation_first_three: float
    """Correlation between requested and estimated expression coefficients, mean over the first three coefficients."""
    aed: float
    """Average Expression Distance (AED): mean absolute difference between requested and estimated expression
    coefficients."""
    landmarks_mm: float
    """Mean distance in space between requested and estimated landmarks, millimetres."""
    identity_change: float
    """Mean Euclidean distance between the identity coefficients that a face regressor for evaluation estimates in two
    expressions of one person, divided by that between two people."""
    deformation_mm: float
    """Mean distance between the deformation field's offsets and those of the face model's mesh, at visible vertices of
    the face, millimetres."""
    deformation_relative: float
    """Mean distance between the deformation field's offsets and those of the face model's mesh, at vertices that the
    expression moves by more than 1 mm, divided by the mean distance by which it moves them."""


def ablate(config: AblationConfig, report: Callable[[str], None]) -> dict[str, AblationResult]:
    """Train and measure all variants, or continue if an earlier start was stopped; return the measurements by variant.

    ``report`` is called with the name of each variant before the variant is trained.

    Raises:
        InputError: something in the configuration or the data does not fit.
    """
    variants = config.variants()
    with GrowingFolder(config.out) as folder:
        folder.require_room((RESULT, "ablation.md"))
        for variant in variants.values():
            require_room(variant.out, [])
        results = _measured_variants(config, folder, variants, report)
        content = {name: asdict(result) for name, result in results.items()}
        write_complete(folder.file(RESULT), json.dumps(content, indent=1))
        write_complete(folder.file("ablation.md"), table(results))
    return results


def _measured_variants(
    config: AblationConfig,
    folder: GrowingFolder,
    variants: dict[str, TrainConfig],
    report: Callable[[str], None],
) -> dict[str, AblationResult]:
    judge = load_judge(config.judge, config.face_model, torch.device(select_device(config.device)))
    head, dataset = load_head_geometry(config.face_model), FaceDataset(config.data)
    results = {}
    folder.claim((RESULT, "ablation.md"))
    for name, variant in variants.items():
        report(name)
        share_surfaces(config.out / FULL / "surfaces", variant.out / "surfaces")
        results[name] = measured(run(variant), judge, head, dataset, config.evaluation())
    return results


def share_surfaces(source: Path, target: Path) -> None:
    """Fill the folder ``target`` of a trained variant's surface maps (distances and visible vertices of the training
    images) with links to the files of the first variant, ``source``, or with copies where links are not possible.

    All variants have the same maps, because they render the same images. Where a start was stopped before all files
    were there, the training draws them again.

    Raises:
        InputError: the folder cannot be written.
    """
    if exists(target) or not all((source / name).is_file() for name in FILES):
        return
    with filled_when_complete(target, last=NOTE) as folder:
        for name in FILES:
            try:
                os.link(source / name, folder / name)
            except OSError:
                shutil.copy2(source / name, folder / name)


def measured(
    model: Path, judge: Judge, head: HeadGeometry, dataset: FaceDataset, config: EvaluationConfig
) -> AblationResult:
    """Measure a finished model; if its run folder has measurements of the same model, judge, face model, cameras and
    settings, return those.

    Args:
        model: folder of the model.
        judge: face regressor for evaluation.
        head: mesh of the face model.
        dataset: its cameras see the faces.
        config: how many faces are measured.

    Raises:
        InputError: the model folder is not readable, or the run folder's file of measurements is damaged or of others.
    """
    inputs = {
        "model": weights_sha256(model),
        "judge": judge.name,
        "face_model": head.coefficients_sha256(),
        "cameras": sha256([dataset.poses.tobytes()]),
        "evaluation": plain(config),
    }
    path = model.parent / RESULT
    content = read_json(path, "measurements of an earlier run") if exists(path) else {}
    is_ours = isinstance(content, dict) and {"inputs", "result"} <= set(content)
    if is_ours and content["inputs"] == inputs:
        found = from_plain(AblationResult, content["result"], str(path), "result.")
        for name, value in asdict(found).items():
            if not math.isfinite(value):
                raise InputError(
                    f"{path}: result.{name} is {value}, expected a finite number; remove the file"
                )
        return found
    require_room(model.parent, [RESULT], overwrite=is_ours or None)
    generator = load_checkpoint(model).generator.to(judge.world_offset.device)
    result = ablation_result(generator, judge, head, dataset, config)
    require_room(model.parent, [RESULT], overwrite=is_ours or None)  # somebody may have put one there since
    write_noted(model.parent, RESULT, json.dumps({"inputs": inputs, "result": asdict(result)}, indent=1))
    return result


def ablation_result(
    generator: Generator, judge: Judge, head: HeadGeometry, dataset: FaceDataset, config: EvaluationConfig
) -> AblationResult:
    """Measure a generator's faces, seen by cameras of the data set; ``judge`` is a face regressor for evaluation, and
    ``head`` the face model's mesh.
    """
    values = evaluate(generator, judge, head, dataset, config)
    expression, deformation = values["expression"], values["deformation"]
    return AblationResult(
        correlation=expression["correlation"],
        correlation_first_three=sum(expression["correlations"][:FIRST_COEFFICIENTS]) / FIRST_COEFFICIENTS,
        aed=expression["aed"],
        landmarks_mm=expression["landmarks_mm"],
        identity_change=values["identity"]["ratio"],
        deformation_mm=deformation["error_mm"],
        deformation_relative=deformation["moving_relative"],
    )


HEADINGS = {
    "correlation": "expression correlation",
    "correlation_first_three": "of the first three",
    "aed": "AED",
    "landmarks_mm": "landmarks, mm",
    "identity_change": "identity change",
    "deformation_mm": "deformation error, mm",
    "deformation_relative": "relative, moving",
}
"""Maps each field of :class:`AblationResult` to the heading of its column."""


def table(results: dict[str, AblationResult]) -> str:
    """Format the measurements of all training variants as a Markdown table with a row for each variant."""
    labels = {FULL: "nothing (the full loss)", NONE: "all of them"}
    rows = []
    for name, result in results.items():
        label = labels.get(name, f"`{name.removeprefix('without_')}`")
        rows.append([label, *(f"{getattr(result, key):.3f}" for key in HEADINGS)])
    return markdown_table(["without", *HEADINGS.values()], rows) + "\n"
