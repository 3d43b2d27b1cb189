"""Spherical-harmonics lighting in Deep3DFaceRecon's convention.

    colour_c = albedo_c * sum_k (gamma_ck + 0.8 [k = 0]) * H_k(normal)        c = red, green, blue; k = 0..8

The basis H includes the factors of a diffuse (Lambertian) surface, so gamma describes the incoming light.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

BAND_0 = math.pi / math.sqrt(4 * math.pi)
"""Value of the constant basis function: Lambertian factor a0 times normalisation c0."""
BAND_1 = 2 * math.pi / math.sqrt(3) * math.sqrt(3) / math.sqrt(4 * math.pi)
"""Factor of the basis functions that are linear in the normal: Lambertian factor a1 times normalisation c1."""
BAND_2 = 2 * math.pi / math.sqrt(8) * 3 * math.sqrt(5) / math.sqrt(12 * math.pi)
"""Factor of the basis functions that are quadratic in the normal: Lambertian factor a2 times normalisation c2."""
AMBIENT = 0.8
"""Constant that is added to the first coefficient of each colour, so that gamma = 0 lights a face evenly."""


def spherical_harmonics(normals: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 9"]:
    """Evaluate the nine spherical harmonics up to degree 2, times their Lambertian factors, at unit normals."""
    x, y, z = normals.unbind(-1)
    return torch.stack(
        [
            torch.full_like(x, BAND_0),
            -BAND_1 * y,
            BAND_1 * z,
            -BAND_1 * x,
            BAND_2 * x * y,
            -BAND_2 * y * z,
            BAND_2 * (3 * z * z - 1) / (2 * math.sqrt(3)),
            -BAND_2 * x * z,
            BAND_2 * (x * x - y * y) / 2,
        ],
        dim=-1,
    )


def shade(
    albedo: Float[Tensor, "batch vertex 3"],
    normals: Float[Tensor, "batch vertex 3"],
    gamma: Float[Tensor, "batch 27"],
) -> Float[Tensor, "batch vertex 3"]:
    """Compute the RGB colours of the vertices of a lit diffuse surface, not clamped to [0, 1].

    Args:
        albedo: RGB in [0, 1].
        normals: unit normals.
        gamma: spherical-harmonics light, nine numbers for red, then nine for green, then nine for blue.
    """
    light = gamma.reshape(-1, 3, 9)
    light = torch.cat([light[..., :1] + AMBIENT, light[..., 1:]], dim=-1)
    return albedo * torch.einsum("bvk,bck->bvc", spherical_harmonics(normals), light)
