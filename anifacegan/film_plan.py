"""What a film shows, before anything is drawn: who, which expressions, from where.

Everything that can be wrong with a user's wishes is found here.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from anifacegan.avatar_player import SUFFIX, AvatarPlayer, load_avatar
from anifacegan.codes import read_people
from anifacegan.coefficients import read_expression, read_pose
from anifacegan.command_line import several
from anifacegan.devices import Device, chosen_device
from anifacegan.errors import InputError
from anifacegan.expression_reader import NEUTRAL, ExpressionReader
from anifacegan.film_renderer import Renderer
from anifacegan.library import Model, load_model
from anifacegan.trajectories import Trajectory, check_views, in_turn, through

DEFAULT_FRAMES = 50
MOST_FRAMES = 100_000
MOST_SHEET_EXPRESSIONS = 6
"""So many faces of a folder's sequence are on the contact sheet."""


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
    """Radians from frontal, positive: the face turns to the picture's right. One value, or values to pass through
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
class RenderConfig(DriveConfig):
    """Render people who turn their heads while an expression comes: PNG frames, films, a contact sheet."""

    model: Path = Path("checkpoints/demo")
    """Model folder of ours, a folder with AniFaceGAN's released files, or a baked avatar (.safetensors), which is one
    person: seeds say nothing then. Looked up here, then beside render.py."""
    renderer: Renderer = "auto"
    """exact: the networks, point by point. baked: textured sheets, baked once for each person. auto: baked where a
    person is drawn often enough for that to pay, and where it looks the same."""
    seeds: int | tuple[int, ...] = (1, 2, 3)
    """One person each; the same person alone or among others."""
    codes: Path | None = None
    """People from an .npz with z_id and z_noise instead of seeds. Each run keeps its people in such files."""
    size: int = 256
    """Height and width of the frames in pixels."""
    psi: float = 0.7
    """Variety of people: 1 is all of it, smaller is closer to the average appearance."""
    depth: bool = False
    """Also write depth maps, as 16-bit PNG; the manifest has their range."""
    transparent: bool = False
    """Write frames as RGBA without the background; film and sheet are on white then."""
    video: bool = True
    """Write a film of each person."""
    fps: int = 25
    """Frames per second of the films."""
    grid: bool = True
    """Write a contact sheet: people, views, and every expression of mat/ that is made for the model."""
    grid_yaw: float | tuple[float, ...] = (-0.35, 0.0, 0.35)
    """Views on the contact sheet."""
    grid_size: int = 128
    """Largest size of a picture on the contact sheet, pixels."""
    out: Path = Path("multiview_imgs")
    """Folder to write. It changes only when everything is done."""
    device: Device = "auto"
    """auto: the GPU where PyTorch sees one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, most in (("size", 8, 4096), ("grid_size", 8, 1024), ("fps", 1, 240)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {least} to {most}")
        for name in ("psi", "grid_yaw"):
            require_finite(name, getattr(self, name))
        seeds = several(self.seeds)
        if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**63 for seed in seeds):
            raise ValueError(f"seeds are {list(seeds)}, expected whole numbers from 0, each once")


Subject = Model | AvatarPlayer
"""Who can be drawn: the people of a model, or a baked avatar."""


@dataclass(frozen=True)
class Person:
    name: str
    """Also the name of the person's files."""
    seed: int | None
    codes: tuple[Float[Tensor, "1 80"], Float[Tensor, "1 80"]] | None
    """z_id and z_noise; None of a baked avatar."""


@dataclass(frozen=True)
class Expression:
    label: str
    z_exp: Float[np.ndarray, "64"]
    path: Path | None = None
    """The .mat that it is from."""


@dataclass(frozen=True)
class FilmPlan:
    model: Subject
    people: tuple[Person, ...]
    trajectory: Trajectory
    """Of every person."""
    sheet_yaw: Float[np.ndarray, "view"]
    sheet_expressions: tuple[Expression, ...]
    """Empty where there is to be no contact sheet."""


def plan_film(config: RenderConfig, home: Path | None = None) -> FilmPlan:
    """Load the model and read every file that the configuration names.

    ``home`` is where relative paths of models and expressions are looked up second, after the current directory.

    Raises:
        InputError: anything wrong with the configuration or with these files.
    """
    path = located(config.model, home)
    model: Subject
    if path.suffix == SUFFIX:
        model = load_avatar(path, chosen_device(config.device))
        people = [the_avatar(config, model, path)]
    else:
        model = load_model(path, chosen_device(config.device))
        people = chosen_people(config, model)
    with warnings_in_one_line():
        expressions, is_sequence = asked_expressions(config, model.expressions, home)
        trajectory = planned_trajectory(config, model.expressions, expressions, is_sequence)
        on_sheet = sheet_expressions(model, expressions, home) if config.grid else []
    sheet_yaw = float_array(config.grid_yaw)
    check_views(np.zeros_like(sheet_yaw), sheet_yaw)
    if isinstance(model, AvatarPlayer):
        check_avatar(model, trajectory, sheet_yaw if config.grid else sheet_yaw[:0], on_sheet)
    return FilmPlan(model, tuple(people), trajectory, sheet_yaw, tuple(on_sheet))


def located(path: Path, home: Path | None) -> Path:
    """The path as it is, or under ``home`` where only that exists."""
    if home is None or path.is_absolute() or path.exists() or not (home / path).exists():
        return path
    return home / path


def the_avatar(config: RenderConfig, avatar: AvatarPlayer, path: Path) -> Person:
    """The one person of a baked avatar.

    Raises:
        InputError: the configuration wants something else than what was baked.
    """
    if config.codes is not None:
        raise InputError(f"codes is {config.codes}, but {path} is a baked avatar, which is one person already")
    if config.renderer == "exact":
        raise InputError(f"renderer is exact, but {path} is a baked avatar without networks; expected baked or auto")
    if config.psi != avatar.card.psi:
        raise InputError(f"psi is {config.psi}, but {path} was baked with psi {avatar.card.psi}, which is part of it")
    return Person(path.stem, None, None)


def check_avatar(
    avatar: AvatarPlayer, trajectory: Trajectory, sheet_yaw: Float[np.ndarray, "view"], on_sheet: list[Expression]
) -> None:
    """Refuse, before anything is drawn, what an avatar was not baked for."""
    for expression in on_sheet:
        avatar.check_expression(expression.z_exp, expression.label)
    for yaw in sheet_yaw:
        avatar.check_view(float(yaw), 0.0)
    for k in range(len(trajectory)):
        avatar.check_expression(trajectory.z_exp[k], trajectory.labels[k])
        avatar.check_view(float(trajectory.yaw[k]), float(trajectory.pitch[k]))


def chosen_people(config: RenderConfig, model: Model) -> list[Person]:
    """From the codes file where there is one, else from the seeds."""
    if config.codes is None:
        return [Person(f"seed{seed}", seed, model.person(seed)) for seed in several(config.seeds)]
    z_id, z_noise = read_people(config.codes)
    stem, count = config.codes.stem, len(z_id)
    names = [stem] if count == 1 else [f"{stem}_{k}" for k in range(count)]
    return [Person(name, None, (z_id[k : k + 1], z_noise[k : k + 1])) for k, name in enumerate(names)]


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """The first warning of the block on stderr, with the number of others."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    messages = list(dict.fromkeys(str(warning.message) for warning in caught))
    if messages:
        others = f" (and {len(messages) - 1} more warnings like this)" if len(messages) > 1 else ""
        print(f"warning: {messages[0]}{others}", file=sys.stderr)


def asked_expressions(
    drive: DriveConfig, reader: ExpressionReader, home: Path | None
) -> tuple[list[Expression], bool]:
    """Read what ``expression`` names, and say whether it is a folder: a sequence.

    Raises:
        InputError: an unknown name, a file that is not there or does not fit the model, or a folder without .mat
            files.
    """
    asked = several(drive.expression)
    folder = located(Path(asked[0]), home)
    is_sequence = len(asked) == 1 and folder.is_dir()
    if is_sequence:
        asked = tuple(str(path) for path in sorted(folder.glob("*.mat")))
        if not asked:
            raise InputError(f"{folder}: holds no .mat file, expected a sequence of them")
    expressions = []
    for text in asked:
        path = located(Path(text), home)
        if text.endswith(".mat"):
            expressions.append(Expression(path.stem, reader.coefficients(path), path))
        elif path.is_dir():
            raise InputError(f"{path}: is a folder, which has to be the only expression")
        elif path.is_file() or "/" in text:
            raise InputError(f"{path}: no .mat file and no folder, expected one or names such as smile=0.7,blink=0.3")
        else:
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
        pitch, yaw = through(float_array(drive.pitch), frames), through(float_array(drive.yaw), frames)
    return Trajectory(
        pitch=pitch,
        yaw=yaw,
        z_exp=(strength[:, None] * shown).astype(np.float32),
        strength=strength,
        labels=tuple(expressions[k].label for k in which),
    )


def _poses(expressions: list[Expression], pitch_offset: float) -> Float[np.ndarray, "expression 2"]:
    poses = []
    for expression in expressions:
        if expression.path is None:
            raise InputError(f"expression '{expression.label}': pose_from_mat needs .mat files, not names")
        poses.append(read_pose(expression.path, pitch_offset))
    return np.array(poses, np.float64)


def sheet_expressions(model: Subject, asked: list[Expression], home: Path | None) -> list[Expression]:
    """Neutral, what was asked for, and the files of ``mat/`` that are made for the model's face model. A baked avatar
    shows those that it was baked for.
    """
    keep = np.unique(np.linspace(0, len(asked) - 1, MOST_SHEET_EXPRESSIONS).round().astype(int))
    found = {NEUTRAL: Expression(NEUTRAL, model.expressions.coefficients(None))}
    found |= {asked[k].label: asked[k] for k in keep}
    for path in sorted(located(Path("mat"), home).glob("*.mat")):
        z_exp, owner = read_expression(path)
        fits = owner == model.card.face_model and path.stem not in found
        if fits and (not isinstance(model, AvatarPlayer) or model.can_make(z_exp)):
            found[path.stem] = Expression(path.stem, z_exp, path)
    return list(found.values())


def float_array(value: float | tuple[float, ...] | None) -> Float[np.ndarray, "value"]:
    """Make an array of one value or several; None is a single zero."""
    return np.array([0.0] if value is None else several(value), np.float64)


def require_finite(name: str, value: float | tuple[float, ...] | None) -> None:
    """Refuse an option without values, or with one that is not finite.

    Raises:
        ValueError: names the option.
    """
    values = float_array(value)
    if len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"{name} is {value}, expected finite numbers")
