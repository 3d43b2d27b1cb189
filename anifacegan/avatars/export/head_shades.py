"""How expressions shade the skin of a head: what each adds to the factors on the colours of its vertices.

An avatar has a factor exp(S) on its colours, as image files have them, at the vertices of its layers. S changes slowly
in space, so a vertex of the head takes the S of those around it. A head's factors are on linear light: those that make
exp(S) c of the colour c that the texture has at the vertex.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.export.head_texture import HeadTexture
from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.data.synthetic.looks.colour import linear_light
from anifacegan.face_model.parts import SKIN
from anifacegan.geometry.resampling import smoothstep

NEIGHBOURS, NEAR = 8, 1e-4
"""Number of the avatar's vertices among which S is interpolated, and the distance, world units, below which all count
the same."""
REACH = (0.004, 0.012)
"""Distances of the avatar's nearest vertex, world units, at which a vertex is shaded fully and not at all."""
LEAST_SHADE = 0.075
"""Change of a factor that is left out. Larger changes set in smoothly."""
DARKEST = 1e-3
"""Smallest colour whose factor is computed; darker ones have the same."""


def head_shades(
    avatar: Avatar,
    shape: PersonShape,
    offset: Float[np.ndarray, "vertex 3"],
    texture: HeadTexture,
    expressions: Mapping[str, Float[np.ndarray, "64"]],
) -> dict[str, Float[np.ndarray, "vertex 3"]]:
    """Compute what each expression adds to the factors, which are 1 for the neutral face; nothing if the avatar has no
    shades.

    Skin is shaded as far as its texture has the colour of the neutral face: what only an expression shows, as the
    inside of the mouth, has that expression's shade already. ``offset`` is added to the vertices.
    """
    mesh = avatar.layered_mesh
    if mesh.shades is None:
        return {}
    values = np.column_stack([texture.colours, texture.neutral])
    sums, weights = texture.owners.summed(values, len(offset))
    means = sums / np.maximum(weights, 1e-9)[:, None]  # of the texels around each vertex
    rgb = means[:, :3].clip(DARKEST, 1)
    away, near = cKDTree(mesh.vertices).query(shape.neutral + offset, k=min(NEIGHBOURS, len(mesh.vertices)))
    share = 1 / (np.square(away) + NEAR**2)
    share *= (means[:, 3] * (1 - smoothstep(*REACH, away[:, 0])) / share.sum(axis=1))[:, None]
    share[shape.parts.part != SKIN] = 0
    found = {}
    for name, z_exp in expressions.items():
        factors = mesh.posed(z_exp.astype(np.float32)).factors
        if factors is None or not avatar.can_make(z_exp):
            continue
        logarithm = (share * np.log(factors.astype(np.float64))[near]).sum(axis=1)
        lit = np.minimum(np.exp(logarithm)[:, None] * rgb, 1)
        found[name] = without_least_shade(linear_light(lit) / linear_light(rgb) - 1)
    return found


def without_least_shade(change: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "vertex 3"]:
    """Leave out changes of a vertex's factors that are below :data:`LEAST_SHADE`; larger ones set in smoothly."""
    largest = np.abs(change).max(axis=1, keepdims=True)
    return change * (1 - (LEAST_SHADE / np.maximum(largest, LEAST_SHADE)) ** 4)
