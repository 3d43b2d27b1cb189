"""The table of vertex attributes that the shading kernels interpolate, and names of its columns.

Also the places of a sample's material, the small array in which the kernels of skin, eyes, mouth and clothes leave what
the highlights need.
"""

ALBEDO, NORMAL, IRRADIANCE, BENT, PLACE = 0, 3, 6, 9, 12
"""First of three columns each: linear colour without light, unit normal, light on a white surface, unit direction that
most light comes from, and the place in patterns (see ``HeadFields.place``)."""
SKY, LAMP, GLOSS, CLOTH, SCALP, WET, CAVITY, LINES, FURROWS = 15, 16, 17, 18, 19, 20, 21, 22, 23
"""Visible share of the sky and of the lamp; strength of highlights; signed distance to the collar; share of scalp under
hair; wetness of the lids' edges on skin, gums on teeth, and shadow of the lids on eyes; depth of hollows; strengths of
horizontal and vertical wrinkles of the expression."""
COLUMNS = 24

SHINE_NORMAL, ROUGHNESS, SECOND, MIRROR, SHINE, TURN, OPEN, LIT, DIM = 0, 3, 4, 5, 6, 7, 8, 9, 10
"""Places of a material: normal for highlights (3), roughness, share of the broader second highlight, reflectance at
normal incidence, strength of highlights, change of the light by the bump, visible shares of sky and lamp, and a factor
of the diffuse light."""
MATERIAL = 11

SKIN, EYE, TEETH, TONGUE, FRAME = 0, 1, 2, 3, 4
"""Kinds of triangles; clothes are skin inside the collar."""
