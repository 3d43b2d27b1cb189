"""Cells that occlude others on the same layer stay in the mesh."""

import numpy as np
import pytest
import torch

from anifacegan.avatars.baking.charts import ManifoldCharts
from anifacegan.avatars.baking.layers import cell_mesh, submesh, unrefined_layers
from anifacegan.avatars.baking.visible_cells import entered_cells, occluding_cells
from anifacegan.avatars.players.view import View
from tests.fixtures.ball_people import (
    z_exp_rows,
)

ON, OFF = z_exp_rows((1,))[0], z_exp_rows(())[0]


@pytest.mark.parametrize("nose", [0.0, 0.05])
def test_a_transparent_nose_occludes_the_cheek_behind_it(nose: float) -> None:
    """Seen from the side, rays first meet the layer at the nose. A layer counts only where a ray first meets it, even
    if it is transparent there.
    """
    side, widest = 40, 0.9
    u = torch.linspace(-0.7, 0.7, side)
    radius = 0.24 + nose * torch.exp(-(u[:, None] ** 2 + u**2) / 0.12**2)
    bumpy = ManifoldCharts(torch.full((1, 2), -0.7), torch.full((1, 2), 0.7), radius[None], 0.0)
    layers = unrefined_layers(bumpy, 64)
    complete = cell_mesh(layers.complete_cells(), layers)
    cheek = np.zeros((1, side - 1, side - 1), bool)
    cheek[:, :, 26:] = True  # the nose ends at about column 25
    occluding = occluding_cells(cheek, layers, lambda x: x, 12.0, widest)
    assert (occluding & ~cheek).any() == (nose > 0)
    selected = submesh(complete, cheek | occluding)
    occluded = 0
    for yaw in np.linspace(-0.85, 0.85, 12):  # between the views that are drawn while baking
        view = View(yaw=float(yaw), pitch=0.05, size=64, fov_deg=12.0)
        first, first_of_cheek, found = (
            entered_cells(mesh, view) for mesh in (complete, submesh(complete, cheek), selected)
        )
        occluded += ((first_of_cheek >= 0) & (first_of_cheek != first)).sum()
        assert ((found != first) & (first_of_cheek >= 0)).sum() <= 2
    assert (occluded > 20) == (nose > 0)
