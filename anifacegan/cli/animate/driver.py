"""The driver of a film: pose and expression of every frame, from names, files or a sequence in memory.

Whatever gives a sequence of expression coefficients and poses can drive an avatar: it becomes a
:class:`anifacegan.face_model.trajectories.Trajectory`.
"""

import numpy as np
from jaxtyping import Float

from anifacegan.avatars.avatar import Avatar
from anifacegan.cli.animate.config import AnimateConfig
from anifacegan.face_model.config import DriveConfig
from anifacegan.face_model.expressions import ExpressionReader
from anifacegan.face_model.trajectories import Trajectory, planned_trajectory, requested_expressions
from anifacegan.runtime.errors import InputError, warnings_in_one_line
from anifacegan.runtime.typed_config import as_tuple

SMILE, SMILE_FILE = "smile", "mat/smile.mat"
"""Name of the driver that the package ships, and its file."""
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif")


def driver_trajectory(config: AnimateConfig, reader: ExpressionReader) -> Trajectory:
    """Read the driver that the options name.

    Raises:
        InputError: a file is missing, does not fit the face model, or is a video.
    """
    for text in as_tuple(config.driver):
        if text.lower().endswith(VIDEO_SUFFIXES):
            raise InputError(
                f"driver: {text} is a video, expected expressions: fit the video first, and name the .mat file of its "
                "frames"
            )
    names = SMILE_FILE if config.driver == SMILE else config.driver
    drive = DriveConfig(
        expression=names,
        frames=config.frames,
        yaw=config.yaw,
        pitch=config.pitch,
        pose_from_mat=config.driver_pose,
    )
    with warnings_in_one_line():
        expressions, is_sequence = requested_expressions(drive, reader)
        return planned_trajectory(drive, reader, expressions, is_sequence)


def sequence_trajectory(
    z_exp: Float[np.ndarray, "frame 64"],
    *,
    yaw: Float[np.ndarray, "frame"],
    pitch: Float[np.ndarray, "frame"],
) -> Trajectory:
    """Make a driver of expression coefficients and poses (radians from frontal), as a fitted video has them."""
    return Trajectory(
        yaw=yaw,
        pitch=pitch,
        z_exp=z_exp.astype(np.float32),
        strength=np.ones(len(z_exp)),
        labels=tuple(f"frame {k}" for k in range(len(z_exp))),
    )


def require_playable(avatar: Avatar, trajectory: Trajectory) -> None:
    """Require that an avatar can show every frame of a driver.

    Raises:
        InputError: it cannot; the message names the first such expression or view.
    """
    for k in range(len(trajectory)):
        avatar.check_expression(trajectory.z_exp[k], trajectory.labels[k])
        avatar.check_view(yaw=float(trajectory.yaw[k]), pitch=float(trajectory.pitch[k]))
