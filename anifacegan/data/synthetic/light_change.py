"""How an expression changes the light on a synthetic person's head: turned, folded and covered skin gets other light.

The light is that of :mod:`anifacegan.data.synthetic.renderer` at the vertices of the head, without the shadows of hair,
which hardly move with the face.
"""

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.looks.appearance import Appearance
from anifacegan.data.synthetic.looks.light import sample_light
from anifacegan.data.synthetic.renderer import SyntheticRenderer
from anifacegan.data.synthetic.sampling import SyntheticPerson
from anifacegan.data.synthetic.shading.surface_colours import scattered
from anifacegan.data.synthetic.surface.person_surface import person_surface
from anifacegan.data.synthetic.surface.shadow_maps import shadow_maps, vertex_light

LEAST_LIGHT = 0.03
"""Irradiance that is added to all vertices, of about 1 on open skin, so that covered ones have a ratio."""
DISPLAY_POWER = 1 / 2.2
"""Power by which the numbers of an image follow the light: the mean slope of sRGB's curve on logarithmic axes."""


def light_change(
    renderer: SyntheticRenderer, person: SyntheticPerson, template_exp: Float[np.ndarray, "64"]
) -> Float[np.ndarray, "head_vertex"]:
    """Return the logarithm of the factor by which a person's expression makes each vertex of the head lighter in an
    image than ``template_exp``, the expression of the template's faces, does.
    """
    appearance = renderer.prior.appearance(person.z_id, person.z_noise)
    with_expression, with_template = (
        _brightness(renderer, person, z_exp, appearance) for z_exp in (person.z_exp, template_exp)
    )
    return DISPLAY_POWER * np.log(with_expression / with_template)


def _brightness(
    renderer: SyntheticRenderer,
    person: SyntheticPerson,
    z_exp: Float[np.ndarray, "64"],
    appearance: Appearance,
) -> Float[np.ndarray, "head_vertex"]:
    """Return the mean over rgb of the light at each vertex of the head, with LEAST_LIGHT added."""
    head, fields = renderer.head, renderer.fields
    surface = person_surface(head, fields, person.z_id, z_exp, appearance)
    solid, no_hair = fields.occluders, np.zeros((0, 3), np.float32)
    shadows = shadow_maps(
        sample_light(appearance.light), surface.vertices[solid.vertices], solid.corners, no_hair
    )
    count = len(surface.bare)
    seen = np.ones(len(surface.vertices), bool)  # glasses come last
    seen[:count] = fields.seen
    arriving = vertex_light(shadows, surface.vertices, surface.normals, seen)
    light = scattered(arriving, fields, appearance.skin.melanin)
    return light.irradiance[:count].mean(axis=1) + np.float32(LEAST_LIGHT)
