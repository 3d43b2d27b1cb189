"""Where a model computes: the CPU, or the GPU that PyTorch sees. Draws are made on the CPU wherever it is."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Literal, TypeVar

import torch
from torch import Tensor

from anifacegan.runtime.errors import InputError

Device = Literal["auto", "cpu", "cuda"]
"""auto: the GPU where PyTorch sees one."""
Record = TypeVar("Record")


def select_device(device: Device) -> str:
    """The name of the device for PyTorch.

    Raises:
        InputError: a GPU is asked for, and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but PyTorch sees no GPU here; expected cpu or auto")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def moved(record: Record, device: torch.device) -> Record:
    """A dataclass of tensors in host memory, and of such dataclasses, on a device; the host waits for no copy."""
    return with_tensors(record, lambda tensor: tensor.to(device, non_blocking=True))


def with_tensors(record: Record, change: Callable[[Tensor], Tensor]) -> Record:
    """A dataclass, and the dataclasses in it, with every tensor changed."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]
    return replace(  # type: ignore[type-var]
        record,
        **{
            name: change(value) if isinstance(value, Tensor) else with_tensors(value, change)
            for name, value in values.items()
            if isinstance(value, Tensor) or is_dataclass(value)
        },
    )
