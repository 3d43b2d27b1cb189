"""Hair that hangs clear of the head, and lashes, as meshes of ribbons at nodes of their own.

Hair that lies on the head, or over the face, stays in the head's own surface and texture. Hanging hair follows the head
rigidly, in the colour that the texture has where each strand grows, so it has the avatar's own light there. A lash
moves as the margin of its lid does in every morph target. Ribbons are thinned strands, and wider than these.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree

from anifacegan.avatars.export.config import GlbConfig
from anifacegan.avatars.export.glb_parts import GlbMaterial, GlbMesh, GlbNode
from anifacegan.avatars.export.grown_strands import PersonStrands
from anifacegan.avatars.export.hair_volume import scalp_of
from anifacegan.avatars.export.morph_targets import without_least
from anifacegan.avatars.export.painted_head import PaintedHead
from anifacegan.avatars.export.ribbons import Ribbons, hair_texture, resampled, ribbons_along
from anifacegan.data.synthetic.looks.colour import linear_light
from anifacegan.data.synthetic.strands.lashes import LASH_RGB
from anifacegan.face_model.parts import SKIN
from anifacegan.geometry.normals import unit, vertex_normals_numpy
from anifacegan.geometry.resampling import read_pixels

CANDIDATES = 4_000
"""Number of strands among which those that hang clear are looked for."""
CLEAR, LEAST_CLEAR = 0.005, 0.03
"""Distance from the head's surface, world units, from which hair hangs clear of it, and the least length that does."""
OVER_FACE, FACE_REACH = 0.25, 0.035
"""Share of a strand's clear points over the face from which the strand is left out, and the distance that counts."""
HAIR_STEPS, HAIR_WIDTH, MANY = 9, 0.012, 300
"""Points along a ribbon of hair, and its width, world units, where ``MANY`` of them are shown; fewer are wider."""
WIDEST = 0.018
ROOT_WIDTH, TIP_WIDTH = 0.6, 0.85
"""Widths of a ribbon of hair at its root and tip, relative to that between."""
LOWEST_OUTWARD = -0.02
"""Least height above the middle of the scalp, world units, of a point in the direction that is outward for it."""
TILT = 0.6
"""Largest angle by which a ribbon is turned about itself, radians, so that neighbours do not lie in one surface."""
GOLDEN = 0.6180339887
ROOT_DARK, TIP_LIGHT = 0.75, 1.1
"""Brightness of hair at its root and from its middle on: roots lie in the shade of other hair."""
SHADES = (0.55, 1.6)
"""Limits of a strand's brightness, relative to the mean of the hair."""
CUTOFF = 0.5
LASH_WIDTH = (0.0002, 0.00014, 0.00002)
"""Width of an opaque lash at root, middle and tip, world units, where ``LASHES`` are shown; fewer are wider.

The texture has the avatar's lashes, too, so these are narrower than the synthetic person's. Fainter ones are narrower.
"""
LASHES = 130


def strand_nodes(
    strands: PersonStrands,
    head: PaintedHead,
    targets: Mapping[str, Float[np.ndarray, "vertex 3"]],
    pivot: Float[np.ndarray, "3"],
    config: GlbConfig,
    *,
    unlit: bool = True,
) -> tuple[GlbNode, ...]:
    """Make the nodes ``hair`` and ``lashes`` of a person, as far as there are any; ``pivot`` is where the head turns.

    ``targets`` are what each morph target adds to the head's vertices; ``unlit`` leaves normals out.
    """
    meshes: dict[str, GlbMesh | None] = {}
    if config.hair_ribbons:
        meshes["hair"] = hair_mesh(strands, head, config.hair_ribbons, pivot, unlit)
    if config.lash_ribbons:
        meshes["lashes"] = lash_mesh(strands, head, targets, config, pivot, unlit)
    return tuple(GlbNode(name, np.zeros(3), mesh) for name, mesh in meshes.items() if mesh is not None)


def hair_mesh(
    strands: PersonStrands, head: PaintedHead, count: int, pivot: Float[np.ndarray, "3"], unlit: bool
) -> GlbMesh | None:
    """Make ribbons of the hair that hangs clear of the head, ``count`` at most; None where there is none."""
    shape = head.shape
    grown = strands.hair(shape.neutral, shape.triangles, CANDIDATES)
    paths, kept = _clear_paths(grown.points, head, count)
    if not kept:
        return None
    width = min(HAIR_WIDTH * np.sqrt(MANY / len(paths)), WIDEST)
    along = np.linspace(0, 1, HAIR_STEPS)
    profile = np.interp(along, [0, 0.3, 0.7, 1], [ROOT_WIDTH, 1, 1, TIP_WIDTH])
    made = ribbons_along(paths, _outward(paths, head), np.tile(width * profile, (len(paths), 1)))
    roots = np.stack([grown.points[k][0] for k in kept])
    rgb = _root_colours(roots, strands, head)
    rgb *= grown.brightness[kept].clip(*SHADES)[:, None]
    ramp = np.interp(along, [0, 0.5], [ROOT_DARK, TIP_LIGHT])
    colours = np.repeat(rgb[:, None] * ramp[:, None], 2, axis=1).reshape(-1, 3)
    brightest = colours.max(axis=0).clip(1e-4, 1)
    material = GlbMaterial("hair", brightest, hair_texture(), CUTOFF)
    return _mesh(made, pivot, material, unlit, colours=colours / brightest, uv=made.uv)


def lash_mesh(
    strands: PersonStrands,
    head: PaintedHead,
    targets: Mapping[str, Float[np.ndarray, "vertex 3"]],
    config: GlbConfig,
    pivot: Float[np.ndarray, "3"],
    unlit: bool,
) -> GlbMesh | None:
    """Make ribbons of the lashes, ``config.lash_ribbons`` at most, with the targets that move them."""
    points = head.shape.neutral + head.offset
    neutral, cover = strands.lashes(points)
    count = min(config.lash_ribbons, len(neutral))
    if count == 0:
        return None
    chosen = np.rint(np.linspace(0, len(neutral) - 1, count)).astype(int)
    steps = np.rint(np.linspace(0, neutral.shape[1] - 1, len(LASH_WIDTH))).astype(int)

    def thinned(lashes: Float[np.ndarray, "lash step 3"]) -> Float[np.ndarray, "chosen point 3"]:
        return lashes[chosen][:, steps]

    paths = thinned(neutral)
    width = max(LASHES / count, 1.0) * cover[chosen, None] * LASH_WIDTH
    front = np.broadcast_to([0.0, 0.0, 1.0], paths.shape)
    made = ribbons_along(paths, front, width)
    moves = {}
    for name, move in targets.items():
        moved = np.repeat(thinned(strands.lashes(points + move)[0]) - paths, 2, axis=1).reshape(-1, 3)
        largest = float(np.linalg.norm(move, axis=1).max())
        moves[name] = without_least(moved, config.least_move, largest)
    material = GlbMaterial("lashes", np.array(LASH_RGB))
    mesh = _mesh(made, pivot, material, unlit)
    mesh.targets.update({name: move for name, move in moves.items() if move.any()})
    return mesh


def _mesh(
    made: Ribbons,
    pivot: Float[np.ndarray, "3"],
    material: GlbMaterial,
    unlit: bool,
    *,
    uv: Float[np.ndarray, "vertex 2"] | None = None,
    colours: Float[np.ndarray, "vertex 3"] | None = None,
) -> GlbMesh:
    return GlbMesh(
        points=made.points - pivot,
        uv=uv,
        triangles=made.triangles,
        targets={},
        normals=None if unlit else made.normals,
        colours=colours,
        material=material,
    )


def _clear_paths(
    strands: tuple[Float[np.ndarray, "step 3"], ...], head: PaintedHead, count: int
) -> tuple[Float[np.ndarray, "strand point 3"], list[int]]:
    """Cut out the parts of strands that hang clear of the head, from the last point on it; ``count`` at most.

    Returns the parts, and the number of the strand of each.
    """
    shape = head.shape
    points = shape.neutral + head.offset
    skin = np.flatnonzero(shape.parts.part == SKIN)
    tree = cKDTree(points[skin])
    normals = vertex_normals_numpy(points, shape.triangles)
    face = shape.parts.face_mask > 0.5
    paths, kept = [], []
    for number, strand in enumerate(strands):
        if len(kept) == count:
            break
        away, nearest = tree.query(strand)
        nearest = skin[nearest]
        outside = ((strand - points[nearest]) * normals[nearest]).sum(axis=1) > 0
        clear = np.flatnonzero(outside & (away > CLEAR))
        if len(clear) < 2:
            continue
        part = strand[max(clear[0] - 1, 0) : clear[-1] + 1]
        over_face = (face[nearest] & (away < FACE_REACH))[clear].mean()
        if np.linalg.norm(np.diff(part, axis=0), axis=1).sum() < LEAST_CLEAR or over_face > OVER_FACE:
            continue
        paths.append(resampled(part, HAIR_STEPS))
        kept.append(number)
    return np.array(paths).reshape(-1, HAIR_STEPS, 3), kept


def _outward(
    paths: Float[np.ndarray, "strand point 3"], head: PaintedHead
) -> Float[np.ndarray, "strand point 3"]:
    """Return where the fronts of ribbons look: away from the head, each turned about itself by an angle of its own."""
    middle = head.shape.neutral[scalp_of(head.shape)].mean(axis=0)
    away = paths - middle
    away[..., 1] = away[..., 1].clip(min=LOWEST_OUTWARD)
    away = unit(away)
    along = unit(np.gradient(paths, axis=1))
    angle = TILT * (2 * (GOLDEN * np.arange(len(paths)) % 1) - 1)
    return np.cos(angle)[:, None, None] * away + np.sin(angle)[:, None, None] * np.cross(along, away)


def _root_colours(
    roots: Float[np.ndarray, "strand 3"], strands: PersonStrands, head: PaintedHead
) -> Float[np.ndarray, "strand 3"]:
    """Read the colours (linear light) of the head's texture where strands grow, no far darker or brighter than the
    mean of the hair.
    """
    shape = head.shape
    place = torch.from_numpy(shape.rig.texture_uv.astype(np.float64) * len(head.rgb) - 0.5).float()[
        None, None
    ]
    texture = torch.from_numpy(head.rgb.astype(np.float32)).permute(2, 0, 1)[None]
    read = read_pixels(texture, place, beyond="border")[0, :, 0].T.numpy().astype(np.float64)
    rgb = np.zeros_like(shape.neutral)
    rgb[shape.triangles] = read[shape.rig.texture_triangles]
    rgb = linear_light(rgb)
    haired = strands.haired() * scalp_of(shape)
    mean = (haired[:, None] * rgb).sum(axis=0) / max(float(haired.sum()), 1e-6)
    grows = np.flatnonzero(haired > 0.5)
    if len(grows) == 0:
        return np.tile(mean, (len(roots), 1))
    near = cKDTree(shape.neutral[grows]).query(roots, k=min(8, len(grows)))[1].reshape(len(roots), -1)
    own = rgb[grows][near].mean(axis=1)
    factor = (own.mean(axis=1) / max(float(mean.mean()), 1e-6)).clip(*SHADES)
    return mean * factor[:, None]
