"""Data sets of aligned face images with coefficients: a folder or zip of images, each with a .mat file.

The .mat files follow Deep3DFaceRecon. An image (.png, .jpg, .jpeg) belongs to the .mat file of the same path without
suffix, or else to the only .mat file of the same name. Photographs (such as FFHQ) and this project's synthetic data
sets are read in the same way. An item of a data set is an image with its coefficients; items are ordered by path.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from anifacegan.data.config import DataConfig
from anifacegan.data.description import DESCRIPTION_FILE, parsed_description
from anifacegan.data.file_sources import FolderFiles, ZipFiles, open_files
from anifacegan.data.mirroring import Mirroring
from anifacegan.face_model.coefficients import BFM, FaceCoefficients, camera_angles, read_coefficients
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.image_files import image_size, read_image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class FaceItem:
    """One item of a data set: an image with its coefficients and camera pose."""

    image: UInt8[Tensor, "size size 3"]
    """RGB in [0, 255]."""
    face: FaceCoefficients
    """Coefficients of the face in the image."""
    pose: Float[np.ndarray, "2"]
    """(pitch, yaw) of the generator's camera, in radians relative to frontal."""


@dataclass(frozen=True)
class CoefficientTable:
    """Coefficients of all images of a data set, as float32 tensors with a row for each image."""

    id: Float[Tensor, "item 80"]
    """Identity coefficients."""
    exp: Float[Tensor, "item 64"]
    """Expression coefficients."""
    tex: Float[Tensor, "item 80"]
    """Texture coefficients."""
    gamma: Float[Tensor, "item 27"]
    """Spherical-harmonics light, RGB x 9."""
    pose: Float[Tensor, "item 2"]
    """(pitch, yaw) of the generator's camera, radians relative to frontal."""
    lm68: Float[Tensor, "item 68 2"]
    """Landmarks in pixels (integers at pixel centres) of an image of 224 px, x right and y down."""
    noise: Float[Tensor, "item 80"] | None
    """Appearance latents (hair, clothes, light and so on) of synthetic images; None unless every file has them."""


class FaceDataset(Dataset):
    """A data set of aligned face images with coefficients; an index gives an image with its coefficients.

    With mirroring, N to 2N-1 are the indices of the mirror images of the images 0 to N-1.

    Args:
        config: where the data is and how it is read.
        mirroring: how the face model's coefficients change in mirror images; needed if ``config.mirror``.

    Raises:
        InputError: there are no images; files are damaged (the message names the first and counts the others); the
            coefficients belong to two face models; it is a synthetic data set of an older format; or mirroring is
            requested but not defined for the face model.
    """

    def __init__(self, config: DataConfig, mirroring: Mirroring | None = None) -> None:
        self.config = config
        self._files = open_files(config.path.expanduser())
        for name in self._files.names:
            if PurePosixPath(name).name == DESCRIPTION_FILE:
                parsed_description(self._files.read(name), self._files.label(name))
        self.names, self._faces, self.bad = self._scan()
        if self.bad and not config.skip_bad:
            raise InputError(_bad_files_line(self.bad, "skip_bad leaves them out"))
        if not self.names:
            raise InputError(
                f"{config.path}: no usable images, expected {', '.join(IMAGE_SUFFIXES)} with a .mat each"
            )
        models = sorted({face.face_model for face in self._faces if face.face_model is not None})
        if len(models) > 1:
            raise InputError(
                f"{config.path}: coefficients of several face models ({', '.join(models)}), expected one"
            )
        self.face_model = models[0] if models else None
        """Name of the face model that the .mat files give; None if they give none."""
        if config.mirror and (mirroring is None or mirroring.face_model != self.face_model):
            name = self.face_model or "that the files do not name"
            raise InputError(f"mirror: the face model {name} does not define how its coefficients mirror")
        self._mirroring = mirroring if config.mirror else None

    @property
    def face_model_name(self) -> str:
        """Name of the coefficients' face model: the name in the files, or BFM (Deep3DFaceRecon) if they have none."""
        return self.face_model or BFM

    def require_face_model(self, face_model: str) -> None:
        """Check that the coefficients belong to a face model.

        Raises:
            InputError: the coefficients belong to another face model.
        """
        if self.face_model_name != face_model:
            raise InputError(
                f"{self.config.path}: belongs to face model '{self.face_model_name}', expected '{face_model}'"
            )

    def __len__(self) -> int:
        return len(self.names) * (2 if self.config.mirror else 1)

    def __getitem__(self, index: int) -> FaceItem:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        face = self.face(index)
        image = self._image(self.names[index % len(self.names)])
        if index >= len(self.names):
            image = image[:, ::-1].copy()
        return FaceItem(torch.from_numpy(image), face, camera_angles(face, self.config.pitch_offset))

    def face(self, index: int) -> FaceCoefficients:
        """Return the coefficients of the image with an index, without reading the image.

        With mirroring, the indices of mirror images follow those of all images.
        """
        face = self._faces[index % len(self.names)]
        if index >= len(self.names) and self._mirroring is not None:
            return self._mirroring.mirrored(face)
        return face

    def load_images(self) -> UInt8[Tensor, "item size size 3"]:
        """Read all images into memory, RGB in [0, 255]; with mirroring, the mirror images follow.

        Raises:
            InputError: an image cannot be read.
        """
        size = self.config.size
        images = np.empty((len(self), size, size, 3), np.uint8)
        bad = []
        for i, name in enumerate(_progress(self.names, "reading images")):
            try:
                images[i] = self._image(name)
            except InputError as error:
                bad.append(str(error))
        if bad:
            raise InputError(_bad_files_line(bad, "skip_bad leaves them out"))
        if self._mirroring is not None:
            images[len(self.names) :] = images[: len(self.names), :, ::-1]
        return torch.from_numpy(images)

    def load_coefficients(self) -> CoefficientTable:
        """Return the coefficients of all images; with mirroring, those of the mirror images follow."""
        faces = [self.face(i) for i in range(len(self))]

        def stack(read: Callable[[FaceCoefficients], Any]) -> Tensor:
            return torch.from_numpy(np.stack([np.asarray(read(face), np.float32) for face in faces]))

        return CoefficientTable(
            id=stack(lambda face: face.id),
            exp=stack(lambda face: face.exp),
            tex=stack(lambda face: face.tex),
            gamma=stack(lambda face: face.gamma),
            pose=stack(lambda face: camera_angles(face, self.config.pitch_offset)),
            lm68=stack(lambda face: face.lm68),
            noise=None if any(face.noise is None for face in faces) else stack(lambda face: face.noise),
        )

    def _scan(self) -> tuple[list[str], list[FaceCoefficients], list[str]]:
        """Return the names of the usable images, their coefficients, and an error message for each unusable image."""
        by_path, by_stem = _coefficient_files(self._files.names)
        names, faces, bad = [], [], []
        images = [name for name in self._files.names if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES]
        for name in _progress(images, "reading coefficients"):
            path = PurePosixPath(name)
            mat = by_path.get(str(path.with_suffix(""))) or by_stem.get(path.stem)
            try:
                if mat is None:
                    raise InputError(f"{self._files.label(name)}: no .mat of that name")
                face = read_coefficients(self._files.label(mat), io.BytesIO(self._files.read(mat)))
                self._check_size(name)
                if self.config.skip_bad:
                    self._image(name)
            except InputError as error:
                bad.append(str(error))
            else:
                names.append(name)
                faces.append(face)
        return names, faces, bad

    def _check_size(self, name: str) -> None:
        """Refuse an image whose header gives another size than ``config.size``."""
        size = self.config.size
        width, height = _image_dimensions(self._files, name)
        if (width, height) != (size, size):
            found = f"{width} x {height} pixels"
            raise InputError(f"{self._files.label(name)}: {found}, expected {size} x {size}")

    def _image(self, name: str) -> UInt8[np.ndarray, "size size 3"]:
        content = self._files.read(name)
        try:
            return read_image(content, "RGB")
        except OSError as error:
            raise InputError(f"{self._files.label(name)}: not a readable image ({error})") from None


def dataset_image_size(path: Path) -> int:
    """Return the width in pixels of a data set's first image.

    Raises:
        InputError: there is no image, or the first one cannot be read.
    """
    files = open_files(path)
    for name in files.names:
        if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
            return _image_dimensions(files, name)[0]
    raise InputError(f"{path}: no images, expected {', '.join(IMAGE_SUFFIXES)} with a .mat each")


def _bad_files_line(bad: list[str], remedy: str) -> str:
    more = f" (and {len(bad) - 1} more bad files; {remedy})" if len(bad) > 1 else f" ({remedy})"
    return bad[0] + more


def _coefficient_files(names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return path without suffix -> .mat file, and name without suffix -> .mat file for names that occur only once."""
    mats = [PurePosixPath(name) for name in names if PurePosixPath(name).suffix.lower() == ".mat"]
    by_path = {str(mat.with_suffix("")): str(mat) for mat in mats}
    count = Counter(mat.stem for mat in mats)
    return by_path, {mat.stem: str(mat) for mat in mats if count[mat.stem] == 1}


def _progress(items: list[str], what: str) -> Iterable[str]:
    return tqdm(
        items, desc=what, unit="file", disable=None, leave=False
    )  # None: off where stderr is no terminal


def _image_dimensions(files: FolderFiles | ZipFiles, name: str) -> tuple[int, int]:
    """Read width and height of an image in pixels.

    Raises:
        InputError: the image cannot be read.
    """
    content = files.read(name)
    try:
        return image_size(content)
    except OSError as error:
        raise InputError(f"{files.label(name)}: not a readable image ({error})") from None
