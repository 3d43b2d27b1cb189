"""A person's head as the views of the avatar show it: hair, the avatar's surface, and the texture."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.export.config import GlbConfig
from anifacegan.avatars.export.hair_volume import hair_thickness
from anifacegan.avatars.export.head_shades import head_shades
from anifacegan.avatars.export.head_texture import head_texture, neutral_views, posed_views
from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.avatars.export.shading_removal import without_shading
from anifacegan.avatars.export.surface_fit import surface_offset


@dataclass(frozen=True)
class PaintedHead:
    """A person's shape with hair and the avatar's surface, and the texture."""

    shape: PersonShape
    offset: Float[np.ndarray, "vertex 3"]
    """What hair and the avatar's surface add to the vertices, metres."""
    rgb: Float[np.ndarray, "size size 3"]
    """The texture, colours in [0, 1]."""
    seen: float
    """Share of the texels that a view saw."""
    shades: dict[str, Float[np.ndarray, "vertex 3"]] = field(default_factory=dict)
    """Name of each expression that shades the skin -> what it adds to the factors on the vertices' colours, linear
    light."""


def painted_head(
    avatar: Avatar,
    shape: PersonShape,
    config: GlbConfig,
    expressions: Mapping[str, Float[np.ndarray, "64"]],
    albedo: bool = False,
) -> PaintedHead:
    """Measure a person's surface, hair and texture in views of the avatar, and the shades of expressions; ``albedo``
    removes the light's shading.
    """
    neutral = neutral_views(avatar, config.view)
    offset = hair_thickness(shape, neutral)[:, None] * shape.parts.hair_dir.astype(np.float64)
    offset += surface_offset(shape, neutral)
    texture = head_texture(shape, posed_views(avatar, shape, offset, neutral), config.texture)
    seen = float(texture.seen.mean())
    if albedo:
        return PaintedHead(shape, offset, without_shading(shape, texture), seen)
    shades = head_shades(avatar, shape, offset, texture, expressions)
    return PaintedHead(shape, offset, texture.rgb, seen, shades)
