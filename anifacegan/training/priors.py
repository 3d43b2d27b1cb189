"""Training run of one coefficient prior: a VAE of identities or of expressions, fitted to a data set.

A generator's run can use the finished prior instead of fitting its own. Fitting takes less than a minute, so there are
no snapshots: all files are written at the end.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.data.dataset import CoefficientTable, FaceDataset
from anifacegan.models.coefficient_vae import CoefficientVAE
from anifacegan.models.config import PriorKind
from anifacegan.models.model_folder import require_room_for_model
from anifacegan.models.prior_checkpoints import PRIOR_DIMS, Prior, PriorCard, save_prior
from anifacegan.runtime.cpu import set_torch_threads
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.errors import InputError, say
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.output_folders import require_room
from anifacegan.runtime.structured_text import yaml_text
from anifacegan.runtime.typed_config import plain
from anifacegan.training.config import PriorRun
from anifacegan.training.initialization import fit_prior, moment_errors
from anifacegan.training.resume_check import refuse_other_run

LEAST_ITEMS = 8
"""Smallest number of items of a data set, enough to estimate the covariance of each half."""


def run(config: PriorRun, workers: Workers = SINGLE_PROCESS) -> Path:
    """Fit a coefficient prior, a VAE of identity or expression coefficients, and write it; return its folder.

    The error on coefficients to which a VAE was not fitted is estimated by :func:`cross_validation`, and printed.

    Raises:
        InputError: configuration and data do not fit together, or the run folder is another run's.
        FloatingPointError: the evidence lower bound is not finite; the message names its part and the step.
    """
    workers.require_single_process("task prior")
    refuse_other_run(config.out, config)
    require_room(config.out, ["config.yaml"])
    require_room_for_model(config.out / "model")
    set_torch_threads(config.threads)
    dataset = FaceDataset(config.data)
    if len(dataset) < LEAST_ITEMS:
        raise InputError(f"{config.data.path}: holds {len(dataset)} items, expected at least {LEAST_ITEMS}")
    table = dataset.load_coefficients()
    coefficients = table.id if config.kind == "identity" else table.exp
    rng = torch.Generator().manual_seed(config.seed)
    vae, report = fitted(coefficients, config, rng)
    other_half = cross_validation(coefficients, config, rng)
    say(summary(config.kind, other_half))
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
    with GrowingFolder(config.out) as out:
        write_complete(out.file("config.yaml"), yaml_text(plain(config)))
        folder = config.out / "model"
        save_prior(folder, Prior(vae, card))
    return folder


def fitted(
    coefficients: Float[Tensor, "item dim"], config: PriorRun, rng: torch.Generator
) -> tuple[CoefficientVAE, dict[str, float]]:
    """Fit a fresh VAE to coefficients.

    Returns the VAE and, by name, the errors of the mean and covariance of its samples against these coefficients.
    """
    vae = CoefficientVAE(PRIOR_DIMS[config.kind], config.network)
    vae.initialize(rng)
    return vae, fit_prior(vae, coefficients, config.priors, rng, config.kind)


def cross_validation(
    coefficients: Float[Tensor, "item dim"], config: PriorRun, rng: torch.Generator
) -> dict[str, float]:
    """Fit a VAE to a random half of the coefficients, and compare its samples with the other half.

    Returns the errors of mean and covariance by name. For reference, values whose name ends in ``_of_halves`` compare
    the first half with the other half; a perfect prior would have the same errors.
    """
    order = torch.randperm(len(coefficients), generator=rng)
    half = len(coefficients) // 2
    fitted_half, unseen = coefficients[order[:half]], coefficients[order[half:]]
    vae, _ = fitted(fitted_half, config, rng)
    with torch.no_grad():
        decoded = vae.decode(torch.randn(half, config.network.latent_dim, generator=rng))
    floor = moment_errors(fitted_half, unseen)
    return moment_errors(decoded, unseen) | {f"{name}_of_halves": value for name, value in floor.items()}


def summary(kind: PriorKind, report: dict[str, float]) -> str:
    """Describe the errors of a prior, from :func:`cross_validation`, in one line of text."""

    def compared(name: str) -> str:
        return f"{report[name]:.3g} (halves of the data: {report[f'{name}_of_halves']:.3g})"

    means, covariance = compared("mean_error_in_deviations"), compared("covariance_error")
    return f"{kind} prior on unseen items: largest error of a mean {means} deviations, of the covariance {covariance}"


def licence(table: CoefficientTable) -> str:
    """Return the licence of the prior; an empty text for coefficients that the user brought, whose licence is
    unknown.
    """
    if table.noise is None:
        return ""
    return "MIT; fitted to synthetic people of the open face model, whose data is CC0"
