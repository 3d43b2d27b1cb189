"""Baking models that read their colours beside the manifolds, such as the released one: for one expression at a time.

Such a model shows at the target point x the colour of y = x + g D(x), with g not 1. The point of the manifold that is
seen there is x_template = x + D(x); so what a sheet shows at x_template is

    c(y),    y = x_template + (g - 1) (x_template - x),    x with x + D(x; z_id, z_exp) = x_template,

which is another texture for every expression. A head that turns with one expression can be baked so, a changing
expression cannot.
"""

import dataclasses

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.avatars.baking.bake import BakeConfig, BakeReport, bake
from anifacegan.avatars.baking.charts import ManifoldCharts, ask
from anifacegan.avatars.baking.inverse_warp import Condition, targets
from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.models.generator import ConditionedFields


@torch.inference_mode()
def bake_still(
    condition: Condition, code: Float[np.ndarray, "64"], charts: ManifoldCharts, config: BakeConfig
) -> tuple[LayeredMesh, BakeReport]:
    """Bake a person with one expression, which the avatar has for good: it has no blendshapes, and so no in-between shapes.

    Raises:
        InputError: see :func:`anifacegan.baking.bake`.
    """
    code = code.astype(np.float32)

    def with_its_colours(z_exp: Float[np.ndarray, "64"]) -> ConditionedFields:
        return read_on_the_manifolds(condition(z_exp), condition, code)

    avatar, report = bake(with_its_colours, code[None], charts, dataclasses.replace(config, inbetweens=1))
    pose = avatar.at_inbetween(0, 0)
    still = dataclasses.replace(
        avatar,
        vertices=pose.vertices,
        texels=pose.texels,
        blendshapes=avatar.blendshapes[:0],
        texel_steps=avatar.texel_steps[:0],
        latents=avatar.latents[:0],
    )
    return still, report


def read_on_the_manifolds(
    person: ConditionedFields, condition: Condition, code: Float[np.ndarray, "64"]
) -> ConditionedFields:
    """The person with colours that are a function of template points, right for the expression ``code``."""
    beyond, align = person.radiance_offset_gain - 1, person.align

    def step(x_template: Float[Tensor, "1 point 3"]) -> Float[Tensor, "1 point 3"]:
        x, _ = targets(condition, code, x_template[0])
        y = x_template + beyond * (x_template - x)
        return y - x_template if align is None else y - x_template + ask(align, y)

    return dataclasses.replace(person, align=step, radiance_offset_gain=1.0)
