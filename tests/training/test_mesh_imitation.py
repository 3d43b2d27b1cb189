"""Imitation terms on mesh points: switched off by weight 0, drawn at the configured distance from the mesh."""

import dataclasses

import pytest
import torch
from torch import Tensor

from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.training.mesh_imitation import ImitationBatch, draw_imitation_batch, imitation_losses
from anifacegan.training.paired import PairedData
from anifacegan.training.schedule import Schedule
from anifacegan.training.weights import LossWeights
from tests.fixtures.small_models import small_generator
from tests.fixtures.tiny_training_set import GENERATOR, SCHEDULE


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(data: PairedData, mesh: MeshSampler, schedule: Schedule = SCHEDULE) -> ImitationBatch:
    return draw_imitation_batch(data, mesh, schedule, rng(3), torch.device("cpu"))


def test_an_imitation_term_of_weight_0_is_not_computed(
    data: PairedData, mesh: MeshSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other terms do not change; without any term no field is evaluated."""
    generator, batch = small_generator(GENERATOR), draw(data, mesh)
    all_terms = imitation_losses(generator, batch, LossWeights())
    for name in all_terms:
        rest = imitation_losses(generator, batch, dataclasses.replace(LossWeights(), **{name: 0.0}))
        assert rest.keys() == all_terms.keys() - {name}
        for other, value in rest.items():  # a product with fewer points may round otherwise: a few times 1e-7
            torch.testing.assert_close(value, all_terms[other], rtol=1e-5, atol=0)
    none = LossWeights(**dict.fromkeys(all_terms, 0.0))
    monkeypatch.setattr(
        type(generator), "bind_deformation", lambda *_: torch.zeros_like
    )  # what it binds must not be called
    assert imitation_losses(generator, batch, none) == {}


def test_every_imitation_term_has_its_weight(data: PairedData, mesh: MeshSampler) -> None:
    generator, batch = small_generator(GENERATOR), draw(data, mesh)
    names = ["deformation", "mouth_gap", "roughness", "minimal", "neutral"]

    def terms(**changes: float) -> dict[str, Tensor]:
        return imitation_losses(generator, batch, LossWeights(**dict.fromkeys(names, 1.0) | changes))

    ones = terms()
    assert list(ones) == names and all(value.item() > 0 for value in ones.values())
    for factor, name in enumerate(names, start=2):
        scaled = terms(**{name: float(factor)})
        assert scaled[name].item() == pytest.approx(factor * ones[name].item(), rel=1e-5)


def test_the_field_vanishes_with_the_templates_expression(data: PairedData, mesh: MeshSampler) -> None:
    generator = small_generator(GENERATOR)
    batch = draw(data, mesh)
    assert not batch.template_exp.any()
    other = torch.randn(64, generator=torch.Generator().manual_seed(1)).expand_as(batch.z_exp)
    for template_exp in (batch.template_exp, other):
        changed = dataclasses.replace(batch, template_exp=template_exp)
        offset = generator.deformation.bind(batch.z_id, template_exp)
        expected = 1e4 * offset(batch.mesh.x_target[:, : batch.few]).square().sum(-1).mean()
        neutral = imitation_losses(generator, changed, LossWeights())["neutral"]
        assert neutral.item() == pytest.approx(expected.item(), rel=1e-4) and neutral.item() > 0


def test_mesh_offset_is_the_largest_distance_of_the_points_from_the_mesh(
    data: PairedData, mesh: MeshSampler
) -> None:
    on_mesh, off_mesh = (
        draw(data, mesh, dataclasses.replace(SCHEDULE, mesh_offset=far)).mesh for far in (0.0, 0.003)
    )
    count = SCHEDULE.mesh_points  # after them come points at seams, which are other ones
    distance = (on_mesh.x_target - off_mesh.x_target)[:, :count].norm(dim=-1)
    assert 0.002 < distance.max() < 0.0031 and (on_mesh.confidence[:, :count] == 1).all()
    assert torch.allclose(off_mesh.confidence[:, :count], 1 - distance**2 / 1e-5, atol=1e-3)


def test_the_deformation_term_is_weighted_by_the_confidence(data: PairedData, mesh: MeshSampler) -> None:
    generator = small_generator(GENERATOR)
    batch = draw(data, mesh, dataclasses.replace(SCHEDULE, mesh_offset=0.003))
    offset = generator.deformation.bind(batch.z_id, batch.z_exp)
    error = (offset(batch.mesh.x_target) - batch.mesh.delta).square().sum(-1)
    expected = (batch.mesh.confidence * error).sum() / batch.mesh.confidence.sum()
    losses = imitation_losses(generator, batch, LossWeights())
    assert losses["deformation"].item() == pytest.approx(3e4 * expected.item(), rel=1e-4)


def test_bfloat16_losses_are_near_the_float32_ones(data: PairedData, mesh: MeshSampler) -> None:
    generator = small_generator(GENERATOR)
    batch = draw(data, mesh, dataclasses.replace(SCHEDULE, mesh_faces=4, mesh_points=40))
    full = imitation_losses(generator, batch, LossWeights(), "float32")
    half = imitation_losses(generator, batch, LossWeights(), "bfloat16")
    for term, value in full.items():
        assert half[term].item() == pytest.approx(value.item(), rel=0.1, abs=1e-5), term
