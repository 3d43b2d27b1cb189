"""Priors of the coefficients: variational autoencoders whose decoder turns N(0, I) into plausible people.

The layout is that of the released VAEs (method, sections 1 and 2), so that their weights load.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

LEAK = 0.01


@dataclass(frozen=True)
class Latents:
    """The three codes of a batch of faces."""

    z_id: Float[Tensor, "batch 80"]
    z_exp: Float[Tensor, "batch 64"]
    z_noise: Float[Tensor, "batch 80"]

    def __len__(self) -> int:
        return len(self.z_id)

    def __getitem__(self, part: slice) -> "Latents":
        return Latents(self.z_id[part], self.z_exp[part], self.z_noise[part])


@dataclass(frozen=True)
class CoefficientVAEConfig:
    hidden_dim: int = 512
    """Width of the hidden layers."""
    layers: int = 5
    """Number of hidden layers of the encoder, and of the decoder."""
    latent_dim: int = 256
    """Size of the Gaussian code."""


class CoefficientVAE(nn.Module):
    """Coefficients to a Gaussian code and back."""

    def __init__(self, dim: int, config: CoefficientVAEConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_dim

        def stack(first_dim: int) -> nn.Sequential:
            dims = [first_dim] + [width] * config.layers
            return nn.Sequential(*(nn.Sequential(nn.Linear(i, o), nn.LeakyReLU(LEAK)) for i, o in pairwise(dims)))

        self.encoder = stack(dim)
        self.mean = nn.Linear(width, config.latent_dim)
        self.log_variance = nn.Linear(width, config.latent_dim)
        self.decoder_input = nn.Linear(config.latent_dim, width)
        self.decoder = stack(width)
        self.output = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(LEAK), nn.Linear(width, dim))

    def initialise(self, rng: torch.Generator) -> None:
        """Kaiming normal weights, zero biases."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, a=LEAK, generator=rng)
                nn.init.zeros_(module.bias)

    def encode(self, coefficients: Float[Tensor, "batch dim"]) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, latent) of the posterior."""
        h = self.encoder(coefficients)
        return self.mean(h), self.log_variance(h)

    def decode(self, code: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch dim"]:
        """Coefficients of a code; codes of new people are N(0, I)."""
        return self.output(self.decoder(self.decoder_input(code)))
