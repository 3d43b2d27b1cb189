"""Fits photographs one after another and writes their coefficients, aligned crops and overlays."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from anifacegan.capture.crop import Photograph
from anifacegan.capture.face_fitter import FaceFitter, FittedFace, shared_identity
from anifacegan.capture.film_files import is_film
from anifacegan.capture.fit import LandmarkFit
from anifacegan.capture.landmarks import DetectedFace
from anifacegan.capture.overlay import overlay_image
from anifacegan.capture.photographs import photograph_files
from anifacegan.cli.fit.config import FitConfig
from anifacegan.cli.fit.film import film_results, fit_one_film
from anifacegan.cli.fit.reconstruction import reconstruct_photographs
from anifacegan.cli.fit.results import (
    OVERLAY_PX,
    claim_part,
    counts,
    each_photograph,
    found_face,
    refusal,
    require_room_for_photographs,
    say_of_earlier_faces,
    warn_of_blur,
    write_results,
)
from anifacegan.face_model.bfm import is_bfm_file
from anifacegan.face_model.coefficients import BFM
from anifacegan.models.regressor_checkpoints import regressor_face_model
from anifacegan.runtime.errors import ConfigError, InputError, printable, require_unused
from anifacegan.runtime.growing_folders import GrowingFolder


def fit_photographs(config: FitConfig) -> tuple[int, int]:
    """Fit a film, a photograph or all photographs of a folder; return how many were fitted and how many were refused.

    In a folder, a photograph that cannot be fitted is named on stderr, and the others go on. With a network of the
    Basel face model, its coefficients are written, see :mod:`anifacegan.cli.fit.reconstruction`.

    Raises:
        InputError: a package or file is missing, an option does not apply to photographs, or no photograph could be
            fitted.
    """
    films = is_film(config.photographs) and config.photographs.expanduser().is_file()
    if not films and not config.overlays:
        raise ConfigError(
            "overlays", False, "true for photographs, which always get overlays; false is of films"
        )
    if not films and config.crops:
        raise ConfigError("crops", True, "false for photographs, which always get crops; true is of films")
    if films and config.same_person:
        raise ConfigError("same_person", True, "false for a film, which always shows one person")
    if films and not config.crops:
        require_unused(config, "for a film without --crops", "size")
    if config.network is not None and regressor_face_model(config.network) == BFM:
        return reconstruct_photographs(config, config.network)
    if is_bfm_file(config.face_model):
        raise ConfigError(
            "face_model",
            config.face_model,
            "an open face model, or beside it --network epoch_20.pth (Deep3DFaceRecon's)",
        )
    if films and config.network is not None:
        require_unused(config, "for a film, which is fitted to landmarks alone", "network")
    files = [config.photographs.expanduser()] if films else photograph_files(config.photographs)
    with GrowingFolder(config.out, config.overwrite) as folder:
        if films:
            folder.require_room(film_results(config, files[0]), files)
        else:
            require_room_for_photographs(folder, files, config.crop_px)
        with FaceFitter(config.face_model, config.landmark_model, config.network) as fitter:
            if films:
                fit_one_film(config, fitter, folder, files[0])
                return 1, 0
            if config.same_person:
                return _fit_one_person(config, fitter, folder, files)

            def fit(file: Path) -> tuple[Photograph, FittedFace]:
                photograph, detected = found_face(config, fitter.select, file)
                return photograph, fitter.fit(photograph, detected, file)

            def write(file: Path, fitted: tuple[Photograph, FittedFace]) -> None:
                _write(config, fitter, folder, file, *fitted)

            return each_photograph(folder, files, fit, write)


def _fit_one_person(
    config: FitConfig, fitter: FaceFitter, folder: GrowingFolder, files: list[Path]
) -> tuple[int, int]:
    """Fit each photograph alone, then all with the mean of their identities."""
    refused: list[str] = []
    usable: list[tuple[Photograph, DetectedFace, Path]] = []
    fits: list[LandmarkFit] = []
    for file in files:
        try:
            photograph, detected = found_face(config, fitter.select, file)
            fits.append(fitter.fit(photograph, detected, file).fit)
        except InputError as error:
            refused.append(refusal(folder, file, error))
        else:
            usable.append((photograph, detected, file))
    numbers = counts(files, refused)
    identity = shared_identity(fits)
    written = [file for _, _, file in usable]
    for k, (photograph, detected, file) in enumerate(usable):
        claim_part(folder, written, k)
        fitted = fitter.fit(photograph, detected, file, identity)
        _write(config, fitter, folder, file, photograph, fitted)
    say_of_earlier_faces(folder, files)
    return numbers


def _write(
    config: FitConfig,
    fitter: FaceFitter,
    folder: GrowingFolder,
    file: Path,
    photograph: Photograph,
    face: FittedFace,
) -> None:
    """Write the three files of a photograph."""
    warn_of_blur(file, face.edge_px)
    crop = face.fit.crop
    overlay = overlay_image(
        fitter.model,
        face.fit,
        crop.cut(photograph, OVERLAY_PX),
        crop.to_unit(face.detected.landmarks),
        face.lm68,
    )
    write_results(folder, file, overlay, face.coefficients(), crop.cut(photograph, config.crop_px))
    yaw, pitch = np.degrees([face.fit.yaw, face.fit.pitch])
    tqdm.write(
        printable(
            f"{file.name}: yaw {yaw:.0f}, pitch {pitch:.0f} degrees, "
            f"landmarks {face.fit.error_px:.1f} px of 256 from the fit"
        )
    )
