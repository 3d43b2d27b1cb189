"""Alignment field A: offset from a point of a person's template to the corresponding point of the mean head.

    x_mean = x_template + A(x_template; z_id),    A(x; z_id) = sum_i z_id_i a_i(x)

Eyes and lips of different people lie up to a centimetre apart, and a template radiance field that has to learn these
differences stays blurred at eyes and lips. Therefore the template radiance is evaluated at x_mean, where each facial
feature is at the same place for all people. Like a morphable model, A is linear in ``z_id``: a sine network (Sitzmann
et al. 2020) of the point gives the basis a_i. The paper has no such field.

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
        return BoundAlignment(
            [layer.bind(frequency, torch.zeros_like(frequency)) for layer in self.layers], head
        )


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

    def __call__(self, x_template: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        h = x_template / WORLD_PER_NETWORK_UNIT
        for layer in self.layers:
            h = layer(h)  # (B, N, hidden)
        return (h @ self.head).to(x_template)
