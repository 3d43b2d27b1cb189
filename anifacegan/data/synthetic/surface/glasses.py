"""Glasses: frames of round wire that sit on the nose and rest on the ears, as a triangle mesh in model units."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from anifacegan.data.synthetic.looks.appearance import Glasses
from anifacegan.data.synthetic.surface.head import HeadGeometry
from anifacegan.geometry.normals import unit

LEAST_SIZE = 0.03
"""Size (``Glasses.size``, 0 to 1) below which glasses are left out, as their wire would be invisibly thin."""
SIDES = 6
"""Number of sides of the prisms that stand for round wire."""
LEFT_EYE, RIGHT_EYE, BRIDGE = slice(42, 48), slice(36, 42), slice(27, 29)
"""Indices of the landmarks of both eyes and of the upper bridge of the nose, among the 68."""
EYE_CLEARANCE = 0.13
"""Smallest distance of the lenses in front of the corners of the eyes, in model units."""
WRAP = 0.12
"""Curvature of the lenses: at x model units from the middle they are WRAP x^2 model units farther back."""
HEAD_CLEARANCE = 0.012
"""Distance of the temples (side arms of the glasses) from the side of the head, in model units."""
EAR = 0.5
"""Weight in ``HeadParts.ears_mask`` above which a vertex belongs to an ear."""


@dataclass(frozen=True)
class Frame:
    """Triangle mesh of glasses; positions in model units, unit normals."""

    vertices: Float[np.ndarray, "vertex 3"]
    normals: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]


def glasses_frame(
    glasses: Glasses, head: HeadGeometry, neutral: Float[np.ndarray, "vertex 3"]
) -> Frame | None:
    """Fit glasses to a head; None if the person wears none.

    Args:
        glasses: size and shape of the glasses.
        head: landmarks and regions of the face model.
        neutral: vertices of the person's head with a neutral expression, model units.
    """
    if glasses.size < LEAST_SIZE:
        return None
    marks = neutral[head.landmark_vertices]
    left, right, bridge = (marks[rows].mean(axis=0) for rows in (LEFT_EYE, RIGHT_EYE, BRIDGE))
    half = (left - right)[0] / 2
    front = max(bridge[2] - 0.01, left[2] + EYE_CLEARANCE, right[2] + EYE_CLEARANCE)
    width, height = glasses.width * half, glasses.height
    wire = glasses.thickness * glasses.size
    middle = (left[1] + right[1]) / 2 - 0.02
    turn = np.linspace(0, 2 * np.pi, 44, endpoint=False)
    power = 2 / max(glasses.roundness, 1.0)
    across = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power * width
    upward = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power * height
    upward = np.where(upward < 0, upward * (1 - 0.10 * np.abs(across) / width), upward)
    pieces = []
    for eye in (left, right):
        x = eye[0] + across
        pieces.append(tube(np.stack([x, middle + upward, front - WRAP * x**2], axis=1), wire, closed=True))
    t = np.linspace(-1, 1, 9)
    inner = max(half - width, 0.02)
    arc = np.stack(
        [t * inner, middle + 0.28 * height + 0.03 * (1 - t**2), front + 0.015 * (1 - t**2)], axis=1
    )
    pieces.append(tube(arc, 0.9 * wire, closed=False))
    for sign, eye in ((1, left), (-1, right)):
        x = eye[0] + sign * width
        hinge = np.array([x, middle + 0.35 * height, front - WRAP * x**2])
        path = temple_path(head, neutral, sign, hinge)
        if path is not None:
            pieces.append(tube(path, 0.85 * wire, closed=False))
    return _joined(pieces)


def temple_path(
    head: HeadGeometry, neutral: Float[np.ndarray, "vertex 3"], sign: int, hinge: Float[np.ndarray, "3"]
) -> Float[np.ndarray, "point 3"] | None:
    """Lay out a temple (side arm) of glasses: from its hinge along the head, over the ear's root and down behind it.

    Args:
        head: regions of the face model.
        neutral: vertices of the person's head with a neutral expression, model units.
        sign: 1 for the side of +x, -1 for that of -x.
        hinge: position of the hinge, model units.

    Returns:
        Points of the temple's middle line; None if the head has no ear on that side.
    """
    ears = np.asarray(head.parts.ears_mask, np.float32)
    skin = np.asarray(head.parts.part) == 0
    ear = neutral[skin & (ears > EAR) & (neutral[:, 0] * sign > 0)]
    if len(ear) == 0:
        return None
    top = ear[ear[:, 1] > np.quantile(ear[:, 1], 0.9)]
    root_x = np.abs(ear[:, 0]).min() + 0.25 * np.ptp(np.abs(ear[:, 0]))
    root = np.array([sign * root_x, top[:, 1].mean() - 0.03, top[:, 2].mean()])
    behind = np.array([sign * (root_x - 0.02), root[1] - 0.22, ear[:, 2].min() + 0.02])
    t = np.linspace(0, 1, 12)[:, None]
    straight = hinge + t * (root - hinge)
    side = neutral[
        skin & (ears < 0.2) & (np.abs(neutral[:, 1] - hinge[1]) < 0.12) & (neutral[:, 0] * sign > 0)
    ]
    for point in straight[1:]:
        near = side[np.abs(side[:, 2] - point[2]) < 0.06]
        if len(near):
            point[0] = sign * max(abs(point[0]), np.abs(near[:, 0]).max() + HEAD_CLEARANCE)
    bend = np.linspace(0, 1, 6)[1:, None]
    hook = (
        straight[-1]
        + bend * (behind - straight[-1]) * [1, 0, 1]
        + bend**2 * (behind - straight[-1]) * [0, 1, 0]
    )
    return np.concatenate([straight, hook])


def tube(
    path: Float[np.ndarray, "point 3"], radius: float, *, closed: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make a mesh of round wire along a path; return vertices (V, 3), unit normals (V, 3) and triangles (F, 3).

    ``closed`` joins the last point of the path to the first one; the ends of an open wire stay open.
    """
    count = len(path)
    ahead = np.roll(path, -1, axis=0) - np.roll(path, 1, axis=0) if closed else np.gradient(path, axis=0)
    ahead = unit(ahead)
    other = np.where(np.abs(ahead[:, 2:3]) < 0.9, [[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]])
    u = unit(np.cross(ahead, other))
    v = np.cross(ahead, u)
    turn = 2 * np.pi * np.arange(SIDES) / SIDES
    ring = u[:, None] * np.cos(turn)[None, :, None] + v[:, None] * np.sin(turn)[None, :, None]
    at = np.arange(count if closed else count - 1)[:, None] * SIDES
    after = (at + SIDES) % (count * SIDES)
    side = np.arange(SIDES)
    next_side = (side + 1) % SIDES
    quads = np.stack([at + side, after + side, after + next_side, at + next_side], axis=-1).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return (path[:, None] + radius * ring).reshape(-1, 3), ring.reshape(-1, 3), triangles


def _joined(pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Frame:
    starts = np.cumsum([0, *(len(vertices) for vertices, _, _ in pieces)])
    return Frame(
        np.concatenate([vertices for vertices, _, _ in pieces]).astype(np.float32),
        np.concatenate([normals for _, normals, _ in pieces]).astype(np.float32),
        np.concatenate(
            [triangles + start for (_, _, triangles), start in zip(pieces, starts, strict=False)]
        ).astype(np.int32),
    )
