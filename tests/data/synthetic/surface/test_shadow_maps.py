"""Light through depth maps: squares that hide the sky, and hair that absorbs."""

import numpy as np
import pytest

from anifacegan.data.synthetic.looks.light import sample_light, sphere_directions
from anifacegan.data.synthetic.surface.shadow_maps import (
    HAIR_LEAST,
    MAP_CENTRE,
    ShadowMaps,
    shadow_maps,
    vertex_light,
)
from tests.fixtures.lights import even_sky

MIDDLE = np.array(MAP_CENTRE)


def square(height: float, half: float = 0.8, holes: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A square that faces up, at a height above the maps' middle."""
    corners = np.array(
        [[-half, height, -half], [half, height, -half], [-half, height, half], [half, height, half]]
    )
    return (corners + MIDDLE).astype(np.float32), np.array([[0, 2, 1], [1, 2, 3]], np.int32)


def maps_of(vertices: np.ndarray, triangles: np.ndarray, hair: np.ndarray, lamp: float = 0.0) -> ShadowMaps:
    return shadow_maps(sample_light(even_sky(lamp)), vertices, triangles, hair)


NO_HAIR = np.zeros((0, 3), np.float32)
UP = np.float32([[0, 1, 0]])


def test_without_anything_in_the_way_all_light_arrives() -> None:
    maps = maps_of(*square(-1.4), NO_HAIR, lamp=2.0)
    normals = sphere_directions(40)
    normals = (normals[normals[:, 1] > 0.05]).astype(np.float32)
    light = vertex_light(maps, np.tile(MIDDLE, (len(normals), 1)).astype(np.float32), normals)
    facing_up = normals[:, 1] > 0.95
    assert (light.sky[facing_up] == 1).all()  # others see the square below
    cosines = np.maximum(normals @ maps.towards.T, 0)
    assert np.allclose(light.irradiance[facing_up], (cosines @ maps.radiance)[facing_up], atol=1e-5)


def test_a_square_above_hides_the_sky_and_the_surface_does_not_hide_itself() -> None:
    below, above = square(0.0), square(0.15)
    vertices = np.concatenate([below[0], above[0]])
    triangles = np.concatenate([below[1], above[1] + 4])
    light = vertex_light(maps_of(vertices, triangles, NO_HAIR), MIDDLE[None].astype(np.float32), UP)
    alone = vertex_light(maps_of(*below, NO_HAIR), MIDDLE[None].astype(np.float32), UP)
    assert alone.sky[0] == 1
    assert light.sky[0] < 0.12  # only a little light comes in from the sides


def test_the_lamp_is_hidden_behind_a_wall_and_its_light_is_missing() -> None:
    wall = np.array([[0.3, -1, -1], [0.3, 1, -1], [0.3, -1, 1], [0.3, 1, 1]])
    vertices = (wall + MIDDLE).astype(np.float32)
    triangles = np.array([[0, 1, 2], [1, 3, 2]], np.int32)
    maps = maps_of(vertices, triangles, NO_HAIR, lamp=3.0)
    points = (MIDDLE + [[-0.3, 0, 0], [0.6, 0, 0]]).astype(np.float32)
    facing = np.float32([[1, 0, 0], [1, 0, 0]])
    light = vertex_light(maps, points, facing)
    assert light.lamp[0] == 0 and light.lamp[1] == 1
    assert light.irradiance[0].max() < 0.4 and light.irradiance[1].min() > 3
    assert light.bent[1] @ [1, 0, 0] > 0.95  # most light comes from the lamp


def test_hair_absorbs_with_its_depth() -> None:
    x, z = np.meshgrid(np.linspace(-1, 1, 120), np.linspace(-1, 1, 120))

    def sky_below(depth: float) -> float:
        layer = np.stack([x.ravel(), np.full(x.size, depth), z.ravel()], axis=1) + MIDDLE
        maps = maps_of(*square(-1.0), layer.astype(np.float32))
        return float(vertex_light(maps, MIDDLE[None].astype(np.float32), UP).sky[0])

    thin, thick, thicker = sky_below(0.03), sky_below(0.15), sky_below(0.4)
    assert thin > 0.7 > thick > thicker
    assert thicker == pytest.approx(float(HAIR_LEAST), abs=0.25)  # light comes in from the sides too


def test_what_is_beyond_the_maps_is_lit() -> None:
    maps = maps_of(*square(0.15), NO_HAIR)
    far = (MIDDLE + [[9.0, 0, 0]]).astype(np.float32)
    assert vertex_light(maps, far, UP).sky[0] == 1
