"""Trajectories of pose and expression: interpolation, strengths and limits of views."""

import math

import numpy as np
import pytest

from anifacegan.face_model.trajectories import Trajectory, check_views, expression_schedule, piecewise_linear
from anifacegan.geometry.cameras import WIDEST_VIEW_RAD
from anifacegan.runtime.errors import InputError


def test_a_ramp_is_evenly_spaced_and_includes_both_ends() -> None:
    assert np.allclose(
        piecewise_linear(np.array([-0.35, 0.35]), 50), np.linspace(-0.35, 0.35, 50), atol=1e-15
    )


def test_a_single_value_is_constant() -> None:
    assert piecewise_linear(np.array([0.2]), 4).tolist() == [0.2] * 4


@pytest.mark.parametrize("values", [[0.0, 1.0], [0.0, 1.0, 0.0], [3.0]])
def test_a_single_frame_shows_the_last_value(values: list[float]) -> None:
    assert piecewise_linear(np.array(values), 1).tolist() == values[-1:]


@pytest.mark.parametrize("frames", range(5, 40))
def test_every_value_is_reached_exactly_and_in_order(frames: int) -> None:
    values = np.array([1.0, -1.0, 1.0, -1.0, 1.0]) * np.sqrt(
        [2, 3, 5, 7, 11]
    )  # no value lies on a way by chance
    path = piecewise_linear(values, frames)
    assert len(path) == frames
    places = [int(np.flatnonzero(path == value).item()) for value in values]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, frames - 1)
    gaps = np.diff(places)
    assert gaps.max() - gaps.min() <= 1  # even, as far as whole frames allow


def test_values_are_interpolated_linearly() -> None:
    assert np.allclose(piecewise_linear(np.array([0.0, 4.0, 0.0]), 9), [0, 1, 2, 3, 4, 3, 2, 1, 0])


def test_with_fewer_frames_than_values_some_are_left_out_but_not_the_ends() -> None:
    values = np.arange(10.0)
    for frames in range(2, 10):
        path = piecewise_linear(values, frames)
        assert len(path) == frames
        assert (path[0], path[-1]) == (0, 9)
        assert set(path) <= set(values) and (np.diff(path) > 0).all()


def test_columns_are_interpolated_one_by_one() -> None:
    rows = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)
    path = piecewise_linear(rows, 7)
    assert path.shape == (7, 64)
    for column in (0, 63):
        assert np.allclose(path[:, column], piecewise_linear(rows[:, column].astype(np.float64), 7))


def test_a_single_expression_rises_from_0_to_1() -> None:
    which, strength = expression_schedule(None, 1, 5)
    assert which.tolist() == [0] * 5
    assert np.allclose(strength, [0, 0.25, 0.5, 0.75, 1])


def test_a_single_frame_has_the_full_expression() -> None:
    assert expression_schedule(None, 1, 1)[1].tolist() == [1.0]


def test_several_expressions_rise_and_fall_in_equal_numbers_of_frames() -> None:
    which, strength = expression_schedule(None, 3, 15)
    assert which.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert np.allclose(strength, [0, 0.5, 1, 0.5, 0] * 3)


def test_every_expression_reaches_strength_1() -> None:
    for frames in range(3, 30):
        which, strength = expression_schedule(None, 3, frames)
        assert len(which) == len(strength) == frames
        for expression in range(3):
            assert strength[which == expression].max() == 1.0, frames


def test_given_strengths_are_repeated_for_each_expression() -> None:
    which, strength = expression_schedule(np.array([0.2, 0.6]), 2, 6)
    assert np.allclose(strength, [0.2, 0.4, 0.6] * 2)
    assert which.tolist() == [0, 0, 0, 1, 1, 1]


def test_fewer_frames_than_expressions_are_refused() -> None:
    with pytest.raises(InputError, match="frames is 2, expected at least one for each of the 3 expressions"):
        expression_schedule(None, 3, 2)


def one_frame(*, yaw: float, pitch: float) -> Trajectory:
    return Trajectory(
        yaw=np.array([yaw]),
        pitch=np.array([pitch]),
        z_exp=np.zeros((1, 64), np.float32),
        strength=np.ones(1),
        labels=("neutral",),
    )


@pytest.mark.parametrize(
    ("pitch", "yaw"), [(0.0, 90.0), (1.5, 0.0), (1.2, 1.2), (0.0, math.pi), (math.nan, 0.0)]
)
def test_a_view_too_far_from_frontal_is_refused(pitch: float, yaw: float) -> None:
    with pytest.raises(InputError, match="frame 0: yaw .* farther from frontal"):
        one_frame(yaw=yaw, pitch=pitch)


def test_the_widest_views_are_accepted() -> None:
    edge = WIDEST_VIEW_RAD - 1e-6
    check_views(yaw=np.array([-edge, 0.0, 1.0]), pitch=np.array([0.0, edge, 0.7]))


def test_at_the_widest_view_every_ray_still_meets_the_background_in_front() -> None:
    import torch

    from anifacegan.geometry.rays import image_rays

    for pitch, yaw in ((0.0, WIDEST_VIEW_RAD), (WIDEST_VIEW_RAD, 0.0), (0.99, 1.25)):
        angles = torch.tensor([[pitch, yaw]])
        rays = image_rays(yaw=angles[:, 1], pitch=angles[:, 0], size=16)
        t = (-0.12 - rays.origins[..., 2]) / rays.directions[..., 2]
        assert (t > 0).all()
