"""The driver of a film: pose and expression of every frame, from names, files or a sequence in memory.

Whatever gives a sequence of expression coefficients and poses can drive an avatar: it becomes a
:class:`anifacegan.face_model.trajectories.Trajectory`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from anifacegan.avatars.avatar import Avatar
from anifacegan.capture.crop import Crop
from anifacegan.capture.film_files import Film, is_film, open_film
from anifacegan.capture.film_fit import FittedFilm
from anifacegan.cli.animate.config import AnimateConfig
from anifacegan.face_model.config import DriveConfig
from anifacegan.face_model.expressions import ExpressionReader, say_names_are_meant
from anifacegan.face_model.trajectories import Trajectory, planned_trajectory, requested_expressions
from anifacegan.geometry.cameras import from_frontal
from anifacegan.runtime.errors import InputError, require_unused, say, warnings_in_one_line
from anifacegan.runtime.paths import user_path
from anifacegan.runtime.typed_config import as_tuple

SMILE, SMILE_FILE = "smile", "mat/smile.mat"
"""Name of the driver that the package ships, and its file."""
TURNS_BACK = 20
"""Number of iterations in which a view is turned back to the widest one; each leaves less than a third of the error."""


def driving_films(config: AnimateConfig) -> list[Path]:
    """Return the drivers that are films by their names."""
    return [path for path in map(Path, as_tuple(config.driver)) if is_film(path)]


def driving_film(config: AnimateConfig) -> Film | None:
    """Open the film that drives; None if the driver is no film.

    Raises:
        InputError: the film is missing or damaged, is named beside other drivers, or has too long breaks.
    """
    films = driving_films(config)
    if not films:
        return None
    if len(as_tuple(config.driver)) > 1:
        raise InputError(f"driver: {films[0]} is a film, expected no driver beside it")
    require_unused(
        config, "with a film as driver, which has its own", "frames", "fps", "yaw", "pitch", "driver_pose"
    )
    film = open_film(user_path(films[0]))
    film.at_constant_rate()  # what cannot be shown is refused before it is fitted
    return film


def film_trajectory(fitted: FittedFilm, widest_rad: float) -> Trajectory:
    """Make a driver of a fitted film. Views farther from frontal than ``widest_rad`` are turned back to that angle; a
    line on standard error says how many.
    """
    pitch, yaw = fitted.pose.T
    share = np.ones(len(pitch))
    for _ in range(TURNS_BACK):  # the angle of a view is not proportional to yaw and pitch
        angle = from_frontal(yaw=share * yaw, pitch=share * pitch)
        share *= np.minimum(1.0, widest_rad / np.maximum(angle, 1e-9))
    turned = int((share < 1).sum())
    if turned:
        say(
            f"{fitted.film.path}: in {turned} of {len(share)} frames the head is turned farther than the avatar can be "
            f"({widest_rad:.2f} rad), and is turned back to that angle"
        )
    return sequence_trajectory(fitted.z_exp, yaw=share * yaw, pitch=share * pitch)


@dataclass(frozen=True)
class HeadMotion:
    """How a driving film's head tilts and moves in the image, in relation to where it is on average."""

    still: Crop
    """The crop about the head's average place, of average size and tilt: what the film that is made shows."""
    moving: tuple[Crop, ...]
    """The crop about the head in each frame."""

    @classmethod
    def of_film(cls, fitted: FittedFilm) -> "HeadMotion":
        """Return the motion of a fitted film."""
        values = np.array([(crop.x, crop.y, crop.side, crop.roll) for crop in fitted.crops])
        return cls(Crop(*np.median(values, axis=0).tolist()), tuple(fitted.crops))

    def places(self, frame: int, size: int) -> Float[np.ndarray, "size size 2"]:
        """Return, for each pixel of a frame of ``size``, the point of the head's own crop there, unit coordinates."""
        unit = np.linspace(-0.5, 0.5, size)
        grid = np.stack(np.meshgrid(unit, unit), axis=-1)
        return self.moving[frame].to_unit(self.still.to_photograph(grid))


def driver_trajectory(config: AnimateConfig, reader: ExpressionReader) -> Trajectory:
    """Read the driver that the options name, which is no film.

    Raises:
        InputError: a file is missing, or does not fit the face model.
    """
    names = config.driver
    if names == SMILE:
        say_names_are_meant(SMILE)
        names = SMILE_FILE
    if config.driver_pose:
        drive = DriveConfig(expression=names, frames=config.frames, pose_from_mat=True)
    else:
        drive = DriveConfig(expression=names, frames=config.frames, yaw=config.yaw, pitch=config.pitch)
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
