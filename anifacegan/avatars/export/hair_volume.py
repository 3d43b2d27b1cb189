"""How far a person's hair stands off the scalp, carved out of views: hair ends where views see past it.

A point above the scalp is outside if at least two views see past it, because one view may be wrong. Hair that hangs
free of the head is not part of this volume.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from anifacegan.avatars.export.avatar_views import AvatarView
from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.face_model.parts import SKIN
from anifacegan.geometry.mesh_values import smooth_values

TALLEST, STEPS = 0.036, 73
"""Largest thickness that is looked for, world units, and number of points that are tried along it."""
VIEWS_NEEDED = 2
"""Number of views that have to see past a point."""
IN_FRONT, ON_SURFACE = 0.0005, 0.004
"""A view sees past a point that is this far before its surface, and shows one that is this near, world units."""
CERTAINTY = 3.0
"""Trust in a measured thickness against smoothness."""


def hair_thickness(shape: PersonShape, views: Sequence[AvatarView]) -> Float[np.ndarray, "vertex"]:
    """Measure how far each vertex of the scalp may go along the face model's outward direction, world units.

    Vertices that are not on the scalp have 0. Where no view sees the hair, the thickness goes on smoothly.
    """
    scalp = scalp_of(shape)
    if not scalp.any():
        return np.zeros(len(scalp))
    heights = np.linspace(0, TALLEST, STEPS)
    direction = shape.parts.hair_dir[scalp].astype(np.float64)
    points = (shape.neutral[scalp][:, None] + heights[:, None] * direction[:, None]).reshape(-1, 3)
    past, shown = np.zeros(len(points), int), np.zeros(len(points), bool)
    for view in views:
        inside, behind = view.surface_at(points)
        past += inside & (behind < -IN_FRONT)
        shown |= inside & (np.abs(behind) < ON_SURFACE)
    outside, shown = (past >= VIEWS_NEEDED).reshape(-1, STEPS), shown.reshape(-1, STEPS).any(axis=1)
    known = shown & outside.any(axis=1)
    measured = np.zeros(len(scalp))
    measured[scalp] = heights[(outside.argmax(axis=1) - 1).clip(min=0)]
    trust = np.where(scalp, 0.0, CERTAINTY)
    trust[np.flatnonzero(scalp)[known]] = CERTAINTY
    smooth = smooth_values(measured[:, None], trust, np.zeros((len(scalp), 1)), shape.triangles)[:, 0]
    return np.where(scalp, smooth.clip(0, TALLEST), 0.0)


def scalp_of(shape: PersonShape) -> Bool[np.ndarray, "vertex"]:
    """Mark the vertices on which some hair style of the face model grows."""
    return (shape.parts.hair_sd.max(axis=0) > 0) & (shape.parts.part == SKIN)
