"""The table of vertex attributes of a person: colours without light, light, gloss, and where skin is covered."""

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.looks.appearance import Appearance
from anifacegan.data.synthetic.looks.colour import linear_light
from anifacegan.data.synthetic.shading.eyes import lid_shadow
from anifacegan.data.synthetic.strands.plan import SkinUnderHair
from anifacegan.data.synthetic.surface.head import HeadGeometry
from anifacegan.data.synthetic.surface.head_fields import HeadFields
from anifacegan.data.synthetic.surface.person_surface import PersonSurface
from anifacegan.data.synthetic.surface.scattering import SCATTERING_STEPS
from anifacegan.data.synthetic.surface.shadow_maps import VertexLight
from anifacegan.data.synthetic.surface.vertex_table import (
    ALBEDO,
    BENT,
    CAVITY,
    CLOTH,
    COLUMNS,
    FURROWS,
    GLOSS,
    IRRADIANCE,
    LAMP,
    LINES,
    NORMAL,
    PLACE,
    SCALP,
    SKY,
    WET,
)
from anifacegan.face_model.face_mesh import affine
from anifacegan.geometry.resampling import smoothstep

FAR_OUTSIDE = -1.0
"""Signed distance, in model units, of vertices that are far from the collar."""
BOUNCE_RGB = (0.30, 0.19, 0.15)
"""Share of the light of fair skin that reaches other skin, for what hides the sky is mostly skin."""
LEAST_BOUNCE = 0.3
"""Share of that light that still reaches hidden skin."""
MOUTH_RGB = (0.36, 0.31, 0.29)
"""Least light in the mouth, as a share of that on open skin: it passes lips and cheeks."""
LIP_SHARE, LIP_TINT = 0.75, (0.70, 0.45, 0.44)
"""How much lips take the colour of the skin around them, tinted; more in men."""
BROW_SHADE, BEARD_SHADE = 0.5, 0.45
"""How much the skin under dense brows and beards takes the colour of their roots."""
FRAME_GLOSS = 1.2
FINE_STEPS, BROAD_STEPS = 3, 5
"""Averaging steps of positions, whose shift shows hollows of a few millimetres and of a centimetre."""


def vertex_colours(
    head: HeadGeometry, fields: HeadFields, appearance: Appearance, under_hair: SkinUnderHair
) -> Float[np.ndarray, "vertex 3"]:
    """Compute the linear colours of the head's vertices without light; skin under brows and beard is darker."""
    encoded = np.clip(affine(head.tex_mean, head.tex_basis, appearance.skin.tex), 0, 1).reshape(-1, 3)
    colours = linear_light(encoded)
    skin, strength = appearance.skin, fields.skin[:, None]
    red = skin.blood * 0.6 * fields.blotches[:, None] * np.array([0.05, 0.35, 0.3], np.float32)
    colours = colours * np.where(strength, np.exp(-red), 1).astype(np.float32)
    lips = (LIP_SHARE * (0.6 + 0.4 * skin.male) * fields.lips)[:, None]
    tone = colours[fields.cheeks].mean(axis=0) if fields.cheeks.any() else colours.mean(axis=0)
    colours = colours + lips * (tone * np.array(LIP_TINT, np.float32) - colours)
    roots = (
        (BROW_SHADE * under_hair.brows, appearance.brows.rgb + 0.015),
        (BEARD_SHADE * under_hair.beard, 0.6 * appearance.beard.rgb + 0.25 * colours),
    )
    for share, rgb in roots:
        colours = colours + share[:, None] * (rgb - colours)
    return colours.astype(np.float32)


def scattered(light: VertexLight, fields: HeadFields, melanin: float) -> VertexLight:
    """Add light that skin reflects onto skin, also in the mouth, spread it in the skin, and smooth what highlights see.

    The head's vertices come first in ``light``, others follow.
    """
    count = len(fields.skin)
    irradiance = light.irradiance.copy()
    open_skin = fields.skin & (light.sky[:count] > 0.3)
    mean = irradiance[:count][open_skin].mean(axis=0) if open_skin.any() else np.zeros(3, np.float32)
    bounce = mean * np.array(BOUNCE_RGB, np.float32) * np.float32(1 - 0.6 * melanin)
    hidden = (1 - light.sky) * (LEAST_BOUNCE + (1 - LEAST_BOUNCE) * smoothstep(0.0, 0.3, light.sky))
    irradiance += hidden[:, None].astype(np.float32) * bounce
    least = fields.mouth[:, None] * mean * np.array(MOUTH_RGB, np.float32)
    irradiance[:count] = np.maximum(irradiance[:count], least)
    around = fields.neighbours
    irradiance[:count] = around.averaged(irradiance[:count], fields.skin, SCATTERING_STEPS)
    visible = np.stack([light.sky, light.lamp, light.lamp], axis=1)[:count]
    visible = around.averaged(visible, fields.skin, (2, 3, 0))
    sky, lamp = light.sky.copy(), light.lamp.copy()
    sky[:count], lamp[:count] = visible[:, 0], visible[:, 1]
    return VertexLight(irradiance, light.bent, sky, lamp)


def hollows(surface: PersonSurface, fields: HeadFields) -> Float[np.ndarray, " vertex"]:
    """Compute how deep each vertex of the skin lies in a hollow, from 0 (flat or raised) to about 1."""
    count = len(fields.skin)
    points, normals = surface.vertices[:count], surface.normals[:count]
    near = fields.neighbours.averaged(points, fields.skin, (FINE_STEPS,) * 3)
    far = fields.neighbours.averaged(near, fields.skin, (BROAD_STEPS,) * 3)
    fine, broad = ((moved - points) * normals for moved in (near, far))
    depth = (
        smoothstep(0.0006, 0.007, fine.sum(axis=1)) * 0.5 + smoothstep(0.0015, 0.017, broad.sum(axis=1)) * 0.6
    )
    off_collar = smoothstep(-0.02, -0.15, surface.cloth_distance)  # the hem is no hollow of the skin
    return (depth * fields.skin * off_collar).astype(np.float32)


def vertex_table(
    head: HeadGeometry,
    fields: HeadFields,
    surface: PersonSurface,
    colours: Float[np.ndarray, "head_vertex 3"],
    light: VertexLight,
    appearance: Appearance,
    scalp: Float[np.ndarray, " head_vertex"],
) -> Float[np.ndarray, "vertex 24"]:
    """Collect the attributes that the shading kernels interpolate.

    Args:
        head, fields: the face model and its fields.
        surface: the person's surface.
        colours: linear colours of the head's vertices.
        light: light at all vertices.
        appearance: the person's appearance.
        scalp: share of the scalp that hair hides or shades at the head's vertices.
    """
    count, total = len(fields.skin), len(surface.vertices)
    table = np.zeros((total, COLUMNS), np.float32)
    table[:count, ALBEDO : ALBEDO + 3] = colours
    table[count:, ALBEDO : ALBEDO + 3] = appearance.glasses.rgb
    table[:, NORMAL : NORMAL + 3] = surface.normals
    table[:, IRRADIANCE : IRRADIANCE + 3] = light.irradiance
    table[:, BENT : BENT + 3] = light.bent
    table[:count, PLACE : PLACE + 3] = fields.place
    table[:, SKY], table[:, LAMP] = light.sky, light.lamp
    table[:count, GLOSS], table[count:, GLOSS] = fields.shine * appearance.skin.gloss, FRAME_GLOSS
    table[:count, CLOTH], table[count:, CLOTH] = surface.cloth_distance, FAR_OUTSIDE
    table[:count, SCALP] = scalp
    table[:count, WET] = fields.wet + fields.gum
    for eye in head.eyes:
        table[eye.ball, WET] = lid_shadow(surface.bare[eye.ball], surface.bare[eye.closing.upper])
    table[:count, CAVITY] = hollows(surface, fields)
    compressed = fields.neighbours.compression(surface.neutral, surface.vertices[:count], fields.mood > 0)
    compressed = np.concatenate([compressed, np.zeros((count, 1), np.float32)], axis=1)
    compressed = fields.neighbours.averaged(compressed, fields.mood > 0, (4, 4, 0))
    old = np.float32(0.55 + 0.012 * (appearance.skin.age_years - 25))
    strength = np.maximum(compressed - 0.05, 0) * (fields.mood * old)[:, None]
    table[:count, FURROWS], table[:count, LINES] = strength[:, 0], strength[:, 1]
    return table
