"""Template radiance field against its formula, evaluated layer by layer and point by point."""

import math

import pytest
import torch
from torch import Tensor

from anifacegan.models.config import TemplateConfig
from anifacegan.models.siren import BoundFiLMLayer, FiLMParameters
from anifacegan.models.template import VIEW_DIRECTION, TemplateField, _lock_direction, alpha_from_sigma

SMALL = TemplateConfig(hidden_dim=6, layers=4, mapping_dim=5, mapping_layers=2)
WIDTH, LAYERS = 6, 4


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def field(config: TemplateConfig = SMALL) -> TemplateField:
    """A field with heads large enough that every term shows."""
    template = TemplateField(config).double()
    template.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for k, head in enumerate([*template.sigma_heads, *template.rgb_heads]):
            head.weight.copy_(draw(*head.weight.shape, seed=10 + k))
    return template


FRONTAL = (0.0, 0.0, -1.0)


def slow_radiance(
    template: TemplateField, film: FiLMParameters, x: Tensor, gain: float, direction: Tensor
) -> tuple[Tensor, Tensor]:
    """rgb (3,) and alpha of one point (3,), seen in a direction (3,), for one person's FiLM parameters."""

    def sine(layer: torch.nn.Module, block: int, h: Tensor) -> Tensor:
        units = slice(block * WIDTH, (block + 1) * WIDTH)
        linear = layer.linear.weight @ h + layer.linear.bias
        return (film.frequencies[0, units] * linear + film.phases[0, units]).sin()

    h = sine(template.layers[0], 0, x / 0.12)
    sigma, rgb = numbers(0), numbers(0, 0, 0)
    for layer in range(2, LAYERS + 1):  # GRAM's layers 2 .. last
        h = sine(template.layers[layer - 1], layer - 1, h)
        sigma = sigma + template.sigma_heads[layer - 2].weight @ h + template.sigma_heads[layer - 2].bias
        seen = h
        if layer == LAYERS:
            seen = sine(template.colour_layer, LAYERS, torch.cat([direction, h]))
        rgb = rgb + template.rgb_heads[layer - 2].weight @ seen + template.rgb_heads[layer - 2].bias
    softplus = math.log1p(math.exp(gain * sigma.item()))
    return rgb.sigmoid() * (1 + 2e-3) - 1e-3, numbers(1 - math.exp(-0.04 * softplus))[0]


@pytest.mark.parametrize("gain", [1.0, 30.0])
def test_radiance_is_the_sum_of_the_heads_of_all_layers_but_the_first(gain: float) -> None:
    template = field(TemplateConfig(WIDTH, LAYERS, mapping_dim=5, mapping_layers=2, sigma_gain=gain))
    z_id, z_noise, x = draw(2, 80, seed=1), draw(2, 80, seed=2), 0.1 * draw(2, 7, 3, seed=3)
    film = template.film_parameters(z_id, z_noise)
    rgb, alpha = template.bind(film)(x)
    for b in range(2):
        person = FiLMParameters(film.frequencies[b : b + 1], film.phases[b : b + 1])
        for n in range(7):
            slow_rgb, slow_alpha = slow_radiance(template, person, x[b, n], gain, numbers(*FRONTAL))
            torch.testing.assert_close(rgb[b, n], slow_rgb, atol=1e-10, rtol=0)
            torch.testing.assert_close(alpha[b, n], slow_alpha, atol=1e-10, rtol=0)


def test_colours_depend_on_the_view_direction_where_points_are_given_one() -> None:
    template = field()
    film = template.film_parameters(draw(1, 80, seed=1), draw(1, 80, seed=2))
    x = 0.1 * draw(1, 5, 3, seed=3)
    direction = torch.nn.functional.normalize(draw(1, 5, 3, seed=4), dim=-1)
    bound = template.bind(film)
    rgb, alpha = bound(x, direction)
    for n in range(5):
        slow_rgb, slow_alpha = slow_radiance(template, film, x[0, n], 1.0, direction[0, n])
        torch.testing.assert_close(rgb[0, n], slow_rgb, atol=1e-10, rtol=0)
        torch.testing.assert_close(alpha[0, n], slow_alpha, atol=1e-10, rtol=0)
    for of_frontal, locked in zip(bound(x, numbers(*FRONTAL).expand_as(x)), bound(x), strict=True):
        torch.testing.assert_close(of_frontal, locked, atol=1e-12, rtol=0)


def test_film_parameters_are_mapped_from_identity_and_then_noise() -> None:
    template = field()
    z_id, z_noise = draw(2, 80, seed=1), draw(2, 80, seed=2)
    film, expected = (
        template.film_parameters(z_id, z_noise),
        template.mapping(torch.cat([z_id, z_noise], dim=1)),
    )
    assert torch.equal(film.frequencies, expected.frequencies) and torch.equal(film.phases, expected.phases)


def test_full_size_has_4608_film_outputs() -> None:
    """Nine blocks of 256 frequencies, and as many phases."""
    assert 2 * TemplateConfig().units == 4608


@pytest.mark.parametrize(("bias", "colour"), [(40.0, 1.001), (-40.0, -0.001)])
def test_colours_reach_a_thousandth_beyond_black_and_white(bias: float, colour: float) -> None:
    template = field()
    torch.nn.init.constant_(template.rgb_heads[0].bias, bias)
    rgb, _ = template.bind(template.film_parameters(draw(1, 80, seed=1), draw(1, 80, seed=2)))(
        0.1 * draw(1, 5, 3, seed=3)
    )
    torch.testing.assert_close(rgb, torch.full((1, 5, 3), colour).double(), atol=1e-6, rtol=0)


def test_a_fresh_head_is_almost_transparent() -> None:
    """Sigma near 0: opacity 1 - exp(-0.04 ln 2) = 0.027 for each manifold."""
    template = TemplateField(TemplateConfig(hidden_dim=64))
    template.initialize(torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        film = template.film_parameters(torch.randn(1, 80, generator=rng), torch.randn(1, 80, generator=rng))
        _, alpha = template.bind(film)(0.2 * torch.rand(1, 100, 3, generator=rng) - 0.1)
    assert alpha.mean().item() == pytest.approx(1 - 2**-0.04, abs=0.01)


def test_heads_start_uniform_within_the_sine_bound() -> None:
    """Of 3 * 256 * 7 draws the largest is within 1 % of the bound."""
    template = TemplateField(TemplateConfig())
    template.initialize(torch.Generator().manual_seed(0))
    largest = max(head.weight.abs().max().item() for head in template.rgb_heads)
    assert largest == pytest.approx(math.sqrt(6 / 256) / 25, rel=0.01)


def test_a_template_needs_two_layers() -> None:
    with pytest.raises(ValueError, match="layers"):
        TemplateConfig(layers=1)


@pytest.mark.parametrize("sigma", [-3.0, 0.0, 2.0, 50.0])
def test_opacity_is_one_minus_exp_of_softplus(sigma: float) -> None:
    expected = 1 - math.exp(-0.04 * math.log1p(math.exp(sigma)))
    assert alpha_from_sigma(torch.tensor(sigma, dtype=torch.float64)).item() == pytest.approx(
        expected, rel=1e-9
    )


def test_small_opacities_keep_their_digits() -> None:
    """1 - exp(-a) loses everything below 6e-8 in float32."""
    assert alpha_from_sigma(torch.tensor(-20.0)).item() == pytest.approx(0.04 * math.exp(-20), rel=1e-4)


def test_the_locked_direction_is_folded_in_exactly_as_the_product_with_it() -> None:
    """Which is a column of the weights with its sign changed, and no copy of a constant to a GPU."""
    layer = BoundFiLMLayer(*(torch.randn(shape) for shape in ((5, 9), (2, 5), (2, 5))))
    locked = _lock_direction(layer)
    product = layer.linear[:, :3] @ torch.tensor(VIEW_DIRECTION)
    assert torch.equal(locked.shift, layer.shift + layer.frequency * product)
