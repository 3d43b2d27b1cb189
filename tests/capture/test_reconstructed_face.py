"""From a photograph to a file as Deep3DFaceRecon writes it, with a network that has no trained weights."""

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from anifacegan.capture import reconstructed_face
from anifacegan.capture.overlay import mesh_of_reconstruction
from anifacegan.capture.reconstructed_face import FaceReconstructor, ReconstructedFace
from anifacegan.capture.reconstruction_crop import cut_upright, reconstruction_crop
from anifacegan.face_model.bfm import load_bfm
from anifacegan.face_model.coefficients import BFM, read_coefficients, read_expressions, write_coefficients
from anifacegan.face_model.regressed import FIELD_COLUMNS
from anifacegan.models.config import FaceRegressorConfig
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.regressor_checkpoints import FaceRegressorCard, save_face_regressor
from anifacegan.rendering.model import Model
from anifacegan.runtime.errors import InputError
from tests.capture.test_reconstruction_crop import projected
from tests.fixtures.deep3dfacerecon import face_at, known_answer, stripes, write_deep3dfacerecon
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.small_models import small_checkpoint
from tests.fixtures.tiny_bfm import write_tiny_bfm

SIZE = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
PLACE = 1.5 * projected() + np.array([20.0, 30.0])
"""Landmarks of a face in a photograph."""
NAME = Path("photo.jpg")


class NoDetector:
    """Stands in for MediaPipe, which these tests do not need."""

    def __init__(self, *arguments: object) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """epoch_20.pth, which says the known answer of every photograph, and BFM_model_front.mat."""
    made = tmp_path_factory.mktemp("deep3d")
    write_deep3dfacerecon(made / "epoch_20.pth", known_answer())
    write_tiny_bfm(made / "BFM_model_front.mat")
    return made


@pytest.fixture(scope="module")
def reconstructor(folder: Path) -> Iterator[FaceReconstructor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconstructed_face, "LandmarkDetector", NoDetector)
        with FaceReconstructor(folder / "BFM_model_front.mat", None, folder / "epoch_20.pth") as made:
            yield made


@pytest.fixture
def without_bfm(reconstructor: FaceReconstructor) -> FaceReconstructor:
    made = copy.copy(reconstructor)
    made.model = made._landmarks = None
    return made


def reconstructed(reconstructor: FaceReconstructor, lm68: np.ndarray = PLACE) -> ReconstructedFace:
    return reconstructor.reconstruct(stripes(420, 400), face_at(lm68), NAME)


def test_the_network_sees_red_green_and_blue_of_the_crop_from_0_to_1(
    reconstructor: FaceReconstructor,
) -> None:
    seen: list[torch.Tensor] = []
    hook = reconstructor._network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    face = reconstructed(reconstructor)
    hook.remove()
    assert len(seen) == 1 and seen[0].shape == (1, 3, 224, 224) and seen[0].dtype == torch.float32
    red, green, blue = (255 * seen[0][0]).mean(dim=(1, 2)).tolist()
    assert 200 < red < 255 and 100 < green < 155 and 0 < blue < 55
    pixels = cut_upright(stripes(420, 400), face.crop, 224)
    np.testing.assert_allclose(seen[0][0].permute(1, 2, 0), pixels / 255, atol=1e-6)
    assert face.crop == reconstruction_crop(PLACE)


def test_landmarks_are_those_of_the_coefficients_with_y_down(
    reconstructor: FaceReconstructor, folder: Path
) -> None:
    """The projection, written out: focal length 1015 px of 224, camera at z = 10, middle of the image 111.5."""
    model, answer = load_bfm(folder / "BFM_model_front.mat"), known_answer()
    z_id, z_exp, angle, trans = (
        answer[FIELD_COLUMNS[name]][None] for name in ("id", "exp", "angle", "trans")
    )
    x, y, z = model.pose(model.landmarks(model.shape(z_id, z_exp)), angle, trans)[0].double().numpy().T
    expected = 111.5 + 1015 * np.stack([x, -y], axis=-1) / (10 - z)[:, None]
    np.testing.assert_allclose(reconstructed(reconstructor).lm68, expected, atol=1e-3)


def test_without_bfm_landmarks_are_the_detector_s_in_the_crop(without_bfm: FaceReconstructor) -> None:
    face = reconstructed(without_bfm)
    pixels_per_crop_pixel = face.crop.side / 223
    expected = 111.5 + (PLACE - [face.crop.x, face.crop.y]) / pixels_per_crop_pixel
    np.testing.assert_allclose(face.lm68, expected, atol=1e-9)
    assert face.error_px == 0


def test_a_file_is_as_deep3dfacerecon_writes_it(reconstructor: FaceReconstructor, tmp_path: Path) -> None:
    path, answer = tmp_path / "face.mat", known_answer().numpy()
    write_coefficients(path, reconstructed(reconstructor).coefficients())
    content = scipy.io.loadmat(path)
    shapes = {key: value.shape for key, value in content.items() if not key.startswith("__")}
    assert shapes == {key: (1, size) for key, size in SIZE.items()} | {"lm68": (1, 68, 2)}
    for key in SIZE:
        np.testing.assert_allclose(content[key][0], answer[FIELD_COLUMNS[key]], atol=1e-6)
    assert read_coefficients(path).pose is None
    assert read_expressions(path)[1] == BFM
    assert_one_line(lambda: Model(small_checkpoint()).expression(path), str(path), BFM)
    assert Model(small_checkpoint(face_model=BFM)).expression(path).shape == (1, 64)


def test_the_mesh_lies_where_the_landmarks_are(reconstructor: FaceReconstructor) -> None:
    face, black = reconstructed(reconstructor), np.zeros((224, 224, 3), np.uint8)
    assert reconstructor.model is not None
    drawn = mesh_of_reconstruction(reconstructor.model, face.face, black).any(axis=2)
    columns, rows = np.nonzero(drawn.T)
    camera_points = reconstructor.model.pose(
        reconstructor.model.shape(face.face.id, face.face.exp), face.face.angle, face.face.trans
    )[0].numpy()
    x, y = 111.5 + 1015 * camera_points[:, :2].T * np.array([[1], [-1]]) / (10 - camera_points[:, 2])
    assert [columns.min(), columns.max()] == pytest.approx([max(x.min(), 0), min(x.max(), 223)], abs=2.0)
    assert [rows.min(), rows.max()] == pytest.approx([max(y.min(), 0), min(y.max(), 223)], abs=2.0)


def test_tilted_and_blurred_faces_are_refused(reconstructor: FaceReconstructor) -> None:
    with pytest.raises(
        InputError, match=r"photo.jpg: the head is tilted by 180 degrees, expected at most 46"
    ):
        reconstructed(reconstructor, PLACE[:1] - PLACE + 200.0)
    grey = np.full((420, 400, 3), 128, np.uint8)
    with pytest.raises(InputError, match=r"photo.jpg: the face is blurred"):
        reconstructor.reconstruct(grey, face_at(PLACE), NAME)


def test_files_that_do_not_belong_together_are_refused(folder: Path, tmp_path: Path) -> None:
    network = folder / "epoch_20.pth"
    assert_one_line(
        lambda: FaceReconstructor(tmp_path / "open.npz", None, network),
        "face_model is",
        "BFM_model_front.mat",
        str(network),
    )
    small = FaceRegressor(FaceRegressorConfig(backbone="plain", size=16, channels=(8,)))
    save_face_regressor(tmp_path / "R", small, FaceRegressorCard("R", BFM))
    assert_one_line(lambda: FaceReconstructor(None, None, tmp_path / "R"), "camera 'generator'", "deep3dface")
