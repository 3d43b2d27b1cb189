"""Dataclasses of tensors: their transfer to a device, and changes of all their tensors."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

Record = TypeVar("Record")
ALIGNMENT = 64
"""Bytes to whose multiples each tensor begins in :class:`Packed`."""


def moved(record: Record, device: torch.device) -> Record:
    """Copy a dataclass of tensors, with those in nested dataclasses and tuples, to a device; the copy may still be in
    progress when this returns."""
    if device.type == "cpu" or not _on_cpu(record):
        return with_tensors(record, lambda tensor: tensor.to(device, non_blocking=True))
    return Packed(record, pinned=device.type == "cuda").on(device)


def _on_cpu(record: Any) -> bool:
    devices: set[str] = set()
    with_tensors(record, lambda tensor: (devices.add(tensor.device.type), tensor)[1])
    return devices <= {"cpu"}


class Packed:
    """All tensors of a dataclass in one piece of memory, which one copy brings to a GPU.

    Args:
        record: dataclass of tensors on the CPU; dataclasses and tuples in it may hold further ones.
        pinned: whether the memory is page-locked: the CPU then does not wait for the copy. Needs a GPU.
    """

    def __init__(self, record: Any, pinned: bool) -> None:
        self._record = record
        self._places: list[tuple[int, torch.dtype, torch.Size]] = []
        tensors: list[Tensor] = []
        with_tensors(record, lambda tensor: (tensors.append(tensor.contiguous()), tensor)[1])
        size = 0
        for tensor in tensors:
            self._places.append((size, tensor.dtype, tensor.shape))
            size += -(-tensor.numel() * tensor.element_size() // ALIGNMENT) * ALIGNMENT
        self._memory = torch.empty(size, dtype=torch.uint8, pin_memory=pinned)
        for tensor, place in zip(tensors, self._places, strict=True):
            _view(self._memory, *place).copy_(tensor)

    def on(self, device: torch.device) -> Any:
        """Return the dataclass with its tensors on a device; the copy may still be in progress."""
        memory, places = self._memory.to(device, non_blocking=True), iter(self._places)
        return with_tensors(self._record, lambda _: _view(memory, *next(places)))


def _view(memory: Tensor, start: int, dtype: torch.dtype, shape: torch.Size) -> Tensor:
    size = shape.numel() * dtype.itemsize
    return memory[start : start + size].view(dtype).view(shape)


def with_tensors(record: Record, change: Callable[[Tensor], Tensor]) -> Record:
    """Return a copy of a dataclass with ``change`` applied to every tensor in it and in the dataclasses and tuples
    nested in it.
    """
    if isinstance(record, Tensor):
        return change(record)  # type: ignore[return-value]
    if isinstance(record, tuple):
        return tuple(with_tensors(value, change) for value in record)  # type: ignore[return-value]
    if not is_dataclass(record):
        return record
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return replace(  # type: ignore[type-var]
        record,
        **{
            name: with_tensors(value, change)
            for name, value in values.items()
            if isinstance(value, (Tensor, tuple)) or is_dataclass(value)
        },
    )
