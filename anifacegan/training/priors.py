"""Fits one prior, of identities or of expressions, to the coefficients of a data set: a folder that a generator's run
can name.

It takes well under a minute, so there are no snapshots: the run folder is written when all is done, or not at all.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
import yaml
from jaxtyping import Float
from torch import Tensor

from anifacegan.data.dataset import CoefficientTable, DataConfig, FaceDataset
from anifacegan.models.coefficient_vae import CoefficientVAE, CoefficientVAEConfig
from anifacegan.models.prior_checkpoints import PRIOR_DIMS, Prior, PriorCard, PriorKind, save_prior
from anifacegan.runtime.cpu import set_torch_threads
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.errors import InputError, require_at_least
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.typed_config import plain
from anifacegan.training.initialization import PriorConfig, fit_prior, moment_errors

LEAST_ITEMS = 8
"""A covariance of each half takes a few."""


@dataclass(frozen=True)
class PriorRun:
    """Everything about a run. The resolved values are written to the run folder."""

    out: Path
    """Run folder: the configuration, and the finished prior in OUT/model."""
    data: DataConfig
    """Any data set of faces; of every item only the coefficients are used."""
    kind: PriorKind
    """Which coefficients."""
    task: Literal["prior"] = "prior"
    """Kind of training run that the file configures."""
    network: CoefficientVAEConfig = field(default_factory=CoefficientVAEConfig)
    priors: PriorConfig = field(default_factory=PriorConfig)
    """How the VAE is fitted; the same options as a generator's run has for priors that it fits itself."""
    seed: int = 0
    """Of everything that is drawn."""
    threads: int = 0
    """Threads of PyTorch; 0 leaves the choice to it."""
    name: str = "prior"
    """Name of the finished prior, for its card."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "seed", "threads")


def run(config: PriorRun, workers: Workers = SINGLE_PROCESS) -> Path:
    """Fit, measure, and write; returns the finished prior's folder.

    Raises:
        InputError: something in the configuration or the data does not fit.
        FloatingPointError: the bound is not finite; the message names its part and the step.
    """
    workers.require_single_process("task prior")
    set_torch_threads(config.threads)
    dataset = FaceDataset(config.data)
    if len(dataset) < LEAST_ITEMS:
        raise InputError(f"{config.data.path}: holds {len(dataset)} items, expected at least {LEAST_ITEMS}")
    table = dataset.load_coefficients()
    coefficients = table.id if config.kind == "identity" else table.exp
    rng = torch.Generator().manual_seed(config.seed)
    vae, report = fitted(coefficients, config, rng)
    other_half = on_the_other_half(coefficients, config, rng)
    print(summary(config.kind, other_half), file=sys.stderr)
    card = PriorCard(
        name=config.name,
        kind=config.kind,
        face_model=dataset.face_model_name,
        licence=licence(table),
        training={
            "items": len(coefficients),
            "seed": config.seed,
            "decoded": report,
            "other_half": other_half,
            "config": plain(config),
        },
    )
    config.out.mkdir(parents=True, exist_ok=True)
    write_complete(config.out / "config.yaml", yaml.safe_dump(plain(config), sort_keys=False))
    folder = config.out / "model"
    save_prior(folder, Prior(vae, card))
    return folder


def fitted(
    coefficients: Float[Tensor, "item dim"], config: PriorRun, rng: torch.Generator
) -> tuple[CoefficientVAE, dict[str, float]]:
    """A fresh VAE, fitted, and how decoded N(0, I) differs from these very coefficients."""
    vae = CoefficientVAE(PRIOR_DIMS[config.kind], config.network)
    vae.initialise(rng)
    return vae, fit_prior(vae, coefficients, config.priors, rng, config.kind)


def on_the_other_half(
    coefficients: Float[Tensor, "item dim"], config: PriorRun, rng: torch.Generator
) -> dict[str, float]:
    """How a VAE that was fitted to a random half of the data decodes the other half's moments, in as many draws.

    ``..._of_halves`` are the errors of the first half itself: what a prior without a fault would have.
    """
    order = torch.randperm(len(coefficients), generator=rng)
    half = len(coefficients) // 2
    seen, unseen = coefficients[order[:half]], coefficients[order[half:]]
    vae, _ = fitted(seen, config, rng)
    with torch.no_grad():
        decoded = vae.decode(torch.randn(half, config.network.latent_dim, generator=rng))
    floor = moment_errors(seen, unseen)
    return moment_errors(decoded, unseen) | {f"{name}_of_halves": value for name, value in floor.items()}


def summary(kind: PriorKind, report: dict[str, float]) -> str:
    """The numbers of :func:`on_the_other_half` as a line."""

    def beside(name: str) -> str:
        return f"{report[name]:.3g} (halves of the data: {report[f'{name}_of_halves']:.3g})"

    means, covariance = beside("mean_error_in_deviations"), beside("covariance_error")
    return f"{kind} prior on unseen items: largest error of a mean {means} deviations, of the covariance {covariance}"


def licence(table: CoefficientTable) -> str:
    """Of the prior, as far as that is known: nothing is claimed of coefficients that a user brings."""
    if table.noise is None:
        return ""
    return "MIT; fitted to synthetic people of the open face model, whose data is CC0"
