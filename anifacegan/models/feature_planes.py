"""Feature planes: tables of features over a chart of the mean head, which give the template field its fine detail.

The paper has no such planes. A sine network that is cheap enough for a CPU stays waxy: pores, irises and single teeth
need more weights than it has. Here the detail is stored in tables, of which a point reads a few texels, so that a
thinner network gives a sharper face. With the mean head's centre c and surface distance R, a point x of the mean head
(x_template + A, see :mod:`anifacegan.models.alignment`) has the chart coordinates and depth

    n = (x - c) / |x - c|,    (u, v) = (n_x, n_y) / sqrt(2 (1 + n_z)),    d = |x - c| - R(u, v)

(Lambert's azimuthal projection: equal areas, (u, v) in the unit disc, the face in its middle) and the K features

    f = [G(u, v, d), P_1(u, v), ..., P_L(u, v)]

of a coarse grid G with depth, interpolated trilinearly, and of square planes P, coarse to fine, interpolated
bilinearly. All people share the tables; each person mixes them. With the last hidden layer h(z) of the mapping network,

    M = M_0 + 2 / sqrt(K) M_1 h(z),    e = f M,    S = S_0 + S_1 h(z)

e joins the inputs of the second sine layer and of the colour layer, and f S is added to rgb before its sigmoid. The
first layer sees the point alone: where the chart folds, at lids and lips, the point tells the layers apart.

The density must not follow the skin's pattern: all manifolds along a line from c read the same texels of a plane, so
fine detail in the density would punch the same pattern through all of them, and a renderer that skips what is hidden
relies on smooth opacity. The second sine layer, which the density reads too, therefore gets e of the grid and of the
``coarse_planes`` only; the colour layer and S read all features.

The background plane lies beside and behind c, where the chart would draw its texels out to rays. So f is multiplied
by a factor that falls to 0 just before the plane (``fade_z``), and the background has the sine layers' colours alone.

Texels are stored row by row with their channels side by side, so that a corner of 16 channels is one cache line.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from anifacegan.models.planes_config import FeaturePlanesConfig
from anifacegan.models.table_lookup import weighted_rows

TABLE_BOUND = 0.1
"""Largest absolute value of the features in fresh, untrained tables."""
PERSON_DEVIATION = 0.2
"""Standard deviation of fresh weights of M_1 and S_1, times the square root of the number of their inputs."""
_TINY_LENGTH, _TINY_COSINE = 1e-12, 1e-6
"""Added to |x - c|^2, and smallest 1 + n_z: gradients stay finite at the centre and behind it."""


class FeaturePlanes(nn.Module):
    """Tables of learned features over the surface of the mean head, and the weights with which each person mixes
    them.
    """

    radius: Tensor
    """(G, G) distance R from ``centre`` to the mean head's surface, world units, in the directions of the grid's cells;
    rows go along v, columns along u."""
    centre: Tensor
    """(3,) point inside the mean head from which the directions (u, v) are taken, world units."""

    def __init__(self, config: FeaturePlanesConfig, mapping_dim: int) -> None:
        """Create the tables; ``mapping_dim`` is the width of the mapping network's last hidden layer."""
        super().__init__()
        self.config = config
        side = config.grid_resolution
        texels = sum(resolution**2 for resolution in config.resolutions)
        self.planes = nn.Parameter(torch.empty(texels, config.channels))
        self.grid = nn.Parameter(torch.empty(side**2 * config.grid_depths, config.grid_channels))
        self.mix = nn.Parameter(torch.empty(config.features, config.mixed))  # M_0
        self.skip = nn.Parameter(torch.empty(config.features, 3))  # S_0
        self.person = nn.Linear(mapping_dim, config.person_units)  # M_1 and S_1
        self.register_buffer("radius", torch.full((side, side), 0.1))
        self.register_buffer("centre", torch.tensor(config.centre), persistent=False)

    def initialize(self, rng: torch.Generator) -> None:
        """Draw fresh tables, uniform within +-0.1, and fresh weights; those that map features to rgb start near 0."""
        for table in (self.planes, self.grid):
            nn.init.uniform_(table, -TABLE_BOUND, TABLE_BOUND, generator=rng)
        nn.init.normal_(self.mix, 0, 1 / math.sqrt(self.config.features), generator=rng)
        nn.init.zeros_(self.skip)
        deviation = PERSON_DEVIATION / math.sqrt(self.person.in_features)
        nn.init.normal_(self.person.weight, 0, deviation, generator=rng)
        nn.init.zeros_(self.person.bias)

    def tables(self) -> list[nn.Parameter]:
        """Return the parameters with the features, those of the planes and of the grid; they learn at a rate of their
        own.
        """
        return [self.planes, self.grid]

    def directions(self) -> Float[np.ndarray, "cell 3"]:
        """Return the unit direction from ``centre`` that each entry of ``radius`` belongs to, row by row."""
        side = self.config.grid_resolution
        centres = (np.arange(side) + 0.5) * (2 / side) - 1
        uv = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
        square = np.minimum((uv**2).sum(axis=1, keepdims=True), 1.0)  # outside of the disc: straight back
        return np.concatenate([2 * np.sqrt(1 - square) * uv, 1 - 2 * square], axis=1)

    def bind(self, mix: Float[Tensor, "batch unit"]) -> "BoundPlanes":
        """Fix the weights with which each person mixes features; return the mixed features as a function of points
        only.

        ``mix`` are these weights, as the layer ``person`` puts them out.
        """
        config = self.config
        own_mix, own_skip = mix.unflatten(-1, (config.features, -1)).split([config.mixed, 3], dim=-1)
        scaled = 2 / math.sqrt(config.features) * own_mix
        return BoundPlanes(self, self.mix + scaled, self.skip + own_skip)

    def read(self, x: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point feature"]:
        """Interpolate the features at points of the mean head, world units: those of the coarse grid, then those of the
        planes.
        """
        config = self.config
        points = x.reshape(-1, 3) - self.centre
        length = (points.square().sum(dim=-1) + _TINY_LENGTH).sqrt()  # (N,)
        n = points / length[:, None]
        uv = n[:, :2] * (2 * (1 + n[:, 2:]).clamp(min=_TINY_COSINE)).rsqrt()  # (N, 2)
        uv_of_finest = uv if config.finest_moves_points else uv.detach()

        read = [self._read_grid(uv, length)]
        for resolution, start in self._by_plane():
            finest = resolution == config.resolutions[-1]
            index, weight = corners(uv_of_finest if finest else uv, resolution)
            read.append(weighted_rows(self.planes, index + start, weight))
        strength = strength_before_background(x, config.fade_z)
        return strength * torch.cat(read, dim=-1).reshape(*x.shape[:-1], config.features)

    def _by_plane(self) -> list[tuple[int, int]]:
        """Return each plane's resolution and the place of its first texel in the table, coarse to fine."""
        resolutions = self.config.resolutions
        return [(side, sum([other**2 for other in resolutions[:k]])) for k, side in enumerate(resolutions)]

    def _read_grid(
        self, uv: Float[Tensor, "point 2"], length: Float[Tensor, "point"]
    ) -> Float[Tensor, "point channel"]:
        config = self.config
        layers, (near, far) = config.grid_depths, config.depth_range
        index, weight = corners(uv, config.grid_resolution)  # (N, 4)
        surface = (self.radius.flatten()[index] * weight).sum(dim=-1)
        first, fraction = neighbours((length - surface - near) * ((layers - 1) / (far - near)), layers)
        index = index * layers + first[:, None]
        index = torch.cat([index, index + 1], dim=-1)  # (N, 8)
        weight = torch.cat([weight * (1 - fraction[:, None]), weight * fraction[:, None]], dim=-1)
        return weighted_rows(self.grid, index, weight)

    def variation(self, texels: int, rng: torch.Generator) -> Float[Tensor, ""]:
        """Estimate the planes' total variation: the mean squared difference between a texel and its right and lower
        neighbours, of ``texels`` random texels of each plane, summed over the planes.

        Training makes it small, so that texels that images rarely show follow their neighbours.
        """
        total = self.planes.new_zeros(())
        for resolution, start in self._by_plane():
            place = torch.randint(resolution - 1, (2, texels), generator=rng).to(self.planes.device)
            corner = start + place[0] * resolution + place[1]
            index = torch.stack([corner, corner + 1, corner + resolution])
            texel, right, lower = nn.functional.embedding(index, self.planes)  # (N, channel) each
            total = total + (right - texel).square().mean() + (lower - texel).square().mean()
        return total


@dataclass(frozen=True)
class MixedFeatures:
    """Linear mixes of the features of points, with each person's own weights."""

    coarse: Float[Tensor, "batch point mixed"]
    """Mixes of the grid's and the coarse planes' features: inputs of the second sine layer, and so of opacity, too."""
    every: Float[Tensor, "batch point mixed"]
    """Mixes of all features: inputs of the colour layer."""
    rgb: Float[Tensor, "batch point 3"]
    """Linear function of all features, which is added to the colour before its sigmoid."""


@dataclass(frozen=True)
class BoundPlanes:
    """Feature planes of a batch of people with fixed weights; maps points (B, N, 3) of the mean head, world units, to
    mixed features."""

    planes: FeaturePlanes
    """Tables of features, shared by all people."""
    mix: Float[Tensor, "batch feature mixed"]
    """Each person's weights M, with which features are mixed."""
    skip: Float[Tensor, "batch feature 3"]
    """Each person's weights S, with which features are added to the colour before its sigmoid."""

    def __call__(self, x: Float[Tensor, "batch point 3"]) -> MixedFeatures:
        f = self.planes.read(x)  # (B, N, K)
        count = self.planes.config.coarse_features
        coarse = f[..., :count] @ self.mix[:, :count]
        return MixedFeatures(coarse, coarse + f[..., count:] @ self.mix[:, count:], (f @ self.skip).to(x))


def neighbours(
    position: Float[Tensor, "*place"], count: int
) -> tuple[Int[Tensor, "*place"], Float[Tensor, "*place"]]:
    """Return, for linear interpolation in an array of ``count`` entries, the index of the entry before each position,
    and the weight of the entry after it.

    Entry k is at position k; outside of 0 to count - 1 the nearest entry has weight 1.
    """
    position = position.clamp(0, count - 1)
    first = position.detach().long().clamp(0, count - 2)  # also where the position is not a number
    return first, position - first


def corners(
    uv: Float[Tensor, "point 2"], resolution: int
) -> tuple[Int[Tensor, "point 4"], Float[Tensor, "point 4"]]:
    """Return the indices of the four texels around coordinates (u, v) from -1 to 1, and their bilinear weights.

    The square has ``resolution`` texels a side, numbered row by row; u grows along a row, v from row to row. The
    centres of the outermost texels are half a texel inside the square's border.
    """
    first, fraction = neighbours((uv + 1) * (resolution / 2) - 0.5, resolution)
    (column, row), (fx, fy) = first.unbind(-1), fraction.unbind(-1)
    corner = row * resolution + column
    index = torch.stack([corner, corner + 1, corner + resolution, corner + resolution + 1], dim=-1)
    weight = torch.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], dim=-1)
    return index, weight


def strength_before_background(
    x: Float[Tensor, "batch point 3"], fade_z: tuple[float, float]
) -> Float[Tensor, "batch point 1"]:
    """Return factors that grow from 0 at the first value of z in ``fade_z`` to 1 at the second, world units; without
    gradients."""
    behind, before = fade_z
    return ((x.detach()[..., 2:] - behind) / (before - behind)).clamp(0, 1)
