"""Points that no light reaches are skipped; neither the picture nor its gradient must show it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from anifacegan.march import MarchConfig
from anifacegan.models.generator import Avatar, Generator, RayColours, render_rays
from anifacegan.models.latents import Latents
from anifacegan.rays import Rays, image_rays
from anifacegan.visible_renderer import INVISIBLE, render_visible
from tests.small_models import small_generator
from tests.tiny_training_set import GENERATOR

MARCH = MarchConfig(near=0.8, far=1.2, samples=48)


def onion(opacity: float, counted: list[int]) -> Avatar:
    """Concentric spheres about the origin, all of one opacity, coloured by position."""

    def radiance(x):
        counted.append(x.shape[1])
        rgb = torch.sin(40 * x) * 0.5 + 0.5
        return rgb, torch.full(x.shape[:2], opacity)

    return Avatar(
        offset=torch.zeros_like,
        level=lambda x: x.norm(dim=-1),
        radiance=radiance,
        levels=torch.linspace(0.1, 0.01, 10),
        march=MARCH,
    )


def views(opacity: float):
    rays = image_rays(torch.tensor([0.1]), torch.tensor([-0.2]), 17)
    counts: tuple[list[int], list[int]] = ([], [])
    complete = render_rays(onion(opacity, counts[0]), rays)
    with torch.no_grad():
        quick = render_visible(onion(opacity, counts[1]), rays)
    return complete, quick, sum(counts[0]), sum(counts[1])


def test_skipping_changes_a_picture_by_less_than_the_lost_light():
    for opacity in (0.03, 0.5, 0.98, 1.0):
        complete, quick, _, _ = views(opacity)
        assert (complete.rgb - quick.rgb).abs().max() <= 1.1 * INVISIBLE, opacity
        assert (complete.foreground - quick.foreground).abs().max() <= 1.1 * INVISIBLE, opacity
        assert (complete.depth - quick.depth).abs().max() <= 1.1 * INVISIBLE, opacity


def test_transparent_sheets_are_all_shaded_where_they_exist():
    complete, quick, _, shaded = views(0.03)
    assert torch.equal(complete.hit, quick.hit)
    assert shaded == int(complete.hit.sum())
    torch.testing.assert_close(quick.rgb, complete.rgb)


def test_behind_an_opaque_sheet_nothing_is_shaded():
    complete, _, everything, shaded = views(1.0)
    foreground = complete.hit[0, :, :-1].any(dim=-1)
    assert shaded < everything / 2
    assert shaded <= 3 * int(foreground.sum()) + int((~foreground).sum())


# ----------------------------------------------------------------------------------------------------- gradients
def gradients(render: Callable[[Avatar, Rays], RayColours], model: Generator, rays: Rays) -> dict[str, Tensor]:
    """Of a sum over everything that terms look at, with respect to every weight; 0 for those that have no part."""
    rng = torch.Generator().manual_seed(3)
    latents = Latents(*(torch.randn(1, size, generator=rng).to(rays.origins) for size in (80, 64, 80)))
    seen = render(model.condition(latents), rays)
    shown = (seen.weights[..., None] * seen.x_target).sum(dim=2)       # as the geometry term's
    total = (3 * seen.rgb).sin().sum() + (9 * shown).cos().sum() + seen.depth.square().sum()
    model.zero_grad()
    total.backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}


def model_of(dtype: torch.dtype) -> Generator:
    """Everything is transparent, so nothing is skipped; the deformation moves and the alignment is not zero."""
    model = small_generator(GENERATOR).to(dtype)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith(("deformation.head", "alignment")):
                weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(5)).to(dtype))
    return model


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-3)])
def test_the_gradient_is_that_of_marching_with_gradients(dtype: torch.dtype, tolerance: float) -> None:
    """In float64 no fast field takes part; in float32 all do."""
    angles = torch.tensor([0.1], dtype=dtype), torch.tensor([-0.3], dtype=dtype)
    rays = image_rays(*angles, 12, GENERATOR.march.fov_deg)
    model = model_of(dtype)
    whole, quick = gradients(render_rays, model, rays), gradients(render_visible, model, rays)
    learning = {name.partition(".")[0] for name, gradient in whole.items() if gradient.abs().max() > 0}
    assert learning == {"template", "deformation", "manifolds", "alignment"}
    for name, expected in whole.items():
        difference = (quick[name] - expected).abs().max()
        assert difference <= tolerance * expected.abs().max(), name


def test_fields_without_gradients_get_none() -> None:
    """As where the template alone learns."""
    rays = image_rays(torch.tensor([0.1]), torch.tensor([-0.3]), 6, GENERATOR.march.fov_deg)
    model = model_of(torch.float32)
    model.deformation.requires_grad_(False), model.manifolds.requires_grad_(False)
    found = gradients(render_visible, model, rays)
    learning = {name.partition(".")[0] for name, gradient in found.items() if gradient.abs().max() > 0}
    assert learning == {"template", "alignment"}
