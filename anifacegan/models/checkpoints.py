"""Our own model folders: ``model.safetensors`` beside a readable ``card.yaml``.

The tensors are the generator's state and what goes with it: the action units of the expression basis
(``expression.*``) and the map from synthetic attributes to ``z_noise`` (``appearance.*``).

Files of finished priors: a folder with ``model.safetensors`` and ``card.yaml``, as a generator's has.

A generator's run may name such folders; it keeps their weights, frozen, in place of priors that it would fit itself.

Files of face reconstruction networks: our own model folders, and Deep3DFaceRecon's released weights.

A folder holds ``model.safetensors`` and ``card.yaml``, as a generator's does. Deep3DFaceRecon's file (``epoch_20.pth``)
is a dictionary of state dicts, of which ``net_recon`` is the network; such a state dict alone is read as well.
"""

import dataclasses
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from anifacegan.face_model.coefficients import BFM, ExpressionBasis
from anifacegan.geometry.conventions import EXP_DIM, ID_DIM
from anifacegan.models.coefficient_vae import CoefficientVAE, CoefficientVAEConfig
from anifacegan.models.face_regressor import ReconstructionConfig, ReconstructionNetwork
from anifacegan.models.generator import Generator, GeneratorConfig
from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.files import file_sha256, filled_when_complete
from anifacegan.runtime.resources import located, located_model
from anifacegan.runtime.typed_config import from_plain

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
        (temporary / TENSORS).write_bytes(content)  # save_file hides what the disk says
        (temporary / CARD).write_text(yaml.safe_dump(card, sort_keys=False, width=110))


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a model folder.

    Raises:
        InputError: a file is missing or broken, the card has an unknown key, or a tensor is missing, misshaped or not
            finite.
    """
    folder = located_model(folder)
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
        raise InputError(
            f"{path}: no such file; a model folder holds {CARD} and {TENSORS}, or the released files"
        )
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
    folder = located_model(folder)
    content = read_card(folder / CARD)
    sizes = content.pop("prior", None)
    if not isinstance(sizes, dict):
        raise InputError(
            f"{folder / CARD}: 'prior' holds {sizes!r}, expected keys and values; is it a prior's card?"
        )
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
    for name, target in vars(config).items():
        came = getattr(prior.vae.config, name)
        if came != target:
            raise InputError(
                f"{option}: {folder} has {name} {came}, expected {target} as generator.{kind}_prior.{name}"
            )
    return prior


DEEP3D = ReconstructionConfig(backbone="resnet50", size=224, camera="deep3dfacerecon")
"""The released network."""
_NETWORK = "net_recon"


@dataclass(frozen=True)
class ReconstructionCard:
    """What a user has to know of a face reconstruction network, besides its weights."""

    name: str
    """Name of the model."""
    face_model: str
    """Face model whose bases the coefficients belong to."""
    licence: str = ""
    """Licence of the weights."""
    training: dict[str, Any] = field(default_factory=dict)
    """How the weights came about, and their errors on held-out people."""


def save_reconstruction(
    folder: Path, network: ReconstructionNetwork, card: ReconstructionCard, half: bool = False
) -> None:
    """Write a model folder; over an older one the two files are replaced, each complete or not at all.

    With ``half`` the weights are rounded to float16, which halves the file.

    Raises:
        InputError: a weight is beyond float16's range, or the folder cannot be written.
    """
    sizes = dataclasses.asdict(network.config)
    sizes["channels"] = list(network.config.channels)
    state = _in_half_precision(network.state_dict()) if half else network.state_dict()
    write_model_folder(folder, state, dataclasses.asdict(card) | {"reconstruction": sizes})


def _in_half_precision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point tensors rounded to float16; counters as they are."""
    rounded = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    for name, tensor in rounded.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            came = state[name].abs().max().item()
            raise InputError(f"tensor '{name}' holds {came:.4g}, expected at most 65504 for half precision")
    return rounded


def load_reconstruction(path: Path) -> tuple[ReconstructionNetwork, ReconstructionCard]:
    """A float32 network, ready to be used, from a model folder or from Deep3DFaceRecon's file.

    Raises:
        InputError: a file is missing or broken, or a tensor is missing or misshaped.
    """
    path = located_model(path, "a model folder or Deep3DFaceRecon's epoch_20.pth")
    if path.is_dir():
        return _load_folder(path)
    network = load_deep3dfacerecon(path)
    return network, ReconstructionCard(path.stem, BFM, "Deep3DFaceRecon's; the user brought the file")


def weights_sha256(path: Path) -> str:
    """Sum of what :func:`load_reconstruction` reads the weights from, to tell them from others."""
    path = located_model(path)
    return file_sha256(path / TENSORS if path.is_dir() else path)


def _load_folder(folder: Path) -> tuple[ReconstructionNetwork, ReconstructionCard]:
    content = read_card(folder / CARD)
    if "reconstruction" not in content:
        raise InputError(
            f"{folder / CARD}: no key 'reconstruction', expected a face reconstruction network's card"
        )
    sizes = content.pop("reconstruction")
    if not isinstance(sizes, dict):
        raise InputError(f"{folder / CARD}: 'reconstruction' holds {sizes!r}, expected keys and values")
    config = from_plain(ReconstructionConfig, sizes, str(folder / CARD), "reconstruction.")
    card = from_plain(ReconstructionCard, content, str(folder / CARD))
    network = ReconstructionNetwork(config)
    tensors = read_tensors(folder / TENSORS)
    check_state(folder / TENSORS, tensors, network.state_dict())
    network.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in tensors.items()})
    return network.eval(), card


def load_deep3dfacerecon(path: Path) -> ReconstructionNetwork:
    """Deep3DFaceRecon's ResNet-50 with the user's own copy of its weights."""
    tensors = _released_tensors(located(path, "Deep3DFaceRecon's epoch_20.pth"))
    network = ReconstructionNetwork(DEEP3D)
    expected = network.backbone.state_dict()
    for name, like in expected.items():
        if name.endswith("num_batches_tracked"):  # older versions of PyTorch did not count
            tensors.setdefault(name, like)
    check_state(path, tensors, expected)
    network.backbone.load_state_dict(tensors)
    return network.eval()


def _released_tensors(path: Path) -> dict[str, Tensor]:
    """The network's tensors, without the prefix that a distributed run leaves."""
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: not a readable file of weights ({first_line(error)})") from None
    if isinstance(content, dict) and isinstance(content.get(_NETWORK), dict):
        content = content[_NETWORK]
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected a dictionary with '{_NETWORK}'")
    return {str(name).removeprefix("module."): t for name, t in content.items() if isinstance(t, Tensor)}


def weights_sum(model: Path) -> str:
    """The start of the weights' sum, to tell versions of a model apart; of our own model folders."""
    weights = located_model(model) / TENSORS
    return f", sha256 {file_sha256(weights)[:12]}" if weights.is_file() else ""
