"""Ribbons along strands, and the texture of their hairs."""

import numpy as np

from anifacegan.avatars.export.ribbons import TEXTURE_HEIGHT, hair_texture, resampled, ribbons_along
from anifacegan.runtime.image_files import read_image

STEPS = 5


def a_bow(count: int = 3) -> np.ndarray:
    """Strands that hang down in a plane, each beside the other."""
    share = np.linspace(0, 1, STEPS)
    line = np.stack([0.1 * share**2, -share, np.zeros(STEPS)], axis=1)
    return line + np.arange(count)[:, None, None] * np.array([0.3, 0.0, 0.0])


def test_a_ribbon_is_as_wide_as_asked_and_its_middle_is_the_strand() -> None:
    paths, width = a_bow(), np.linspace(0.05, 0.01, STEPS) * np.ones((3, 1))
    made = ribbons_along(paths, np.broadcast_to([0.0, 0.0, 1.0], paths.shape), width)
    left, right = made.points.reshape(3, STEPS, 2, 3).transpose(2, 0, 1, 3)
    np.testing.assert_allclose((left + right) / 2, paths, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(right - left, axis=-1), width, atol=1e-12)
    np.testing.assert_allclose(made.uv.reshape(3, STEPS, 2, 2)[1, :, 0, 1], np.linspace(0, 1, STEPS))


def test_fronts_and_normals_look_where_asked_and_triangles_do_not_join_strands() -> None:
    paths = a_bow()
    made = ribbons_along(paths, np.broadcast_to([0.2, 0.1, 1.0], paths.shape), np.full(paths.shape[:2], 0.02))
    a, b, c = made.points[made.triangles].transpose(1, 0, 2)
    fronts = np.cross(b - a, c - a)
    assert (fronts[:, 2] > 0).all()
    np.testing.assert_allclose(np.linalg.norm(made.normals, axis=1), 1)
    assert (made.normals[:, 2] > 0.9).all()
    owner = made.triangles // (2 * STEPS)
    assert (owner == owner[:, :1]).all() and len(made.triangles) == 3 * (STEPS - 1) * 2


def test_resampled_points_are_evenly_spaced_from_root_to_tip() -> None:
    path = a_bow(1)[0]
    found = resampled(path, 9)
    np.testing.assert_allclose(found[[0, -1]], path[[0, -1]], atol=1e-12)
    steps = np.linalg.norm(np.diff(found, axis=0), axis=1)
    assert np.ptp(steps) < 0.02 * steps.mean()


def test_narrow_curls_are_smoothed() -> None:
    down = np.linspace(0, 1, 36)
    curl = 0.05 * np.stack([np.cos(40 * down), np.zeros(36), np.sin(40 * down)], axis=1)
    found = resampled(np.stack([0 * down, -down, 0 * down], axis=1) + curl, 9)
    assert np.abs(found[1:-1, [0, 2]]).max() < 0.03
    assert len(found) == 9


def test_the_texture_is_fuller_at_the_root_than_at_the_tip_and_the_same_every_time() -> None:
    image = read_image(hair_texture())
    assert image.shape[2] == 4
    share = (image[..., 3] >= 128).mean(axis=1)
    assert share[:20].mean() > 0.6 and share[-1] < 0.1 < share[TEXTURE_HEIGHT // 2]
    assert (
        image[..., :3].min() >= 178
    )  # colours beside the hairs are theirs, so that mipmaps have no dark edges
    hair_texture.cache_clear()
    assert np.array_equal(read_image(hair_texture()), image)
