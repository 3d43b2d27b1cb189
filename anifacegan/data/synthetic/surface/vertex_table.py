"""Names of the columns of the table of vertex attributes that shading interpolates.

Also names of the entries of a sample's material: the small array in which the functions that compute the colour of
skin, eyes, mouth and clothes at a sample (a point of an image) leave what the highlights need.
"""

ALBEDO, NORMAL, IRRADIANCE, BENT, PLACE = 0, 3, 6, 9, 12
"""First of three columns each: linear colour without light; unit normal; linear colour of a white surface there;
unit direction that most light comes from; and position in patterns (``HeadFields.place``)."""
SKY, LAMP, GLOSS, CLOTH, SCALP, WET, CAVITY, LINES, FURROWS = 15, 16, 17, 18, 19, 20, 21, 22, 23
"""Visible shares of the sky and of the lamp; strength of highlights; signed distance to the collar, model units,
positive in the clothes; share of the scalp under hair; wetness of the lids' edges on skin, share of gums on teeth, and
shadow of the lids on eyes; depth of hollows of the skin, 0 to about 1; and strengths of the horizontal (LINES) and
vertical wrinkles (FURROWS) that the expression makes."""
COLUMNS = 24
"""Number of columns of the table."""

SHINE_NORMAL, ROUGHNESS, SECOND, MIRROR, SHINE, TURN, OPEN, LIT, DIM = 0, 3, 4, 5, 6, 7, 8, 9, 10
"""Indices of entries of a material: normal for highlights (3), roughness, share of a broader second highlight,
reflectance at normal incidence, strength of highlights, relative change of the diffuse light by bumps, visible shares
of sky and lamp, and a factor of the diffuse light."""
MATERIAL = 11
"""Number of entries of a material."""

SKIN, EYE, TEETH, TONGUE, FRAME = 0, 1, 2, 3, 4
"""Kinds of triangles (FRAME: glasses); clothes are triangles of skin below the collar."""
