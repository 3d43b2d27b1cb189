"""Cost of a computation on a GPU, counted without a GPU: operations, kernels, memory, and an estimate of the time.

The computation runs on PyTorch's fake tensors, which have shapes and no numbers, so that a step of any size takes
seconds and no memory::

    with counting() as counter:
        loss = network(torch.empty(64, 3, 256, 256)).sum()
        loss.backward()
    counter.flops, counter.kernels, counter.peak_bytes

The time of an operation is the longest of three: its floating-point operations at the device's speed, its bytes at the
device's bandwidth, and the launch of a kernel (a roofline).
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anifacegan.runtime import torch_internals
from anifacegan.runtime.torch_internals import (
    FakeTensorMode,
    Network,
    TorchDispatchMode,
    flop_counts,
    operation_name,
    tree_leaves,
)

ARITHMETIC, BANDWIDTH = 0.5, 0.7
"""Shares of a device's highest speeds that matrix products and memory accesses are assumed to reach."""
LAUNCH_S = 5e-6
"""Shortest time of a kernel, seconds: PyTorch on a CPU issues about 200,000 in a second."""
WITHOUT_KERNEL = frozenset(
    "empty empty_strided empty_like new_empty new_empty_strided detach alias lift_fresh _unsafe_view".split()
)
"""Names of operations, beside views, that start no kernel."""


@dataclass(frozen=True)
class Device:
    """Highest speeds of a GPU, by its data sheet."""

    name: str
    flops: dict[torch.dtype, float]
    """Floating-point operations in a second, by the type of the factors of a matrix product."""
    tf32_flops: float
    """The same for float32 factors that are rounded to 10 bits."""
    bytes: float
    """Bytes of memory that are read or written in a second."""
    memory: float
    """Bytes of memory."""


DEVICES = (
    Device("A100 80GB", {torch.float32: 19.5e12, torch.bfloat16: 312e12}, 156e12, 2.04e12, 80e9),
    Device("H100 SXM", {torch.float32: 67e12, torch.bfloat16: 989e12}, 494e12, 3.35e12, 80e9),
)


class CostCounter(TorchDispatchMode):
    """Counts what the operations cost that run while it is active; see the module.

    ``tf32`` says whether the factors of float32 matrix products are rounded to 10 bits.
    """

    def __init__(self, tf32: bool = False) -> None:
        super().__init__()
        self.flops = 0
        """Floating-point operations of matrix products, convolutions and attention, as PyTorch's own counter has
        them; a product and a sum count as two."""
        self.kernels = 0
        """Number of operations that compute something, so that each starts at least one kernel."""
        self.live_bytes = 0
        """Memory of the tensors that exist at present, of those made while the counter was active."""
        self.peak_bytes = 0
        """Largest value of ``live_bytes`` so far."""
        self.seconds = {device.name: 0.0 for device in DEVICES}
        """Estimated time on each device."""
        self._tf32 = tf32
        self._flop_counts = flop_counts()
        self._storages: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        made = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        for tensor in made:
            self._follow(tensor.untyped_storage())
        if made and starts_kernel(func):
            read = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
            count = self._flop_counts.get(func.overloadpacket)
            flops = 0 if count is None else count(*args, **(kwargs or {}), out_val=result)
            self.add(flops, sum(map(_bytes, read + made)), read[0].dtype if read else torch.float32)
        return result

    def add(self, flops: int, moved: int, dtype: torch.dtype) -> None:
        """Count one kernel of ``flops`` floating-point operations with factors of type ``dtype``, which reads and
        writes ``moved`` bytes."""
        self.flops += flops
        self.kernels += 1
        for device in DEVICES:
            tf32 = self._tf32 and dtype == torch.float32
            speed = device.tf32_flops if tf32 else device.flops.get(dtype, device.flops[torch.float32])
            arithmetic, memory = flops / (ARITHMETIC * speed), moved / (BANDWIDTH * device.bytes)
            self.seconds[device.name] += max(LAUNCH_S, arithmetic, memory)

    def _follow(self, storage: torch.UntypedStorage) -> None:
        """Count a tensor's memory from now until it is freed."""
        if id(storage) in self._storages:
            return
        self._storages.add(id(storage))
        size = storage.nbytes()
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        weakref.finalize(storage, self._freed, id(storage), size)

    def _freed(self, number: int, size: int) -> None:
        self._storages.discard(number)
        self.live_bytes -= size


def starts_kernel(operation: Any) -> bool:
    """Return whether an operation computes something, so that it starts at least one kernel."""
    return not operation.is_view and operation_name(operation) not in WITHOUT_KERNEL


def _bytes(tensor: Tensor) -> int:
    """Return the bytes of memory behind a tensor; an expanded tensor has fewer than its entries would need."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


@contextmanager
def counting(tf32: bool = False) -> Iterator[CostCounter]:
    """Make every new tensor one without numbers, and count what is computed with them; networks come from
    :func:`without_numbers`."""
    with FakeTensorMode(allow_non_fake_inputs=True), CostCounter(tf32) as counter:
        yield counter


def without_numbers(make: Callable[[], Network]) -> Network:
    """Make a network whose weights and buffers have no numbers, for use inside :func:`counting`."""
    return torch_internals.without_numbers(make).to_empty(device="cpu")
