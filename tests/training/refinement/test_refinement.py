"""Refinement of a small model to one person: rays, inversion, fine-tuning, and what stays."""

import copy
import dataclasses
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.rays import pixel_rays
from anifacegan.models.checkpoints import load_checkpoint, rounded_as_stored, save_checkpoint
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import Generator
from anifacegan.rendering.volume import render_rays
from anifacegan.runtime.errors import ConfigError
from anifacegan.training.refinement.config import RefinementConfig
from anifacegan.training.refinement.refinement import inverted_appearance, losses, refine
from anifacegan.training.refinement.target_rays import TargetImage, TargetRays, target_rays
from tests.fixtures.small_models import PLANES, SMALL, WITH_PLANES, small_checkpoint, small_generator

SIZE = 20
HALF = dataclasses.replace(
    WITH_PLANES,
    template=dataclasses.replace(
        WITH_PLANES.template, planes=dataclasses.replace(PLANES, half_precision=True)
    ),
)
FEW = RefinementConfig(
    steps=60, inversion_steps=30, rays=160, lr_latents=0.1, lr_template=1e-3, lr_planes=1e-2
)


def latents(expression: float = 0.0, appearance: int = 1) -> Latents:
    """A person with an expression."""
    rng = torch.Generator().manual_seed(appearance)
    z_id = 0.3 * torch.randn(1, 80, generator=torch.Generator().manual_seed(5))
    return Latents(z_id, torch.full((1, 64), expression), torch.randn(1, 80, generator=rng))


def image_of(generator: Generator, person: Latents, yaw: float) -> TargetImage:
    """What a generator shows of a person, and the background alone."""
    fields = generator.condition(person)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    angles = {"yaw": torch.tensor([yaw]), "pitch": torch.zeros(1)}
    pixels = {"x_px": x.flatten()[None].float(), "y_px": y.flatten()[None].float()}
    with torch.no_grad():
        seen = render_rays(fields, pixel_rays(**angles, **pixels, size=SIZE, fov_deg=12.0))
        plane = fields.radiance(seen.x_template[:, :, -1])[0]
    return TargetImage(
        yaw=yaw,
        pitch=0.0,
        z_exp=person.z_exp,
        fov_deg=12.0,
        person=seen.foreground_rgb[0].reshape(SIZE, SIZE, 3),
        opacity=seen.foreground[0].reshape(SIZE, SIZE),
        background=plane[0].reshape(SIZE, SIZE, 3),
        background_known=torch.ones(SIZE, SIZE),
    )


def rays_of(generator: Generator, image: TargetImage, z_id: Tensor) -> TargetRays:
    with torch.no_grad():
        fields = generator.condition(Latents(z_id, image.z_exp, torch.zeros(1, 80)))
    return target_rays(fields, image, torch.ones(SIZE, SIZE, dtype=torch.bool))


def in_other_colours(image: TargetImage) -> TargetImage:
    """A photograph of somebody whom the generator does not know."""
    return dataclasses.replace(image, person=image.person[..., [2, 0, 1]])


@pytest.mark.parametrize("config", [SMALL, WITH_PLANES], ids=["plain", "planes, aligned manifolds"])
def test_the_rays_show_what_the_volume_renderer_shows(config: object) -> None:
    generator, person = small_generator(config), latents(0.4)  # type: ignore[arg-type]
    image = image_of(generator, person, 0.3)
    terms = losses(generator, person, rays_of(generator, image, person.z_id))
    for name, value in terms.items():
        assert value.item() < 1e-4, name
    other = losses(generator, latents(0.4, appearance=2), rays_of(generator, image, person.z_id))
    assert other["person"].item() > 0.01


def test_the_inversion_finds_an_appearance_like_the_image() -> None:
    generator, person = small_generator(WITH_PLANES).requires_grad_(False), latents()
    own = rays_of(generator, image_of(generator, person, 0.1), person.z_id)
    found = inverted_appearance(generator, person.z_id, own, FEW, torch.Generator().manual_seed(0))
    apart = [
        float(losses(generator, dataclasses.replace(person, z_noise=z), own)["person"])
        for z in (found, torch.zeros(1, 80))
    ]
    assert apart[0] < 0.6 * apart[1]


@cache
def refined(guided: bool, again: bool = False) -> tuple[Generator, Generator, Latents, list[float]]:
    """A generator before and after the refinement to a person of other colours; ``again`` makes it anew."""
    before, person = small_generator(WITH_PLANES).requires_grad_(False), latents()
    generator = copy.deepcopy(before)
    own = rays_of(before, in_other_colours(image_of(before, person, 0.1)), person.z_id)
    guide = None
    if guided:
        views = [image_of(before, dataclasses.replace(person, z_exp=z), yaw) for z, yaw in others()]
        guide = TargetRays.joined([rays_of(before, view, person.z_id) for view in views])
    rng = torch.Generator().manual_seed(0)
    history = refine(generator, (person.z_id, person.z_noise), own, guide, FEW, rng)
    return before, generator, person, history


def others() -> list[tuple[Tensor, float]]:
    """Expressions and views that the photograph does not show."""
    return [(torch.full((1, 64), 0.5), 0.1), (torch.zeros(1, 64), 0.8), (torch.zeros(1, 64), -0.7)]


def test_the_loss_falls_and_only_the_template_changes() -> None:
    before, after, _, history = refined(guided=False)
    assert sum(history[-5:]) < 0.65 * sum(history[:5])
    state = after.state_dict()
    changed = {name for name, value in before.state_dict().items() if not torch.equal(value, state[name])}
    assert {name.split(".")[0] for name in changed} == {
        "template", "mean_frequencies", "mean_phases", "mean_mix",
    }  # fmt: skip
    assert not any("mapping.hidden" in name or name.endswith("latent_scale") for name in changed)
    assert not any(weight.requires_grad for weight in after.parameters())


def test_guiding_images_keep_what_the_photograph_does_not_show() -> None:
    apart = []
    for guided in (False, True):
        before, after, person, _ = refined(guided)
        differences = []
        for z_exp, yaw in others():
            posed = dataclasses.replace(person, z_exp=z_exp)
            images = [image_of(generator, posed, yaw) for generator in (before, after)]
            differences.append(float((images[0].person - images[1].person).abs().mean()))
        apart.append(max(differences))
    assert apart[1] < 0.7 * apart[0] and apart[1] < 0.006


def test_truncation_leaves_the_person_as_they_are() -> None:
    _, after, person, _ = refined(guided=False)
    x = 0.05 * torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, cut = (after.condition(person, psi).radiance(x)[0] for psi in (1.0, 0.3))
    torch.testing.assert_close(whole, cut, atol=1e-5, rtol=0)


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = (refined(False, again)[1].state_dict() for again in (False, True))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_rounded_generator_is_what_its_folder_holds(tmp_path: Path) -> None:
    checkpoint = small_checkpoint(config=HALF)
    generator = checkpoint.generator
    with torch.no_grad():
        generator.template.planes.planes.mul_(1.0003)  # type: ignore[union-attr]
    rounded_as_stored(generator)
    save_checkpoint(tmp_path / "model", checkpoint)
    loaded = load_checkpoint(tmp_path / "model").generator.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in generator.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "key"),
    [({"steps": 0}, "steps"), ({"rays": 1}, "rays"), ({"guide_share": 1.0}, "guide_share"),
     ({"lr_planes": float("nan")}, "lr_planes"), ({"seed": -1}, "seed"), ({"guide_views": 1000}, "guide_views")],
)  # fmt: skip
def test_wrong_options_are_refused(changes: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        RefinementConfig(**changes)  # type: ignore[arg-type]
