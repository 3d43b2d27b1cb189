"""Sine layers on a CPU, in training and without gradients: modulation, sine and all elementwise gradients in one pass.

PyTorch's own operations would read and write the activations once each for product, sum, sine, cosine and the sums over
points; here one compiled function does all of these forward, and one backward (:mod:`anifacegan.models.sine_kernels`).
The functions have gradients of every order: only the first ones are compiled.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.runtime.cpu import on_all_cores
from anifacegan.runtime.devices import has_memory

POINTS = 4096
"""Largest number of points of a face over which gradients are summed in one go, in float32."""


def fusable(x: Tensor) -> bool:
    """Return whether the compiled functions of this module accept a tensor: it is in this computer's memory, in float32
    or bfloat16."""
    return x.dtype in (torch.float32, torch.bfloat16) and has_memory(x)


def modulated_sine(
    u: Float[Tensor, "batch point unit"],
    frequency: Float[Tensor, "batch unit"],
    shift: Float[Tensor, "batch unit"],
) -> Float[Tensor, "batch point unit"]:
    """Compute ``sin(frequency * u + shift)`` in float32 by one compiled function, and round it to the type of ``u``."""
    return _ModulatedSine.apply(u, frequency, shift)


def sine_of_points(
    x: Float[Tensor, "batch point 3"],
    weight: Float[Tensor, "batch 3 unit"],
    bias: Float[Tensor, "batch unit"],
    dtype: torch.dtype,
) -> Float[Tensor, "batch point unit"]:
    """Compute ``sin(x @ weight + bias)`` in float32 by one compiled function, and round it to ``dtype``."""
    return _SineOfPoints.apply(x, weight, bias, dtype)


class _ModulatedSine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, frequency: Tensor, shift: Tensor) -> Tensor:
        from anifacegan.models import sine_kernels

        u, frequency, shift = u.contiguous(), frequency.contiguous(), shift.contiguous()
        ctx.save_for_backward(u, frequency, shift)
        out = torch.empty_like(u)
        row, f, s, target = _array(u), _array(frequency), _array(shift), _array(out)
        _in_parts(
            u,
            lambda faces, points, _: sine_kernels.modulated_sine(
                row[faces, points], f[faces], s[faces], target[faces, points]
            ),
        )
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        from anifacegan.models import sine_kernels

        u, frequency, shift = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a second derivative
            of_z = gradient * torch.cos(frequency[:, None] * u + shift[:, None])
            return (of_z * frequency[:, None]).to(u), (of_z * u).sum(1), of_z.sum(1)
        gradient, of_u = gradient.contiguous(), torch.empty_like(u)
        sums = frequency.new_empty(2, _blocks(u), *frequency.shape)
        row, f, s, above, below = (_array(value) for value in (u, frequency, shift, gradient, of_u))
        of_frequency, of_shift = sums.numpy()
        _in_parts(
            u,
            lambda faces, points, block: sine_kernels.modulated_sine_gradients(
                row[faces, points], f[faces], s[faces], above[faces, points], below[faces, points],
                of_frequency[block, faces], of_shift[block, faces],
            ),
        )  # fmt: skip
        return of_u, *sums.sum(1)


class _SineOfPoints(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
        from anifacegan.models import sine_kernels

        x, weight, bias = x.contiguous(), weight.contiguous(), bias.contiguous()
        ctx.save_for_backward(x, weight, bias)
        out = x.new_empty(*x.shape[:2], weight.shape[2], dtype=dtype)
        place, w, b, target = _array(x), _array(weight), _array(bias), _array(out)
        _in_parts(
            x,
            lambda faces, points, _: sine_kernels.sine_of_points(
                place[faces, points], w[faces], b[faces], target[faces, points]
            ),
        )
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        from anifacegan.models import sine_kernels

        x, weight, bias = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a second derivative
            of_z = gradient * torch.cos(torch.baddbmm(bias[:, None], x, weight))
            return of_z @ weight.transpose(1, 2), x.transpose(1, 2) @ of_z, of_z.sum(1), None
        gradient = gradient.contiguous()
        needs_x = ctx.needs_input_grad[0]
        of_x = torch.empty_like(x) if needs_x else x.new_empty(0, *x.shape[1:])
        of_weight, of_bias = (value.new_empty(_blocks(x), *value.shape) for value in (weight, bias))
        place, w, b, above, of_place, of_w, of_b = (
            _array(value) for value in (x, weight, bias, gradient, of_x, of_weight, of_bias)
        )
        _in_parts(
            x,
            lambda faces, points, block: sine_kernels.sine_of_points_gradients(
                place[faces, points], w[faces], b[faces], above[faces, points], of_place[faces, points],
                of_w[block, faces], of_b[block, faces], np.empty(w.shape[2], np.float32),
            ),
        )  # fmt: skip
        return of_x if needs_x else None, of_weight.sum(0), of_bias.sum(0), None


def _array(tensor: Tensor) -> np.ndarray:
    """Return a tensor's memory as an array, that of a bfloat16 tensor as uint16."""
    tensor = tensor.detach()
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _blocks(x: Tensor) -> int:
    """Return into how many blocks the points of each face are split."""
    return max(1, -(-x.shape[1] // POINTS))


def _in_parts(x: Tensor, compute: Callable[[slice, slice, int], None]) -> None:
    """Call ``compute(faces, points, block)`` on all cores for parts of a batch, whose arrays are contiguous: several
    faces with all of their points, or a block of the points of one face.

    The blocks do not depend on the number of cores, and neither does the result.
    """
    faces, blocks = x.shape[0], _blocks(x)
    if blocks == 1:
        size = max(1, -(-faces // torch.get_num_threads()))
        jobs = [(slice(start, start + size), slice(None), 0) for start in range(0, faces, size)]
    else:
        jobs = [
            (slice(face, face + 1), slice(POINTS * block, POINTS * (block + 1)), block)
            for face in range(faces)
            for block in range(blocks)
        ]
    on_all_cores(jobs, lambda job: compute(*job))
