"""Coordinate spaces, units, angles and the letters of array shapes: all other modules refer to this module.

Spaces of points
    target    the posed, expressive face that the camera sees          ``x_target``
    template  the neutral face of the same person                      ``x_template = x_target + delta``

Axes
    Right-handed: x runs to the image's right in the frontal view, y runs up, and the face looks along +z.
    A camera's own frame is x right, y up, and it looks along -z.

Units
    world     points, deformations ``delta`` and distances ``t`` along rays. The camera orbits the origin at distance 1.
    network   world / 0.12 (``WORLD_PER_NETWORK_UNIT``): what networks take. A head fills about the cube [-1, 1]^3.
    model     a morphable model's own unit, Deep3DFaceRecon's: world = 0.1 * model + the model's ``world_offset``
              (``WORLD_PER_MODEL_UNIT``). A face lies within about [-1, 1]^3.
    pixels    index coordinates: the centre of the upper left pixel is (0, 0), and every integer is the centre of a
              pixel; x runs right, y runs down. The centres of the corner pixels lie on the edges of the field of view.
    lm68      landmarks in coefficient files, as Deep3DFaceRecon writes them: pixels as above, y down, of an image of
              224 x 224 pixels, whatever the size of the file's image. The chin has a larger y than the brows. Convert
              them with ``to_lm68`` and ``from_lm68`` of :mod:`anifacegan.geometry.cameras` only.

Angles
    Radians relative to the frontal view, with the signs of Deep3DFaceRecon's ``angle``: at positive yaw the face turns
    to the image's right, at positive pitch it looks down. Keyword arguments are yaw, pitch; stored poses are
    (pitch, yaw), and stored angles (pitch, yaw, roll), the columns of Deep3DFaceRecon's files.

Letters of shapes in comments
    B batch (people, poses or expressions)      R ray        S sample along a ray       L level (manifold)
    N point      V vertex      F triangle       C channel    H W image height and width
"""

FOV_DEG = 12.0
"""Field of view, over the image height, of the generator's camera and of synthetic images, degrees."""


WORLD_PER_NETWORK_UNIT = 0.12
"""World units per network unit."""
WORLD_PER_MODEL_UNIT = 0.1
"""World units per unit of a morphable model."""
BACKGROUND_Z = -WORLD_PER_NETWORK_UNIT
"""Coordinate z of the background plane of synthetic images, world units; nothing behind the plane is visible."""

ID_DIM = 80
"""Number of identity coefficients of a face."""
EXP_DIM = 64
"""Number of expression coefficients of a face."""
TEX_DIM = 80
"""Number of texture coefficients of a face."""
NOISE_DIM = 80
"""Number of entries of the latent of hair, clothes, background and all else that face coefficients leave open."""
LIGHT_DIM = 27
"""Number of light coefficients: nine spherical-harmonics coefficients for each of red, green and blue."""

SPHERE_CENTRE = (0.0, 0.0, -1.5)
"""Common centre, network units, of the spheres that the radiance manifolds are before training."""
