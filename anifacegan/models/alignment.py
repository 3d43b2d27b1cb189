"""Alignment field A: offset from a point of a person's template to the corresponding point of the mean head.

    x_0 = x_template,    x_k = x_template + sum_i z_id_i a_i(x_{k-1}),    A(x_template; z_id) = x_K - x_template

Eyes and lips of different people lie up to a centimetre apart, and a template radiance field that has to learn these
differences stays blurred at eyes and lips. Therefore the template radiance is evaluated at x_K, where each facial
feature is at the same place for all people. The paper has no such field.

A morphable model moves a vertex of the mean head by an offset that is linear in ``z_id``. A point of a person comes
from the place x of the mean head where x_template = x - sum_i z_id_i a_i(x), with the basis a_i at the mean head's
place, not at the person's. K rounds of fixed-point iteration find it. A sine network (Sitzmann et al. 2020) of the
place gives the basis.

Points and offsets are in world units; the network takes ``x / WORLD_PER_NETWORK_UNIT``.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.geometry.conventions import ID_DIM, WORLD_PER_NETWORK_UNIT
from anifacegan.models.config import AlignmentConfig
from anifacegan.models.siren import BoundFiLMLayer, FiLMLayer, full_precision


class AlignmentField(nn.Module):
    """Sine network that moves a point of a person's template (the face without deformation) to the corresponding point
    of the mean head. It maps the point to one offset vector for each entry of z_id.
    """

    def __init__(self, config: AlignmentConfig) -> None:
        super().__init__()
        self.config = config
        dims = [3] + [config.hidden_dim] * config.layers
        self.layers = nn.ModuleList(FiLMLayer(i, o) for i, o in pairwise(dims))
        self.head = nn.Linear(dims[-1], 3 * ID_DIM, bias=False)

    def initialize(self, rng: torch.Generator) -> None:
        """Draw fresh weights; the last layer is zero, so that the untrained field does not move points."""
        for k, layer in enumerate(self.layers):
            layer.initialize(rng, first=k == 0)
        nn.init.zeros_(self.head.weight)

    def bind(self, z_id: Float[Tensor, "batch id_dim"]) -> "BoundAlignment":
        """Fix the identities of a batch of people; return the alignment field of these people as a function of points
        only.

        Each person's weights of the last layer are computed once.
        """
        basis = self.head.weight.reshape(3, ID_DIM, -1)  # (3, id, hidden)
        with full_precision(z_id):
            head = self.config.output_scale * torch.einsum("cih,bi->bhc", basis, z_id)
        frequency = z_id.new_full((len(z_id), self.config.hidden_dim), self.config.frequency)
        layers = [layer.bind(frequency, torch.zeros_like(frequency)) for layer in self.layers]
        return BoundAlignment(layers, head, self.config.rounds)

    def basis_at(self, x: Float[Tensor, "point 3"]) -> Float[Tensor, "point 3 id_dim"]:
        """Evaluate the offsets a_i at places of the mean head, world units: columns of x, y and z for each entry of
        z_id.
        """
        one = self.bind(x.new_zeros(1, ID_DIM))
        return self.config.output_scale * self.head(one.features(x[None]))[0].unflatten(-1, (3, ID_DIM))


@dataclass(frozen=True)
class BoundAlignment:
    """Alignment field of a batch of people with fixed identities: it moves each point of a person's template (the face
    without deformation) to the corresponding point of the mean head, where colours are read. Maps points (B, N, 3) to
    offsets (B, N, 3), both in world units.
    """

    layers: list[BoundFiLMLayer]
    """Sine layers with the constant frequency of the configuration, the same for all people."""
    head: Float[Tensor, "batch hidden 3"]
    """Weights of the last, linear layer for each person."""
    rounds: int = 1
    """Number of rounds of the fixed-point iteration. Gradients flow through the last one only."""

    def __call__(self, x_template: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        x = x_template
        with torch.no_grad():
            for _ in range(self.rounds - 1):
                x = x_template + self._offset(x)
        return self._offset(x)

    def _offset(self, x: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        return (self.features(x) @ self.head).to(x)

    def features(self, x: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point hidden"]:
        """Evaluate the sine layers at points, world units."""
        h = x / WORLD_PER_NETWORK_UNIT
        for layer in self.layers:
            h = layer(h)  # (B, N, hidden)
        return h
