"""The sheet of a comparison: people with expressions and views, one model's row over the other's.

The comparison of two models as a command: options in; comparison.json, table.md, sheet.png and a verdict out.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
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
from anifacegan.evaluation.config import OFFLINE
from anifacegan.evaluation.evaluate import Evaluation
from anifacegan.evaluation.samples import expression_grid_views, render_view, sample_expressions
from anifacegan.evaluation.setup import EvaluationSetup, MeasureConfig, evaluation_setup
from anifacegan.face_model.expressions import NEUTRAL
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.model_folder import weights_hash_suffix
from anifacegan.models.sampling import PosedLatents
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.rendering.images import to_bytes, write_png
from anifacegan.rendering.model import Model, load_model
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InputError, require_at_least
from anifacegan.runtime.files import filled_when_complete
from anifacegan.runtime.provenance import installed_versions, without_nan
from anifacegan.runtime.resources import located_model
from anifacegan.runtime.typed_config import plain

EXPRESSIONS = 6
"""Beside the neutral one."""
YAWS = (-0.5, 0.5)
"""Radians; of the neutral face."""


@dataclass(frozen=True)
class SheetSide:
    """One model in the sheet."""

    label: str
    model: Model
    psi: float


@dataclass(frozen=True)
class ComparisonSheet:
    image: UInt8[np.ndarray, "height width 3"]
    columns: tuple[str, ...]


def comparison_sheet(
    sides: tuple[SheetSide, SheetSide], priors: Model, people: int, size: int, seed: int
) -> ComparisonSheet:
    """The people that the metrics are measured on, drawn by ``priors``, each first by A and then by B.

    Columns are the neutral face, the first named expressions of A (drawn ones where it has no names), and two views.
    """
    labels, z_exp = _expressions(sides[0].model, priors, seed)
    columns = [(label, code, 0.0) for label, code in zip(labels, z_exp, strict=True)]
    columns += [(f"yaw {yaw:+.1f}", z_exp[0], yaw) for yaw in YAWS]
    everyone = expression_grid_views(priors.generator, people, 1, seed).latents
    rows = []
    with tqdm(
        total=2 * people * len(columns), desc="sheet", unit="image", disable=None, leave=False
    ) as progress:
        for k in range(people):
            who = everyone[k : k + 1]
            for side in sides:
                cells = []
                for _, code, yaw in columns:
                    latents = Latents(who.z_id, code[None].to(who.z_id), who.z_noise)
                    view = PosedLatents(latents, who.z_id.new_tensor([[0.0, yaw]]))
                    cells.append(to_bytes(render_view(side.model.generator, view, size, side.psi).rgb))
                    progress.update()
                rows.append(SheetRow(f"person {k + 1}\n{side.label}", cells, starts_group=side is sides[0]))
    names = tuple(label for label, *_ in columns)
    return ComparisonSheet(contact_sheet(names, rows), names)


def _expressions(model: Model, priors: Model, seed: int) -> tuple[list[str], Float[Tensor, "expression 64"]]:
    """The neutral one and others, with their names."""
    named = list(model.card.presets)[:EXPRESSIONS]
    if named:
        others = torch.cat([model.expression(name) for name in named])
    else:
        named = [f"drawn {k + 1}" for k in range(EXPRESSIONS)]
        others = sample_expressions(priors.generator, EXPRESSIONS, seed)
    return [NEUTRAL, *named], torch.cat([others.new_zeros(1, EXP_DIM), others])


@dataclass(frozen=True)
class CompareConfig(MeasureConfig):
    """Compare two models: compare.py A B --data DATA. Or one with itself at two settings: compare.py A --psi_b 0.5.

    B may replace A if it wins at least one number beyond its 95 % interval, and loses none. The exit code is 0 whoever
    wins, 2 if an option or a file is wrong; the verdict is the last line, and in comparison.json.
    """

    a: Path = Path("checkpoints/demo")
    """Model folder: the one that is there."""
    b: Path | None = None
    """Model folder: the one that may replace it. null: A, at other settings."""
    metrics: str | tuple[str, ...] = OFFLINE
    """One name or several, of: inception, frechet, embedding_frechet, expression, identity, recognition,
    disentanglement, view_consistency, smoothness, deformation, detection. inception has no intervals and decides
    nothing."""
    psi_a: float | None = None
    """Variety of A's people. null: psi."""
    psi_b: float | None = None
    """Variety of B's people. null: psi."""
    faces: Literal["shared", "own"] = "shared"
    """shared: both show the people, and expressions of the prior, that A's priors draw. own: each those of its own
    priors, which may differ between models that were trained apart."""
    ramps: int = 20
    """Expression ramps of the temporal smoothness: an interval of a handful would be too narrow."""
    draws: int = 1000
    """Bootstrap draws behind the intervals."""
    sheet_people: int = 3
    """People in the sheet."""
    sheet_size: int = 128
    """Height and width of the sheet's images, pixels."""
    out: Path = Path("runs/compare")
    """Folder for comparison.json, table.md and sheet.png."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 20, "draws")
        require_at_least(self, 1, "sheet_people")
        require_at_least(self, 8, "sheet_size")
        for name in ("psi_a", "psi_b"):
            if getattr(self, name) is not None:
                require_at_least(self, 0, name)
        if self.b is None and self.psis[0] == self.psis[1]:
            raise ValueError(
                "A is compared with itself, expected a second model, or another --psi_a or --psi_b"
            )

    @property
    def psis(self) -> tuple[float, float]:
        """Of A and of B."""
        return (
            self.psi if self.psi_a is None else self.psi_a,
            self.psi if self.psi_b is None else self.psi_b,
        )


@dataclass(frozen=True)
class Competitor:
    """A or B."""

    name: str
    model: Model
    place: Path
    psi: float

    @property
    def shown_name(self) -> str:
        """For the sheet, of which models may have the same name."""
        return f"{self.name}: {self.place.name}\npsi {self.psi:g}"

    def record(self) -> dict[str, Any]:
        return {
            "model": f"{self.model.card.name} ({self.place}{weights_hash_suffix(self.place)})",
            "psi": self.psi,
        }


def run(config: CompareConfig) -> str:
    """Compare, write the folder, and return the table and the verdict.

    An interrupted run leaves the folder as it was.

    Raises:
        InputError: an option, a model or a file is wrong, or the two models cannot be asked for the same.
    """
    device = torch.device(select_device(config.device))
    places = located_model(config.a), located_model(config.a if config.b is None else config.b)
    a, b = (
        Competitor(name, load_model(place, str(device)), place, psi)
        for name, place, psi in zip("AB", places, config.psis, strict=True)
    )
    offsets = (a.model.card.pitch_offset, b.model.card.pitch_offset) if config.pitch_offset is None else None
    require_same_faces((a.model.card.face_model, b.model.card.face_model), offsets)
    opened = evaluation_setup(config, a.model.card, device)
    priors = a.model if config.faces == "shared" else None
    evaluations = (
        opened.evaluation(config, a.model, a.psi),
        opened.evaluation(config, b.model, b.psi, priors),
    )
    with filled_when_complete(config.out) as folder:
        metrics, not_measured = _compared(config, evaluations)
        said = verdict(number for metric in metrics for number in metric.numbers)
        sides = (SheetSide(a.shown_name, a.model, a.psi), SheetSide(b.shown_name, b.model, b.psi))
        sheet = comparison_sheet(sides, a.model, config.sheet_people, config.sheet_size, config.seed)
        document = {
            "a": a.record(),
            "b": b.record(),
            **_measured_with(config, opened, evaluations[0]),
            "faces": {
                "drawn_by": "each model's own priors" if priors is None else "A's priors",
                "priors_are_equal": same_priors(a.model.generator, b.model.generator, config.seed),
                "expressions_from": config.expressions_from,
            },
            "metrics": {metric.metric: metric.record(config.draws) for metric in metrics},
            "not_measured": not_measured,
            **_outcome(said, sheet),
        }
        shown = "\n".join([table(metrics, not_measured), "", *_legend(document), said.text, ""])
        write_png(folder / "sheet.png", sheet.image)
        (folder / "table.md").write_text(shown)
        (folder / "comparison.json").write_text(
            json.dumps(without_nan(document), indent=1, allow_nan=False) + "\n"
        )
    return shown


def _compared(
    config: CompareConfig, evaluations: tuple[Evaluation, Evaluation]
) -> tuple[list[ComparedMetric], dict[str, str]]:
    """All chosen metrics, and why others could not be measured."""
    found, not_measured = [], {}
    selected = dict.fromkeys(evaluations[0].config.metrics)
    for name in tqdm(selected, desc="metrics", unit="metric", disable=None, leave=False):
        try:
            found.append(compare(name, *evaluations, config.draws, config.seed))
        except InputError as error:
            tqdm.write(f"{name}: not measured: {error}", file=sys.stderr)
            not_measured[name] = str(error)
    return found, not_measured


def _measured_with(config: CompareConfig, opened: EvaluationSetup, evaluation: Evaluation) -> dict[str, Any]:
    """By whom, on what, with which settings and versions."""
    image_sets, dataset = evaluation.image_sets, opened.dataset
    return {
        "judge": None if opened.judge is None else opened.judge.name,
        "embedder": image_sets.embedder.name
        if "embedder" in vars(image_sets)
        else None,  # where a metric asked it
        "data": {"path": str(config.data), "images": len(dataset), "size": opened.size},
        "settings": plain(config)
        | {"size": evaluation.samples.size, "pitch_offset": dataset.config.pitch_offset},
        "versions": installed_versions(),
        "device": str(image_sets.device),
    }


def _outcome(said: Verdict, sheet: ComparisonSheet) -> dict[str, Any]:
    return {
        "sheet": {"file": "sheet.png", "columns": list(sheet.columns)},
        "verdict": {
            "rule": RULE,
            "b_wins": list(said.wins),
            "b_loses": list(said.losses),
            "of": said.decidable,
            "b_replaces_a": said.replaces,
            "text": said.text,
        },
    }


def _legend(document: dict[str, Any]) -> list[str]:
    """What the table is of."""
    lines = [f"- {name}: {entry['definition']}." for name, entry in document["metrics"].items()]
    lines += ["", "Values [95 % interval]; the interval of B - A is that of the same items of both.", ""]
    for name in ("a", "b"):
        lines.append(f"{name.upper()}: {document[name]['model']}, psi {document[name]['psi']:g}")
    faces = document["faces"]
    alike = "equal" if faces["priors_are_equal"] else "not equal"
    known = "" if faces["expressions_from"] == "prior" else ", with expressions of the data"
    lines.append(f"faces: drawn by {faces['drawn_by']}{known}; the priors of A and B are {alike}")
    return [*lines, *(f"{key}: {document[key]}" for key in ("judge", "embedder", "data")), ""]
