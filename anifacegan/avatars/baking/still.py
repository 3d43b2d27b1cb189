"""Bake models that read colours beside their radiance manifolds, such as the released model, with one fixed expression.

At the target point x (a point of the deformed face), such a model shows the colour of the point y = x + g D(x), where D
is the deformation field and g is not 1. The visible point of the manifold is x_template = x + D(x). So the texture at
x_template gets the colour

    c(y),    y = x_template + (g - 1) (x_template - x),    x with x + D(x; z_id, z_exp) = x_template,

which depends on the expression. So a head with one fixed expression can be baked, but a changing expression cannot.
"""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.avatars.baking.bake import BakeReport, bake
from anifacegan.avatars.baking.charts import ManifoldCharts, evaluate_in_slices
from anifacegan.avatars.baking.inverse_warp import Condition, target_points
from anifacegan.avatars.config import BakeConfig
from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.models.generator import ConditionedFields


@torch.inference_mode()
def bake_still(
    condition: Condition, z_exp: Float[np.ndarray, "64"], charts: ManifoldCharts, config: BakeConfig
) -> tuple[LayeredMesh, BakeReport]:
    """Bake a person with one fixed expression into textured meshes without blendshapes, one for each radiance manifold.

    Args:
        condition: function from expression coefficients to the fields of the person with this expression.
        z_exp: coefficients of the fixed expression.
        charts: the model's radiance manifolds, each flattened to a square.
        config: resolution of textures and meshes, and the range of views.

    Returns:
        The meshes with textures, and the errors of this approximation.

    Raises:
        InputError: see :func:`anifacegan.avatars.baking.bake.bake`.
    """
    z_exp = z_exp.astype(np.float32)

    def on_manifolds(any_z_exp: Float[np.ndarray, "64"]) -> ConditionedFields:
        return colours_on_manifolds(condition(any_z_exp), condition, z_exp)

    layered_mesh, report = bake(on_manifolds, z_exp[None], charts, dataclasses.replace(config, inbetweens=1))
    pose = layered_mesh.at_inbetween(0, 0)
    still = dataclasses.replace(
        layered_mesh,
        vertices=pose.vertices,
        texels=pose.texels,
        blendshapes=layered_mesh.blendshapes[:0],
        texel_offsets=layered_mesh.texel_offsets[:0],
        z_exp=layered_mesh.z_exp[:0],
        shades=None,
    )
    return still, report


def colours_on_manifolds(
    fields: ConditionedFields, condition: Condition, z_exp: Float[np.ndarray, "64"]
) -> ConditionedFields:
    """Return a person's fields, changed so that the colour is a function of the template point only.

    A template point is a point of the face without deformation. With the expression ``z_exp``, the changed fields have
    the model's colours. ``fields`` are the person's fields with any expression; ``condition`` is a function from
    expression coefficients to the person's fields with this expression.
    """
    extra_gain, align = fields.radiance_offset_gain - 1, fields.align

    def offset_to_colour(x_template: Float[Tensor, "1 point 3"]) -> Float[Tensor, "1 point 3"]:
        x, _ = target_points(condition, z_exp, fields.template_points(x_template)[0])
        y = x_template + extra_gain * (x_template - x)
        return y - x_template if align is None else y - x_template + evaluate_in_slices(align, y)

    return dataclasses.replace(fields, align=offset_to_colour, radiance_offset_gain=1.0)
