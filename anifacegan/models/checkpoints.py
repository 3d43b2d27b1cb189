"""Generator checkpoints: model folders with a generator, its model card, its expression basis and its appearance map.

Next to the generator's state dict the tensors file holds the blendshapes of the expression basis (``expression.*``) and
the map from the attributes of synthetic people to ``z_noise`` (``appearance.*``). Large tables are stored in half
precision: the alignment's features and, unless their configuration says otherwise, feature planes, the weights of their
mix and the mapping networks.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anifacegan.face_model.coefficients import ExpressionBasis
from anifacegan.face_model.expressions import STRONGEST, check_presets
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.models.config import GeneratorConfig
from anifacegan.models.generator import Generator
from anifacegan.models.model_folder import (
    CARD,
    TENSORS,
    in_half_precision,
    loaded,
    read_card,
    read_tensors,
    write_model_folder,
)
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.resources import located_model
from anifacegan.runtime.tensor_files import check_shape, check_values

_UNITS = "expression.units_to_exp"
_APPEARANCE = "appearance."
_CONFIG = "generator"
_PLANES = "template.planes."
_LARGE_NETWORKS = (
    "template.mapping.",
    "deformation.mapping.",
    "shading.mapping.",
    "identity_prior.",
    "expression_prior.",
)
_NODES = "alignment.node"


@dataclass(frozen=True)
class ModelCard:
    """Facts about a generator that its weights do not tell."""

    name: str
    """Name of the model."""
    face_model: str
    """Name of the face model; z_id and z_exp are coefficients of its identity and expression bases."""
    pitch_offset: float = 0.0
    """Pitch angle that the .mat files of the model's data set give to a face seen from the front, radians."""
    expression_units: tuple[str, ...] = ()
    """Names of the face model's action units (single facial movements such as jawOpen); users describe an expression by
    the strengths of action units. Empty for a face model without named action units."""
    presets: dict[str, dict[str, float]] = field(default_factory=dict)
    """Predefined expressions: the name of an expression, such as smile, to the strengths of its action units by their
    names."""
    licence: str = ""
    """Licence of the weights."""
    training: dict[str, Any] = field(default_factory=dict)
    """Training history: command, seed, stages, steps."""


@dataclass(frozen=True)
class Checkpoint:
    """Contents of a generator's model folder."""

    generator: Generator
    """The generator network."""
    card: ModelCard
    """Facts from card.yaml: name, face model, expressions, licence and training history of the generator."""
    basis: ExpressionBasis | None = None
    """Expression coefficients of each of the model's action units (single facial movements such as jawOpen) at strength
    1; None for a face model without action units."""
    appearance: dict[str, np.ndarray] = field(default_factory=dict)
    """Arrays, by name, of the map from attributes of synthetic people (such as hair) to z_noise; empty if the generator
    has no such map."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a generator's model folder: its weights and card.yaml.

    Raises:
        InputError: the folder cannot be written (it is unchanged then), or a value of the template's feature planes
            is beyond the range of float16.
    """
    tensors = dict(checkpoint.generator.state_dict())
    tensors |= in_half_precision({name: tensors[name] for name in _large_tables(checkpoint.generator)})
    if checkpoint.basis is not None:
        tensors[_UNITS] = torch.from_numpy(checkpoint.basis.units_to_exp)
    for name, array in checkpoint.appearance.items():
        tensors[_APPEARANCE + name] = torch.from_numpy(np.ascontiguousarray(array))
    card = dataclasses.asdict(checkpoint.card)
    card["expression_units"] = list(checkpoint.card.expression_units)
    card[_CONFIG] = dataclasses.asdict(checkpoint.generator.config)
    write_model_folder(folder, tensors, card)


def rounded_as_stored(generator: Generator) -> None:
    """Round a generator's weights in place to the precision in which its model folder stores them.

    Raises:
        InputError: a weight is beyond the range of float16.
    """
    tensors = generator.state_dict()
    rounded = in_half_precision({name: tensors[name] for name in _large_tables(generator)})
    generator.load_state_dict({name: value.float() for name, value in rounded.items()}, strict=False)


def _large_tables(generator: Generator) -> list[str]:
    """Return the names of the tensors that are stored in half precision."""
    names = [] if generator.alignment is None else ["alignment.features", "alignment.mix"]
    planes = generator.template.planes
    if planes is not None and planes.config.half_precision:
        names += [_PLANES + name for name, _ in planes.named_parameters()]
        names += [name for name, _ in generator.named_parameters() if name.startswith(_LARGE_NETWORKS)]
    return names


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a generator's model folder: its weights and card.yaml.

    Raises:
        InputError: a file is missing or broken, card.yaml has an unknown key, or a tensor is missing, misshaped or not
            finite.
    """
    folder = located_model(folder)
    card, config = read_card(folder, ModelCard, GeneratorConfig, _CONFIG)
    if not abs(card.pitch_offset) <= STRONGEST:
        raise InputError(
            f"{folder / CARD}: pitch_offset is {card.pitch_offset}, expected a finite number up to {STRONGEST:g}"
        )
    path = folder / TENSORS
    tensors = read_tensors(path)
    basis = _take_expression_basis(tensors, card.expression_units, path)
    check_presets(f"{folder / CARD}: ", card.presets, basis)
    appearance = _take_appearance(tensors, path)
    generator = loaded(lambda: Generator(config), tensors, path)
    _check_nodes(generator, path)
    return Checkpoint(generator, card, basis, appearance)


def _check_nodes(generator: Generator, path: Path) -> None:
    """Check that the indices of the alignment's nodes exist, because compiled code reads the nodes unchecked."""
    if generator.alignment is None:
        return
    least, most = (int(value) for value in generator.alignment.node.aminmax())
    last = generator.alignment.config.nodes
    if least < 0 or most > last:
        raise InputError(
            f"{path}: tensor '{_NODES}' holds {least} to {most}, expected indices from 0 to {last}"
        )


def _take_expression_basis(
    tensors: dict[str, Tensor], units: tuple[str, ...], path: Path
) -> ExpressionBasis | None:
    """Remove the expression basis from ``tensors`` and return it."""
    if not units and _UNITS not in tensors:
        return None
    check_shape(path, tensors, _UNITS, (EXP_DIM, len(units)))
    return ExpressionBasis(units, tensors.pop(_UNITS).float().numpy())


def _take_appearance(tensors: dict[str, Tensor], path: Path) -> dict[str, np.ndarray]:
    """Remove the arrays of the appearance map from ``tensors`` and return them."""
    names = [name for name in tensors if name.startswith(_APPEARANCE)]
    for name in names:
        check_values(path, name, tensors[name])
    return {name.removeprefix(_APPEARANCE): _as_array(tensors.pop(name)) for name in names}


def _as_array(tensor: Tensor) -> np.ndarray:
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
