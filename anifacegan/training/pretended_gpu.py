"""A GPU that is only pretended: it tells what a GPU would refuse, and where a GPU would have to wait for the CPU.

Tensors on PyTorch's device ``meta`` have shapes and no numbers. Inside :func:`pretended_gpu` they stand for tensors on
a GPU, and tensors on the CPU for those in the computer's memory, so whole training iterations run, backward too, on any
machine, without a driver::

    with pretended_gpu() as gpu:
        network = without_numbers(make).requires_grad_()     # on GPU, the device of this module
        loss = network(batch.to(GPU)).sum()
        loss.backward()
        loss.item()
    gpu.kernels, gpu.copies, gpu.waits                       # operations; {place in the code: how many} of the others

An operation with tensors of both kinds, or one that draws from a CPU's random generator on the GPU, raises the error
that a GPU's would. What the CPU reads is 1, and an operation whose result's size depends on numbers selects everything.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from anifacegan.runtime.torch_internals import TorchDispatchMode, operation_name, tree_leaves, tree_map
from anifacegan.training.cost_counter import starts_kernel

GPU = torch.device("meta")
"""The device that stands for a GPU."""
PACKAGE = str(Path(__file__).resolve().parents[1])
SELECTING = frozenset(
    "nonzero masked_select unique _unique2 unique_dim equal is_nonzero repeat_interleave".split()
)
"""Operations for whose result the CPU has to wait: its size, or the result itself, depends on numbers."""
HALVED = (
    torch.nn.functional.linear,
    torch.nn.functional.conv2d,
    torch.conv2d,
    torch.matmul,
    torch.Tensor.matmul,
    torch.Tensor.__matmul__,
    torch.Tensor.__rmatmul__,
    torch.bmm,
    torch.mm,
    torch.baddbmm,
    torch.addmm,
    torch.einsum,
)
"""Functions whose arguments autocast rounds to half precision; of meta tensors PyTorch rounds none."""


class PretendedGPU(TorchDispatchMode):
    """Counts the work of a pretended GPU and refuses what a GPU refuses; see the module."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = 0
        """Number of operations that start at least one kernel."""
        self.names: Counter[str] = Counter()
        """How often each of these operations occurred."""
        self.copies: Counter[str] = Counter()
        """How often each line of this package copied from the computer's memory to the GPU."""
        self.waits: Counter[str] = Counter()
        """How often each line of this package made the CPU wait for the GPU."""

    def clear(self) -> None:
        """Set all counts to 0."""
        self.kernels = 0
        for counter in (self.names, self.copies, self.waits):
            counter.clear()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = operation_name(func)
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        of_gpu = [tensor for tensor in given if tensor.device == GPU]
        if name == "_local_scalar_dense" and of_gpu:
            return self._read(of_gpu[0])
        if name in ("_to_copy", "copy_"):
            return self._copied(func, name, args, kwargs)
        if of_gpu:
            if name == "_linalg_check_errors":
                self.waits[_place()] += 1
            if name in SELECTING:
                return self._selected(name, of_gpu[0])
            if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
                args = (args[0], [self._index(index) for index in args[1]], *args[2:])
            else:
                _refuse_host_tensors(name, given)
        result = func(*args, **kwargs)
        made = [value for value in tree_leaves(result) if isinstance(value, Tensor) and value.device == GPU]
        if made:
            generator = kwargs.get("generator")
            if generator is not None:
                raise RuntimeError(
                    f"{name}: expected a 'cuda' device type for generator but found '{generator.device}'"
                )
            self._count(func, name)
        return result

    def _count(self, func: Any, name: str) -> None:
        if starts_kernel(func):
            self.kernels += 1
            self.names[name] += 1

    def _read(self, tensor: Tensor) -> float | int | bool:
        self.waits[_place()] += 1
        if tensor.dtype == torch.bool:
            return True
        return 1.0 if tensor.is_floating_point() else 1

    def _copied(self, func: Any, name: str, args: tuple, kwargs: dict) -> Tensor:
        source = args[0] if name == "_to_copy" else args[1]
        target = kwargs.get("device", source.device) if name == "_to_copy" else args[0].device
        target = torch.device(target or source.device)
        if source.device == GPU and target != GPU:
            self.waits[_place()] += 1
            if name == "copy_":
                return args[0].fill_(1)
            return torch.ones(source.shape, dtype=kwargs.get("dtype") or source.dtype)
        if source.device != GPU and target == GPU:
            self.copies[_place()] += 1
        elif target == GPU:
            self._count(func, name)
        return func(*args, **kwargs)

    def _selected(self, name: str, tensor: Tensor) -> Any:
        if name not in ("nonzero", "equal", "is_nonzero"):
            raise NotImplementedError(f"{name} on a pretended GPU")
        self.waits[_place()] += 1
        if name != "nonzero":
            return True
        self.kernels += 1
        return torch.empty(tensor.numel(), tensor.ndim, dtype=torch.long, device=GPU)

    def _index(self, index: Tensor | None) -> Tensor | None:
        """Return an index of the GPU's: one of the CPU is copied, and a mask makes the CPU wait for its count."""
        if index is None:
            return None
        if index.device != GPU:
            self.copies[_place()] += 1
            index = torch.empty_like(index, device=GPU)
        if index.dtype == torch.bool:
            self.waits[_place()] += 1
            index = torch.empty(index.numel(), dtype=torch.long, device=GPU)
        return index


class _Functions(TorchFunctionMode):
    """What dispatch does not show: new tensors from Python's numbers, and autocast."""

    def __init__(self, gpu: PretendedGPU) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor, torch.Tensor.new_tensor):
            like = args[0].device if func is torch.Tensor.new_tensor else torch.device("cpu")
            if torch.device(kwargs.get("device") or like) == GPU:
                self.gpu.copies[_place()] += 1
        elif func in HALVED and torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            args, kwargs = tree_map(lambda value: _rounded(value, dtype), (args, kwargs))
        return func(*args, **kwargs)


def _rounded(value: Any, dtype: torch.dtype) -> Any:
    floating = (
        isinstance(value, Tensor) and value.device == GPU and value.dtype in (torch.float32, torch.bfloat16)
    )
    return value.to(dtype) if floating else value


def _refuse_host_tensors(name: str, given: list[Tensor]) -> None:
    """Refuse operands in the computer's memory, but for single numbers."""
    for tensor in given:
        if tensor.device != GPU and tensor.ndim:
            raise RuntimeError(
                f"{name}: expected all tensors to be on the same device, but found at least two devices, cuda:0 and "
                f"{tensor.device}"
            )


def _place() -> str:
    """Return file and line of the innermost function of this package, this module apart, that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(PACKAGE) and path != __file__:
            return f"{path[len(PACKAGE) + 1 :]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


@contextmanager
def pretended_gpu() -> Iterator[PretendedGPU]:
    """Let tensors on the device ``meta`` stand for a GPU's; yields what counts the GPU's work."""
    with ExitStack() as stack:
        gpu = stack.enter_context(PretendedGPU())
        stack.enter_context(_Functions(gpu))
        yield gpu
