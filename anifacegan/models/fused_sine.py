"""A sine that is added a bias to and taken in place, in one pass over memory: for CPU inference in float32.

    h <- sin(h + bias)

The range is reduced to [-pi/2, pi/2] with pi in three parts, where an odd polynomial of degree 11 is the sine within
float32's rounding: 3e-7 for |h + bias| up to 10^4. PyTorch's own sine, which runs in several threads, is the tested
twin.
"""

import torch
from jaxtyping import Float
from torch import Tensor

SERIAL_WINS = 4
"""Up to so many threads this single one is faster than PyTorch's sine in all of them."""


def sine_(h: Float[Tensor, "point unit"], bias: Float[Tensor, "unit"]) -> None:
    """``h <- sin(h + bias)``; contiguous float32 on the CPU, without gradients."""
    if torch.get_num_threads() > SERIAL_WINS:
        h.add_(bias).sin_()
    else:
        from anifacegan.models import sine_loops

        sine_loops.sine(h.numpy(), bias.numpy())


def relu_(h: Float[Tensor, "point unit"], bias: Float[Tensor, "unit"]) -> None:
    """``h <- max(h + bias, 0)``, likewise."""
    if torch.get_num_threads() > SERIAL_WINS:
        h.add_(bias).relu_()
    else:
        from anifacegan.models import sine_loops

        sine_loops.relu(h.numpy(), bias.numpy())
