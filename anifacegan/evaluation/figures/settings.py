"""What all figures share: which model, which people, which expressions, how large, where to."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.face_model.expressions import NEUTRAL
from anifacegan.face_model.trajectories import Expression, check_views
from anifacegan.rendering.model import Model, load_model
from anifacegan.runtime.devices import Device, select_device
from anifacegan.runtime.errors import InputError, warnings_in_one_line
from anifacegan.runtime.typed_config import as_tuple

PRIOR_PREFIX = "drawn:"
"""``drawn:3`` is the expression that the model's own prior makes of seed 3: there is one whatever the face model."""
DEFAULT_PRIOR_EXPRESSIONS = 6


@dataclass(frozen=True)
class FigureConfig:
    """What all figures share."""

    model: Path = Path("checkpoints/demo")
    """Model folder of ours, or a folder with AniFaceGAN's released files."""
    out: Path = Path("runs/figures")
    """Folder to write into: NAME.png, NAME.yaml (the settings, which make it again) and NAME.json (what was shown)."""
    seeds: int | tuple[int, ...] = (1, 2, 3)
    """One person each. A figure of one person shows the first."""
    expressions: str | tuple[str, ...] | None = None
    """Names such as smile or smile=0.7,blink=0.3, .mat files, or drawn:SEED from the model's prior. A figure of one
    expression shows the first. null: the model's named ones, or six drawn where it has no names."""
    size: int = 128
    """Height and width of a face in pixels."""
    psi: float = 0.7
    """Variety of people: 1 is all of it, smaller is closer to the average appearance."""
    device: Device = "auto"
    """auto: the GPU where PyTorch sees one."""

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 1024:
            raise ValueError(f"size is {self.size}, expected 8 to 1024")
        if not np.isfinite(self.psi):
            raise ValueError(f"psi is {self.psi}, expected a finite number")
        seeds = list(selected_seeds(self))
        if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**63 for seed in seeds):
            raise ValueError(f"seeds are {seeds}, expected whole numbers from 0, each once")
        if self.expressions is not None and not self.expressions:
            raise ValueError("expressions is empty, expected names, .mat files, drawn:SEED, or null")


def selected_seeds(config: FigureConfig) -> tuple[int, ...]:
    """At least one."""
    return as_tuple(config.seeds)


def two_or_more_seeds(config: FigureConfig) -> tuple[int, ...]:
    """The seeds of a figure that goes from person to person.

    Raises:
        InputError: there is only one.
    """
    seeds = selected_seeds(config)
    if len(seeds) < 2:
        raise InputError(f"seeds are {list(seeds)}, expected two or more to go from one person to the next")
    return seeds


def selected_angles(angles: float | tuple[float, ...]) -> tuple[float, ...]:
    """Yaw or pitch angles, radians from frontal.

    Raises:
        InputError: there is none, or one is so far from frontal that nothing can be drawn.
    """
    values = np.array(as_tuple(angles), np.float64)
    if not values.size:
        raise InputError("no angle given, expected one or more")
    check_views(yaw=values, pitch=np.zeros_like(values))
    return tuple(values.tolist())


def load_figure_model(config: FigureConfig) -> Model:
    """The model of a figure, on its device."""
    return load_model(config.model, select_device(config.device))


def selected_expressions(model: Model, config: FigureConfig) -> list[Expression]:
    """What ``expressions`` names, at least one; without the neutral face where it is null.

    Raises:
        InputError: a name that the model does not know, or a file that does not fit.
    """
    requested = config.expressions
    if requested is None:
        drawn = (f"{PRIOR_PREFIX}{seed}" for seed in range(1, DEFAULT_PRIOR_EXPRESSIONS + 1))
        requested = tuple(model.card.presets) or tuple(drawn)
    with warnings_in_one_line():
        return [_expression(model, text) for text in as_tuple(requested)]


def neutral_expression(model: Model) -> Expression:
    """All coefficients zero."""
    return Expression(NEUTRAL, _coefficients(model, None))


@torch.inference_mode()
def prior_expression(model: Model, seed: int) -> Expression:
    """An expression of the model's own prior; the same on every device."""
    prior = model.generator.expression_prior
    code = torch.randn(1, prior.config.latent_dim, generator=torch.Generator().manual_seed(seed))
    return Expression(f"{PRIOR_PREFIX}{seed}", prior.decode(code.to(model.generator.device))[0].cpu().numpy())


def _expression(model: Model, text: str) -> Expression:
    if text.startswith(PRIOR_PREFIX):
        seed = text.removeprefix(PRIOR_PREFIX)
        if not (seed.isascii() and seed.isdigit() and int(seed) < 2**63):
            raise InputError(
                f"expression '{text}': '{seed}' is no seed, expected {PRIOR_PREFIX} and a whole number from 0"
            )
        return prior_expression(model, int(seed))
    if text.endswith(".mat"):
        return Expression(Path(text).stem, _coefficients(model, text), located(text))
    return Expression(text, _coefficients(model, text))


def _coefficients(model: Model, text: str | None) -> Float[np.ndarray, "64"]:
    return model.expression(text)[0].cpu().numpy()
