"""Textures: evaluated texel by texel where cells are visible, interpolated elsewhere."""

import numpy as np
import torch

from anifacegan.avatars.baking.textures import coarse_textures, fine_textures
from tests.fixtures.ball_people import (
    LEVELS,
    charts,
    painted,
    person,
    uneven_layers,
    z_exp_rows,
)

ON, OFF = z_exp_rows((1,))[0], z_exp_rows(())[0]


def test_fine_textures_are_exact_where_cells_are_visible_and_close_elsewhere() -> None:
    layers = uneven_layers(90, 77)
    coarse = coarse_textures(person()(OFF), layers)
    assert coarse.shape[:3] == (len(LEVELS), 23, 20)
    visible = np.zeros((len(LEVELS), len(layers.rows) - 1, len(layers.columns) - 1), bool)
    visible[:, :, 10:] = True
    textures, evaluated = fine_textures(person()(OFF), layers, coarse, visible)
    places = layers.texel_positions(90, 77)
    for level in range(len(LEVELS)):
        rgb, alpha = painted(charts().points(level, places.reshape(-1, 2)))
        exact = torch.cat([rgb * alpha[:, None], alpha[:, None]], -1).reshape(90, 77, 4).numpy()
        column = np.arange(77) * (len(layers.columns) - 1) / 76
        error = np.abs(textures[level] / 255 - exact).max((0, 2))
        assert error[column >= 10].max() < 0.6 / 255
        assert 0.6 / 255 < error[column < 10].max()
        # Corner texels are the same points in both resolutions.
        np.testing.assert_allclose(coarse[level][[0, -1]][:, [0, -1]], exact[[0, -1]][:, [0, -1]], atol=1e-5)
    # Where the coarse texture is transparent, nothing is evaluated.
    shown = sum((texture[:, column >= 10, 3] > 0).sum() for texture in textures)
    assert shown <= evaluated < 0.6 * len(LEVELS) * 90 * (column >= 10).sum()
