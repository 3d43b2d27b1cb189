"""The alignment field, and what it does for a generator."""

import dataclasses

import pytest
import torch

from anifacegan.geometry.rays import image_rays
from anifacegan.models.alignment import AlignmentField
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import AlignmentConfig
from anifacegan.models.generator import Generator
from anifacegan.rendering.volume import render_rays
from tests.fixtures.small_models import SMALL


@pytest.fixture
def field() -> AlignmentField:
    rng = torch.Generator().manual_seed(0)
    field = AlignmentField(AlignmentConfig(hidden_dim=12, layers=2))
    field.initialize(rng)
    return field


def shaken(field: AlignmentField) -> AlignmentField:
    torch.nn.init.normal_(field.head.weight, generator=torch.Generator().manual_seed(1))
    return field


def points(batch: int) -> torch.Tensor:
    return 0.1 * torch.randn(batch, 20, 3, generator=torch.Generator().manual_seed(2))


def random_latents(batch: int, dim: int = 80) -> torch.Tensor:
    return torch.randn(batch, dim, generator=torch.Generator().manual_seed(3))


def test_starts_as_the_identity(field: AlignmentField) -> None:
    assert torch.equal(field.bind(random_latents(2))(points(2)), torch.zeros(2, 20, 3))


def test_the_offset_follows_the_formula_layer_by_layer() -> None:
    """x / 0.12 -> sin(frequency * (W x + b)), layer by layer -> 80 steps for each axis, weighted by z_id, scaled."""
    field = AlignmentField(AlignmentConfig(hidden_dim=6, layers=2, frequency=7.0, output_scale=0.25))
    field.initialize(torch.Generator().manual_seed(0))
    field, x, z_id = shaken(field).double(), points(2).double(), random_latents(2).double()
    steps = field.bind(z_id)(x)
    for b in range(2):
        for n in range(20):
            h = x[b, n] / 0.12
            for layer in field.layers:
                h = (7.0 * (layer.linear.weight @ h + layer.linear.bias)).sin()
            outputs = field.head.weight @ h  # x of the 80 steps, then y, then z
            expected = [0.25 * (outputs[80 * axis : 80 * axis + 80] * z_id[b]).sum() for axis in range(3)]
            torch.testing.assert_close(steps[b, n], torch.stack(expected), atol=1e-12, rtol=0)


def test_rounds_find_the_place_of_the_mean_head_that_moves_to_the_point() -> None:
    """A person whose points are x = y - B(y): the offset at x is B(y), not B(x)."""
    field = AlignmentField(AlignmentConfig(hidden_dim=12, layers=2, output_scale=1e-4))
    field.initialize(torch.Generator().manual_seed(0))
    field, z_id, y = shaken(field).double(), random_latents(2).double(), points(2).double()
    basis = field.basis_at(y.flatten(0, 1)).unflatten(0, (2, 20))
    offset = torch.einsum("bnci,bi->bnc", basis, z_id)
    errors = []
    for rounds in (1, 2, 3, 12):
        found = dataclasses.replace(field.bind(z_id), rounds=rounds)(y - offset)
        errors.append((found - offset).abs().max().item())
    assert errors[0] > 0.05 * offset.abs().max() and errors[1] < errors[0] / 2 and errors[2] < errors[1] / 2
    assert errors[3] < 1e-3 * errors[2]


def test_gradients_flow_through_the_last_round_alone() -> None:
    field = AlignmentField(AlignmentConfig(hidden_dim=12, layers=2, rounds=3, output_scale=1e-4))
    field.initialize(torch.Generator().manual_seed(0))
    bound, x = shaken(field).double().bind(random_latents(1).double()), points(1).double().requires_grad_()
    (gradient,) = torch.autograd.grad(bound(x).sum(), field.head.weight)
    with torch.no_grad():
        place = x + dataclasses.replace(bound, rounds=2)(x)
    again = dataclasses.replace(field.bind(random_latents(1).double()), rounds=1)
    (expected,) = torch.autograd.grad(again(place).sum(), field.head.weight)
    torch.testing.assert_close(gradient, expected)
    assert bound(x).requires_grad


def test_is_linear_in_the_identity(field: AlignmentField) -> None:
    shaken(field)
    x, (one, other) = points(1), random_latents(2).split(1)
    both = field.bind(2 * one - other)(x)
    torch.testing.assert_close(both, 2 * field.bind(one)(x) - field.bind(other)(x), atol=1e-5, rtol=1e-4)
    assert field.bind(torch.zeros(1, 80))(x).abs().max() == 0


def test_people_of_a_batch_do_not_mix(field: AlignmentField) -> None:
    shaken(field)
    x, z_id = points(3), random_latents(3)
    alone = torch.cat([field.bind(z_id[i : i + 1])(x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(field.bind(z_id)(x), alone)


def aligned_generator() -> Generator:
    config = dataclasses.replace(SMALL, alignment=AlignmentConfig(hidden_dim=8, layers=2))
    return Generator(config).initialize(torch.Generator().manual_seed(4))


def latents() -> Latents:
    return Latents(random_latents(2), random_latents(2, 64), random_latents(2))


def test_the_template_is_evaluated_at_the_aligned_point() -> None:
    generator = aligned_generator()
    assert generator.alignment is not None
    who = latents()
    shaken(generator.alignment)
    fields, read = generator.condition(who), []
    watched = dataclasses.replace(fields, radiance=lambda x: read.append(x) or fields.radiance(x))
    zero = torch.zeros(2)
    seen = render_rays(watched, image_rays(yaw=zero, pitch=zero, size=4))
    points_read = read[0].unflatten(1, seen.x_template.shape[1:3])
    step = points_read - seen.x_template
    expected = generator.alignment.bind(who.z_id)(seen.x_template.flatten(1, 2)).unflatten(1, step.shape[1:3])
    torch.testing.assert_close(step[..., :-1, :], expected[..., :-1, :], atol=1e-7, rtol=1e-4)
    assert step[..., :-1, :].abs().max() > 1e-4
    assert step[..., -1, :].abs().max() == 0  # the background belongs to nobody's face


def test_alignment_moves_neither_deformation_nor_manifolds() -> None:
    generator = aligned_generator()
    x, who = points(2), latents()
    before = generator.condition(who)
    shaken(generator.alignment)
    after = generator.condition(who)
    assert torch.equal(before.offset(x), after.offset(x))
    assert torch.equal(before.scalar(x), after.scalar(x))


def test_a_latent_entry_is_multiplied_by_its_scale() -> None:
    generator = aligned_generator()
    generator.template.latent_scale[3] = 0.0  # of z_id
    generator.template.latent_scale[80 + 5] = 0.0  # of z_noise
    who = latents()
    film = generator.template.film_parameters(who.z_id, who.z_noise)
    who.z_id[:, 3] += 1.0
    who.z_noise[:, 5] -= 1.0
    torch.testing.assert_close(
        generator.template.film_parameters(who.z_id, who.z_noise).phases, film.phases, atol=0, rtol=0
    )
