"""Teeth, tongue and the inside of a mouth that the photograph does not show: light falls in through the lips."""

import numpy as np
import pytest

from anifacegan.capture.head_surface import HeadSurface, head_surface
from anifacegan.capture.mouth import _light, _teeth, mouth_colours
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import load_head_parts
from anifacegan.face_model.parts import LOWER_TEETH, TONGUE, UPPER_TEETH
from anifacegan.geometry.normals import vertex_normals_numpy
from anifacegan.geometry.rasterization.texels import TexelOwners


@pytest.fixture(scope="module")
def surface(face_model: MorphableModel) -> HeadSurface:
    return head_surface(face_model, load_head_parts(), np.zeros(80, np.float32))


@pytest.fixture(scope="module")
def opened(surface: HeadSurface) -> np.ndarray:
    return surface.vertices(load_head_parts().expression_basis().from_strengths({"jawOpen": 0.5}))


def test_light_falls_off_from_the_front_teeth_to_the_throat(surface: HeadSurface, opened: np.ndarray) -> None:
    light = _light(opened, vertex_normals_numpy(opened, surface.triangles), surface.part)
    depth = opened[:, 2]
    upper, tongue = (surface.part == part for part in (UPPER_TEETH, TONGUE))
    front = light[upper & (depth > depth[upper].max() - 0.002)].max()
    tip, throat = (light[tongue & near].max() for near in (depth > -0.02, depth < depth[tongue].min() + 0.01))
    assert front > 0.8 and front > tip > 1.5 * throat > 0.1


def test_teeth_have_gaps_in_the_middle_and_gums_above() -> None:
    line = np.linspace(-0.016, 0.016, 801)
    enamel, gum = np.float32([0.9, 0.9, 0.8]), np.float32([0.7, 0.4, 0.4])

    def row(y: float) -> np.ndarray:
        z = 0.01 - np.square(line) / 0.084
        places = np.stack([line, np.full_like(line, y), z], axis=-1)
        corners = np.array([[0.0, -0.043, 0.01], [0.0, -0.026, 0.01]])
        return _teeth(np.concatenate([places, corners]), UPPER_TEETH, enamel, gum)[:-2]

    biting, at_gums = row(-0.041), row(-0.027)
    assert biting[400, 0] < 0.8 * biting[430, 0], "the gap between the first incisors"
    assert biting[430] / biting[430, 0] == pytest.approx(enamel / enamel[0], abs=0.01)
    assert at_gums[430] == pytest.approx(gum, abs=0.01)


def test_teeth_at_the_corners_of_the_mouth_are_in_shadow() -> None:
    """Closed lips leave a small gap at the corners, 0.018 from the middle; lit teeth behind it were white specks."""
    at = np.linspace(0, 0.6, 601)  # angle about the middle of the dental arch, radius 0.042
    places = np.stack([0.042 * np.sin(at), np.full_like(at, -0.041), 0.042 * (np.cos(at) - 1)], axis=-1)
    places = np.concatenate([places, [[0.0, -0.043, 0.0], [0.0, -0.026, 0.0]]])
    colours = _teeth(places, UPPER_TEETH, np.float32([0.9, 0.9, 0.8]), np.float32([0.7, 0.4, 0.4]))[:-2]
    corner = int(1000 * np.arcsin(0.018 / 0.042))
    front = colours[60:150, 0].max()
    assert front > 0.8 and colours[corner, 0] < 0.55 * front


@pytest.mark.parametrize("gain", [(1.0, 1.0, 1.0), (0.6, 0.5, 0.4)])
def test_parts_have_their_colours_in_the_photograph_s_light(
    gain: tuple[float, ...], surface: HeadSurface, opened: np.ndarray
) -> None:
    vertices = np.array([np.flatnonzero(surface.part == part)[0] for part in (LOWER_TEETH, TONGUE)])
    owners = TexelOwners(np.arange(2), np.repeat(vertices[:, None], 3, axis=1), np.full((2, 3), 1 / 3))
    white = mouth_colours(surface, owners, opened, np.ones(3, np.float32))
    lit = mouth_colours(surface, owners, opened, np.float32(gain))
    np.testing.assert_allclose(lit[1], white[1] * gain, rtol=1e-4)
    assert (lit > 0).all() and (lit <= white + 1e-6).all()
    assert white[1, 0] > 1.4 * white[1, 1], "the tongue is red"
