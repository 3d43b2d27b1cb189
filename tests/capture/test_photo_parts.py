"""Person and background of a crop: no rim of the one in the other, and no copies of a large photograph."""

import tracemalloc

import numpy as np

from anifacegan.capture.crop import Crop
from anifacegan.capture.photo_parts import EROSION_PX, photo_parts

SIZE = 128
PERSON, WALL = np.array([200, 60, 40]), np.array([30, 90, 220])


def disk(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """A red disk with a soft edge before a blue wall, and its mask."""
    line = np.arange(SIZE) - (SIZE - 1) / 2
    share = np.clip((radius - np.hypot(*np.meshgrid(line, line))) / 4 + 0.5, 0, 1)
    image = share[..., None] * PERSON + (1 - share[..., None]) * WALL
    return np.rint(image).astype(np.uint8), np.rint(255 * share).astype(np.uint8)


def test_the_background_has_no_ghost_of_the_person() -> None:
    image, share = disk(35)
    parts = photo_parts(image, share, Crop.whole(SIZE), SIZE)
    np.testing.assert_allclose(parts.background * 255, np.broadcast_to(WALL, image.shape), atol=3)


def test_the_outline_is_cut_back_and_clean() -> None:
    image, share = disk(35)
    parts = photo_parts(image, share, Crop.whole(SIZE), SIZE)
    area = np.sqrt(parts.share.sum() / np.pi)
    assert 35 - 3 * EROSION_PX < area < 35 - 0.5 * EROSION_PX
    shown = parts.share > 0.05
    np.testing.assert_allclose(parts.person[shown] * 255, np.broadcast_to(PERSON, image.shape)[shown], atol=8)
    centre = (slice(50, 78), slice(50, 78))
    np.testing.assert_array_equal(parts.person[centre], parts.rgb[centre])


def test_a_person_who_is_cut_off_by_the_photograph_is_not_cut_back_there() -> None:
    image = np.broadcast_to(PERSON, (SIZE, SIZE, 3)).astype(np.uint8)
    parts = photo_parts(image, np.full((SIZE, SIZE), 255, np.uint8), Crop.whole(SIZE), SIZE)
    assert parts.share.min() > 0.99
    assert np.allclose(parts.background, 0.5), "nothing is known of the background"


def test_beyond_the_photograph_its_colours_go_on() -> None:
    image, share = disk(35)
    wide = Crop((SIZE - 1) / 2, (SIZE - 1) / 2, 1.5 * (SIZE - 1))
    parts = photo_parts(image, share, wide, SIZE)
    np.testing.assert_allclose(parts.background * 255, np.broadcast_to(WALL, image.shape), atol=3)
    assert parts.share[0, 0] == 0


def test_a_large_photograph_is_not_copied() -> None:
    """As float32, the mask of one of 169 megapixels and what was computed of it took 3 GB beside the pixels."""
    side = 5000
    image, share = np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.uint8)
    tracemalloc.start()
    try:
        photo_parts(image, share, Crop.whole(side), SIZE)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < side * side, "less than one byte a pixel"
