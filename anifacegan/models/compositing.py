"""Front-to-back blending of the manifolds of a ray (method, section 1, step 6)."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SIGMA_TO_ALPHA = 0.04
"""Optical thickness of a manifold at density 1."""
RGB_WIDENING = 1e-3
"""Colours are stretched by this much beyond [0, 1] at both ends, so that black and white are reachable."""


def alpha_from_sigma(sigma: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Opacity of a manifold from its density before activation: ``1 - exp(-0.04 softplus(sigma))``."""
    return -torch.expm1(-SIGMA_TO_ALPHA * torch.nn.functional.softplus(sigma))


def blending_weights(
    alpha: Float[Tensor, "batch ray level"], hit: Bool[Tensor, "batch ray level"]
) -> Float[Tensor, "batch ray level"]:
    """w_i = a_i prod_{j<i} (1 - a_j + 1e-10), nearest level first; missed levels are transparent."""
    alpha = alpha * hit
    passed = torch.cumprod(1 - alpha + 1e-10, dim=-1)                  # light left behind level i
    light = torch.cat([torch.ones_like(passed[..., :1]), passed[..., :-1]], dim=-1)
    return alpha * light
