"""Rendering an image in parts, and once more with gradients, teaches exactly what the unsplit image would."""

import dataclasses

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.rays import Rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields, Generator
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.rendering import culled, volume
from anifacegan.rendering.compositing import RayColours
from anifacegan.rendering.volume import render_rays
from anifacegan.training import patch_gradients
from anifacegan.training.config import Split
from anifacegan.training.patch_gradients import ImageRenderer, as_images, parts
from tests.fixtures.small_models import small_generator
from tests.fixtures.tiny_training_set import GENERATOR

SIZE, BATCH = 6, 3
FOV = 12.0
SPLITS = [Split(), Split(images=1), Split(rays=7), Split(images=2, rays=5), Split(images=9, rays=1000)]


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generator() -> Generator:
    return small_generator(GENERATOR).double()


def views() -> PosedLatents:
    latents = Latents(draw(BATCH, 80, seed=0), draw(BATCH, 64, seed=1), draw(BATCH, 80, seed=2))
    return PosedLatents(latents, 0.2 * draw(BATCH, 2, seed=3))


def image_terms(image: Tensor, part: slice) -> dict[str, Tensor]:
    """Neighbouring pixels are multiplied: what a pixel should learn depends on the others."""
    pattern = draw(BATCH, 3, SIZE, SIZE, seed=4)[part]
    mixed = image[..., 1:, :] * image[..., :-1, :] ** 2 * pattern[..., 1:, :]
    return {"mixed": mixed.sum(), "dark": 0.3 * image.flatten(1).mean(1).square().sum()}


def ray_terms(seen: RayColours, part: slice, rays: slice) -> dict[str, Tensor]:
    """Looks at where the surface is; differs from image to image and ray to ray."""
    pattern = draw(BATCH, SIZE**2, seed=5)[part, rays]
    return {"depth": (seen.depth * pattern).sum(), "opacity": 2 * (seen.foreground.square() * pattern).sum()}


def gradients(model: Generator) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def unsplit(with_rays: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The slow reference: one graph for everything."""
    model, posed, everything = generator(), views(), slice(None)
    seen = render_rays(model.condition(posed.latents), posed.rays(SIZE, FOV))
    terms = image_terms(as_images(seen.rgb, SIZE), everything)
    if with_rays:
        terms |= ray_terms(seen, everything, everything)
    torch.stack(list(terms.values())).sum().backward()
    return terms, gradients(model)


@pytest.mark.parametrize("with_rays", [False, True])
@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_terms_and_gradients_equal_the_unsplit_ones(split: Split, with_rays: bool) -> None:
    expected_terms, expected = unsplit(with_rays)
    model = generator()
    renderer = ImageRenderer(model.condition, SIZE, FOV, split)
    terms = renderer.accumulate_gradients(views(), image_terms, ray_terms if with_rays else None)
    assert terms.keys() == expected_terms.keys()
    for name, value in expected_terms.items():
        assert terms[name].item() == pytest.approx(value.item(), abs=1e-10), name
        assert not terms[name].requires_grad
    found = gradients(model)
    assert found.keys() == expected.keys()
    learning = {name.split(".")[0] for name, gradient in expected.items() if gradient.abs().max() > 1e-6}
    assert learning == {"template", "deformation", "manifolds"}
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=0, atol=1e-10), name


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_an_image_drawn_in_parts_is_the_whole_image(split: Split) -> None:
    model, posed = generator(), views()
    whole = render_rays(model.condition(posed.latents), posed.rays(SIZE, FOV)).rgb
    drawn = ImageRenderer(model.condition, SIZE, FOV, split).draw(posed)
    assert drawn.shape == (BATCH, 3, SIZE, SIZE) and not drawn.requires_grad
    for row, column in ((0, 0), (1, 4), (5, 5)):
        assert torch.allclose(drawn[:, :, row, column], 2 * whole[:, row * SIZE + column] - 1, atol=1e-12)


def test_no_more_is_rendered_with_gradients_at_a_time_than_the_split_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rendered: list[tuple[bool, int]] = []

    def recorded(fields: object, rays: Rays, **options: bool) -> RayColours:
        rendered.append((torch.is_grad_enabled(), len(rays.origins) * len(rays)))
        return render_rays(fields, rays, **options)

    monkeypatch.setattr(patch_gradients, "render_rays", recorded)
    renderer = ImageRenderer(generator().condition, SIZE, FOV, Split(images=2, rays=20))
    renderer.accumulate_gradients(views(), image_terms)
    once = [(False, 40), (False, 32), (True, 40), (True, 32)]
    assert rendered == once + [(grad, count // 2) for grad, count in once]


def test_an_image_that_fits_is_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []

    def recorded(fields: object, rays: Rays, **options: bool) -> RayColours:
        rendered.append(torch.is_grad_enabled())
        return render_rays(fields, rays, **options)

    monkeypatch.setattr(patch_gradients, "render_rays", recorded)
    ImageRenderer(generator().condition, SIZE, FOV, Split()).accumulate_gradients(views(), image_terms)
    assert rendered == [True]


def test_what_the_terms_compute_with_learns_nothing() -> None:
    judge = torch.nn.Linear(3 * SIZE**2, 1).double()

    def score(image: Tensor, part: slice) -> dict[str, Tensor]:
        return {"score": judge(image.flatten(1)).sum()}

    ImageRenderer(generator().condition, SIZE, FOV, Split(rays=9)).accumulate_gradients(views(), score)
    assert judge.weight.grad is None and judge.bias.grad is None


# ------------------------------------------------------------------------------------------------------ half precision
def single() -> tuple[Generator, PosedLatents]:
    """Autocast passes float64 by."""
    latents, pose = views().latents, views().pose.float()
    return generator().float(), PosedLatents(
        Latents(latents.z_id.float(), latents.z_exp.float(), latents.z_noise.float()), pose
    )


def test_half_precision_arrives_and_draws_almost_the_same_image() -> None:
    """bfloat16 keeps 8 bits: a sine's argument of up to 8 is off by 0.016, and the small model's colours, made eight
    times as vivid, follow.
    """
    model, posed = single()
    full, half = (
        ImageRenderer(model.condition, SIZE, FOV, Split(), name).draw(posed)
        for name in ("float32", "bfloat16")
    )
    assert half.dtype == torch.float32 and not torch.equal(full, half)
    assert (full - half).abs().max() < 0.1 and (full - half).abs().mean() < 0.01
    assert full.std() > 0.1  # else there is nothing to see


def test_no_ray_and_no_manifold_moves_in_half_precision() -> None:
    """With a deformation that is zero at the start."""
    model, posed = single()
    torch.nn.init.zeros_(model.deformation.head.weight)
    seen: dict[str, list[RayColours]] = {"float32": [], "bfloat16": []}
    for name, found in seen.items():
        renderer = ImageRenderer(model.condition, SIZE, FOV, Split(), name)

        def terms(rays: RayColours, *parts: slice, to: list[RayColours] = found) -> dict[str, Tensor]:
            to.append(rays)
            return ray_terms(rays, *parts)

        renderer.accumulate_gradients(posed, None, terms)
    (full,), (half,) = seen.values()
    assert torch.equal(full.x_target, half.x_target) and torch.equal(full.t, half.t)
    assert not torch.equal(full.rgb, half.rgb)


def test_both_renderings_of_a_split_image_are_of_one_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at is, bit by bit, what then learns; and whoever looks at it does so in float32."""
    rendered: dict[bool, list[Tensor]] = {False: [], True: []}
    looks = []

    def recorded(fields: object, rays: Rays, **options: bool) -> RayColours:
        seen = render_rays(fields, rays, **options)
        rendered[torch.is_grad_enabled()].append(seen.rgb.detach())
        return seen

    def watching(image: Tensor, part: slice) -> dict[str, Tensor]:
        looks.append(torch.is_autocast_enabled("cpu"))
        return image_terms(image.double(), part)

    monkeypatch.setattr(patch_gradients, "render_rays", recorded)
    model, posed = single()
    ImageRenderer(model.condition, SIZE, FOV, Split(rays=10), "bfloat16").accumulate_gradients(
        posed, watching
    )
    assert len(rendered[True]) == 4 and looks == [False]
    for first, again in zip(*rendered.values(), strict=True):
        assert torch.equal(first, again)


@pytest.mark.parametrize("split", SPLITS[1:4], ids=str)
def test_parts_in_half_precision_teach_about_what_the_whole_does(split: Split) -> None:
    """A matrix of another shape may round differently, and a rounding is as large as the difference to float32."""
    flat = []
    for one in (Split(), split):
        model, posed = single()
        renderer = ImageRenderer(model.condition, SIZE, FOV, one, "bfloat16")
        renderer.accumulate_gradients(posed, lambda image, part: image_terms(image.double(), part))
        all_gradients = gradients(model)
        assert {gradient.dtype for gradient in all_gradients.values()} == {torch.float32}
        flat.append(torch.cat([gradient.flatten() for gradient in all_gradients.values()]))
    assert torch.cosine_similarity(*flat, dim=0) > 0.999
    assert flat[0].norm().item() == pytest.approx(flat[1].norm().item(), rel=0.02)


@pytest.mark.parametrize(("gain", "skips"), [(1.0, False), (1e4, True)])
def test_points_that_no_light_reaches_teach_nothing(
    gain: float, skips: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transparent manifolds hide nothing, and the gradient is the complete one; behind opaque ones little is lost."""
    config = dataclasses.replace(GENERATOR, template=dataclasses.replace(GENERATOR.template, sigma_gain=gain))
    read, found = volume.radiance_at, []
    for skip_invisible in (False, True):
        model, counts = small_generator(config).double(), [0]

        def counted(
            fields: ConditionedFields,
            x: Tensor,
            background: Tensor,
            direction: Tensor,
            counts: list[int] = counts,
        ) -> tuple[Tensor, Tensor]:
            if torch.is_grad_enabled():
                counts[0] += x.shape[1] - int(background.sum())
            return read(fields, x, background, direction)

        for module in (volume, culled):
            monkeypatch.setattr(module, "radiance_at", counted)
        renderer = ImageRenderer(model.condition, SIZE, FOV, Split(images=1), skip_invisible=skip_invisible)
        terms = renderer.accumulate_gradients(views(), image_terms, ray_terms)
        found.append(
            (terms, torch.cat([gradient.flatten() for gradient in gradients(model).values()]), counts[0])
        )
    (terms, complete, count), (quick_terms, quick, quick_count) = found
    for name, value in terms.items():
        assert quick_terms[name].item() == pytest.approx(value.item(), rel=1e-3 if skips else 1e-10), name
    assert (quick - complete).norm() <= (1e-2 if skips else 1e-10) * complete.norm()
    assert quick_count <= (0.7 if skips else 1) * count


def test_images_are_rows_from_the_top_left_in_minus_one_to_one() -> None:
    rgb = torch.arange(2 * 4 * 3).reshape(2, 4, 3) / 23
    image = as_images(rgb, 2)
    assert image.shape == (2, 3, 2, 2)
    assert torch.equal(image[1, 2], 2 * rgb[1, :, 2].reshape(2, 2) - 1)
    assert image.min() == -1 and image.max() == 1


def test_parts_cover_everything_once() -> None:
    for count, most in ((7, 3), (7, 0), (7, 7), (7, 100), (6, 3)):
        found = parts(count, most)
        assert [i for part in found for i in range(count)[part]] == list(range(count))
        assert all(part.stop - part.start <= (most or count) for part in found)


@pytest.mark.parametrize("change", [{"images": -1}, {"rays": -1}])
def test_a_negative_split_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(change))} is -1"):
        Split(**change)
