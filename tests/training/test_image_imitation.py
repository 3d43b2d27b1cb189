"""Terms of generated images: landmarks through a network, the surface, in parts as in one piece, and off."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.data.synthetic.surface.head import HeadGeometry, head_geometry
from anifacegan.face_model import surface_maps
from anifacegan.face_model.regressed import FaceLandmarks, Reconstruction
from anifacegan.face_model.surface_maps import FaceSurfaces
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import FaceRegressorConfig, ManifoldConfig
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.models.model_folder import weights_sha256
from anifacegan.models.regressor_checkpoints import FaceRegressorCard, save_face_regressor
from anifacegan.rendering.compositing import RayColours
from anifacegan.rendering.volume import render_rays
from anifacegan.runtime.errors import InputError
from anifacegan.training.adversarial_gradients import frozen_template, imitation_gradients
from anifacegan.training.config import Split
from anifacegan.training.image_imitation import (
    ImageImitation,
    ImageLandmarks,
    ImitationFiles,
    ImitationTerms,
    load_image_imitation,
)
from anifacegan.training.patch_gradients import ImageRenderer, as_images
from anifacegan.training.weights import ImageWeights
from tests.fixtures.closed_forms import draw
from tests.fixtures.small_models import small_generator
from tests.fixtures.tiny_head import tiny_model, tiny_parts, write_tiny_file
from tests.fixtures.tiny_training_set import GENERATOR

SIZE, BATCH, FOV = 16, 3, 12.0
CPU = torch.device("cpu")
SPLITS = [Split(), Split(images=1, rays=100), Split(images=2, rays=50)]
BOTH = ImageWeights(geometry=1e2, landmarks=1e3)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def head() -> HeadGeometry:
    model = tiny_model()
    return head_geometry(model, tiny_parts(model))


def network() -> FaceRegressor:
    """Random in every layer, with outputs as spread as coefficients are."""
    made = FaceRegressor(FaceRegressorConfig(backbone="plain", size=SIZE, channels=(8, 16)))
    made.initialize(rng())
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=rng(1))
    return made


def image_landmarks() -> ImageLandmarks:
    return ImageLandmarks(network(), FaceLandmarks(tiny_model(), "generator"))


def opaque_generator(bias: float = 0.03) -> Generator:
    """Random initial manifolds about where a head would be, hardly transparent; not at all with a large ``bias``."""
    levels = ManifoldConfig(hidden_dim=64, first_level=22.0, last_level=12.0, count=8)
    ray_sampling = dataclasses.replace(GENERATOR.ray_sampling, samples=24)
    made = small_generator(dataclasses.replace(GENERATOR, manifolds=levels, ray_sampling=ray_sampling))
    with torch.no_grad():
        for sigma in made.template.sigma_heads:
            sigma.bias.add_(bias)
    return made


def imitation(head: HeadGeometry, weights: ImageWeights = BOTH) -> ImageImitation:
    return ImageImitation(weights, FaceSurfaces(head, FOV), image_landmarks())


def views() -> PosedLatents:
    latents = Latents(draw(BATCH, 80, seed=0), draw(BATCH, 64, seed=1), draw(BATCH, 80, seed=2))
    return PosedLatents(latents, 0.2 * draw(BATCH, 2, seed=3))


def single(posed: PosedLatents) -> PosedLatents:
    latents = posed.latents
    return PosedLatents(
        Latents(latents.z_id.float(), latents.z_exp.float(), latents.z_noise.float()), posed.pose.float()
    )


def gradients(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def learning(model: torch.nn.Module) -> set[str]:
    return {name.split(".")[0] for name, gradient in gradients(model).items() if gradient.abs().max() > 0}


# ----------------------------------------------------------------------------------------------------------- landmarks
class Says(FaceRegressor):
    """Says the same coefficients of every image."""

    def __init__(self, face: Reconstruction) -> None:
        super().__init__(FaceRegressorConfig(backbone="plain", size=SIZE, channels=(8,)))
        self.face = face

    def forward(self, image: Tensor) -> Reconstruction:
        assert 0 <= image.min() and image.max() <= 1
        return self.face


def of_images(face: Reconstruction, posed: PosedLatents) -> Tensor:
    """The term of a network that says ``face``, with weight 1."""
    landmarks = ImageLandmarks(Says(face), FaceLandmarks(tiny_model(), "generator")).double()
    term = ImageImitation(ImageWeights(0.0, 1.0), None, landmarks).terms(posed, SIZE).image_terms
    assert term is not None
    return term(2 * torch.rand(BATCH, 3, SIZE, SIZE, dtype=torch.float64) - 1, slice(None))["landmarks"]


def face_of(posed: PosedLatents) -> Reconstruction:
    latents = posed.latents
    return Reconstruction(
        latents.z_id,
        latents.z_exp,
        latents.z_noise,
        draw(BATCH, 3, seed=8),
        draw(BATCH, 27, seed=9),
        draw(BATCH, 3, seed=10),
    )


def test_an_image_of_the_target_face_has_no_landmark_error() -> None:
    """However the network thinks that it is turned, coloured and lit."""
    assert of_images(face_of(views()), views()).item() < 1e-20


def test_the_landmark_term_is_that_of_the_method_in_world_units() -> None:
    """Against whole meshes, landmark by landmark."""
    posed, model = views(), tiny_model().double()
    seen = dataclasses.replace(face_of(posed), id=draw(BATCH, 80, seed=11), exp=draw(BATCH, 64, seed=12))
    found = model.to_world(model.landmarks(model.shape(seen.id, seen.exp)))
    target = model.to_world(model.landmarks(model.shape(posed.latents.z_id, posed.latents.z_exp)))
    squares = [(found[b, k] - target[b, k]).norm() ** 2 for b in range(BATCH) for k in range(68)]
    expected = torch.stack(squares).mean().item()
    assert of_images(seen, posed).item() == pytest.approx(expected, rel=1e-6) and expected > 1e-5


def test_in_half_precision_the_network_rounds_and_the_landmarks_do_not() -> None:
    """Landmarks of a face are its own in float32, however coarse the network that says it."""
    landmarks, image = image_landmarks(), 2 * torch.rand(BATCH, 3, SIZE, SIZE, generator=rng()) - 1
    full, half = landmarks.in_images(image), landmarks.in_images(image, "bfloat16")
    assert half.dtype == torch.float32
    assert 0 < (full - half).abs().max() < 0.1 * full.std(dim=0).max()
    exact = ImageLandmarks(Says(face_of(single(views()))), landmarks.face_landmarks)
    assert torch.equal(exact.in_images(image), exact.in_images(image, "bfloat16"))


def test_the_gradient_moves_the_images_landmarks_towards_the_targets() -> None:
    """The first step goes downhill as finite differences say; more of them bring the landmarks together."""
    posed, landmarks = views(), image_landmarks().double()
    term = ImageImitation(ImageWeights(0.0, 1.0), None, landmarks).terms(posed, SIZE).image_terms
    assert term is not None
    before = {name: value.clone() for name, value in landmarks.state_dict().items()}
    image = (0.2 * draw(BATCH, 3, SIZE, SIZE, seed=4)).requires_grad_()
    optimizer, costs, gaps = torch.optim.Adam([image], lr=0.02), [], []
    for step in range(25):
        optimizer.zero_grad()
        cost = term(image, slice(None))["landmarks"]
        cost.backward()
        if step == 0:
            assert image.grad is not None
            direction = image.grad / image.grad.norm()
            with torch.no_grad():
                away, back = (term(image + s * 1e-4 * direction, slice(None))["landmarks"] for s in (1, -1))
            assert ((away - back) / 2e-4).item() == pytest.approx(image.grad.norm().item(), rel=1e-3)
        optimizer.step()
        costs.append(cost.item())
        with torch.no_grad():
            gaps.append((landmarks.in_images(image) - landmarks.of_latents(posed)).norm(dim=-1).mean().item())
    assert costs[-1] < 0.5 * costs[0] and gaps[-1] < 0.8 * gaps[0]
    assert gradients(landmarks) == {}
    assert all(torch.equal(value, before[name]) for name, value in landmarks.state_dict().items())


# ---------------------------------------------------------------------------------------------- in adversarial training
@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_parts_teach_what_one_graph_teaches(split: Split, head: HeadGeometry) -> None:
    """The reference renders everything with gradients, and writes the terms out image by image and ray by ray."""
    posed, of_images = views(), imitation(head).double()
    assert of_images.surfaces is not None and of_images.landmarks is not None
    model = opaque_generator().double()
    seen = render_rays(model.condition(posed.latents), posed.rays(SIZE, FOV))
    found = of_images.landmarks.in_images(as_images(seen.rgb, SIZE))
    target = of_images.landmarks.of_latents(posed)
    mesh = of_images.surfaces(posed.latents.z_id, posed.latents.z_exp, posed.pose, SIZE)
    light = seen.weights[..., :-1]
    x_seen = (light[..., None] * seen.x_target[..., :-1, :]).sum(2) / light.sum(-1, keepdim=True).clamp(
        min=1e-3
    )
    away, opacity = (x_seen - mesh.x_mesh).abs().sum(-1), seen.foreground.detach()
    distances = [
        torch.where(opacity[b][face] >= 0.01, opacity[b][face] * away[b][face], 0.0).mean()
        for b in range(BATCH)
        for face in [mesh.share[b] > 0]
    ]
    expected = {
        "landmarks": 1e3 * (found - target).square().sum(-1).mean(),
        "geometry": 1e2 * torch.stack(distances).mean(),
    }
    torch.stack(list(expected.values())).sum().backward()
    whole = gradients(model)
    assert learning(model) == {"template", "deformation", "manifolds"}
    assert 0.9 < (seen.foreground[mesh.share > 0] > 0.5).float().mean() < 1

    model = opaque_generator().double()
    renderer = ImageRenderer(model.condition, SIZE, FOV, split)
    terms = imitation_gradients(renderer, posed, of_images.terms(posed, SIZE))
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), abs=1e-10), name
    found_gradients = gradients(model)
    assert found_gradients.keys() == whole.keys()
    for name, gradient in whole.items():
        assert torch.allclose(found_gradients[name], gradient, rtol=0, atol=1e-10), name


@pytest.mark.parametrize(
    "weights", [ImageWeights(1e2, 0.0), ImageWeights(0.0, 1e3)], ids=["geometry", "landmarks"]
)
def test_a_tiny_generator_learns_from_one_term_alone(weights: ImageWeights, head: HeadGeometry) -> None:
    """A few steps on the same faces, of all fields, and of the deformation with the others standing still."""
    posed = single(views())
    surfaces = FaceSurfaces(head, FOV) if weights.geometry else None
    landmarks = image_landmarks() if weights.landmarks else None
    terms = ImageImitation(weights, surfaces, landmarks).terms(posed, SIZE)
    for all_fields in (True, False):
        model = opaque_generator()
        renderer = ImageRenderer(model.condition, SIZE, FOV, Split())
        optimizer, costs = torch.optim.Adam(model.parameters(), lr=3e-3 if all_fields else 3e-4), []
        for _ in range(15):
            optimizer.zero_grad()
            if all_fields:
                found = imitation_gradients(renderer, posed, terms)
            else:
                with frozen_template(model):
                    found = imitation_gradients(renderer, posed, terms)
                assert learning(model) == {"deformation"}
            optimizer.step()
            costs.append(sum(value.item() for value in found.values()))
        assert np.mean(costs[-5:]) < 0.95 * costs[0], (all_fields, costs)


@pytest.mark.parametrize("name", ["ray_terms", "image_terms"])
def test_the_deformations_gradient_is_that_of_finite_differences(name: str, head: HeadGeometry) -> None:
    """Along the gradient itself: how the term changes when all of its weights move. The weight of a ray in L_Ch has no
    gradient, so the face is opaque."""
    posed, model, step = views(), opaque_generator(1.0).double(), 1e-6
    terms = ImitationTerms(**{name: getattr(imitation(head).double().terms(posed, SIZE), name)})

    def cost() -> float:
        model.zero_grad()
        with frozen_template(model):
            found = imitation_gradients(ImageRenderer(model.condition, SIZE, FOV, Split()), posed, terms)
        return sum(value.item() for value in found.values())

    cost()
    all_gradients = gradients(model)
    norm = torch.stack([gradient.norm() for gradient in all_gradients.values()]).norm()
    weights, costs = dict(model.named_parameters()), []
    for times in (1, -2):
        with torch.no_grad():
            for field, gradient in all_gradients.items():
                weights[field].add_(times * step / norm * gradient)
        costs.append(cost())
    assert (costs[0] - costs[1]) / (2 * step) == pytest.approx(norm.item(), rel=1e-4)


def test_with_points_alone_template_and_manifolds_learn_again_afterwards() -> None:
    model = opaque_generator()
    with pytest.raises(KeyError), frozen_template(model):
        assert not any(weight.requires_grad for weight in model.template.parameters())
        raise KeyError
    assert all(weight.requires_grad for weight in model.parameters())


# ----------------------------------------------------------------------------------------------------------------- off
@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, head: HeadGeometry) -> Path:
    """FOLDER/face_model.npz, and networks of its face model and of another one."""
    made = tmp_path_factory.mktemp("files")
    write_tiny_file(made / "face_model.npz")
    save_face_regressor(made / "ours", network(), FaceRegressorCard("ours", head.name))
    save_face_regressor(made / "other", network(), FaceRegressorCard("other", "somebody's"))
    return made


def files(folder: Path, reconstruction: str | None) -> ImitationFiles:
    return ImitationFiles(
        folder / "face_model.npz", None if reconstruction is None else folder / reconstruction
    )


def test_without_weights_nothing_is_read_or_computed(folder: Path, head: HeadGeometry) -> None:
    assert load_image_imitation(ImageWeights(0.0, 0.0), files(folder, "missing"), head, FOV, CPU) is None


def test_a_term_without_weight_is_not_computed(
    folder: Path, head: HeadGeometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    geometry = load_image_imitation(ImageWeights(1.0, 0.0), files(folder, "missing"), head, FOV, CPU)
    assert geometry is not None and geometry.landmarks is None
    terms = geometry.terms(single(views()), SIZE)
    assert terms.image_terms is None and terms.ray_terms is not None
    landmarks = load_image_imitation(ImageWeights(0.0, 1.0), files(folder, "ours"), head, FOV, CPU)
    assert landmarks is not None and landmarks.surfaces is None
    monkeypatch.setattr(surface_maps, "rasterize", None)  # must not be called
    terms = landmarks.terms(single(views()), SIZE)
    assert terms.image_terms is not None and terms.ray_terms is None


def test_without_terms_of_images_nothing_is_rendered() -> None:
    def never(latents: Latents) -> None:
        raise AssertionError("rendered")

    weight = torch.ones((), requires_grad=True)
    renderer = ImageRenderer(never, SIZE, FOV, Split())
    terms = imitation_gradients(renderer, views(), ImitationTerms(other_terms={"minimal": 3 * weight}))
    assert terms["minimal"].item() == 3 and weight.grad is not None and weight.grad.item() == 3


def test_with_terms_of_rays_alone_every_slice_is_rendered_once() -> None:
    bound: list[int] = []
    rendered: list[slice] = []
    model = opaque_generator().double()

    def recorded(latents: Latents):
        bound.append(len(latents))
        return model.condition(latents)

    def ray_terms(seen: RayColours, part: slice, rays: slice) -> dict[str, Tensor]:
        assert torch.is_grad_enabled()
        rendered.append(rays)
        return {"depth": seen.depth.sum()}

    imitation_gradients(
        ImageRenderer(recorded, SIZE, FOV, Split(rays=128)), views(), ImitationTerms(ray_terms=ray_terms)
    )
    assert bound == [BATCH], "latents are bound once for all slices"
    assert len(rendered) == 2 and rendered[0] != rendered[1]


# --------------------------------------------------------------------------------------------------------------- files
def test_the_loaded_network_is_the_stored_one_and_frozen(folder: Path, head: HeadGeometry) -> None:
    loaded = load_image_imitation(BOTH, files(folder, "ours"), head, FOV, CPU)
    assert loaded is not None and loaded.landmarks is not None
    image = 2 * torch.rand(2, 3, SIZE, SIZE, generator=rng()) - 1
    torch.testing.assert_close(loaded.landmarks.in_images(image), image_landmarks().in_images(image))
    assert not any(weight.requires_grad for weight in loaded.parameters())
    assert not any(module.training for module in loaded.landmarks.modules())


def test_landmarks_without_a_network_are_one_line_that_names_both_options(
    folder: Path, head: HeadGeometry
) -> None:
    one_line = r"^weights.landmarks is 1000.0, expected 0 while 'reconstruction' is empty[^\n]*$"
    with pytest.raises(InputError, match=one_line):
        load_image_imitation(BOTH, files(folder, None), head, FOV, CPU)


def test_a_network_of_another_face_model_is_refused_by_name(folder: Path, head: HeadGeometry) -> None:
    one_line = (
        r"^reconstruction: .*other belongs to face model 'somebody's', expected 'synthetic', the generator's$"
    )
    with pytest.raises(InputError, match=one_line):
        load_image_imitation(BOTH, files(folder, "other"), head, FOV, CPU)


def test_a_rasterizer_that_does_not_run_here_is_refused_before_the_first_step(
    folder: Path, head: HeadGeometry
) -> None:
    given = dataclasses.replace(files(folder, "ours"), rasterizer="nvdiffrast")
    with pytest.raises(InputError, match="nvdiffrast"):
        load_image_imitation(BOTH, given, head, FOV, CPU)


def test_networks_are_told_apart_by_their_weights(folder: Path) -> None:
    assert weights_sha256(folder / "ours") == weights_sha256(folder / "other")
    changed = network()
    with torch.no_grad():
        changed.mean[0] += 1
    save_face_regressor(folder / "changed", changed, FaceRegressorCard("ours", "any"))
    assert weights_sha256(folder / "changed") != weights_sha256(folder / "ours")


@pytest.mark.parametrize("name", ["geometry", "landmarks"])
def test_a_negative_weight_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} is -1"):
        ImageWeights(**{name: -1.0})
