"""Layers are refined where an expression stretches the skin."""

import numpy as np
import pytest
import torch

from anifacegan.avatars.baking.charts import chart_manifolds
from anifacegan.avatars.baking.refinement import refined_layers
from tests.fixtures.ball_people import (
    LEVELS,
    RAY_SAMPLING,
    ball_scalar,
    person,
    squeezed,
    z_exp_rows,
)

ON, OFF = z_exp_rows((1,))[0], z_exp_rows(())[0]


def test_lines_are_close_where_an_expression_stretches_the_skin() -> None:
    """By up to ten times along y about y = 0.01; not along x."""
    side = 80  # cells of some millimetres
    condition = person(squeezed(0))
    fine = chart_manifolds(ball_scalar, torch.tensor(LEVELS), RAY_SAMPLING, side)
    layers = refined_layers(condition, z_exp_rows((1,)), condition(OFF), fine, 96)
    np.testing.assert_array_equal(layers.columns, np.arange(side))
    steps = layers.rows.diff()
    assert layers.rows[0] == 0 and layers.rows[-1] == pytest.approx(side - 1, abs=1e-4)
    assert 0 < steps.min() < 0.6 and steps.max() == pytest.approx(1, abs=1e-5)
    middle = fine.vertices()[0, :, side // 2, 1]  # y of the charts' rows
    close = layers.rows[:-1][steps < 0.9].floor().long()
    assert (middle[close] - 0.01).abs().max() < 0.02
    assert layers.width == 96 and layers.height == round(96 * len(layers.rows) / side)
    assert len(refined_layers(condition, z_exp_rows(), condition(OFF), fine, 96).rows) == side
