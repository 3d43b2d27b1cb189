"""Disentanglement of faces whose changes are known."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from anifacegan.evaluation.disentanglement import Disentanglement, FaceMeasurements, disentanglement_items

PEOPLE, CHANGES = 3, 4


def disentanglement(
    expression: FaceMeasurements, yaw: FaceMeasurements, noise: FaceMeasurements
) -> Disentanglement:
    return disentanglement_items(expression, yaw, noise).report()


def faces(**changed: Tensor) -> FaceMeasurements:
    """People who never change but for what is given."""
    rng = torch.Generator().manual_seed(0)

    def still(*shape: int) -> Tensor:
        return torch.randn(PEOPLE, 1, *shape, generator=rng).expand(PEOPLE, CHANGES, *shape)

    made = FaceMeasurements(still(8), still(64), still(3), still(68, 3))
    return dataclasses.replace(
        made, **{name: getattr(made, name) + change for name, change in changed.items()}
    )


def moved(*shape: int, by: float) -> Tensor:
    """Nothing in the unchanged face, ``by`` in every number of the others."""
    change = torch.full((PEOPLE, CHANGES, *shape), by)
    change[:, 0] = 0
    return change


def test_faces_that_never_change_have_no_unwanted_change() -> None:
    found = disentanglement(faces(exp=moved(64, by=1.0)), faces(), faces())
    changes = dataclasses.asdict(found)
    assert changes.pop("people") == PEOPLE and set(changes.values()) == {0.0}


def test_every_number_comes_from_its_own_code_change() -> None:
    expression = faces(embedding=moved(8, by=0.5), angle_deg=moved(3, by=-2.0), exp=moved(64, by=0.4))
    found = disentanglement(
        expression, faces(exp=moved(64, by=0.1)), faces(landmarks_mm=moved(68, 3, by=1.0))
    )
    assert found.expression_moves_embedding == pytest.approx(0.5 * math.sqrt(8), rel=1e-5)
    assert found.expression_moves_pose_deg == pytest.approx(2, rel=1e-5)
    assert found.yaw_moves_expression == pytest.approx(0.1, rel=1e-4)
    assert found.yaw_moves_expression_share == pytest.approx(0.25, rel=1e-4)
    assert found.noise_moves_landmarks_mm == pytest.approx(math.sqrt(3), rel=1e-5)


def test_shares_are_relative_to_the_distance_between_people() -> None:
    """People at 0, 3 and 6 along one axis: 4 apart on average."""
    still = faces()
    place = 3.0 * torch.arange(PEOPLE)[:, None, None]
    apart = dataclasses.replace(
        still,
        embedding=torch.cat([place.expand(-1, CHANGES, 1), torch.zeros(PEOPLE, CHANGES, 7)], dim=-1),
        landmarks_mm=torch.zeros(PEOPLE, CHANGES, 68, 3),
    )
    apart.landmarks_mm[..., 1] = place
    expression = dataclasses.replace(
        apart, embedding=apart.embedding + moved(8, by=1.0), exp=still.exp + moved(64, by=1.0)
    )
    noise = dataclasses.replace(apart, landmarks_mm=apart.landmarks_mm + moved(68, 3, by=1.0))
    found = disentanglement(expression, still, noise)
    assert found.expression_moves_embedding_share == pytest.approx(math.sqrt(8) / 4, rel=1e-5)
    assert found.noise_moves_landmarks_share == pytest.approx(math.sqrt(3) / 4, rel=1e-5)
