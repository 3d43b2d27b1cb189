"""Strands over an image: what they hide, and the light on them."""

import numpy as np
import pytest

from anifacegan.data.synthetic.looks.light import sample_light
from anifacegan.data.synthetic.strands.drawing import StrandImage, draw_strands
from anifacegan.data.synthetic.strands.lighting import DIFFUSE, strand_light
from anifacegan.data.synthetic.strands.strands import Strands
from anifacegan.data.synthetic.surface.shadow_maps import MAP_CENTRE, ShadowMaps, shadow_maps
from tests.fixtures.lights import even_sky
from tests.fixtures.synthetic_faces import one_camera

SIZE = 65
ORIGIN = np.zeros(3, np.float32)
NOTHING = np.zeros((SIZE, SIZE), np.float32)
RGB = np.float32([0.1, 0.2, 0.3])


def curtain(z: float, *, points: int = 7, count: int = 120, rgb: np.ndarray = RGB) -> Strands:
    """Upright strands in the right half of the image, model units."""
    x = np.linspace(0.05, 0.6, count)
    lines = np.stack(np.broadcast_arrays(x[:, None], np.linspace(-0.6, 0.6, points), z), axis=-1)
    colours = np.tile(rgb, (count, 1)).astype(np.float32)
    return Strands(
        lines.astype(np.float32),
        colours,
        np.ones(count, np.float32),
        np.arange(count),
        1.0,
        5.0,
        1.0,
        on_scalp=False,
    )


def shadows_of(hair: np.ndarray) -> ShadowMaps:
    return shadow_maps(
        sample_light(even_sky()), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32), hair
    )


def drawn(*strands: Strands, hair: np.ndarray | None = None, nearest: np.ndarray = NOTHING) -> StrandImage:
    shadows = shadows_of(np.zeros((0, 3), np.float32) if hair is None else hair)
    camera = one_camera(yaw=0.0, pitch=0.0, size=SIZE)
    return draw_strands(list(strands), strand_light(shadows, even_sky()), camera, ORIGIN, nearest)


def colours(image: StrandImage) -> np.ndarray:
    """The colours of the strands themselves."""
    return image.total / np.maximum(1 - image.through, 1e-6)[..., None]


def test_a_curtain_in_an_even_sky_has_its_colour() -> None:
    """The mean sine of the angle between a fibre and a direction is pi / 4, and the sky adds up to 4."""
    image = drawn(curtain(0.0))
    covered = image.through < 0.3
    assert covered[20:40, 36:48].all() and (image.through[:, :32] == 1).all()
    expected = float(DIFFUSE) * np.pi * RGB
    assert colours(image)[covered] == pytest.approx(np.tile(expected, (covered.sum(), 1)), rel=0.05)


@pytest.mark.parametrize("points", [3, 7, 8, 20])
def test_the_colour_does_not_depend_on_the_number_of_points(points: int) -> None:
    few, many = drawn(curtain(0.0, points=points)), drawn(curtain(0.0, points=31))
    covered = few.through < 0.3
    assert np.allclose(colours(few)[covered], colours(many)[covered], atol=1e-3)


def test_the_nearer_of_two_curtains_is_seen_and_has_the_colour_that_it_has_alone() -> None:
    near, far = curtain(0.3), curtain(0.0, rgb=np.float32([1, 1, 1]))
    alone = drawn(near)
    covered = alone.through < 0.3
    for pair in ((near, far), (far, near)):
        both = drawn(*pair)
        behind = drawn(far).total
        expected = alone.total + alone.through[..., None] * behind
        assert np.allclose(both.total[covered], expected[covered], atol=0.03)


def test_a_solid_surface_hides_the_strands_behind_it() -> None:
    wall = NOTHING.copy()
    wall[:, 42:] = 2.0  # half a world unit before the camera
    image, free = drawn(curtain(0.0), nearest=wall), drawn(curtain(0.0))
    assert (image.through[:, 42:] == 1).all() and not image.total[:, 42:].any()
    assert np.array_equal(image.total[:, :42], free.total[:, :42])


def test_hair_above_darkens_strands() -> None:
    x, z = np.meshgrid(np.linspace(-1, 1, 150), np.linspace(-1.5, 1, 150))
    roof = np.stack([x.ravel(), np.full(x.size, 0.62), z.ravel()], axis=1).astype(np.float32)
    assert roof[:, 2].min() < MAP_CENTRE[2]
    image, free = drawn(curtain(0.0), hair=roof), drawn(curtain(0.0))
    assert image.total[30:34, 38:47].mean() < 0.75 * free.total[30:34, 38:47].mean()


def test_without_light_strands_hide_as_much_and_are_black() -> None:
    camera = one_camera(yaw=0.0, pitch=0.0, size=SIZE)
    image, lit = draw_strands([curtain(0.0)], None, camera, ORIGIN, NOTHING), drawn(curtain(0.0))
    assert not image.total.any()
    assert np.array_equal(image.through, lit.through)
    assert np.array_equal(image.inverse_depth, lit.inverse_depth)


def test_an_image_without_strands_is_empty() -> None:
    image = drawn()
    assert (image.through == 1).all() and not image.total.any() and not image.inverse_depth.any()
