"""Checkpoints of coefficient priors: a coefficient VAE with its card in a model folder.

A generator's training run can take its two priors from such folders; their weights stay frozen.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anifacegan.geometry.conventions import EXP_DIM, ID_DIM
from anifacegan.models.coefficient_vae import CoefficientVAE
from anifacegan.models.config import CoefficientVAEConfig, PriorKind
from anifacegan.models.model_folder import TENSORS, loaded, read_card, read_tensors, write_model_folder
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.resources import located_model

PRIOR_DIMS: dict[PriorKind, int] = {"identity": ID_DIM, "expression": EXP_DIM}
_CONFIG = "prior"


@dataclass(frozen=True)
class PriorCard:
    """Facts about a coefficient prior that its weights do not tell."""

    name: str
    """Name of the prior."""
    kind: PriorKind
    """Coefficients that the prior generates: identity or expression."""
    face_model: str
    """Name of the face model whose coefficients the prior generates."""
    licence: str = ""
    """Licence of the weights; empty if unknown."""
    training: dict[str, Any] = field(default_factory=dict)
    """Training history, and measurements of how well coefficients decoded from Gaussian noise match the training
    data."""


@dataclass(frozen=True)
class Prior:
    """A trained VAE of identity or expression coefficients, with the facts about it from card.yaml."""

    vae: CoefficientVAE
    card: PriorCard


def save_prior(folder: Path, prior: Prior) -> None:
    """Write the model folder of a coefficient prior (a VAE of identities or expressions).

    Raises:
        InputError: the folder cannot be written; it is unchanged then.
    """
    card = dataclasses.asdict(prior.card) | {_CONFIG: dataclasses.asdict(prior.vae.config)}
    write_model_folder(folder, prior.vae.state_dict(), card)


def load_prior(folder: Path) -> Prior:
    """Read the model folder of a coefficient prior (a VAE of identities or expressions).

    Raises:
        InputError: the folder holds another kind of model, a file is missing or broken, or a tensor is missing,
            misshaped or not finite.
    """
    folder = located_model(folder)
    card, config = read_card(folder, PriorCard, CoefficientVAEConfig, _CONFIG)
    tensors = read_tensors(folder / TENSORS)
    vae = loaded(lambda: CoefficientVAE(PRIOR_DIMS[card.kind], config), tensors, folder / TENSORS)
    return Prior(vae, card)


def load_fitting_prior(folder: Path, kind: PriorKind, face_model: str, config: CoefficientVAEConfig) -> Prior:
    """Read the model folder of a coefficient prior (a VAE of identities or expressions), and check that a generator can
    use it.

    ``kind``, ``face_model`` and ``config`` are those of the prior that the generator needs: identity or expression, the
    name of the face model, and the sizes of the VAE.

    Raises:
        InputError: see :func:`load_prior`; or the prior is of another kind, face model or size.
    """
    option, prior = f"{kind}_prior_model", load_prior(folder)
    if prior.card.kind != kind:
        raise InputError(f"{option}: {folder} holds a prior of kind {prior.card.kind}, expected {kind}")
    if prior.card.face_model != face_model:
        raise InputError(
            f"{option}: {folder} belongs to face model '{prior.card.face_model}', expected '{face_model}' as the data"
        )
    for name, target in vars(config).items():
        came = getattr(prior.vae.config, name)
        if came != target:
            raise InputError(
                f"{option}: {folder} has {name} {came}, expected {target} as generator.{kind}_prior.{name}"
            )
    return prior
