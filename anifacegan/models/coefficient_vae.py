"""Priors of identity and expression: variational autoencoders whose decoders turn N(0, I) into 3DMM coefficients.

The layout is that of AniFaceGAN's released VAEs, so that their weights load.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.geometry.conventions import NOISE_DIM
from anifacegan.models.config import CoefficientVAEConfig

LEAK = 0.01
"""Negative slope of the LeakyReLU activations."""


@dataclass(frozen=True)
class Latents:
    """Latents of a batch of faces."""

    z_id: Float[Tensor, "batch 80"]
    """3DMM identity coefficients."""
    z_exp: Float[Tensor, "batch 64"]
    """3DMM expression coefficients; zero is the neutral face."""
    z_noise: Float[Tensor, "batch 80"]
    """Latent of the appearance that the 3DMM does not describe: texture, hair, light and background. Distributed as
    N(0, I)."""

    def __len__(self) -> int:
        return len(self.z_id)

    def __getitem__(self, part: slice) -> "Latents":
        return Latents(self.z_id[part], self.z_exp[part], self.z_noise[part])


class CoefficientVAE(nn.Module):
    """Variational autoencoder of 3DMM coefficients."""

    def __init__(self, dim: int, config: CoefficientVAEConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_dim

        def stack(first_dim: int) -> nn.Sequential:
            dims = [first_dim] + [width] * config.layers
            return nn.Sequential(
                *(nn.Sequential(nn.Linear(i, o), nn.LeakyReLU(LEAK)) for i, o in pairwise(dims))
            )

        self.encoder = stack(dim)
        self.mean = nn.Linear(width, config.latent_dim)
        self.log_variance = nn.Linear(width, config.latent_dim)
        self.decoder_input = nn.Linear(config.latent_dim, width)
        self.decoder = stack(width)
        self.output = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(LEAK), nn.Linear(width, dim))

    def initialize(self, rng: torch.Generator) -> None:
        """Draw Kaiming normal weights; biases are zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, a=LEAK, generator=rng)
                nn.init.zeros_(module.bias)

    def can_be_identity(self, dim: int) -> bool:
        """Return whether the layers are wide enough for a VAE of ``dim`` coefficients that starts as the identity
        map.
        """
        return self.config.latent_dim >= dim and self.config.hidden_dim >= 2 * dim

    @torch.no_grad()
    def start_as_identity(
        self, mean: Float[Tensor, "dim"], root: Float[Tensor, "dim dim"], variance: float
    ) -> None:
        """Initialize the weights so that the encoder whitens the coefficients and the decoder maps them back exactly.

        Decoded N(0, I) then has the data's mean and covariance before any training; from random weights, networks of
        this depth learn them very slowly. Each quantity x passes a layer as the pair LeakyReLU(x), LeakyReLU(-x), whose
        difference is (1 + leak) x.

        Args:
            mean: mean of the data.
            root: matrix for which ``root @ root.T`` is the covariance of the data.
            variance: initial variance of the posterior.

        Raises:
            ValueError: there are fewer latent entries than coefficients, or fewer than twice as many units in a layer.
        """
        dim = len(mean)
        if not self.can_be_identity(dim):
            target = f"latent_dim >= {dim} and hidden_dim >= {2 * dim}"
            raise ValueError(f"a prior of {dim} coefficients needs {target}, got {self.config}")
        for linear in (module for module in self.modules() if isinstance(module, nn.Linear)):
            linear.weight.mul_(0.05)  # units that the identity does not need
            linear.bias.zero_()
        unpair = torch.eye(dim) / (1 + LEAK)
        pass_on = torch.cat([torch.cat([unpair, -unpair], dim=1), torch.cat([-unpair, unpair], dim=1)])
        inputs, *hidden = [*_linears(self.encoder), *_linears(self.decoder), *_linears(self.output)[:1]]
        whiten = torch.linalg.inv(root)
        _fill(inputs, torch.cat([whiten, -whiten]))
        inputs.bias[: 2 * dim] = torch.cat([-whiten @ mean, whiten @ mean])
        _fill(self.mean, torch.cat([unpair, -unpair], dim=1))
        self.log_variance.weight.zero_()
        self.log_variance.bias.fill_(math.log(variance))
        # decoder_input has no activation, so the first layer of the decoder pairs; the ones after it pass on.
        _fill(self.decoder_input, torch.eye(dim))
        for linear in hidden:
            _fill(linear, pass_on)
        first = _linears(self.decoder)[0]
        first.weight[: 2 * dim] = 0
        first.weight[:dim, :dim] = torch.eye(dim)
        first.weight[dim : 2 * dim, :dim] = -torch.eye(dim)
        _fill(self.output[2], torch.cat([root @ unpair, -root @ unpair], dim=1))
        self.output[2].bias.copy_(mean)

    @torch.no_grad()
    def follow_decoder(self, matrix: Float[Tensor, "dim dim"], offset: Float[Tensor, "dim"]) -> None:
        """Change the decoder's output from x to ``matrix @ x + offset``, by changing its last, linear layer."""
        last = self.output[2]
        last.weight.copy_(matrix @ last.weight)
        last.bias.copy_(matrix @ last.bias + offset)

    def encode(self, coefficients: Float[Tensor, "batch dim"]) -> tuple[Tensor, Tensor]:
        """Encode coefficients; return the mean and the log variance, (B, latent) each, of the Gaussian posterior."""
        h = self.encoder(coefficients)
        return self.mean(h), self.log_variance(h)

    def decode(self, latent: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch dim"]:
        """Decode latents to coefficients; N(0, I) latents give random people or expressions."""
        return self.output(self.decoder(self.decoder_input(latent)))


def sample_people(
    identity_prior: CoefficientVAE, rngs: list[torch.Generator]
) -> tuple[Float[Tensor, "batch 80"], Float[Tensor, "batch 80"]]:
    """Sample one random person with each of the given CPU random generators; return z_id and z_noise of these people,
    on the prior's device.

    A person does not depend on the other people of the batch.
    """
    latent_dim, weight = identity_prior.config.latent_dim, identity_prior.decoder_input.weight
    normal = torch.stack([torch.randn(latent_dim + NOISE_DIM, generator=rng) for rng in rngs]).to(weight)
    # One person at a time: a matrix product may round differently in a larger batch.
    z_id = torch.cat([identity_prior.decode(row[None]) for row in normal[:, :latent_dim]])
    return z_id, normal[:, latent_dim:]


def _linears(stack: nn.Sequential) -> list[nn.Linear]:
    return [module for module in stack.modules() if isinstance(module, nn.Linear)]


def _fill(linear: nn.Linear, block: Float[Tensor, "rows columns"]) -> None:
    """Write a block into the top left of a layer's weight matrix and set the rest of these rows to zero."""
    rows, columns = block.shape
    linear.weight[:rows] = 0
    linear.weight[:rows, :columns] = block
