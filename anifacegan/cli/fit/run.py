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
from anifacegan.cli.fit.film import FACES, OVERLAYS, fit_one_film
from anifacegan.face_model.coefficients import write_coefficients
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import not_writable_error, write_complete
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
    with FaceFitter(config.face_model, config.landmark_model, config.network) as fitter:
        _make_folders(config.out)
        if films:
            fit_one_film(config, fitter, files[0])
            return 1, 0
        if config.same_person:
            return _fit_one_person(config, fitter, files)
        refused: list[str] = []
        for file in tqdm(files, unit="image", disable=None if len(files) > 1 else True):
            try:
                photograph, detected = _found(config, fitter, file)
                _write(config, fitter, file, photograph, fitter.fit(photograph, detected, file))
            except InputError as error:
                refused.append(str(error))
        return _counts(files, refused)


def _fit_one_person(config: FitConfig, fitter: FaceFitter, files: list[Path]) -> tuple[int, int]:
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
        _write(config, fitter, file, photograph, fitter.fit(photograph, detected, file, identity))
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


def _make_folders(out: Path) -> None:
    try:
        for name in (FACES, OVERLAYS):
            (out / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable_error(out, error) from None


def _write(
    config: FitConfig, fitter: FaceFitter, file: Path, photograph: Photograph, face: FittedFace
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
    write_complete(config.out / OVERLAYS / f"{file.stem}.png", encoded_image(overlay))
    write_coefficients(config.out / FACES / f"{file.stem}.mat", face.coefficients())
    write_complete(config.out / FACES / f"{file.stem}.png", encoded_image(crop.cut(photograph, config.size)))
    yaw, pitch = np.degrees([face.fit.yaw, face.fit.pitch])
    tqdm.write(
        f"{file.name}: yaw {yaw:.0f}, pitch {pitch:.0f} degrees, "
        f"landmarks {face.fit.error_px:.1f} px of 256 from the fit"
    )
