"""Baking: the networks' person becomes a layered avatar (:mod:`anifacegan.layered`), which plays without them.

What a person looks like does not depend on the expression: it is a function of template points. So each manifold's
colours become one texture. An expression is geometry: the vertex that shows the template point x_template is where

    x + D(x; z_id, z_exp) = x_template,

found by fixed-point steps ``x <- x_template - D(x)`` along a few intermediate strengths of the expression.

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
from anifacegan.manifold_charts import ManifoldCharts, ask
from anifacegan.models.generator import Avatar
from anifacegan.playback import View, entered_triangles, seen_triangles

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
SETTLED = 1e-5
"""World units: vertices that are nearer to where they belong are left there."""
BACKGROUND_SIDE = 384


@dataclass(frozen=True)
class BakeConfig:
    """How finely a person is baked."""

    texture: int = 512
    """Height and width of each sheet's texture."""
    grid: int = 128
    """Vertices along a side of each sheet."""
    stages: int = 4
    """Strengths of an expression that its geometry is found at, one from the other."""
    steps: int = 6
    """Fixed-point steps at each of them."""
    widest_rad: float = 0.9
    """How far from frontal a view of the avatar may be."""

    def __post_init__(self) -> None:
        require(self, "bake", "stages steps", at_least=1)
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
    person = condition(np.zeros_like(codes[0]) if len(codes) else np.zeros(64, np.float32))
    if person.radiance_offset_gain != 1:
        raise InputError(
            f"radiance_offset_gain is {person.radiance_offset_gain:.3g}: this model reads its colours beside the "
            "manifolds, in another place for each expression; it cannot be baked"
        )
    coarse = _coarse_textures(person, charts, config)                  # (L, t, t, 4) in [0, 1]
    opaque = _cells(coarse[..., 3] > TRANSPARENT, config.grid)
    complete = _complete_cells(charts)
    cells = _grown(opaque, RIM) & complete
    before = _cells_before(cells, _mesh(complete, charts, config.texture), person.march.fov_deg, config) & complete
    cells |= before
    mesh = _mesh(cells, charts, config.texture)
    shapes, neutral, residual = _geometry(condition, codes, mesh, config)
    march = person.march
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
        codes=codes.astype(np.float32),
        march=march,
        widest_rad=config.widest_rad,
    )
    shown, needed = _seen_cells(rough, mesh, cells, config)
    fine, evaluated = _fine_textures(person, charts, coarse, shown, config)
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
    return avatar, BakeReport(residual, charts.twice, evaluated + coarse.shape[0] * coarse.shape[1] ** 2)


# ------------------------------------------------------------------------------------------------------------- textures
def _read(person: Avatar, x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """Premultiplied colour and opacity of template points."""

    def premultiplied(x: Tensor) -> Tensor:
        rgb, alpha = person.radiance(x if person.align is None else x + person.align(x))
        return torch.cat([rgb.clamp(0, 1) * alpha[..., None], alpha[..., None]], dim=-1)

    return ask(premultiplied, x)


def _texel_places(charts: ManifoldCharts, side: int) -> Float[Tensor, "texel 2"]:
    """(column, row) on the charts' grids of a texture's texels, row by row."""
    index = torch.linspace(0, charts.side - 1, side, device=charts.radius.device)
    row, column = torch.meshgrid(index, index, indexing="ij")
    return torch.stack([column, row], dim=-1).reshape(-1, 2)


def _coarse_textures(person: Avatar, charts: ManifoldCharts, config: BakeConfig) -> Float[np.ndarray, "level t t 4"]:
    side = (config.texture - 1) // COARSE + 1
    places = _texel_places(charts, config.texture).reshape(config.texture, config.texture, 2)[::COARSE, ::COARSE]
    textures = []
    for level in range(len(charts.radius)):
        x = charts.points(level, places.reshape(-1, 2))
        found = x.isfinite().all(-1)
        texture = x.new_zeros(len(x), 4)
        texture[found] = _read(person, x[found])
        textures.append(texture.reshape(side, side, 4).cpu().numpy())
    return np.stack(textures)


def _fine_textures(
    person: Avatar,
    charts: ManifoldCharts,
    coarse: Float[np.ndarray, "level t t 4"],
    seen: Bool[np.ndarray, "level cell cell"],
    config: BakeConfig,
) -> tuple[UInt8[np.ndarray, "level side side 4"], int]:
    """The textures as bytes: of seen cells texel by texel, elsewhere as the coarse bake has them."""
    side = config.texture
    places = _texel_places(charts, side)
    cell = places.long().clamp(max=charts.side - 2)                    # (T, 2) column, row
    textures = np.empty((len(coarse), side, side, 4), np.uint8)
    evaluated = 0
    for level in range(len(coarse)):
        small = torch.from_numpy(coarse[level]).permute(2, 0, 1)[None]
        smooth = torch.nn.functional.interpolate(small, size=(side, side), mode="bilinear", align_corners=True)[0]
        texture = smooth.permute(1, 2, 0).reshape(-1, 4).to(places)
        wanted = torch.from_numpy(seen[level]).to(places.device)[cell[:, 1], cell[:, 0]]
        x = charts.points(level, places[wanted])
        found = x.isfinite().all(-1)
        values = texture[wanted]
        values[found] = _read(person, x[found])
        texture[wanted] = values
        textures[level] = _to_bytes(texture.cpu().numpy()).reshape(side, side, 4)
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


def _cells(texels: Bool[np.ndarray, "level t t"], grid: int) -> Bool[np.ndarray, "level cell cell"]:
    """Cells in which some texel counts, borders included."""
    side, cells = texels.shape[1], grid - 1
    edges = np.arange(grid) / (grid - 1) * (side - 1)
    first, last = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    summed = np.pad(texels.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    count = (
        summed[:, last + 1][:, :, last + 1]
        - summed[:, first][:, :, last + 1]
        - summed[:, last + 1][:, :, first]
        + summed[:, first][:, :, first]
    )
    assert count.shape[1:] == (cells, cells)
    return count > 0


def _complete_cells(charts: ManifoldCharts) -> Bool[np.ndarray, "level cell cell"]:
    """Cells whose four corners are there."""
    there = charts.radius.isfinite().cpu().numpy()
    return there[:, :-1, :-1] & there[:, 1:, :-1] & there[:, :-1, 1:] & there[:, 1:, 1:]


def _mesh(cells: Bool[np.ndarray, "level cell cell"], charts: ManifoldCharts, texture: int) -> _Mesh:
    side = charts.side
    level, row, column = cells.nonzero()
    corner = (level * side + row) * side + column
    a, b, c, d = corner, corner + 1, corner + side, corner + side + 1
    # v grows upwards with the row: seen from outside, a-b-c and d-c-b turn the same way.
    quads = np.stack([np.stack([a, b, c], -1), np.stack([d, c, b], -1)], axis=1)  # (cells, 2, 3)
    if not len(quads):
        raise InputError("nothing of this person can be seen: every manifold is transparent")
    used, triangles = np.unique(quads, return_inverse=True)
    place = np.stack([used % side, used // side % side], axis=-1)
    flat = np.ravel_multi_index((level, row, column), cells.shape)
    return _Mesh(
        x_template=charts.vertices().reshape(-1, 3)[torch.from_numpy(used)].cpu().numpy(),
        texels=(place / (side - 1) * (texture - 1)).astype(np.float32),
        triangles=triangles.reshape(-1, 3).astype(np.int32),
        starts=np.searchsorted(np.repeat(level, 2), np.arange(len(cells) + 1)).astype(np.int32),
        cell=np.repeat(flat, 2),
    )


def _restricted(mesh: _Mesh, cells: Bool[np.ndarray, "level cell cell"]) -> _Mesh:
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


def _grown(cells: Bool[np.ndarray, "level cell cell"], by: int) -> Bool[np.ndarray, "level cell cell"]:
    """With so many neighbours around on their sheet."""
    return binary_dilation(cells, np.ones((1, 3, 3)), iterations=by)


def _cells_before(
    cells: Bool[np.ndarray, "level cell cell"], complete: _Mesh, fov_deg: float, config: BakeConfig
) -> Bool[np.ndarray, "level cell cell"]:
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
    avatar: LayeredAvatar, mesh: _Mesh, cells: Bool[np.ndarray, "level cell cell"], config: BakeConfig
) -> tuple[Bool[np.ndarray, "level cell cell"], Bool[np.ndarray, "level cell cell"]]:
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
def _geometry(
    condition: Condition, codes: Float[np.ndarray, "shape 64"], mesh: _Mesh, config: BakeConfig
) -> tuple[Float[np.ndarray, "shape vertex 3"], Float[np.ndarray, "vertex 3"], Float[np.ndarray, "shape"]]:
    """Blendshapes, neutral vertices, and the residual of each expression."""
    x_template = torch.from_numpy(mesh.x_template)
    neutral, _ = targets(condition, np.zeros(64, np.float32), x_template, config)
    shapes, residuals = [], []
    for code in tqdm(codes, desc="expressions", leave=False, disable=None):
        x, residual = targets(condition, code, x_template, config)
        shapes.append((x - neutral).numpy())
        residuals.append(float(residual.quantile(0.99)) if len(residual) < 2**24 else float(residual.mean()))
    steps = np.stack(shapes) if shapes else np.zeros((0, len(x_template), 3), np.float32)
    return steps, neutral.numpy(), np.array(residuals)


def targets(
    condition: Condition, code: Float[np.ndarray, "64"], x_template: Float[Tensor, "vertex 3"], config: BakeConfig
) -> tuple[Float[Tensor, "vertex 3"], Float[Tensor, "vertex"]]:
    """Where template points are with an expression, and by how much that is wrong, both in world units."""
    best, least = x_template, torch.full_like(x_template[:, 0], torch.inf)
    x = x_template
    for strength in np.linspace(0, 1, config.stages + 1)[1:] if code.any() else [1.0]:
        offset = condition((strength * code).astype(np.float32)).offset
        least = torch.full_like(least, torch.inf)
        for _ in range(config.steps + 1):
            step = ask(offset, x)
            residual = (x + step - x_template).norm(dim=-1)
            better = residual < least
            best, least = torch.where(better[:, None], x, best), torch.where(better, residual, least)
            if least.max() < SETTLED:
                break
            x = x_template - step
        x = best
    return best, least
