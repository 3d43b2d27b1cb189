"""Read and write model folders: ``model.safetensors`` holds the tensors, ``card.yaml`` the network's configuration and
facts about the model.

Generators, coefficient priors and face regressors are all stored this way. The card holds the fields of a card
dataclass and, under one more key, the configuration of the network.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import file_sha256
from anifacegan.runtime.output_folders import filled_when_complete, require_room
from anifacegan.runtime.paths import exists
from anifacegan.runtime.resources import located_model
from anifacegan.runtime.structured_text import read_yaml, yaml_text
from anifacegan.runtime.tensor_files import check_tensor, read_safetensors, safetensors_content
from anifacegan.runtime.torch_internals import without_random_numbers
from anifacegan.runtime.typed_config import from_plain

TENSORS, CARD = "model.safetensors", "card.yaml"

KINDS = {
    "generator": "a generator",
    "reconstruction": "a face regressor (--task reconstruction)",
    "prior": "a coefficient prior (--task prior)",
}
"""Kind of model by the key of its network's configuration in card.yaml."""

Card = TypeVar("Card")
Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)


def write_model_folder(
    folder: Path, tensors: dict[str, Tensor], card: dict[str, Any], overwrite: bool = True
) -> None:
    """Write the tensors and the facts (card.yaml) of a model; in an existing folder each of the two files is replaced
    completely or not at all.

    Commands call :func:`require_room_for_model` first; ``overwrite`` False refuses files of others here.

    Raises:
        InputError: the folder cannot be written; it is unchanged then.
    """
    with filled_when_complete(folder, overwrite) as temporary:
        (temporary / TENSORS).write_bytes(safetensors_content(tensors))
        (temporary / CARD).write_text(yaml_text(card, width=110))


def require_room_for_model(folder: Path, overwrite: bool | None = None) -> None:
    """Require that a model may be written into a folder, before it is made; ``overwrite`` None is False of a command
    without that option.

    Raises:
        InputError: files that this program did not write are in the way, unless ``overwrite`` is set.
    """
    require_room(folder, (TENSORS, CARD), overwrite)


def in_half_precision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round floating-point tensors to float16 and leave integer counters unchanged.

    Raises:
        InputError: a value is beyond float16's range.
    """
    rounded = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    for name, tensor in rounded.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            came = state[name].abs().max().item()
            raise InputError(f"tensor '{name}' holds {came:.4g}, expected at most 65504 for half precision")
    return rounded


def read_card(
    folder: Path, card_type: type[Card], config_type: type[Config], config_key: str
) -> tuple[Card, Config]:
    """Read card.yaml of a model folder: the facts about the model, and the network's configuration, which is stored in
    it under ``config_key``.

    Raises:
        InputError: the file is missing or unreadable, has an unknown or missing key, or a value of the wrong type.
    """
    path = folder / CARD
    if not exists(path):
        raise InputError(
            f"{path}: no such file; a model folder holds {CARD} and {TENSORS}, or the released files"
        )
    content = read_yaml(path, "a model's card")
    if config_key not in content:
        came = next(
            (f"is of {kind}" for key, kind in KINDS.items() if key in content), f"no key '{config_key}'"
        )
        raise InputError(f"{path}: {came}, expected the card of {KINDS[config_key]}")
    sizes = content.pop(config_key)
    if not isinstance(sizes, dict):
        raise InputError(f"{path}: '{config_key}' holds {sizes!r}, expected keys and values")
    config = from_plain(config_type, sizes, str(path), f"{config_key}.")
    return from_plain(card_type, content, str(path)), config


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file.

    Raises:
        InputError: the file is missing or not readable as safetensors.
    """
    return read_safetensors(path, f"the weights that {CARD} describes")[0]


def loaded(build: Callable[[], Network], tensors: dict[str, Tensor], path: Path) -> Network:
    """Build a network and load a state dict read from ``path``; stored half-precision values become float32.

    ``build`` makes the network of the sizes that its card says. It is first called without memory for the weights, so
    that nothing is allocated that the file does not hold, and then without drawing random ones.

    Raises:
        InputError: a tensor is missing, misshaped, of another type, not finite or not part of the network.
    """
    with torch.device("meta"):
        expected = build().state_dict()
    check_state(expected, tensors, path)
    network = without_random_numbers(build)
    network.load_state_dict(tensors)
    return network


def check_state(expected: dict[str, Tensor], tensors: dict[str, Tensor], path: Path) -> None:
    """Require that tensors read from ``path`` are those of a network's state dict, ``expected``.

    Raises:
        InputError: see :func:`loaded`.
    """
    for name, like in expected.items():
        check_tensor(path, tensors, name, like)
    for name in sorted(tensors.keys() - expected.keys()):
        raise InputError(f"{path}: unexpected tensor '{name}' of shape {tuple(tensors[name].shape)}")


def weights_sha256(path: Path) -> str:
    """Return the SHA-256 of a model folder's weights file, or of ``path`` itself if it is a file."""
    path = located_model(path)
    return file_sha256(path / TENSORS if path.is_dir() else path)


def weights_hash_suffix(folder: Path) -> str:
    """Return the text ``", sha256 "`` and the first 12 digits of the hash of a model folder's weights; an empty text
    for a folder with AniFaceGAN's released files."""
    weights = located_model(folder) / TENSORS
    return f", sha256 {file_sha256(weights)[:12]}" if weights.is_file() else ""
