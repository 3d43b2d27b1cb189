"""FiLM-SIREN: sine layers whose frequencies and phases come from a code (Sitzmann et al. 2020; Chan et al. 2021).

    h = sin(frequency * (W x + b) + phase)

Codes are bound once. Binding folds the frequency and the phase into the layer, ``W' = frequency W`` and
``b' = frequency b + phase``, so a query costs one matrix product and one sine.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

FREQUENCY_SCALE = 15.0
FREQUENCY_SHIFT = 30.0


def full_precision(x: Tensor) -> torch.autocast:
    """No autocast inside: half precision would move a coordinate or a level by millimetres."""
    return torch.autocast(x.device.type, enabled=False)


@dataclass(frozen=True)
class FiLMParameters:
    """Frequencies and phases of all layers of a field, side by side."""

    frequencies: Float[Tensor, "batch units"]
    phases: Float[Tensor, "batch units"]

    def truncated(self, mean: "FiLMParameters", psi: float) -> "FiLMParameters":
        """Pulled toward the mean: psi 1 changes nothing, psi 0 is the mean (method, section 1, step 7)."""
        return FiLMParameters(
            mean.frequencies + psi * (self.frequencies - mean.frequencies),
            mean.phases + psi * (self.phases - mean.phases),
        )


class MappingNetwork(nn.Module):
    """A code to frequencies and phases: LeakyReLU(0.2) layers, then ``frequency * 15 + 30``."""

    def __init__(self, code_dim: int, hidden_dim: int, hidden_layers: int, units: int) -> None:
        super().__init__()
        dims = [code_dim] + [hidden_dim] * hidden_layers
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in zip(dims[:-1], dims[1:], strict=True))
        self.output = nn.Linear(dims[-1], 2 * units)

    def initialise(self, rng: torch.Generator) -> None:
        """Kaiming normal (a = 0.2), the last layer a quarter of it."""
        for layer in [*self.hidden, self.output]:
            nn.init.kaiming_normal_(layer.weight, a=0.2, generator=rng)
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.bias, -bound, bound, generator=rng)
        with torch.no_grad():
            self.output.weight.mul_(0.25)

    def forward(self, code: Float[Tensor, "batch code"]) -> FiLMParameters:
        h = code
        with full_precision(code):
            for layer in self.hidden:
                h = nn.functional.leaky_relu(layer(h), 0.2)
            frequencies, phases = self.output(h).chunk(2, dim=-1)
        return FiLMParameters(frequencies * FREQUENCY_SCALE + FREQUENCY_SHIFT, phases)


@dataclass(frozen=True)
class BoundFiLMLayer:
    """A FiLM layer with its code bound. A layer that sees coordinates is never autocast."""

    weight: Float[Tensor, "batch in_dim out_dim"]
    bias: Float[Tensor, "batch 1 out_dim"]

    def __call__(self, x: Float[Tensor, "batch point in_dim"]) -> Float[Tensor, "batch point out_dim"]:
        if self.weight.shape[1] == 3:
            with full_precision(x):
                return torch.baddbmm(self.bias, x, self.weight).sin()
        return torch.baddbmm(self.bias, x, self.weight).sin()


class FiLMLayer(nn.Module):
    """One sine layer."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, out_dim)

    def initialise(self, rng: torch.Generator, first: bool) -> None:
        """Uniform +-1/in for the first layer of a field, +-sqrt(6/in)/25 for the others."""
        in_dim = self.linear.in_features
        uniform_linear_(self.linear, 1 / in_dim if first else sine_bound(in_dim), rng)

    def bind(
        self, frequency: Float[Tensor, "batch out_dim"], phase: Float[Tensor, "batch out_dim"]
    ) -> BoundFiLMLayer:
        weight = frequency[:, None] * self.linear.weight.T  # (B, in, out)
        bias = frequency * self.linear.bias + phase  # (B, out)
        return BoundFiLMLayer(weight, bias[:, None])


def sine_bound(in_dim: int) -> float:
    """Bound of the uniform initialisation behind a sine of frequency about 25."""
    return math.sqrt(6 / in_dim) / 25


def uniform_linear_(linear: nn.Linear, bound: float, rng: torch.Generator) -> None:
    """Uniform weights within the bound; biases as PyTorch draws them, from the given generator."""
    nn.init.uniform_(linear.weight, -bound, bound, generator=rng)
    bias_bound = 1 / math.sqrt(linear.in_features)
    nn.init.uniform_(linear.bias, -bias_bound, bias_bound, generator=rng)
