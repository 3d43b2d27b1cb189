"""From a raw photograph to an item of a data set: the aligned image and its coefficients, and their mirror images.

An image is aligned to the camera that the configuration names. The face model's origin is always in the middle of the
image, at the camera's distance of 10 model units, without roll; the cameras differ in their fields of view.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from anifacegan.capture.crop import Photograph, to_pixels
from anifacegan.capture.face_fitter import BLURRED_PX, FaceFitter, FaceRefusedError, FittedFace, require_sharp
from anifacegan.capture.face_points import SIDES_PER_MODEL_UNIT
from anifacegan.capture.person_mask import PERSON_REACH, PersonSegmenter
from anifacegan.capture.photographs import read_photograph
from anifacegan.data.mirroring import mirroring_of
from anifacegan.face_model.coefficients import FaceCoefficients, write_coefficients
from anifacegan.geometry.cameras import RECONSTRUCTION_FOCAL_PX, RECONSTRUCTION_SIZE_PX
from anifacegan.geometry.conventions import FOV_DEG
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.image_files import encoded_image

Alignment = Literal["generator", "gram", "deep3dfacerecon"]
"""Camera that the images are aligned to. generator: that of our generators, a field of view of 12 degrees; gram: the
same, as it is GRAM's; deep3dfacerecon: a focal length of 1015 px in an image of 224 px."""
MIRRORED_SUFFIX = "_mirrored"
"""End of the names, without suffix, of mirror images."""
UNREADABLE, REPEATED = "not a readable image", "repeated name"
"""Reasons, beside those of :class:`FaceRefusedError`, for which a photograph is left out."""


@dataclass(frozen=True)
class PreparedItem:
    """What became of one photograph."""

    photograph: Path
    """Its file."""
    reason: str | None = None
    """Why it was left out, in two or three words; None if it was not."""
    message: str = ""
    """The same in one line that names the file."""
    several: bool = False
    """Whether it shows several faces, of which the largest was taken."""
    offset: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 0.0)
    """Detector's landmarks compared with the fitted face, px of 224: to the right, up, scale, and mean distance
    otherwise."""


def field_of_view_deg(alignment: Alignment) -> float:
    """Return the field of view of an alignment's camera between the centres of the corner pixels, degrees."""
    if alignment != "deep3dfacerecon":
        return FOV_DEG
    return 2 * math.degrees(math.atan((RECONSTRUCTION_SIZE_PX - 1) / 2 / RECONSTRUCTION_FOCAL_PX))


def widening(alignment: Alignment) -> float:
    """Return the side of an alignment's crop in sides of the generator's."""
    wide = math.radians(field_of_view_deg(alignment) / 2)
    return math.tan(wide) / math.tan(math.radians(FOV_DEG / 2))


class Preparer:
    """Prepares photographs one after another.

    Args:
        fitter: finds and fits faces.
        size: height and width of the images, pixels.
        alignment: camera that the images are aligned to.
        mirror: also write the mirror image of each image.
        most_blur: largest width of a face's edges, pixels of a crop of 256.
        segmenter: separates the person from the background; None: no masks are written.
    """

    def __init__(
        self,
        fitter: FaceFitter,
        size: int,
        alignment: Alignment,
        mirror: bool,
        most_blur: float = BLURRED_PX,
        segmenter: PersonSegmenter | None = None,
    ) -> None:
        self.fitter, self._size, self._most_blur = fitter, size, most_blur
        self._segmenter = segmenter
        self._widening = widening(alignment)
        self._mirroring = mirroring_of(fitter.model) if mirror else None

    def prepare(self, photograph: Path, target: Path, mask: Path | None = None) -> PreparedItem:
        """Write ``target`` with the suffixes .mat and .png (last) for a photograph, or say why not; with a segmenter,
        also ``mask`` with the suffix .png: white is the person.

        Raises:
            InputError: the files cannot be written.
        """
        try:
            pixels = read_photograph(photograph)
        except InputError as error:
            return PreparedItem(photograph, UNREADABLE, str(error))
        try:
            detected, count = self.fitter.select(pixels, photograph, None)
            face = self.fitter.fit(pixels, detected, photograph)
            require_sharp(face.edge_px, self._most_blur, photograph)
        except FaceRefusedError as refusal:
            return PreparedItem(photograph, refusal.reason, str(refusal))
        if self._segmenter is not None and mask is not None:
            self._write_mask(mask, pixels, face, self._segmenter)
        self._write(target, pixels, face)
        return PreparedItem(photograph, several=count > 1, offset=self._offset(face))

    def _write_mask(
        self, mask: Path, pixels: Photograph, face: FittedFace, segmenter: PersonSegmenter
    ) -> None:
        fitted = face.fit.crop
        person = segmenter.person(pixels, (fitted.x, fitted.y), PERSON_REACH * self._widening * fitted.side)
        crop = replace(fitted, side=self._widening * fitted.side)
        cut = crop.cut(person[..., None], self._size).repeat(3, axis=2)
        mask.parent.mkdir(parents=True, exist_ok=True)
        if self._mirroring is not None:
            mirrored = mask.with_name(mask.name + MIRRORED_SUFFIX)
            write_complete(_with(mirrored, ".png"), encoded_image(np.ascontiguousarray(cut[:, ::-1])))
        write_complete(_with(mask, ".png"), encoded_image(cut))

    def _write(self, target: Path, pixels: Photograph, face: FittedFace) -> None:
        crop = replace(face.fit.crop, side=self._widening * face.fit.crop.side)
        image = crop.cut(pixels, self._size)
        coefficients = self._coefficients(face)
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._mirroring is not None:
            mirrored = target.with_name(target.name + MIRRORED_SUFFIX)
            write_coefficients(_with(mirrored, ".mat"), self._mirroring.mirrored(coefficients))
            write_complete(_with(mirrored, ".png"), encoded_image(np.ascontiguousarray(image[:, ::-1])))
        write_coefficients(_with(target, ".mat"), coefficients)
        write_complete(_with(target, ".png"), encoded_image(image))

    def _coefficients(self, face: FittedFace) -> FaceCoefficients:
        lm68 = to_pixels(face.lm68 / self._widening, RECONSTRUCTION_SIZE_PX)
        return replace(face.coefficients(), lm68=lm68.astype(np.float32))

    def _offset(self, face: FittedFace) -> tuple[float, float, float, float]:
        """Compare the detector's landmarks with those that the fitted face should have, the detector's mean errors
        included; see :class:`anifacegan.training.crop_check.CropCheck`."""
        fitter = self.fitter.fitter
        bias = SIDES_PER_MODEL_UNIT * fitter.correspondence.mean.reshape(-1, 2)
        found, expected = face.fit.crop.to_unit(face.detected.landmarks), fitter.projected(face.fit) + bias
        return landmark_offset(found, expected)


def item_files(target: Path, mirror: bool, suffixes: tuple[str, ...] = (".mat", ".png")) -> list[Path]:
    """Return the files that are written of a photograph, or of its mask (``suffixes`` are .png alone); ``target`` is
    their path without suffix."""
    names = [target, target.with_name(target.name + MIRRORED_SUFFIX)] if mirror else [target]
    return [_with(name, suffix) for name in names for suffix in suffixes]


def _with(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)  # the name may have a dot of its own


def landmark_offset(
    found: Float[np.ndarray, "point 2"], expected: Float[np.ndarray, "point 2"]
) -> tuple[float, float, float, float]:
    """Compare points in unit coordinates: to the right, up, scale, and mean distance otherwise, px of 224."""
    unit = RECONSTRUCTION_SIZE_PX - 1
    right, down = unit * (found.mean(axis=0) - expected.mean(axis=0))
    about, target = found - found.mean(axis=0), expected - expected.mean(axis=0)
    scale = float(np.sqrt(np.square(about).sum() / np.square(target).sum()))
    rest = unit * float(np.linalg.norm(about - scale * target, axis=1).mean())
    return float(right), float(-down), scale, rest
