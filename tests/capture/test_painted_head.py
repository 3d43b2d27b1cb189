"""A photograph of a known face, painted on the head: its own view is the photograph, and lids, mouth and turns work.

The photograph is the face model's mesh in colours that say where a pixel is; no detector and no network is needed.
"""

import dataclasses

import numpy as np
import pytest
import torch

from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.avatars.players.numba_player import play
from anifacegan.capture.crop import Crop
from anifacegan.capture.fit import LandmarkFit
from anifacegan.capture.painted_head import painted_mesh, photo_view
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import HeadParts, load_head_parts
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.rasterization.rasterizer import interpolate, rasterize
from tests.capture.test_face_fitter import fit_with

SIZE, YAW = 256, 0.2
WALL = (30, 60, 200)


@pytest.fixture(scope="module")
def parts(face_model: MorphableModel) -> HeadParts:
    return load_head_parts()


@pytest.fixture(scope="module")
def smiling_fit(parts: HeadParts) -> LandmarkFit:
    """The known face: the mean person smiles a little and turns."""
    z_exp = parts.expression_basis().from_strengths({"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5})
    return dataclasses.replace(fit_with(yaw=YAW, z_exp=z_exp.astype(np.float64)), crop=Crop.whole(SIZE))


def picture(
    model: MorphableModel, parts: HeadParts, z_exp: np.ndarray, yaw: float
) -> tuple[np.ndarray, np.ndarray]:
    """The mesh before a wall, and its mask: skin in colours that change over the face, eyes white, brows dark."""
    points = model.to_world(model.shape(torch.zeros(1, 80), torch.from_numpy(z_exp).float()[None]))
    mean = model.mean.numpy()
    skin = 0.5 + np.stack(
        [0.15 * np.sin(9 * mean[:, 0]), 0.15 * np.cos(8 * mean[:, 1]), 0.1 * mean[:, 0]], -1
    )
    colours = np.where((parts.part > 0)[:, None], 0.95, skin).astype(np.float32)
    camera = orbit_camera(yaw=torch.tensor([yaw]), pitch=torch.zeros(1), size=SIZE)
    fragments = rasterize(points, model.triangles, camera)
    drawn = interpolate(torch.from_numpy(colours)[None], model.triangles, fragments)[0].numpy()
    mask = fragments.mask[0].numpy()
    image = np.where(mask[..., None], 255 * drawn, WALL)
    return np.rint(image).clip(0, 255).astype(np.uint8), 255 * mask.astype(np.uint8)


@pytest.fixture(scope="module")
def mesh(face_model: MorphableModel, parts: HeadParts, smiling_fit: LandmarkFit) -> LayeredMesh:
    photograph, mask = picture(face_model, parts, smiling_fit.z_exp, YAW)
    return painted_mesh(face_model, parts, smiling_fit, photo_view(photograph, mask, smiling_fit))


def drawn(mesh: LayeredMesh, z_exp: np.ndarray, yaw: float) -> np.ndarray:
    image = play(mesh, mesh.posed(z_exp.astype(np.float32)), yaw=yaw, pitch=0.0, size=SIZE)
    return image.rgb.permute(1, 2, 0).numpy() * 255


def psnr(image: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square((image - truth)[where]).mean()))


def test_the_own_view_is_the_photograph(
    mesh: LayeredMesh, face_model: MorphableModel, parts: HeadParts, smiling_fit: LandmarkFit
) -> None:
    photograph, mask = picture(face_model, parts, smiling_fit.z_exp, YAW)
    own = drawn(mesh, smiling_fit.z_exp, YAW)
    assert psnr(own, photograph, mask > 0.5) > 28
    assert psnr(own, photograph, mask < 0.5) > 28, "the wall"


@pytest.mark.parametrize("action", [{}, {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}, {"browInnerUp": 0.8}])
def test_other_views_and_expressions_are_near_the_truth(
    action: dict[str, float], mesh: LayeredMesh, face_model: MorphableModel, parts: HeadParts
) -> None:
    z_exp = parts.expression_basis().from_strengths(action) if action else np.zeros(64, np.float32)
    truth, _ = picture(face_model, parts, z_exp, YAW - 0.3)
    face = np.zeros((SIZE, SIZE), bool)
    face[70:200, 85:165] = True
    assert psnr(drawn(mesh, z_exp, YAW - 0.3), truth, face) > 24


def test_closed_lids_are_skin_with_a_dark_line(
    mesh: LayeredMesh, parts: HeadParts, face_model: MorphableModel
) -> None:
    closed = parts.expression_basis().from_strengths({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0})
    open_eyes, closed_eyes = (drawn(mesh, z, 0.0).mean(axis=-1) for z in (0 * closed, closed))
    eye = (slice(85, 108), slice(78, 105))
    assert open_eyes[eye].max() > 210, "the white of the eye"
    assert closed_eyes[eye].max() < 190 and closed_eyes[eye].min() < 0.75 * np.median(closed_eyes[eye])


def test_an_open_mouth_shows_teeth_and_dark(mesh: LayeredMesh, parts: HeadParts) -> None:
    z_exp = parts.expression_basis().from_strengths({"jawOpen": 0.9})
    mouth = drawn(mesh, z_exp, 0.0)[165:215, 105:150]
    grey = mouth.mean(axis=-1)
    assert grey.min() < 60, "dark inside"
    assert ((mouth.min(axis=-1) > 90) & (np.ptp(mouth, axis=-1) < 35)).any(), "teeth are grey or white"


def test_arrays_fit_an_avatar_file(mesh: LayeredMesh) -> None:
    assert mesh.textures.dtype == np.uint8 and len(mesh.textures) == len(mesh.layer_starts) - 1
    assert mesh.layer_starts[-1] == len(mesh.triangles) and mesh.triangles.max() < len(mesh.vertices)
    assert mesh.blendshapes.shape == (64, 2, len(mesh.vertices), 3)
