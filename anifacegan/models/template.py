"""Template radiance field T: colour and density of the neutral face at points of the canonical (template) space.

    (rgb, sigma) = T(x_template; z_id, z_noise),    alpha = 1 - exp(-0.04 softplus(g sigma))

T is a FiLM-SIREN (pi-GAN, Chan et al. 2021). Each layer from the second on adds a term to sigma and to rgb through a
linear head; a sigmoid follows the sum of the rgb terms. The last rgb term comes from one more FiLM layer that also
takes the view direction. Rendered models fix the direction to frontal, so that colours do not depend on the view;
adversarial training may use the rays' own directions, as the released configurations do. Points are in world units; the
network takes ``x / WORLD_PER_NETWORK_UNIT``.

With the option ``planes``, which the paper does not have, features of the point join the inputs of the second sine
layer and of the colour layer, and a linear function of them the sum of the rgb terms
(:mod:`anifacegan.models.feature_planes`).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.geometry.conventions import ID_DIM, NOISE_DIM, WORLD_PER_NETWORK_UNIT
from anifacegan.models.config import TemplateConfig
from anifacegan.models.feature_planes import BoundPlanes, FeaturePlanes
from anifacegan.models.siren import (
    BoundFiLMLayer,
    FiLMLayer,
    FiLMParameters,
    MappingNetwork,
    sine_bound,
    uniform_linear_,
)

VIEW_DIRECTION = (0.0, 0.0, -1.0)
"""View direction where it is locked: frontal, so that colours do not depend on the view."""


class TemplateField(nn.Module):
    """FiLM-SIREN from points of the template (the face without deformation) to colour and opacity, conditioned on z_id
    and z_noise.
    """

    latent_scale: Tensor
    """(160,) factors of the entries of [z_id, z_noise] at the input of the mapping network; 1 in the paper and in the
    released weights. Training on synthetic people sets each factor to the size of the entry's visible effect, so that
    the network generalises better to new people."""

    def __init__(self, config: TemplateConfig) -> None:
        super().__init__()
        self.config = config
        dims = [3] + [config.hidden_dim] * config.layers
        width = dims[-1]
        self.planes = None if config.planes is None else FeaturePlanes(config.planes, config.mapping_width)
        mixed = 0 if config.planes is None else config.planes.mixed
        dims_in = [dim + (mixed if k == 1 else 0) for k, dim in enumerate(dims[:-1])]
        self.layers = nn.ModuleList(FiLMLayer(i, width) for i in dims_in)
        self.colour_layer = FiLMLayer(3 + width + mixed, width)
        self.sigma_heads = nn.ModuleList(nn.Linear(width, 1) for _ in range(config.layers - 1))
        self.rgb_heads = nn.ModuleList(nn.Linear(width, 3) for _ in range(config.layers - 1))
        self.register_buffer("latent_scale", torch.ones(ID_DIM + NOISE_DIM))
        self.mapping = MappingNetwork(
            ID_DIM + NOISE_DIM, config.mapping_dim, config.mapping_layers, config.units
        )

    def initialize(self, rng: torch.Generator) -> None:
        """Draw fresh weights of all layers."""
        for k, layer in enumerate(self.layers):
            layer.initialize(rng, first=k == 0)
        self.colour_layer.initialize(rng, first=False)
        for head in [*self.sigma_heads, *self.rgb_heads]:
            uniform_linear_(head, sine_bound(head.in_features), rng)
        self.mapping.initialize(rng)
        if self.planes is not None:
            self.planes.initialize(rng)

    def film_parameters(
        self, z_id: Float[Tensor, "batch id_dim"], z_noise: Float[Tensor, "batch noise_dim"]
    ) -> FiLMParameters:
        """Map people's latents to the frequencies and phases (FiLM parameters) of all sine layers; truncation acts on
        these parameters.
        """
        mix = None if self.planes is None else self.planes.person
        return self.mapping(self.scaled(z_id, z_noise), mix)

    def scaled(
        self, z_id: Float[Tensor, "batch id_dim"], z_noise: Float[Tensor, "batch noise_dim"]
    ) -> Float[Tensor, "batch id_and_noise"]:
        """Return [z_id, z_noise] as a mapping network takes them, times :attr:`latent_scale`."""
        return self.latent_scale * torch.cat([z_id, z_noise], dim=-1)

    def bind(self, film: FiLMParameters) -> "BoundTemplate":
        """Fix the frequencies and phases of the sine layers (``film``) of a batch of people, and return their template
        field as a function of points only.
        """
        width, gain = self.config.hidden_dim, self.config.sigma_gain
        blocks = list(zip(film.frequencies.split(width, -1), film.phases.split(width, -1), strict=True))
        layers = [layer.bind(*block) for layer, block in zip(self.layers, blocks[:-1], strict=True)]
        unlocked = self.colour_layer.bind(*blocks[-1])
        planes = None if self.planes is None else self.planes.bind(film.mix)
        return BoundTemplate(
            layers,
            _lock_direction(unlocked),
            list(self.sigma_heads),
            list(self.rgb_heads),
            gain,
            planes,
            direction_weights=unlocked.linear[:, :3],
        )


@dataclass(frozen=True)
class BoundTemplate:
    """Template field of a batch of people with fixed latents; maps points (B, N, 3) in world units to colours (B, N, 3)
    and opacities (B, N)."""

    layers: list[BoundFiLMLayer]
    """Sine layers with one set of weights for each person."""
    colour_layer: BoundFiLMLayer
    """Last sine layer of the colour, with the fixed view direction in its phase."""
    sigma_heads: list[nn.Module]
    """Linear heads of the density, one for each layer from the second on."""
    rgb_heads: list[nn.Module]
    """Linear heads of the colour, one for each layer from the second on."""
    sigma_gain: float
    """Factor of the density before its softplus."""
    planes: BoundPlanes | None = None
    """Feature planes with each person's weights; None for a template without planes."""
    direction_weights: Float[Tensor, "hidden 3"] | None = None
    """Weights of the colour layer for the view direction; needed only where points are given a direction."""

    def __call__(
        self, x: Float[Tensor, "batch point 3"], direction: Float[Tensor, "batch point 3"] | None = None
    ) -> tuple[Float[Tensor, "batch point 3"], Float[Tensor, "batch point"]]:
        """Evaluate colours and opacities; colours depend on the unit view ``direction`` of each point. None: every
        point is seen from the front.
        """
        h = self.layers[0](x / WORLD_PER_NETWORK_UNIT)  # (B, N, hidden)
        sigma, rgb = x.new_zeros(()), x.new_zeros(())
        mixed = None
        if self.planes is not None:
            mixed = self.planes(x)
            h, rgb = torch.cat([h, mixed.coarse], dim=-1), mixed.rgb
        for layer, sigma_head, rgb_head in zip(
            self.layers[1:-1], self.sigma_heads, self.rgb_heads, strict=False
        ):
            h = layer(h)
            both = _two_heads(h, sigma_head, rgb_head).to(x)
            sigma, rgb = sigma + both[..., :1], rgb + both[..., 1:]  # (B, N, 1) and (B, N, 3)
        h = self.layers[-1](h)
        sigma = sigma + self.sigma_heads[-1](h).to(x)
        inputs = h if mixed is None else torch.cat([h, mixed.every], dim=-1)
        feature = self._colour_features(inputs, direction)
        rgb = rgb + self.rgb_heads[-1](feature).to(x)
        rgb = rgb.sigmoid() * (1 + 2 * RGB_WIDENING) - RGB_WIDENING
        return rgb, alpha_from_sigma(self.sigma_gain * sigma[..., 0])

    def _colour_features(
        self,
        inputs: Float[Tensor, "batch point feature"],
        direction: Float[Tensor, "batch point 3"] | None,
    ) -> Float[Tensor, "batch point hidden"]:
        """Evaluate the colour layer. Its phase has the frontal direction already, so the difference to it joins the
        inputs."""
        if direction is None:
            return self.colour_layer(inputs)
        assert self.direction_weights is not None, "points with directions need the directions' weights"
        layer = self.colour_layer
        unlocked = replace(layer, linear=torch.cat([self.direction_weights, layer.linear], dim=1))
        turned = torch.cat(
            [direction[..., :2], direction[..., 2:] + 1.0], dim=-1
        )  # direction - VIEW_DIRECTION
        return unlocked(torch.cat([turned.to(inputs), inputs], dim=-1))


def _two_heads(
    h: Float[Tensor, "batch point hidden"], sigma_head: nn.Module, rgb_head: nn.Module
) -> Float[Tensor, "batch point 4"]:
    """Evaluate a head of the density and one of the colour as one product."""
    weight = torch.cat([sigma_head.weight, rgb_head.weight])
    return nn.functional.linear(h, weight, torch.cat([sigma_head.bias, rgb_head.bias]))


def _lock_direction(layer: BoundFiLMLayer) -> BoundFiLMLayer:
    """Fold the fixed view direction into the phase of the colour layer, whose inputs are [direction, feature]."""
    shift = layer.shift - layer.frequency * layer.linear[:, 2]  # (B, hidden); linear[:, :3] @ VIEW_DIRECTION
    return BoundFiLMLayer(layer.linear[:, 3:], layer.frequency, shift)


SIGMA_TO_ALPHA = 0.04
"""Optical thickness of a manifold where the density, after its softplus, is 1."""
RGB_WIDENING = 1e-3
"""Colours are stretched to [-0.001, 1.001], so that the sigmoid can reach black and white."""


def alpha_from_sigma(sigma: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Convert a density before activation to the opacity of a manifold, ``1 - exp(-0.04 softplus(sigma))``."""
    return -torch.expm1(-SIGMA_TO_ALPHA * torch.nn.functional.softplus(sigma))
