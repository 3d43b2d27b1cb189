"""The fields of one avatar for inference on a CPU: the same functions of points, several times faster.

Each core has a part of the points, and takes them a tile at a time, so that the activations of two layers stay in its
cache and are written over; biases and sines are one pass, the template's heads one product a layer, and all layers one
call of compiled code (:mod:`anifacegan.models.field_loops`). The plain fields are the twins that this is tested
against, and what is used on a GPU, in other precisions, for batches and in training.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.geometry.conventions import WORLD_PER_NETWORK_UNIT
from anifacegan.models.alignment import BoundAlignment
from anifacegan.models.deformation import BoundDeformation
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.manifolds import ManifoldField
from anifacegan.models.template import RGB_WIDENING, BoundTemplate, alpha_from_sigma
from anifacegan.runtime.cpu import on_all_cores, one_blas_thread

ACTIVATIONS = 2**16
"""Numbers that a layer gives for the points of a tile: with the layer's before it, half a megabyte."""
PARTS = 4
"""Points are cut into so many parts for each core, so that none waits long for another."""


def with_numba_fields(fields: ConditionedFields) -> ConditionedFields:
    """The same avatar with fast fields wherever there is a fast one. Call it, and what it gives, without gradients."""
    return replace(
        fields,
        offset=_fast(fields.offset),
        level=_fast(fields.level),
        radiance=_fast(fields.radiance),
        align=None if fields.align is None else _fast(fields.align),
    )


def _fast(field: Callable) -> Callable:
    field = getattr(field, "__wrapped__", field)  # of torch.no_grad(): there are no gradients here
    if isinstance(field, BoundDeformation) and _is_one_on_cpu(field.layers[0].weight):
        scale, layers = field.output_scale, [(layer.weight[0], layer.bias[0, 0]) for layer in field.layers]
        return NumbaOffsets(_Layers.with_head(layers, scale * field.head.weight.T), scale * field.head.bias)
    if isinstance(field, BoundAlignment) and _is_one_on_cpu(field.head):
        rate = field.frequency
        layers = [(rate * layer.weight.T, rate * layer.bias) for layer in field.layers]
        return NumbaOffsets(_Layers.with_head(layers, field.head[0]), field.head.new_zeros(3))
    if isinstance(field, BoundTemplate) and _is_one_on_cpu(field.layers[0].weight):
        return NumbaTemplate(field)
    if isinstance(field, ManifoldField) and _is_one_on_cpu(field.output.weight[None]):
        return NumbaManifolds(field)
    return field


def _is_one_on_cpu(weight: Tensor) -> bool:
    """Of a single avatar, on a CPU, in float32."""
    return len(weight) == 1 and weight.device.type == "cpu" and weight.dtype == torch.float32


class _Memory(threading.local):
    """Of the activations that a thread reads and of those that it writes."""

    def __init__(self, tile: int, width: int, like: Tensor) -> None:
        self.tiles = tuple(like.new_empty(tile, width).numpy() for _ in range(2))


class _Layers:
    """Layers behind one another, all of one width, on points in world units, and linear heads on some of them."""

    def __init__(
        self,
        layers: list[tuple[Tensor, Tensor]],
        heads: dict[int, Float[Tensor, "width channel"]],
        rectified: bool = False,
    ) -> None:
        """``layers``: weights (in_dim, width) and biases (width,). ``heads``: by the number of the layer they read."""
        width = len(layers[0][1])
        weights, biases = zip(*layers, strict=True)
        first, *hidden = (weight.detach().contiguous() for weight in weights)
        all_heads = first.new_zeros(len(layers), *next(iter(heads.values())).shape)
        for k, head in heads.items():
            all_heads[k] = head.detach()
        self._weights = (
            (first / WORLD_PER_NETWORK_UNIT).numpy(),
            (torch.stack(hidden) if hidden else first.new_zeros(0, width, width)).numpy(),
            torch.stack(biases).detach().numpy(),
            all_heads.numpy(),
            np.array([k in heads for k in range(len(layers))]),
            rectified,
        )
        self._tile = max(1, ACTIVATIONS // width)
        self._memory = _Memory(self._tile, width, first)

    @classmethod
    def with_head(
        cls,
        layers: list[tuple[Tensor, Tensor]],
        head: Float[Tensor, "width channel"],
        rectified: bool = False,
    ) -> "_Layers":
        """With one head, behind the last layer."""
        return cls(layers, {len(layers) - 1: head}, rectified)

    def sum_of_heads(
        self, points: Float[Tensor, "point 3"], bias: Float[Tensor, "channel"]
    ) -> Float[Tensor, "point channel"]:
        """What the heads give together, and a bias."""
        from anifacegan.models import numba_kernels

        if torch.is_grad_enabled() and points.requires_grad:
            raise ValueError(
                "fast fields have no gradients, and these points require them; ask the plain fields"
            )
        points = points.detach().contiguous()
        out = bias.detach().repeat(len(points), 1)

        def add(part: slice) -> None:
            numba_kernels.add_heads(
                points[part].numpy(), *self._weights, out[part].numpy(), *self._memory.tiles
            )

        with one_blas_thread():
            on_all_cores(_parts(len(points), self._tile), add)
        return out


def _parts(points: int, tile: int) -> list[slice]:
    """Of all points, for the cores to share; none smaller than a tile."""
    cores = torch.get_num_threads()
    size = max(1, points) if cores == 1 else max(tile, -(-points // (PARTS * cores)))
    return [slice(start, start + size) for start in range(0, points, size)]


@dataclass(frozen=True)
class NumbaOffsets:
    """Sine layers and a linear head: (1, N, 3) points -> (1, N, 3) steps, world units."""

    layers: _Layers
    bias: Float[Tensor, "3"]

    def __call__(self, x: Float[Tensor, "1 point 3"]) -> Float[Tensor, "1 point 3"]:
        return self.layers.sum_of_heads(x[0], self.bias)[None]


class NumbaManifolds:
    """(1, N, 3) template points -> (1, N) manifold scalar."""

    def __init__(self, field: ManifoldField) -> None:
        layers = [(layer.weight.T, layer.bias) for layer in field.hidden]  # type: ignore[union-attr,operator]
        weight, bias = layers[0]
        layers[0] = (weight, bias - field.centre @ weight)
        self.layers = _Layers.with_head(layers, field.output.weight.T, rectified=True)
        self.bias = field.output.bias.detach()

    def __call__(self, x: Float[Tensor, "1 point 3"]) -> Float[Tensor, "1 point"]:
        return self.layers.sum_of_heads(x[0], self.bias)[None, :, 0]


class NumbaTemplate:
    """(1, N, 3) template points -> rgb (1, N, 3) and alpha (1, N), post-activation."""

    def __init__(self, field: BoundTemplate) -> None:
        layers = [(layer.weight[0], layer.bias[0, 0]) for layer in [*field.layers, field.colour_layer]]
        both = enumerate(zip(field.rgb_heads, field.sigma_heads, strict=True), start=1)
        heads = {k: torch.cat([rgb.weight, sigma.weight]).detach().T for k, (rgb, sigma) in both}
        # Columns: rgb and density. The last colour head reads the colour layer, its density the layer before.
        last = len(layers) - 1
        heads[last] = torch.zeros_like(heads[last - 1])
        heads[last][:, :3] = heads[last - 1][:, :3]
        heads[last - 1][:, :3] = 0.0
        self.layers = _Layers(layers, heads)
        biases = [head.bias.detach() for head in [*field.rgb_heads, *field.sigma_heads]]
        count = len(field.rgb_heads)
        self.bias = torch.cat([sum(biases[:count]), sum(biases[count:])])  # type: ignore[list-item]
        self.gain = field.sigma_gain

    def __call__(
        self, x: Float[Tensor, "1 point 3"]
    ) -> tuple[Float[Tensor, "1 point 3"], Float[Tensor, "1 point"]]:
        found = self.layers.sum_of_heads(x[0], self.bias)  # (N, 4)
        rgb = found[:, :3].sigmoid() * (1 + 2 * RGB_WIDENING) - RGB_WIDENING
        return rgb[None], alpha_from_sigma(self.gain * found[:, 3])[None]
