"""Adversarial training: which fields learn from which terms, equal gradients for any split, and that it learns."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.posed_images import PosedImages, RealImages
from anifacegan.data.synthetic.surface.head import head_geometry
from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.face_model.surface_maps import FaceSurfaces
from anifacegan.losses.imitation import offset_loss
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import DiscriminatorConfig, FaceRegressorConfig, ViewSamplingConfig
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.rendering.compositing import RayColours
from anifacegan.rendering.volume import render_rays
from anifacegan.runtime.errors import InputError
from anifacegan.training.adversarial import AdversarialTraining, Iteration
from anifacegan.training.adversarial_gradients import (
    condition_for_template,
    discriminator_gradients,
    generator_gradients,
)
from anifacegan.training.config import AdversarialConfig, Split
from anifacegan.training.image_imitation import ImageImitation, ImageLandmarks, ImitationTerms
from anifacegan.training.patch_gradients import ImageRenderer, as_images
from anifacegan.training.weights import AdversarialWeights, ImageWeights
from tests.fixtures.photographs import write_photographs
from tests.fixtures.small_models import small_generator
from tests.fixtures.tiny_head import tiny_model, tiny_parts
from tests.fixtures.tiny_training_set import GENERATOR

SIZE, BATCH, FOV = 16, 3, 12.0
NETWORK = DiscriminatorConfig(size=SIZE, capacity=64, max_channels=8)
WEIGHTS = AdversarialWeights(1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7)
TERMS = [field.name for field in dataclasses.fields(AdversarialWeights)]
RIGHT = ["discriminator_right_real", "discriminator_right_fake"]
LOGGED = [*TERMS, *RIGHT]
FIELDS = {"template", "deformation", "manifolds"}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=rng(seed), dtype=torch.float64)


def new_discriminator() -> Discriminator:
    return Discriminator(NETWORK).initialize(rng()).double()


def generator() -> Generator:
    return small_generator(GENERATOR).double()


def views() -> PosedLatents:
    latents = Latents(draw(BATCH, 80, seed=0), draw(BATCH, 64, seed=1), draw(BATCH, 80, seed=2))
    return PosedLatents(latents, 0.2 * draw(BATCH, 2, seed=3))


def images(seed: int) -> PosedImages:
    return PosedImages(draw(BATCH, 3, SIZE, SIZE, seed=seed).tanh(), 0.2 * draw(BATCH, 2, seed=seed + 1))


def gradients(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in module.named_parameters() if weight.grad is not None}


def learning(module: torch.nn.Module) -> set[str]:
    return {name.split(".")[0] for name, gradient in gradients(module).items() if gradient.abs().max() > 0}


# ------------------------------------------------------------------------------------------------------- discriminator
@pytest.mark.parametrize("most", [1, 2, 9])
def test_the_discriminators_gradient_does_not_depend_on_the_split(most: int) -> None:
    found = []
    for size in (0, most):
        network = new_discriminator()
        terms = discriminator_gradients(network, images(10), images(20), WEIGHTS, max_images=size)
        found.append((terms, gradients(network)))
    (whole_terms, whole), (terms, parts) = found
    for name, value in whole_terms.items():
        assert terms[name].item() == pytest.approx(value.item(), abs=1e-10)
    for name, gradient in whole.items():
        assert torch.allclose(parts[name], gradient, rtol=0, atol=1e-10), name


def test_the_discriminators_terms_are_those_of_the_method() -> None:
    """Against the formulas, written out image by image."""
    network, real, fake = new_discriminator(), images(10), images(20)
    terms = discriminator_gradients(network, real, fake, WEIGHTS)
    squared_norms = []
    for k in range(BATCH):
        one = real.image[k : k + 1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(network(one).logit.sum(), one)
        squared_norms.append(gradient.square().sum())
    with torch.no_grad():
        seen_real, seen_fake = network(real.image), network(fake.image)
        expected = {
            "discriminator_real": 1.3 * -torch.sigmoid(seen_real.logit).log().mean(),
            "discriminator_fake": 1.4 * -(1 - torch.sigmoid(seen_fake.logit)).log().mean(),
            "discriminator_r1": 1.5 * torch.stack(squared_norms).mean(),
            "discriminator_pose_real": 1.6 * (seen_real.pose - real.pose).square().mean(),
            "discriminator_pose_fake": 1.7 * (seen_fake.pose - fake.pose).square().mean(),
            "discriminator_right_real": (seen_real.logit > 0).double().mean(),
            "discriminator_right_fake": (seen_fake.logit < 0).double().mean(),
        }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-10), name


def test_lazy_r1_penalties_add_up_to_the_eager_ones() -> None:
    config = AdversarialConfig(r1_every=4)
    factors = [config.r1_factor(iteration) for iteration in range(8)]
    assert factors == [4, 0, 0, 0, 4, 0, 0, 0]
    network = new_discriminator()
    lazy = [
        discriminator_gradients(network, images(10), images(20), WEIGHTS, factor) for factor in factors[:4]
    ]
    eager = discriminator_gradients(network, images(10), images(20), WEIGHTS)
    assert ["discriminator_r1" in terms for terms in lazy] == [True, False, False, False]
    assert lazy[0]["discriminator_r1"].item() == pytest.approx(4 * eager["discriminator_r1"].item())


def test_32_images_four_at_a_time_give_the_gradient_of_32() -> None:
    """As the FFHQ configurations split them; tests/runtime/test_distributed.py shares split batches between
    processes."""
    count = 32
    latents = Latents(draw(count, 80, seed=0), draw(count, 64, seed=1), draw(count, 80, seed=2))
    posed, size = PosedLatents(latents, 0.2 * draw(count, 2, seed=3)), SIZE
    real = PosedImages(draw(count, 3, size, size, seed=4).tanh(), 0.2 * draw(count, 2, seed=5))
    found = []
    for split in (Split(), Split(images=4)):
        model, network = generator(), new_discriminator()
        renderer = ImageRenderer(model.condition, size, FOV, split)
        generator_gradients(renderer, network, posed, WEIGHTS)
        network.zero_grad()
        fake = PosedImages(renderer.draw(posed), posed.pose)
        discriminator_gradients(network, real, fake, WEIGHTS, max_images=split.images)
        found.append(gradients(model) | gradients(network))
    whole, parts = found
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        assert (parts[name] - gradient).abs().max() <= 1e-9 * gradient.abs().max(), name


# ----------------------------------------------------------------------------------------------------------- generator
@pytest.mark.parametrize("split", [Split(), Split(1, 100), Split(2, 50)], ids=str)
def test_the_generators_gradient_does_not_depend_on_the_split(
    split: Split,
) -> None:
    """The reference renders everything with gradients and sums all terms before one call of backward."""
    network, posed = new_discriminator(), views()
    points = 0.05 * draw(BATCH, 11, 3, seed=6)

    def imitation(model: Generator) -> ImitationTerms:
        offset = model.deformation.bind(posed.latents.z_id, posed.latents.z_exp)
        return ImitationTerms(image_terms, ray_terms, {"minimal": 100 * offset_loss(offset(points))})

    def image_terms(photograph: Tensor, part: slice) -> dict[str, Tensor]:
        return {
            "pattern": (
                photograph[..., 1:] * photograph[..., :-1] * draw(BATCH, 3, SIZE, 15, seed=7)[part]
            ).sum()
        }

    def ray_terms(seen: RayColours, part: slice, rays: slice) -> dict[str, Tensor]:
        return {"depth": (seen.depth * draw(BATCH, SIZE**2, seed=5)[part, rays]).sum()}

    model, everything = generator(), slice(None)
    seen = render_rays(model.condition(posed.latents), posed.rays(SIZE, FOV))
    output = network(as_images(seen.rgb, SIZE))
    expected = {
        "generator_fake": 1.1 * torch.nn.functional.softplus(-output.logit).mean(),
        "generator_pose": 1.2 * (output.pose - posed.pose).square().mean(),
    }
    expected |= image_terms(as_images(seen.rgb, SIZE), everything)
    expected |= ray_terms(seen, everything, everything) | imitation(model).other_terms
    torch.stack(list(expected.values())).sum().backward()
    whole = gradients(model)
    network.zero_grad()

    model = generator()
    renderer = ImageRenderer(model.condition, SIZE, FOV, split)
    terms = generator_gradients(renderer, network, posed, WEIGHTS, imitation(model))
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), abs=1e-10), name
    found = gradients(model)
    assert found.keys() == whole.keys() and learning(model) == FIELDS
    for name, gradient in whole.items():
        assert torch.allclose(found[name], gradient, rtol=0, atol=1e-10), name
    assert learning(network) == set()


def test_condition_for_template_teaches_template_and_manifolds_only() -> None:
    model = generator()
    renderer = ImageRenderer(condition_for_template(model), SIZE, FOV, Split(rays=128))
    generator_gradients(renderer, new_discriminator(), views(), WEIGHTS)
    assert learning(model) == {"template", "manifolds"}


def test_condition_for_template_renders_the_same_images() -> None:
    model = generator()
    one, other = (
        ImageRenderer(bind, SIZE, FOV, Split()).draw(views())
        for bind in (model.condition, condition_for_template(model))
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("name", TERMS)
def test_every_term_has_its_weight(name: str) -> None:
    def terms(weights: AdversarialWeights) -> dict[str, Tensor]:
        renderer = ImageRenderer(generator().condition, SIZE, FOV, Split())
        network = new_discriminator()
        return discriminator_gradients(network, images(10), images(20), weights) | generator_gradients(
            renderer, network, views(), weights
        )

    ones = AdversarialWeights(**dict.fromkeys(TERMS, 1.0))
    base, tripled = terms(ones), terms(dataclasses.replace(ones, **{name: 3.0}))
    assert sorted(base) == sorted(LOGGED)
    for term, value in base.items():
        assert tripled[term].item() == pytest.approx((3 if term == name else 1) * value.item(), rel=1e-10)
    without = terms(dataclasses.replace(ones, **{name: 0.0}))
    assert name not in without or without[name].item() == 0


# ------------------------------------------------------------------------------------------------- adversarial training
@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images with coefficients as photographs have them: nothing is known of their appearance."""
    folder = tmp_path_factory.mktemp("faces")
    write_photographs(folder, 5, SIZE)
    return folder


SCORES_ALONE = AdversarialWeights(
    generator_pose=0.0, discriminator_pose_real=0.0, discriminator_pose_fake=0.0
)


def adversarial_training(
    faces: Path,
    weights: AdversarialWeights | None = None,
    imitation: ImageImitation | None = None,
    **changes: object,
) -> AdversarialTraining:
    config = AdversarialConfig(batch=2, lr_generator=1e-3, lr_discriminator=1e-3)
    return AdversarialTraining(
        small_generator(GENERATOR),
        Discriminator(NETWORK).initialize(rng()),
        RealImages(FaceDataset(DataConfig(faces, SIZE, pitch_offset=0.1)), held_out=1),
        dataclasses.replace(config, **changes),
        weights or AdversarialWeights(),
        imitation,
    )


def weights_of(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(module: torch.nn.Module, before: dict[str, Tensor]) -> set[str]:
    state = module.state_dict()
    return {name.split(".")[0] for name, value in before.items() if not torch.equal(value, state[name])}


def test_real_images_come_with_their_poses_and_held_out_ones_never(faces: Path) -> None:
    dataset = FaceDataset(DataConfig(faces, SIZE, pitch_offset=0.1))
    drawn = RealImages(dataset, held_out=1).draw([rng(seed) for seed in range(40)])
    pixels = [np.array(Image.open(faces / name)) for name in dataset.names]
    expected = [torch.from_numpy(one).permute(2, 0, 1) / 127.5 - 1 for one in pixels]
    seen = set()
    for photograph, pose in zip(drawn.image, drawn.pose, strict=True):
        (item,) = (k for k, image in enumerate(expected) if torch.allclose(photograph, image, atol=1e-6))
        assert np.allclose(pose, dataset[item].pose)
        seen.add(item)
    assert seen == {0, 1, 2, 3}


def test_half_of_the_mirrored_real_images_are_turned_over_with_their_yaw(faces: Path) -> None:
    dataset = FaceDataset(DataConfig(faces, SIZE, pitch_offset=0.1))
    real = RealImages(dataset, held_out=1, mirror=True)
    drawn = real.draw([rng(seed) for seed in range(60)])
    turned = 0
    for image, pose in zip(drawn.image, drawn.pose, strict=True):
        originals = [dataset[item].image.permute(2, 0, 1) / 127.5 - 1 for item in range(4)]
        known = [torch.from_numpy(dataset.poses[item]) for item in range(4)]
        same = [
            torch.allclose(image, one) and torch.equal(pose, p)
            for one, p in zip(originals, known, strict=True)
        ]
        mirrored = [
            torch.allclose(image, one.flip(2)) and torch.equal(pose, torch.stack([p[0], -p[1]]))
            for one, p in zip(originals, known, strict=True)
        ]
        assert sum(same) + sum(mirrored) == 1
        turned += sum(mirrored)
    assert 15 < turned < 45  # 60 draws with probability 0.5: four deviations are 15.5
    assert torch.equal(real.poses[4:], real.poses[:4] * torch.tensor([1.0, -1.0]))


def test_colours_depend_on_the_rays_directions_where_the_configuration_says_so(faces: Path) -> None:
    images, learned = {}, {}
    for direction in ("locked", "rays"):
        training = adversarial_training(faces, view_direction=direction)
        views = training._draw(Iteration(0, 0, 0), 0)
        images[direction] = training._renderer(Iteration(0, 0, 0), training.generator.condition).draw(views)
        training.generator_step(Iteration(0, 0, 0))
        before = small_generator(GENERATOR).template.colour_layer.linear.weight
        change = training.generator.template.colour_layer.linear.weight - before
        learned[direction] = change[:, :3]
    assert (images["locked"] - images["rays"]).abs().max() > 1e-4
    assert (learned["locked"][:, :2] == 0).all()  # the frontal direction is (0, 0, -1)
    assert (learned["rays"][:, :2] != 0).any()


def test_a_data_set_without_an_image_to_train_on_is_refused(faces: Path) -> None:
    with pytest.raises(InputError, match="5 images, expected more than the 5 held out"):
        RealImages(FaceDataset(DataConfig(faces, SIZE)), held_out=5)


def test_each_step_changes_only_its_own_network(faces: Path) -> None:
    training = adversarial_training(faces)
    model, network = weights_of(training.generator), weights_of(training.discriminator)
    terms = training.discriminator_step(Iteration(0, 0, 0))
    assert sorted(terms) == sorted(name for name in LOGGED if name.startswith("discriminator"))
    assert moved(training.generator, model) == set()
    assert moved(training.discriminator, network) == {"from_rgb", "blocks", "output"}
    network = weights_of(training.discriminator)
    assert training.generator_step(Iteration(0, 0, 0)).keys() == {"generator_fake", "generator_pose"}
    assert moved(training.generator, model) == FIELDS  # and no prior
    assert moved(training.discriminator, network) == set()


def test_fields_that_do_not_learn_in_a_step_stay_although_they_have_momentum(faces: Path) -> None:
    training = adversarial_training(faces)
    training.generator_step(Iteration(0, 0, 0))
    before = weights_of(training.generator)
    training.generator_step(Iteration(0, 1, 1), condition_for_template(training.generator))
    assert moved(training.generator, before) == {"template", "manifolds"}


@pytest.mark.parametrize("steps", [0, 2])
def test_the_deformation_has_its_steps_before_the_others(
    faces: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With none of its own, it learns together with them."""
    training, order = adversarial_training(faces, deformation_steps=steps), []

    def imitation() -> dict[str, Tensor]:
        order.append("imitation")
        return {"minimal": training.generator.deformation.head.weight.square().sum()}

    real = AdversarialTraining.discriminator_step
    monkeypatch.setattr(
        AdversarialTraining,
        "discriminator_step",
        lambda *given: order.append("discriminator") or real(*given),
    )
    before = weights_of(training.generator)
    terms = training.run_iteration(Iteration(0, 0, 0), imitation)
    assert order == (
        ["discriminator", "imitation"] if steps == 0 else ["imitation", "imitation", "discriminator"]
    )
    assert sorted(terms) == sorted([*LOGGED, "minimal"])
    assert moved(training.generator, before) == FIELDS
    state = training.generator_optimizer.state
    taken = {
        field: {int(state[weight]["step"]) for weight in weights if weight in state}
        for field, weights in ((g["field"], g["params"]) for g in training.generator_optimizer.param_groups)
    }
    assert taken["template"] == {1}
    assert max(taken["deformation"]) == (1 if steps == 0 else 2)


@pytest.mark.parametrize("steps", [0, 1])
def test_paired_terms_belong_to_the_generators_step(
    faces: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are drawn once an iteration, not during the discriminator's warm-up, and the generator learns from them."""
    training = adversarial_training(
        faces,
        AdversarialWeights(generator_fake=0.0, generator_pose=0.0),
        deformation_steps=steps,
        discriminator_warmup=1,
    )
    order = []
    for name in ("deformation_step", "discriminator_step", "generator_step"):
        real = getattr(training, name)
        monkeypatch.setattr(
            training,
            name,
            lambda *given, name=name, real=real, **also: order.append(name) or real(*given, **also),
        )

    def paired() -> dict[str, Tensor]:
        order.append("paired")
        return {"colour": sum(weight.sum() for weight in training.generator.template.parameters())}

    def imitation() -> dict[str, Tensor]:
        return {"minimal": training.generator.deformation.head.weight.square().sum()}

    before = weights_of(training.generator)
    training.run_iteration(Iteration(0, 0, 0), imitation, paired)
    assert order == ["discriminator_step"] and not moved(training.generator, before)
    order.clear()
    terms = training.run_iteration(Iteration(0, 1, 1), imitation, paired)
    assert order == ["deformation_step"] * steps + ["discriminator_step", "paired", "generator_step"]
    assert sorted(terms) == sorted([*LOGGED, "minimal", "colour"])
    after = training.generator.state_dict()
    weights = [name for name, _ in training.generator.named_parameters() if name.startswith("template")]
    assert all(
        (after[name] < before[name]).all() for name in weights
    )  # all down: the sum is all that is to be learnt


def test_the_discriminator_warms_up_first(faces: Path) -> None:
    """The generator does not change in the warm-up, and learns from the next iteration on."""
    training = adversarial_training(faces, discriminator_warmup=2)
    before = weights_of(training.generator)
    for number in (0, 1):
        network = weights_of(training.discriminator)
        terms = training.run_iteration(
            Iteration(0, 7 + number, number), lambda: pytest.fail("nothing imitates yet")
        )
        assert sorted(terms) == sorted(name for name in LOGGED if name.startswith("discriminator"))
        assert moved(training.discriminator, network) and not moved(training.generator, before)
    training.run_iteration(
        Iteration(0, 9, 2), lambda: {"minimal": training.generator.deformation.head.weight.square().sum()}
    )
    assert moved(training.generator, before)


def image_imitation() -> ImageImitation:
    """Both terms, of the tiny head and a random network."""
    model = tiny_model()
    network = FaceRegressor(FaceRegressorConfig(backbone="plain", size=SIZE, channels=(8, 16)))
    network.initialize(rng())
    torch.nn.init.normal_(network.backbone.head.weight, generator=rng())
    landmarks = ImageLandmarks(network, FaceLandmarks(model, "generator"))
    surfaces = FaceSurfaces(head_geometry(model, tiny_parts(model)), FOV)
    return ImageImitation(ImageWeights(1e2, 1e2), surfaces, landmarks)


OF_IMAGES = {"geometry", "landmarks"}


@pytest.mark.parametrize("images", [0, 1, 2, 5])
def test_the_last_deformation_steps_use_the_image_terms(
    faces: Path, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other images with every step; these teach the deformation alone."""
    training = adversarial_training(
        faces, imitation=image_imitation(), deformation_steps=3, image_steps=images
    )
    seen, changed, latents = [], [], []
    real_step, real_terms = AdversarialTraining.deformation_step, ImageImitation.terms

    def recorded(training: AdversarialTraining, *given: object, **more: object) -> dict[str, Tensor]:
        before = weights_of(training.generator)
        terms = real_step(training, *given, **more)
        seen.append(OF_IMAGES & terms.keys())
        changed.append(moved(training.generator, before))
        return terms

    monkeypatch.setattr(AdversarialTraining, "deformation_step", recorded)
    monkeypatch.setattr(
        ImageImitation, "terms", lambda *given: latents.append(given[1].latents.z_id) or real_terms(*given)
    )

    def points() -> dict[str, Tensor]:
        return {"minimal": training.generator.deformation.head.weight.square().sum()}

    before = weights_of(training.discriminator)
    terms = training.run_iteration(Iteration(0, 0, 0), points)
    with_images = [k >= 3 - images for k in range(3)]
    assert seen == [OF_IMAGES if here else set() for here in with_images]
    assert changed == [{"deformation"}] * len(with_images)
    assert terms.keys() == {*LOGGED, *OF_IMAGES, "minimal"}
    assert len(latents) == sum(with_images) + 1
    assert len({latent.sum().item() for latent in latents}) == len(latents)
    assert moved(training.discriminator, before) == {"from_rgb", "blocks", "output"}


def test_the_generators_step_uses_the_image_terms(faces: Path) -> None:
    """What the fields may learn is said by its caller: template and manifolds, or all."""
    for condition, fields in ((condition_for_template, {"template", "manifolds"}), (None, FIELDS)):
        only_imitation = AdversarialWeights(generator_fake=0.0, generator_pose=0.0)
        training = adversarial_training(faces, only_imitation, image_imitation())
        before = weights_of(training.generator)
        terms = training.generator_step(
            Iteration(0, 0, 0), None if condition is None else condition(training.generator)
        )
        assert terms["geometry"] > 0 and terms["landmarks"] > 0
        assert moved(training.generator, before) == fields


def test_the_image_terms_do_not_depend_on_the_split(faces: Path) -> None:
    terms = []
    for split in (Split(), Split(images=1, rays=90)):
        training = adversarial_training(faces, imitation=image_imitation(), split=split, deformation_steps=1)
        terms += [training.deformation_step(Iteration(0, 0, 0), 0, {}, with_images=True)]
    for name in OF_IMAGES:
        assert terms[1][name].item() == pytest.approx(terms[0][name].item(), rel=1e-4)  # float32


def test_the_image_terms_are_not_stored_in_snapshots(faces: Path) -> None:
    stored = adversarial_training(faces, imitation=image_imitation()).state_dict()
    assert stored.keys() == {"discriminator", "discriminator_optimizer", "generator_optimizer"}


def test_a_stored_and_loaded_training_continues_the_same(faces: Path) -> None:
    def go_on(training: AdversarialTraining) -> dict[str, float]:
        terms = training.discriminator_step(Iteration(0, 1, 1)) | training.generator_step(Iteration(0, 1, 1))
        terms |= training.discriminator_step(Iteration(0, 2, 2))
        return {name: value.item() for name, value in terms.items()}

    first = adversarial_training(faces)
    first.discriminator_step(Iteration(0, 0, 0)), first.generator_step(Iteration(0, 0, 0))
    file = io.BytesIO()
    torch.save([first.state_dict(), first.generator.state_dict()], file)
    file.seek(0)
    second = adversarial_training(faces)
    second.generator.load_state_dict(first.generator.state_dict())
    second.load_state_dict(torch.load(file, weights_only=True)[0])
    assert go_on(second) == go_on(first)


def test_the_adversarial_terms_do_not_depend_on_the_split(faces: Path) -> None:
    terms = []
    for split in (Split(), Split(images=1, rays=90)):
        training = adversarial_training(faces, split=split)
        terms += [
            training.discriminator_step(Iteration(0, 0, 0)) | training.generator_step(Iteration(0, 0, 0))
        ]
    for name, value in terms[0].items():
        assert terms[1][name].item() == pytest.approx(value.item(), rel=1e-4), name  # float32


def test_every_step_renders_in_the_precision_of_its_iteration(faces: Path) -> None:
    """The face reconstruction network as well; terms of real images are float32 and equal to the last bit.

    Every step starts from the same weights: after a step of Adam, whose first steps are signs of gradients, rounding
    would be as large as the step itself. bfloat16 rounds by 2^-9; through the 6 layers of the small fields and the
    factor of at most 8 of their output heads that is 6 * 8 * 2^-9 < 0.1 of a term.
    """

    def training() -> AdversarialTraining:
        return adversarial_training(faces, imitation=image_imitation(), split=Split(1, 90))

    terms = []
    for precision in ("float32", "bfloat16"):
        iteration = Iteration(0, 0, 0, precision)
        deformation = training().deformation_step(iteration, 0, {}, with_images=True)
        found = {f"deformation/{name}": value for name, value in deformation.items()}
        terms.append(found | training().discriminator_step(iteration) | training().generator_step(iteration))
    of_real_images = {"discriminator_real", "discriminator_r1", "discriminator_pose_real"}
    for name, value in terms[0].items():
        if name in RIGHT:
            continue
        assert terms[1][name].item() == pytest.approx(value.item(), rel=0.1), name
        assert (terms[1][name] == value) == (name in of_real_images), name


def test_steps_draw_from_seed_and_step_alone(faces: Path) -> None:
    def terms(iteration: Iteration, seed: int) -> dict[str, float]:
        torch.manual_seed(seed)
        training = adversarial_training(faces)
        both = training.discriminator_step(iteration) | training.generator_step(iteration)
        return {name: value.item() for name, value in both.items()}

    first = terms(Iteration(0, 5, 0), 0)
    assert terms(Iteration(0, 5, 0), 1) == first
    assert terms(Iteration(0, 6, 0), 0) != first and terms(Iteration(1, 5, 0), 0) != first


def test_the_discriminator_learns_to_tell_renders_from_images(faces: Path) -> None:
    """Against a generator that stands still: in 40 steps the terms fall below half of what knowing nothing costs."""
    training = adversarial_training(faces, SCORES_ALONE, batch=4, lr_discriminator=1e-2)
    costs = []
    for step in range(40):
        terms = training.discriminator_step(Iteration(0, step, step))
        costs.append(terms["discriminator_real"].item() + terms["discriminator_fake"].item())
    assert costs[0] == pytest.approx(2 * np.log(2), rel=0.2)
    assert np.mean(costs[-5:]) < np.log(2)


def test_the_generator_learns_to_fool_a_discriminator_that_stands_still(faces: Path) -> None:
    """On the same faces again and again."""
    training = adversarial_training(faces, SCORES_ALONE, batch=2, lr_generator=1e-2, lr_discriminator=1e-2)
    for step in range(10):
        training.discriminator_step(Iteration(0, step, step))
    costs = [training.generator_step(Iteration(0, 100, 0))["generator_fake"].item() for _ in range(8)]
    assert np.mean(costs[-3:]) < 0.8 * costs[0]


@pytest.mark.parametrize(
    "change",
    [{"batch": 0}, {"r1_every": 0}, {"deformation_steps": -1}, {"image_steps": -1}, {"paired_rays": -1}],
)
def test_impossible_settings_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(change))} is .*, expected at least"):
        AdversarialConfig(**change)


def test_skip_invisible_needs_one_image_at_a_time() -> None:
    with pytest.raises(ValueError, match="^split.images is 2, expected 1 with skip_inv"):
        AdversarialConfig(split=Split(images=2), skip_invisible=True)
    assert AdversarialConfig(split=Split(images=1), skip_invisible=True).skip_invisible


def test_the_renderer_skips_invisible_points_as_configured(faces: Path) -> None:
    for skip in (False, True):
        training = adversarial_training(faces, split=Split(images=1), skip_invisible=skip)
        assert training._renderer(Iteration(0, 0, 0), training.generator.condition).skip_invisible == skip


def test_neutral_faces_and_poses_are_drawn_as_the_configuration_says(faces: Path) -> None:
    training = adversarial_training(faces, batch=3, views=ViewSamplingConfig(neutral_ratio=1.0))
    drawn = training._draw(Iteration(0, 0, 0), 0)
    assert (drawn.latents.z_exp == 0).all()
    assert all(any(torch.equal(pose, known) for known in training.real.poses) for pose in drawn.pose)
