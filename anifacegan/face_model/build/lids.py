"""Margins of the eyelids (their edges at the eye), and how the upper lids close.

The formula is in :mod:`anifacegan.face_model.lids`. A column is a vertex of the upper margin.

MakeHuman's quads form closed loops of edges around each eye, from the socket behind the eyeball to the brow. Seen from
the front, the loop with the smallest opening that still lies on the eyeball is the rim of the lids.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from anifacegan.face_model.build.topology import Topology, fit_sphere
from anifacegan.face_model.coefficients import ExpressionBasis
from anifacegan.face_model.open_model import BLINK_UNITS
from anifacegan.face_model.parts import EYE_LEFT, EYE_RIGHT, SKIN

BLINKS = dict(zip((EYE_LEFT, EYE_RIGHT), BLINK_UNITS, strict=True))
"""Name of the action unit that closes each eye, by the eyeball's label."""
NEAREST_RIM = 0.985
"""Smallest distance of the vertices of the rim of an eye's opening from the eyeball's centre, in radii of the ball."""
AROUND_EYE = 2.0
"""Distance from the eyeball's centre, in radii of the eyeball, within which edge loops around the eye are searched and
vertices may turn with a lid."""
NEAR_COLUMNS = 4
"""Number of vertices of the upper lid's margin whose turns another lid vertex follows, the nearest ones."""
COLUMN_SPREAD = 0.5
"""Width of the Gaussian weights by which a lid vertex follows margin vertices, divided by the lid vertex's distance
from the nearest margin vertex."""
LEAST_SPREAD = 0.008
"""Smallest width, model units, of the Gaussian weights by which a lid vertex follows margin vertices; it is half the
spacing of the margin vertices."""
LEAST_ADVANCE = 0.65
"""Least advance along the lower margin, in vertices, for each vertex of the upper margin, counted from either corner of
the eye, when the positions below the upper margin are found."""
CORNER_TURN = np.deg2rad(4)
"""Difference between the turns of the two margins, radians, below which the lid vertices nearby turn less and less.
Near the corners of the eye, a blink turns both margins by almost the same angle."""
LEAST_SHARE = 0.005
"""Smallest share of the margin's turn by which a lid vertex turns. Vertices with a smaller share do not turn, which is
an error of at most 0.1 degrees."""
SINGLE_UNITS, BLINK_UNITS_WEIGHT = 1e-4, 10.0
"""Weights of samples in the fit of the blinks' read-out: of each action unit alone, and of each blink alone. A random
expression has weight 1."""


@dataclass(frozen=True)
class LidMargins:
    """The rim of an eye's opening; both margins run from the inner to the outer corner of the eye, corners included."""

    upper: np.ndarray
    """(C,) vertex indices of the upper lid's margin."""
    lower: np.ndarray
    """(C,) vertex indices of the lower lid's margin."""


def lid_arrays(
    topology: Topology, mean: np.ndarray, exp_basis: np.ndarray, units: ExpressionBasis, bank: np.ndarray
) -> dict[str, np.ndarray]:
    """Compute the arrays of the face model's file that say how the eyelids close, by key.

    Args:
        topology: mesh of the face model.
        mean: (V, 3) vertices of the mean face, model units.
        exp_basis: (3V, K) displacements by the expression coefficients, model units.
        units: action units and their expression coefficients.
        bank: (E, U) strengths of the action units in random expressions.
    """
    arrays: dict[str, np.ndarray] = {"blink_read_out": blink_read_out(units, bank).astype(np.float32)}
    blinks = {
        eye: (exp_basis @ units.from_strengths({unit: 1.0})).reshape(-1, 3) for eye, unit in BLINKS.items()
    }
    margins = [lid_margins(topology.skin_quads, mean, mean[topology.part == eye]) for eye in BLINKS]
    arrays["lid_upper"] = np.array([margin.upper for margin in margins], np.int32)
    arrays["lid_lower"] = np.array([margin.lower for margin in margins], np.int32)
    arrays["lid_below"] = np.array(
        [positions_below(mean + blinks[eye], margin) for eye, margin in zip(BLINKS, margins, strict=True)],
        np.float32,
    )
    skin = np.flatnonzero(topology.part == SKIN)
    for eye, margin, side in zip(BLINKS, margins, "lr", strict=True):
        ball = fit_sphere(mean[topology.part == eye])
        followers, columns, shares = lid_followers(mean, blinks[eye], skin, margin, ball)
        arrays |= {
            f"lid_followers_{side}": followers.astype(np.int32),
            f"lid_columns_{side}": columns.astype(np.int32),
            f"lid_shares_{side}": shares.astype(np.float32),
        }
    return arrays


def lid_margins(quads: np.ndarray, points: np.ndarray, ball: np.ndarray) -> LidMargins:
    """Find the rim of the lids of one eye among the edge loops of the skin.

    Args:
        quads: (Q, 4) vertex indices of the skin's quads.
        points: (V, 3) vertices of the head.
        ball: (N, 3) vertices of the eyeball.

    Raises:
        ValueError: no loop of edges goes around the eye.
    """
    centre, radius = fit_sphere(ball)
    distance = np.linalg.norm(points - centre, axis=1)
    near = (distance < AROUND_EYE * radius) & (points[:, 2] > centre[2])
    rims = [
        loop
        for loop in edge_loops(quads[near[quads].all(axis=1)])
        if distance[loop].min() > NEAREST_RIM * radius
    ]
    if not rims:
        raise ValueError("no edge loop of the skin goes around the eye")
    rim = min(rims, key=lambda loop: _frontal_area(points[loop] - centre))
    half = len(rim) // 2
    width = np.abs(points[rim, 0] - np.roll(points[rim, 0], -half))[:half]
    rim = np.roll(rim, -int(width.argmax()))
    rows = rim[: half + 1], np.append(rim[:1], rim[: half - 1 : -1])
    upper, lower = sorted(rows, key=lambda row: -points[row, 1].mean())
    inward = slice(None, None, 1 if abs(points[upper[0], 0]) < abs(points[upper[-1], 0]) else -1)
    return LidMargins(upper[inward], lower[inward])


def edge_loops(quads: np.ndarray) -> list[np.ndarray]:
    """Find the closed loops of edges in a mesh of (Q, 4) quads that go straight on at every vertex.

    At each vertex of a loop four quads meet. Returns, for each loop, its vertex indices in order.
    """
    ring: dict[
        int, dict[int, int]
    ] = {}  # vertex: neighbour, and the neighbour that follows around the vertex
    for quad in quads.tolist():
        for k, vertex in enumerate(quad):
            ring.setdefault(vertex, {})[quad[(k + 1) % 4]] = quad[k - 1]
    inner = {
        vertex for vertex, after in ring.items() if len(after) == 4 and set(after) == set(after.values())
    }
    loops, walked = [], set()
    for start in sorted(inner):
        for first in ring[start]:
            if (start, first) in walked:
                continue
            loop = [start, first]
            while (loop[-2], loop[-1]) not in walked and loop[-1] in inner:
                walked |= {(loop[-2], loop[-1]), (loop[-1], loop[-2])}
                after = ring[loop[-1]]
                loop.append(after[after[loop[-2]]])
            if len(loop) > 3 and loop[-2:] == [start, first]:
                loops.append(np.array(loop[:-2]))
    return loops


def _frontal_area(points: np.ndarray) -> float:
    """Compute the area inside a closed line as seen from the front."""
    x, y = points[:, 0], points[:, 1]
    return abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2


def positions_below(points: np.ndarray, margins: LidMargins) -> np.ndarray:
    """Find, for each vertex of the upper margin of an eye, the point of the lower margin below it.

    Returns (C,) fractional indices in ``margins.lower``. The point below a vertex has the same x. Near the corners of
    the eye, where the margins run up and down, the points are spread out instead. ``points`` are the (V, 3) vertices of
    the head.
    """
    outward = np.sign(points[margins.upper[-1], 0])
    x = np.maximum.accumulate(outward * points[margins.lower, 0])
    below = np.interp(outward * points[margins.upper, 0], x, np.arange(len(x)))
    from_corner = LEAST_ADVANCE * np.arange(len(x))
    return np.clip(below, from_corner, len(x) - 1 - from_corner[::-1])


def lid_followers(
    mean: np.ndarray, blink: np.ndarray, skin: np.ndarray, margins: LidMargins, ball: tuple[np.ndarray, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the N vertices that turn when an upper lid closes (followers), and the weights of their turns.

    A follower's turn is a weighted sum of the turns of the nearest vertices of the upper margin. The sum of the weights
    is a ratio of two angles by which the linear model's blink turns points: that of the follower, divided by that of
    the nearest margin vertices. The turn of the lower margin is subtracted from both angles.

    Args:
        mean: (V, 3) vertices of the mean face.
        blink: (V, 3) displacement by a full blink in the linear model.
        skin: vertex indices of the skin.
        margins: edges of the lids.
        ball: centre (3,) and radius of the eyeball.

    Returns:
        Vertex indices (N,) of the followers; indices in ``margins.upper`` of the vertices that each follower follows,
        (N, NEAR_COLUMNS); and the weights of their turns, of the same shape.
    """
    centre, radius = ball
    skin = skin[np.linalg.norm(mean[skin] - centre, axis=1) < AROUND_EYE * radius]
    turn = _angles(mean + blink - centre) - _angles(mean - centre)
    distance, columns = cKDTree(mean[margins.upper]).query(mean[skin], NEAR_COLUMNS)
    width = np.maximum(COLUMN_SPREAD * distance[:, :1], LEAST_SPREAD)
    weights = np.exp(-0.5 * ((distance - distance[:, :1]) / width) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    common = np.interp(positions_below(mean, margins), np.arange(len(margins.lower)), turn[margins.lower])
    closing = turn[margins.upper] - common
    own = turn[skin] - (weights * common[columns]).sum(axis=1)
    full = (weights * closing[columns]).sum(axis=1)
    share = np.clip(own * full / (full**2 + CORNER_TURN**2), 0, 1)
    moves = share > LEAST_SHARE
    followers, columns, shares = skin[moves], columns[moves], (share[:, None] * weights)[moves]
    return _with_margin(followers, columns, shares, margins)


def _with_margin(
    followers: np.ndarray, columns: np.ndarray, shares: np.ndarray, margins: LidMargins
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Let each vertex of the upper margin turn by exactly its own turn, and let the lower margin not turn."""
    other = ~np.isin(followers, [margins.upper, margins.lower])
    own = np.tile(np.arange(len(margins.upper))[:, None], NEAR_COLUMNS)
    full = np.zeros(own.shape)
    full[1:-1, 0] = 1  # at the corners there is nothing to close
    return (
        np.concatenate([followers[other], margins.upper]),
        np.concatenate([columns[other], own]),
        np.concatenate([shares[other], full]),
    )


def _angles(points: np.ndarray) -> np.ndarray:
    """Compute angles about the axis along x, radians, 0 in front."""
    return np.arctan2(points[:, 1], points[:, 2])


def blink_read_out(units: ExpressionBasis, bank: np.ndarray) -> np.ndarray:
    """Compute (2, K) weights whose product with expression coefficients gives the strengths of left and right blink.

    The weights are a least-squares fit to the strengths of the blinks in random expressions. Each action unit alone is
    a further sample with a small weight, and each blink alone one with a large weight, so that a full blink gives 1.
    ``bank`` has (E, U) strengths of the action units in random expressions.
    """
    strengths = _blinks_among(units)
    moment = bank.T @ bank / len(bank) + SINGLE_UNITS * np.eye(len(units.names))
    moment += BLINK_UNITS_WEIGHT * strengths.T @ strengths
    to_exp = units.units_to_exp.astype(np.float64)  # (K, U)
    return np.linalg.solve(to_exp @ moment @ to_exp.T, to_exp @ moment @ strengths.T).T


def read_out_error(units: ExpressionBasis, read_out: np.ndarray, bank: np.ndarray) -> float:
    """Compute the root mean square error of the strengths of both blinks that ``read_out`` (2, K) gives.

    ``bank`` has (E, U) strengths of the action units in the expressions over which the mean is taken.
    """
    error = bank @ (read_out @ units.units_to_exp - _blinks_among(units)).T
    return float(np.sqrt(np.mean(error**2)))


def _blinks_among(units: ExpressionBasis) -> np.ndarray:
    """Return (2, U), 1 where the unit is that blink."""
    return np.array([[float(name == blink) for name in units.names] for blink in BLINKS.values()])
