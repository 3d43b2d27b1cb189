"""Dataclasses of tensors: their transfer to a device, and changes of all their tensors."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

Record = TypeVar("Record")


def moved(record: Record, device: torch.device) -> Record:
    """Copy a dataclass of tensors, with those in nested dataclasses, to a device; the copies may still be in progress
    when this returns."""
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
