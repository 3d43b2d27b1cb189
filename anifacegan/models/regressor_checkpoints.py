"""Checkpoints of face regressors: model folders of our own, and Deep3DFaceRecon's released weights.

Deep3DFaceRecon's file (``epoch_20.pth``) is a dictionary of state dicts, of which ``net_recon`` is the network. A file
that holds this state dict alone is read as well.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from anifacegan.face_model.coefficients import BFM
from anifacegan.models.config import FaceRegressorConfig
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.model_folder import (
    TENSORS,
    check_state,
    in_half_precision,
    loaded,
    read_card,
    read_tensors,
    write_model_folder,
)
from anifacegan.runtime.resources import located, located_model
from anifacegan.runtime.tensor_files import read_pytorch, state_dict_in

DEEP3D = FaceRegressorConfig(backbone="resnet50", size=224, camera="deep3dfacerecon")
"""Configuration of Deep3DFaceRecon's released network."""
_DEEP3D_NETWORK = "net_recon"
_CONFIG = "reconstruction"


@dataclass(frozen=True)
class FaceRegressorCard:
    """Facts about a face regressor that its weights do not tell."""

    name: str
    """Name of the model."""
    face_model: str
    """Name of the face model whose coefficients the network regresses."""
    licence: str = ""
    """Licence of the weights."""
    training: dict[str, Any] = field(default_factory=dict)
    """Training history, and the network's errors on people it was not trained on."""


def save_face_regressor(
    folder: Path, network: FaceRegressor, card: FaceRegressorCard, half: bool = False
) -> None:
    """Write a face regressor's model folder, with the facts ``card`` as card.yaml; with ``half`` its weights are
    rounded to float16.

    Raises:
        InputError: a weight is beyond float16's range, or the folder cannot be written.
    """
    config = dataclasses.asdict(network.config)
    config["channels"] = list(network.config.channels)
    state = in_half_precision(network.state_dict()) if half else network.state_dict()
    write_model_folder(folder, state, dataclasses.asdict(card) | {_CONFIG: config})


def load_face_regressor(path: Path) -> tuple[FaceRegressor, FaceRegressorCard]:
    """Read a float32 face regressor in evaluation mode from a model folder or from Deep3DFaceRecon's file.

    Raises:
        InputError: a file is missing or broken, or a tensor is missing, misshaped or not finite.
    """
    path = located_model(path, "a model folder or Deep3DFaceRecon's epoch_20.pth")
    if not path.is_dir():
        card = FaceRegressorCard(path.stem, BFM, "Deep3DFaceRecon's; the user brought the file")
        return load_deep3dfacerecon(path), card
    card, config = read_card(path, FaceRegressorCard, FaceRegressorConfig, _CONFIG)
    network = loaded(lambda: FaceRegressor(config), read_tensors(path / TENSORS), path / TENSORS)
    return network.eval(), card


def regressor_face_model(path: Path) -> str:
    """Return the name of the face model whose coefficients a network regresses; its weights are not read.

    Raises:
        InputError: a file is missing, or a card is broken.
    """
    path = located_model(path, "a model folder or Deep3DFaceRecon's epoch_20.pth")
    return (
        read_card(path, FaceRegressorCard, FaceRegressorConfig, _CONFIG)[0].face_model
        if path.is_dir()
        else BFM
    )


def load_deep3dfacerecon(path: Path) -> FaceRegressor:
    """Read Deep3DFaceRecon's ResNet-50 from the user's own copy of the released weights.

    Raises:
        InputError: the file is missing or broken, or a tensor is missing, misshaped or not finite.
    """
    path = located(path, "Deep3DFaceRecon's epoch_20.pth")
    tensors = _deep3d_tensors(path)
    network = FaceRegressor(DEEP3D)
    for name, like in network.backbone.state_dict().items():
        if name.endswith("num_batches_tracked"):  # not stored by older versions of PyTorch
            tensors.setdefault(name, like)
    check_state(network.backbone.state_dict(), tensors, path)
    network.backbone.load_state_dict(tensors)
    return network.eval()


def _deep3d_tensors(path: Path) -> dict[str, Tensor]:
    """Read the network's tensors, without the ``module.`` prefix of distributed training."""
    expected = f"a dictionary with '{_DEEP3D_NETWORK}', Deep3DFaceRecon's epoch_20.pth"
    content = read_pytorch(path, expected)
    if isinstance(content, dict) and isinstance(content.get(_DEEP3D_NETWORK), dict):
        content = content[_DEEP3D_NETWORK]
    return state_dict_in(path, content, expected)
