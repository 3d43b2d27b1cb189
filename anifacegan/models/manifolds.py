"""Manifold predictor M: the radiance manifolds are level sets of one scalar field (GRAM, Deng et al. 2022).

    s = M(x_template),    manifold l = {x : M(x) = level_l}

M is a ReLU MLP without latent inputs, so all people share the manifolds. An untrained M has concentric spheres about a
point behind the head, ``s ~ 10 |x / WORLD_PER_NETWORK_UNIT - centre|``: s falls along a ray that enters the face from
the front.
"""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.geometry.conventions import SPHERE_CENTRE, WORLD_PER_NETWORK_UNIT
from anifacegan.models.config import ManifoldConfig
from anifacegan.models.siren import full_precision

INITIAL_GRADIENT = 10.0
"""Slope of s before training: its increase per network unit of distance from the centre of the spheres."""


class ManifoldField(nn.Module):
    """ReLU MLP whose level sets are the radiance manifolds."""

    centre: Tensor
    """(3,) centre of the spheres that the manifolds are before training, network units (0.12 world units each)."""
    levels: Tensor
    """(L,) values of s on the manifolds, in falling order."""

    def __init__(self, config: ManifoldConfig) -> None:
        super().__init__()
        self.config = config
        dims = [3] + [config.hidden_dim] * config.layers
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(dims))
        self.output = nn.Linear(dims[-1], 1)
        self.register_buffer("centre", torch.tensor(SPHERE_CENTRE), persistent=False)
        self.register_buffer("levels", torch.tensor(config.values()), persistent=False)

    def initialize(self, rng: torch.Generator) -> None:
        """Draw a geometric initialization: the level sets are concentric spheres (Atzmon and Lipman 2020)."""
        for layer in self.hidden:
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / layer.out_features), generator=rng)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.output.weight, INITIAL_GRADIENT * math.sqrt(math.pi / self.output.in_features))
        nn.init.zeros_(self.output.bias)

    def forward(self, x_template: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Evaluate the scalar s at points of the template (the face without deformation), world units, in full
        precision.
        """
        h = x_template / WORLD_PER_NETWORK_UNIT - self.centre
        with full_precision(h):
            for layer in self.hidden:
                h = nn.functional.relu(layer(h))
            return self.output(h)[..., 0]
