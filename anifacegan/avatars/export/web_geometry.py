"""The geometry of an avatar as bytes that a web page unpacks quickly: whole numbers, the planes of their bytes apart.

The vertices of a baked person are on the rows and columns of their layers, so they are stored as a bitmap, and their
numbers as in :mod:`anifacegan.avatars.export.grid_coding`; triangles are two bits a cell. The corners of triangles that
span an opening, three for each of these triangles, come last. Other meshes have lists of corners, and numbers as in
:mod:`anifacegan.avatars.export.linked_coding`. ``page/geometry.js`` reads this.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from anifacegan.avatars.export.grid_coding import GridPlaces
from anifacegan.avatars.export.linked_coding import LinkedPlaces
from anifacegan.avatars.export.visible_part import VisiblePart
from anifacegan.avatars.layered_mesh import LARGEST_SHADE, LayeredMesh
from anifacegan.runtime.errors import InputError

NEUTRAL_STEPS = 2
"""Steps of the neutral positions in one step of the blendshapes."""
HIDDEN_TOLERANCE = 6
"""Tolerance of vertices that are not visible themselves, in steps of the blendshapes; that of visible ones is 1."""
SHADE_STEP = 1 / 128
"""Step of the logarithms of factors on colours."""
TEXEL_STEP = 1 / 32
"""Step of texture coordinates, texels."""


class ByteStream:
    """Arrays of whole numbers, one after another, each at a multiple of four bytes."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.table: dict[str, list[int]] = {}
        self._length = 0

    def add(self, name: str, array: np.ndarray) -> None:
        """Append the bytes of an array as they are."""
        self._append(name, array.tobytes(), array.size, 0)

    def add_planes(self, name: str, values: Int[np.ndarray, "*any"]) -> None:
        """Append whole numbers: 0, -1, 1, -2, ... become 0, 1, 2, 3, ..., of which all lowest bytes come first."""
        values = values.astype(np.int64).ravel()
        zigzag = np.where(values < 0, -2 * values - 1, 2 * values)
        planes = max(1, (int(zigzag.max(initial=0)).bit_length() + 7) // 8)
        if planes > 4:
            raise InputError("has coordinates too large for a web page")
        content = b"".join((zigzag >> (8 * k) & 255).astype(np.uint8).tobytes() for k in range(planes))
        self._append(name, content, values.size, planes)

    def _append(self, name: str, content: bytes, count: int, planes: int) -> None:
        self.table[name] = [self._length, count, planes]
        self.parts.append(content + bytes(-len(content) % 4))
        self._length += len(self.parts[-1])


@dataclass(frozen=True)
class PackedGeometry:
    """Geometry for the web page."""

    content: bytes
    """Bytes, compressed by gzip."""
    header: dict[str, Any]
    """What the page needs to read them: the place of each array, its shapes and steps."""


def packed_geometry(
    part: VisiblePart, step: float, coefficients: dict[str, Float[np.ndarray, "*any"]]
) -> PackedGeometry:
    """Pack vertices, triangles and blendshapes, and arrays of coefficients as they are.

    ``step`` is the precision of visible points, world units.

    Raises:
        InputError: blendshapes are too large, or vertices lie on rows and columns and triangles are no halves of their
            cells.
    """
    layered_mesh, stream = part.layered_mesh, ByteStream()
    placed = len(layered_mesh.vertices) - layered_mesh.texel_offsets.shape[2]
    places = _add_places(stream, layered_mesh)
    tolerance = np.where(part.visible, 1, HIDDEN_TOLERANCE)
    low, fine = float(layered_mesh.vertices.min()), step / NEUTRAL_STEPS
    neutral = _rounded((layered_mesh.vertices - low) / fine)
    for axis in range(3):
        stream.add_planes(
            f"neutral.{axis}", places.residuals(neutral[:, axis], tolerance * NEUTRAL_STEPS // 2)
        )
    for s, p in np.ndindex(*layered_mesh.blendshapes.shape[:2]):
        offsets = _rounded(layered_mesh.blendshapes[s, p] / step)
        if np.abs(offsets).max(initial=0) > 32000:
            raise InputError("has blendshapes too large for a web page")
        for axis in range(3):
            stream.add_planes(f"shape.{s}.{p}.{axis}", places.residuals(offsets[:, axis], tolerance))
        if layered_mesh.shades is not None:
            shades = _rounded(layered_mesh.shades[s, p].clip(-LARGEST_SHADE, LARGEST_SHADE) / SHADE_STEP)
            stream.add_planes(f"shape.{s}.{p}.shade", places.residuals(shades, tolerance))
    stream.add_planes("texel_offsets", _rounded(layered_mesh.texel_offsets / TEXEL_STEP))
    for name, array in coefficients.items():
        stream.add(name, array)
    header = {
        "streams": stream.table,
        "grid": places.shape if isinstance(places, GridPlaces) else (len(layered_mesh.layer_starts) - 1,),
        "placed": placed,
        "moving": len(layered_mesh.vertices) - placed,
        "neutral": [low, fine],
        "step": step,
        "shadeStep": None if layered_mesh.shades is None else SHADE_STEP,
        "largestShade": LARGEST_SHADE,
        "texelStep": TEXEL_STEP,
        "shapes": len(layered_mesh.blendshapes),
        "inbetweens": layered_mesh.blendshapes.shape[1],
    }
    return PackedGeometry(_gzipped(b"".join(stream.parts)), header)


def _gzipped(content: bytes) -> bytes:
    """Compress by gzip, with a strategy for small numbers whose order is mostly chance: 1 % smaller."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS, strategy=zlib.Z_FILTERED)
    return compressor.compress(content) + compressor.flush()


def _add_places(stream: ByteStream, layered_mesh: LayeredMesh) -> GridPlaces | LinkedPlaces:
    """Append triangles and texture coordinates, and return how the vertices' numbers are coded: along the rows and
    columns of a baked person, or along the edges of any other mesh."""
    try:
        places = GridPlaces.of(layered_mesh)
    except InputError:
        linked = LinkedPlaces.of(layered_mesh)
        stream.add_planes("indices", np.diff(layered_mesh.triangles.ravel(), prepend=0))
        stream.add("index_starts", (3 * layered_mesh.layer_starts).astype(np.uint32))
        exact = np.zeros(len(layered_mesh.vertices), np.int64)
        for axis in range(2):
            texels = _rounded(layered_mesh.texels[:, axis] / TEXEL_STEP)
            stream.add_planes(f"texel.{axis}", linked.residuals(texels, exact))
        return linked
    placed = len(places.row)
    stream.add("columns", places.columns.astype(np.float32))
    stream.add("rows", places.rows.astype(np.float32))
    occupied = np.zeros(places.shape, bool)
    occupied[places.layer[:placed], places.row, places.column] = True
    stream.add("occupied", np.packbits(occupied, bitorder="little"))
    _add_triangles(stream, layered_mesh, places)
    stream.add_planes("nearest", np.diff(places.nearest, prepend=0))
    own_texels = layered_mesh.texels[placed:] - layered_mesh.texels[places.nearest]
    stream.add_planes("own_texels", _rounded(own_texels / TEXEL_STEP).T)
    return places


def _add_triangles(stream: ByteStream, layered_mesh: LayeredMesh, places: GridPlaces) -> None:
    """Append the triangles: cells' lower left and upper right halves as bitmaps, those with own corners as counts.

    Raises:
        InputError: a triangle is neither half a cell nor has three corners of its own.
    """
    placed, counts = len(places.row), np.diff(layered_mesh.layer_starts)
    layer = np.repeat(np.arange(len(counts)), counts)
    own = (layered_mesh.triangles >= placed).any(1)
    halves, expected = _cell_halves(layered_mesh.triangles[~own], layer[~own], places)
    corners = layered_mesh.triangles[own].ravel()
    in_order = np.array_equal(corners, placed + np.arange(len(corners)))
    if not (expected and in_order and placed + len(corners) == len(layered_mesh.vertices)):
        raise InputError("its triangles are not halves of cells, as anifacegan bake writes them")
    stream.add("cells", np.packbits(halves, bitorder="little"))
    stream.add("own_triangles", np.bincount(layer[own], minlength=len(counts)).astype(np.uint32))


def _cell_halves(
    triangles: Int[np.ndarray, "triangle 3"], layer: Int[np.ndarray, "triangle"], places: GridPlaces
) -> tuple[Bool[np.ndarray, "2 layer row column"], bool]:
    """Mark the lower left (0) and upper right (1) halves of cells; also return whether all triangles are such halves.

    With the corners a, b to its right, c above it and d, these are a-b-c and d-c-b.
    """
    halves = np.zeros((2, *places.shape), bool)
    row, column = places.row[triangles], places.column[triangles]
    first_row, first_column = row.min(1), column.min(1)
    upper = (row == first_row[:, None]).sum(1) == 1
    down = np.where(upper[:, None], [1, 1, 0], [0, 0, 1])
    aside = np.where(upper[:, None], [1, 0, 1], [0, 1, 0])
    expected = (row == first_row[:, None] + down).all() and (column == first_column[:, None] + aside).all()
    place = (upper.astype(int), layer, first_row, first_column)
    halves[place] = True
    in_order = np.ravel_multi_index((layer, first_row, first_column, upper.astype(int)), (*places.shape, 2))
    return halves, bool(expected and (np.diff(in_order) > 0).all())


def _rounded(values: Float[np.ndarray, "*any"]) -> Int[np.ndarray, "*any"]:
    return np.rint(values).astype(np.int64)
