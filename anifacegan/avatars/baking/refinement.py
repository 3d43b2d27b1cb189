"""Where expressions stretch the skin, sheets have more lines: finer meshes and finer textures run through there."""

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.avatars.baking.blendshapes import posed
from anifacegan.avatars.baking.charts import ManifoldCharts
from anifacegan.avatars.baking.inverse_warp import Condition
from anifacegan.avatars.baking.layers import RIM, Layers, even_layers, grown, mesh_of
from anifacegan.avatars.baking.textures import coarse_textures
from anifacegan.models.generator import ConditionedFields

FAR_STRETCH, STRETCH, MOST_PARTS = 4.0, 2.0, 4
"""Cells that are stretched more than the first are divided into parts that are stretched no more than the second, but
into no more parts than the third."""
PILOT_SPACING = 8
"""The most opaque manifold is looked for at every so many texels."""
PILOTS = (-3, 0, 3)
"""Manifolds that tell where skin is stretched: the most opaque one, and those so far before and behind it."""


def stretched_layers(
    condition: Condition,
    latents: Float[np.ndarray, "shape 64"],
    person: ConditionedFields,
    charts: ManifoldCharts,
    texture: int,
) -> Layers:
    """Lines and texels of the sheets, closer where an expression stretches the person's most opaque manifold."""
    even = even_layers(charts, texture)
    if not len(latents):
        return even
    complete = even.complete_cells()
    opaque = even.cells(coarse_textures(person, even, PILOT_SPACING)[..., 3] > 0.5) & complete
    opaque_cells = opaque.sum((1, 2))
    skin = int(opaque_cells.argmax())
    parts = np.ones((2, charts.side - 1))
    for level in sorted({min(max(skin + k, 0), len(opaque) - 1) for k in PILOTS}):
        if not opaque_cells[level]:
            continue
        alone = np.zeros_like(opaque)
        alone[level] = opaque[level]
        mesh = mesh_of(grown(alone, RIM) & complete, even)
        for code in latents:
            x = posed(condition, code, mesh).x
            for axis, (first, second) in enumerate(
                ((0, 2), (0, 1))
            ):  # along a triangle's column, and its row
                long, short = (
                    np.linalg.norm(
                        points[mesh.triangles[:, second]] - points[mesh.triangles[:, first]], axis=1
                    )
                    for points in (x, mesh.x_template)
                )
                line_of = np.unravel_index(mesh.cell, opaque.shape)[1 + axis]
                far = long > FAR_STRETCH * short
                np.maximum.at(
                    parts[axis], line_of[far], np.ceil(long / short / STRETCH).clip(1, MOST_PARTS)[far]
                )
    rows, columns = (
        torch.from_numpy(np.concatenate([[0], np.cumsum(np.repeat(1 / count, count.astype(int)))])).to(
            even.rows
        )
        for count in parts
    )
    height, width = (round(texture * len(lines) / charts.side) for lines in (rows, columns))
    return Layers(charts, rows.clamp(max=charts.side - 1), columns.clamp(max=charts.side - 1), height, width)
