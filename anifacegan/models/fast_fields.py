"""The fields of one avatar for inference on a CPU: the same functions of points, several times faster.

Points are taken a tile at a time, each by one core, so that the activations of two layers stay in its cache and are
written over; biases and sines are one pass (:mod:`anifacegan.models.fused_sine`), and the template's heads one product
a layer. The
plain fields are the twins that this is tested against, and what is used on a GPU, in other precisions, for batches and
in training.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.cores import on_all_cores
from anifacegan.models.alignment import BoundAlignment
from anifacegan.models.compositing import RGB_WIDENING, alpha_from_sigma
from anifacegan.models.deformation import BoundDeformation
from anifacegan.models.fused_sine import relu_, sine_
from anifacegan.models.generator import Avatar
from anifacegan.models.manifolds import ManifoldField
from anifacegan.models.template import BoundTemplate
from anifacegan.shapes import BOX

ACTIVATIONS = 2**18
"""Numbers that a layer gives for the points of a tile: with the layer's before it, 2 MB."""


def fast_avatar(avatar: Avatar) -> Avatar:
    """The same avatar with fast fields wherever there is a fast one. Call it, and what it gives, without gradients."""
    return replace(
        avatar,
        offset=_fast(avatar.offset),
        level=_fast(avatar.level),
        radiance=_fast(avatar.radiance),
        align=None if avatar.align is None else _fast(avatar.align),
    )


def _fast(field: Callable) -> Callable:
    field = getattr(field, "__wrapped__", field)                       # of torch.no_grad(): there are no gradients here
    if isinstance(field, BoundDeformation) and _is_one_on_cpu(field.layers[0].weight):
        sines = _Layers([(layer.weight[0], layer.bias[0, 0]) for layer in field.layers], sine_)
        scale = field.output_scale
        return FastSteps(sines, scale * field.head.weight.T, scale * field.head.bias)
    if isinstance(field, BoundAlignment) and _is_one_on_cpu(field.head):
        rate = field.frequency
        sines = _Layers([(rate * layer.weight.T, rate * layer.bias) for layer in field.layers], sine_)
        return FastSteps(sines, field.head[0], field.head.new_zeros(3))
    if isinstance(field, BoundTemplate) and _is_one_on_cpu(field.layers[0].weight):
        return FastTemplate(field)
    if isinstance(field, ManifoldField) and _is_one_on_cpu(field.output.weight[None]):
        return FastManifolds(field)
    return field


def _is_one_on_cpu(weight: Tensor) -> bool:
    """Of a single avatar, on a CPU, in float32."""
    return len(weight) == 1 and weight.device.type == "cpu" and weight.dtype == torch.float32


class _Memory(threading.local):
    """Of the activations that a thread reads and of those that it writes."""

    def __init__(self, size: int, like: Tensor) -> None:
        self.halves = like.new_empty(2, size).unbind()


class _Layers:
    """Layers behind one another, on a tile of points in world units; their activations are written over."""

    def __init__(self, layers: list[tuple[Tensor, Tensor]], activate: Callable[[Tensor, Tensor], None]) -> None:
        (first, bias), *others = layers
        self.layers = [(first.detach() / BOX, bias.detach().contiguous())]
        self.layers += [(weight.detach().contiguous(), bias.detach().contiguous()) for weight, bias in others]
        self.activate = activate
        width = max(weight.shape[1] for weight, _ in self.layers)
        self.tile = max(1, ACTIVATIONS // width)
        self.memory = _Memory(self.tile * width, self.layers[0][0])

    def in_tiles(self, points: Float[Tensor, "point 3"], work: Callable[[slice], None]) -> None:
        """``work`` on parts of the points, a tile at a time, on all cores."""
        if torch.is_grad_enabled() and points.requires_grad:
            raise ValueError("fast fields have no gradients, and these points require them; ask the plain fields")
        on_all_cores([slice(start, start + self.tile) for start in range(0, len(points), self.tile)], work)

    def step(self, k: int, h: Float[Tensor, "tile in_dim"]) -> Float[Tensor, "tile out_dim"]:
        """Layer k of activations that the other half of the memory holds."""
        weight, bias = self.layers[k]
        width = weight.shape[1]
        out = self.memory.halves[k % 2][: len(h) * width].view(-1, width)
        torch.mm(h, weight, out=out)
        self.activate(out, bias)
        return out

    def __call__(self, x: Float[Tensor, "tile 3"]) -> Float[Tensor, "tile out_dim"]:
        """The last layer's activations, until this thread's next call."""
        for k in range(len(self.layers)):
            x = self.step(k, x)
        return x


@dataclass(frozen=True)
class FastSteps:
    """Sine layers and a linear head: (1, N, 3) points -> (1, N, 3) steps, world units."""

    layers: _Layers
    weight: Float[Tensor, "hidden 3"]
    bias: Float[Tensor, "3"]

    def __call__(self, x: Float[Tensor, "1 point 3"]) -> Float[Tensor, "1 point 3"]:
        points, out = x[0], torch.empty_like(x[0])

        def work(tile: slice) -> None:
            torch.addmm(self.bias, self.layers(points[tile]), self.weight, out=out[tile])

        self.layers.in_tiles(points, work)
        return out[None]


class FastManifolds:
    """(1, N, 3) template points -> (1, N) manifold scalar."""

    def __init__(self, field: ManifoldField) -> None:
        layers = [(layer.weight.T, layer.bias) for layer in field.hidden]  # type: ignore[union-attr,operator]
        weight, bias = layers[0]
        layers[0] = (weight, bias - field.centre @ weight)
        self.layers = _Layers(layers, relu_)
        self.weight, self.bias = field.output.weight.detach()[0], field.output.bias.detach()

    def __call__(self, x: Float[Tensor, "1 point 3"]) -> Float[Tensor, "1 point"]:
        points, out = x[0], torch.empty_like(x[0, :, 0])

        def work(tile: slice) -> None:
            torch.mv(self.layers(points[tile]), self.weight, out=out[tile])

        self.layers.in_tiles(points, work)
        return (out + self.bias)[None]


class FastTemplate:
    """(1, N, 3) template points -> rgb (1, N, 3) and alpha (1, N), post-activation."""

    def __init__(self, field: BoundTemplate) -> None:
        layers = [(layer.weight[0], layer.bias[0, 0]) for layer in [*field.layers, field.colour_layer]]
        self.layers = _Layers(layers, sine_)
        heads = zip(field.rgb_heads, field.sigma_heads, strict=True)
        # Columns: rgb and density. The last colour head reads the colour layer, its density the layer before.
        self.heads = [torch.cat([rgb.weight, sigma.weight]).detach().T.contiguous() for rgb, sigma in heads]
        self.heads.append(torch.zeros_like(self.heads[-1]))
        self.heads[-1][:, :3] = self.heads[-2][:, :3]
        self.heads[-2][:, :3] = 0.0
        biases = [head.bias.detach() for head in [*field.rgb_heads, *field.sigma_heads]]
        count = len(field.rgb_heads)
        self.bias = torch.cat([sum(biases[:count]), sum(biases[count:])])  # type: ignore[list-item]
        self.gain = field.sigma_gain

    def __call__(self, x: Float[Tensor, "1 point 3"]) -> tuple[Float[Tensor, "1 point 3"], Float[Tensor, "1 point"]]:
        points, out = x[0], self.bias.repeat(x.shape[1], 1)            # (N, 4)

        def work(tile: slice) -> None:
            h, to = self.layers.step(0, points[tile]), out[tile]
            for k, head in enumerate(self.heads, start=1):
                h = self.layers.step(k, h)
                to.addmm_(h, head)

        self.layers.in_tiles(points, work)
        rgb = out[:, :3].sigmoid() * (1 + 2 * RGB_WIDENING) - RGB_WIDENING
        return rgb[None], alpha_from_sigma(self.gain * out[:, 3])[None]
