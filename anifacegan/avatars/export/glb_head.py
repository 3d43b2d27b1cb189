"""A person as a head for other programs: a textured mesh with morph targets, and nodes that turn.

The mesh is the open face model's, in the person's shape; its skin is moved to the avatar's surface, and hair is the
scalp moved outward. Each part of the head is a mesh at a node: the skin, both eyes, both rows of teeth, the tongue, and
hanging hair and lashes where the person is known to have them. The skin's neck bends, so that the head turns and the
bust stays. Metres, y up, the face looks along +z.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.export.config import GlbConfig
from anifacegan.avatars.export.glb_parts import GlbAnimation, GlbMesh, GlbNode, GlbScene
from anifacegan.avatars.export.grown_strands import PersonStrands
from anifacegan.avatars.export.painted_head import PaintedHead
from anifacegan.avatars.export.strand_nodes import strand_nodes
from anifacegan.avatars.export.unit_weights import UnitSequence
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.face_model.parts import LOWER_TEETH, PART_NAMES, SKIN, TONGUE, UPPER_TEETH
from anifacegan.geometry.conventions import ID_DIM
from anifacegan.geometry.mesh_values import border_edges
from anifacegan.geometry.normals import vertex_normals_numpy
from anifacegan.geometry.resampling import smoothstep
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.image_files import encoded_image

NECK_FROM_JAW = (0.0, -0.02, -0.035)
"""Where the head turns on the neck, relative to the pivot of the jaw, metres."""
NECK = (-0.5, 0.1)
"""Signed distances to the collar, model units, at which the skin turns with the head fully and not at all."""
PLINTH = 0.005
"""How far below the lowest point of its border the bust ends, metres."""
PIVOTS = {TONGUE: "jaw", LOWER_TEETH: "jaw", UPPER_TEETH: "jaw"}
"""Pivot of each part but the eyes, whose pivots have their own names."""
SYNTHETIC = "Synthetic: made by anifacegan from one photograph; the person did not do what this head does"
INVENTED = "Synthetic: made by anifacegan; this person does not exist"


def require_exportable(avatar: Avatar) -> Float[np.ndarray, "80"]:
    """Return the identity coefficients of an avatar that can become a head.

    Raises:
        InputError: the avatar is not of the open face model, or its file is of an older version without identity.
    """
    card = avatar.card
    if card.face_model != OPEN_FACE_MODEL:
        raise InputError(
            f"avatar '{card.name}' is of face model '{card.face_model}', expected '{OPEN_FACE_MODEL}': "
            "the head is its mesh"
        )
    if len(card.identity) != ID_DIM:
        raise InputError(f"avatar '{card.name}' does not say its identity coefficients: make it again")
    return np.array(card.identity)


def glb_scene(
    avatar: Avatar,
    head: PaintedHead,
    targets: Mapping[str, Float[np.ndarray, "vertex 3"]],
    config: GlbConfig,
    *,
    strands: PersonStrands | None = None,
    unlit: bool = True,
    animation: GlbAnimation | None = None,
    mark_synthetic: bool = True,
) -> GlbScene:
    """Put together the nodes of a head.

    Args:
        targets: what each morph target adds to the vertices, see :mod:`.morph_targets`.
        strands: hair and lashes of the person; None where they are not known.
        unlit: show the texture as it is; otherwise the meshes have normals and a material that programs light.
        mark_synthetic: say in the file that it is synthetic.
    """
    shape = head.shape
    pivot = shape.pivot("jaw") + NECK_FROM_JAW
    children = []
    for label, name in enumerate(PART_NAMES):
        if label != SKIN and (shape.parts.part[shape.triangles] == label).all(axis=1).any():
            place = shape.pivot(PIVOTS.get(label, name))
            mesh = part_mesh(head, targets, label, place, not unlit)
            children.append(GlbNode(name, place - pivot, mesh))
    if strands is not None:
        children += strand_nodes(strands, head, targets, pivot, config, unlit=unlit)
    bust = GlbNode("bust", np.zeros(3), children=(GlbNode("head", pivot, children=tuple(children)),))
    skin = GlbNode("skin", np.zeros(3), part_mesh(head, targets, SKIN, np.zeros(3), not unlit))
    image = np.rint(255 * head.rgb.clip(0, 1)).astype(np.uint8)
    texture = encoded_image(image, ".jpg", quality=config.quality, subsampling=0)
    card = avatar.card
    extras: dict[str, Any] = {"name": card.name, "model": card.model}
    if mark_synthetic:
        extras["description"] = SYNTHETIC if card.is_of_photograph else INVENTED
    return GlbScene((bust, skin), texture, unlit, card.licence, extras, animation)


def part_mesh(
    head: PaintedHead,
    targets: Mapping[str, Float[np.ndarray, "vertex 3"]],
    label: int,
    place: Float[np.ndarray, "3"],
    with_normals: bool,
) -> GlbMesh:
    """Cut out a part of the head, relative to ``place``; the skin's border and those of the eyes are closed.

    The skin has all targets, and the shades of expressions; other parts have the targets that move them.
    """
    shape = head.shape
    chosen = (shape.parts.part[shape.triangles] == label).all(axis=1)
    triangles, corners = shape.triangles[chosen], shape.rig.texture_triangles[chosen]
    used, index = np.unique(corners, return_inverse=True)
    index = index.reshape(-1, 3)
    vertex = np.zeros(len(used), np.int64)
    vertex[index] = triangles
    points = shape.neutral + head.offset
    selected = {name: move[vertex] for name, move in targets.items()}
    if label != SKIN:
        selected = {name: move for name, move in selected.items() if move.any()}
    cap = _Cap(*_closing(points[vertex], triangles, index, label))
    normals = None
    if with_normals:
        normals = vertex_normals_numpy(points, shape.triangles)[vertex]
        below = np.tile(
            [0.0, -1.0 if label == SKIN else 0.0, 0.0 if label == SKIN else -1.0], (len(cap.points), 1)
        )
        normals = np.concatenate([normals, below])
    weight, shades = None, {}
    if label == SKIN:
        shades = {name: change[vertex] for name, change in head.shades.items()}
        distance = shape.parts.cloth_sd.astype(np.float64)[vertex]
        weight = np.append(1 - smoothstep(*NECK, distance), np.zeros(len(cap.points)))
    still = np.zeros((len(cap.points), 3))
    return GlbMesh(
        points=np.concatenate([points[vertex], cap.points]) - place,
        uv=shape.rig.texture_uv[np.append(used, used[cap.source])],
        triangles=np.concatenate([index, cap.triangles]),
        targets={name: np.concatenate([move, still]) for name, move in selected.items()},
        normals=normals,
        head_weight=weight,
        shades={name: np.concatenate([change, still]) for name, change in shades.items()},
    )


@dataclass(frozen=True)
class _Cap:
    """Vertices and triangles that close a border."""

    points: Float[np.ndarray, "added 3"]
    source: Int[np.ndarray, "added"]
    """Vertex of the border whose texture each has."""
    triangles: Int[np.ndarray, "triangle 3"]


def _closing(
    points: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    index: Int[np.ndarray, "triangle 3"],
    label: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Close the border of a part: the bust by a wall down to a floor, an eye by a disc; teeth stay open in the gums.

    ``triangles`` are the face model's, which know the border; ``index`` are the same as vertices of ``points``.
    """
    edges = border_edges(triangles)
    if not len(edges) or label in PIVOTS:
        return np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros((0, 3), np.int64)
    start = index[edges[:, 0], edges[:, 1]]
    end = index[edges[:, 0], (edges[:, 1] + 1) % 3]
    count, first = len(edges), len(points)
    middle = np.tile(points[start].mean(axis=0), (count, 1))
    if label != SKIN:
        centre = first + np.arange(count)
        return middle, start, np.stack([end, start, centre], axis=1)
    floor = points[start][:, 1].min() - PLINTH
    down = np.array([1.0, 0.0, 1.0])
    added = np.concatenate([p * down + [0, floor, 0] for p in (points[start], points[end], middle)])
    below, beside, centre = (first + k * count + np.arange(count) for k in range(3))
    wall = [
        np.stack(corners, axis=1)
        for corners in ((end, start, below), (end, below, beside), (beside, below, centre))
    ]
    return added, np.concatenate([start, end, start]), np.concatenate(wall)


def sequence_animation(name: str, sequence: UnitSequence, fps: float) -> GlbAnimation:
    """Make the animation of a sequence of ``fps`` frames a second."""
    frames = len(next(iter(sequence.weights.values())))
    weights = {unit: strength for unit, strength in sequence.weights.items() if strength.any()}
    return GlbAnimation(name, np.arange(frames) / fps, weights, sequence.rotation)
