"""Contact sheet of two compared models: for each person one row of A's images above one row of B's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from anifacegan.evaluation.samples import expression_grid_views, render_view, sample_expressions
from anifacegan.face_model.expressions import NEUTRAL
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.models.model_folder import weights_hash_suffix
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.model import Model

EXPRESSIONS = 6
"""Number of expressions besides the neutral one."""
YAWS = (-0.5, 0.5)
"""Yaws of two more views of the neutral face, radians from frontal."""


@dataclass(frozen=True)
class ComparedModel:
    """One of the two models of a comparison."""

    name: str
    """A or B."""
    model: Model
    path: Path
    """Folder that the model was loaded from."""
    psi: float
    """Truncation of the appearance latent z_noise: 1 is the full variety of people, 0 the average appearance."""

    @property
    def label(self) -> str:
        """Label of the model's rows: the folder's name, because two models may have the same name in their
        card.yaml.
        """
        return f"{self.name}: {self.path.name}\npsi {self.psi:g}"

    def record(self) -> dict[str, Any]:
        """Return the model's name, folder and psi as plain values for JSON."""
        model = f"{self.model.card.name} ({self.path}{weights_hash_suffix(self.path)})"
        return {"model": model, "psi": self.psi}


@dataclass(frozen=True)
class ComparisonSheet:
    """Image of a contact sheet, and the labels of its columns (expressions and views)."""

    image: UInt8[np.ndarray, "height width 3"]
    columns: tuple[str, ...]


def comparison_sheet(
    models: tuple[ComparedModel, ComparedModel], priors: Model, people: int, size: int, seed: int
) -> ComparisonSheet:
    """Render the same people with both models, in rows of images below each other.

    The columns are the neutral face, six expressions (the first named expressions of model A, or samples of the
    expression prior if A has none) and two side views of the neutral face.

    Args:
        models: A and B.
        priors: model from whose priors the people are sampled.
        people: number of people, the first ones that the metrics are measured on.
        size: height and width of an image, pixels.
        seed: random seed of people and expressions.
    """
    labels, z_exp = _expressions(models[0].model, priors, seed)
    columns = [(label, row, 0.0) for label, row in zip(labels, z_exp, strict=True)]
    columns += [(f"yaw {yaw:+.1f}", z_exp[0], yaw) for yaw in YAWS]
    latents = expression_grid_views(priors.generator, people, 1, seed).latents
    rows = []
    images = 2 * people * len(columns)
    with tqdm(total=images, desc="sheet", unit="image", disable=None, leave=False) as progress:
        for k in range(people):
            person = latents[k : k + 1]
            for compared in models:
                cells = []
                for _, row, yaw in columns:
                    face = Latents(person.z_id, row[None].to(person.z_id), person.z_noise)
                    view = PosedLatents(face, person.z_id.new_tensor([[0.0, yaw]]))
                    image = render_view(compared.model.generator, view, size, compared.psi)
                    cells.append(to_bytes(image.rgb))
                    progress.update()
                is_first = compared is models[0]
                rows.append(SheetRow(f"person {k + 1}\n{compared.label}", cells, starts_group=is_first))
    names = tuple(label for label, *_ in columns)
    return ComparisonSheet(contact_sheet(names, rows), names)


def _expressions(model: Model, priors: Model, seed: int) -> tuple[list[str], Float[Tensor, "expression 64"]]:
    """Return the labels and coefficients of the sheet's expressions; the neutral one is the first."""
    labels = list(model.card.presets)[:EXPRESSIONS]
    if labels:
        z_exp = torch.cat([model.expression(name) for name in labels])
    else:
        labels = [f"drawn {k + 1}" for k in range(EXPRESSIONS)]
        z_exp = sample_expressions(priors.generator, EXPRESSIONS, seed)
    return [NEUTRAL, *labels], torch.cat([z_exp.new_zeros(1, EXP_DIM), z_exp])
