"""The shading field changes colours with the expression, and nothing else."""

import dataclasses

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.conventions import BACKGROUND_Z, EXP_DIM
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields, Generator
from anifacegan.models.numba_fields import NumbaShading, with_numba_fields
from anifacegan.models.shading import BoundShading
from anifacegan.models.shading_config import ShadingConfig
from anifacegan.runtime.errors import ConfigError
from tests.fixtures.small_models import SMALL, WITH_PLANES, small_generator

SHADING = ShadingConfig(hidden_dim=8, layers=2, mapping_dim=8, mapping_layers=1)
SHADED = dataclasses.replace(SMALL, shading=SHADING)


def shaded_generator(config=SHADED) -> Generator:
    """Weights under which expressions change colours by tenths, with another template than the neutral face."""
    generator, rng = small_generator(config), torch.Generator().manual_seed(3)
    with torch.no_grad():
        generator.shading.head.weight.normal_(0, 1.0, generator=rng)
        generator.shading.expression_head.weight.normal_(0, 3.0, generator=rng)
        generator.shading.template_exp.normal_(0, 0.3, generator=rng)
    return generator


def latents(people: int = 1) -> Latents:
    rng = torch.Generator().manual_seed(2)
    return Latents(*(torch.randn(people, size, generator=rng) for size in (80, 64, 80)))


def points(count: int = 50, people: int = 1) -> Tensor:
    """Points of the head, where nothing fades out."""
    rng = torch.Generator().manual_seed(4)
    x = 0.16 * torch.rand(people, count, 3, generator=rng) - 0.08
    return x


def logarithm(fields: ConditionedFields, x: Tensor) -> Tensor:
    return fields.shading(x).log()


@torch.no_grad()
def test_colours_are_multiplied_and_opacities_are_not() -> None:
    generator, people, x = shaded_generator(), latents(2), points(people=2)
    fields = generator.condition(people)
    rgb, alpha = fields.radiance(x)
    film = generator.template.film_parameters(people.z_id, people.z_noise)
    plain_rgb, plain_alpha = generator.template.bind(film)(x)
    factor = fields.shading(x)
    assert (factor.log().abs() > 0.05).float().mean() > 0.5  # it does something
    torch.testing.assert_close(rgb, plain_rgb * factor, rtol=0, atol=0)
    assert torch.equal(alpha, plain_alpha)


@torch.no_grad()
def test_the_templates_own_expression_has_the_templates_colours() -> None:
    generator, person = shaded_generator(), latents()
    own = dataclasses.replace(person, z_exp=generator.shading.template_exp[None])
    assert torch.equal(logarithm(generator.condition(own), points()), torch.zeros(1, 50, 1))


@torch.no_grad()
def test_an_untrained_field_changes_no_colour() -> None:
    fields = small_generator(SHADED).condition(latents())
    assert torch.equal(fields.shading(points()), torch.ones(1, 50, 1))
    assert small_generator(SMALL).condition(latents()).shading is None


@torch.no_grad()
def test_it_is_linear_in_weak_expressions_and_bounded_in_strong_ones() -> None:
    generator, person, x = shaded_generator(), latents(), points()
    rest = generator.shading.template_exp[None]
    step = torch.randn(1, EXP_DIM, generator=torch.Generator().manual_seed(6))

    def at(strength: float) -> Tensor:
        return logarithm(generator.condition(dataclasses.replace(person, z_exp=rest + strength * step)), x)

    once, thrice = at(1e-3), at(3e-3)
    assert once.abs().max() > 1e-5
    # frequencies change by up to 15 * 3e-3 * the mapping network's slope; exp and log are rounded by 2^-23
    torch.testing.assert_close(thrice, 3 * once, rtol=0.05, atol=8 * 2**-23)
    strong = at(1e4)
    assert strong.abs().max() <= SHADING.bound * (1 + 1e-6) and strong.abs().max() > 0.99 * SHADING.bound


@torch.no_grad()
def test_the_background_keeps_its_colour() -> None:
    fields, x = shaded_generator().condition(latents()), points()
    x[..., 2] = BACKGROUND_Z
    assert torch.equal(fields.shading(x), torch.ones(1, 50, 1))
    behind, before = SHADING.fade_z
    middle, full = x.clone(), x.clone()
    middle[..., 2], full[..., 2] = (behind + before) / 2, before
    ratio = logarithm(fields, middle).abs().mean() / logarithm(fields, full).abs().mean()
    assert 0.3 < ratio < 0.7  # half of it, but for the centimetre between the points


@torch.no_grad()
@pytest.mark.parametrize("latent", ["z_id", "z_noise", "z_exp"])
def test_it_depends_on_person_light_and_expression(latent: str) -> None:
    generator, person, x = shaded_generator(), latents(), points()
    other = dataclasses.replace(person, **{latent: getattr(person, latent).flip(-1)})
    one, two = (logarithm(generator.condition(of), x) for of in (person, other))
    assert (one - two).abs().max() > 0.01


@torch.no_grad()
@pytest.mark.parametrize("config", [SHADED, dataclasses.replace(WITH_PLANES, shading=SHADING)])
def test_the_compiled_field_is_the_same_function(config) -> None:
    fields = shaded_generator(config).condition(latents())
    fast = with_numba_fields(fields)
    assert isinstance(fields.shading, BoundShading) and isinstance(fast.shading, NumbaShading)
    x = points(1000)
    # logarithms: arguments of two layers of sines are up to 36, rounded by 36 * 2^-24 each
    torch.testing.assert_close(logarithm(fast, x), logarithm(fields, x), rtol=0, atol=5 * 36 * 2**-24)


def test_every_weight_learns() -> None:
    generator, x = shaded_generator(), points()
    rgb, _ = generator.condition(latents()).radiance(x)
    rgb.square().sum().backward()
    assert all(weight.grad.abs().max() > 0 for weight in generator.shading.parameters())


@pytest.mark.parametrize(
    "changes, named",
    [({"bound": 0.0}, "bound"), ({"fade_z": (0.0, -0.1)}, "fade_z"), ({"hidden_dim": 0}, "hidden_dim"),
     ({"layers": 0}, "layers"), ({"bound": float("nan")}, "bound")],
)  # fmt: skip
def test_impossible_sizes_are_refused(changes: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        ShadingConfig(**changes)
