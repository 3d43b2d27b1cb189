"""Fits a film and writes its coefficients, an overlay film and, on request, aligned crops."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from anifacegan.capture.face_fitter import FaceFitter
from anifacegan.capture.film_files import open_film
from anifacegan.capture.film_fit import FittedFilm, fit_film
from anifacegan.capture.overlay import dotted, mesh_over
from anifacegan.cli.fit.config import FitConfig
from anifacegan.face_model.coefficients import FaceCoefficients, write_coefficients, write_sequence
from anifacegan.rendering.video import write_video
from anifacegan.runtime.files import complete_or_absent, write_complete
from anifacegan.runtime.image_files import encoded_image

FACES, OVERLAYS = "faces", "overlays"
"""Folders below --out: the crops with their coefficients, and the overlays."""
OVERLAY_PX = 256
"""Height of the overlay film, pixels."""


def fit_one_film(config: FitConfig, fitter: FaceFitter, path: Path) -> None:
    """Fit a film; an interrupted fit of the same film goes on where it was.

    Raises:
        InputError: the film cannot be read or fitted, or files cannot be written.
    """
    work = config.out / f"unfinished-{path.stem}"
    fitted = fit_film(fitter, open_film(path), work, number=config.face)
    for run in fitted.lost:
        start, end = fitted.film.times[[run.first, run.last]]
        print(
            f"{path}: frames {run.first} to {run.last} ({start:.2f} to {end:.2f} s): {run.reason}, bridged",
            file=sys.stderr,
        )
    faces = [fitted.frame(k, fitter).coefficients() for k in range(len(fitted.film))]
    if config.overlays or config.crops:
        _write_pictures(config, fitter, fitted, faces)
    fits = np.ones(len(faces))
    for run in fitted.lost:
        fits[run.first : run.last + 1] = 0
    write_sequence(config.out / f"{path.stem}.mat", faces, time=fitted.film.times, fitted=fits)
    shutil.rmtree(work)
    lost = sum(run.last - run.first + 1 for run in fitted.lost)
    print(
        f"{path.name}: {len(faces)} frames, {lost} bridged, landmarks "
        f"{np.nanmean(fitted.error_px):.1f} px of 256 from the fit"
    )


def _write_pictures(
    config: FitConfig, fitter: FaceFitter, fitted: FittedFilm, faces: list[FaceCoefficients]
) -> None:
    """Read the film again; write the overlay film and the crops with their coefficients."""
    frames = _pictures(config, fitter, fitted, faces)
    if not config.overlays:
        for _ in frames:
            pass
        return
    fps = max(1, round(fitted.film.frames_per_second))
    with complete_or_absent(config.out / OVERLAYS / f"{fitted.film.path.stem}.mp4") as temporary:
        write_video(temporary, frames, fps)


def _pictures(
    config: FitConfig, fitter: FaceFitter, fitted: FittedFilm, faces: list[FaceCoefficients]
) -> Iterator[UInt8[np.ndarray, "size width 3"]]:
    """Yield the frames of the overlay film (landmarks, mesh); write each frame's crop on the way, if asked for."""
    film, digits = fitted.film, len(str(len(fitted.film) - 1))
    with (
        closing(film.frames()) as frames,
        tqdm(total=len(film), unit="frame", desc="drawing", disable=None) as bar,
    ):
        for k, frame in enumerate(frames):
            crop = fitted.crops[k]
            if config.crops:
                name = config.out / FACES / f"{film.path.stem}_{k:0{digits}}.png"
                write_coefficients(name.with_suffix(".mat"), faces[k])
                write_complete(name, encoded_image(crop.cut(frame, config.size)))
            if config.overlays:
                face = fitted.frame(k, fitter)
                image = crop.cut(frame, OVERLAY_PX)
                points = dotted(image, crop.to_unit(fitted.landmarks[k]), face.lm68)
                yield np.concatenate([points, mesh_over(fitter.model, face.fit, image, 1)], axis=1)
            bar.update()
