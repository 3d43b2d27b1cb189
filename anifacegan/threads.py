"""How many threads a training run computes with. Apart from the devices: rendering needs those, and no numba."""

import numba
import torch


def use_threads(count: int) -> None:
    """Let PyTorch compute with so many threads, 0 leaves the choice to it; numba takes as many."""
    if count:
        torch.set_num_threads(count)
    numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))
