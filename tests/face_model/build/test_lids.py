"""Margins of the lids, followers and the read-out of blinks, on a made grid of quads."""

import numpy as np
import pytest

from anifacegan.face_model.build.lids import (
    LidMargins,
    blink_read_out,
    edge_loops,
    lid_followers,
    lid_margins,
    positions_below,
    read_out_error,
)
from anifacegan.face_model.coefficients import ExpressionBasis

AROUND, RINGS = 16, 5
"""Vertices of each ring around the made eye, and number of rings."""
CENTRE = np.array([0.4, 0.1, 0.2])
BALL_RADIUS = 0.5


def rings() -> tuple[np.ndarray, np.ndarray]:
    """Rings of quads around an opening in front of a ball: points (V, 3) and quads (Q, 4), counter-clockwise."""
    angle = 2 * np.pi * np.arange(AROUND) / AROUND
    points = []
    for ring in range(RINGS):
        width, height = 0.2 + 0.03 * ring, 0.1 + 0.03 * ring
        x, y = width * np.cos(angle), height * np.sin(angle)
        out = BALL_RADIUS * (0.96 + 0.02 * ring)  # the first rings lie inside the ball
        points.append(np.stack([x, y, np.sqrt(out**2 - x**2 - y**2)], axis=1))
    number = np.arange(RINGS * AROUND).reshape(RINGS, AROUND)
    inner, outer = number[:-1], number[1:]
    quads = np.stack([inner, outer, np.roll(outer, -1, axis=1), np.roll(inner, -1, axis=1)], axis=-1)
    return CENTRE + np.concatenate(points), quads.reshape(-1, 4)


def ball() -> np.ndarray:
    directions = np.random.default_rng(0).normal(size=(50, 3))
    return CENTRE + BALL_RADIUS * directions / np.linalg.norm(directions, axis=1, keepdims=True)


def test_edge_loops_go_straight_on_and_close() -> None:
    _, quads = rings()
    found = {frozenset(loop.tolist()) for loop in edge_loops(quads)}
    expected = {frozenset(range(AROUND * ring, AROUND * (ring + 1))) for ring in range(1, RINGS - 1)}
    assert found == expected  # rings at the border, and spokes that end there, are no loops
    (loop,) = (loop for loop in edge_loops(quads) if AROUND in loop)
    assert len(loop) == AROUND and set(np.abs(np.diff(loop))) <= {1, AROUND - 1}


@pytest.mark.parametrize("side", [1, -1])
def test_the_rim_is_the_smallest_opening_that_lies_on_the_ball(side: int) -> None:
    points, quads = rings()
    mirror = np.array([side, 1, 1])
    quads = quads[:, ::side]
    margins = lid_margins(quads, points * mirror, ball() * mirror)
    first = 2 * AROUND  # distances from the centre are 0.96, 0.98, 1.00, ... radii; the border is no loop
    assert set(margins.upper) | set(margins.lower) == set(range(first, first + AROUND))
    assert margins.upper[0] == margins.lower[0] == first + AROUND // 2  # the inner corner is at the nose
    assert margins.upper[-1] == margins.lower[-1] == first
    assert (points[margins.upper[1:-1], 1] > CENTRE[1]).all()
    assert (points[margins.lower[1:-1], 1] < CENTRE[1]).all()


def test_skin_without_a_loop_around_the_eye_is_an_error() -> None:
    points, quads = rings()
    with pytest.raises(ValueError, match="no edge loop"):
        lid_margins(quads, 10 * points, ball())


def test_positions_below_are_at_the_same_x() -> None:
    x = np.linspace(0.1, 0.9, 9)
    points = np.zeros((17, 3))
    points[:9, 0] = x
    points[9:, 0] = np.append(x[1:-1] + 0.02, 0)
    margins = LidMargins(np.arange(9), np.array([0, *range(9, 16), 8]))
    below = positions_below(points, margins)
    expected = np.interp(x, points[margins.lower, 0], np.arange(9))
    np.testing.assert_allclose(below, expected)
    assert below[0] == 0 and below[-1] == 8
    bunched = points.copy()
    bunched[1:4, 0] = 0.1  # three vertices above the inner corner
    np.testing.assert_allclose(positions_below(bunched, margins)[1:4], 0.65 * np.arange(1, 4))


def test_followers_turn_by_their_share_of_the_linear_blink() -> None:
    points, quads = rings()
    margins = lid_margins(quads, points, ball())
    local = points - CENTRE
    height = np.clip(local[:, 1], 0, None) / 0.2
    share = np.where(local[:, 1] > 0, np.clip(2 - height, 0, 1), 0)
    turn = -0.5 * share  # the upper side of the rim turns fully, the rest less with height
    cosine, sine = np.cos(turn), np.sin(turn)
    y, z = local[:, 1], local[:, 2]
    blink = np.stack([0 * y, y * cosine + z * sine - y, z * cosine - y * sine - z], axis=1)
    followers, columns, shares = lid_followers(
        points, blink, np.arange(len(points)), margins, (CENTRE, BALL_RADIUS)
    )
    total = dict(zip(followers.tolist(), shares.sum(axis=1), strict=True))
    for column, vertex in enumerate(margins.upper[1:-1], start=1):
        row = followers.tolist().index(vertex)
        assert total[vertex] == 1 and columns[row, 0] == column and shares[row, 0] == 1
    assert not set(margins.lower[1:-1].tolist()) & set(total)
    above = 3 * AROUND + AROUND // 4  # the ring outside, in the middle of the upper lid
    assert total[above] == pytest.approx(
        share[above], abs=0.03
    )  # of a turn of 0.5, less CORNER_TURN's shrinkage
    assert all(local[vertex, 1] > -1e-9 for vertex in total)


def test_the_read_out_finds_each_blink_and_nothing_else() -> None:
    """With as many coefficients as units it is exact; with fewer it is the best over the bank."""
    rng = np.random.default_rng(0)
    names = ("eyeBlinkLeft", "eyeBlinkRight", *(f"other{k}" for k in range(6)))
    bank = rng.random((500, 8))
    full = ExpressionBasis(names, rng.normal(size=(8, 8)))
    np.testing.assert_allclose(blink_read_out(full, bank) @ full.units_to_exp, np.eye(8)[:2], atol=1e-9)
    assert read_out_error(full, blink_read_out(full, bank), bank) < 1e-9
    few = ExpressionBasis(names, full.units_to_exp[:6])
    best = blink_read_out(few, bank)
    np.testing.assert_allclose(
        (best @ few.units_to_exp)[:, :2], np.eye(2), atol=0.02
    )  # blinks alone weigh most
    assert 0 < read_out_error(few, best, bank) < read_out_error(few, 1.1 * best, bank)
