"""The main Python interface: load a model, make a face from a seed and an expression, render it."""

import dataclasses
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from torch import Tensor

from anifacegan.face_model.coefficients import BFM, FaceCoefficients, write_coefficients
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.latent_files import read_people, write_people
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.rendering import adaptive_tracing
from anifacegan.rendering.model import Face, Model, load_model
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.small_models import small_checkpoint, write_small_model

EXP = np.random.default_rng(1).normal(size=64).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(write_small_model(tmp_path_factory.mktemp("models") / "small"))


def test_the_random_numbers_of_the_calling_program_go_on(tmp_path: Path) -> None:
    folder = write_small_model(tmp_path / "small")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    found = load_model(folder)
    load_face_regressor(Path("checkpoints/reconstruction"))
    found.face(seed=1).render(size=8)
    assert torch.equal(torch.get_rng_state(), before)


def write_expression(path: Path, face_model: str | None) -> Path:
    vectors = {"id": 80, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
    zeros = {key: np.zeros(size, np.float32) for key, size in vectors.items()}
    write_coefficients(
        path, FaceCoefficients(**zeros, exp=EXP, lm68=np.zeros((68, 2)), face_model=face_model)
    )
    return path


def ball(**changes: object) -> Face:
    """An opaque grey ball of radius 0.1 with a red spot at its upper right front, before a blue wall."""

    def radiance(x: Tensor) -> tuple[Tensor, Tensor]:
        spot = torch.exp(-((x - torch.tensor(SPOT)) ** 2).sum(-1, keepdim=True) / 0.01**2)
        wall = (x[..., 2:] < -0.119).float()
        blue_or_grey = wall * torch.tensor([0.0, 0.0, 1.0]) + (1 - wall) * 0.25
        return blue_or_grey + 0.5 * spot * torch.tensor([1.0, 0.0, 0.0]), torch.ones_like(x[..., 0])

    fields = ConditionedFields(
        torch.zeros_like, lambda x: x.norm(dim=-1), radiance, torch.tensor([0.1]), RaySamplingConfig()
    )
    latents = Latents(torch.zeros(1, 80), torch.zeros(1, 64), torch.zeros(1, 80))
    return Face(dataclasses.replace(fields, **changes), latents)


SPOT = (0.03, 0.05, math.sqrt(0.1**2 - 0.03**2 - 0.05**2))


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (0.3, 0.0), (-0.3, 0.0), (0.0, 0.3), (0.25, -0.2)])
def test_a_spot_of_the_face_is_rendered_where_the_camera_projects_it(yaw: float, pitch: float) -> None:
    size = 81
    image = ball().render(yaw=yaw, pitch=pitch, size=size)
    redness = image[0] - image[2]
    row, column = divmod(int(redness.argmax()), size)
    camera = orbit_camera(yaw=torch.tensor([yaw]), pitch=torch.tensor([pitch]), size=size)
    x_px, y_px = camera.project(torch.tensor([[SPOT]]))[0, 0].tolist()
    assert (column, row) == (pytest.approx(x_px, abs=1), pytest.approx(y_px, abs=1))


def test_positive_yaw_and_pitch_turn_the_face_to_the_right_and_down() -> None:
    def spot_at(**angles: float) -> tuple[int, int]:
        image = ball().render(**angles, size=81)
        return divmod(int((image[0] - image[2]).argmax()), 81)

    row, column = spot_at()
    assert spot_at(yaw=0.3)[1] > column + 5
    assert spot_at(pitch=0.3)[0] > row + 5


def test_an_image_has_colour_opacity_and_depth() -> None:
    """In the middle the ball, at distance 0.9; in the corner the wall, at 1.12 / cos of the corner's angle."""
    image = ball().image(size=33)
    tan = math.tan(math.radians(6))
    torch.testing.assert_close(image.rgb[:, 16, 16], torch.full((3,), 0.25), atol=1e-3, rtol=0)
    torch.testing.assert_close(image.rgb[:, 0, 0], torch.tensor([0.0, 0.0, 1.0]))
    assert image.foreground[0, 16, 16] == 1 and image.foreground[0, 0, 0] == 0
    torch.testing.assert_close(image.foreground_rgb[:, 16, 16], image.rgb[:, 16, 16])
    assert not image.foreground_rgb[:, 0, 0].any()
    assert image.depth[0, 16, 16].item() == pytest.approx(0.9, abs=1e-6)
    assert image.depth[0, 0, 0].item() == pytest.approx(1.12 * math.sqrt(1 + 2 * tan**2), abs=1e-6)


def test_slices_give_the_same_image(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ball().image(yaw=0.2, size=17)
    monkeypatch.setattr(adaptive_tracing, "SLICE_SAMPLES", 64 * 10)
    parts = ball().image(yaw=0.2, size=17)
    for name in ("rgb", "foreground", "foreground_rgb", "depth"):
        torch.testing.assert_close(
            getattr(parts, name), getattr(whole, name), atol=1e-6, rtol=0
        )  # 16 roundings of 1


def test_an_image_of_one_pixel_is_refused(model: Model) -> None:
    assert_one_line(lambda: model.face(seed=7).render(size=1), "size is 1", "from 2 to")


def test_an_image_has_the_requested_size_and_colours_within_0_and_1(model: Model) -> None:
    image = model.face(seed=1, expression="smile").render(yaw=0.3, pitch=-0.1, size=20)
    assert image.shape == (3, 20, 20) and image.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1 and image.std() > 0.01


def test_colours_are_clamped_to_0_and_1() -> None:
    """The widening reaches a thousandth beyond both."""

    def loud(x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(x[..., :1] > 0, 1.001, -0.001).expand_as(x), torch.ones_like(x[..., 0])

    image = ball(radiance=loud).render(size=8)
    assert (image.min(), image.max()) == (0, 1)


def test_the_same_seed_is_the_same_face_and_another_is_not(model: Model) -> None:
    image = model.face(seed=7).render(size=12)
    assert torch.equal(model.face(seed=7).render(size=12), image)
    assert not torch.allclose(model.face(seed=8).render(size=12), image, atol=1e-3)


def test_a_saved_person_is_the_same_face(model: Model, tmp_path: Path) -> None:
    write_people(tmp_path / "people.npz", *model.person(7))
    again = model.face(latents=read_people(tmp_path / "people.npz"), expression="smile=0.5")
    assert torch.equal(again.render(size=12), model.face(seed=7, expression="smile=0.5").render(size=12))


def test_psi_is_0_7_by_default(model: Model) -> None:
    image = model.face(seed=7).render(size=12)
    assert torch.equal(model.face(seed=7, psi=0.7).render(size=12), image)
    assert not torch.allclose(model.face(seed=7, psi=1.0).render(size=12), image, atol=1e-4)


def test_an_expression_by_names_equals_its_coefficients(model: Model) -> None:
    basis = small_checkpoint().basis
    assert basis is not None
    jaw, left, right = basis.units_to_exp.T
    coefficients = 0.5 * 0.8 * (left + right) + 0.1 * jaw  # the preset smile is mouthSmile 0.8
    torch.testing.assert_close(model.expression("smile=0.5,jawOpen=0.1")[0], torch.from_numpy(coefficients))
    by_name = model.face(seed=1, expression="smile=0.5,jawOpen=0.1").render(size=12)
    by_coefficients = model.face(seed=1, expression=coefficients).render(size=12)
    torch.testing.assert_close(by_name, by_coefficients, atol=1e-5, rtol=0)
    assert not torch.allclose(model.face(seed=1).render(size=12), by_name, atol=1e-3)


@pytest.mark.parametrize("neutral", [None, "neutral", np.zeros(64, np.float32), "smile=0"])
def test_zero_coefficients_are_neutral(neutral: str | np.ndarray | None, model: Model) -> None:
    assert torch.equal(model.expression(neutral), torch.zeros(1, 64))


def test_a_file_of_the_same_face_model_gives_its_coefficients(model: Model, tmp_path: Path) -> None:
    path = write_expression(tmp_path / "face.mat", model.card.face_model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for expression in (path, str(path)):
            assert torch.equal(model.expression(expression), torch.from_numpy(EXP)[None])


def test_a_file_of_another_face_model_is_refused(model: Model, tmp_path: Path) -> None:
    path = write_expression(tmp_path / "face.mat", BFM)
    assert_one_line(lambda: model.expression(path), str(path), BFM, model.card.face_model)


def test_a_file_that_cannot_be_recognised_is_taken_with_a_warning(model: Model, tmp_path: Path) -> None:
    """With all keys it would be Deep3DFaceRecon's; with the expression alone nobody can tell."""
    path = tmp_path / "face.mat"
    scipy.io.savemat(path, {"exp": EXP[None]})
    with pytest.warns(UserWarning, match="which face model"):
        assert torch.equal(model.expression(path), torch.from_numpy(EXP)[None])


def test_a_model_for_bfm_takes_deep3dfacerecon_s_files_without_a_warning(tmp_path: Path) -> None:
    model = Model(small_checkpoint(face_model=BFM))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(
            model.expression(write_expression(tmp_path / "face.mat", None)), torch.from_numpy(EXP)[None]
        )


def test_the_released_smile_is_read(official: Path) -> None:
    assert Model(small_checkpoint(face_model=BFM)).expression(official / "01626.mat").abs().max() > 0.5


def test_an_unknown_expression_lists_the_known_ones(model: Model) -> None:
    for text in ("smirk=0.7", "smile=0.7,smirk"):
        assert_one_line(lambda text=text: model.expression(text), "'smirk'", "smile", "jawOpen", "mouthSmile")


def test_a_model_without_named_expressions_asks_for_a_mat_file() -> None:
    bare = Model(dataclasses.replace(small_checkpoint(), basis=None))
    assert_one_line(lambda: bare.expression("smile"), "'smile'", bare.card.name, bare.card.face_model, ".mat")


def test_a_face_needs_either_a_seed_or_latents(model: Model) -> None:
    for arguments in ({}, {"seed": 1, "latents": model.person(1)}):
        assert_one_line(lambda arguments=arguments: model.face(**arguments), "seed", "latents")


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    assert_one_line(lambda: load_model(tmp_path / "none"), str(tmp_path / "none"), "no such file or folder")
    assert_one_line(lambda: load_model(str(tmp_path)), str(tmp_path / "card.yaml"))


def test_a_loaded_model_has_no_gradients(model: Model) -> None:
    assert not model.generator.training
    assert not any(parameter.requires_grad for parameter in model.generator.parameters())
