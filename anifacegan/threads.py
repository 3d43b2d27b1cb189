"""How many threads a training run computes with."""

import torch


def use_threads(count: int) -> None:
    """Let PyTorch compute with so many threads, and :mod:`anifacegan.cores`; 0 leaves the choice to it."""
    if count:
        torch.set_num_threads(count)
