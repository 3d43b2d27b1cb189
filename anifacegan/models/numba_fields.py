"""Fields of one face for inference on a CPU: the same functions as the PyTorch fields, several times faster.

The points are shared by the cores and processed in tiles, so that the activations of two layers stay in a core's cache.
Bias and sine are one pass over memory, and all layers of a field are one call of compiled code
(:mod:`anifacegan.models.numba_kernels`). The PyTorch fields are used on GPUs, in other precisions, for batches and in
training; tests compare the two.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.geometry.conventions import WORLD_PER_NETWORK_UNIT
from anifacegan.models.alignment import BoundAlignment, lattice_arguments
from anifacegan.models.deformation import BoundDeformation
from anifacegan.models.feature_planes import BoundPlanes
from anifacegan.models.generator import (
    AlignedOffsets,
    ConditionedFields,
    DeformationAfterAlignment,
    FrozenField,
)
from anifacegan.models.manifolds import ManifoldField
from anifacegan.models.shading import BoundShading, ShadedRadiance, shading_factor
from anifacegan.models.shading_config import ShadingConfig
from anifacegan.models.siren import BoundFiLMLayer
from anifacegan.models.template import RGB_WIDENING, BoundTemplate, alpha_from_sigma
from anifacegan.runtime.cpu import cores, on_all_cores, one_blas_thread

ACTIVATIONS = 2**16
"""Number of activations in a core's buffer, which limits how many points are evaluated at once. The two buffers of a
core take half a megabyte together."""
LEAST_SHARE = 512
"""Smallest number of points that a core gets at once where there are no layers, and so no buffers."""
PARTS = 4
"""Number of parts into which each core's share of the points is split, so that all cores finish at about the same
time."""


def with_numba_fields(fields: ConditionedFields) -> ConditionedFields:
    """Replace the fields of one face by faster versions, compiled by numba, if there are such versions: on a CPU, in
    float32.

    The compiled fields have no gradients; call them with gradients disabled. View-dependent colours stay as they are.
    """
    return replace(
        fields,
        offset=numba_version(fields.offset),
        scalar=numba_version(fields.scalar),
        radiance=fields.radiance if fields.view_dependent else numba_version(fields.radiance),
        align=None if fields.align is None else numba_version(fields.align),
    )


def numba_version(field: Callable) -> Callable:
    """Return the compiled version of a field of one face, or the field itself if there is none; see
    :func:`with_numba_fields`."""
    if isinstance(field, FrozenField):
        field = field.field  # numba fields have no gradients anyway
    if isinstance(field, AlignedOffsets):
        return AlignedOffsets(numba_version(field.deform), numba_version(field.align))
    if isinstance(field, DeformationAfterAlignment):
        return DeformationAfterAlignment(numba_version(field.deform), numba_version(field.align))
    if isinstance(field, BoundDeformation) and _is_single_on_cpu(field.layers[0].frequency):
        scale = field.output_scale
        return NumbaOffsets(
            _Layers.with_head(_of_one_face(field.layers), scale * field.head.weight.T),
            scale * field.head.bias,
        )
    if isinstance(field, BoundAlignment) and _is_single_on_cpu(field.inverse):
        return NumbaAlignment(field)
    if isinstance(field, BoundTemplate) and _is_single_on_cpu(field.layers[0].frequency):
        return NumbaTemplate(field)
    if isinstance(field, ShadedRadiance):
        return ShadedRadiance(numba_version(field.radiance), numba_version(field.shading))
    if isinstance(field, BoundShading) and _is_single_on_cpu(field.head):
        return NumbaShading(_Layers.with_head(_of_one_face(field.layers), field.head[0]), field.config)
    if isinstance(field, ManifoldField) and _is_single_on_cpu(field.output.weight[None]):
        return NumbaManifolds(field)
    return field


def _of_one_face(layers: list[BoundFiLMLayer]) -> list[tuple[Tensor, Tensor]]:
    """Return weights (in_dim, width) and biases (width,) of the layers of a batch of one."""
    return [(layer.weight[0], layer.bias[0, 0]) for layer in layers]


def _is_single_on_cpu(weight: Tensor) -> bool:
    """Return whether a batched weight belongs to a single face, on a CPU, in float32."""
    return len(weight) == 1 and weight.device.type == "cpu" and weight.dtype == torch.float32


class _Memory(threading.local):
    """Buffers of each thread: two of activations, of which a layer reads one and writes the other, and one of features
    where there are any."""

    def __init__(self, tile: int, widths: tuple[int, ...], like: Tensor) -> None:
        self.tiles = tuple(like.new_empty(tile, width).numpy() for width in widths)


class _Layers:
    """Consecutive layers of one width, evaluated at points in world units; some layers have a linear head that reads
    their output."""

    def __init__(
        self,
        layers: list[tuple[Tensor, Tensor]],
        heads: dict[int, Float[Tensor, "width channel"]],
        rectified: bool = False,
    ) -> None:
        """Store the layers' weights (in_dim, width) and biases (width,); ``heads`` maps the index of a layer to its
        head."""
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
        self._memory = _Memory(self._tile, (width, width), first)

    @classmethod
    def with_head(
        cls,
        layers: list[tuple[Tensor, Tensor]],
        head: Float[Tensor, "width channel"],
        rectified: bool = False,
    ) -> "_Layers":
        """Make layers with a single head, which reads the last layer."""
        return cls(layers, {len(layers) - 1: head}, rectified)

    def sum_of_heads(
        self, points: Float[Tensor, "point 3"], bias: Float[Tensor, "channel"]
    ) -> Float[Tensor, "point channel"]:
        """Evaluate the layers at the points, and return the sum of the outputs of all heads plus ``bias``."""
        points = _without_gradient(points)
        out = bias.detach().repeat(len(points), 1)
        with one_blas_thread():
            on_all_cores(
                _parts(len(points), self._tile),
                lambda part: self._add_heads(points[part].numpy(), out[part].numpy()),
            )
        return out

    def _add_heads(
        self, points: Float[np.ndarray, "point 3"], out: Float[np.ndarray, "point channel"]
    ) -> None:
        from anifacegan.models import numba_kernels

        numba_kernels.add_heads(points, *self._weights, out, *self._memory.tiles)


class _LayersWithFeatures(_Layers):
    """Layers of which the second and the last also read features of the points."""

    def __init__(
        self,
        layers: list[tuple[Tensor, Tensor]],
        heads: dict[int, Float[Tensor, "width channel"]],
        bound: BoundPlanes,
    ) -> None:
        """Store the layers' weights, whose rows after the first ``width`` belong to the mixed features of ``bound``.

        A person's mix is folded into these rows, so that a layer takes the features as they are read.
        """
        width = len(layers[0][1])
        super().__init__([(weight[:width], bias) for weight, bias in layers], heads)
        planes, config, mix = bound.planes, bound.planes.config, bound.mix[0].detach()
        coarse = mix.clone()
        coarse[config.coarse_features :] = 0
        last = len(layers) - 1
        inputs = mix.new_zeros(len(layers), config.features, width)
        for k, of_layer in ((1, coarse), (last, mix)):
            inputs[k] = of_layer @ layers[k][0][width:].detach()
        skip = mix.new_zeros(config.features, next(iter(heads.values())).shape[1])
        skip[:, :3] = bound.skip[0].detach()
        near, far = config.depth_range
        layers_per_unit = (config.grid_depths - 1) / (far - near)
        tensors = (planes.radius, planes.grid.detach(), planes.planes.detach())
        self._tables = (
            planes.centre.numpy(),
            np.array([near, layers_per_unit, config.grid_depths], np.float32),
            np.array(config.fade_z, np.float32),
            *(tensor.contiguous().numpy() for tensor in tensors),
            np.array(config.resolutions),
        )
        self._inputs = (inputs.numpy(), np.array([k in (1, last) for k in range(len(layers))]), skip.numpy())
        self._memory = _Memory(self._tile, (width, width, config.features), mix)

    def _add_heads(
        self, points: Float[np.ndarray, "point 3"], out: Float[np.ndarray, "point channel"]
    ) -> None:
        from anifacegan.models import numba_plane_kernels

        *weights, _ = self._weights
        numba_plane_kernels.add_heads_with_features(
            points, *weights, self._tables, *self._inputs, out, *self._memory.tiles
        )


def _without_gradient(points: Float[Tensor, "point 3"]) -> Float[Tensor, "point 3"]:
    """Return the points as contiguous memory; refuse points whose gradients would get lost."""
    if torch.is_grad_enabled() and points.requires_grad:
        raise ValueError(
            "numba fields have no gradients, and these points require them; use the PyTorch fields"
        )
    return points.detach().contiguous()


def _parts(points: int, tile: int) -> list[slice]:
    """Split points into slices for the cores, none smaller than a tile."""
    count = cores()
    size = max(1, points) if count == 1 else max(tile, -(-points // (PARTS * count)))
    return [slice(start, start + size) for start in range(0, points, size)]


@dataclass(frozen=True)
class NumbaOffsets:
    """Numba version of the deformation field of one face; maps points (1, N, 3) to offsets (1, N, 3), both in world
    units."""

    layers: _Layers
    bias: Float[Tensor, "3"]

    def __call__(self, x: Float[Tensor, "1 point 3"]) -> Float[Tensor, "1 point 3"]:
        return self.layers.sum_of_heads(x[0], self.bias)[None]


@dataclass(frozen=True)
class NumbaShading:
    """Numba version of the shading of one face; maps points of the template (1, N, 3), world units, to factors on their
    colours (1, N, 1)."""

    layers: _Layers
    config: ShadingConfig

    def __call__(self, x: Float[Tensor, "1 point 3"]) -> Float[Tensor, "1 point 1"]:
        return shading_factor(self.layers.sum_of_heads(x[0], x.new_zeros(1))[None], x, self.config)


class NumbaAlignment:
    """Numba version of the alignment field of one person; maps points (1, N, 3) to offsets (1, N, 3), both in world
    units."""

    def __init__(self, field: BoundAlignment) -> None:
        self._field, config = field, field.config
        tensors = (field.node, field.remainder[:, 0], field.shift[0, 0], field.inverse[0])
        self._arguments = (
            *lattice_arguments(config),
            *(tensor.detach().contiguous().numpy() for tensor in tensors),
            config.rounds,
        )

    def __call__(self, x: Float[Tensor, "1 point 3"]) -> Float[Tensor, "1 point 3"]:
        points = _without_gradient(x[0])
        out = torch.empty_like(points)
        on_all_cores(
            _parts(len(points), LEAST_SHARE), lambda part: self._add(points[part].numpy(), out[part].numpy())
        )
        return out[None]

    def template_points(self, x: Float[Tensor, "1 point 3"]) -> Float[Tensor, "1 point 3"]:
        """Return the points of the person's template that correspond to points of the mean head."""
        return self._field.template_points(x)

    def _add(self, points: Float[np.ndarray, "point 3"], out: Float[np.ndarray, "point 3"]) -> None:
        from anifacegan.models import numba_lattice_kernels

        numba_lattice_kernels.write_alignment(points, *self._arguments, out)


class NumbaManifolds:
    """Numba version of the manifold predictor; maps points of the template, the face without deformation, (1, N, 3) to
    the scalar s (1, N).
    """

    def __init__(self, field: ManifoldField) -> None:
        layers = [(layer.weight.T, layer.bias) for layer in field.hidden]  # type: ignore[union-attr,operator]
        weight, bias = layers[0]
        layers[0] = (weight, bias - field.centre @ weight)
        self.layers = _Layers.with_head(layers, field.output.weight.T, rectified=True)
        self.bias = field.output.bias.detach()

    def __call__(self, x: Float[Tensor, "1 point 3"]) -> Float[Tensor, "1 point"]:
        return self.layers.sum_of_heads(x[0], self.bias)[None, :, 0]


class NumbaTemplate:
    """Numba version of the template radiance of one face; maps points of the template, the face without deformation,
    (1, N, 3) to colours (1, N, 3) and opacities (1, N).
    """

    def __init__(self, field: BoundTemplate) -> None:
        layers = _of_one_face([*field.layers, field.colour_layer])
        pairs = enumerate(zip(field.rgb_heads, field.sigma_heads, strict=True), start=1)
        heads = {k: torch.cat([rgb.weight, sigma.weight]).detach().T for k, (rgb, sigma) in pairs}
        # Columns: rgb and density. The last colour head reads the colour layer, its density the layer before.
        last = len(layers) - 1
        heads[last] = torch.zeros_like(heads[last - 1])
        heads[last][:, :3] = heads[last - 1][:, :3]
        heads[last - 1][:, :3] = 0.0
        self.layers = (
            _Layers(layers, heads)
            if field.planes is None
            else _LayersWithFeatures(layers, heads, field.planes)
        )
        biases = [head.bias.detach() for head in [*field.rgb_heads, *field.sigma_heads]]
        count = len(field.rgb_heads)
        self.bias = torch.cat([sum(biases[:count]), sum(biases[count:])])  # type: ignore[list-item]
        self.gain = field.sigma_gain

    def __call__(
        self, x: Float[Tensor, "1 point 3"]
    ) -> tuple[Float[Tensor, "1 point 3"], Float[Tensor, "1 point"]]:
        outputs = self.layers.sum_of_heads(x[0], self.bias)  # (N, 4)
        rgb = outputs[:, :3].sigmoid() * (1 + 2 * RGB_WIDENING) - RGB_WIDENING
        return rgb[None], alpha_from_sigma(self.gain * outputs[:, 3])[None]
