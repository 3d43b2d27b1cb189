"""Deformation field D: offset from a point of the expressive (target) face to the neutral template (Wu et al. 2022).

    x_template = x_target + delta,    delta = D(x_target; z_id, z_exp)

D is a FiLM-SIREN conditioned on identity and expression. Points and delta are in world units; the network takes
``x / WORLD_PER_NETWORK_UNIT``.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.geometry.conventions import EXP_DIM, ID_DIM, WORLD_PER_NETWORK_UNIT
from anifacegan.models.config import DeformationConfig
from anifacegan.models.siren import BoundFiLMLayer, FiLMLayer, MappingNetwork, bound_layers


class DeformationField(nn.Module):
    """FiLM-SIREN from a point of the expressive face to its offset delta to the neutral template, conditioned on z_id
    and z_exp.
    """

    def __init__(self, config: DeformationConfig) -> None:
        super().__init__()
        self.config = config
        dims = [3] + [config.hidden_dim] * config.layers
        self.layers = nn.ModuleList(FiLMLayer(i, o) for i, o in pairwise(dims))
        self.head = nn.Linear(dims[-1], 3)
        self.mapping = MappingNetwork(
            ID_DIM + EXP_DIM, config.mapping_dim, config.mapping_layers, config.hidden_dim * config.layers
        )

    def initialize(self, rng: torch.Generator) -> None:
        """Draw fresh weights; the last layer is zero, so that the untrained field does not deform."""
        for k, layer in enumerate(self.layers):
            layer.initialize(rng, first=k == 0)
        self.mapping.initialize(rng)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def bind(
        self, z_id: Float[Tensor, "batch id_dim"], z_exp: Float[Tensor, "batch exp_dim"]
    ) -> "BoundDeformation":
        """Fix the latents of a batch of faces: fold each face's z_id and z_exp into the weights of the layers.

        Returns the deformation field of these faces as a function of points only.
        """
        film = self.mapping(torch.cat([z_id, z_exp], dim=-1))
        return BoundDeformation(bound_layers(self.layers, film), self.head, self.config.output_scale)


@dataclass(frozen=True)
class BoundDeformation:
    """Deformation field of a batch of faces with fixed latents; maps points of the expressive faces (B, N, 3) to their
    offsets (B, N, 3) to the template, both in world units.
    """

    layers: list[BoundFiLMLayer]
    """Sine layers with one set of weights for each face."""
    head: nn.Linear
    """Last, linear layer, shared by all faces."""
    output_scale: float
    """World units per unit of the last layer's output."""

    def __call__(self, x_target: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        h = x_target / WORLD_PER_NETWORK_UNIT
        for layer in self.layers:
            h = layer(h)  # (B, N, hidden)
        return self.output_scale * self.head(h).to(x_target)
