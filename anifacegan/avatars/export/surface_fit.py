"""The skin of a head moved to the surface that the views of an avatar show.

The avatar's surface lies up to some millimetres beside the face model's mesh of the same identity, which shows at the
outline of jaw and cheeks. Each vertex moves along its normal, by the mean of what the views say that face it most.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from anifacegan.avatars.export.avatar_views import AvatarView
from anifacegan.avatars.export.hair_volume import scalp_of
from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.face_model.parts import SKIN
from anifacegan.geometry.mesh_values import smooth_values
from anifacegan.geometry.normals import vertex_normals_numpy

FARTHEST = 0.006
"""Largest movement of a vertex, world units."""
SHARPNESS = 4
"""Power of the cosine of the angle to the viewing axis in a view's weight."""
TRUST, PULL = 0.5, 0.002
"""Weights, against smoothness on the mesh, of a movement that a view shows, and of no movement."""


def surface_offset(shape: PersonShape, views: Sequence[AvatarView]) -> Float[np.ndarray, "vertex 3"]:
    """Measure how far the skin of the avatar lies from that of the neutral mesh, world units.

    Scalp, lids, lips, the inside of the mouth, eyes and teeth stay.
    """
    normals = vertex_normals_numpy(shape.neutral, shape.triangles)
    total, weight = np.zeros(len(normals)), np.zeros(len(normals))
    for view in views:
        found = view.look_at(shape.neutral, normals, (shape.neutral, shape.triangles))
        trust = np.where(found.seen, found.facing**SHARPNESS, 0.0)
        behind = np.where(found.seen, view.surface_at(shape.neutral)[1], 0.0)
        total += trust * behind * found.facing
        weight += trust
    measured = np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), 0.0)
    parts = shape.parts
    free = np.where((parts.part == SKIN) & ~scalp_of(shape), 1.0, 0.0)
    for mask in (parts.lids_mask, parts.lips_mask, parts.mouth_mask):
        free *= 1 - mask.astype(np.float64).clip(0, 1)
    still = np.zeros((len(normals), 1))
    trust = np.where(free > 0, TRUST * weight.clip(0, 1), 1.0)
    smooth = smooth_values((free * measured)[:, None], trust, still, shape.triangles, PULL)[:, 0]
    return (free * smooth).clip(-FARTHEST, FARTHEST)[:, None] * normals
