"""The open face model's head as layers of a layered mesh: a person's skin, and the eyes and the mouth behind it.

The skin is unrolled about a vertical axis, with closed lids and parted lips, so that lids and lips have texels of their
own. Eyeballs, teeth, tongue and the inside of the cheeks lie behind it in one more layer; each has a rectangle of the
texture. Vertices are linear in the expression but for the lids, so a basis of all 64 coefficients whose first two are
the blinks of both eyes makes every expression.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float, Int

from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import BLINK_UNITS, HeadParts
from anifacegan.face_model.parts import EYE_LABELS, LOWER_TEETH, SKIN, TONGUE, UPPER_TEETH
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.geometry.rasterization.rasterizer import rasterize

TEXTURE = 1024
"""Height and width of the textures, texels."""
INBETWEENS = 2
BEHIND, ASIDE, BELOW = -0.125, 0.16, -0.17
"""Least z, largest absolute x and least y of the vertices that are kept, world units."""
AXIS_Z = -0.06
"""Place of the axis about which the skin is unrolled, world units."""
LEAN = 0.4
"""By how much the texture's rows lean forward, so that the skin under the chin gets rows of its own."""
WIDEST_ANGLE = 2.2
"""Angle about the axis at the texture's left and right edges, radians from the front."""
NAPE_Y, NAPE_ANGLE = -0.04, 2.0
"""Largest y, world units, and least angle about the axis, radians, of the nape, which is left out: hair and collar,
which the photograph does not show there, cover it."""
NECK_Y, NECK_MARGIN = (-0.1, -0.07), 0.003
"""y between which the neck's width is measured, and by how much what is below may be wider, world units: the relief has
the photograph's shoulders and clothes, and bare ones would stand beside them when the head turns."""
CROWDING = 0.8
"""How much more columns the front gets than the sides."""
CHART_POSE = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0, "jawOpen": 0.3}
"""Expression in which the skin is unrolled."""
EAR = 0.5
"""Weight as part of an ear above which skin is left out: ears differ much, and the relief has the photograph's."""
SIDE_Z = -0.055
"""Skin whose z is below this lies behind the relief: it is beside and behind the ears, world units."""
VISIBLE_EXPRESSIONS: tuple[dict[str, float], ...] = (
    {},
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    {"jawOpen": 1.0},
    {"eyeWideLeft": 1.0, "eyeWideRight": 1.0, "mouthUpperUpLeft": 1.0, "mouthUpperUpRight": 1.0},
)
VISIBLE_YAWS, VISIBLE_PITCHES, VISIBLE_SIZE = (-0.9, -0.45, 0.0, 0.45, 0.9), (-0.4, 0.0, 0.4), 256
"""Expressions, views (radians) and their size (pixels) in which visible skin is looked for."""
RECTANGLES = {
    EYE_LABELS[0]: (0.0, 0.0, 0.25, 0.25),
    EYE_LABELS[1]: (0.25, 0.0, 0.5, 0.25),
    TONGUE: (0.5, 0.0, 1.0, 0.25),
    UPPER_TEETH: (0.0, 0.25, 0.5, 0.5),
    LOWER_TEETH: (0.5, 0.25, 1.0, 0.5),
    SKIN: (0.0, 0.5, 1.0, 1.0),
}
"""Left, top, right and bottom of the parts' rectangles in the texture behind the skin; the skin here is that inside the
mouth."""
RECTANGLE_MARGIN = 0.01
EYE_REACH = 1.9
"""Angle from the pupil at the edge of an eye's rectangle, radians."""
SPREAD = 1.0


@dataclass(frozen=True)
class HeadSurface:
    """One person's head in layers; points are in target space, world units."""

    model: MorphableModel
    z_id: Float[np.ndarray, "80"]
    """The person's identity coefficients."""
    selected: Int[np.ndarray, "vertex"]
    """Index in the face model of each vertex."""
    triangles: Int[np.ndarray, "triangle 3"]
    """Vertex indices, layer by layer (see ``layer_starts``); counter-clockwise seen from outside."""
    layer_starts: Int[np.ndarray, "4"]
    """First triangle of each layer, and the number of triangles."""
    texels: Float[np.ndarray, "vertex 2"]
    """Texture coordinates (column, row), texels."""
    priority: Float[np.ndarray, "vertex"]
    """Which of several triangles at one texel the texel belongs to: the one where this is largest; positive."""
    part: Int[np.ndarray, "vertex"]
    """Part of the head, see :mod:`anifacegan.face_model.parts`."""

    skin_count: int
    """Number of the skin's vertices, which come first."""

    def vertices(self, z_exp: Float[np.ndarray, "64"]) -> Float[np.ndarray, "vertex 3"]:
        """Compute the vertices with an expression."""
        return head_vertices(self.model, self.z_id, z_exp)[self.selected]


def head_vertices(
    model: MorphableModel, z_id: Float[np.ndarray, "80"], z_exp: Float[np.ndarray, "64"]
) -> Float[np.ndarray, "point 3"]:
    """Compute all vertices of a person with an expression, world units."""
    latents = (torch.from_numpy(np.asarray(z, np.float32))[None] for z in (z_id, z_exp))
    return model.to_world(model.shape(*latents))[0].numpy()


def head_surface(model: MorphableModel, parts: HeadParts, z_id: Float[np.ndarray, "80"]) -> HeadSurface:
    """Lay out the head of a person with identity coefficients ``z_id`` in three layers: the face, what is behind it,
    and the sides and back of the head."""
    unrolled = parts.expression_basis().from_strengths(CHART_POSE)
    neutral, chart_pose = (head_vertices(model, z_id, z) for z in (np.zeros(EXP_DIM, np.float32), unrolled))
    triangles = model.triangles.numpy()
    part = parts.part.astype(np.int64)
    inside = (part != SKIN) | (parts.mouth_mask > 0.5)
    wanted = _wanted(neutral, triangles)
    is_inside = inside[triangles].all(axis=1)
    bare = _nape_or_shoulders(neutral, triangles)
    wanted &= is_inside | (_ever_visible(model, parts, z_id, triangles) & ~bare)
    is_ear = (parts.ears_mask[triangles] > EAR).any(axis=1)
    is_back = (neutral[triangles, 2] < SIDE_Z).all(axis=1)
    face, behind, back = (
        triangles[wanted & chosen]
        for chosen in (~is_inside & ~is_back & ~is_ear, is_inside, ~is_inside & is_back & ~is_ear)
    )
    # a vertex on the border of two layers gets one copy in each
    skin_vertices, skin_corners = np.unique(np.concatenate([face, back]), return_inverse=True)
    behind_vertices, behind_corners = np.unique(behind, return_inverse=True)
    selected = np.concatenate([skin_vertices, behind_vertices])
    skin_corners = skin_corners.reshape(-1, 3)
    corners = [
        skin_corners[: len(face)],
        len(skin_vertices) + behind_corners.reshape(-1, 3),
        skin_corners[len(face) :],
    ]
    skin_texels, skin_priority = _unrolled(chart_pose[skin_vertices])
    behind_texels = _in_rectangles(chart_pose, parts, behind_vertices)
    return HeadSurface(
        model=model,
        z_id=np.asarray(z_id, np.float32),
        selected=selected,
        triangles=np.concatenate(corners).astype(np.int32),
        layer_starts=np.cumsum([0, len(face), len(behind), len(back)]).astype(np.int32),
        texels=np.concatenate([skin_texels, behind_texels]).astype(np.float32),
        priority=np.concatenate([skin_priority, 1.0 + chart_pose[behind_vertices, 2]]).astype(np.float32),
        part=part[selected],
        skin_count=len(skin_vertices),
    )


def _ever_visible(
    model: MorphableModel,
    parts: HeadParts,
    z_id: Float[np.ndarray, "80"],
    triangles: Int[np.ndarray, "triangle 3"],
) -> np.ndarray:
    """Mark the triangles that some view shows with some expression, and their neighbours; sockets behind the eyeballs
    and other hidden skin are not."""
    marked = np.zeros(len(triangles), bool)
    pairs = [(yaw, pitch) for yaw in VISIBLE_YAWS for pitch in VISIBLE_PITCHES]
    for name in VISIBLE_EXPRESSIONS:
        z_exp = parts.expression_basis().from_strengths(name)
        points = torch.from_numpy(head_vertices(model, z_id, z_exp))[None].expand(len(pairs), -1, -1)
        yaw, pitch = torch.tensor(pairs).T
        camera = orbit_camera(yaw=yaw, pitch=pitch, size=VISIBLE_SIZE)
        found = rasterize(points, model.triangles, camera).triangle
        marked[np.unique(found[found >= 0].numpy())] = True
    near = np.zeros(len(model.mean), bool)
    near[triangles[marked]] = True
    return near[triangles].any(axis=1)


def _wanted(neutral: Float[np.ndarray, "point 3"], triangles: Int[np.ndarray, "triangle 3"]) -> np.ndarray:
    """Mark the triangles that some view of the avatar may show."""
    kept = (neutral[:, 2] > BEHIND) & (np.abs(neutral[:, 0]) < ASIDE) & (neutral[:, 1] > BELOW)
    return kept[triangles].all(axis=1)


def _nape_or_shoulders(
    neutral: Float[np.ndarray, "point 3"], triangles: Int[np.ndarray, "triangle 3"]
) -> np.ndarray:
    """Mark the triangles of nape and shoulders, and what else lies there."""
    x, y, z = np.abs(neutral[:, 0]), neutral[:, 1], neutral[:, 2]
    nape = (y < NAPE_Y) & (np.arctan2(x, z - AXIS_Z) > NAPE_ANGLE)
    neck = x[(y > NECK_Y[0]) & (y < NECK_Y[1]) & (z < SIDE_Z)].max(initial=0.0)
    shoulders = (y < NECK_Y[0]) & (x > neck + NECK_MARGIN)
    return (nape | shoulders)[triangles].any(axis=1)


def _unrolled(points: Float[np.ndarray, "vertex 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Return texture coordinates of the skin, and the distance from the axis."""
    x, y, depth = points[:, 0], points[:, 1], points[:, 2] - AXIS_Z
    angle = np.arctan2(x, depth).clip(-WIDEST_ANGLE, WIDEST_ANGLE)
    across = np.arcsinh(np.sinh(CROWDING) * angle / WIDEST_ANGLE) / CROWDING
    down = -(y + LEAN * depth)
    low, high = down.min(), down.max()
    texels = np.stack([(across + 1) / 2, (down - low) / (high - low)], axis=-1)
    return 2 + texels * (TEXTURE - 5), np.hypot(x, depth) + 0.1


def _in_rectangles(
    points: Float[np.ndarray, "point 3"], parts: HeadParts, selected: Int[np.ndarray, "vertex"]
) -> Float[np.ndarray, "vertex 2"]:
    """Return texture coordinates of what is behind the skin: eyeballs about their pole, other parts from the front."""
    texels = np.zeros((len(selected), 2))
    label = parts.part[selected]
    for part, (left, top, right, bottom) in RECTANGLES.items():
        here = label == part
        if not here.any():
            continue
        if part in EYE_LABELS:
            polar, azimuth = parts.eye_polar[selected][here], parts.eye_azimuth[selected][here]
            flat = np.stack([np.cos(azimuth), -np.sin(azimuth)], axis=-1)
            place = 0.5 + flat * (polar.clip(0, EYE_REACH) / EYE_REACH / 2)[:, None]
        else:
            flat = points[selected][here, :2] * [1, -1]
            low, high = flat.min(axis=0), flat.max(axis=0)
            place = (flat - low) / (high - low)
        size = np.array([right - left, bottom - top]) - 2 * RECTANGLE_MARGIN
        texels[here] = np.array([left, top]) + RECTANGLE_MARGIN + place * size
    return texels * (TEXTURE - 1)


def expression_directions(
    model: MorphableModel, parts: HeadParts
) -> tuple[Float[np.ndarray, "64 64"], tuple[str, ...]]:
    """Return 64 expressions (rows) whose weighted sums make every expression, with their names.

    The first two close one eye each; no other one does. The others are as large as the strongest of the face model's
    example expressions and action units along them.
    """
    basis = parts.expression_basis()
    blinks = np.stack([basis.units_to_exp[:, basis.names.index(unit)] for unit in BLINK_UNITS]).astype(float)
    read_outs = np.stack([eye.closing.read_out for eye in model.eyes]).astype(float)
    rest = scipy.linalg.null_space(read_outs)  # (64, 62)
    examples = np.concatenate([parts.au_bank.astype(float) @ basis.units_to_exp.T, basis.units_to_exp.T])
    remaining = (examples - examples @ read_outs.T @ np.linalg.inv(blinks @ read_outs.T) @ blinks) @ rest
    axes = np.linalg.svd(remaining, full_matrices=False)[2]
    strongest = SPREAD * np.abs(remaining @ axes.T).max(axis=0)
    directions = np.concatenate([blinks, strongest[:, None] * (axes @ rest.T)])
    names = (*BLINK_UNITS, *(f"component {k}" for k in range(1, len(axes) + 1)))
    return directions.astype(np.float32), names


def blendshapes(
    surface: HeadSurface, directions: Float[np.ndarray, "shape 64"]
) -> Float[np.ndarray, "shape inbetween vertex 3"]:
    """Compute the offsets of the vertices from the neutral face at equally spaced strengths of each expression.

    The first expressions are the blinks, whose lids turn; the others move all vertices along straight lines.
    """
    neutral = surface.vertices(np.zeros(EXP_DIM, np.float32))
    strengths = np.arange(1, INBETWEENS + 1, dtype=np.float32) / INBETWEENS
    offsets = np.empty((len(directions), INBETWEENS, *neutral.shape), np.float32)
    for shape, z_exp in enumerate(directions):
        if shape < len(BLINK_UNITS):
            offsets[shape] = [surface.vertices(strength * z_exp) - neutral for strength in strengths]
        else:
            offsets[shape] = strengths[:, None, None] * (surface.vertices(z_exp) - neutral)
    return offsets
