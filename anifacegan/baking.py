"""Baking: the networks' person becomes a layered avatar (:mod:`anifacegan.layered`), which plays without them.

What a person looks like does not depend on the expression: it is a function of template points. So each manifold's
colours become one texture. An expression is geometry: the vertex that shows the template point x_template is where

    x + D(x; z_id, z_exp) = x_template,

found by fixed-point steps ``x <- x_template - D(x)``; and where these do not arrive, as between lips that open, by
Newton's, along intermediate strengths of the expression. Where an expression stretches the skin, meshes and textures
are finer: extra lines of the grid run through there.

Textures are baked coarsely first. Views from many sides, with every expression, tell what is ever seen; only that stays
a mesh, and only there is the texture baked finely.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import binary_dilation
from torch import Tensor
from tqdm import tqdm

from anifacegan.errors import InputError, require
from anifacegan.layered import LayeredAvatar
from anifacegan.manifold_charts import Field, ManifoldCharts, ask
from anifacegan.models.generator import Avatar
from anifacegan.playback import View, entered_triangles, seen_triangles
from anifacegan.shapes import EXP_DIM

TRANSPARENT = 1 / 512
"""Opacity below which a texel is not there."""
COARSE = 4
"""The first bake has a texel for so many in each direction."""
SEEN_SIZE = 128
"""Pixels of the views that tell what is seen."""
SPREAD = 1
"""Cells around a seen one that count as seen."""
RIM = 4
"""Transparent cells around opaque ones that are kept at first: where a ray leaves a sheet again soon."""
BEFORE = 3
"""Cells around one that stands before another on its sheet that are kept as well: for the views in between."""
SETTLED = 3e-5
"""World units: vertices that are nearer to where they belong are left there."""
FIXED_POINT_STEPS, NEWTON_STEPS = 6, 8
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
"""Of an expression, for vertices that the fixed-point steps do not lead home."""
DIFFERENCE, LONGEST_STEP = 1e-4, 3e-3
"""World units: for slopes of the deformation, and of a step of Newton's."""
HIDDEN = 2e-4
"""World units: template points that no target point comes nearer to are not seen with an expression."""
UNSTRETCHED = 0.75
"""Of the template's volume to the target's: less is skin that is stretched over something hidden."""
FAR_STRETCH, STRETCH, MOST_PARTS = 4.0, 2.0, 4
"""Cells that are stretched more than the first are divided into parts that are stretched no more than the second, but
into no more parts than the third."""
PILOTS = (-3, 0, 3)
"""Manifolds that tell where skin is stretched: the most opaque one, and those so far before and behind it."""
BACKGROUND_SIDE = 384


@dataclass(frozen=True)
class BakeConfig:
    """How finely a person is baked."""

    texture: int = 512
    """Height and width of each sheet's texture, without what is added where the skin stretches."""
    grid: int = 128
    """Vertices along a side of each sheet, without what is added where the skin stretches."""
    widest_rad: float = 0.9
    """How far from frontal a view of the avatar may be."""

    def __post_init__(self) -> None:
        require(self, "bake", "texture", at_least=4 * COARSE)
        require(self, "bake", "grid", at_least=8)
        if not 0 < self.widest_rad <= 1.2:
            raise ValueError(f"bake.widest_rad is {self.widest_rad}, expected more than 0, at most 1.2")


@dataclass(frozen=True)
class BakeReport:
    """What baking could not do exactly."""

    residual: Float[np.ndarray, "shape"]
    """Of each expression: the distance between the template point that a vertex should show and the one it shows, world
    units, of which 99 % of the vertices are below."""
    twice: float
    """Share of the manifolds' chart points that are met more than once, of which the outermost is baked."""
    evaluated: int
    """Points that the template was asked at."""


Condition = Callable[[Float[np.ndarray, "64"]], Avatar]
"""Expression coefficients -> the person with that expression, a batch of one."""


@torch.inference_mode()
def bake(
    condition: Condition, codes: Float[np.ndarray, "shape 64"], charts: ManifoldCharts, config: BakeConfig
) -> tuple[LayeredAvatar, BakeReport]:
    """Bake a person with a blendshape for each of the expressions ``codes``.

    Raises:
        InputError: the model reads its colours off the manifolds, or nothing of the person can be seen.
    """
    codes = codes.astype(np.float32)
    person = condition(np.zeros(EXP_DIM, np.float32))
    if person.radiance_offset_gain != 1:
        raise InputError(
            f"radiance_offset_gain is {person.radiance_offset_gain:.3g}: this model reads its colours beside the "
            "manifolds, in another place for each expression; it cannot be baked"
        )
    sheets = _stretched_sheets(condition, codes, person, charts, config)
    coarse = sheets.textures(person, COARSE)                           # (L, h, w, 4) in [0, 1]
    march = person.march
    complete = sheets.complete_cells()
    cells = _grown(sheets.cells(coarse[..., 3] > TRANSPARENT), RIM) & complete
    before = _cells_before(cells, _mesh(complete, sheets), march.fov_deg, config) & complete
    cells |= before
    mesh = _mesh(cells, sheets)
    mesh, shapes, neutral, residual = _geometry(condition, codes, mesh)
    reach = _background_reach(march.background_z, config.widest_rad, march.fov_deg)
    rough = LayeredAvatar(
        vertices=neutral,
        texels=mesh.texels / COARSE,
        triangles=mesh.triangles,
        starts=mesh.starts,
        textures=_to_bytes(coarse),
        background=_background(person, reach),
        background_reach=reach,
        blendshapes=shapes,
        codes=codes,
        march=march,
        widest_rad=config.widest_rad,
    )
    shown, needed = _seen_cells(rough, mesh, cells, config)
    fine, evaluated = _fine_textures(person, sheets, coarse, shown)
    kept = _restricted(mesh, needed | before)
    used = np.unique(kept.triangles)
    number = np.full(len(mesh.texels), -1, np.int32)
    number[used] = np.arange(len(used), dtype=np.int32)
    avatar = dataclasses.replace(
        rough,
        vertices=neutral[used],
        texels=mesh.texels[used],
        triangles=number[kept.triangles],
        starts=kept.starts,
        textures=fine,
        blendshapes=shapes[:, used],
    )
    return avatar, BakeReport(residual, charts.twice, evaluated + coarse[..., 0].size)


# ------------------------------------------------------------------------------------------------------------- textures
def _read(person: Avatar, x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """Premultiplied colour and opacity of template points."""

    def premultiplied(x: Tensor) -> Tensor:
        rgb, alpha = person.radiance(x if person.align is None else x + person.align(x))
        return torch.cat([rgb.clamp(0, 1) * alpha[..., None], alpha[..., None]], dim=-1)

    return ask(premultiplied, x)


@dataclass(frozen=True)
class _Sheets:
    """The charts with the lines of the meshes, along which the texels are spread evenly too."""

    charts: ManifoldCharts
    rows: Float[Tensor, "row"]
    """Places of the lines on the charts' grids, rising from 0 to side - 1."""
    columns: Float[Tensor, "column"]
    height: int
    """Of the textures, texels."""
    width: int

    @property
    def levels(self) -> int:
        return len(self.charts.radius)

    def texel_places(self, step: int) -> Float[Tensor, "height width 2"]:
        """(column, row) on the charts' grids of every step-th texel."""
        lines = [
            _between(line, torch.arange(0, count, step, device=line.device) * ((len(line) - 1) / (count - 1)))
            for line, count in ((self.rows, self.height), (self.columns, self.width))
        ]
        row, column = torch.meshgrid(*lines, indexing="ij")
        return torch.stack([column, row], dim=-1)

    def textures(self, person: Avatar, step: int) -> Float[np.ndarray, "level height width 4"]:
        """Premultiplied colours and opacities of every step-th texel; transparent where there is no manifold."""
        places = self.texel_places(step)
        textures = []
        for level in range(self.levels):
            x = self.charts.points(level, places.reshape(-1, 2))
            found = x.isfinite().all(-1)
            texture = x.new_zeros(len(x), 4)
            texture[found] = _read(person, x[found])
            textures.append(texture.reshape(*places.shape[:2], 4).cpu().numpy())
        return np.stack(textures)

    def vertices(self) -> Float[Tensor, "level row column 3"]:
        """Template points where the lines cross; NaN where there is no manifold."""
        row, column = torch.meshgrid(self.rows, self.columns, indexing="ij")
        places = torch.stack([column, row], dim=-1).reshape(-1, 2)
        points = torch.stack([self.charts.points(level, places) for level in range(self.levels)])
        return points.reshape(self.levels, len(self.rows), len(self.columns), 3)

    def complete_cells(self) -> Bool[np.ndarray, "level cell_row cell_column"]:
        """Cells whose four corners are there."""
        there = self.vertices().isfinite().all(-1).cpu().numpy()
        return there[:, :-1, :-1] & there[:, 1:, :-1] & there[:, :-1, 1:] & there[:, 1:, 1:]

    def cells(self, texels: Bool[np.ndarray, "level height width"]) -> Bool[np.ndarray, "level cell_row cell_column"]:
        """Cells in which some of these evenly spread texels counts, borders included."""
        summed = np.pad(texels.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
        (top, bottom), (left, right) = (
            (np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int) + 1)
            for count, lines in zip(texels.shape[1:], (self.rows, self.columns), strict=True)
            for edges in [np.linspace(0, count - 1, len(lines)).round(6)]
        )
        count = (
            summed[:, bottom][:, :, right] - summed[:, top][:, :, right]
            - summed[:, bottom][:, :, left] + summed[:, top][:, :, left]
        )  # fmt: skip
        return count > 0


def _between(values: Float[Tensor, "value"], place: Float[Tensor, "place"]) -> Float[Tensor, "place"]:
    """Values at fractional indices, linearly."""
    low = place.floor().long().clamp(0, len(values) - 2)
    return torch.lerp(values[low], values[low + 1], place - low)


def _fine_textures(
    person: Avatar,
    sheets: _Sheets,
    coarse: Float[np.ndarray, "level h w 4"],
    seen: Bool[np.ndarray, "level cell_row cell_column"],
) -> tuple[UInt8[np.ndarray, "level height width 4"], int]:
    """The textures as bytes: of seen cells texel by texel, elsewhere as the coarse bake has them."""
    height, width = sheets.height, sheets.width
    places = sheets.texel_places(1).reshape(-1, 2)
    cell = [
        torch.arange(count, device=places.device).mul((cells) / (count - 1)).long().clamp(max=cells - 1)
        for count, cells in zip((height, width), seen.shape[1:], strict=True)
    ]
    textures = np.empty((len(coarse), height, width, 4), np.uint8)
    evaluated = 0
    for level in range(len(coarse)):
        small = torch.from_numpy(coarse[level]).permute(2, 0, 1)[None]
        smooth = torch.nn.functional.interpolate(small, size=(height, width), mode="bilinear", align_corners=True)[0]
        texture = smooth.permute(1, 2, 0).reshape(-1, 4).to(places)
        wanted = torch.from_numpy(seen[level]).to(places.device)[cell[0]][:, cell[1]].reshape(-1)
        x = sheets.charts.points(level, places[wanted])
        found = x.isfinite().all(-1)
        values = texture[wanted]
        values[found] = _read(person, x[found])
        texture[wanted] = values
        textures[level] = _to_bytes(texture.cpu().numpy()).reshape(height, width, 4)
        evaluated += int(found.sum())
    return textures, evaluated


def _to_bytes(colours: Float[np.ndarray, "*batch 4"]) -> UInt8[np.ndarray, "*batch 4"]:
    return np.rint(colours.clip(0, 1) * 255).astype(np.uint8)


def _background(person: Avatar, reach: float) -> UInt8[np.ndarray, "side side 3"]:
    line = torch.linspace(-reach, reach, BACKGROUND_SIDE, device=person.levels.device)
    y, x = torch.meshgrid(-line, line, indexing="ij")
    plane = torch.stack([x, y, torch.full_like(x, person.march.background_z)], dim=-1)
    rgb = ask(lambda points: person.radiance(points)[0], plane)
    return np.rint(rgb.clamp(0, 1).cpu().numpy() * 255).astype(np.uint8)


def _background_reach(plane_z: float, widest_rad: float, fov_deg: float) -> float:
    """How far from the axis the plane is seen from a camera so far from frontal."""
    edge = min(widest_rad + np.sqrt(2) * np.radians(fov_deg / 2), 1.4)
    return float(max(abs((np.cos(widest_rad) - plane_z) * np.tan(edge) - np.sin(widest_rad)), 0.05))


# ----------------------------------------------------------------------------------------------------------------- mesh
@dataclass(frozen=True)
class _Mesh:
    """Triangles of some cells of the charts' grids, sheet by sheet."""

    x_template: Float[np.ndarray, "vertex 3"]
    texels: Float[np.ndarray, "vertex 2"]
    triangles: Int[np.ndarray, "triangle 3"]
    starts: Int[np.ndarray, "layer_and_one"]
    cell: Int[np.ndarray, "triangle"]
    """Of each triangle: the flat index of its cell among those of all levels."""


def _mesh(cells: Bool[np.ndarray, "level cell_row cell_column"], sheets: _Sheets) -> _Mesh:
    rows, columns = len(sheets.rows), len(sheets.columns)
    level, row, column = cells.nonzero()
    a = (level * rows + row) * columns + column                        # the corner, its right and its upper neighbour
    b, c, d = a + 1, a + columns, a + columns + 1
    # v grows upwards with the row: seen from outside, a-b-c and d-c-b turn the same way.
    quads = np.stack([np.stack([a, b, c], -1), np.stack([d, c, b], -1)], axis=1)  # (cells, 2, 3)
    if not len(quads):
        raise InputError("nothing of this person can be seen: every manifold is transparent")
    used, triangles = np.unique(quads, return_inverse=True)
    share = np.stack([used % columns / (columns - 1), used // columns % rows / (rows - 1)], axis=-1)
    flat = np.ravel_multi_index((level, row, column), cells.shape)
    return _Mesh(
        x_template=sheets.vertices().reshape(-1, 3)[torch.from_numpy(used)].cpu().numpy(),
        texels=(share * (sheets.width - 1, sheets.height - 1)).astype(np.float32),
        triangles=triangles.reshape(-1, 3).astype(np.int32),
        starts=np.searchsorted(np.repeat(level, 2), np.arange(len(cells) + 1)).astype(np.int32),
        cell=np.repeat(flat, 2),
    )


def _restricted(mesh: _Mesh, cells: Bool[np.ndarray, "level cell_row cell_column"]) -> _Mesh:
    """The same vertices, and the triangles of some cells."""
    kept = cells.ravel()[mesh.cell]
    before = np.concatenate([[0], kept.cumsum()])
    return dataclasses.replace(
        mesh, triangles=mesh.triangles[kept], cell=mesh.cell[kept], starts=before[mesh.starts].astype(np.int32)
    )


def _views(config: BakeConfig) -> Iterator[tuple[float, float]]:
    """Yaw and pitch of views from all sides, radians from frontal."""
    turns = config.widest_rad * np.array([-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1])
    return product(turns, turns[2:-2:2] / 2)


def _grown(
    cells: Bool[np.ndarray, "level cell_row cell_column"], by: int
) -> Bool[np.ndarray, "level cell_row cell_column"]:
    """With so many neighbours around on their sheet."""
    return binary_dilation(cells, np.ones((1, 3, 3)), iterations=by)


def _cells_before(
    cells: Bool[np.ndarray, "level cell_row cell_column"], complete: _Mesh, fov_deg: float, config: BakeConfig
) -> Bool[np.ndarray, "level cell_row cell_column"]:
    """Transparent cells through which a ray enters a sheet on which it would else see one of ``cells`` farther off.

    A sheet counts where a ray meets it first, and there it may be transparent. That is so whatever the expression.
    """
    part = _restricted(complete, cells)
    before = np.zeros(cells.size, bool)
    for yaw, pitch in _views(config):
        view = View(yaw, pitch, SEEN_SIZE, fov_deg)
        first, other = (
            np.where(entered < 0, -1, mesh.cell[entered])
            for mesh in (complete, part)
            for entered in [entered_triangles(mesh.x_template, mesh.triangles, mesh.starts, view)]
        )
        before[first[(other >= 0) & (first != other)]] = True
    return _grown(before.reshape(cells.shape), BEFORE)


def _seen_cells(
    avatar: LayeredAvatar, mesh: _Mesh, cells: Bool[np.ndarray, "level cell_row cell_column"], config: BakeConfig
) -> tuple[Bool[np.ndarray, "level cell_row cell_column"], Bool[np.ndarray, "level cell_row cell_column"]]:
    """Cells that some view of the neutral face or of an expression shows; and all that such views need."""
    seen = np.zeros((2, len(mesh.triangles)), bool)
    poses = [avatar.vertices, *(avatar.vertices + shape for shape in avatar.blendshapes)]
    for vertices, (yaw, pitch) in product(poses, _views(config)):
        seen |= seen_triangles(avatar, vertices, yaw, pitch, SEEN_SIZE)
    found = np.zeros((2, cells.size), bool)
    for triangles, flags in zip(seen, found, strict=True):
        flags[mesh.cell[triangles]] = True
    shown, left = (_grown(flags.reshape(cells.shape), SPREAD) & cells for flags in found)
    return shown, shown | left


# ------------------------------------------------------------------------------------------------------------- geometry
def _stretched_sheets(
    condition: Condition,
    codes: Float[np.ndarray, "shape 64"],
    person: Avatar,
    charts: ManifoldCharts,
    config: BakeConfig,
) -> _Sheets:
    """Lines and texels of the sheets, closer where an expression stretches the person's most opaque manifold."""
    line = torch.arange(config.grid, dtype=torch.float32, device=charts.radius.device)
    even = _Sheets(charts, line, line, config.texture, config.texture)
    if not len(codes):
        return even
    opaque = even.cells(even.textures(person, COARSE)[..., 3] > 0.5) & even.complete_cells()
    skin = int(opaque.sum((1, 2)).argmax())
    parts = np.ones((2, config.grid - 1))
    for level in sorted({min(max(skin + k, 0), len(opaque) - 1) for k in PILOTS}):
        alone = np.zeros_like(opaque)
        alone[level] = opaque[level]
        mesh = _mesh(_grown(alone, RIM) & even.complete_cells(), even)
        for code in codes:
            x = _posed(condition, code, mesh).x
            for axis, (first, second) in enumerate(((0, 2), (0, 1))):  # along a triangle's column, and its row
                long, short = (
                    np.linalg.norm(points[mesh.triangles[:, second]] - points[mesh.triangles[:, first]], axis=1)
                    for points in (x, mesh.x_template)
                )
                line_of = np.unravel_index(mesh.cell, opaque.shape)[1 + axis]
                far = long > FAR_STRETCH * short
                np.maximum.at(parts[axis], line_of[far], np.ceil(long / short / STRETCH).clip(1, MOST_PARTS)[far])
    rows, columns = (
        torch.from_numpy(np.concatenate([[0], np.cumsum(np.repeat(1 / count, count.astype(int)))])).to(line)
        for count in parts
    )
    height, width = (round(config.texture * len(lines) / config.grid) for lines in (rows, columns))
    return _Sheets(charts, rows.clamp(max=config.grid - 1), columns.clamp(max=config.grid - 1), height, width)


def _geometry(
    condition: Condition, codes: Float[np.ndarray, "shape 64"], mesh: _Mesh
) -> tuple[_Mesh, Float[np.ndarray, "shape vertex 3"], Float[np.ndarray, "vertex 3"], Float[np.ndarray, "shape"]]:
    """The mesh with more vertices, its blendshapes, neutral vertices, and the residual of each expression."""
    neutral = targets(condition, np.zeros(EXP_DIM, np.float32), torch.from_numpy(mesh.x_template))[0].numpy()
    steps = np.zeros((len(codes), *neutral.shape), np.float32)
    residuals = np.zeros(len(codes))
    filled_from = np.full(len(mesh.triangles), -1)
    for k, code in enumerate(tqdm(codes, desc="expressions", leave=False, disable=None)):
        posed = _posed(condition, code, mesh)
        steps[k] = posed.x - neutral
        residuals[k] = np.quantile(posed.residual, 0.99)
        filled_from = np.where(filled_from < 0, posed.fills(mesh.triangles, neutral), filled_from)
    filling = np.flatnonzero(filled_from >= 0)
    corners = mesh.triangles[filling].ravel()
    triangles = mesh.triangles.copy()
    triangles[filling] = len(neutral) + np.arange(len(corners), dtype=np.int32).reshape(-1, 3)
    more = dataclasses.replace(
        mesh,
        x_template=np.concatenate([mesh.x_template, mesh.x_template[corners]]),
        texels=np.concatenate([mesh.texels, np.repeat(mesh.texels[filled_from[filling]], 3, axis=0)]),
        triangles=triangles,
    )
    return (
        more,
        np.concatenate([steps, steps[:, corners]], axis=1),
        np.concatenate([neutral, neutral[corners]]),
        residuals,
    )


@dataclass(frozen=True)
class _Posed:
    """Where an expression carries the vertices of a mesh.

    Template points that no target point shows, such as an eye behind its lid, are put aside. Where they meet the rest
    of their sheet, on one side the skin is stretched over their place (the lid; the slit between lips that open) and
    on the other it is not: they lie down there. The triangles that reach over to the stretched side show what is
    stretched: the one texel of that side.
    """

    x: Float[np.ndarray, "vertex 3"]
    residual: Float[np.ndarray, "vertex"]
    """Before points were put aside."""
    stretched: Bool[np.ndarray, "vertex"]
    """At the edge of hidden points, on the stretched side."""

    def fills(
        self, triangles: Int[np.ndarray, "triangle 3"], neutral: Float[np.ndarray, "vertex 3"]
    ) -> Int[np.ndarray, "triangle"]:
        """Of the triangles between stretched skin and hidden points: the vertex whose texel they show; else -1."""
        reaching = (self.residual > HIDDEN)[triangles].any(1) & self.stretched[triangles].any(1)
        long, short = (np.linalg.norm(np.diff(x[triangles], axis=1), axis=2).max(1) for x in (self.x, neutral))
        corner = self.stretched[triangles].argmax(1)
        return np.where(reaching & (long > STRETCH * short), triangles[np.arange(len(triangles)), corner], -1)


def _posed(condition: Condition, code: Float[np.ndarray, "64"], mesh: _Mesh) -> _Posed:
    offset = condition(code).offset
    x, residual = targets(condition, code, torch.from_numpy(mesh.x_template))
    hidden = (residual > HIDDEN).numpy()
    stretched = np.zeros(len(hidden), bool)
    edges = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    edges = edges[hidden[edges[:, 1]]]                                 # into hidden points
    shore = np.unique(edges[~hidden[edges[:, 0]], 0])
    source = np.arange(len(x))
    if len(shore):
        stretched[shore] = (_volume_ratio(offset, x[torch.from_numpy(shore)]) < UNSTRETCHED).numpy()
        source[hidden] = -1
        lying = shore[~stretched[shore]]
        reached = np.zeros(len(x), bool)
        reached[lying] = True
        while True:
            arriving = edges[reached[edges[:, 0]] & (source[edges[:, 1]] < 0)]
            if not len(arriving):
                break
            source[arriving[:, 1]] = source[arriving[:, 0]]
            reached[arriving[:, 1]] = True
        source = np.where(source < 0, np.arange(len(x)), source)
    return _Posed(x[torch.from_numpy(source)].numpy(), residual.numpy(), stretched)


def _volume_ratio(offset: Field, x: Float[Tensor, "vertex 3"]) -> Float[Tensor, "vertex"]:
    """Of the template to the target, about target points."""
    places = x[:, None] + torch.cat([torch.zeros(1, 3), DIFFERENCE * torch.eye(3)])
    reached = places + ask(offset, places)
    return torch.linalg.det((reached[:, 1:] - reached[:, :1]) / DIFFERENCE)


def targets(
    condition: Condition, code: Float[np.ndarray, "64"], x_template: Float[Tensor, "vertex 3"]
) -> tuple[Float[Tensor, "vertex 3"], Float[Tensor, "vertex"]]:
    """Where template points are with an expression, and by how much that is wrong, both in world units."""
    x, residual = _fixed_point(condition(code).offset, x_template)
    lost = residual > SETTLED
    if lost.any():
        goal = x_template[lost]
        found = goal
        for strength in STRENGTHS:
            found, miss = _newton(condition((strength * code).astype(np.float32)).offset, goal, found)
        better = miss < residual[lost]
        x[lost] = torch.where(better[:, None], found, x[lost])
        residual[lost] = torch.where(better, miss, residual[lost])
    return x, residual


def _fixed_point(offset: Field, x_template: Float[Tensor, "vertex 3"]) -> tuple[Tensor, Tensor]:
    """The nearest that ``x <- x_template - D(x)`` comes, and its residual."""
    best, least = x_template.clone(), torch.full_like(x_template[:, 0], torch.inf)
    moving = torch.arange(len(x_template), device=x_template.device)
    x = x_template
    for _ in range(FIXED_POINT_STEPS):
        step = ask(offset, x)
        residual = (x + step - x_template[moving]).norm(dim=-1)
        better = residual < least[moving]
        best[moving[better]], least[moving[better]] = x[better], residual[better]
        going = residual > SETTLED
        moving, x = moving[going], x_template[moving[going]] - step[going]
        if not len(moving):
            break
    return best, least


def _newton(
    offset: Field, x_template: Float[Tensor, "vertex 3"], start: Float[Tensor, "vertex 3"]
) -> tuple[Tensor, Tensor]:
    """The nearest that Newton's steps from ``start`` come to x + D(x) = x_template, and its residual."""
    axes = DIFFERENCE * torch.eye(3, device=start.device)
    x, best, least = start, start, torch.full_like(start[:, 0], torch.inf)
    for _ in range(NEWTON_STEPS):
        probes = torch.cat([x[:, None], x[:, None] + axes], dim=1)     # (V, 4, 3)
        reached = probes + ask(offset, probes)
        miss = reached[:, 0] - x_template
        residual = miss.norm(dim=-1)
        better = residual < least
        best, least = torch.where(better[:, None], x, best), torch.where(better, residual, least)
        slope = (reached[:, 1:] - reached[:, :1]).transpose(1, 2) / DIFFERENCE  # (V, 3, 3)
        damped = slope.transpose(1, 2) @ slope + 1e-4 * torch.eye(3, device=start.device)
        step = torch.linalg.solve(damped, (slope.transpose(1, 2) @ miss[..., None]))[..., 0]
        x = x - step * (LONGEST_STEP / step.norm(dim=-1, keepdim=True).clamp(min=LONGEST_STEP))
    return best, least
