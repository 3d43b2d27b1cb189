"""A person's head as the views of the avatar show it: hair, the avatar's surface, and the texture."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.export.config import GlbConfig
from anifacegan.avatars.export.hair_volume import hair_thickness
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


def painted_head(avatar: Avatar, shape: PersonShape, config: GlbConfig, albedo: bool = False) -> PaintedHead:
    """Measure a person's surface, hair and texture in views of the avatar; ``albedo`` removes the light's shading."""
    neutral = neutral_views(avatar, config.view)
    offset = hair_thickness(shape, neutral)[:, None] * shape.parts.hair_dir.astype(np.float64)
    offset += surface_offset(shape, neutral)
    texture = head_texture(shape, posed_views(avatar, shape, offset, neutral), config.texture)
    rgb = without_shading(shape, texture) if albedo else texture.rgb
    return PaintedHead(shape, offset, rgb, float(texture.seen.mean()))
