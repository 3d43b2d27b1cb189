"""Files of finished priors: a folder with ``model.safetensors`` and ``card.yaml``, as a generator's has.

A generator's run may name such folders; it keeps their weights, frozen, in place of priors that it would fit itself.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from anifacegan.checkpoints import CARD, TENSORS, check_state, read_card, read_tensors, write_model_folder
from anifacegan.command_line import from_plain
from anifacegan.errors import InputError
from anifacegan.models.latents import CoefficientVAE, CoefficientVAEConfig
from anifacegan.shapes import EXP_DIM, ID_DIM

Kind = Literal["identity", "expression"]
"""What the coefficients say of a face."""
DIMS: dict[Kind, int] = {"identity": ID_DIM, "expression": EXP_DIM}


@dataclass(frozen=True)
class PriorCard:
    """What a user has to know of a prior, besides its weights."""

    name: str
    """Name of the prior."""
    kind: Kind
    """Of which coefficients."""
    face_model: str
    """Face model whose bases the coefficients belong to."""
    licence: str = ""
    """Licence of the weights; empty where nothing is known."""
    training: dict[str, Any] = field(default_factory=dict)
    """How the weights came about, and how well decoded noise matches the data."""


@dataclass(frozen=True)
class Prior:
    """A finished prior."""

    vae: CoefficientVAE
    card: PriorCard


def save_prior(folder: Path, prior: Prior) -> None:
    """Write a model folder; over an older one the two files are replaced, each complete or not at all."""
    sizes = dataclasses.asdict(prior.vae.config)
    write_model_folder(folder, prior.vae.state_dict(), dataclasses.asdict(prior.card) | {"prior": sizes})


def load_prior(folder: Path) -> Prior:
    """Read a model folder.

    Raises:
        InputError: it is no prior's, a file is missing or broken, or a tensor is missing or misshaped.
    """
    content = read_card(folder / CARD)
    sizes = content.pop("prior", None)
    if not isinstance(sizes, dict):
        raise InputError(f"{folder / CARD}: 'prior' holds {sizes!r}, expected keys and values; is it a prior's card?")
    config = from_plain(CoefficientVAEConfig, sizes, str(folder / CARD), "prior.")
    card = from_plain(PriorCard, content, str(folder / CARD))
    vae = CoefficientVAE(DIMS[card.kind], config)
    tensors = read_tensors(folder / TENSORS)
    check_state(folder / TENSORS, tensors, vae.state_dict())
    vae.load_state_dict(tensors)
    return Prior(vae, card)


def load_fitting_prior(folder: Path, kind: Kind, face_model: str, config: CoefficientVAEConfig) -> Prior:
    """A prior that a generator can take, whose configuration and face model these are.

    Raises:
        InputError: as :func:`load_prior`; or it is of another kind, of another face model, or of other sizes.
    """
    option, prior = f"{kind}_prior_model", load_prior(folder)
    if prior.card.kind != kind:
        raise InputError(f"{option}: {folder} holds a prior of kind {prior.card.kind}, expected {kind}")
    if prior.card.face_model != face_model:
        raise InputError(
            f"{option}: {folder} belongs to face model '{prior.card.face_model}', expected '{face_model}' as the data"
        )
    for name, wanted in vars(config).items():
        came = getattr(prior.vae.config, name)
        if came != wanted:
            raise InputError(
                f"{option}: {folder} has {name} {came}, expected {wanted} as generator.{kind}_prior.{name}"
            )
    return prior
