"""Numbers at a grid's vertices come back from what is left of them, within each vertex's tolerance."""

import dataclasses

import numpy as np
import pytest

from anifacegan.avatars.export.grid_coding import GridPlaces
from anifacegan.runtime.errors import InputError
from tests.fixtures.ball_avatars import ball_avatar
from tests.fixtures.decoded_pages import decoded_field


def test_numbers_come_back_exactly_without_tolerance() -> None:
    places = GridPlaces.of(ball_avatar().layered_mesh)
    values = np.random.default_rng(0).integers(-1000, 1000, len(places.layer))
    residuals = places.residuals(values, np.zeros_like(values))
    np.testing.assert_array_equal(decoded_field(residuals, places), values)
    assert np.abs(residuals).max() > 1000  # these are no guesses


def test_errors_stay_within_each_vertex_tolerance_and_do_not_add_up() -> None:
    places = GridPlaces.of(ball_avatar().layered_mesh)
    rng = np.random.default_rng(1)
    values = np.cumsum(rng.integers(-3, 4, len(places.layer)))
    tolerance = rng.integers(0, 6, len(values))
    residuals = places.residuals(values, tolerance)
    error = np.abs(decoded_field(residuals, places) - values)
    placed = len(places.row)
    assert (error[:placed] <= tolerance[:placed]).all() and error.max() > 2
    assert (error[placed:] <= tolerance[placed:]).all()
    assert (residuals % (2 * tolerance + 1) == 0).all()  # as few different numbers as the tolerance allows


def test_smooth_numbers_leave_almost_nothing() -> None:
    places = GridPlaces.of(ball_avatar().layered_mesh)
    values = np.zeros(len(places.layer), np.int64)
    values[: len(places.row)] = 3 * places.row + 5 * places.column
    residuals = places.residuals(values, np.zeros_like(values))[: len(places.row)]
    assert (residuals == 0).mean() > 0.7


def test_vertices_off_the_grid_are_refused() -> None:
    mesh = ball_avatar().layered_mesh
    disordered = dataclasses.replace(mesh, texels=mesh.texels[::-1].copy())
    with pytest.raises(InputError, match="rows and columns that anifacegan bake writes"):
        GridPlaces.of(disordered)
