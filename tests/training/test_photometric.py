"""Photometric terms: which manifolds are shaded, which points are in free space, which fields learn."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields, Generator
from anifacegan.rendering.compositing import RayColours
from anifacegan.rendering.volume import render_rays
from anifacegan.training import photometric
from anifacegan.training.optim import matrix_precision
from anifacegan.training.paired import PairedData
from anifacegan.training.photometric import (
    FREE_MARGIN,
    FREE_SCALE,
    NearSurface,
    in_free_space,
    photometric_losses,
    reachable_surface,
)
from anifacegan.training.weights import LossWeights
from tests.fixtures.small_models import small_generator
from tests.fixtures.small_training_data import random_batch
from tests.fixtures.tiny_training_set import GENERATOR, SCHEDULE


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def choose(
    t: list[float], hit: list[bool], distance: float, count: int, seed: int = 0
) -> tuple[list[int], list[bool]]:
    """The choice on one ray."""
    index, exists = NearSurface(torch.tensor([[distance]]), count, rng(seed))(
        torch.tensor([[t]]), torch.tensor([[hit]])
    )
    return index[0, 0].tolist(), exists[0, 0].tolist()


T = [0.90, 0.93, 0.96, 0.98, 1.00, 1.02, 1.05]


def test_the_manifolds_nearest_to_the_surface_are_selected() -> None:
    index, exists = choose(T, [True] * 7, 0.985, 3)
    assert set(index[:3]) == {2, 3, 4} and exists[:3] == [True] * 3


def test_two_more_are_drawn_from_all_manifolds_in_free_space() -> None:
    first = set()
    for seed in range(60):
        index, exists = choose(T, [True] * 7, 0.985, 3, seed)
        assert exists[3:] == [True, True] and set(index[3:]) == {
            0,
            1,
        }  # 2 is free as well, but selected already
        first.add(index[3])
    assert first == {0, 1}


def test_the_second_in_free_space_is_more_often_close_to_the_surface() -> None:
    """Against the probabilities of draws without replacement: the first even, the second by exp(-d / FREE_SCALE)."""
    surface, rays = 1.0, 40_000
    t = torch.tensor([0.96, 0.975, 0.985, 0.99, 1.0])
    index, exists = NearSurface(torch.full((1, rays), surface), 1, rng(7))(
        t.expand(1, rays, -1), torch.ones(1, rays, len(t), dtype=torch.bool)
    )
    assert exists.all() and (index[0, :, 0] == 4).all()
    counts = torch.zeros(4, 4)
    counts.index_put_((index[0, :, 1], index[0, :, 2]), torch.ones(rays), accumulate=True)
    weight = torch.exp((t[:4] - surface) / FREE_SCALE)
    for first in range(4):
        left = weight.clone()
        left[first] = 0
        expected = rays / 4 * left / left.sum()
        assert counts[first, first] == 0
        assert (
            (counts[first] - expected).abs() < 5 * (expected + 1).sqrt()
        ).all()  # five deviations of a count


def test_nothing_within_the_margin_counts_as_free() -> None:
    surface = 0.99
    before = [surface - FREE_MARGIN - 0.001, surface - FREE_MARGIN + 0.001, surface, 1.0]
    for seed in range(20):
        index, exists = choose(before, [True] * 4, surface, 1, seed)
        assert (index[:2], exists) == ([2, 0], [True, True, False])  # a second one is not there
        assert choose(before[1:], [True] * 3, surface, 1, seed)[1] == [True, False, False]


def test_missed_manifolds_are_not_shaded() -> None:
    hit = [False, True, False, False, True, True, False]
    for seed in range(20):
        index, exists = choose(T, hit, 0.985, 4, seed)
        assert {i for i, there in zip(index, exists, strict=True) if there} == {1, 4, 5}


def test_a_surface_behind_all_manifolds_is_shown_by_the_innermost() -> None:
    """As the back of an open mouth; unless the ray misses that manifold, or shows the background."""
    far, inf = 1.2, float("inf")
    t, hit = torch.tensor([[T] * 4]), torch.ones(1, 4, 7, dtype=torch.bool)
    hit[0, 2, 6] = False
    surface = reachable_surface(torch.tensor([[far, 0.985, far, inf]]), t, hit)
    assert torch.equal(surface, torch.tensor([[T[6], 0.985, far, inf]]))
    choice = NearSurface(torch.full((1, 4), far), 2, rng(1))
    index, exists = choice(t, hit)
    assert torch.equal(choice.surface, torch.tensor([[T[6], T[6], far, T[6]]]))
    assert exists.all() and set(index[0, 0, :2].tolist()) == {6, 5}
    free = in_free_space(colours(t, hit), choice.surface, torch.ones(1, 4, dtype=torch.bool))
    assert free[0, 0].tolist() == [True] * 6  # the seventh point of ``colours`` is the background's


def test_no_manifold_is_shaded_twice() -> None:
    t = torch.rand(3, 200, 9, generator=rng()).sort(dim=-1).values * 0.2 + 0.9
    hit = torch.rand(t.shape, generator=rng(1)) < 0.7
    distance = 0.9 + 0.2 * torch.rand(3, 200, generator=rng(2))
    distance[:, ::5] = torch.inf
    index, exists = NearSurface(distance, 4, rng(3))(t, hit)
    for b, r in np.ndindex(3, 200):
        there = index[b, r][exists[b, r]].tolist()
        assert len(set(there)) == len(there) and hit[b, r, there].all()
        assert len(there) >= min(4, int(hit[b, r].sum()))


def test_background_rays_draw_from_all_manifolds() -> None:
    tried = [choose(T, [True] * 7, float("inf"), 2, seed)[0] for seed in range(60)]
    assert {index for indices in tried for index in indices} == set(range(7))


def colours(t: Tensor, hit: Tensor) -> RayColours:
    """Rays with the given points, the last of them the background's."""
    ray = torch.zeros(t.shape[:2])
    vectors, points = torch.zeros(*ray.shape, 3), torch.zeros(*t.shape, 3)
    return RayColours(vectors, ray, ray, vectors, torch.ones_like(t), t, hit, t, points, points)


def test_points_in_front_of_a_known_surface_are_in_free_space() -> None:
    t = torch.tensor(
        [[[0.9, 0.995, 1.1, 1.2], [0.9, 0.0, 0.95, 1.2], [0.9, 0.9, 0.9, 1.2], [0.9, 1.1, 1.0, 1.2]]]
    )
    hit = torch.tensor([[[True] * 4, [True, False, True, True], [True] * 4, [True] * 4]])
    distance = torch.tensor([[1.0, 1.0, 1.0, float("inf")]])
    inside = torch.tensor([[True, True, False, True]])
    free = in_free_space(colours(t, hit), distance, inside)
    assert free[0].tolist() == [[True, False, False], [True, False, True], [False] * 3, [True] * 3]


def gradient_norms(generator: Generator, near: bool) -> dict[str, float]:
    batch = random_batch(
        0.97 + 0.05 * torch.rand(2, 36, generator=rng(5)), torch.ones(2, 36, dtype=torch.bool)
    )
    losses = photometric_losses(generator, batch, SCHEDULE, near, LossWeights(), rng(6))
    generator.zero_grad()
    losses["colour"].backward()
    return {
        name: sum(float(p.grad.norm()) for p in module.parameters() if p.grad is not None)
        for name, module in generator.named_children()
    }


def test_near_the_surface_colours_teach_the_template_only() -> None:
    norms = gradient_norms(small_generator(GENERATOR), near=True)
    assert {name for name, norm in norms.items() if norm > 0} == {"template"}


def test_in_the_complete_stage_colours_teach_all_fields_and_no_prior() -> None:
    norms = gradient_norms(small_generator(GENERATOR), near=False)
    fields = {"template", "deformation", "manifolds"}
    assert {name for name, norm in norms.items() if norm > 0} == fields


@pytest.mark.parametrize(("requested", "samples"), [(0, GENERATOR.ray_sampling.samples), (5, 5)])
def test_the_complete_stage_uses_the_configured_number_of_samples(
    requested: int, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def noted(fields: ConditionedFields, *others: object) -> RayColours:
        seen.append(fields.ray_sampling.samples)
        return render_rays(fields, *others)

    monkeypatch.setattr(photometric, "render_rays", noted)
    batch = random_batch(torch.full((2, 16), 1.0), torch.ones(2, 16, dtype=torch.bool))
    schedule = dataclasses.replace(SCHEDULE, complete_samples=requested)
    photometric_losses(small_generator(GENERATOR), batch, schedule, False, LossWeights(), rng())
    photometric_losses(small_generator(GENERATOR), batch, schedule, True, LossWeights(), rng())
    assert seen == [samples, SCHEDULE.near_samples]


def test_bfloat16_losses_are_near_the_float32_ones(data: PairedData) -> None:
    """Rays, levels and points are not rounded: distances are equal to the last bit."""
    generator, batch = small_generator(GENERATOR), data.draw(3, 20, rng(2))
    losses, rendered = {}, {}
    for name in ("float32", "bfloat16"):
        with matrix_precision(name, batch.rgb.device):
            fields = generator.condition(Latents(batch.z_id, batch.z_exp, batch.z_noise))
            rendered[name] = render_rays(dataclasses.replace(fields, offset=torch.zeros_like), batch.rays)
        schedule = dataclasses.replace(SCHEDULE, precision=name)
        losses[name] = photometric_losses(generator, batch, schedule, False, LossWeights(), rng(2))
    assert torch.equal(rendered["float32"].t, rendered["bfloat16"].t)
    assert torch.equal(rendered["float32"].x_template, rendered["bfloat16"].x_template)
    assert 0 < (rendered["float32"].rgb - rendered["bfloat16"].rgb).abs().max() < 0.05
    for term, value in losses["float32"].items():
        assert losses["bfloat16"][term].item() == pytest.approx(value.item(), rel=0.1, abs=1e-5), term


def test_gradients_in_bfloat16_point_the_same_way(data: PairedData) -> None:
    """In the median of five batches: with a gain of 300, rounding turns a point opaque in one of them."""
    similar = []
    for seed in range(5):
        gradients = []
        for name in ("float32", "bfloat16"):
            generator, batch = small_generator(GENERATOR), data.draw(3, 20, rng(seed))
            schedule = dataclasses.replace(SCHEDULE, precision=name)
            terms = photometric_losses(generator, batch, schedule, False, LossWeights(), rng(2))
            sum(terms.values()).backward()
            weights = generator.template.parameters()
            gradients.append(torch.cat([weight.grad.flatten() for weight in weights]))
        assert gradients[0].dtype == gradients[1].dtype == torch.float32
        assert not torch.equal(*gradients)
        similar.append(torch.cosine_similarity(*gradients, dim=0).item())
    assert sorted(similar)[2] > 0.99
