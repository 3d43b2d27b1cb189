"""Selection of the device that a model computes on, and transfer of dataclasses of tensors to it."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Literal, TypeVar

import torch
from torch import Tensor

from anifacegan.runtime.errors import InputError

Device = Literal["auto", "cpu", "cuda"]
"""Device names of configurations; ``auto`` is the GPU where PyTorch finds one, else the CPU."""
Record = TypeVar("Record")


def select_device(device: Device) -> str:
    """Return PyTorch's name of a device, ``cpu`` or ``cuda``.

    Raises:
        InputError: ``cuda`` is requested, and PyTorch finds no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but PyTorch sees no GPU here; expected cpu or auto")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def moved(record: Record, device: torch.device) -> Record:
    """Copy a dataclass of tensors, nested ones included, to a device without waiting for the copies to finish."""
    return with_tensors(record, lambda tensor: tensor.to(device, non_blocking=True))


def with_tensors(record: Record, change: Callable[[Tensor], Tensor]) -> Record:
    """Return a copy of a dataclass with ``change`` applied to every tensor in it and in the dataclasses nested in
    it.
    """
    values = {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]
    return replace(  # type: ignore[type-var]
        record,
        **{
            name: change(value) if isinstance(value, Tensor) else with_tensors(value, change)
            for name, value in values.items()
            if isinstance(value, Tensor) or is_dataclass(value)
        },
    )
