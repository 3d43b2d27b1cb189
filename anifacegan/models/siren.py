"""FiLM-SIREN: sine layers whose frequencies and phases depend on a latent (Sitzmann et al. 2020; Chan et al. 2021).

    h = sin(frequency * (W x + b) + phase)

A mapping network turns the latent into frequencies and phases. On a CPU a layer is one matrix product, whose weights
all faces share, and one compiled pass over its result (:mod:`anifacegan.models.fused_sine`). Elsewhere frequencies and
phases are folded into the weights, ``W' = frequency W`` and ``b' = frequency b + phase``, so that a layer costs one
matrix product and one sine.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.models.fused_sine import fusable, modulated_sine, sine_of_points
from anifacegan.runtime.devices import autocast_kind

FREQUENCY_SCALE = 15.0
FREQUENCY_SHIFT = 30.0
"""The frequency of a sine unit is the mapping network's output times FREQUENCY_SCALE plus FREQUENCY_SHIFT."""


def matrix_type(x: Tensor) -> torch.dtype:
    """Return the data type in which matrix products with ``x`` are computed: autocast's where it is on, else that of
    ``x``."""
    kind = autocast_kind(x.device)
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def full_precision(x: Tensor) -> torch.autocast:
    """Return a context manager that disables autocast; in half precision, coordinates and manifold levels would be off
    by millimetres."""
    return torch.autocast(autocast_kind(x.device), enabled=False)


@dataclass(frozen=True)
class FiLMParameters:
    """Frequencies and phases of all FiLM layers of a field, one layer after another."""

    frequencies: Float[Tensor, "batch units"]
    """Frequency of each sine unit."""
    phases: Float[Tensor, "batch units"]
    """Phase of each sine unit."""
    mix: Float[Tensor, "batch mix_units"] | None = None
    """Person-specific weights of the template's feature planes; None for a field without planes."""

    def truncated(self, mean: "FiLMParameters", psi: float) -> "FiLMParameters":
        """Move the parameters toward ``mean``, those of the mean appearance: psi 1 changes nothing, psi 0 gives the
        mean.
        """
        mix = self.mix
        if mix is not None and mean.mix is not None:
            mix = mean.mix + psi * (mix - mean.mix)
        return FiLMParameters(
            mean.frequencies + psi * (self.frequencies - mean.frequencies),
            mean.phases + psi * (self.phases - mean.phases),
            mix,
        )


class MappingNetwork(nn.Module):
    """MLP with LeakyReLU(0.2) from a latent to frequencies (``output * 15 + 30``) and phases of FiLM layers."""

    def __init__(self, latent_dim: int, hidden_dim: int, hidden_layers: int, units: int) -> None:
        super().__init__()
        dims = [latent_dim] + [hidden_dim] * hidden_layers
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in zip(dims[:-1], dims[1:], strict=True))
        self.output = nn.Linear(dims[-1], 2 * units)

    def initialize(self, rng: torch.Generator) -> None:
        """Draw Kaiming normal weights (a = 0.2); the weights of the last layer are then multiplied by 0.25."""
        for layer in [*self.hidden, self.output]:
            nn.init.kaiming_normal_(layer.weight, a=0.2, generator=rng)
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.bias, -bound, bound, generator=rng)
        with torch.no_grad():
            self.output.weight.mul_(0.25)

    def forward(self, latent: Float[Tensor, "batch latent"], mix: nn.Linear | None = None) -> FiLMParameters:
        """Map latents to FiLM parameters, in full precision; the layer ``mix`` maps the last hidden layer to the
        person-specific weights of feature planes."""
        h = latent
        with full_precision(latent):
            for layer in self.hidden:
                h = nn.functional.leaky_relu(layer(h), 0.2)
            frequencies, phases = self.output(h).chunk(2, dim=-1)
            weights = None if mix is None else mix(h)
        return FiLMParameters(frequencies * FREQUENCY_SCALE + FREQUENCY_SHIFT, phases, weights)


@dataclass(frozen=True)
class BoundFiLMLayer:
    """FiLM layer with the frequency and phase of each face of a batch.

    A layer whose inputs are coordinates (in_dim 3) is always evaluated in full precision.
    """

    linear: Float[Tensor, "out_dim in_dim"]
    """Weights of the linear layer, shared by all faces."""
    frequency: Float[Tensor, "batch out_dim"]
    """Frequency of each face's sine units."""
    shift: Float[Tensor, "batch out_dim"]
    """Phase of each face's sine units, plus frequency times the bias of the linear layer."""

    @property
    def weight(self) -> Float[Tensor, "batch in_dim out_dim"]:
        """The weights with the frequencies folded in: each face has its own."""
        return self.frequency[:, None] * self.linear.T

    @property
    def bias(self) -> Float[Tensor, "batch 1 out_dim"]:
        """The term, ``shift``, that is added to the product with ``weight`` before the sine."""
        return self.shift[:, None]

    def __call__(self, x: Float[Tensor, "batch point in_dim"]) -> Float[Tensor, "batch point out_dim"]:
        if fusable(x):
            if self.linear.shape[1] == 3:
                return sine_of_points(x, self.weight, self.shift, matrix_type(x))
            return modulated_sine(nn.functional.linear(x, self.linear), self.frequency, self.shift)
        if self.linear.shape[1] == 3:
            with full_precision(x):
                return torch.baddbmm(self.bias, x, self.weight).sin()
        return torch.baddbmm(self.bias, x, self.weight).sin()


class FiLMLayer(nn.Module):
    """Sine layer that is modulated by a frequency and a phase for each unit."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, out_dim)

    def initialize(self, rng: torch.Generator, first: bool) -> None:
        """Draw uniform weights of absolute value at most 1/in_dim for the first layer of a field, and at most
        sqrt(6/in_dim)/25 for later layers."""
        in_dim = self.linear.in_features
        uniform_linear_(self.linear, 1 / in_dim if first else sine_bound(in_dim), rng)

    def bind(
        self, frequency: Float[Tensor, "batch out_dim"], phase: Float[Tensor, "batch out_dim"]
    ) -> BoundFiLMLayer:
        """Fix the frequency and phase of each face; return the layer as a function of its inputs."""
        return BoundFiLMLayer(self.linear.weight, frequency, frequency * self.linear.bias + phase)


def sine_bound(in_dim: int) -> float:
    """Return the bound of the uniform initialization of a layer whose inputs are sines of frequency about 25."""
    return math.sqrt(6 / in_dim) / 25


def uniform_linear_(linear: nn.Linear, bound: float, rng: torch.Generator) -> None:
    """Draw uniform weights between -``bound`` and ``bound``, and biases with PyTorch's default distribution."""
    nn.init.uniform_(linear.weight, -bound, bound, generator=rng)
    bias_bound = 1 / math.sqrt(linear.in_features)
    nn.init.uniform_(linear.bias, -bias_bound, bias_bound, generator=rng)


def bound_layers(layers: nn.ModuleList, film: FiLMParameters) -> list[BoundFiLMLayer]:
    """Fix the frequencies and phases of consecutive layers of one width, whose units are those of ``film`` in order."""
    width = film.frequencies.shape[-1] // len(layers)
    blocks = zip(layers, film.frequencies.split(width, -1), film.phases.split(width, -1), strict=True)
    return [layer.bind(frequency, phase) for layer, frequency, phase in blocks]
