import math

import pytest
import torch

from anifacegan.geometry.spherical_harmonics import (
    AMBIENT,
    BAND_0,
    BAND_1,
    BAND_2,
    shade,
    spherical_harmonics,
)


def sphere_points(count: int = 20000) -> torch.Tensor:
    """Evenly spread unit vectors (golden spiral), float64."""
    step = torch.arange(count, dtype=torch.float64) + 0.5
    height, azimuth = 1 - 2 * step / count, math.pi * (1 + 5**0.5) * step
    radius = (1 - height**2).sqrt()
    return torch.stack([radius * azimuth.cos(), height, radius * azimuth.sin()], dim=-1)


def test_basis_is_orthogonal_with_the_lambertian_gain_of_each_band() -> None:
    basis = spherical_harmonics(sphere_points())
    products = basis.T @ basis / len(basis) * 4 * math.pi
    gains = torch.tensor(
        [math.pi] + [2 * math.pi / math.sqrt(3)] * 3 + [2 * math.pi / math.sqrt(8)] * 5
    ).double()
    # a0, a1, a2 of Deep3DFaceRecon times orthonormal functions
    assert torch.allclose(products, gains.square().diag(), atol=1e-3)


def test_basis_at_the_poles_is_the_formula() -> None:
    x, y, z = spherical_harmonics(torch.eye(3, dtype=torch.float64))
    zero = 0.0
    c2 = BAND_2 / (2 * math.sqrt(3))
    assert torch.allclose(x, torch.tensor([BAND_0, zero, zero, -BAND_1, 0, 0, -c2, 0, BAND_2 / 2]).double())
    assert torch.allclose(y, torch.tensor([BAND_0, -BAND_1, zero, zero, 0, 0, -c2, 0, -BAND_2 / 2]).double())
    assert torch.allclose(z, torch.tensor([BAND_0, zero, BAND_1, zero, 0, 0, 2 * c2, 0, 0]).double())


def test_no_light_coefficients_is_an_evenly_lit_face() -> None:
    albedo = torch.rand(2, 7, 3)
    normals = torch.nn.functional.normalize(torch.randn(2, 7, 3), dim=-1)
    assert torch.allclose(shade(albedo, normals, torch.zeros(2, 27)), albedo * AMBIENT * BAND_0)


def test_each_colour_has_its_own_nine_numbers() -> None:
    gamma = torch.zeros(1, 27)
    gamma[0, 9:18] = torch.randn(9)  # green
    albedo, normals = torch.ones(1, 5, 3), torch.nn.functional.normalize(torch.randn(1, 5, 3), dim=-1)
    lit, unlit = shade(albedo, normals, gamma), shade(albedo, normals, torch.zeros(1, 27))
    assert torch.equal(lit[..., [0, 2]], unlit[..., [0, 2]]) and not torch.allclose(
        lit[..., 1], unlit[..., 1]
    )


@pytest.mark.parametrize("axis, entry, sign", [(1, 1, -1), (2, 2, 1), (0, 3, -1)])
def test_light_from_an_axis_brightens_the_side_that_faces_it(axis: int, entry: int, sign: int) -> None:
    gamma = torch.zeros(1, 27)
    gamma[0, entry::9] = 0.3 * sign
    normals = torch.stack([torch.eye(3)[axis], -torch.eye(3)[axis]])[None]
    towards, away = shade(torch.ones(1, 2, 3), normals, gamma)[0]
    assert (towards > away + 0.5).all()


def test_shading_is_differentiable_in_everything() -> None:
    inputs = [
        torch.rand(1, 4, 3),
        torch.nn.functional.normalize(torch.randn(1, 4, 3), dim=-1),
        torch.randn(1, 27),
    ]
    assert torch.autograd.gradcheck(shade, [x.double().requires_grad_() for x in inputs])
