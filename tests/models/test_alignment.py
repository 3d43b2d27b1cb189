"""The alignment field, and what it does for a generator."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.rays import image_rays
from anifacegan.models.alignment import AlignmentField
from anifacegan.models.alignment_config import AlignmentConfig
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import AlignedOffsets, Generator
from anifacegan.models.numba_fields import with_numba_fields
from anifacegan.rendering.volume import render_rays
from anifacegan.runtime.errors import ConfigError
from tests.fixtures.small_models import SMALL, SMALL_ALIGNMENT, small_generator, with_random_offsets

EXACT = 1e-12
"""Float64: sums of a few hundred products of numbers below 1."""


def field(config: AlignmentConfig = SMALL_ALIGNMENT) -> AlignmentField:
    return with_random_offsets(AlignmentField(config)).double()


def offsets_at(alignment: AlignmentField, x: Tensor) -> Tensor:
    """The offsets a at points of the mean head (N, 3) for each entry of z_id at 1: (N, 3, 80)."""
    everyone = alignment.bind(torch.eye(80).to(x))
    affine = torch.einsum("nc,cdi->ndi", torch.nn.functional.pad(x, (0, 1), value=1.0), alignment.affine)
    return affine + everyone.remainder_at(x.expand(80, -1, -1)).permute(1, 2, 0)


def points(batch: int) -> Tensor:
    rng = torch.Generator().manual_seed(2)
    unit = 2 * torch.rand(batch, 20, 3, generator=rng, dtype=torch.float64) - 1
    return unit * torch.tensor([0.1, 0.1, 0.08]) - torch.tensor([0, 0, 0.04])  # inside of the lattice


def random_latents(batch: int, dim: int = 80) -> Tensor:
    return torch.randn(batch, dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_starts_as_the_identity() -> None:
    """Up to the rounding of a float32 point."""
    offset = AlignmentField(SMALL_ALIGNMENT).bind(random_latents(2).float())(points(2).float())
    assert offset.abs().max() < 2**-24


def test_the_offset_of_a_place_is_affine_plus_the_mean_of_the_nodes_around_it() -> None:
    config = SMALL_ALIGNMENT
    made, x = field(), points(1)[0]
    offsets = offsets_at(made, x)
    for n in range(len(x)):
        place = (x[n] - torch.tensor(config.lower, dtype=torch.float64)) / config.spacing
        first = place.floor().long()
        expected = made.affine[3] + torch.einsum("c,cdi->di", x[n], made.affine[:3])
        for corner in torch.cartesian_prod(*[torch.arange(2)] * 3):
            weight = torch.where(corner == 1, place - first, 1 - (place - first)).prod()
            node = int(made.node[tuple(first + corner)])
            if node < config.nodes:
                expected = expected + weight * torch.einsum("k,kdi->di", made.features[node], made.mix)
        torch.testing.assert_close(offsets[n], expected, atol=EXACT, rtol=0)


def test_rounds_find_the_place_of_the_mean_head_that_moves_to_the_point() -> None:
    """A person whose points are x - a(x): the offset at x - a(x) is a(x)."""
    made, z_id, x = field(), random_latents(2), points(2)
    offset = torch.einsum("bndi,bi->bnd", offsets_at(made, x.flatten(0, 1)).unflatten(0, (2, 20)), z_id)
    errors = []
    for rounds in (1, 2, 3, 40):
        bound = made.bind(z_id)
        bound = dataclasses.replace(bound, config=dataclasses.replace(bound.config, rounds=rounds))
        errors.append((bound(x - offset) - offset).abs().max().item())
    assert errors[0] > 0.01 * offset.abs().max() and errors[1] < errors[0] / 2 and errors[2] < errors[1] / 2
    assert errors[3] < EXACT


def test_an_affine_change_is_undone_at_once() -> None:
    made, z_id, x = field(), random_latents(1), points(1)
    made.features.zero_()
    offset = torch.einsum("ndi,i->nd", offsets_at(made, x[0]), z_id[0])
    torch.testing.assert_close(made.bind(z_id)(x - offset)[0], offset, atol=EXACT, rtol=0)
    assert offset.abs().max() > 0.003


def test_the_gradient_of_a_point_is_that_of_the_last_round() -> None:
    """It leaves out how the rounds before react: a share of the product of two slopes of the remainder."""
    bound, x = field().bind(random_latents(1)), points(1)[:, :1]
    found = torch.autograd.functional.jacobian(bound, x).reshape(3, 3)
    step = 1e-7 * torch.eye(3, dtype=torch.float64)
    expected = torch.cat([(bound(x + d) - bound(x - d)) / 2e-7 for d in step])[:, 0].T
    remainder = torch.autograd.functional.jacobian(bound.remainder_at, x).reshape(3, 3)
    slope = float((bound.inverse[0].T @ remainder).norm())
    assert 0 < (found - expected).norm() <= 2 * slope**2 * (1 + expected.norm()) and slope > 1e-3


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_the_compiled_rounds_of_single_precision_are_those_of_double(rounds: int) -> None:
    """Points of three people, some of them far outside the lattice, and their gradients."""
    made, z_id, x = field(), random_latents(3), 3 * points(3)
    double = made.bind(z_id)
    double = dataclasses.replace(double, config=dataclasses.replace(double.config, rounds=rounds))
    single = made.float().bind(z_id.float())
    single = dataclasses.replace(single, config=double.config)
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    found, gradients = [], []
    for bound, place in ((double, x.clone()), (single, x.float())):
        offsets = bound(place.requires_grad_())
        (offsets * weights.to(offsets)).sum().backward()
        found.append(offsets.detach().double())
        gradients.append(place.grad.double())
    assert (found[0] - found[1]).abs().max() < 1e-6  # a dozen roundings of places up to 1, each 6e-8
    # Trilinear slopes jump where a point crosses from a cell to the next, which rounding can do to a few of them.
    off = (gradients[0] - gradients[1]).abs().amax(dim=-1) > 1e-4 * gradients[0].abs().max()
    assert off.float().mean() < 0.05


def test_people_of_a_batch_do_not_mix() -> None:
    made, x, z_id = field(), points(3), random_latents(3)
    alone = torch.cat([made.bind(z_id[i : i + 1])(x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(made.bind(z_id)(x), alone, atol=EXACT, rtol=0)


def test_far_from_the_nodes_only_the_affine_part_is_left() -> None:
    made, z_id = field(), random_latents(1)
    bound, x = made.bind(z_id), torch.tensor([[[0.5, -0.4, 0.3]]], dtype=torch.float64)
    made.node.fill_(made.config.nodes)
    torch.testing.assert_close(made.bind(z_id)(x), (x + bound.shift) @ bound.inverse - x, atol=EXACT, rtol=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"spacing": 1e-4}, "spacing is 0.0001, expected enough for at most"),
        ({"spacing": math.nan}, "spacing is nan, expected 0.0001 to 10"),
        ({"nodes": 10**9}, "nodes is 1000000000, expected 1 to"),
        (
            {"upper": (0.1, -0.2, 0.1)},
            "upper is (0.1, -0.2, 0.1), expected three numbers above those of lower",
        ),
        ({"lower": (-math.inf, -0.1, -0.1)}, "lower is (-inf, -0.1, -0.1), expected -10 to 10"),
    ],
)
def test_lattices_that_cannot_be_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        AlignmentConfig(**wrong)
    assert message in str(error.value)


def aligned_generator() -> Generator:
    config = dataclasses.replace(SMALL, alignment=SMALL_ALIGNMENT)
    generator = small_generator(config)
    with_random_offsets(generator.alignment)
    return generator


def latents() -> Latents:
    return Latents(*(random_latents(2, size).float() for size in (80, 64, 80)))


def test_the_template_is_evaluated_at_the_aligned_point() -> None:
    generator = aligned_generator()
    assert generator.alignment is not None
    who = latents()
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
    x, who = points(2).float(), latents()
    after = generator.condition(who)
    generator.alignment = None
    before = generator.condition(who)
    assert torch.equal(before.offset(x), after.offset(x))
    assert torch.equal(before.scalar(x), after.scalar(x))


def with_aligned_manifolds(generator: Generator) -> Generator:
    """The same weights, the manifolds around the mean head."""
    config = dataclasses.replace(SMALL, alignment=dataclasses.replace(SMALL_ALIGNMENT, manifolds=True))
    aligned = Generator(config)
    aligned.load_state_dict(generator.state_dict())
    return aligned


def test_aligned_manifolds_are_found_and_read_at_the_point_of_the_mean_head() -> None:
    """x + D(x) + A(x + D(x)), one after the other: A at the template point, not at x."""
    generator, who, x = aligned_generator(), latents(), points(2).float()
    before, after = generator.condition(who), with_aligned_manifolds(generator).condition(who)
    delta = before.offset(x)
    aligned = delta + before.align(x + delta)
    torch.testing.assert_close(after.offset(x), aligned, atol=0, rtol=0)
    assert after.align is None and not torch.allclose(aligned, delta + before.align(x), atol=1e-6)
    torch.testing.assert_close(after.deformation(x), delta, atol=0, rtol=0)
    still = after.without_deformation().offset(x)
    torch.testing.assert_close(still, before.align(x), atol=0, rtol=0)
    assert not before.without_deformation().offset(x).any()


def test_template_points_are_where_the_alignment_comes_from() -> None:
    """A(x - a(x)) = a(x), up to the rounds of the fixed-point iteration; float64."""
    alignment, z_id = field(), random_latents(2, 80)
    bound, x = alignment.bind(z_id), points(2)
    template = bound.template_points(x)
    assert (template - x).norm(dim=-1).max() > 1e-3
    # Each round leaves the remainder's slope of the error: at most 0.05 here, and 3 rounds.
    torch.testing.assert_close(template + bound(template), x, atol=1e-5, rtol=0)
    fields = with_aligned_manifolds(aligned_generator()).condition(latents())
    here = points(2).float()
    assert torch.equal(fields.template_points(here), fields.offset.align.template_points(here))
    assert torch.equal(aligned_generator().condition(latents()).template_points(here), here)


def test_the_background_belongs_to_nobodys_face_with_aligned_manifolds_either() -> None:
    fields = with_aligned_manifolds(aligned_generator()).condition(latents())
    zero = torch.zeros(2)
    seen = render_rays(fields, image_rays(yaw=zero, pitch=zero, size=4))
    step = seen.x_template - seen.x_target
    assert step[..., :-1, :].abs().max() > 1e-4 and step[..., -1, :].abs().max() == 0


def test_compiled_fields_align_the_manifolds_too() -> None:
    generator = with_aligned_manifolds(aligned_generator())
    everyone = latents()
    who = Latents(everyone.z_id[:1], everyone.z_exp[:1], everyone.z_noise[:1])
    with torch.no_grad():
        fields = generator.condition(who)
        compiled = with_numba_fields(fields)
        x = points(1).float()
        assert (
            isinstance(compiled.offset, AlignedOffsets) and compiled.offset.deform is not fields.offset.deform
        )
        # Float32 sums in another order: offsets of some millimetres, to 1e-6 of a world unit's coordinates.
        torch.testing.assert_close(compiled.offset(x), fields.offset(x), atol=1e-6, rtol=0)


# ---------------------------------------------------------------------------- a deformation that reads aligned points
def with_aligned_deformation(generator: Generator) -> Generator:
    config = dataclasses.replace(
        generator.config, deformation=dataclasses.replace(generator.config.deformation, aligned=True)
    )
    aligned = Generator(config)
    aligned.load_state_dict(generator.state_dict())
    return aligned


@pytest.mark.parametrize("manifolds", [False, True])
def test_an_aligned_deformation_is_the_network_at_the_point_of_the_mean_head(manifolds: bool) -> None:
    """D(x + A(x)) with A after one look-up; it leads to the person's template, where A is taken once more."""
    before = with_aligned_manifolds(aligned_generator()) if manifolds else aligned_generator()
    after, who, x = with_aligned_deformation(before), latents(), points(2).float()
    affine = before.alignment.bind(who.z_id)
    moved = (x + affine.shift) @ affine.inverse
    moved = moved + affine.remainder_at(moved) @ affine.inverse
    expected = before.deformation.bind(who.z_id, who.z_exp)(moved)
    fields = after.condition(who)
    torch.testing.assert_close(fields.deformation(x), expected, atol=1e-6, rtol=0)  # float32 coordinates
    torch.testing.assert_close(after.bind_deformation(who.z_id, who.z_exp)(x), expected, atol=1e-6, rtol=0)
    assert (expected - before.condition(who).deformation(x)).abs().max() > 1e-4
    if manifolds:
        onward = affine(x + expected)
        torch.testing.assert_close(fields.offset(x), expected + onward, atol=1e-6, rtol=0)


def test_the_compiled_aligned_deformation_is_the_same() -> None:
    generator = with_aligned_deformation(with_aligned_manifolds(aligned_generator()))
    everyone = latents()
    who = Latents(everyone.z_id[:1], everyone.z_exp[:1], everyone.z_noise[:1])
    with torch.no_grad():
        fields = generator.condition(who)
        compiled = with_numba_fields(fields)
        x = points(1).float()
        assert compiled.deformation.deform is not fields.deformation.deform
        assert compiled.deformation.align is not fields.deformation.align
        torch.testing.assert_close(compiled.offset(x), fields.offset(x), atol=1e-6, rtol=0)


def test_an_aligned_deformation_without_an_alignment_is_refused() -> None:
    deformation = dataclasses.replace(SMALL.deformation, aligned=True)
    with pytest.raises(ConfigError, match="deformation.aligned is True, expected false, or an 'alignment'"):
        dataclasses.replace(SMALL, deformation=deformation, alignment=None)


def test_colours_beside_aligned_manifolds_are_refused() -> None:
    aligned = dataclasses.replace(SMALL_ALIGNMENT, manifolds=True)
    with pytest.raises(ConfigError, match="radiance_offset_gain is 8.3, expected 1 with aligned manifolds"):
        dataclasses.replace(SMALL, alignment=aligned, radiance_offset_gain=8.3)


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
