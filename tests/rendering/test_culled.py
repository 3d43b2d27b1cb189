"""Culling points that no light reaches changes neither the image nor its gradient noticeably."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.intersection import fraction_between
from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import GeneratorConfig
from anifacegan.models.generator import ConditionedFields, Generator
from anifacegan.models.numba_fields import NumbaManifolds, NumbaOffsets, NumbaTemplate
from anifacegan.rendering.compositing import RayColours
from anifacegan.rendering.culled import INVISIBLE, render_culled
from anifacegan.rendering.volume import render_rays
from anifacegan.training.adversarial_gradients import condition_for_template
from tests.fixtures.small_models import WITH_PLANES, small_generator, with_random_offsets
from tests.fixtures.tiny_training_set import GENERATOR

RAY_SAMPLING = RaySamplingConfig(near=0.8, far=1.2, samples=48)


def onion(opacity: float, counted: list[int]) -> ConditionedFields:
    """Concentric spheres about the origin, all of one opacity, coloured by position."""

    def radiance(x):
        counted.append(x.shape[1])
        rgb = torch.sin(40 * x) * 0.5 + 0.5
        return rgb, torch.full(x.shape[:2], opacity)

    return ConditionedFields(
        offset=torch.zeros_like,
        scalar=lambda x: x.norm(dim=-1),
        radiance=radiance,
        levels=torch.linspace(0.1, 0.01, 10),
        ray_sampling=RAY_SAMPLING,
    )


def views(opacity: float):
    rays = image_rays(yaw=torch.tensor([-0.2]), pitch=torch.tensor([0.1]), size=17)
    counts: tuple[list[int], list[int]] = ([], [])
    complete = render_rays(onion(opacity, counts[0]), rays)
    with torch.no_grad():
        quick = render_culled(onion(opacity, counts[1]), rays)
    return complete, quick, sum(counts[0]), sum(counts[1])


def test_culling_changes_an_image_by_less_than_the_lost_light():
    for opacity in (0.03, 0.5, 0.98, 1.0):
        complete, quick, _, _ = views(opacity)
        assert (complete.rgb - quick.rgb).abs().max() <= 1.1 * INVISIBLE, opacity
        assert (complete.foreground - quick.foreground).abs().max() <= 1.1 * INVISIBLE, opacity
        assert (complete.depth - quick.depth).abs().max() <= 1.1 * INVISIBLE, opacity


def test_all_crossings_of_transparent_manifolds_are_evaluated():
    complete, quick, _, shaded = views(0.03)
    assert torch.equal(complete.hit, quick.hit)
    assert shaded == int(complete.hit.sum())
    torch.testing.assert_close(quick.rgb, complete.rgb)


def test_nothing_behind_an_opaque_manifold_is_evaluated():
    complete, _, everything, shaded = views(1.0)
    foreground = complete.hit[0, :, :-1].any(dim=-1)
    assert shaded < everything / 2
    assert shaded <= 3 * int(foreground.sum()) + int((~foreground).sum())


# ----------------------------------------------------------------------------------------------------- gradients
Conditioning = Callable[[Generator], Callable[[Latents], ConditionedFields]]


def all_fields(model: Generator) -> Callable[[Latents], ConditionedFields]:
    return model.condition


def gradients(
    render: Callable[[ConditionedFields, Rays], RayColours],
    model: Generator,
    learning: Conditioning,
    rays: Rays,
) -> dict[str, Tensor]:
    """Gradient of a sum over all outputs that losses use, with respect to every weight; 0 for unused ones."""
    rng = torch.Generator().manual_seed(3)
    latents = Latents(*(torch.randn(1, size, generator=rng).to(rays.origins) for size in (80, 64, 80)))
    seen = render(learning(model)(latents), rays)
    surface = (seen.weights[..., None] * seen.x_target).sum(dim=2)  # as the geometry term's
    total = (3 * seen.rgb).sin().sum() + (9 * surface).cos().sum() + seen.depth.square().sum()
    model.zero_grad()
    total.backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}


def model_of(dtype: torch.dtype, config: GeneratorConfig) -> Generator:
    """Everything is transparent, so nothing is skipped; the deformation moves and the alignment is not zero."""
    model = small_generator(config)
    if model.alignment is not None:
        with_random_offsets(model.alignment)
    model = model.to(dtype)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith("deformation.head"):
                weight.add_(
                    0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(5)).to(dtype)
                )
    return model


@pytest.mark.parametrize("config", [GENERATOR, WITH_PLANES], ids=["paper", "planes"])
@pytest.mark.parametrize("learning", [all_fields, condition_for_template])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_gradient_is_that_of_render_rays(
    dtype: torch.dtype, learning: Conditioning, config: GeneratorConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numba fields find the visible points, in full precision; in float64, which they do not support, PyTorch fields
    do."""
    fast = []
    for kind in (NumbaOffsets, NumbaManifolds, NumbaTemplate):
        real = kind.__call__
        monkeypatch.setattr(
            kind, "__call__", lambda self, x, kind=kind, real=real: fast.append(kind) or real(self, x)
        )
    number = torch.float64 if dtype == torch.float64 else torch.float32
    pitch, yaw = torch.tensor([[0.1], [-0.3]], dtype=number)
    rays = image_rays(yaw=yaw, pitch=pitch, size=12, fov_deg=GENERATOR.ray_sampling.fov_deg)
    model, found = model_of(number, config), []
    for render in (render_rays, render_culled):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            found.append(gradients(render, model, learning, rays))
    whole, quick = found
    assert set(fast) == (set() if dtype == torch.float64 else {NumbaOffsets, NumbaManifolds, NumbaTemplate})
    taught = {name.partition(".")[0] for name, gradient in whole.items() if gradient.abs().max() > 0}
    every = {"template", "deformation", "manifolds"}
    assert taught == (every if learning is all_fields else {"template", "manifolds"})
    tolerance = {torch.float64: 1e-9, torch.float32: 2e-3, torch.bfloat16: 0.3}[dtype]
    for name, expected in whole.items():
        difference = (quick[name] - expected).norm()
        assert difference <= tolerance * expected.norm(), name


def test_a_crossing_lies_between_its_samples() -> None:
    """If rounding moves the level outside the two evaluated again, the crossing is at one of them."""
    s_near, s_far = torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 1.0 - 6e-8, 2.0])
    level = torch.tensor([0.25, 0.5, 0.999, 1.5])
    assert fraction_between(s_near, s_far, level).tolist() == [0.75, 0.0, 1.0, 0.0]
