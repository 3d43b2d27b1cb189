"""The generator: networks conditioned on latents, truncation, and people from seeds."""

import dataclasses

import torch

from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import GeneratorConfig, ManifoldConfig
from anifacegan.models.generator import Generator
from anifacegan.rendering.compositing import RayColours
from anifacegan.rendering.volume import render_rays
from tests.fixtures.closed_forms import TINY, assert_same_colours, camera_rays, draw, numbers
from tests.fixtures.small_models import SMALL, small_generator


def small_latents(count: int) -> Latents:
    return Latents(draw(count, 80, seed=4), draw(count, 64, seed=5), draw(count, 80, seed=6))


def seen(generator: Generator, latents: Latents, rays: Rays, psi: float = 1.0) -> RayColours:
    return render_rays(generator.condition(latents, psi), rays)


def test_initializing_draws_every_number_from_the_given_generator() -> None:
    torch.manual_seed(1)
    one = Generator(SMALL)
    torch.manual_seed(2)
    other = Generator(SMALL)
    before = torch.get_rng_state()
    one.initialize(torch.Generator().manual_seed(0))
    other.initialize(torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_conditioned_fields_are_the_networks_and_the_configuration() -> None:
    """The deformation gets identity and expression, the template identity and noise."""
    config = dataclasses.replace(
        SMALL, radiance_offset_gain=3.0, ray_sampling=RaySamplingConfig(near=0.9, samples=9)
    )
    generator, latents, x = small_generator(config).double(), small_latents(2), 0.1 * draw(2, 6, 3, seed=7)
    fields = generator.condition(latents)
    assert (fields.ray_sampling, fields.radiance_offset_gain) == (config.ray_sampling, 3.0)
    assert torch.equal(fields.levels, generator.manifolds.levels)
    torch.testing.assert_close(fields.offset(x), generator.deformation.bind(latents.z_id, latents.z_exp)(x))
    torch.testing.assert_close(fields.scalar(x), generator.manifolds(x))
    expected = generator.template.bind(generator.template.film_parameters(latents.z_id, latents.z_noise))(x)
    torch.testing.assert_close(fields.radiance(x), expected)


def test_expressions_change_nothing_before_training() -> None:
    generator = Generator(SMALL).initialize(torch.Generator().manual_seed(0)).double()
    latents, rays = small_latents(1), camera_rays()
    neutral = Latents(latents.z_id, torch.zeros(1, 64).double(), latents.z_noise)
    assert_same_colours(seen(generator, latents, rays), seen(generator, neutral, rays), atol=0)


def test_a_constant_offset_moves_the_face_by_as_many_world_units() -> None:
    """The last layer's bias is the offset; the background does not move."""
    config = dataclasses.replace(SMALL, manifolds=ManifoldConfig(hidden_dim=512, count=5))
    generator = Generator(config).initialize(torch.Generator().manual_seed(0)).double()
    step, latents, rays = numbers(0.011, -0.007, 0.0), small_latents(1), camera_rays(yaw=0.2, pitch=0.1)
    with torch.no_grad():
        template = seen(generator, latents, Rays(rays.origins + step, rays.directions))
        generator.deformation.head.bias.copy_(step)
        moved = seen(generator, latents, rays)
    assert template.hit[..., :-1].any() and template.foreground.max() > 0.05
    for name in ("t", "weights", "foreground", "foreground_rgb"):
        torch.testing.assert_close(getattr(moved, name), getattr(template, name), atol=TINY, rtol=0)


def test_a_batch_of_faces_equals_one_by_one() -> None:
    """People, expressions and poses, all different."""
    generator, latents = small_generator().double(), small_latents(3)
    pitch, yaw = numbers(0.0, 0.2, -0.3), numbers(0.5, 0.0, -0.4)
    together = seen(generator, latents, image_rays(yaw=yaw, pitch=pitch, size=5), psi=0.7)
    for k in range(3):
        part = slice(k, k + 1)
        alone = seen(generator, latents[part], image_rays(yaw=yaw[part], pitch=pitch[part], size=5), psi=0.7)
        one = {f.name: getattr(together, f.name)[part] for f in dataclasses.fields(RayColours)}
        assert_same_colours(RayColours(**one), alone, atol=1e-10)


def test_psi_1_changes_nothing() -> None:
    generator, latents, x = small_generator().double(), small_latents(2), 0.1 * draw(2, 6, 3, seed=7)
    film = generator.template.film_parameters(latents.z_id, latents.z_noise)
    rgb, alpha = generator.condition(latents, psi=1.0).radiance(x)
    expected_rgb, expected_alpha = generator.template.bind(film)(x)
    assert torch.equal(rgb, expected_rgb) and torch.equal(alpha, expected_alpha)


def test_psi_0_gives_everyone_the_mean_appearance_and_keeps_the_shape() -> None:
    generator, latents = small_generator().double(), small_latents(2)
    x = (0.1 * draw(1, 6, 3, seed=7)).expand(2, 6, 3)
    fields = generator.condition(latents, psi=0.0)
    rgb, alpha = fields.radiance(x)
    torch.testing.assert_close(rgb[0], rgb[1])
    torch.testing.assert_close(alpha[0], alpha[1])
    assert not torch.allclose(generator.condition(latents, psi=1.0).radiance(x)[0][0], rgb[0])
    torch.testing.assert_close(fields.offset(x), generator.condition(latents, psi=1.0).offset(x))


def test_the_truncation_mean_is_the_mean_of_random_people_s_film_parameters() -> None:
    """The same people drawn again by the test: identities decoded from the prior, noise N(0, I)."""
    generator = small_generator()
    generator.set_truncation_mean(torch.Generator().manual_seed(8), count=6)
    rng = torch.Generator().manual_seed(8)
    z_id = generator.identity_prior.decode(torch.randn(6, 8, generator=rng))
    film = generator.template.film_parameters(z_id, torch.randn(6, 80, generator=rng))
    for mean, values in (
        (generator.mean_frequencies, film.frequencies),
        (generator.mean_phases, film.phases),
    ):
        torch.testing.assert_close(mean[0], sum(values[k] for k in range(6)) / 6)


def test_the_same_seed_is_the_same_person_alone_or_in_a_batch() -> None:
    generator = Generator(GeneratorConfig(template=SMALL.template, deformation=SMALL.deformation))
    generator.initialize(torch.Generator().manual_seed(0))
    z_id, z_noise = generator.sample_people([torch.Generator().manual_seed(seed) for seed in (5, 6, 7, 8, 9)])
    assert z_id.shape == z_noise.shape == (5, 80)
    for k, seed in enumerate((5, 6, 7, 8, 9)):
        alone_id, alone_noise = generator.sample_people([torch.Generator().manual_seed(seed)])
        assert torch.equal(z_id[k], alone_id[0]) and torch.equal(z_noise[k], alone_noise[0])
    assert not torch.allclose(z_id[0], z_id[1]) and not torch.allclose(z_noise[0], z_noise[1])


def test_people_are_drawn_from_the_priors() -> None:
    """z_noise is N(0, I): of 100 * 80 draws the mean is within 0.04 and the deviation within 0.03; z_id is decoded."""
    generator = Generator(SMALL).initialize(torch.Generator().manual_seed(0))
    z_id, z_noise = generator.sample_people([torch.Generator().manual_seed(seed) for seed in range(100)])
    assert abs(z_noise.mean().item()) < 0.04 and abs(z_noise.std().item() - 1) < 0.03
    first = torch.randn(8 + 80, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(z_id[:1], generator.identity_prior.decode(first[None, :8]))
