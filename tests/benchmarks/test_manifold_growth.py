"""A grown model shows the same people; only its networks are larger."""

import dataclasses

import pytest
import torch

from anifacegan.geometry.rays import image_rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import (
    DeformationConfig,
    GeneratorConfig,
    ManifoldConfig,
    TemplateConfig,
)
from anifacegan.models.generator import Generator
from anifacegan.rendering.volume import render_rays
from benchmarks.manifold_growth import grown_generator
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.small_models import SMALL, SMALL_ALIGNMENT, small_generator, with_random_offsets

LARGE = GeneratorConfig(
    template=TemplateConfig(hidden_dim=12, layers=5, mapping_dim=32),
    deformation=DeformationConfig(hidden_dim=16, layers=3),
    manifolds=ManifoldConfig(hidden_dim=24, count=6),
    ray_sampling=SMALL.ray_sampling,
)


def seen(generator: Generator, psi: float) -> torch.Tensor:
    rng = torch.Generator().manual_seed(4)
    z_id, z_noise = generator.sample_people([rng])
    latents = Latents(z_id, torch.randn(1, 64, generator=rng), z_noise)
    rays = image_rays(yaw=torch.tensor([0.3]), pitch=torch.tensor([0.1]), size=12)
    return render_rays(generator.condition(latents, psi), rays).rgb


@torch.no_grad()
@pytest.mark.parametrize("layers", [3, 5])
@pytest.mark.parametrize("psi", [1.0, 0.6])
def test_a_grown_generator_shows_the_same_people(layers: int, psi: float) -> None:
    old = small_generator(dataclasses.replace(SMALL, alignment=SMALL_ALIGNMENT))
    with_random_offsets(old.alignment)
    old.template.latent_scale.fill_(0.7)
    full = dataclasses.replace(LARGE, template=dataclasses.replace(LARGE.template, layers=layers))
    new = grown_generator(old, torch.Generator().manual_seed(1), full)
    assert seen(old, psi).std() > 0.02
    torch.testing.assert_close(seen(new, psi), seen(old, psi), atol=1e-3, rtol=0)
    assert new.config.template.hidden_dim == 12 and len(new.template.layers) == layers
    assert new.config.deformation.hidden_dim == 16 and new.config.manifolds.hidden_dim == 24
    assert new.template.layers[1].linear.weight[8:].abs().min() > 0, "the new units have weights of their own"


def test_more_manifolds_lie_between_the_old_ones() -> None:
    full = dataclasses.replace(LARGE, manifolds=ManifoldConfig(hidden_dim=24, count=11))
    new = grown_generator(small_generator(), torch.Generator().manual_seed(1), full)
    torch.testing.assert_close(new.manifolds.levels[::2], small_generator().manifolds.levels)
    assert len(new.manifolds.levels) == 11 and (new.manifolds.levels.diff() < 0).all()


def test_a_model_that_does_not_fit_is_refused() -> None:
    rng = torch.Generator().manual_seed(1)
    narrow = dataclasses.replace(LARGE, template=TemplateConfig(hidden_dim=4, layers=5))
    assert_one_line(
        lambda: grown_generator(small_generator(), rng, narrow), "template of 3 layers of 8 units", "of 4"
    )
    deep = dataclasses.replace(LARGE, deformation=DeformationConfig(hidden_dim=16, layers=4))
    assert_one_line(lambda: grown_generator(small_generator(), rng, deep), "deformation", "4 layers of 16")
