"""Our own model folders: ``model.safetensors`` beside a readable ``card.yaml``.

The tensors are the generator's state and what goes with it: the action units of the expression basis
(``expression.*``) and the map from synthetic attributes to ``z_noise`` (``appearance.*``).
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from anifacegan.coefficients import ExpressionBasis
from anifacegan.command_line import from_plain
from anifacegan.errors import InputError, first_line
from anifacegan.models.generator import Generator, GeneratorConfig
from anifacegan.output_folder import filled_when_complete
from anifacegan.shapes import EXP_DIM

TENSORS, CARD = "model.safetensors", "card.yaml"
_UNITS = "expression.units_to_exp"
_APPEARANCE = "appearance."


@dataclass(frozen=True)
class ModelCard:
    """What a user has to know of a model, besides its weights."""

    name: str
    """Name of the model."""
    face_model: str
    """Face model whose bases z_id and z_exp belong to."""
    pitch_offset: float = 0.0
    """Pitch of a frontal face in the .mat files of the model's data set, radians."""
    expression_units: tuple[str, ...] = ()
    """Names of the action units that an expression can be given in."""
    presets: dict[str, dict[str, float]] = field(default_factory=dict)
    """Named expressions in action units."""
    licence: str = ""
    """Licence of the weights."""
    training: dict[str, Any] = field(default_factory=dict)
    """How the weights came about: command, seed, stages, steps."""


@dataclass(frozen=True)
class Checkpoint:
    """A generator with what belongs to it."""

    generator: Generator
    card: ModelCard
    basis: ExpressionBasis | None = None
    """Action units of the card's names; None for a face model without."""
    appearance: dict[str, np.ndarray] = field(default_factory=dict)
    """Arrays of the map from synthetic attributes to z_noise; empty where there is none."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a model folder; see :func:`write_model_folder`."""
    tensors = dict(checkpoint.generator.state_dict())
    if checkpoint.basis is not None:
        tensors[_UNITS] = torch.from_numpy(checkpoint.basis.units_to_exp)
    for name, array in checkpoint.appearance.items():
        tensors[_APPEARANCE + name] = torch.from_numpy(np.ascontiguousarray(array))
    card = dataclasses.asdict(checkpoint.card)
    card["expression_units"] = list(checkpoint.card.expression_units)
    card["generator"] = dataclasses.asdict(checkpoint.generator.config)
    write_model_folder(folder, tensors, card)


def write_model_folder(folder: Path, tensors: dict[str, Tensor], card: dict[str, Any]) -> None:
    """Write tensors and card; over an older folder the two files are replaced, each complete or not at all.

    Raises:
        InputError: the folder cannot be written; it is as it was then.
    """
    with filled_when_complete(folder) as temporary:
        content = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
        (temporary / TENSORS).write_bytes(content)                     # save_file hides what the disk says
        (temporary / CARD).write_text(yaml.safe_dump(card, sort_keys=False, width=110))


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a model folder.

    Raises:
        InputError: a file is missing or broken, the card has an unknown key, or a tensor is missing, misshaped or not
            finite.
    """
    content = read_card(folder / CARD)
    sizes = content.pop("generator", {})
    if not isinstance(sizes, dict):
        raise InputError(f"{folder / CARD}: 'generator' holds {sizes!r}, expected keys and values")
    config = from_plain(GeneratorConfig, sizes, str(folder / CARD), "generator.")
    card = from_plain(ModelCard, content, str(folder / CARD))
    tensors = read_tensors(folder / TENSORS)
    basis = None
    if card.expression_units or _UNITS in tensors:
        like = torch.empty(EXP_DIM, len(card.expression_units))
        check_tensor(folder / TENSORS, tensors, _UNITS, like)
        basis = ExpressionBasis(card.expression_units, tensors.pop(_UNITS).numpy())
    names = [name for name in tensors if name.startswith(_APPEARANCE)]
    for name in names:
        _check_finite(folder / TENSORS, name, tensors[name])
    appearance = {name.removeprefix(_APPEARANCE): tensors.pop(name).numpy() for name in names}
    generator = Generator(config)
    check_state(folder / TENSORS, tensors, generator.state_dict())
    generator.load_state_dict(tensors)
    return Checkpoint(generator, card, basis, appearance)


def read_card(path: Path) -> dict:
    """The card's keys and values; InputError where there is none."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; a model folder holds {CARD} and {TENSORS}, or the released files")
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable as YAML ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected keys and values")
    return content


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file; InputError where it is none."""
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected the weights that {CARD} describes")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: not a readable safetensors file ({first_line(error)})") from None


def check_state(path: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Refuse, by name, tensors that are missing, misshaped, not finite or not expected."""
    for name, like in expected.items():
        check_tensor(path, tensors, name, like)
    for name in sorted(tensors.keys() - expected.keys()):
        raise InputError(f"{path}: unexpected tensor '{name}' of shape {tuple(tensors[name].shape)}")


def check_tensor(path: Path, tensors: dict[str, Tensor], name: str, like: Tensor) -> None:
    """Refuse one tensor that is missing, misshaped or not finite."""
    if name not in tensors or tensors[name].shape != like.shape:
        came = f"has shape {tuple(tensors[name].shape)}" if name in tensors else "is missing"
        raise InputError(f"{path}: tensor '{name}' {came}, expected shape {tuple(like.shape)}")
    _check_finite(path, name, tensors[name])


def _check_finite(path: Path, name: str, tensor: Tensor) -> None:
    if tensor.is_floating_point() and not tensor.isfinite().all():
        raise InputError(f"{path}: tensor '{name}' has values that are not finite")
