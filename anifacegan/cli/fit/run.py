"""Fits photographs one after another and writes their coefficients, aligned crops and overlays."""

import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from anifacegan.capture.crop import Photograph
from anifacegan.capture.face_fitter import BLURRED_PX, FaceFitter, FittedFace, shared_identity
from anifacegan.capture.film_files import is_film
from anifacegan.capture.fit import LandmarkFit
from anifacegan.capture.landmarks import DetectedFace
from anifacegan.capture.overlay import overlay_image
from anifacegan.capture.photographs import photograph_files, read_photograph
from anifacegan.cli.fit.config import FitConfig
from anifacegan.cli.fit.film import FACES, OVERLAYS, film_results, fit_one_film
from anifacegan.face_model.coefficients import write_coefficients
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.image_files import encoded_image

OVERLAY_PX = 384
"""Height of the overlays, pixels."""


def fit_photographs(config: FitConfig) -> tuple[int, int]:
    """Fit a film, a photograph or all photographs of a folder; return how many were fitted and how many were refused.

    In a folder, a photograph that cannot be fitted is named on stderr, and the others go on.

    Raises:
        InputError: a package or file is missing, or no photograph could be fitted.
    """
    films = is_film(config.photographs) and config.photographs.expanduser().is_file()
    files = [config.photographs.expanduser()] if films else photograph_files(config.photographs)
    with GrowingFolder(config.out, config.overwrite) as folder:
        names = (
            film_results(config, files[0]) if films else [name for file in files for name in _results(file)]
        )
        folder.require_room(names, files)
        with FaceFitter(config.face_model, config.landmark_model, config.network) as fitter:
            if films:
                fit_one_film(config, fitter, folder, files[0])
                return 1, 0
            if config.same_person:
                return _fit_one_person(config, fitter, folder, files)
            refused: list[str] = []
            for file in tqdm(files, unit="image", disable=None if len(files) > 1 else True):
                try:
                    photograph, detected = _found(config, fitter, file)
                    fitted = fitter.fit(photograph, detected, file)
                except InputError as error:
                    refused.append(str(error))
                else:
                    _write(config, fitter, folder, file, photograph, fitted)
            return _counts(files, refused)


def _results(file: Path) -> tuple[str, str, str]:
    """Return the names of a photograph's files in the output folder: overlay, coefficients, crop."""
    return f"{OVERLAYS}/{file.stem}.png", f"{FACES}/{file.stem}.mat", f"{FACES}/{file.stem}.png"


def _fit_one_person(
    config: FitConfig, fitter: FaceFitter, folder: GrowingFolder, files: list[Path]
) -> tuple[int, int]:
    """Fit each photograph alone, then all with the mean of their identities."""
    refused: list[str] = []
    usable: list[tuple[Photograph, DetectedFace, Path]] = []
    fits: list[LandmarkFit] = []
    for file in files:
        try:
            photograph, detected = _found(config, fitter, file)
            fits.append(fitter.fit(photograph, detected, file).fit)
        except InputError as error:
            refused.append(str(error))
        else:
            usable.append((photograph, detected, file))
    counts = _counts(files, refused)
    identity = shared_identity(fits)
    for photograph, detected, file in usable:
        fitted = fitter.fit(photograph, detected, file, identity)
        _write(config, fitter, folder, file, photograph, fitted)
    return counts


def _found(config: FitConfig, fitter: FaceFitter, file: Path) -> tuple[Photograph, DetectedFace]:
    photograph = read_photograph(file)
    detected, count = fitter.select(photograph, file, config.face)
    if count > 1 and config.face is None:
        tqdm.write(f"{file}: {count} faces, the largest is fitted (--face selects)", file=sys.stderr)
    return photograph, detected


def _counts(files: list[Path], refused: list[str]) -> tuple[int, int]:
    """Print the refused photographs of a folder.

    Raises:
        InputError: all were refused.
    """
    if len(refused) == len(files):
        more = f" (and {len(refused) - 1} more photographs, none could be fitted)" if len(files) > 1 else ""
        raise InputError(refused[0] + more)
    for line in refused:
        print(f"refused: {line}", file=sys.stderr)
    return len(files) - len(refused), len(refused)


def _write(
    config: FitConfig,
    fitter: FaceFitter,
    folder: GrowingFolder,
    file: Path,
    photograph: Photograph,
    face: FittedFace,
) -> None:
    """Write the three files of a photograph, the crop last."""
    if face.edge_px > BLURRED_PX:
        warning = f"blurred (edges {face.edge_px:.1f} px of 256 wide), the fit is less exact"
        tqdm.write(f"{file}: {warning}", file=sys.stderr)
    crop = face.fit.crop
    overlay = overlay_image(
        fitter.model,
        face.fit,
        crop.cut(photograph, OVERLAY_PX),
        crop.to_unit(face.detected.landmarks),
        face.lm68,
    )
    names = _results(file)
    folder.claim(names)
    overlay_file, coefficient_file, crop_file = map(folder.file, names)
    write_complete(overlay_file, encoded_image(overlay))
    write_coefficients(coefficient_file, face.coefficients())
    write_complete(crop_file, encoded_image(crop.cut(photograph, config.size)))
    yaw, pitch = np.degrees([face.fit.yaw, face.fit.pitch])
    tqdm.write(
        f"{file.name}: yaw {yaw:.0f}, pitch {pitch:.0f} degrees, "
        f"landmarks {face.fit.error_px:.1f} px of 256 from the fit"
    )
