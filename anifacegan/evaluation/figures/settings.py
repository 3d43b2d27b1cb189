"""What the options of a figure select: model, people, expressions and angles."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.evaluation.figures.config import FigureConfig
from anifacegan.face_model.expressions import NEUTRAL, is_expression_file
from anifacegan.face_model.trajectories import Expression, check_views
from anifacegan.rendering.model import Model, load_model
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InputError, warnings_in_one_line
from anifacegan.runtime.limits import LARGEST_SEED
from anifacegan.runtime.resources import located
from anifacegan.runtime.typed_config import as_tuple

PRIOR_PREFIX = "drawn:"
"""Prefix of the names of expressions that are sampled from the model's expression prior: ``drawn:3`` has seed 3."""
DEFAULT_PRIOR_EXPRESSIONS = 6
"""Number of sampled expressions that are shown for a model without named expressions."""


def selected_angles(angles: float | tuple[float, ...]) -> tuple[float, ...]:
    """Return yaw or pitch angles (radians from frontal) as a tuple.

    Raises:
        InputError: there is no angle, or one is too far from frontal to render.
    """
    values = np.array(as_tuple(angles), np.float64)
    if not values.size:
        raise InputError("no angle given, expected one or more")
    check_views(yaw=values, pitch=np.zeros_like(values))
    return tuple(values.tolist())


def load_figure_model(config: FigureConfig) -> Model:
    """Load the model of a figure onto its device."""
    return load_model(config.model, select_device(config.device))


def selected_expressions(model: Model, config: FigureConfig) -> list[Expression]:
    """Return the expressions of a figure, at least one.

    Raises:
        InputError: the model does not know a name, or a file does not fit the model.
    """
    requested = config.expressions
    if requested is None:
        drawn = (f"{PRIOR_PREFIX}{seed}" for seed in range(1, DEFAULT_PRIOR_EXPRESSIONS + 1))
        requested = tuple(model.card.presets) or tuple(drawn)
    with warnings_in_one_line():
        return [_expression(model, text) for text in as_tuple(requested)]


def neutral_expression(model: Model) -> Expression:
    """Return the neutral expression, all of whose coefficients are zero."""
    return Expression(NEUTRAL, _coefficients(model, None))


@torch.inference_mode()
def prior_expression(model: Model, seed: int) -> Expression:
    """Sample an expression from the model's expression prior; a seed gives the same expression on every device."""
    prior = model.generator.expression_prior
    latent = torch.randn(1, prior.config.latent_dim, generator=torch.Generator().manual_seed(seed))
    return Expression(
        f"{PRIOR_PREFIX}{seed}", prior.decode(latent.to(model.generator.device))[0].cpu().numpy()
    )


def _expression(model: Model, text: str) -> Expression:
    if text.startswith(PRIOR_PREFIX):
        seed = text.removeprefix(PRIOR_PREFIX)
        if not (seed.isascii() and seed.isdigit() and int(seed) <= LARGEST_SEED):
            raise InputError(
                f"expression '{text}': '{seed}' is no seed, expected {PRIOR_PREFIX} and a whole number from 0"
            )
        return prior_expression(model, int(seed))
    if is_expression_file(text):
        return Expression(Path(text).stem, _coefficients(model, text), located(text))
    return Expression(text, _coefficients(model, text))


def _coefficients(model: Model, text: str | None) -> Float[np.ndarray, "64"]:
    return model.expression(text)[0].cpu().numpy()
