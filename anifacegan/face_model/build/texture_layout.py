"""Texture coordinates of the open face model, laid out by xatlas.

The surface is cut into charts, connected pieces that are flattened with little distortion and do not overlap.

MakeHuman's own coordinates are those of a whole body: the head covers little of the image, and eyes and teeth overlap.
"""

import importlib
from typing import Any

import numpy as np

from anifacegan.face_model.build.makehuman import INSTALL_COMMAND
from anifacegan.face_model.rig import TEXTURE_PADDING, TEXTURE_SIZE
from anifacegan.runtime.errors import InputError

CHART_COST, NORMAL_WEIGHT, ITERATIONS = 100.0, 0.2, 2
"""Cost at which a chart stops to grow, weight of bent charts in it, and rounds of growing: fewer charts (88) than with
xatlas' own values, with lengths that differ by less than a factor of two over most of the face."""


def load_xatlas() -> Any:
    """Import xatlas, which only the build of the face model needs.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module("xatlas")
    except ImportError:
        raise InputError(
            f"the 'xatlas' package (texture coordinates) is not installed: {INSTALL_COMMAND}"
        ) from None


def texture_arrays(points: np.ndarray, triangles: np.ndarray) -> dict[str, np.ndarray]:
    """Lay out a texture for a mesh with (V, 3) ``points`` and (F, 3) ``triangles``; return two arrays by key.

    ``texture_uv`` has (T, 2) texture coordinates, u to the right and v down; the longer side of the layout fills [0,
    1], and one unit is as long in v as in u. ``texture_tri`` has (F, 3) indices of these at the triangles' corners.
    """
    xatlas = load_xatlas()
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_cost, charts.normal_deviation_weight, charts.max_iterations = (
        CHART_COST,
        NORMAL_WEIGHT,
        ITERATIONS,
    )
    packing.resolution, packing.padding = TEXTURE_SIZE, TEXTURE_PADDING
    charts.fix_winding = True
    packing.rotate_charts = False  # xatlas turns a chart by exchanging u and v, which mirrors it
    atlas = xatlas.Atlas()
    atlas.add_mesh(points.astype(np.float32), triangles.astype(np.uint32))
    atlas.generate(charts, packing)
    vertices, corners, uv = atlas[0]
    if not np.array_equal(vertices[corners], triangles):
        raise ValueError("xatlas changed the triangles")
    uv = uv * np.array([atlas.width, atlas.height]) / max(atlas.width, atlas.height)
    return {"texture_uv": uv.astype(np.float32), "texture_tri": corners.astype(np.int32)}
