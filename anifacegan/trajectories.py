"""Paths through poses and expressions: what each frame of a film shows.

A path is a few values that the frames pass through, evenly and in straight lines. Angles are radians relative to
frontal (see :mod:`anifacegan.cameras`).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from anifacegan.cameras import from_frontal
from anifacegan.errors import InputError

WIDEST_VIEW_RAD = 1.4
"""Largest angle between the view and frontal; a little further, the background plane is seen from behind."""


@dataclass(frozen=True)
class Trajectory:
    """One row for each frame."""

    pitch: Float[np.ndarray, "frame"]
    yaw: Float[np.ndarray, "frame"]
    z_exp: Float[np.ndarray, "frame 64"]
    strength: Float[np.ndarray, "frame"]
    """Factor on the expression that z_exp holds; 1 where a frame shows a file as it is."""
    labels: tuple[str, ...]
    """Name of the expression of each frame."""

    def __post_init__(self) -> None:
        check_views(self.pitch, self.yaw)

    def __len__(self) -> int:
        return len(self.yaw)


def through(values: Float[np.ndarray, "value *dim"], frames: int) -> Float[np.ndarray, "frames *dim"]:
    """``frames`` steps along straight lines from value to value, every value reached exactly.

    With fewer frames than values, values are left out, but not the first and the last; a single frame shows the last.
    """
    count = len(values)
    if frames == 1:
        return values[-1:]
    if frames < count:
        return values[_spread(count, frames)]
    if count == 1:
        return np.repeat(values, frames, axis=0)
    keys = _spread(frames, count)                                      # the frame of each value
    flat = values.reshape(count, -1)
    columns = [np.interp(np.arange(frames), keys, column) for column in flat.T]
    return np.stack(columns, axis=-1).reshape(frames, *values.shape[1:])


def _spread(length: int, count: int) -> Int[np.ndarray, "count"]:
    """Evenly spread indices, the first and the last included."""
    return np.floor(np.linspace(0, length - 1, count) + 0.5).astype(int)


def in_turn(
    strength: Float[np.ndarray, "value"] | None, expressions: int, frames: int
) -> tuple[Int[np.ndarray, "frame"], Float[np.ndarray, "frame"]]:
    """Expressions one after another: which of them a frame shows, and how strongly.

    Each runs through all of ``strength`` in its share of the frames. None: a single expression appears, from 0 to 1;
    several come and go, or are shown at 1 where they have fewer than three frames.

    Raises:
        InputError: fewer frames than expressions.
    """
    if frames < expressions:
        raise InputError(f"frames is {frames}, expected at least one for each of the {expressions} expressions")
    which = np.arange(frames) * expressions // frames
    parts = []
    for share in np.bincount(which, minlength=expressions):
        path = strength
        if path is None and expressions == 1:
            path = np.array([0.0, 1.0])
        elif path is None:
            path = np.array([0.0, 1.0, 0.0] if share >= 3 else [1.0])
        parts.append(through(path, int(share)))
    return which, np.concatenate(parts)


def check_views(pitch: Float[np.ndarray, "frame"], yaw: Float[np.ndarray, "frame"]) -> None:
    """Raise InputError where a view is too far from frontal to be drawn."""
    wrong = ~(from_frontal(pitch, yaw) <= WIDEST_VIEW_RAD) | (np.abs(pitch) > math.pi / 2) | (np.abs(yaw) > math.pi / 2)
    if wrong.any():
        k = int(wrong.argmax())
        raise InputError(
            f"frame {k}: yaw {yaw[k]:.3g} and pitch {pitch[k]:.3g} are farther from frontal than {WIDEST_VIEW_RAD} "
            "radians (angles are radians, not degrees)"
        )
