"""Skin that the photograph does not show: the other half of the face, with this half's light, else what is near."""

import numpy as np
import pytest

from anifacegan.capture.painting import SeenTexels
from anifacegan.capture.skin import _with_smooth_lips, skin_texture, without_covered_sides

SIZE, VIEW = 200, 160


def half_seen(share: float = 1.0) -> tuple[SeenTexels, np.ndarray, np.ndarray, np.ndarray]:
    """A face whose left 60 % are seen, with a mark at the left and its light on all of it."""
    line = np.linspace(0, VIEW - 1, SIZE)
    places = np.stack(np.meshgrid(line, line), axis=-1).astype(np.float32)
    seen = np.zeros((SIZE, SIZE), np.float32)
    seen[:, : int(0.6 * SIZE)] = 1
    facing = np.where(seen > 0, 0.9, -0.5).astype(np.float32)
    texels = SeenTexels(np.ones_like(seen), seen, facing, places)
    person = np.full((VIEW, VIEW, 3), 0.5, np.float32)
    person[60:80, 24:40] = [0.8, 0.2, 0.2]
    depth = np.full((VIEW, VIEW), 1.0)
    return texels, person, np.full((VIEW, VIEW), share, np.float32), depth


def test_seen_skin_is_the_photograph_and_unseen_skin_its_mirror_image() -> None:
    texels, person, share, depth = half_seen()
    painted = skin_texture(texels, person, share, depth)
    rgb = painted[..., :3]
    np.testing.assert_allclose(rgb[85, 40], [0.8, 0.2, 0.2], atol=0.02)
    np.testing.assert_allclose(rgb[85, SIZE - 1 - 40], [0.8, 0.2, 0.2], atol=0.08)
    np.testing.assert_allclose(rgb[150, 180], 0.5, atol=0.05)
    assert (painted[..., 3] > 0.999).all()


def test_without_a_half_that_is_seen_well_near_colours_go_on() -> None:
    texels, person, share, depth = half_seen()
    texels.facing[texels.seen > 0] = 0.36  # too slanted to be mirrored
    rgb = skin_texture(texels, person, share, depth)[..., :3]
    assert np.abs(rgb[85, SIZE - 1 - 40] - 0.5).max() < 0.1


def test_what_is_no_person_is_transparent_where_the_skin_faces_the_camera() -> None:
    texels, person, share, depth = half_seen()
    share[:, :30] = 0
    painted = skin_texture(texels, person, share, depth)
    assert painted[100, 10, 3] < 0.02 and painted[100, 100, 3] > 0.98


@pytest.mark.parametrize(("hair", "expected"), [(1.0, 0.0), (0.0, 1.0)])
def test_unseen_sides_of_the_head_give_way_to_hair_beside_it_but_not_to_the_background(
    hair: float, expected: float
) -> None:
    texels, person, share, depth = half_seen()
    texture = skin_texture(texels, person, share, depth)
    z = np.full((SIZE, SIZE), -0.05, np.float32)
    z[:, :150] = 0.0  # cheeks and nose
    sides = without_covered_sides(texture, texels, np.full((VIEW, VIEW), hair, np.float32), z)
    np.testing.assert_allclose(sides[40, 180, 3], expected, atol=0.01)
    np.testing.assert_allclose(sides[40, 140, 3], 1.0, atol=0.01, err_msg="unseen, but the face")
    np.testing.assert_allclose(sides[40, 60, 3], 1.0, atol=0.01, err_msg="seen")
    np.testing.assert_allclose(sides[190, 180, 3], 1.0, atol=0.01, err_msg="jaw and neck")


def test_the_other_half_does_not_stand_in_where_it_differs_much_in_brightness() -> None:
    texels, person, share, depth = half_seen()
    person[:, 80:100] = 0.05  # hair hangs over the end of the seen half
    rgb = skin_texture(texels, person, share, depth)[..., :3]
    assert rgb[20, 150].max() < 0.3, "hair goes on, and no mirrored cheek"


def test_an_ear_is_not_printed_on_a_cheek_that_turns_away() -> None:
    texels, person, share, depth = half_seen()
    texels.seen[:] = 1
    texels.facing[:] = np.where(np.arange(SIZE) < 26, 0.3, 0.9)  # the left cheek turns away
    person[62:80, 12:20] = [0.15, 0.1, 0.08]  # the shadow behind an ear
    person[62:80, 100:110] = [0.15, 0.1, 0.08]  # a mole in the middle of the face stays
    rgb = skin_texture(texels, person, share, depth)[..., :3]
    np.testing.assert_allclose(rgb[88, 18], 0.5, atol=0.1)
    np.testing.assert_allclose(rgb[88, 130], [0.15, 0.1, 0.08], atol=0.05)


def test_the_inner_edge_of_the_lips_is_smooth_and_goes_on_in_the_gap() -> None:
    owned = np.ones((SIZE, SIZE), bool)
    owned[90:110, 60:140] = False  # the lips are apart
    rgb = np.full((SIZE, SIZE, 3), 0.6, np.float32)
    rgb[110, 60:140:2] = 0.1  # half of the texels of the edge are dark
    rgb[~owned] = 1.0
    smooth = _with_smooth_lips(rgb, owned)
    edge = smooth[110, 70:130, 0]
    assert edge.std() < 0.05 and 0.3 < edge.mean() < 0.62
    assert np.abs(smooth[108, 70:130, 0] - edge).max() < 0.1, "the gap is no light line"
    np.testing.assert_allclose(smooth[130:], rgb[130:])
