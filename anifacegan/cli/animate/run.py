"""Makes the avatar of a photograph and writes its file, film and stills."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from tqdm import tqdm

from anifacegan.avatars.avatar import Avatar, save_avatar
from anifacegan.avatars.card import SYNTHETIC
from anifacegan.avatars.moving_head import MovingHead
from anifacegan.capture.crop import Crop
from anifacegan.capture.film_files import open_film
from anifacegan.capture.film_fit import fit_film
from anifacegan.capture.painted_head import REACH
from anifacegan.capture.photo_avatar import PhotoAvatar, PhotoAvatarMaker
from anifacegan.capture.photographs import read_photograph
from anifacegan.cli.animate.config import AnimateConfig
from anifacegan.cli.animate.driver import (
    HeadMotion,
    driver_trajectory,
    driving_film,
    driving_films,
    film_trajectory,
    require_playable,
)
from anifacegan.cli.animate.refined import REFINED_BESIDE, REFINED_FILES, refined_still, write_refined
from anifacegan.face_model.trajectories import Trajectory
from anifacegan.models.model_folder import CARD, TENSORS
from anifacegan.rendering.images import to_bytes, write_png
from anifacegan.rendering.model import load_model
from anifacegan.rendering.video import write_video
from anifacegan.runtime.output_folders import filled_when_complete, require_room, require_unread
from anifacegan.runtime.paths import user_path
from anifacegan.runtime.resources import located_model

AVATAR, FILM, BESIDE = "avatar.safetensors", "film.mp4", "beside_photograph.png"
BESIDE_DRIVER = "beside_driver.mp4"
"""Names of the files in the output folder, beside the stills."""
STILLS = ("own_view", "neutral", "smile", "blink", "jaw_open", "turned_left", "turned_right")
"""Names of the stills, without suffix."""
TURN = 0.3
"""Yaw by which the stills turn the head from frontal, radians."""
Pixels = UInt8[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class Animated:
    """What was made."""

    seconds: float
    """Time that the avatar took."""
    frames: int
    """Number of frames of the film."""
    refinement_seconds: float | None = None
    """Time that the refined model took; None if none was asked for."""


def animate(config: AnimateConfig) -> Animated:
    """Make and write everything.

    Raises:
        InputError: the configuration, a file that it names, the photograph or the disk is at fault, or one of these
            files would be replaced; nothing is written then.
    """
    names = [AVATAR, FILM, BESIDE, BESIDE_DRIVER, *(f"{name}.png" for name in STILLS)]
    names += REFINED_FILES if config.refine else ()
    require_room(config.out, names, config.overwrite)
    model = located_model(config.model)
    read = [config.photograph, *driving_films(config), *(model / name for name in (TENSORS, CARD))]
    require_unread(config.out, names, [user_path(path) for path in read])
    with filled_when_complete(config.out, config.overwrite, whole=True) as folder:
        return _animate_into(folder, config)


def _animate_into(folder: Path, config: AnimateConfig) -> Animated:
    model = load_model(config.model)
    driving, fitted, motion = driving_film(config), None, None
    trajectory = None if driving else driver_trajectory(config, model.expressions)
    photograph = read_photograph(config.photograph)
    files = (config.face_model, config.landmark_model, config.person_model, config.network)
    started = perf_counter()
    with PhotoAvatarMaker(model, *files) as maker:
        made = maker.make(photograph, config.photograph, config.face)
        seconds = perf_counter() - started
        view = maker.view(photograph, made.face) if config.refine else None
        if driving is not None:
            with TemporaryDirectory() as work:
                fitted = fit_film(maker.fitter, driving, Path(work))
            trajectory = film_trajectory(fitted, made.avatar.layered_mesh.widest_rad)
            motion = HeadMotion.of_film(fitted)
    assert trajectory is not None
    require_playable(made.avatar, trajectory)
    text = SYNTHETIC if config.mark_synthetic else None
    save_avatar(folder / AVATAR, made.avatar, overwrite=True)
    views = still_views(made)
    images = {name: to_bytes(made.avatar.render(size=config.size, **still)) for name, still in views.items()}
    for name, image in images.items():
        write_png(folder / f"{name}.png", image, text)
    beside = np.concatenate([made.crop(config.size), *images.values()], axis=1)
    write_png(folder / BESIDE, beside, text)
    frames, count = film_frames(made, trajectory, config.size, motion), len(trajectory)
    if driving is None or fitted is None or motion is None:
        write_video(folder / FILM, frames, config.fps, text)
    else:
        fps, seen = driving.at_constant_rate()
        count = len(seen)
        sound = (text, driving.path, driving.start_s)
        write_video(folder / FILM, _seen(frames, seen), fps, *sound)
        pairs = zip(_seen(driving.frames(), seen), open_film(folder / FILM).frames(), strict=True)
        write_video(folder / BESIDE_DRIVER, beside_driver(pairs, motion.still, config.size), fps, *sound)
    if view is None:
        return Animated(seconds, count)
    started = perf_counter()
    refined = write_refined(folder, model, made, view, config.refinement)
    taken = perf_counter() - started
    beside = [made.crop(config.size), *(refined_still(refined, config.size, **v) for v in views.values())]
    write_png(folder / REFINED_BESIDE, np.concatenate(beside, axis=1), text)
    return Animated(seconds, count, taken)


def still_views(made: PhotoAvatar) -> dict[str, Mapping[str, Any]]:
    """Return yaw, pitch and expression of the stills, by the names of their files: the photograph's own view, and
    others from the front."""
    fit, avatar = made.face.fit, made.avatar
    own: Mapping[str, Any] = {
        "yaw": float(fit.yaw),
        "pitch": float(fit.pitch),
        "expression": fit.z_exp.astype(np.float32),
    }
    others: tuple[Mapping[str, Any], ...] = (
        {},
        {"expression": "smile"},
        {"expression": "blink"},
        {"expression": "jaw_open=0.7"},
        {"yaw": -TURN},
        {"yaw": TURN},
    )
    views = dict(zip(STILLS, (own, *others), strict=True))
    return {name: view for name, view in views.items() if _is_known(avatar, view.get("expression"))}


def _is_known(avatar: Avatar, expression: object) -> bool:
    """Return whether an avatar has a named expression; a model without it has stills without it."""
    return not isinstance(expression, str) or expression.split("=")[0] in avatar.card.presets


def film_frames(
    made: PhotoAvatar, trajectory: Trajectory, size: int, motion: HeadMotion | None = None
) -> Iterator[Pixels]:
    """Draw the frames of a film; with ``motion`` the head also tilts and moves, and the background stays."""
    avatar, fit = made.avatar, made.face.fit
    moving = None if motion is None else MovingHead(avatar, size, yaw=fit.yaw, pitch=fit.pitch, reach=REACH)
    for k in tqdm(range(len(trajectory)), unit="frame", disable=None):
        view = {"yaw": float(trajectory.yaw[k]), "pitch": float(trajectory.pitch[k])}
        if moving is None or motion is None:
            yield to_bytes(avatar.render(size=size, expression=trajectory.z_exp[k], **view))
        else:
            yield to_bytes(moving.frame(trajectory.z_exp[k], motion.places(k, size), **view))


def _seen(frames: Iterator[Pixels], seen: Int[np.ndarray, " shown"]) -> Iterator[Pixels]:
    """Yield the frames whose numbers are ``seen``, which rise or repeat."""
    number, frame = -1, None
    for wanted in seen.tolist():
        while number < wanted:
            number, frame = number + 1, next(frames)
        assert frame is not None
        yield frame


def beside_driver(pairs: Iterable[tuple[Pixels, Pixels]], still: Crop, size: int) -> Iterator[Pixels]:
    """Yield the frames of a driving film, cut out at one place, each beside the avatar's frame."""
    for driver, frame in pairs:
        yield np.concatenate([still.cut(driver, size), frame[:size, :size]], axis=1)
