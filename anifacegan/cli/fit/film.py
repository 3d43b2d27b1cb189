"""Fits a film and writes its coefficients, an overlay film and, on request, aligned crops."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from anifacegan.capture.face_fitter import FaceFitter
from anifacegan.capture.film_files import Film, NoFaceError, open_film
from anifacegan.capture.film_fit import FittedFilm, fit_film, work_files
from anifacegan.capture.overlay import dotted, mesh_over
from anifacegan.cli.fit.config import FitConfig
from anifacegan.cli.fit.crop_sizes import FACES, require_one_size
from anifacegan.face_model.coefficients import FaceCoefficients, write_coefficients, write_sequence
from anifacegan.rendering.video import write_video
from anifacegan.runtime.errors import printable, say
from anifacegan.runtime.files import complete_or_absent, write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.image_files import encoded_image
from anifacegan.runtime.output_folders import own_files

OVERLAYS = "overlays"
"""Folder below --out with the overlays."""
OVERLAY_PX = 256
"""Height of the overlay film, pixels."""


def film_results(config: FitConfig, path: Path) -> list[str]:
    """Return the names of a film's files in the output folder, but for crops, whose number is not known yet."""
    return [f"{path.stem}.mat", *([f"{OVERLAYS}/{path.stem}.mp4"] if config.overlays else [])]


def fit_one_film(config: FitConfig, fitter: FaceFitter, folder: GrowingFolder, path: Path) -> None:
    """Fit a film; an interrupted fit of the same film goes on where it was.

    Raises:
        InputError: the film cannot be read or fitted, files of others are in the way, or files cannot be written.
    """
    film = open_film(path)
    work = f"unfinished-{path.stem}"
    kept = [f"{work}/{name}" for name in work_files(film)]
    results = film_results(config, path) + (_crop_files(film) if config.crops else [])
    folder.require_room([*kept, *results], [path])
    if config.crops:
        require_one_size(folder, config.crop_px, results)
    folder.claim(kept)
    try:
        fitted = fit_film(fitter, film, folder.path / work, number=config.face)
    except NoFaceError:
        folder.remove(kept)
        raise
    for run in fitted.lost:
        start, end = fitted.film.times[[run.first, run.last]]
        say(f"{path}: frames {run.first} to {run.last} ({start:.2f} to {end:.2f} s): {run.reason}, bridged")
    faces = [fitted.frame(k, fitter).coefficients() for k in range(len(fitted.film))]
    if config.overlays or config.crops:
        _write_pictures(config, fitter, folder, fitted, faces)
    fits = np.ones(len(faces))
    for run in fitted.lost:
        fits[run.first : run.last + 1] = 0
    write_sequence(folder.file(f"{path.stem}.mat"), faces, time=fitted.film.times, fitted=fits)
    folder.remove(kept)
    if earlier := _earlier_files(config, folder, film):
        say(
            f"{folder.path}: beside the new files, {len(earlier)} files of an earlier film of this name stay, "
            f"the first is {earlier[0]}"
        )
    lost = sum(run.last - run.first + 1 for run in fitted.lost)
    print(
        printable(
            f"{path.name}: {len(faces)} frames, {lost} bridged, landmarks "
            f"{np.nanmean(fitted.error_px):.1f} px of 256 from the fit"
        )
    )


def _crop_files(film: Film) -> list[str]:
    """Return the names of the crops of all frames, and of their coefficients."""
    digits = len(str(len(film) - 1))
    stems = (f"{FACES}/{film.path.stem}_{k:0{digits}}" for k in range(len(film)))
    return [f"{stem}{suffix}" for stem in stems for suffix in (".mat", ".png")]


def _earlier_files(config: FitConfig, folder: GrowingFolder, film: Film) -> list[str]:
    """Return the overlay film and the crops, with their coefficients, that an earlier run wrote of a film of this name
    and this run did not write. A photograph may have the name of a crop, too: it has an overlay, which crops have not.
    """
    own, stem = own_files(folder.path), re.escape(film.path.stem)
    crop = re.compile(rf"{FACES}/({stem}_[0-9]+)\.(?:mat|png)")
    others = own.difference(_crop_files(film) if config.crops else ())
    found = {name: match[1] for name in others if (match := crop.fullmatch(name))}
    overlay = set() if config.overlays else own.intersection([f"{OVERLAYS}/{film.path.stem}.mp4"])
    return sorted(overlay.union(name for name, of in found.items() if f"{OVERLAYS}/{of}.png" not in own))


def _write_pictures(
    config: FitConfig,
    fitter: FaceFitter,
    folder: GrowingFolder,
    fitted: FittedFilm,
    faces: list[FaceCoefficients],
) -> None:
    """Read the film again; write the overlay film and the crops with their coefficients."""
    if config.crops:
        folder.claim(_crop_files(fitted.film))  # at once: each claim writes the list of all files
    frames = _pictures(config, fitter, folder, fitted, faces)
    if not config.overlays:
        for _ in frames:
            pass
        return
    with complete_or_absent(folder.file(f"{OVERLAYS}/{fitted.film.path.stem}.mp4")) as temporary:
        write_video(temporary, frames, fitted.film.frames_per_second)


def _pictures(
    config: FitConfig,
    fitter: FaceFitter,
    folder: GrowingFolder,
    fitted: FittedFilm,
    faces: list[FaceCoefficients],
) -> Iterator[UInt8[np.ndarray, "size width 3"]]:
    """Yield the frames of the overlay film (landmarks, mesh); write each frame's crop on the way, if asked for."""
    film = fitted.film
    crop_files = _crop_files(film)
    with (
        closing(film.frames()) as frames,
        tqdm(total=len(film), unit="frame", desc="drawing", disable=None) as bar,
    ):
        for k, frame in enumerate(frames):
            crop = fitted.crops[k]
            if config.crops:
                write_coefficients(folder.file(crop_files[2 * k]), faces[k])
                write_complete(
                    folder.file(crop_files[2 * k + 1]), encoded_image(crop.cut(frame, config.crop_px))
                )
            if config.overlays:
                face = fitted.frame(k, fitter)
                image = crop.cut(frame, OVERLAY_PX)
                points = dotted(image, crop.to_unit(fitted.landmarks[k]), face.lm68)
                yield np.concatenate([points, mesh_over(fitter.model, face.fit, image, 1)], axis=1)
            bar.update()
