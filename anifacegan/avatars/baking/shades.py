"""Shades of a baked person: by how much expressions make the colours at its vertices lighter and darker."""

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.avatars.baking.charts import evaluate_in_slices
from anifacegan.avatars.baking.inverse_warp import Condition
from anifacegan.geometry.conventions import EXP_DIM


def expression_shades(
    condition: Condition,
    z_exp: Float[np.ndarray, "shape inbetween 64"],
    x_template: Float[np.ndarray, "vertex 3"],
) -> Float[np.ndarray, "shape inbetween vertex"] | None:
    """Return the logarithm of the factor on the colour at each vertex, compared with the neutral face, whose colours
    the textures have.

    Args:
        condition: function from expression coefficients to the fields of one person with this expression.
        z_exp: coefficients of each expression at its stored strengths.
        x_template: points of the person's template that belong to the vertices, world units.

    Returns:
        The logarithms; None if the person's model has no shading field.
    """
    neutral = condition(np.zeros(EXP_DIM, np.float32))
    if neutral.shading is None:
        return None
    at = neutral.radiance_points(torch.from_numpy(x_template).to(neutral.levels.device)[None])

    def logarithm(coefficients: Float[np.ndarray, "64"]) -> Float[np.ndarray, "vertex"]:
        shading = condition(coefficients).shading
        assert shading is not None  # as the neutral face has one
        return evaluate_in_slices(shading, at)[0, :, 0].log().cpu().numpy()

    resting = logarithm(np.zeros(EXP_DIM, np.float32))
    shades = np.empty((*z_exp.shape[:2], len(x_template)), np.float32)
    for place in np.ndindex(*z_exp.shape[:2]):
        shades[place] = logarithm(z_exp[place]) - resting
    return shades
