"""The map of skin detail: its size, its layers, and reading it."""

import numpy as np
import pytest

from anifacegan.data.synthetic.surface.skin_detail import (
    LAYER_SCALES,
    LAYERS,
    TEXEL,
    SkinDetail,
    SkinRegions,
    TextureLayout,
    map_size,
    read_detail,
    skin_detail,
)

SIDE = 0.5
"""Side, in model units, of a flat square of skin that fills the texture."""


@pytest.fixture(scope="module")
def detail() -> SkinDetail:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32)
    triangles = np.array([[0, 1, 2], [1, 3, 2]], np.int32)
    layout = TextureLayout(corners[:, :2].copy(), triangles)
    right = corners[:, 0].copy()
    regions = SkinRegions(lips=np.zeros(4, np.float32), freckled=right, porous=right)
    return skin_detail(corners * SIDE, triangles, layout, regions)


def test_a_texel_is_half_a_millimetre(detail: SkinDetail) -> None:
    assert detail.layers.shape == (round(SIDE / TEXEL), round(SIDE / TEXEL), LAYERS)


def test_a_layout_without_area_gives_a_small_flat_map() -> None:
    points = np.zeros((3, 3), np.float32)
    layout = TextureLayout(np.zeros((3, 2), np.float32), np.array([[0, 1, 2]], np.int32))
    assert map_size(points, layout.corners, layout) == 16
    nothing = np.zeros(3, np.float32)
    flat = skin_detail(points, layout.corners, layout, SkinRegions(nothing, nothing, nothing))
    assert not flat.layers.any()


def test_bumps_lie_in_the_surface_and_freckles_where_they_grow(detail: SkinDetail) -> None:
    layers = detail.layers.astype(float) * np.array(LAYER_SCALES) / 127
    assert not layers[..., 2].any()  # a flat square's heights have no slope along its normal
    assert 0.01 < layers[..., :2].std() < 0.2
    freckles = layers[..., 5]
    assert (
        freckles[:, -30:].mean() > 2.5 * freckles[:, :30].mean()
    )  # the weights' ratio is 5.7, the dots are random
    assert layers[..., 3].std() == pytest.approx(1, abs=0.05) and abs(layers[..., 3].mean()) < 0.2


def test_the_map_is_the_same_every_time(detail: SkinDetail) -> None:
    again = skin_detail(
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32) * SIDE,
        np.array([[0, 1, 2], [1, 3, 2]], np.int32),
        detail.layout,
        SkinRegions(*(np.float32([0, 1, 0, 1]) * share for share in (0, 1, 1))),
    )
    assert np.array_equal(detail.layers, again.layers)


def test_reading_interpolates_between_texel_centres(detail: SkinDetail) -> None:
    scales = (np.array(LAYER_SCALES) / 127).astype(np.float32)
    size = len(detail.layers)
    out = np.empty(LAYERS, np.float32)

    def read(row: float, column: float) -> np.ndarray:
        read_detail(
            detail.layers, scales, np.float32((column + 0.5) / size), np.float32((row + 0.5) / size), out
        )
        return out.copy()

    exact = detail.layers[40, 30:32].astype(np.float32) * scales
    # the position is a float32 in [0, 1] times the size: off by 1e-5 texels, times a layer's range of at most 8
    assert np.allclose(read(40, 30), exact[0], atol=3e-4)
    assert np.allclose(read(40, 30.25), 0.75 * exact[0] + 0.25 * exact[1], atol=3e-4)
