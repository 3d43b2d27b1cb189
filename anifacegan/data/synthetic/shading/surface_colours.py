"""The table of a person's vertex attributes for shading: colours without light, light, gloss and others."""

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
"""Share (RGB) of the light on fair skin that is reflected onto skin from which the sky is hidden, as it is mostly
hidden by other skin."""
LEAST_BOUNCE = 0.3
"""Share of the light reflected by skin that reaches even skin from which the whole sky is hidden."""
MOUTH_RGB = (0.36, 0.31, 0.29)
"""Least light (RGB) in the mouth, as a share of the mean light on open skin: some passes through lips and cheeks."""
LIP_SHARE, LIP_TINT = 0.75, (0.70, 0.45, 0.44)
"""Largest share of the cheeks' colour in the colour of lips, larger in men, and the tint (RGB) of that colour."""
BROW_SHADE, BEARD_SHADE = 0.5, 0.45
"""Share of the colour of the hairs' roots in the colour of the skin under dense brows and beards."""
FRAME_GLOSS = 1.2
FINE_STEPS, BROAD_STEPS = 3, 5
"""Numbers of steps by which vertex positions are averaged; the shift shows hollows of a few millimetres (fine) and of
a centimetre (broad)."""


def vertex_colours(
    head: HeadGeometry, fields: HeadFields, appearance: Appearance, under_hair: SkinUnderHair
) -> Float[np.ndarray, "vertex 3"]:
    """Compute the linear RGB colours of the head's vertices without light.

    Args:
        head: mesh and texture basis of the face model.
        fields: regions of the head.
        appearance: texture coefficients of the skin, and colours of brows and beard.
        under_hair: share of the skin that short hair darkens.
    """
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
    """Add the light that skin reflects onto skin, let light scatter in the skin, and smooth the shares of sky and lamp
    that are visible from the vertices.

    Args:
        light: light that arrives directly at all vertices, those of the head first.
        fields: regions of the head.
        melanin: 0 (fair skin) to 1 (dark skin, which reflects less).
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
    """Compute how deep each head vertex lies in a hollow of the skin, from 0 (flat, raised or no skin) to about 1."""
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
    """Collect the vertex attributes that shading interpolates, with the columns of
    :mod:`anifacegan.data.synthetic.surface.vertex_table`.

    Args:
        head, fields: the face model, and numbers at its vertices that are the same for everyone.
        surface: the person's surface; its vertices are the rows.
        colours: linear colours of the head's vertices without light.
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
