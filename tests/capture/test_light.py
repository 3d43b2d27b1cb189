"""Light and texture are recovered from a face that was drawn with them; the overlay shows the fit."""

import numpy as np
import pytest
import torch

from anifacegan.capture.crop import Crop
from anifacegan.capture.fit import LandmarkFit
from anifacegan.capture.light import fit_colours
from anifacegan.capture.overlay import overlay_image
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import load_head_parts
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.rasterization.rasterizer import interpolate, rasterize
from anifacegan.geometry.spherical_harmonics import shade

SIZE = 96
FIT = LandmarkFit(
    pitch=0.05,
    yaw=0.2,
    crop=Crop.whole(SIZE),
    z_id=np.zeros(80),
    strengths=np.zeros(51),
    z_exp=np.zeros(64),
    error_px=0.0,
    normal=np.eye(2),
)


def drawn(model: MorphableModel, tex: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """The mean face with a texture in a light, RGB bytes."""
    vertices = model.shape(torch.zeros(1, 80), torch.zeros(1, 64))
    albedo = model.albedo(torch.from_numpy(tex).float()[None])
    colours = shade(albedo, model.normals(vertices), torch.from_numpy(gamma).float()[None])
    camera = orbit_camera(yaw=torch.tensor([FIT.yaw]), pitch=torch.tensor([FIT.pitch]), size=SIZE)
    fragments = rasterize(model.to_world(vertices), model.triangles, camera)
    image = interpolate(colours, model.triangles, fragments)[0]
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def test_a_lit_face_is_explained(face_model: MorphableModel) -> None:
    rng = np.random.default_rng(0)
    gamma = 0.15 * rng.standard_normal(27)
    image = drawn(face_model, 0.5 * rng.standard_normal(80), gamma)
    colours = fit_colours(face_model, load_head_parts(), FIT, image)
    assert colours.error < 0.02
    assert (
        np.corrcoef(colours.gamma.reshape(3, 9)[:, 1:4].ravel(), gamma.reshape(3, 9)[:, 1:4].ravel())[0, 1]
        > 0.8
    )


def test_without_visible_skin_the_prior_stays(face_model: MorphableModel) -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    colours = fit_colours(face_model, load_head_parts(), FIT, image)
    assert not colours.tex.any() and not colours.gamma.any() and np.isnan(colours.error)


def test_the_overlay_has_four_panels(face_model: MorphableModel) -> None:
    crop = np.full((SIZE, SIZE, 3), 40, np.uint8)
    overlay = overlay_image(face_model, FIT, crop, np.zeros((1, 2)), np.full((68, 2), 0.2))
    assert overlay.shape == (SIZE, 4 * SIZE, 3)
    plain, dotted, mesh, both = np.split(overlay.astype(int), 4, axis=1)
    assert (plain == crop).all()
    middle, corner = SIZE // 2, 2
    near = slice(middle - 2, middle + 2)
    assert dotted[near, near, 1].max() > 100 and mesh[middle, middle].mean() > 60
    assert (mesh[corner, corner] == crop[corner, corner]).all()
    place = slice(int(0.7 * SIZE) - 2, int(0.7 * SIZE) + 2)
    red, green = both[place, place, 0].max(), both[place, place, 1].min()
    assert red == pytest.approx(255) and green < 100
