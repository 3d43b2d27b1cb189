"""Files of tensors: the one reader and writer of safetensors files, and the reader of PyTorch's files (.pth, .pt).

Nothing in a file is run. Whoever reads a file compares shapes with :func:`check_tensor` before they are used.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.file_kinds import PICKLE, ZIP, require_kind

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
LARGEST_WEIGHT = 1e8
"""Largest absolute value of a floating-point tensor; the largest of real models are some hundreds."""
_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training programs keep a state dict beside other things."""
_LONG_WORDS = "Weights only load failed"
"""How PyTorch begins several sentences on a file that is no pickle, or one that is damaged."""
_PREFIX = "module."
"""What PyTorch's DataParallel puts before every name."""


CHECKSUM = "crc32"
"""Name, in the header of a safetensors file that this program wrote, of the CRC-32 of all numbers."""
HEADER_CHECKSUM = "header_crc32"
"""The same of the CRC-32 of the rest of the header; files of earlier versions have none."""


def safetensors_content(tensors: Mapping[str, Tensor], texts: Mapping[str, str] | None = None) -> bytes:
    """Return the content of a safetensors file with these tensors, and with ``texts`` and checksums in its header.

    The library writes several texts in random order, so the header is written here.
    """
    header, numbers = _parts(save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}))
    header["__metadata__"] = {**(texts or {}), CHECKSUM: _checksum(numbers)}
    header["__metadata__"][HEADER_CHECKSUM] = _header_checksum(header)
    line = json.dumps(header, separators=(",", ":")).encode()
    line += b" " * (-len(line) % 8)  # the numbers begin at a multiple of 8 bytes
    return len(line).to_bytes(8, "little") + line + numbers


def _parts(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return the header of a safetensors file and the bytes of its numbers."""
    start = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:start]), memoryview(content)[start:]


def _checksum(content: memoryview | bytes) -> str:
    return f"{zlib.crc32(content):08x}"


def _header_checksum(header: dict[str, Any]) -> str:
    """Return the checksum of a header without the entry for it, whatever the order of its entries."""
    texts = {name: text for name, text in header["__metadata__"].items() if name != HEADER_CHECKSUM}
    return _checksum(json.dumps({**header, "__metadata__": texts}, sort_keys=True).encode())


def read_safetensors(path: Path, expected: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors of a safetensors file, and the texts in its header.

    Raises:
        InputError: the file is missing, damaged or of another kind; the message ends with ``expected``.
    """
    require_kind(path, expected)
    try:
        content = path.read_bytes()  # a mapped file that shrinks meanwhile would end the process
        with torch.device("cpu"):  # also where the calling program has another default device
            tensors = load(content)
        header, numbers = _parts(content)
        texts = header.get("__metadata__") or {}
    except Exception as error:  # the library raises kinds of its own, and PyTorch others
        reason = first_line(error)
        raise InputError(f"{path}: not a readable safetensors file ({reason}), expected {expected}") from None
    for name, of, checksum in (
        (CHECKSUM, "numbers", lambda: _checksum(numbers)),
        (HEADER_CHECKSUM, "header", lambda: _header_checksum(header)),
    ):
        if name in texts and texts[name] != (found := checksum()):
            raise InputError(
                f"{path}: damaged or changed after it was written (CRC-32 of its {of} is {found}, its header says "
                f"{texts[name][:8]!r}), expected {expected}"
            )
    return tensors, texts


def read_pytorch(path: Path, expected: str) -> Any:
    """Read a file of PyTorch: tensors, texts, numbers, and lists and dictionaries of these.

    Raises:
        InputError: the file is missing, damaged, of another kind, holds other Python objects, or is a small archive of
            something large; the message ends with ``expected``.
    """
    require_kind(path, expected, ZIP, PICKLE)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
            if size > 2 * os.path.getsize(path) + 2**20:
                raise InputError(f"{path}: unpacks to {size} bytes, expected {expected}")
        return torch.load(path, weights_only=True, map_location="cpu")
    except InputError:
        raise
    except Exception as error:  # torch raises many kinds for a broken or unsafe file
        if "GLOBAL" in str(error) or "nsupported class" in str(error):
            raise InputError(
                f"{path}: holds Python objects, such as a whole pickled module, which may run code, expected "
                f"{expected}; where the file was made, torch.save(module.state_dict(), FILE) writes weights alone"
            ) from None
        reason = (
            "neither an archive nor a pickle of tensors" if _LONG_WORDS in str(error) else first_line(error)
        )
        raise InputError(f"{path}: not readable as weights ({reason}), expected {expected}") from None


def state_dict_in(path: Path, content: Any, expected: str) -> dict[str, Tensor]:
    """Return the tensors of a state dict by name, without the ``module.`` of DataParallel; other values are left out.

    ``content`` was read from ``path``; the state dict may be in it under a usual key.

    Raises:
        InputError: there are none, a name is no text, or a tensor is not an ordinary one in memory.
    """
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected {expected}")
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        held = ", ".join(f"'{name}'" for name in list(content)[:5]) or "nothing"
        raise InputError(f"{path}: holds no tensors but {held}, expected {expected}")
    for name, tensor in tensors.items():
        if not isinstance(name, str):
            raise InputError(f"{path}: a tensor has the name {name!r}, expected texts")
        check_ordinary(path, name, tensor)
    prefixed = all(name.startswith(_PREFIX) for name in tensors)
    return {name.removeprefix(_PREFIX) if prefixed else name: tensor for name, tensor in tensors.items()}


def check_ordinary(path: Path, name: str, tensor: Tensor) -> None:
    """Require that a tensor is dense, in memory, complete, and of real numbers.

    Raises:
        InputError: it is sparse, quantised, on the meta device, complex, of 8-bit floats, or repeats few numbers.
    """
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        kind = "without values" if tensor.is_meta else "quantised" if tensor.is_quantized else "sparse"
        raise InputError(f"{path}: tensor '{name}' is {kind}, expected an ordinary one")
    if tensor.dtype not in (*FLOATS, *INTEGERS):
        raise InputError(f"{path}: tensor '{name}' is of {tensor.dtype}, expected floats of 16 to 64 bits")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise InputError(f"{path}: tensor '{name}' of shape {tuple(tensor.shape)} is not stored completely")


def check_tensor(path: Path, tensors: Mapping[str, Tensor], name: str, like: Tensor) -> None:
    """Require that a named tensor is there, and has the shape and the kind of numbers of ``like``.

    Raises:
        InputError: it is not; or it has values that are not finite, or are beyond LARGEST_WEIGHT.
    """
    check_shape(path, tensors, name, tuple(like.shape))
    if like.is_floating_point() != (tensors[name].dtype in FLOATS):
        kind = "floats" if like.is_floating_point() else "whole numbers"
        raise InputError(f"{path}: tensor '{name}' is of {tensors[name].dtype}, expected {kind}")


def check_shape(path: Path, tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> None:
    """Require that a named tensor is there, has a shape, and finite values up to LARGEST_WEIGHT.

    Raises:
        InputError: it is not.
    """
    if name not in tensors or tuple(tensors[name].shape) != shape:
        came = f"has shape {tuple(tensors[name].shape)}" if name in tensors else "is missing"
        raise InputError(f"{path}: tensor '{name}' {came}, expected shape {shape}")
    check_values(path, name, tensors[name])


def check_values(path: Path, name: str, tensor: Tensor) -> None:
    """Require an ordinary tensor of finite values that are no larger than LARGEST_WEIGHT.

    Raises:
        InputError: it is not; the message names file and tensor.
    """
    check_ordinary(path, name, tensor)
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return
    least, most = (float(value) for value in tensor.aminmax())
    if not (abs(least) < float("inf") and abs(most) < float("inf")):
        raise InputError(f"{path}: tensor '{name}' has values that are not finite")
    largest = max(-least, most)
    if largest > LARGEST_WEIGHT:
        raise InputError(
            f"{path}: tensor '{name}' has a value of size {largest:.3g}, expected at most {LARGEST_WEIGHT:g}"
        )
