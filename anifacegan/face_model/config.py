"""Options of trajectories of pose and expression, and of the camera of regressed coefficients."""

from dataclasses import dataclass
from typing import Literal

from anifacegan.runtime.errors import ConfigError, require_unused
from anifacegan.runtime.limits import LARGEST_PSI
from anifacegan.runtime.typed_config import as_tuple

CameraKind = Literal["generator", "deep3dfacerecon"]
"""Camera to which angles and translation of a face refer. generator: the generator's camera, with a field of view of 12
degrees. deep3dfacerecon: Deep3DFaceRecon's camera, with a focal length of 1015 px in an image of 224 px."""
LARGEST_NUMBER = 1000.0
"""Largest size of an angle, a strength or a truncation; real ones are of the size of 1."""
MOST_FRAMES = 100_000
"""Largest number of frames of a video."""


@dataclass(frozen=True)
class DriveConfig:
    """Pose and expression of every frame of a video."""

    expression: str | tuple[str, ...] = "mat/smile.mat"
    """Expression: a .mat file, names with strengths such as smile=0.7,blink=0.3, or neutral. The demo model's names are
    smile, jaw_open, blink, brow_raise, frown, pucker and ARKit's 52 units, such as mouthSmile. Several expressions are
    shown one after another. A sequence has a frame for each file of a folder of .mat files, in numeric order, for each
    row of one .mat file, or for each frame of recorded blendshapes, as Live Link Face (.csv) or MediaPipe (.json) give
    them. Relative paths are looked up in the current folder, then among the package's files (mat/)."""
    strength: float | tuple[float, ...] | None = None
    """Factor of the expression: one value, or values, at most one a frame, to interpolate between from the first frame
    to the last. null: the factor of a single expression rises from 0 to 1; the factor of each of several expressions
    rises from 0 to 1 and falls back; the factor of the expressions in a sequence is 1."""
    frames: int | None = None
    """Number of frames of each person's video. null: that of the sequence if expression is one, else 50."""
    yaw: float | tuple[float, ...] = (-0.35, 0.35)
    """Yaw of the head in radians from frontal; positive turns the face to the image's right. One value, or values to
    interpolate between from the first frame to the last; a single frame has the last value."""
    pitch: float | tuple[float, ...] = 0.0
    """Pitch of the head in radians from frontal; positive looks down. One value, or values to interpolate between from
    the first frame to the last."""
    pose_from_mat: bool = False
    """Take yaw and pitch from the .mat files of the expressions instead of the options yaw and pitch."""
    pitch_offset: float | None = None
    """Pitch, in radians, that Deep3DFaceRecon reports for a frontal face. It is subtracted from the pitch in the .mat
    files. Ignored for .mat files that store the exact pose (ours do). null: the value in the
    model's card.yaml."""

    def __post_init__(self) -> None:
        if self.frames is not None and not 1 <= self.frames <= MOST_FRAMES:
            raise ConfigError("frames", self.frames, f"1 to {MOST_FRAMES}")
        for name in ("yaw", "pitch", "strength", "pitch_offset"):
            require_finite(name, getattr(self, name))
        if self.pose_from_mat:
            require_unused(self, "with --pose_from_mat: the .mat files have the poses", "yaw", "pitch")
        else:
            require_unused(self, "without --pose_from_mat", "pitch_offset")
        if not self.expression:
            raise ValueError("expression is empty, expected files, names, or a folder")


def require_psi(name: str, value: float | tuple[float, ...] | None) -> None:
    """Check that a truncation psi, or each of several, is at most LARGEST_PSI in size.

    Raises:
        ConfigError: names the option.
    """
    if not _are_within(value, LARGEST_PSI):
        raise ConfigError(
            name, value, f"-{LARGEST_PSI:g} to {LARGEST_PSI:g}; 1 is the full variety of people"
        )


def require_finite(name: str, value: float | tuple[float, ...] | None) -> None:
    """Check that an option has at least one value and only finite ones, up to LARGEST_NUMBER in size.

    Raises:
        ConfigError: names the option.
    """
    if not _are_within(value, LARGEST_NUMBER):
        raise ConfigError(name, value, f"finite numbers, up to {LARGEST_NUMBER:g}")


def _are_within(value: float | tuple[float, ...] | None, most: float) -> bool:
    """Return whether an option is not set, or has at least one value and only such up to ``most`` in size."""
    return value is None or bool(
        as_tuple(value) and all(abs(item) <= most for item in as_tuple(value))  # nan is not
    )
