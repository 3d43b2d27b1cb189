"""Drifts, cosines and second differences of numbers that were put in."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from anifacegan.evaluation.disentanglement import FaceMeasurements, disentanglement
from anifacegan.evaluation.recognition import recognition
from anifacegan.evaluation.smoothness import ramp, smoothness

PEOPLE, CHANGES = 3, 4


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


def test_faces_that_never_change_do_not_drift() -> None:
    found = disentanglement(faces(exp=moved(64, by=1.0)), faces(), faces())
    drifts = dataclasses.asdict(found)
    assert drifts.pop("people") == PEOPLE and set(drifts.values()) == {0.0}


def test_every_drift_comes_from_its_own_change() -> None:
    expression = faces(embedding=moved(8, by=0.5), angle_deg=moved(3, by=-2.0), exp=moved(64, by=0.4))
    found = disentanglement(
        expression, faces(exp=moved(64, by=0.1)), faces(landmarks_mm=moved(68, 3, by=1.0))
    )
    assert found.expression_moves_embedding == pytest.approx(0.5 * math.sqrt(8), rel=1e-5)
    assert found.expression_moves_pose_deg == pytest.approx(2, rel=1e-5)
    assert found.yaw_moves_expression == pytest.approx(0.1, rel=1e-4)
    assert found.yaw_moves_expression_share == pytest.approx(0.25, rel=1e-4)
    assert found.noise_moves_landmarks_mm == pytest.approx(math.sqrt(3), rel=1e-5)


def test_shares_are_of_other_people() -> None:
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


# ------------------------------------------------------------------------------------------------------- recognition
def test_cosines_of_directions_in_the_plane() -> None:
    """Two people at right angles, each turning by 60 degrees between two images and not in the others."""

    def at(*degrees: float) -> Tensor:
        angle = torch.deg2rad(torch.tensor(degrees))
        return 5 * torch.stack([angle.cos(), angle.sin()], dim=-1)

    turning = torch.stack([at(0, 60), at(90, 150)])
    still = torch.stack([at(0, 0, 0), at(90, 90, 90)])
    found = recognition(turning, still)
    assert found.across_yaw == pytest.approx(0.5)
    between = [math.cos(math.radians(angle)) for angle in (90, 150, 30, 90)]
    assert found.across_yaw_others == pytest.approx(sum(between) / 4, abs=1e-6)
    assert found.across_expressions == pytest.approx(1)
    assert found.across_expressions_others == pytest.approx(0, abs=1e-6)
    assert (found.people, found.yaws, found.expressions) == (2, 2, 3)
    # Radius 5, and the first of ``still`` is that of ``turning``: of a person's six pairs three are 60 degrees, that is
    # 5, apart, and three are the same.
    rows = torch.cat([turning, still[:, 1:]], dim=1)
    within = [(a - b).norm() for person in rows for i, a in enumerate(person) for b in person[:i]]
    others = [(a - b).norm() for a in rows[0] for b in rows[1]]
    ratio = float(torch.stack(others).mean() / torch.stack(within).mean())
    assert found.between_over_within == pytest.approx(ratio, rel=1e-5)
    assert float(torch.stack(within).mean()) == pytest.approx(5 * 3 / 6, rel=1e-5)


# -------------------------------------------------------------------------------------------------------- smoothness
def requested(frames: int = 9) -> Tensor:
    shape = torch.randn(2, 1, 68, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return ramp(frames).double()[None, :, None, None] * shape


def test_a_ramp_runs_slowly_from_nothing_to_all() -> None:
    strength = ramp(9)
    assert strength[0] == 0 and strength[-1] == 1 and strength[4] == pytest.approx(0.5)
    assert (strength.diff() > 0).all() and strength[1] < 0.5 / 8


def test_what_was_asked_for_is_as_smooth_as_itself() -> None:
    found = smoothness(requested() + 3.0, requested())
    assert found.ratio == pytest.approx(1) and (found.ramps, found.frames) == (2, 9) and found.target_mm > 0


def test_jitter_is_four_times_itself() -> None:
    """Landmarks that step 1 mm to and fro along one axis."""
    jitter = torch.zeros(2, 9, 68, 3, dtype=torch.float64)
    jitter[..., 0] = ((-1.0) ** torch.arange(9))[None, :, None]
    assert smoothness(jitter, requested()).measured_mm == pytest.approx(4)
    still = smoothness(jitter, torch.zeros_like(jitter))
    assert still.target_mm == 0 and math.isnan(still.ratio)
