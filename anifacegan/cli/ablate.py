"""What each imitation term is worth: the same training with all of them, without one, and without any.

Every variant is a run of its own, from the same seed on the same draws; only a weight differs. What comes out is
measured on new draws of people and expressions before cameras of the data set, by a network that no loss has seen:
whether expressions are shown as they were asked for, whether people stay themselves under them, and how far the
deformation is from the mesh.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch

from anifacegan.data.dataset import FaceDataset
from anifacegan.data.synthetic.geometry_buffers import FILES
from anifacegan.data.synthetic.head import HeadGeometry, load_head_geometry
from anifacegan.evaluation.config import EvaluationConfig
from anifacegan.evaluation.evaluate import evaluate
from anifacegan.evaluation.judge import Judge, load_judge
from anifacegan.evaluation.samples import SampleConfig
from anifacegan.models.checkpoints import load_checkpoint
from anifacegan.models.generator import Generator
from anifacegan.models.model_folder import weights_sha256
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.files import markdown_table, write_complete
from anifacegan.runtime.typed_config import plain
from anifacegan.training.config import TrainConfig
from anifacegan.training.run import run

IMITATION_TERMS = (
    "deformation",
    "mouth_gap",
    "roughness",
    "minimal",
    "neutral",
    "alignment",
    "geometry",
    "landmarks",
)
"""Weights that teach what the face model knows; see docs/training.md."""
OF_IMAGES = ("geometry", "landmarks")
"""Those that only adversarial training has."""
FULL, NONE = "full", "without_any"
METRICS = ("expression", "identity", "deformation")
"""Of :mod:`anifacegan.metrics.evaluation`."""
LEADING = 3
"""Expression coefficients that have a column of their own: of the open face model jaw, smile and raised brows."""
RESULT = "ablation.json"
"""What was measured of a variant, in its run folder."""


@dataclass(frozen=True)
class AblationConfig(TrainConfig):
    """Train with and without each imitation term, and measure what it is worth: any configuration of train.py, and how
    the results are measured.
    """

    judge: Path = Path("checkpoints/judge")
    """Face reconstruction network that judges: another one than that of the landmark term."""
    samples: SampleConfig = field(default_factory=lambda: SampleConfig(count=400))
    """Generated images whose expressions are estimated."""
    people: int = 30
    """People who are shown with several expressions each."""
    expressions: int = 6
    """Expressions of each of them, the neutral one included."""
    mesh_faces: int = 100
    """Faces whose deformation is compared with the mesh."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.evaluation()  # refuses counts that are too small

    def evaluation(self) -> EvaluationConfig:
        """What is measured of every variant."""
        return EvaluationConfig(
            metrics=METRICS,
            samples=self.samples,
            people=self.people,
            expressions=self.expressions,
            mesh_faces=self.mesh_faces,
        )

    def training(self) -> TrainConfig:
        """The part of it that train.py knows."""
        return TrainConfig(**{field.name: getattr(self, field.name) for field in fields(TrainConfig)})

    def variants(self) -> dict[str, TrainConfig]:
        """Runs by name: everything, without each of the terms that have a weight, and without all of them."""
        whole = self.training()
        weighted = [name for name in IMITATION_TERMS if getattr(self.weights, name)]
        without_use = () if self.schedule.adversarial else OF_IMAGES
        if self.generator.alignment is None:
            without_use += ("alignment",)
        weighted = [name for name in weighted if name not in without_use]
        left_out: dict[str, list[str]] = {FULL: []} | {f"without_{name}": [name] for name in weighted}
        return {
            variant: replace(
                whole,
                out=self.out / variant,
                name=f"{self.name}_{variant}",
                weights=replace(self.weights, **dict.fromkeys(names, 0.0)),
            )
            for variant, names in (left_out | {NONE: weighted}).items()
        }


@dataclass(frozen=True)
class AblationResult:
    """What was measured of one variant."""

    correlation: float
    """Mean correlation of the first ten expression coefficients, asked for against estimated by the judge."""
    correlation_first_three: float
    """The same of the first three."""
    aed: float
    landmarks_mm: float
    """Mean distance of the 68 landmarks, in space."""
    identity_change: float
    """Distance of a person's images under different expressions over that of different people's."""
    deformation_mm: float
    """Mean error of the deformation on the seen face."""
    deformation_relative: float
    """The same on moving vertices, over how far they move."""


def ablate(config: AblationConfig, say: Callable[[str], None]) -> dict[str, AblationResult]:
    """Train and measure all variants, or go on where that was stopped; returns what was measured by variant.

    Raises:
        InputError: something in the configuration or the data does not fit.
    """
    variants = config.variants()
    judge = load_judge(config.judge, config.face_model, torch.device(select_device(config.device)))
    head, dataset = load_head_geometry(config.face_model), FaceDataset(config.data)
    found = {}
    for name, variant in variants.items():
        say(name)
        share_surfaces(config.out / FULL / "surfaces", variant.out / "surfaces")
        found[name] = measured(run(variant), judge, head, dataset, config.evaluation())
    write_complete(
        config.out / RESULT, json.dumps({name: asdict(worth) for name, worth in found.items()}, indent=1)
    )
    write_complete(config.out / "ablation.md", table(found))
    return found


def share_surfaces(there: Path, here: Path) -> None:
    """Surfaces of the same images are the same: link to the first variant's, or copy where that is not possible.

    All of them or none: what a stopped start left half done is done again.
    """
    if here.exists() or not there.exists():
        return

    def link_or_copy(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)

    partial = here.with_name("surfaces.partial")
    for name in FILES:  # of a stopped start; they may be links
        (partial / name).unlink(missing_ok=True)
    shutil.copytree(there, partial, copy_function=link_or_copy, dirs_exist_ok=True)
    partial.replace(here)


def measured(
    model: Path, judge: Judge, head: HeadGeometry, dataset: FaceDataset, config: EvaluationConfig
) -> AblationResult:
    """What a finished model shows. Kept beside the model's folder, and measured again when something of it changes."""
    what = {"model": weights_sha256(model), "judge": judge.name, "evaluation": plain(config)}
    kept = model.parent / RESULT
    if kept.exists():
        content = json.loads(kept.read_text())
        if content["of"] == what:
            return AblationResult(**content["worth"])
    generator = load_checkpoint(model).generator.to(judge.world_offset.device)
    worth = ablation_result(generator, judge, head, dataset, config)
    write_complete(kept, json.dumps({"of": what, "worth": asdict(worth)}, indent=1))
    return worth


def ablation_result(
    generator: Generator, judge: Judge, head: HeadGeometry, dataset: FaceDataset, config: EvaluationConfig
) -> AblationResult:
    """Measure a generator, with cameras of the data set."""
    found = evaluate(generator, judge, head, dataset, config)
    expression, deformation = found["expression"], found["deformation"]
    return AblationResult(
        correlation=expression["correlation"],
        correlation_first_three=sum(expression["correlations"][:LEADING]) / LEADING,
        aed=expression["aed"],
        landmarks_mm=expression["landmarks_mm"],
        identity_change=found["identity"]["ratio"],
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


def table(found: dict[str, AblationResult]) -> str:
    """Markdown, a row a variant."""
    names = {FULL: "nothing (the full loss)", NONE: "all of them"}
    rows = []
    for name, worth in found.items():
        term = name.removeprefix("without_")
        rows.append([names.get(name, f"`{term}`"), *(f"{getattr(worth, key):.3f}" for key in HEADINGS)])
    return markdown_table(["without", *HEADINGS.values()], rows) + "\n"
