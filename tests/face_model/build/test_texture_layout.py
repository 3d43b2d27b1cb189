"""The texture layout: indices of the corners, no overlap, little distortion, the same again."""

import numpy as np
import pytest

from anifacegan.face_model.build import texture_layout
from anifacegan.face_model.build.texture_layout import texture_arrays
from anifacegan.runtime.errors import InputError
from tests.fixtures.triangulated_sphere import triangulated_sphere


@pytest.fixture(scope="module")
def sphere() -> tuple[np.ndarray, np.ndarray]:
    pytest.importorskip("xatlas")
    points, triangles = triangulated_sphere(400)
    return points.numpy().astype(np.float32), triangles.numpy()


def areas(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(F,) signed areas of triangles in the plane, or areas in space."""
    a, b, c = points[triangles].transpose(1, 0, 2)
    product = np.cross(b - a, c - a)
    return product / 2 if product.ndim == 1 else np.linalg.norm(product, axis=1) / 2


def test_every_triangle_has_its_place_of_about_its_size(sphere: tuple[np.ndarray, np.ndarray]) -> None:
    points, triangles = sphere
    arrays = texture_arrays(points, triangles)
    uv, corners = arrays["texture_uv"], arrays["texture_tri"]
    assert corners.shape == triangles.shape and corners.max() == len(uv) - 1
    assert uv.min() >= 0 and uv.max() <= 1 and uv.max() > 0.95
    flat = areas(np.concatenate([uv, 0 * uv[:, :1]], axis=1), corners)
    ratio = np.sqrt(flat / areas(points, triangles))
    assert ratio.max() < 2 * ratio.min()  # lengths are stretched by less than a factor of two


def test_no_point_of_the_layout_belongs_to_two_triangles(sphere: tuple[np.ndarray, np.ndarray]) -> None:
    arrays = texture_arrays(*sphere)
    a, b, c = arrays["texture_uv"][arrays["texture_tri"]].astype(np.float64).transpose(1, 0, 2)
    grid = (np.stack(np.meshgrid(np.arange(150), np.arange(150)), axis=-1).reshape(-1, 1, 2) + 0.5) / 150

    def left_of(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        edge, to = end - start, grid - start
        return edge[:, 0] * to[..., 1] - edge[:, 1] * to[..., 0]

    sides = np.stack([left_of(a, b), left_of(b, c), left_of(c, a)])
    owners = ((sides > 1e-9).all(axis=0) | (sides < -1e-9).all(axis=0)).sum(axis=1)
    assert owners.max() == 1 and (owners == 1).mean() > 0.4


def test_two_layouts_are_equal(sphere: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = texture_arrays(*sphere), texture_arrays(*sphere)
    assert all(np.array_equal(one[key], other[key]) for key in one)


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(texture_layout.importlib, "import_module", missing)
    with pytest.raises(InputError, match="'xatlas' package .* is not installed: pip install"):
        texture_layout.load_xatlas()
