"""A baked person with feature planes looks as the networks' renderer draws it."""

import pytest
import torch
from torch import Tensor

from anifacegan.avatars.baking.bake import bake
from anifacegan.avatars.baking.from_model import person_condition
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.numba_fields import NumbaTemplate, with_numba_fields
from anifacegan.rendering.model import Model
from tests.fixtures.ball_people import SMALL_BAKE, charts, painted, person, psnr_to_adaptive, z_exp_rows
from tests.fixtures.small_models import WITH_PLANES, small_checkpoint, small_generator


@torch.inference_mode()
@pytest.mark.parametrize("yaw", [0.0, 0.5])
def test_the_colours_of_planes_are_baked(yaw: float) -> None:
    """On balls, whose opacity is a closed form: the small model's own opacity is that of a cloud."""
    rng = torch.Generator().manual_seed(1)
    latents = Latents(*(torch.randn(1, size, generator=rng) for size in (80, 64, 80)))
    fields = small_generator(WITH_PLANES).condition(latents)
    fast = with_numba_fields(fields).radiance
    assert isinstance(fast, NumbaTemplate)

    def radiance(x: Tensor) -> tuple[Tensor, Tensor]:
        return fast(x)[0], painted(x)[1]

    layered_mesh, _ = bake(person(radiance=radiance), z_exp_rows(), charts(), SMALL_BAKE)

    def by_pytorch(x: Tensor) -> tuple[Tensor, Tensor]:
        return fields.radiance(x)[0], painted(x)[1]

    assert psnr_to_adaptive(layered_mesh, person(radiance=by_pytorch), z_exp_rows(())[0], yaw=yaw) > 35


@torch.inference_mode()
def test_a_baked_persons_fields_are_the_generators_with_any_expression() -> None:
    """All but the deformation is bound once for a person."""
    model = Model(small_checkpoint(config=WITH_PLANES))
    generator = model.generator
    generator.set_truncation_mean(torch.Generator().manual_seed(2), 8)
    rng = torch.Generator().manual_seed(1)
    z_id, z_exp, z_noise = (torch.randn(1, size, generator=rng) for size in (80, 64, 80))
    condition = person_condition(model, (z_id, z_noise), 0.6)
    x = 0.05 * torch.randn(1, 30, 3, generator=rng)
    for strength in (1.0, 0.0):
        found = condition(strength * z_exp[0].numpy())
        expected = generator.condition(Latents(z_id, strength * z_exp, z_noise), 0.6)
        for ours, theirs in (
            (found.offset(x), expected.offset(x)),
            (found.deformation(x), expected.deformation(x)),
            (found.scalar(x), expected.scalar(x)),
            (
                torch.cat([found.radiance(x)[0], found.radiance(x)[1][..., None]], -1),
                torch.cat([expected.radiance(x)[0], expected.radiance(x)[1][..., None]], -1),
            ),
        ):
            torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-4)
