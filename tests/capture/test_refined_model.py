"""A small model becomes a model of the photographed person: what is drawn, guided, saved and read again."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.avatars.avatar import Avatar, AvatarCard
from anifacegan.avatars.baking.from_model import person_condition
from anifacegan.capture.crop import Crop
from anifacegan.capture.face_fitter import FittedFace
from anifacegan.capture.landmarks import DetectedFace
from anifacegan.capture.light import Colours
from anifacegan.capture.painted_head import PhotoView
from anifacegan.capture.photo_avatar import LICENCE, PhotoAvatar
from anifacegan.capture.refined_model import (
    PERSON,
    WIDEST,
    RefinedPerson,
    guiding_views,
    photograph_target,
    refined_person,
)
from anifacegan.geometry.cameras import from_frontal, widened_fov
from anifacegan.models.latent_files import read_people
from anifacegan.rendering.model import Model, load_model
from anifacegan.training.refinement.config import RefinementConfig
from tests.capture.test_face_fitter import fit_with
from tests.fixtures.flat_avatars import layered_mesh_of, square
from tests.fixtures.photo_views import BACKGROUND_RGB, FOV_DEG, PERSON_RGB, REACH, disc_view
from tests.fixtures.small_models import WITH_PLANES, small_checkpoint

FEW = RefinementConfig(steps=6, inversion_steps=3, rays=64, guide_views=2)
YAW = 0.1


@pytest.fixture(scope="module")
def model() -> Model:
    checkpoint = small_checkpoint(config=WITH_PLANES)
    checkpoint.generator.eval().requires_grad_(False)
    return Model(checkpoint)


@pytest.fixture(scope="module")
def made(model: Model) -> PhotoAvatar:
    """A fit, and a red square as its avatar, which every expression leaves as it is."""
    mesh = layered_mesh_of(square(0.0, (200, 40, 30, 255)))
    mesh = dataclasses.replace(
        mesh,
        z_exp=np.eye(64, dtype=np.float32) * 100,
        blendshapes=np.zeros((64, 1, len(mesh.vertices), 3), np.float32),
        texel_offsets=np.zeros((64, 1, 0, 2), np.float32),
    )
    card = AvatarCard(
        "portrait", "small", model.card.face_model, 1.0, tuple(map(str, range(64))), presets=model.card.presets,
        expression_units=model.card.expression_units, baking={"photograph": "portrait.png"},
    )  # fmt: skip
    fit = dataclasses.replace(fit_with(yaw=YAW), crop=Crop.whole(32))
    face = FittedFace(
        DetectedFace(np.zeros((478, 2))), fit, Colours(np.zeros(80), np.zeros(27), 0.0), np.zeros((68, 2))
    )
    return PhotoAvatar(Avatar(mesh, card, model.checkpoint.basis), face, np.zeros((32, 32, 3), np.uint8))


@pytest.fixture(scope="module")
def view() -> PhotoView:
    return disc_view(YAW)


@pytest.fixture(scope="module")
def refined(model: Model, made: PhotoAvatar, view: PhotoView) -> RefinedPerson:
    return refined_person(model, made, view, FEW)


def test_the_target_is_the_photograph_apart_from_its_background(view: PhotoView, made: PhotoAvatar) -> None:
    target = photograph_target(view, made.face.fit)
    assert target.fov_deg == pytest.approx(widened_fov(FOV_DEG, REACH)) and target.size == 64
    np.testing.assert_allclose(target.person[32, 32], PERSON_RGB, atol=1e-6)
    assert float(target.person[2, 2].abs().max()) == 0 and float(target.opacity[2, 2]) == 0
    np.testing.assert_allclose(target.background[32, 32], BACKGROUND_RGB, atol=1e-6)


def test_guiding_views_turn_the_head_and_change_the_expression(made: PhotoAvatar) -> None:
    views = list(guiding_views(made.avatar, made.face.fit, 12, torch.Generator().manual_seed(0)))
    assert len(views) == 12
    assert max(float(from_frontal(yaw=yaw, pitch=pitch)) for yaw, pitch, _ in views) <= WIDEST + 1e-6
    yaws = [yaw for yaw, _, _ in views]
    assert min(yaws) < YAW - 0.3 and max(yaws) > YAW + 0.3
    named = made.avatar.expressions.coefficients("smile")
    strengths = [float(z_exp @ named / (named @ named)) for _, _, z_exp in views[2::3]]
    assert all(0.4 <= strength <= 1.0 for strength in strengths) and len(set(strengths)) == 4


def test_the_model_that_came_stays_as_it_is(model: Model, refined: RefinedPerson) -> None:
    fresh = small_checkpoint(config=WITH_PLANES).generator.state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in model.generator.state_dict().items())
    assert not torch.equal(refined.model.generator.template.planes.skip, fresh["template.planes.skip"])
    assert len(refined.losses) == FEW.steps


def test_the_saved_folder_is_a_model_that_shows_the_same(refined: RefinedPerson, tmp_path: Path) -> None:
    folder = tmp_path / "refined"
    refined.save(folder)
    loaded, (z_id, z_noise) = load_model(folder), read_people(folder / PERSON)
    image = loaded.face(expression="smile", latents=(z_id[0], z_noise[0]), psi=0.7).render(yaw=0.2, size=24)
    expected = refined.face("smile").render(yaw=0.2, size=24)
    torch.testing.assert_close(image, expected, atol=1e-5, rtol=0)  # and truncation changes nothing
    assert loaded.card.licence == LICENCE and "one photograph" in loaded.card.training["stage"]
    assert loaded.card.training["photograph"] == "portrait.png"
    condition = person_condition(loaded, (z_id, z_noise), 0.7)  # what bake starts from
    assert callable(condition)


def test_the_model_can_guide_itself(model: Model, made: PhotoAvatar, view: PhotoView) -> None:
    config = dataclasses.replace(FEW, guide="model")
    first, second = (refined_person(model, made, view, config) for _ in range(2))
    assert first.losses == second.losses
    assert (
        not refined_person(model, made, view, dataclasses.replace(config, guide_views=0)).losses
        == first.losses
    )
