"""The texture of a person's head in the face model's layout, read from views of the avatar.

A texel's colour is the mean over the views that see it, weighted by how much the surface faces them. Other expressions
show what a neutral face hides: the inside of the mouth, and the lids. Texels that no view sees go on smoothly on the
mesh, toward the colours that the face model's own texture has there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import distance_transform_edt

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.export.avatar_views import (
    LEAST_FACING,
    SAME_SURFACE,
    AvatarView,
    avatar_view,
    within_reach,
)
from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.face_model.parts import SKIN
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.geometry.mesh_values import smooth_values
from anifacegan.geometry.normals import unit, vertex_normals_numpy
from anifacegan.geometry.rasterization.texels import TexelOwners, texel_owners
from anifacegan.runtime.errors import say

DIRECTIONS = tuple((yaw, pitch) for pitch in (0.0, -0.3, 0.3) for yaw in (0.0, -0.35, 0.35, -0.75, 0.75))
"""Yaw and pitch of the views of the neutral face, radians from frontal."""
FEW_DIRECTIONS = DIRECTIONS[:3]
"""Those of the other expressions."""
REVEALING = {
    "jaw_open": ("jawOpen", "the inside of the mouth"),
    "blink": ("eyeBlinkLeft", "the lids"),
}
"""Named expression of the avatar -> action unit without which a face lacks it, and what only the expression shows."""
SIDE_WORTH, HIDDEN_WORTH = 0.05, 1e-4
"""Weights, against the frontal view of the neutral face, of its other views, and of those with another expression.

The avatar's surface is not exactly the mesh, so a mean over views of equal weight would be blurred.
"""
ANYWHERE_NEAR = 0.08
"""Distance, world units, between mesh and avatar that counts as the same surface in views with another expression: a
baked mouth is torn open, and its inside lies anywhere."""
SHARPNESS = 4
"""Power of the cosine of the angle to the viewing axis in a view's weight."""
SURE_FACING = 0.3
"""Cosine of that angle from which a texel is taken as it was seen; below, it is mixed with its surroundings."""
TRUST, GUESS_PULL = 10.0, 0.02
"""Weights, against smoothness on the mesh, of seen colours and of the face model's own."""


@dataclass(frozen=True)
class HeadTexture:
    """Colours of the layout's texels."""

    rgb: Float[np.ndarray, "size size 3"]
    """Colours in [0, 1]; texels beside the layout's pieces have the nearest piece's."""
    owners: TexelOwners
    """The texels that belong to the mesh; corners are vertices of the mesh."""
    seen: Bool[np.ndarray, "texel"]
    """Whether a view saw them."""
    neutral: Float[np.ndarray, "texel"]
    """How far their colours are those that views of the neutral face saw, 0 to 1."""

    @property
    def colours(self) -> Float[np.ndarray, "texel 3"]:
        """Colours of the texels that belong to the mesh."""
        return self.rgb.reshape(-1, 3)[self.owners.flat]

    def as_bytes(
        self, rgb: Float[np.ndarray, "size size 3"] | None = None
    ) -> UInt8[np.ndarray, "size size 3"]:
        """Return the colours, or others of the same texels, as bytes."""
        return np.rint(255 * (self.rgb if rgb is None else rgb).clip(0, 1)).astype(np.uint8)


@dataclass(frozen=True)
class PosedView:
    """A view of the avatar with an expression."""

    view: AvatarView
    vertices: Float[np.ndarray, "vertex 3"]
    """The person's mesh with that expression, hair and surface included."""
    worth: float
    """Weight of the view."""
    same_surface: float = SAME_SURFACE
    """Largest distance between mesh and avatar that counts as the same surface, world units."""
    neutral: bool = True
    """Whether the face is neutral."""


def neutral_views(avatar: Avatar, size: int) -> list[AvatarView]:
    """Draw the neutral face from all sides that the avatar can show."""
    z_exp = np.zeros(EXP_DIM, np.float32)
    directions = within_reach(avatar, DIRECTIONS)
    return [avatar_view(avatar, yaw=yaw, pitch=pitch, size=size, z_exp=z_exp) for yaw, pitch in directions]


def posed_views(
    avatar: Avatar, shape: PersonShape, offset: Float[np.ndarray, "vertex 3"], neutral: Sequence[AvatarView]
) -> list[PosedView]:
    """Draw the expressions that show what a neutral face hides, and add them to the neutral views.

    ``offset`` is added to the vertices. An expression that the avatar cannot make is left out; a line on standard error
    says what is guessed then.
    """
    worths = [1.0, *[SIDE_WORTH] * (len(neutral) - 1)]
    found = [
        PosedView(view, shape.neutral + offset, worth) for view, worth in zip(neutral, worths, strict=True)
    ]
    for name, (unit_name, shows) in REVEALING.items():
        z_exp = None
        if name in avatar.card.presets:
            z_exp = avatar.expressions.coefficients(name)
        elif avatar.basis is not None and unit_name in avatar.basis.names:
            z_exp = avatar.expressions.coefficients(unit_name.removesuffix("Left"))
        if z_exp is None or not avatar.can_make(z_exp):
            say(f"avatar '{avatar.card.name}' was not baked with {name}: the colours of {shows} are guessed")
            continue
        vertices = shape.vertices(z_exp) + offset
        for yaw, pitch in within_reach(avatar, FEW_DIRECTIONS):
            size = neutral[0].camera.size
            view = avatar_view(avatar, yaw=yaw, pitch=pitch, size=size, z_exp=z_exp)
            found.append(PosedView(view, vertices, HIDDEN_WORTH, ANYWHERE_NEAR, neutral=False))
    return found


def head_texture(shape: PersonShape, views: Sequence[PosedView], size: int) -> HeadTexture:
    """Read the texture of ``size`` x ``size`` texels from views."""
    owners = layout_owners(shape, size)
    total, weight = np.zeros((len(owners.flat), 3)), np.zeros(len(owners.flat))
    best, neutral = np.zeros(len(weight)), np.zeros(len(weight))
    triangles = shape.triangles
    for posed in views:
        normals = vertex_normals_numpy(posed.vertices, triangles)
        likely = posed.view.may_show(posed.vertices, normals, posed.same_surface)
        here = np.flatnonzero(likely[owners.corners].any(axis=1))
        some = TexelOwners(owners.flat[here], owners.corners[here], owners.shares[here])
        points, ways = some.interpolated(posed.vertices), unit(some.interpolated(normals))
        seen = posed.view.look_at(points, ways, (posed.vertices, triangles), posed.same_surface)
        worth = np.where(seen.seen, posed.worth * seen.facing**SHARPNESS, 0.0)
        total[here] += worth[:, None] * seen.rgb
        weight[here] += worth
        neutral[here] += worth if posed.neutral else 0.0
        best[here] = np.maximum(best[here], np.where(seen.seen, seen.facing, 0.0))
    known = weight > 0
    whole = np.where(known, weight, 1.0)
    colours = total / whole[:, None]
    everywhere = _on_vertices(shape, owners, colours, known)
    sure = np.where(known, (best - LEAST_FACING) / (SURE_FACING - LEAST_FACING), 0.0).clip(0, 1)[:, None]
    colours = sure * colours + (1 - sure) * owners.interpolated(everywhere)
    return HeadTexture(filled_beside(colours, owners, size), owners, known, neutral / whole)


def layout_owners(shape: PersonShape, size: int) -> TexelOwners:
    """Find the triangle of each texel of the face model's layout; corners are vertices of the mesh."""
    texels = layout_texels(shape, size)
    corners = shape.rig.texture_triangles
    owners = texel_owners(texels, corners, np.ones(len(texels)), size)
    vertex = np.zeros(len(texels), np.int64)
    vertex[corners] = shape.triangles
    return TexelOwners(owners.flat, vertex[owners.corners], owners.shares)


def layout_texels(shape: PersonShape, size: int) -> Float[np.ndarray, "texture_vertex 2"]:
    """Return the layout's places in texels; whole numbers are centres of texels."""
    return shape.rig.texture_uv.astype(np.float64) * size - 0.5


def filled_beside(
    colours: Float[np.ndarray, "texel 3"], owners: TexelOwners, size: int
) -> Float[np.ndarray, "size size 3"]:
    """Lay out colours of texels as an image; texels that belong to nothing get the nearest ones' colours."""
    image, empty = np.zeros((size * size, 3)), np.ones(size * size, bool)
    image[owners.flat], empty[owners.flat] = colours, False
    row, column = distance_transform_edt(
        empty.reshape(size, size), return_distances=False, return_indices=True
    )
    return image.reshape(size, size, 3)[row, column]


def _on_vertices(
    shape: PersonShape,
    owners: TexelOwners,
    colours: Float[np.ndarray, "texel 3"],
    known: Bool[np.ndarray, "texel"],
) -> Float[np.ndarray, "vertex 3"]:
    """Compute a colour of every vertex: what was seen around it, and smooth where nothing was."""
    there = TexelOwners(owners.flat[known], owners.corners[known], owners.shares[known])
    sums, trust = there.summed(colours[known], len(shape.neutral), power=4)
    seen = trust > 0.05
    means = sums / np.where(seen, trust, 1.0)[:, None]
    guess = expected_colours(shape, means, seen)
    return smooth_values(means, TRUST * seen, guess, shape.triangles, GUESS_PULL)


def expected_colours(
    shape: PersonShape, means: Float[np.ndarray, "vertex 3"], seen: Bool[np.ndarray, "vertex"]
) -> Float[np.ndarray, "vertex 3"]:
    """Return the colours to expect of vertices: the face model's, in the tone of the person's skin; on hair and
    clothes, the mean of what was seen of them.

    The hair is that of the face model's hair line whose two sides are most uniform in what was seen.
    """
    parts = shape.parts
    painted = shape.model.tex_mean.numpy().astype(np.float64)
    skin = (parts.part == SKIN) & (parts.cloth_sd < 0)
    face = seen & skin & (parts.face_mask > 0.5)
    if not face.any():
        return painted
    guess = painted * means[face].mean(axis=0) / np.maximum(painted[face].mean(axis=0), 1e-3)
    scalp = seen & skin & (parts.hair_sd.max(axis=0) > 0)
    left_over = []
    for line in parts.hair_sd > 0:
        groups = [means[scalp & line], means[scalp & ~line]]
        left_over.append(sum(float(((g - g.mean(axis=0)) ** 2).sum()) for g in groups if len(g)))
    hair = parts.hair_sd[int(np.argmin(left_over))] > 0
    for where in (skin & hair, parts.cloth_sd > 0):
        if (where & seen).any():
            guess[where] = means[where & seen].mean(axis=0)
    return guess
