"""Paths through poses and expressions: what each frame of a film shows.

A path is a few values that the frames pass through, evenly and in straight lines. Angles are radians relative to
frontal (see :mod:`anifacegan.cameras`).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from anifacegan.face_model.coefficients import read_pose
from anifacegan.face_model.expressions import ExpressionReader
from anifacegan.geometry.cameras import WIDEST_VIEW_RAD, from_frontal
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.resources import found, located
from anifacegan.runtime.typed_config import as_tuple


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One row for each frame."""

    yaw: Float[np.ndarray, "frame"]
    pitch: Float[np.ndarray, "frame"]
    z_exp: Float[np.ndarray, "frame 64"]
    strength: Float[np.ndarray, "frame"]
    """Factor on the expression that z_exp holds; 1 where a frame shows a file as it is."""
    labels: tuple[str, ...]
    """Name of the expression of each frame."""

    def __post_init__(self) -> None:
        check_views(yaw=self.yaw, pitch=self.pitch)

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
    keys = _spread(frames, count)  # the frame of each value
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
        raise InputError(
            f"frames is {frames}, expected at least one for each of the {expressions} expressions"
        )
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


def check_views(*, yaw: Float[np.ndarray, "frame"], pitch: Float[np.ndarray, "frame"]) -> None:
    """Raise InputError where a view is too far from frontal to be drawn."""
    wrong = (
        ~(from_frontal(yaw=yaw, pitch=pitch) <= WIDEST_VIEW_RAD)
        | (np.abs(pitch) > math.pi / 2)
        | (np.abs(yaw) > math.pi / 2)
    )
    if wrong.any():
        k = int(wrong.argmax())
        raise InputError(
            f"frame {k}: yaw {yaw[k]:.3g} and pitch {pitch[k]:.3g} are farther from frontal than {WIDEST_VIEW_RAD} "
            "radians (angles are radians, not degrees)"
        )


DEFAULT_FRAMES = 50
MOST_FRAMES = 100_000


@dataclass(frozen=True)
class DriveConfig:
    """Pose and expression of every frame: what drives a face."""

    expression: str | tuple[str, ...] = "mat/smile.mat"
    """One or several .mat files, or names such as smile=0.7,blink=0.3, or neutral; several follow one another. Or one
    folder of .mat files, sorted by name: a sequence."""
    strength: float | tuple[float, ...] | None = None
    """Factor on the expression: one value, or values to pass through. null: from 0 to 1 for one expression, 0 to 1 and
    back for each of several, 1 for a folder."""
    frames: int | None = None
    """Frames of each person. null: one for each file of a folder, 50 otherwise."""
    yaw: float | tuple[float, ...] = (-0.35, 0.35)
    """Radians from frontal, positive: the face turns to the image's right. One value, or values to pass through
    from the first frame to the last; a single frame shows the last."""
    pitch: float | tuple[float, ...] = 0.0
    """Radians from frontal, positive: the face looks down. One value, or values to pass through."""
    pose_from_mat: bool = False
    """Take yaw and pitch from the .mat files of the expression."""
    pitch_offset: float | None = None
    """Pitch of a frontal face in .mat files without an exact pose, radians. null: the model card's."""

    def __post_init__(self) -> None:
        if self.frames is not None and not 1 <= self.frames <= MOST_FRAMES:
            raise ValueError(f"frames is {self.frames}, expected 1 to {MOST_FRAMES}")
        for name in ("yaw", "pitch", "strength", "pitch_offset"):
            require_finite(name, getattr(self, name))
        if not self.expression:
            raise ValueError("expression is empty, expected .mat files, names, or a folder")


@dataclass(frozen=True)
class Expression:
    label: str
    z_exp: Float[np.ndarray, "64"]
    path: Path | None = None
    """The .mat that it is from."""


def requested_expressions(drive: DriveConfig, reader: ExpressionReader) -> tuple[list[Expression], bool]:
    """Read what ``expression`` names, and say whether it is a folder: a sequence.

    Raises:
        InputError: an unknown name, a file that is not there or does not fit the model, or a folder without .mat
            files.
    """
    requested = as_tuple(drive.expression)
    folder = found(requested[0]) if len(requested) == 1 else None
    is_sequence = folder is not None and folder.is_dir()
    if folder is not None and is_sequence:
        requested = tuple(str(path) for path in sorted(folder.glob("*.mat")))
        if not requested:
            raise InputError(f"{folder}: holds no .mat file, expected a sequence of them")
    expressions = []
    for text in requested:
        if text.endswith(".mat"):
            path = located(text, "a .mat with face coefficients")
            expressions.append(Expression(path.stem, reader.coefficients(path), path))
            continue
        path = found(text)
        if path is not None and path.is_dir():
            raise InputError(f"{path}: is a folder, which has to be the only expression")
        if path is not None or "/" in text:
            raise InputError(
                f"{text}: no .mat file and no folder, expected one or names such as smile=0.7,blink=0.3"
            )
        expressions.append(Expression(text, reader.coefficients(text)))
    return expressions, is_sequence


def planned_trajectory(
    drive: DriveConfig, reader: ExpressionReader, expressions: list[Expression], is_sequence: bool
) -> Trajectory:
    """Lay out pose and expression of every frame.

    Raises:
        InputError: poses are to come from .mat files, and an expression is not from one.
    """
    z_exp = np.stack([expression.z_exp for expression in expressions])
    frames = drive.frames or (len(expressions) if is_sequence else DEFAULT_FRAMES)
    ramp = None if drive.strength is None else float_array(drive.strength)
    if is_sequence:
        place = through(np.arange(len(expressions), dtype=np.float64), frames)
        which = np.rint(place).astype(int)
        shown = through(z_exp, frames)
        strength = np.ones(frames) if ramp is None else through(ramp, frames)
    else:
        which, strength = in_turn(ramp, len(expressions), frames)
        shown = z_exp[which]
    if drive.pose_from_mat:
        offset = reader.pitch_offset if drive.pitch_offset is None else drive.pitch_offset
        poses = _poses(expressions, offset)
        pitch, yaw = (through(poses, frames) if is_sequence else poses[which]).T
    else:
        yaw, pitch = through(float_array(drive.yaw), frames), through(float_array(drive.pitch), frames)
    return Trajectory(
        yaw=yaw,
        pitch=pitch,
        z_exp=(strength[:, None] * shown).astype(np.float32),
        strength=strength,
        labels=tuple(expressions[k].label for k in which),
    )


def _poses(expressions: list[Expression], pitch_offset: float) -> Float[np.ndarray, "expression 2"]:
    """Columns pitch and yaw, radians relative to frontal."""
    poses = []
    for expression in expressions:
        if expression.path is None:
            raise InputError(f"expression '{expression.label}': pose_from_mat needs .mat files, not names")
        poses.append(read_pose(expression.path, pitch_offset))
    return np.array(poses, np.float64)


def float_array(value: float | tuple[float, ...] | None) -> Float[np.ndarray, "value"]:
    """Make an array of one value or several; None is a single zero."""
    return np.array([0.0] if value is None else as_tuple(value), np.float64)


def require_finite(name: str, value: float | tuple[float, ...] | None) -> None:
    """Refuse an option without values, or with one that is not finite.

    Raises:
        ValueError: names the option.
    """
    values = float_array(value)
    if len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"{name} is {value}, expected finite numbers")
