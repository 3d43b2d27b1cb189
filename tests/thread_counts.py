"""PyTorch with another number of threads for a while, whatever the machine has."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def pytorch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
