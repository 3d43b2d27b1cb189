"""The head in layers: every expression is a sum of its directions, and the eyes are not behind skin."""

import numpy as np
import pytest
import torch

from anifacegan.capture.head_surface import (
    TEXTURE,
    HeadSurface,
    blendshapes,
    expression_directions,
    head_surface,
)
from anifacegan.capture.painting import layer_depth
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import HeadParts, load_head_parts
from anifacegan.geometry.cameras import orbit_camera


@pytest.fixture(scope="module")
def parts(face_model: MorphableModel) -> HeadParts:
    return load_head_parts()


@pytest.fixture(scope="module")
def surface(face_model: MorphableModel, parts: HeadParts) -> HeadSurface:
    return head_surface(face_model, parts, np.zeros(80, np.float32))


def test_directions_make_every_expression_and_only_two_close_the_eyes(
    face_model: MorphableModel, parts: HeadParts
) -> None:
    directions, names = expression_directions(face_model, parts)
    z_exp = parts.au_bank[:50].astype(float) @ parts.au2exp.T
    weights = z_exp @ np.linalg.inv(directions.astype(float))
    np.testing.assert_allclose(weights @ directions, z_exp, atol=1e-4)
    assert np.abs(weights[:, 2:]).max() <= 1.01, "examples need no more than the whole directions"
    read_outs = np.stack([eye.closing.read_out for eye in face_model.eyes])
    np.testing.assert_allclose(directions @ read_outs.T, np.eye(64, 2), atol=1e-3)
    assert names[:2] == ("eyeBlinkLeft", "eyeBlinkRight") and len(set(names)) == 64


def test_a_sum_of_blendshapes_is_the_face_model(surface: HeadSurface, parts: HeadParts) -> None:
    basis = parts.expression_basis()
    z_exp = basis.from_strengths({"mouthSmileLeft": 0.7, "jawOpen": 0.5, "eyeBlinkLeft": 1.0})
    directions, _ = expression_directions(surface.model, parts)
    weights = z_exp @ np.linalg.inv(directions.astype(float))
    used = np.flatnonzero(np.abs(weights) > 1e-3)
    offsets = blendshapes(surface, directions)[:, -1]
    summed = np.tensordot(weights[used], offsets[used], axes=1)
    truth = surface.vertices(z_exp) - surface.vertices(np.zeros(64, np.float32))
    assert np.linalg.norm(summed - truth, axis=1).max() < 1.5e-3
    assert np.linalg.norm(truth, axis=1).max() > 5e-3


def test_open_eyes_show_the_eyeballs(surface: HeadSurface) -> None:
    vertices = surface.vertices(np.zeros(64, np.float32))
    zero = torch.zeros(1).double()
    camera = orbit_camera(yaw=zero, pitch=zero, size=256)
    in_camera = camera.to_camera(torch.from_numpy(vertices).double()[None])[0]
    x, y, inverse = (axis.numpy() for axis in camera.pixels(in_camera))
    face = surface.triangles[: surface.layer_starts[1]]
    skin = np.isfinite(layer_depth(x, y, inverse, face, 256))
    for label in (1, 2):
        pupil = vertices[surface.part == label][:, 2].argmax()
        at = np.rint([y[surface.part == label][pupil], x[surface.part == label][pupil]]).astype(int)
        assert not skin[tuple(at)], "skin before the pupil"
    assert skin[60, 128] and skin[150, 128], "forehead and nose"


def test_texels_lie_in_the_texture_and_halves_mirror_each_other(surface: HeadSurface) -> None:
    assert surface.texels.min() >= 0 and surface.texels.max() <= TEXTURE - 1
    skin = surface.texels[: surface.skin_count]
    vertices = surface.vertices(np.zeros(64, np.float32))[: surface.skin_count]
    right = np.flatnonzero(vertices[:, 0] > 0.03)[::50]
    left = np.linalg.norm(vertices[None] - vertices[right][:, None] * [-1, 1, 1], axis=2)
    mirrored = skin[left.argmin(axis=1)] * [-1, 1] + [TEXTURE - 1, 0]
    near = left.min(axis=1) < 1e-4
    assert near.mean() > 0.5
    np.testing.assert_allclose(mirrored[near], skin[right][near], atol=1.5)


def test_bare_shoulders_and_nape_are_left_to_the_relief(
    face_model: MorphableModel, surface: HeadSurface
) -> None:
    whole = face_model.to_world(face_model.shape(torch.zeros(1, 80), torch.zeros(1, 64)))[0].numpy()
    x, y, z = np.abs(whole[:, 0]), whole[:, 1], whole[:, 2]
    beside = (y < -0.11) & (y > -0.17)
    neck = x[(y > -0.1) & (y < -0.07) & (z < -0.055)].max()
    assert x[beside].max() > 2 * neck, "the face model has shoulders"
    kept = surface.vertices(np.zeros(64, np.float32))[: surface.skin_count]
    assert np.abs(kept[kept[:, 1] < -0.1, 0]).max() < 1.1 * neck
    behind = np.arctan2(np.abs(kept[:, 0]), kept[:, 2] + 0.06) > 2.0
    assert behind.any() and kept[behind, 1].min() > -0.045, "the back of the head, but not of the neck"
    inside = surface.vertices(np.zeros(64, np.float32))[surface.skin_count :]
    throat = (inside[:, 1] < -0.045) & (inside[:, 2] < -0.065)
    assert throat.sum() > 50, "the mouth has its back, which lies as far back"
