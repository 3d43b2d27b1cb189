"""Letters, spaces and units: the only place that says them.

Letters used in comments and shape annotations
    B batch (people, poses or expressions)      R ray        S sample along a ray
    L level (manifold)                          N point      V vertex     F triangle     H W image

Spaces
    target    the posed, expressive face that the camera sees          ``x_target``
    template  the neutral face of the same person                      ``x_template = x_target + delta``
Both are measured in **world units**: the camera orbits the origin at distance 1, y is up, the face looks along +z.
``delta`` and the distance ``t`` along a ray are in world units as well. Networks see ``x / BOX``, inside which a head
fills about the cube [-1, 1]^3. A morphable model has units of its own (see :mod:`anifacegan.morphable`).
"""

BOX = 0.12
"""World units per network unit."""
BACKGROUND_Z = -BOX
"""The background of synthetic images is painted on the plane z = this, world units; nothing behind it is seen."""

ID_DIM = 80
EXP_DIM = 64
TEX_DIM = 80
NOISE_DIM = 80
LIGHT_DIM = 27
"""Nine spherical-harmonics coefficients for each of red, green and blue."""

CENTRE = (0.0, 0.0, -1.5)
"""Centre of the initial spheres, in network units."""
