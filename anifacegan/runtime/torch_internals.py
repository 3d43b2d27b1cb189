"""The parts of PyTorch that this package uses although PyTorch does not promise to keep them: nothing else imports any.

They watch single operations (:mod:`anifacegan.training.cost_counter`, and the tests' pretended GPU), keep networks
that are loaded from drawing random weights first, and tell what torch.compile does
(:mod:`anifacegan.training.compilation`).
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

__all__ = [
    "FakeTensorMode",
    "Network",
    "TorchDispatchMode",
    "compiled_graphs",
    "compiler_error",
    "flop_counts",
    "operation_name",
    "tree_leaves",
    "tree_map",
    "without_numbers",
    "without_random_numbers",
]
Network = TypeVar("Network", bound=nn.Module)


def without_numbers(make: Callable[[], Network]) -> Network:
    """Make a network whose weights and buffers have no numbers, inside or outside of a mode that watches operations."""
    with _disable_current_modes(), torch.device("meta"):
        return make()


class _NothingDrawn(TorchDispatchMode):
    """Fills with zeros what an operation would fill with random numbers; the thread's other operations are as ever."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags and operation_name(func).endswith("_"):
            return args[0].zero_()
        return func(*args, **(kwargs or {}))


def without_random_numbers(make: Callable[[], Network]) -> Network:
    """Make a network whose weights are loaded afterwards: they are zeros where they would be random, and PyTorch's
    random state, which belongs to the calling program, stays as it is."""
    with _NothingDrawn():
        return make()


def operation_name(operation: torch._ops.OpOverload) -> str:
    """Return the name of an operation without its namespace and overload, such as ``add``."""
    return operation._schema.name.split("::")[1]


def flop_counts() -> Mapping[Any, Callable[..., int]]:
    """Return, for each operation whose floating-point operations PyTorch counts, the function that counts them."""
    # imports triton, which takes a third of a second: for plans of training only
    from torch.utils.flop_counter import flop_registry

    return flop_registry


def compiled_graphs() -> int:
    """Return how many graphs torch.compile has compiled in this process since its last reset."""
    from torch._dynamo.utils import counters  # slow to import, needed by compiled runs only

    return counters["stats"]["unique_graphs"]


def compiler_error() -> type[Exception]:
    """Return the type of the errors that torch.compile raises where it cannot compile."""
    from torch._dynamo.exc import TorchDynamoException

    return TorchDynamoException
