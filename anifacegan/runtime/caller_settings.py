"""PyTorch's settings that belong to the calling program, on which the library's results do not depend."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from anifacegan.runtime.errors import InputError

_AUTOCAST = ("cpu", "cuda")
"""Kinds of devices for which a caller may have switched on automatic mixed precision."""


@contextmanager
def without_caller_settings() -> Iterator[None]:
    """Compute in inference mode, without a default device and without autocast that the calling program has set.

    Tensors that are made in the block cannot be changed or differentiated outside of it; copies (``clone``) can.

    Raises:
        InputError: the default dtype is not float32. It belongs to all threads, so that it is not changed here.
    """
    dtype = torch.get_default_dtype()
    if dtype != torch.float32:
        raise InputError(
            f"PyTorch's default dtype is {dtype}, expected torch.float32 (torch.set_default_dtype)"
        )
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in _AUTOCAST:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
