"""Alignment field A: offset from a point of a person's template to the corresponding point of the mean head.

    A(x_template; z_id) = x - x_template,    x_template = x - a(x; z_id),    a = x L(z_id) + t(z_id) + r(x; z_id)

Eyes and lips of different people lie up to a centimetre apart, and a template radiance field that has to learn these
differences stays blurred at eyes and lips. Therefore the template radiance is evaluated at the point x of the mean
head, where each facial feature is at the same place for all people. The paper has no such field.

A face model moves a point x of the mean head by -a(x), which is linear in ``z_id``. Here a is an affine map L, t plus a
remainder r, which is interpolated in a lattice over the mean head. Each node of the lattice has F features;
a matrix that is linear in ``z_id`` turns them into the node's remainder. Far from the skin there are no nodes, and r is
0. All of it is fitted to the face model before training (:mod:`anifacegan.training.alignment_fit`) and does not learn.

The offset belongs to the point of the mean head that is sought, so some rounds k of fixed-point iteration find it:

    x_0 = (x_template + t) (I - L)^-1,    x_k = (x_template + t + r(x_{k-1})) (I - L)^-1

Points and offsets are in world units.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from anifacegan.geometry.conventions import ID_DIM
from anifacegan.models.alignment_config import AlignmentConfig
from anifacegan.models.feature_planes import neighbours
from anifacegan.models.siren import full_precision
from anifacegan.models.table_lookup import weighted_rows
from anifacegan.runtime.devices import has_memory


class AlignmentField(nn.Module):
    """Moves a point of a person's template (the face without deformation) to the corresponding point of the mean
    head."""

    affine: Tensor
    """(4, 3, 80) the affine part of a: rows of L for x, y, z, then t, for each entry of z_id."""
    features: Tensor
    """(node, feature) features of the nodes."""
    mix: Tensor
    """(feature, 3, 80) remainder r of a node for each of its features and each entry of z_id."""
    node: Tensor
    """(X, Y, Z) index of each point of the box's lattice among the nodes; ``config.nodes`` where there is no node."""

    def __init__(self, config: AlignmentConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("affine", torch.zeros(4, 3, ID_DIM))
        self.register_buffer("features", torch.zeros(config.nodes, config.features))
        self.register_buffer("mix", torch.zeros(config.features, 3, ID_DIM))
        self.register_buffer("node", torch.full(config.lattice, config.nodes, dtype=torch.int32))

    def bind(self, z_id: Float[Tensor, "batch id_dim"]) -> "BoundAlignment":
        """Fix the identities of a batch of people; return the alignment field of these people as a function of points
        only.

        Each person's remainders at the nodes are computed once.
        """
        with full_precision(z_id):
            affine = self.affine @ z_id.T  # (4, 3, B)
            linear, shift = affine.permute(2, 0, 1).split([3, 1], dim=1)
            mix = torch.einsum("kci,bi->kbc", self.mix, z_id)
            features = nn.functional.pad(self.features, (0, 0, 0, 1))
            # One product for all people: products with three columns each are slow.
            remainder = (features @ mix.flatten(1)).unflatten(1, mix.shape[1:])
            unit = torch.eye(3, dtype=linear.dtype, device=linear.device)
            inverse = torch.linalg.inv_ex(
                unit - linear
            ).inverse  # inv itself would make a GPU wait for its check
        return BoundAlignment(self.config, self.node.flatten().long(), remainder, shift, inverse)


@dataclass(frozen=True)
class BoundAlignment:
    """Alignment field of a batch of people with fixed identities: it moves each point of a person's template (the face
    without deformation) to the corresponding point of the mean head, where colours are read. Maps points (B, N, 3) to
    offsets (B, N, 3), both in world units.
    """

    config: AlignmentConfig
    """Place and spacing of the lattice, and the number of rounds."""
    node: Int[Tensor, "lattice"]
    """Index of each lattice point's node, in row-major order; the index after the last node where there is none."""
    remainder: Float[Tensor, "node batch 3"]
    """The part r of each person's offsets at the nodes, world units; zeros after the last node."""
    shift: Float[Tensor, "batch 1 3"]
    """The constant part t of each person's offsets, world units."""
    inverse: Float[Tensor, "batch 3 3"]
    """(I - L)^-1 of each person, for points in rows."""

    def __call__(self, x_template: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        with full_precision(x_template):
            affine = (x_template + self.shift) @ self.inverse
            correction = self._correction(x_template, affine)
            return affine + self.remainder_at(affine + correction) @ self.inverse - x_template

    @torch.no_grad()
    def _correction(
        self, x_template: Float[Tensor, "batch point 3"], affine: Float[Tensor, "batch point 3"]
    ) -> Float[Tensor, "batch point 3"]:
        """Return what all rounds but the last add to the affine map of the points."""
        rounds = self.config.rounds - 1
        if rounds and x_template.dtype == torch.float32 and has_memory(x_template):
            return x_template + self._compiled_offsets(x_template.detach().contiguous(), rounds) - affine
        correction = torch.zeros_like(affine)
        for _ in range(rounds):
            correction = self.remainder_at(affine + correction) @ self.inverse
        return correction

    def _compiled_offsets(
        self, x_template: Float[Tensor, "batch point 3"], rounds: int
    ) -> Float[Tensor, "batch point 3"]:
        """Return the offsets after some rounds, by a compiled loop."""
        from anifacegan.models import numba_lattice_kernels

        offsets = torch.empty_like(x_template)
        tensors = (self.node, self.remainder, self.shift, self.inverse)
        numba_lattice_kernels.write_alignments(
            x_template.numpy(),
            *lattice_arguments(self.config),
            *(tensor.detach().contiguous().numpy() for tensor in tensors),
            rounds,
            offsets.numpy(),
        )
        return offsets

    def in_one_round(self) -> "BoundAlignment":
        """Return the alignment that looks up each point's offset once, at the place of the affine map."""
        return replace(self, config=replace(self.config, rounds=1))

    def template_points(self, x: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        """Return the points of each person's template that correspond to points x of the mean head: x - a(x)."""
        with full_precision(x):
            return x @ torch.linalg.inv(self.inverse) - self.shift - self.remainder_at(x)

    def remainder_at(self, x: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        """Interpolate r trilinearly at points of the mean head, world units."""
        index, weight = lattice_corners(x.reshape(-1, 3), self.config)
        people = self.remainder.shape[1]
        person = torch.arange(people, device=x.device).repeat_interleave(x.shape[1])
        rows = people * self.node[index] + person[:, None]
        return weighted_rows(self.remainder.flatten(0, 1), rows, weight).reshape(x.shape)


def lattice_arguments(
    config: AlignmentConfig,
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "1"], Int[np.ndarray, "3"]]:
    """Return what compiled loops need to know of the lattice: its first point (world units), its points per world unit,
    and their numbers along each axis."""
    spacing = np.array([1 / config.spacing], np.float32)
    return np.array(config.lower, np.float32), spacing, np.array(config.lattice)


def lattice_corners(
    x: Float[Tensor, "point 3"], config: AlignmentConfig
) -> tuple[Int[Tensor, "point 8"], Float[Tensor, "point 8"]]:
    """Return the indices of the eight lattice points around points of the mean head (world units) in the flattened
    lattice, and their trilinear weights.
    """
    index = torch.zeros(len(x), 1, dtype=torch.int64, device=x.device)
    weight = torch.ones_like(x[:, :1])
    for axis, count in enumerate(config.lattice):
        first, fraction = neighbours((x[:, axis] - config.lower[axis]) / config.spacing, count)
        pair = torch.stack([first, first + 1], dim=-1)
        share = torch.stack([1 - fraction, fraction], dim=-1)
        index = (index[:, :, None] * count + pair[:, None]).flatten(1)
        weight = (weight[:, :, None] * share[:, None]).flatten(1)
    return index, weight
