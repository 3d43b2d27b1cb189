"""Refinement: where expressions stretch the skin, the grid lines of the layers are closer together. The vertices of the
mesh and the texels of the textures are then closer together, too."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.avatars.baking.blendshapes import deformed_mesh
from anifacegan.avatars.baking.charts import ManifoldCharts
from anifacegan.avatars.baking.inverse_warp import Condition, on_template
from anifacegan.avatars.baking.layers import (
    RIM,
    LayerMesh,
    Layers,
    LevelCells,
    cell_mesh,
    dilated,
    unrefined_layers,
)
from anifacegan.avatars.baking.nested_vertices import NestedVertices
from anifacegan.avatars.baking.textures import coarse_textures
from anifacegan.models.generator import ConditionedFields

REFINED_STRETCH, REMAINING_STRETCH, MOST_PARTS = 4.0, 2.0, 4
"""A grid cell that an expression stretches by more than the factor REFINED_STRETCH is divided. The number of parts is
the smallest one with which each part is stretched by at most REMAINING_STRETCH, but at most MOST_PARTS."""
OPACITY_SPACING = 8
"""Distance, in texels, between the points at which opacities are evaluated to find the most opaque layer, the skin."""
STRETCH_LAYERS = (-3, 0, 3)
"""Layers in which the stretch is measured: index minus the index of the most opaque layer, the skin."""


def refined_layers(
    condition: Condition,
    z_exp: Float[np.ndarray, "shape 64"],
    fields: ConditionedFields,
    charts: ManifoldCharts,
    texture: int,
) -> Layers:
    """Make layers whose grid lines are closer together where one of the expressions stretches the skin.

    Args:
        condition: function from expression coefficients to the fields of one person with this expression.
        z_exp: coefficients of the expressions.
        fields: the person's fields with a neutral face.
        charts: the model's radiance manifolds, each flattened to a square.
        texture: height and width, in texels, that the textures would have without refinement.
    """
    even = unrefined_layers(charts, texture)
    if not len(z_exp):
        return even
    complete = even.complete_cells()
    opaque = even.cells_showing(coarse_textures(fields, even, OPACITY_SPACING)[..., 3] > 0.5) & complete
    opaque_cells = opaque.sum((1, 2))
    skin = int(opaque_cells.argmax())
    row_parts, column_parts = np.ones((2, charts.side - 1))
    for level in sorted({min(max(skin + k, 0), len(opaque) - 1) for k in STRETCH_LAYERS}):
        if not opaque_cells[level]:
            continue
        cells = np.zeros_like(opaque)
        cells[level] = opaque[level]
        mesh = cell_mesh(dilated(cells, RIM) & complete, even)
        of_person = NestedVertices.of(replace(mesh, x_template=on_template(fields, mesh.x_template)))
        for expression in z_exp:
            x = deformed_mesh(condition, expression, of_person).x
            _divide_stretched(row_parts, column_parts, mesh, x, opaque)
    rows, columns = (
        torch.from_numpy(np.concatenate([[0], np.cumsum(np.repeat(1 / count, count.astype(int)))])).to(
            even.rows
        )
        for count in (row_parts, column_parts)
    )
    height, width = (round(texture * len(lines) / charts.side) for lines in (rows, columns))
    return Layers(charts, rows.clamp(max=charts.side - 1), columns.clamp(max=charts.side - 1), height, width)


def _divide_stretched(
    row_parts: Float[np.ndarray, "row"],
    column_parts: Float[np.ndarray, "column"],
    mesh: LayerMesh,
    x: Float[np.ndarray, "vertex 3"],
    cells: LevelCells,
) -> None:
    """Increase, in place, the numbers of parts that rows and columns of cells are divided into.

    They increase where the triangles of the mesh are stretched when its vertices are at ``x`` (an expression).
    """
    first, right, up = mesh.triangles.T  # corners of the triangles, see cell_mesh
    _, row, column = np.unravel_index(mesh.cell, cells.shape)
    for parts, line, end in ((row_parts, row, up), (column_parts, column, right)):
        long, short = (np.linalg.norm(points[end] - points[first], axis=1) for points in (x, mesh.x_template))
        stretched = long > REFINED_STRETCH * short
        needed = np.ceil(long / short / REMAINING_STRETCH).clip(1, MOST_PARTS)
        np.maximum.at(parts, line[stretched], needed[stretched])
