"""A baked person with feature planes looks as the networks' renderer draws it."""

import pytest
import torch
from torch import Tensor

from anifacegan.avatars.baking.bake import bake
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.numba_fields import NumbaTemplate, with_numba_fields
from tests.fixtures.ball_people import SMALL_BAKE, charts, painted, person, psnr_to_adaptive, z_exp_rows
from tests.fixtures.small_models import WITH_PLANES, small_generator


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
