"""FiLM-SIREN layers against the formula ``sin(frequency * (W x + b) + phase)``, written out slowly."""

import math

import pytest
import torch
from torch import Tensor

from anifacegan.models.siren import FiLMLayer, FiLMParameters, MappingNetwork


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_bound_layer_is_the_unfolded_formula() -> None:
    layer = FiLMLayer(3, 5).double()
    layer.initialize(torch.Generator().manual_seed(0), first=True)
    x, frequency, phase = draw(2, 4, 3, seed=1), 30 + 15 * draw(2, 5, seed=2), draw(2, 5, seed=3)
    bound = layer.bind(frequency, phase)(x)
    weight, bias = layer.linear.weight, layer.linear.bias
    for b in range(2):
        for n in range(4):
            for k in range(5):
                linear = sum(weight[k, i].item() * x[b, n, i].item() for i in range(3)) + bias[k].item()
                expected = math.sin(frequency[b, k].item() * linear + phase[b, k].item())
                assert bound[b, n, k].item() == pytest.approx(expected, abs=1e-12)


def test_a_mapping_network_is_the_unfolded_formula() -> None:
    """First half of the outputs times 15 plus 30 are frequencies, second half are phases."""
    network = MappingNetwork(latent_dim=6, hidden_dim=5, hidden_layers=3, units=4).double()
    network.initialize(torch.Generator().manual_seed(0))
    latent = draw(3, 6, seed=1)
    film = network(latent)
    for b in range(3):
        h = latent[b]
        for layer in network.hidden:
            h = layer.weight @ h + layer.bias
            h = torch.where(h > 0, h, 0.2 * h)
        raw = network.output.weight @ h + network.output.bias
        torch.testing.assert_close(film.frequencies[b], 15 * raw[:4] + 30, atol=1e-12, rtol=0)
        torch.testing.assert_close(film.phases[b], raw[4:], atol=1e-12, rtol=0)


def test_truncation_moves_from_the_mean_to_the_person() -> None:
    film = FiLMParameters(draw(3, 4, seed=1), draw(3, 4, seed=2))
    mean = FiLMParameters(draw(1, 4, seed=3), draw(1, 4, seed=4))
    whole, none, part = film.truncated(mean, 1.0), film.truncated(mean, 0.0), film.truncated(mean, 0.7)
    for name in ("frequencies", "phases"):
        person, average = getattr(film, name), getattr(mean, name)
        torch.testing.assert_close(getattr(whole, name), person)
        torch.testing.assert_close(getattr(none, name), average.expand(3, 4))
        torch.testing.assert_close(getattr(part, name), 0.7 * person + 0.3 * average)


@pytest.mark.parametrize(("first", "bound"), [(True, 1 / 64), (False, math.sqrt(6 / 64) / 25)])
def test_sine_layers_start_uniform_within_their_bound(first: bool, bound: float) -> None:
    """Of 64 * 512 draws the largest is within 0.1 % of the bound."""
    layer = FiLMLayer(64, 512)
    layer.initialize(torch.Generator().manual_seed(0), first=first)
    assert layer.linear.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert layer.linear.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_mapping_networks_start_kaiming_normal_with_a_quarter_in_the_last_layer() -> None:
    """The standard deviation of 512 * 512 draws is known within 1 %."""
    network = MappingNetwork(latent_dim=512, hidden_dim=512, hidden_layers=2, units=256)
    network.initialize(torch.Generator().manual_seed(0))
    deviation = math.sqrt(2 / (1 + 0.2**2) / 512)
    assert network.hidden[0].weight.std().item() == pytest.approx(deviation, rel=0.01)
    assert network.output.weight.std().item() == pytest.approx(deviation / 4, rel=0.01)


def test_binding_is_differentiable() -> None:
    layer = FiLMLayer(2, 3).double()
    layer.initialize(torch.Generator().manual_seed(0), first=True)
    inputs = [draw(1, 2, 2, seed=1), 5 * draw(1, 3, seed=2), draw(1, 3, seed=3)]
    assert torch.autograd.gradcheck(
        lambda x, frequency, phase: layer.bind(frequency, phase)(x),
        [value.requires_grad_() for value in inputs],
    )
