"""A sine that is added a bias to and taken in place, in one pass over memory: for CPU inference in float32.

    h <- sin(h + bias)

The range is reduced to [-pi/2, pi/2] with pi in three parts, where an odd polynomial of degree 11 is the sine within
float32's rounding: 3e-7 for |h + bias| up to 10^4. PyTorch's own sine is the tested twin.
"""

from jaxtyping import Float
from torch import Tensor


def sine_(h: Float[Tensor, "point unit"], bias: Float[Tensor, "unit"]) -> None:
    """``h <- sin(h + bias)``; contiguous float32 on the CPU, without gradients."""
    from anifacegan.models import sine_loops

    sine_loops.sine(h.numpy(), bias.numpy())


def relu_(h: Float[Tensor, "point unit"], bias: Float[Tensor, "unit"]) -> None:
    """``h <- max(h + bias, 0)``, likewise."""
    from anifacegan.models import sine_loops

    sine_loops.relu(h.numpy(), bias.numpy())
