"""Shading field S: the factor by which an expression changes the colour of a point of the template; not in the paper.

    rgb = T(x_template; z_id, z_noise) * exp(S(x_template; z_id, z_noise, d)),    d = z_exp - t
    S   = b tanh((|d| w + W d) . h(x_template; z_id, z_noise, d) / b)

A template field gives a point of the skin one colour for all expressions. But skin that turns, folds or opens gets
other light: the sides of a smile, the inner lip of a pout. h is a FiLM-SIREN, w a vector and W a matrix of weights, t
the expression of the template's faces, at which the factor is 1, and b the bound of S. Where manifolds are aligned,
x_template is a point of the mean head.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.geometry.conventions import EXP_DIM, ID_DIM, NOISE_DIM, WORLD_PER_NETWORK_UNIT
from anifacegan.models.feature_planes import strength_before_background
from anifacegan.models.shading_config import ShadingConfig
from anifacegan.models.siren import BoundFiLMLayer, FiLMLayer, MappingNetwork, bound_layers, full_precision

HEAD_SCALE = 0.02
"""Factor on the stored weights to w and W. S is a sum over all units and all expression coefficients, which one step of
the optimizer would otherwise change by more than 1."""
EXPRESSION_SCALE = 0.5
"""Factor on the expression at the input of the mapping network."""


class ShadingField(nn.Module):
    """FiLM-SIREN from points of the template to the logarithm of a factor on their colours, conditioned on z_id,
    z_noise and z_exp.
    """

    template_exp: Tensor
    """(64,) expression coefficients of the template's faces, at which no colour changes."""

    def __init__(self, config: ShadingConfig) -> None:
        super().__init__()
        self.config = config
        dims = [3] + [config.hidden_dim] * config.layers
        self.layers = nn.ModuleList(FiLMLayer(i, o) for i, o in pairwise(dims))
        self.head = nn.Linear(config.hidden_dim, 1, bias=False)
        self.expression_head = nn.Linear(EXP_DIM, config.hidden_dim, bias=False)
        self.mapping = MappingNetwork(
            ID_DIM + NOISE_DIM + EXP_DIM,
            config.mapping_dim,
            config.mapping_layers,
            config.hidden_dim * config.layers,
        )
        self.register_buffer("template_exp", torch.zeros(EXP_DIM))

    def initialize(self, rng: torch.Generator) -> None:
        """Draw fresh weights; those of the heads are zero, so that the untrained field changes no colour."""
        for k, layer in enumerate(self.layers):
            layer.initialize(rng, first=k == 0)
        self.mapping.initialize(rng)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.expression_head.weight)

    def bind(
        self, person: Float[Tensor, "batch id_and_noise"], z_exp: Float[Tensor, "batch exp_dim"]
    ) -> "BoundShading":
        """Fix the latents of a batch of faces; return their shading as a function of points only.

        ``person`` is [z_id, z_noise], scaled as the template's mapping network takes it.
        """
        change = z_exp - self.template_exp
        film = self.mapping(torch.cat([person, EXPRESSION_SCALE * change], dim=-1))
        with full_precision(z_exp):
            length = change.norm(dim=-1, keepdim=True)
            head = HEAD_SCALE * (length * self.head.weight + self.expression_head(change))  # (B, hidden)
        return BoundShading(bound_layers(self.layers, film), head[..., None], self.config)


@dataclass(frozen=True)
class BoundShading:
    """Shading of a batch of faces with fixed latents; maps points of the template (B, N, 3), world units, to factors on
    their colours (B, N, 1)."""

    layers: list[BoundFiLMLayer]
    """Sine layers with one set of weights for each face."""
    head: Float[Tensor, "batch hidden 1"]
    """Weights of the linear head of each face."""
    config: ShadingConfig
    """Bound of the logarithm, and where it fades out."""

    def __call__(self, x: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 1"]:
        h = x / WORLD_PER_NETWORK_UNIT
        for layer in self.layers:
            h = layer(h)  # (B, N, hidden)
        return shading_factor(torch.bmm(h, self.head.to(h)).to(x), x, self.config)


def shading_factor(
    logarithm: Float[Tensor, "batch point 1"], x: Float[Tensor, "batch point 3"], config: ShadingConfig
) -> Float[Tensor, "batch point 1"]:
    """Return the factors exp(S) on the colours of points ``x``, world units.

    ``logarithm`` is S before it is bounded and fades out before the background plane.
    """
    return (
        strength_before_background(x, config.fade_z) * config.bound * torch.tanh(logarithm / config.bound)
    ).exp()


@dataclass(frozen=True)
class ShadedRadiance:
    """Template radiance of a batch of faces with the shading of their expressions: maps points of the template (B, N,
    3), world units, to colours (B, N, 3) and opacities (B, N)."""

    radiance: Callable[..., tuple[Tensor, Tensor]]
    """Colours and opacities without expression."""
    shading: Callable[[Tensor], Tensor]
    """Factors on the colours."""

    def __call__(
        self, x: Float[Tensor, "batch point 3"], *direction: Float[Tensor, "batch point 3"]
    ) -> tuple[Float[Tensor, "batch point 3"], Float[Tensor, "batch point"]]:
        rgb, alpha = self.radiance(x, *direction)
        return rgb * self.shading(x), alpha
