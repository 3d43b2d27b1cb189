"""The renderer of GPUs gives the adaptive renderer's image, and does not make the CPU wait; shown without a GPU."""

import pytest
import torch

from anifacegan.geometry.rays import image_rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import GeneratorConfig
from anifacegan.models.generator import Generator
from anifacegan.rendering import every_point
from anifacegan.rendering.adaptive import render_adaptive
from anifacegan.rendering.every_point import render_every_point
from anifacegan.rendering.model import Face, Model
from anifacegan.runtime.torch_internals import without_numbers
from tests.fixtures.pretended_gpu import GPU, pretended_gpu
from tests.fixtures.small_models import small_checkpoint


@torch.no_grad()
def test_it_is_the_adaptive_renderers_image(monkeypatch: pytest.MonkeyPatch) -> None:
    face = Model(small_checkpoint()).face(seed=7, expression="smile")
    yaw, pitch = torch.tensor([0.3]), torch.tensor([-0.1])
    rays = image_rays(yaw=yaw, pitch=pitch, size=48, fov_deg=12.0)
    whole = render_every_point(face.fields, rays)
    torch.testing.assert_close(
        whole.T.reshape(8, 48, 48)[:7], render_adaptive(face.fields, rays, 48)[:7], atol=0.6 / 255, rtol=0
    )
    assert whole[:, 3].max() > 0.02
    monkeypatch.setattr(every_point, "SLICE", 1000)
    torch.testing.assert_close(render_every_point(face.fields, rays), whole, atol=3e-4, rtol=0)


@pytest.mark.parametrize("antialias", [False, True])
def test_a_frame_of_the_papers_size_is_few_kernels_and_waits(antialias: bool) -> None:
    with pretended_gpu() as gpu, torch.no_grad():
        generator = without_numbers(lambda: Generator(GeneratorConfig()))
        latents = Latents(*(torch.zeros(1, dim, device=GPU) for dim in (80, 64, 80)))
        face = Face(generator.condition(latents), latents)
        gpu.clear()
        image = face.image(yaw=0.2, size=256, antialias=antialias)
    assert image.rgb.shape == (3, 256, 256) and image.rgb.device == GPU
    assert sum(gpu.waits.values()) <= 2, (
        gpu.waits
    )  # how many pixels are on edges, and whether all numbers are finite
    assert sum(gpu.copies.values()) <= 2, gpu.copies
    assert gpu.kernels < (
        4500 if antialias else 1000
    )  # here every pixel counts as one on an edge: 5 rays, not 1.13
