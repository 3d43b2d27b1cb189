"""``anifacegan fit`` with Deep3DFaceRecon's network: its crops, and .mat files as it writes them."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from anifacegan.capture.crop import Photograph, to_unit_coordinates
from anifacegan.capture.film_files import is_film
from anifacegan.capture.overlay import dotted, mesh_of_reconstruction
from anifacegan.capture.photographs import photograph_files
from anifacegan.capture.reconstructed_face import FaceReconstructor, ReconstructedFace
from anifacegan.capture.reconstruction_crop import cut_upright
from anifacegan.cli.fit.config import FitConfig
from anifacegan.cli.fit.results import (
    OVERLAY_PX,
    each_photograph,
    found_face,
    require_room_for_photographs,
    warn_of_blur,
    write_results,
)
from anifacegan.face_model.regressed import pose_of
from anifacegan.geometry.cameras import RECONSTRUCTION_SIZE_PX
from anifacegan.runtime.errors import ConfigError, InputError, printable, say
from anifacegan.runtime.growing_folders import GrowingFolder


def reconstruct_photographs(config: FitConfig, network: Path) -> tuple[int, int]:
    """Reconstruct a photograph or all photographs of a folder; return how many were written and how many refused.

    Raises:
        InputError: a film or one shared identity is asked for, a package or file is missing, or no photograph could be
            used.
    """
    if is_film(config.photographs) and config.photographs.expanduser().is_file():
        raise InputError(
            f"{config.photographs}: is a film, expected photographs with {network}: take its frames apart (ffmpeg -i "
            f"{config.photographs.name} frames/%06d.png) and fit their folder"
        )
    if config.same_person:
        raise ConfigError(
            "same_person", True, f"false with {network}: the network looks at one photograph at a time"
        )
    files = photograph_files(config.photographs)
    with GrowingFolder(config.out, config.overwrite) as folder:
        require_room_for_photographs(folder, files, _crop_px(config))
        with FaceReconstructor(config.face_model, config.landmark_model, network) as reconstructor:

            def fit(file: Path) -> tuple[Photograph, ReconstructedFace]:
                photograph, detected = found_face(config, reconstructor.select, file)
                return photograph, reconstructor.reconstruct(photograph, detected, file)

            def write(file: Path, fitted: tuple[Photograph, ReconstructedFace]) -> None:
                _write(config, reconstructor, folder, file, *fitted)

            done = each_photograph(folder, files, fit, write)
        if reconstructor.model is None:
            say(
                "without --face_model BFM_model_front.mat, lm68 are the detector's, and overlays have no mesh"
            )
        return done


def _write(
    config: FitConfig,
    reconstructor: FaceReconstructor,
    folder: GrowingFolder,
    file: Path,
    photograph: Photograph,
    face: ReconstructedFace,
) -> None:
    """Write the three files of a photograph."""
    warn_of_blur(file, face.edge_px)
    overlay = _overlay(reconstructor, face, cut_upright(photograph, face.crop, OVERLAY_PX))
    crop = cut_upright(photograph, face.crop, _crop_px(config))
    write_results(folder, file, overlay, face.coefficients(), crop)
    pitch, yaw = np.degrees(pose_of(face.face.angle)[0].numpy())
    apart = "" if reconstructor.model is None else f", landmarks {face.error_px:.1f} px of 224 from the fit"
    tqdm.write(printable(f"{file.name}: yaw {yaw:.0f}, pitch {pitch:.0f} degrees{apart}"))


def _crop_px(config: FitConfig) -> int:
    return config.size or RECONSTRUCTION_SIZE_PX


def _overlay(
    reconstructor: FaceReconstructor, face: ReconstructedFace, crop: UInt8[np.ndarray, "size size 3"]
) -> UInt8[np.ndarray, "size width 3"]:
    """Draw the crop and its landmarks (green: the detector's 478, red: those of the .mat file); with the face model
    also the mesh over the crop, and both, as :func:`anifacegan.capture.overlay.overlay_image` does."""
    detected = face.crop.to_unit(face.detected.landmarks)
    lm68 = to_unit_coordinates(face.lm68, RECONSTRUCTION_SIZE_PX)
    panels = [crop, dotted(crop, detected, lm68)]
    if reconstructor.model is not None:
        mesh = mesh_of_reconstruction(reconstructor.model, face.face, crop)
        panels += [mesh, dotted(mesh, detected, lm68)]
    return np.concatenate(panels, axis=1)
