"""Averages over neighbours of a mesh."""

import numpy as np
import pytest

from anifacegan.data.synthetic.surface.scattering import Neighbours, neighbours


@pytest.fixture(scope="module")
def grid() -> tuple[np.ndarray, np.ndarray, Neighbours]:
    side = 9
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    points = np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], axis=1).astype(np.float32)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    triangles = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + side], 1),
            np.stack([corner + 1, corner + side + 1, corner + side], 1),
        ]
    )
    points = points * np.float32(0.02)  # edges that are short enough for a step's full share
    return points, triangles, neighbours(points, triangles)


def test_neighbours_share_an_edge(grid: tuple[np.ndarray, np.ndarray, Neighbours]) -> None:
    _, _, around = grid
    middle = 4 * 9 + 4
    found = around.neighbour[around.first[middle] : around.first[middle + 1]]
    assert set(found) == {middle - 9, middle - 8, middle - 1, middle + 1, middle + 8, middle + 9}


def test_a_constant_stays_and_a_peak_spreads_by_the_number_of_steps(
    grid: tuple[np.ndarray, np.ndarray, Neighbours],
) -> None:
    points, _, around = grid
    active = np.ones(len(points), bool)
    constant = np.tile(np.float32([1, 2, 3]), (len(points), 1))
    assert np.allclose(around.averaged(constant, active, (5, 3, 1)), constant, atol=1e-5)
    peak = np.zeros((len(points), 3), np.float32)
    peak[40] = 1
    spread = around.averaged(peak, active, (4, 1, 0))
    assert spread[40, 2] == 1 and spread[40, 1] == pytest.approx(0.4, abs=1e-6)
    assert spread[40, 0] < spread[40, 1] and (spread[:, 0] > 0).sum() > (spread[:, 1] > 0).sum() == 7


def test_inactive_vertices_keep_their_values(grid: tuple[np.ndarray, np.ndarray, Neighbours]) -> None:
    points, _, around = grid
    values = np.random.default_rng(0).random((len(points), 3)).astype(np.float32)
    active = points[:, 0] < 0.07
    averaged = around.averaged(values, active, (3, 3, 3))
    assert np.array_equal(averaged[~active], values[~active]) and (averaged[active] != values[active]).all()


def test_compression_tells_the_directions_apart(grid: tuple[np.ndarray, np.ndarray, Neighbours]) -> None:
    points, _, around = grid
    narrower = points * np.float32([0.8, 1, 1])
    horizontal, vertical = around.compression(points, narrower, np.ones(len(points), bool)).T
    inner = np.flatnonzero((points[:, :2] > 0).all(1) & (points[:, :2] < 0.15).all(1))
    assert horizontal[inner].min() > 0.15 and np.abs(vertical[inner]).max() < 0.05
    assert np.allclose(around.compression(points, points, np.ones(len(points), bool)), 0, atol=1e-6)
