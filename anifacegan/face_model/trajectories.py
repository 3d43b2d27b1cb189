"""Trajectories of pose and expression: yaw, pitch and expression coefficients of every frame of a video.

A trajectory interpolates linearly between a few given values at even spacing. Angles are radians relative to frontal
(see :mod:`anifacegan.geometry.conventions`).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from anifacegan.face_model.coefficients import read_poses
from anifacegan.face_model.config import MOST_FRAMES, DriveConfig
from anifacegan.face_model.expressions import (
    EXPECTED,
    SEQUENCE_FILE,
    ExpressionReader,
    has_separator,
    is_expression_file,
    say_names_are_meant,
)
from anifacegan.geometry.cameras import WIDEST_VIEW_RAD, from_frontal
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.mat_files import is_mat_file, mat_files_in_order
from anifacegan.runtime.resources import found, located
from anifacegan.runtime.typed_config import as_tuple


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Pose and expression of every frame of a video; angles are radians relative to frontal."""

    yaw: Float[np.ndarray, "frame"]
    """Yaw of the head in each frame."""
    pitch: Float[np.ndarray, "frame"]
    """Pitch of the head in each frame."""
    z_exp: Float[np.ndarray, "frame 64"]
    """Expression coefficients of each frame."""
    strength: Float[np.ndarray, "frame"]
    """Factor by which each frame's expression was multiplied; ``z_exp`` already includes it. 1 is the expression as
    given."""
    labels: tuple[str, ...]
    """Name of each frame's expression."""

    def __post_init__(self) -> None:
        check_views(yaw=self.yaw, pitch=self.pitch)

    def __len__(self) -> int:
        return len(self.yaw)


def piecewise_linear(
    values: Float[np.ndarray, "value *dim"], frames: int
) -> Float[np.ndarray, "frames *dim"]:
    """Interpolate linearly between values that are spread evenly over ``frames`` frames.

    The first frame has the first value, the last frame the last value, and each value between is reached in some frame.
    With fewer frames than values, some of the values between are left out. A single frame has the last value.
    """
    count = len(values)
    if frames == 1:
        return values[-1:]
    if frames < count:
        return values[_even_indices(count, frames)]
    if count == 1:
        return np.repeat(values, frames, axis=0)
    key_frames = _even_indices(frames, count)  # the frame of each value
    flat = values.reshape(count, -1)
    columns = [np.interp(np.arange(frames), key_frames, column) for column in flat.T]
    return np.stack(columns, axis=-1).reshape(frames, *values.shape[1:])


def _even_indices(length: int, count: int) -> Int[np.ndarray, "count"]:
    """Choose evenly spaced indices, the first and the last included."""
    return np.floor(np.linspace(0, length - 1, count) + 0.5).astype(int)


def expression_schedule(
    strength: Float[np.ndarray, "value"] | None, expressions: int, frames: int
) -> tuple[Int[np.ndarray, "frame"], Float[np.ndarray, "frame"]]:
    """Divide ``frames`` frames evenly among a number of expressions that are shown one after another.

    Returns, for each frame, the index of its expression (from 0) and the factor of that expression. In the frames of an
    expression, the factor passes through all values of ``strength``. If ``strength`` is None, the factor of a single
    expression rises from 0 to 1. The factor of each of several expressions then rises from 0 to 1 and falls back, or is
    1 if the expression has fewer than three frames.

    Raises:
        InputError: fewer frames than expressions, or than values of ``strength`` for an expression.
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
        if strength is not None:
            _require_all_shown("strength", strength, int(share), "of an expression")
        parts.append(piecewise_linear(path, int(share)))
    return which, np.concatenate(parts)


def _require_all_shown(
    name: str, values: Float[np.ndarray, "value"], frames: int, which: str = "of the video"
) -> None:
    """Require that frames show all values of an option. Two values are a beginning and an end, of which a single frame
    has the end.

    Raises:
        InputError: there are fewer frames.
    """
    if len(values) > max(frames, 2):
        raise InputError(
            f"{name} has {len(values)} values, expected at most one for each of {frames} frames {which}"
        )


def check_views(
    *, yaw: Float[np.ndarray, "frame"], pitch: Float[np.ndarray, "frame"], place: str | None = None
) -> None:
    """Check that the poses of all frames are near enough to frontal to be rendered; angles are radians.

    Raises:
        InputError: a pose is not; names the first such frame, or begins with ``place``.
    """
    wrong = (
        ~(from_frontal(yaw=yaw, pitch=pitch) <= WIDEST_VIEW_RAD)
        | (np.abs(pitch) > math.pi / 2)
        | (np.abs(yaw) > math.pi / 2)
    )
    if wrong.any():
        k = int(wrong.argmax())
        place = f"frame {k}: " if place is None else place
        raise InputError(
            f"{place}yaw {yaw[k]:.3g} and pitch {pitch[k]:.3g} are farther from frontal than {WIDEST_VIEW_RAD} radians "
            "(angles are radians, not degrees)"
        )


DEFAULT_FRAMES = 50
"""Number of frames of a video if no number is given."""


@dataclass(frozen=True)
class Expression:
    """An expression with its name."""

    label: str
    """Label of the frames that show the expression."""
    z_exp: Float[np.ndarray, "64"]
    """Expression coefficients."""
    path: Path | None = None
    """The file from which the expression was read; None if the expression was given by names."""
    frame: int = 0
    """Index of the expression in its file."""


def requested_expressions(drive: DriveConfig, reader: ExpressionReader) -> tuple[list[Expression], bool]:
    """Read the expressions that the option ``drive.expression`` names, with ``reader``.

    Returns the expressions, and whether they are the frames of one sequence: the .mat files of a folder in numeric
    order, or the rows of a single file. Names that the model knows are names, whatever files are called so.

    Raises:
        InputError: a name is unknown, a file is missing or does not fit the model, a folder has no .mat files, or a
            sequence is not the only expression.
    """
    requested = as_tuple(drive.expression)
    expressions = []
    for text in requested:
        if reader.means_names(text):
            say_names_are_meant(text)
            expressions.append(Expression(text, reader.coefficients(text)))
            continue
        path = found(text)
        if path is not None and path.is_dir():
            if len(requested) > 1:
                raise InputError(f"{path}: is a folder, which has to be the only expression")
            return _frames_in(path, reader), True
        if is_expression_file(text):
            path = located(text, SEQUENCE_FILE)
            expressions += _expressions_of(path, reader, most=MOST_FRAMES if len(requested) == 1 else 1)
            continue
        if path is not None or has_separator(text):
            raise InputError(f"{text}: no .mat file and no folder, expected one, {EXPECTED}")
        expressions.append(Expression(text, reader.coefficients(text)))
    return expressions, len(expressions) > len(requested)


def _frames_in(folder: Path, reader: ExpressionReader) -> list[Expression]:
    """Return the expressions in the .mat files of a folder, one of each."""
    files = mat_files_in_order(folder)
    if not files:
        raise InputError(f"{folder}: holds no .mat file, expected a sequence of them")
    return [expression for path in files for expression in _expressions_of(path, reader, most=1)]


def _expressions_of(path: Path, reader: ExpressionReader, most: int) -> list[Expression]:
    """Return the expressions in a file; ``most`` is the largest number of frames, 1 unless the file is the sequence."""
    rows = reader.sequence(path)
    if len(rows) > most:
        expected = f"at most {most}" if most > 1 else "one: a sequence has to be the only expression"
        raise InputError(f"{path}: holds {len(rows)} frames, expected {expected}")
    if len(rows) == 1:
        return [Expression(path.stem, rows[0], path)]
    digits = len(str(len(rows) - 1))
    return [Expression(f"{path.stem}_{k:0{digits}}", row, path, k) for k, row in enumerate(rows)]


def planned_trajectory(
    drive: DriveConfig, reader: ExpressionReader, expressions: list[Expression], is_sequence: bool
) -> Trajectory:
    """Compute pose and expression of every frame of a video.

    Args:
        drive: options of pose, strength and number of frames.
        reader: gives the pitch offset if the options leave it open.
        expressions: what :func:`requested_expressions` returns.
        is_sequence: whether the expressions are the frames of one sequence, and not shown one after another.

    Raises:
        InputError: ``pose_from_mat`` is set, and an expression was not read from a .mat file; or an option has more
            values than there are frames.
    """
    z_exp = np.stack([expression.z_exp for expression in expressions])
    frames = drive.frames or (len(expressions) if is_sequence else DEFAULT_FRAMES)
    ramp = None if drive.strength is None else float_array(drive.strength)
    _require_all_shown("yaw", float_array(drive.yaw), frames)
    _require_all_shown("pitch", float_array(drive.pitch), frames)
    if is_sequence:
        _require_all_shown("strength", float_array(drive.strength), frames)
        position = piecewise_linear(np.arange(len(expressions), dtype=np.float64), frames)
        which = np.rint(position).astype(int)
        expression = piecewise_linear(z_exp, frames)
        strength = np.ones(frames) if ramp is None else piecewise_linear(ramp, frames)
    else:
        which, strength = expression_schedule(ramp, len(expressions), frames)
        expression = z_exp[which]
    if drive.pose_from_mat:
        offset = reader.pitch_offset if drive.pitch_offset is None else drive.pitch_offset
        poses = _poses(expressions, offset)
        pitch, yaw = (piecewise_linear(poses, frames) if is_sequence else poses[which]).T
    else:
        yaw, pitch = (
            piecewise_linear(float_array(drive.yaw), frames),
            piecewise_linear(float_array(drive.pitch), frames),
        )
    return Trajectory(
        yaw=yaw,
        pitch=pitch,
        z_exp=(strength[:, None] * expression).astype(np.float32),
        strength=strength,
        labels=tuple(expressions[k].label for k in which),
    )


def _poses(expressions: list[Expression], pitch_offset: float) -> Float[np.ndarray, "expression 2"]:
    """Read the pose of each expression's .mat file: columns pitch and yaw, radians relative to frontal."""
    poses: list[np.ndarray] = []
    of_file: dict[Path, np.ndarray] = {}
    for expression in expressions:
        if expression.path is None or not is_mat_file(expression.path.name):
            raise InputError(f"expression '{expression.label}': pose_from_mat needs .mat files")
        if expression.path not in of_file:
            of_file[expression.path] = read_poses(expression.path, pitch_offset)
        rows = of_file[expression.path]
        if expression.frame >= len(rows):
            raise InputError(
                f"{expression.path}: has poses of {len(rows)} frames, expected one for each expression"
            )
        poses.append(rows[expression.frame])
    return np.array(poses, np.float64)


def float_array(value: float | tuple[float, ...] | None) -> Float[np.ndarray, "value"]:
    """Convert one value or several to a float64 array; None becomes a single zero."""
    return np.array([0.0] if value is None else as_tuple(value), np.float64)
