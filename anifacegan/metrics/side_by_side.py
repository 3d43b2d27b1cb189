"""The sheet of a comparison: people with expressions and views, one model's row over the other's."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from anifacegan.expression_reader import NEUTRAL
from anifacegan.library import Model
from anifacegan.metrics.samples import drawn_expressions, people_with_expressions, picture_alone
from anifacegan.models.latents import Latents
from anifacegan.pictures import SheetRow, contact_sheet, to_bytes
from anifacegan.shapes import EXP_DIM
from anifacegan.views import Views

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
class Sheet:
    picture: UInt8[np.ndarray, "height width 3"]
    columns: tuple[str, ...]


def side_by_side(sides: tuple[SheetSide, SheetSide], priors: Model, people: int, size: int, seed: int) -> Sheet:
    """The people that the metrics are measured on, drawn by ``priors``, each first by A and then by B.

    Columns are the neutral face, the first named expressions of A (drawn ones where it has no names), and two views.
    """
    labels, z_exp = _expressions(sides[0].model, priors, seed)
    columns = [(label, code, 0.0) for label, code in zip(labels, z_exp, strict=True)]
    columns += [(f"yaw {yaw:+.1f}", z_exp[0], yaw) for yaw in YAWS]
    everyone = people_with_expressions(priors.generator, people, 1, seed).latents
    rows = []
    with tqdm(total=2 * people * len(columns), desc="sheet", unit="picture", disable=None, leave=False) as progress:
        for k in range(people):
            who = everyone[k : k + 1]
            for side in sides:
                cells = []
                for _, code, yaw in columns:
                    latents = Latents(who.z_id, code[None].to(who.z_id), who.z_noise)
                    view = Views(latents, who.z_id.new_tensor([[0.0, yaw]]))
                    cells.append(to_bytes(picture_alone(side.model.generator, view, size, side.psi).rgb))
                    progress.update()
                rows.append(SheetRow(f"person {k + 1}\n{side.label}", cells, starts_group=side is sides[0]))
    names = tuple(label for label, *_ in columns)
    return Sheet(contact_sheet(names, rows), names)


def _expressions(model: Model, priors: Model, seed: int) -> tuple[list[str], Float[Tensor, "expression 64"]]:
    """The neutral one and others, with their names."""
    named = list(model.card.presets)[:EXPRESSIONS]
    if named:
        others = torch.cat([model.expression(name) for name in named])
    else:
        named = [f"drawn {k + 1}" for k in range(EXPRESSIONS)]
        others = drawn_expressions(priors.generator, EXPRESSIONS, seed)
    return [NEUTRAL, *named], torch.cat([others.new_zeros(1, EXP_DIM), others])
