"""Files of face reconstruction networks: our own model folders, and Deep3DFaceRecon's released weights.

A folder holds ``model.safetensors`` and ``card.yaml``, as a generator's does. Deep3DFaceRecon's file (``epoch_20.pth``)
is a dictionary of state dicts, of which ``net_recon`` is the network; such a state dict alone is read as well.
"""

import dataclasses
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anifacegan.atomic_files import file_sha256
from anifacegan.checkpoints import CARD, TENSORS, check_state, read_card, read_tensors, write_model_folder
from anifacegan.coefficients import BFM
from anifacegan.command_line import from_plain
from anifacegan.errors import InputError, first_line
from anifacegan.models.reconstruction import ReconstructionConfig, ReconstructionNetwork

DEEP3D = ReconstructionConfig(trunk="resnet50", size=224, camera="deep3dfacerecon")
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
    if path.is_dir():
        return _load_folder(path)
    network = load_deep3dfacerecon(path)
    return network, ReconstructionCard(path.stem, BFM, "Deep3DFaceRecon's; the user brought the file")


def weights_sha256(path: Path) -> str:
    """Sum of what :func:`load_reconstruction` reads the weights from, to tell them from others."""
    return file_sha256(path / TENSORS if path.is_dir() else path)


def _load_folder(folder: Path) -> tuple[ReconstructionNetwork, ReconstructionCard]:
    content = read_card(folder / CARD)
    if "reconstruction" not in content:
        raise InputError(f"{folder / CARD}: no key 'reconstruction', expected a face reconstruction network's card")
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
    tensors = _released_tensors(path)
    network = ReconstructionNetwork(DEEP3D)
    expected = network.trunk.state_dict()
    for name, like in expected.items():
        if name.endswith("num_batches_tracked"):                       # older versions of PyTorch did not count
            tensors.setdefault(name, like)
    check_state(path, tensors, expected)
    network.trunk.load_state_dict(tensors)
    return network.eval()


def _released_tensors(path: Path) -> dict[str, Tensor]:
    """The network's tensors, without the prefix that a distributed run leaves."""
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a model folder or Deep3DFaceRecon's epoch_20.pth")
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(f"{path}: not a readable file of weights ({first_line(error)})") from None
    if isinstance(content, dict) and isinstance(content.get(_NETWORK), dict):
        content = content[_NETWORK]
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected a dictionary with '{_NETWORK}'")
    return {str(name).removeprefix("module."): t for name, t in content.items() if isinstance(t, Tensor)}
