"""Data sets of aligned face images with coefficients: a folder or zip of images, each with a .mat file.

The .mat files follow Deep3DFaceRecon. An image belongs to the .mat file of the same path without suffix, or else to the
only .mat file of the same name. Photographs (such as FFHQ) and this project's synthetic data sets are read in the same
way. An item of a data set is an image with its coefficients; items are ordered by path, numbers in numeric order. Where
camera poses suffice, images without a .mat file may have a label in EG3D's dataset.json instead.
"""

import io
import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from anifacegan.data.camera_labels import camera_labels, label_pose
from anifacegan.data.config import DataConfig
from anifacegan.data.description import DESCRIPTION_FILE, parsed_description
from anifacegan.data.file_sources import coefficient_files, open_files, unread_images
from anifacegan.data.image_contents import image_dimensions, rgb_pixels
from anifacegan.data.listed_checksums import ListedChecksums
from anifacegan.data.mirroring import Mirroring
from anifacegan.data.unfinished_sets import say_unfinished
from anifacegan.face_model.coefficients import BFM, FaceCoefficients, camera_angles, read_coefficients
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import sha256
from anifacegan.runtime.image_files import IMAGE_SUFFIXES, is_image_file


@dataclass(frozen=True)
class FaceItem:
    """One item of a data set: an image with its coefficients and camera pose."""

    image: UInt8[Tensor, "size size 3"]
    """RGB in [0, 255]."""
    face: FaceCoefficients | None
    """Coefficients of the face in the image; None if only its camera pose is known."""
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
    lm68: Float[Tensor, "item 68 2"] | None
    """Landmarks in pixels (integers at pixel centres) of an image of 224 px, x right and y down; None unless every file
    has them."""
    noise: Float[Tensor, "item 80"] | None
    """Appearance latents (hair, clothes, light and so on) of synthetic images; None unless every file has them."""

    def landmarks(self) -> Float[Tensor, "item 68 2"]:
        """Return ``lm68`` where it is needed.

        Raises:
            InputError: a file has no landmarks.
        """
        if self.lm68 is None:
            raise InputError(
                "landmarks are needed, expected the key 'lm68' in every .mat file of the data set"
            )
        return self.lm68


class FaceDataset(Dataset):
    """A data set of aligned face images with coefficients; an index gives an image with its coefficients.

    With mirroring, N to 2N-1 are the indices of the mirror images of the images 0 to N-1.

    Args:
        config: where the data is and how it is read.
        mirroring: how the face model's coefficients change in mirror images; needed if ``config.mirror``.
        poses_suffice: whether images with a label in EG3D's dataset.json need no .mat file.
        option: name, in messages, of the option that holds ``config``; None if a user cannot set it.

    Raises:
        InputError: there are no images; files are damaged (the message names the first and counts the others); the
            coefficients belong to two face models; it is a synthetic data set of an older format; or mirroring is
            requested but not defined for the face model.
    """

    def __init__(
        self,
        config: DataConfig,
        mirroring: Mirroring | None = None,
        *,
        poses_suffice: bool = False,
        option: str | None = "data",
    ) -> None:
        self.config = config
        self._option = option
        self._files = open_files(config.path.expanduser())
        self._listed = ListedChecksums(self._files)
        labels = self._read_descriptions()
        self._labels = labels if poses_suffice else {}
        self._crc32: dict[str, int] = {}
        self.names, self._faces, poses, self.bad = self._scan()
        if self.bad and not config.skip_bad:
            raise InputError(_bad_files_line(self.bad, option))
        if not self.names:
            first = f"; the first of {len(self.bad)} bad files: {self.bad[0]}" if self.bad else ""
            raise InputError(
                f"{config.path}: no usable images, expected {', '.join(IMAGE_SUFFIXES)} with a .mat each{first}"
            )
        self._poses = np.array(poses, np.float32)
        known = [face for face in self._faces if face is not None]
        models = sorted({face.face_model or BFM for face in known})
        if len(models) > 1:
            raise InputError(
                f"{config.path}: coefficients of several face models ({', '.join(models)}), expected one"
            )
        self.face_model = models[0] if any(face.face_model for face in known) else None
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
        item = index % len(self.names)
        face = None if self._faces[item] is None else self.face(index)
        image = self._image(self.names[item])
        if index >= len(self.names):
            image = image[:, ::-1].copy()
        return FaceItem(torch.from_numpy(image), face, self.poses[index])

    @property
    def poses(self) -> Float[np.ndarray, "item 2"]:
        """Pitch and yaw of the generator's camera for all images, radians relative to frontal; with mirroring, those of
        the mirror images follow."""
        if self._mirroring is None:
            return self._poses
        return np.concatenate([self._poses, self._poses * np.array([1, -1], np.float32)])

    def face(self, index: int) -> FaceCoefficients:
        """Return the coefficients of the image with an index, without reading the image.

        With mirroring, the indices of mirror images follow those of all images.

        Raises:
            InputError: the image has a camera pose only.
        """
        name, face = self.names[index % len(self.names)], self._faces[index % len(self.names)]
        if face is None:
            raise InputError(
                f"{self._files.label(name)}: has a camera pose only, expected a .mat of that name"
            )
        if index >= len(self.names) and self._mirroring is not None:
            return self._mirroring.mirrored(face)
        return face

    def sizes_sha256(self) -> str:
        """Return the SHA-256 of the names of all images and the sizes of their files, which tells replaced images."""
        return sha256(f"{name} {self._files.size(name)}\n".encode() for name in self.names)

    def contents_sha256(self) -> str:
        """Return the SHA-256 of the names of all images and the CRC-32 of their files, which were read when the data
        set was opened; it tells images that were replaced by others of the same size."""
        return sha256(f"{name} {self._crc32[name]}\n".encode() for name in self.names)

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
            raise InputError(_bad_files_line(bad, self._option))
        if self._mirroring is not None:
            images[len(self.names) :] = images[: len(self.names), :, ::-1]
        return torch.from_numpy(images)

    def load_coefficients(self) -> CoefficientTable:
        """Return the coefficients of all images; with mirroring, those of the mirror images follow.

        Raises:
            InputError: an image has a camera pose only.
        """
        faces = [self.face(i) for i in range(len(self))]

        def stack(read: Callable[[FaceCoefficients], Any]) -> Tensor:
            return torch.from_numpy(np.stack([np.asarray(read(face), np.float32) for face in faces]))

        return CoefficientTable(
            id=stack(lambda face: face.id),
            exp=stack(lambda face: face.exp),
            tex=stack(lambda face: face.tex),
            gamma=stack(lambda face: face.gamma),
            pose=torch.from_numpy(self.poses),
            lm68=None if any(face.lm68 is None for face in faces) else stack(lambda face: face.lm68),
            noise=None if any(face.noise is None for face in faces) else stack(lambda face: face.noise),
        )

    def _read_descriptions(self) -> dict[str, list[Any]]:
        """Check the files dataset.json, say which data sets are unfinished, and return the camera labels of EG3D's by
        the names of their images."""
        labels: dict[str, list[Any]] = {}
        descriptions: dict[str, dict[str, Any]] = {}
        for name in self._files.names:
            if PurePosixPath(name).name == DESCRIPTION_FILE:
                content, label = self._files.read(name), self._files.label(name)
                descriptions[name] = parsed_description(content, label)
                if not descriptions[name]:
                    labels |= camera_labels(content, label, PurePosixPath(name).parent)
        say_unfinished(self._files, descriptions)
        return labels

    def _scan(self) -> tuple[list[str], list[FaceCoefficients | None], list[np.ndarray], list[str]]:
        """Return the names of the usable images, their coefficients and poses, and an error message for each unusable
        image.
        """
        by_path, by_stem = coefficient_files(self._files.names)
        names, faces, poses, bad = [], [], [], []
        images = [name for name in self._files.names if is_image_file(name)]
        if images and not by_path and not self._labels:
            raise InputError(
                f"{self.config.path}: {len(images)} images and no .mat file, expected one for each image with the "
                "coefficients that Deep3DFaceRecon finds in it (camera poses alone, in EG3D's dataset.json, suffice "
                "for evaluation and as the option 'real' of training)"
            )
        images += unread_images(self._files.names, by_path)
        for name in _progress(images, "reading coefficients"):
            path = PurePosixPath(name)
            mat = by_path.get(str(path.with_suffix(""))) or by_stem.get(path.stem)
            try:
                face, pose = self._coefficients(name, mat)
                self._check_size(name)
                if self.config.skip_bad:
                    self._image(name)
            except InputError as error:
                bad.append(str(error))
            else:
                names.append(name)
                faces.append(face)
                poses.append(pose)
        return names, faces, poses, bad

    def _coefficients(self, name: str, mat: str | None) -> tuple[FaceCoefficients | None, np.ndarray]:
        """Return coefficients and pose of an image; ``mat`` is the name of its .mat file, None if it has none."""
        label, offset = self._files.label(name), self.config.pitch_offset
        if not is_image_file(name):
            raise InputError(
                f"{label}: images of this kind are not read, expected {', '.join(IMAGE_SUFFIXES)}"
            )
        if mat is not None:
            label = self._files.label(mat)
            face = read_coefficients(label, io.BytesIO(self._listed.read(mat)))
            pose = camera_angles(face, offset)
            if np.abs(pose).max() > math.pi:
                raise InputError(f"{label}: pitch, yaw are {pose[0]:.4g}, {pose[1]:.4g}, expected radians")
            return face, pose
        if name not in self._labels:
            raise InputError(f"{label}: no .mat of that name")
        return None, label_pose(self._labels[name], offset, label)

    def _check_size(self, name: str) -> None:
        """Refuse an image whose header gives another size than ``config.size``; note the checksum of the file."""
        size, content = self.config.size, self._listed.read(name)
        width, height = image_dimensions(content, self._files.label(name))
        self._crc32[name] = zlib.crc32(content)
        if (width, height) != (size, size):
            found = f"{width} x {height} pixels"
            of_option = "" if self._option is None else f" (--{self._option}.size)"
            raise InputError(f"{self._files.label(name)}: {found}, expected {size} x {size}{of_option}")

    def _image(self, name: str) -> UInt8[np.ndarray, "size size 3"]:
        return rgb_pixels(self._files.read(name), self._files.label(name))


def _bad_files_line(bad: list[str], option: str | None) -> str:
    """Return a line about unusable images; the option ``option.skip_bad``, if there is one, leaves them out."""
    notes = [f"and {len(bad) - 1} more bad files"] if len(bad) > 1 else []
    notes += [] if option is None else [f"--{option}.skip_bad leaves them out"]
    return bad[0] + (f" ({'; '.join(notes)})" if notes else "")


def _progress(items: list[str], what: str) -> Iterable[str]:
    return tqdm(
        items, desc=what, unit="file", disable=None, leave=False
    )  # None: off where stderr is no terminal
