"""Aligned face images with their coefficients: a folder or a zip of images, one Deep3DFaceRecon-style .mat each.

FFHQ-style data and our own (scripts/make_synthetic_dataset.py) are read alike: an image (.png, .jpg, .jpeg) and a
.mat belong together by their path without the suffix, or else by their file name without it. Items have a fixed
order, that of the sorted paths, and are addressed by index; what is drawn when is the trainer's business.
"""

import io
import math
import zipfile
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

from anifacegan.face_model.coefficients import BFM, FaceCoefficients, camera_angles, read_coefficients
from anifacegan.runtime.errors import ConfigError, InputError, require_at_least
from anifacegan.runtime.files import image_size, read_image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")

ODD_IN_X = (3, 4, 7)
"""Spherical harmonics that change sign with x: -x, xy and -xz."""

MIRRORED_LANDMARKS = tuple(
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1)]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)
"""Which of the 68 landmarks each one becomes in a mirror."""


@dataclass(frozen=True)
class DataConfig:
    path: Path
    """Folder or .zip with images and .mat files."""
    size: int = 256
    """Height and width of every image in pixels."""
    pitch_offset: float = 0.0
    """Subtracted from a file's pitch angle where it has no exact pose: 0.1 for released and FFHQ files (radians)."""
    mirror: bool = False
    """Also use every image mirrored, as items N .. 2N-1; the face model must declare how its coefficients mirror."""
    skip_bad: bool = False
    """Leave out bad files instead of refusing the data set; decodes every image once to find them."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "size")
        if not math.isfinite(self.pitch_offset):
            raise ConfigError("pitch_offset", self.pitch_offset, "radians")


@dataclass(frozen=True)
class Mirroring:
    """A face model's declaration of how coefficients change when the face is mirrored: rows times these matrices."""

    face_model: str
    id: Float[np.ndarray, "80 80"]
    exp: Float[np.ndarray, "64 64"]
    tex: Float[np.ndarray, "80 80"]

    def mirrored(self, face: FaceCoefficients) -> FaceCoefficients:
        """The coefficients of the mirrored image; the appearance code has no mirror image and is dropped."""
        gamma = face.gamma.reshape(3, 9).copy()
        gamma[:, ODD_IN_X] *= -1
        landmarks = face.lm68[list(MIRRORED_LANDMARKS)]
        landmarks[:, 0] = 223 - landmarks[:, 0]
        return FaceCoefficients(
            id=face.id @ self.id,
            exp=face.exp @ self.exp,
            tex=face.tex @ self.tex,
            angle=face.angle * np.array([1, -1, -1], np.float32),
            gamma=gamma.reshape(27),
            trans=face.trans * np.array([-1, 1, 1], np.float32),
            lm68=landmarks,
            pose=None if face.pose is None else face.pose * np.array([1, -1], np.float32),
            face_model=face.face_model,
        )


@dataclass(frozen=True)
class FaceItem:
    """One image."""

    image: UInt8[Tensor, "size size 3"]
    face: FaceCoefficients
    pose: Float[np.ndarray, "2"]
    """(pitch, yaw) of the generator's camera, radians relative to frontal."""


@dataclass(frozen=True)
class CoefficientTable:
    """Coefficients of all items, float32, row by row."""

    id: Float[Tensor, "item 80"]
    exp: Float[Tensor, "item 64"]
    tex: Float[Tensor, "item 80"]
    gamma: Float[Tensor, "item 27"]
    pose: Float[Tensor, "item 2"]
    """(pitch, yaw) of the generator's camera, radians relative to frontal."""
    lm68: Float[Tensor, "item 68 2"]
    noise: Float[Tensor, "item 80"] | None
    """Appearance codes; None where not every file has one."""


class FaceDataset(Dataset):
    """Images and coefficients by index.

    Raises:
        InputError: nothing there, bad files (the first by name, and how many), coefficients of two face models, or a
            mirror without a declaration.
    """

    def __init__(self, config: DataConfig, mirroring: Mirroring | None = None) -> None:
        self.config = config
        self._files = _open_files(config.path.expanduser())
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
        """Name of the face model that the files name; None where they do not say."""
        if config.mirror and (mirroring is None or mirroring.face_model != self.face_model):
            name = self.face_model or "that the files do not name"
            raise InputError(f"mirror: the face model {name} does not declare how its coefficients mirror")
        self._mirroring = mirroring if config.mirror else None

    @property
    def owner(self) -> str:
        """Name of the face model that the coefficients are of: Deep3DFaceRecon's files do not say, they are BFM's."""
        return self.face_model or BFM

    def require_owner(self, face_model: str) -> None:
        """Raises an InputError where the coefficients are of another face model than this."""
        if self.owner != face_model:
            raise InputError(
                f"{self.config.path}: belongs to face model '{self.owner}', expected '{face_model}'"
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
        """Coefficients of an item, without its image."""
        face = self._faces[index % len(self.names)]
        if index >= len(self.names) and self._mirroring is not None:
            return self._mirroring.mirrored(face)
        return face

    def load_images(self) -> UInt8[Tensor, "item size size 3"]:
        """All images in memory, in the order of the items."""
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
        """All coefficients in memory, in the order of the items."""
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
        """Names and coefficients of the good items, and a line for each bad file."""
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
        """Read the header only."""
        size = self.config.size
        width, height = _image_size(self._files, name)
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
    """Width in pixels of a data set's first image; the others have to be as wide.

    Raises:
        InputError: there is no image, or the first is not readable.
    """
    files = _open_files(path)
    for name in files.names:
        if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
            return _image_size(files, name)[0]
    raise InputError(f"{path}: no images, expected {', '.join(IMAGE_SUFFIXES)} with a .mat each")


def _bad_files_line(bad: list[str], remedy: str) -> str:
    more = f" (and {len(bad) - 1} more bad files; {remedy})" if len(bad) > 1 else f" ({remedy})"
    return bad[0] + more


def _coefficient_files(names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The .mat files by path without suffix, and those of a unique file name by their stem."""
    mats = [PurePosixPath(name) for name in names if PurePosixPath(name).suffix.lower() == ".mat"]
    by_path = {str(mat.with_suffix("")): str(mat) for mat in mats}
    count = Counter(mat.stem for mat in mats)
    return by_path, {mat.stem: str(mat) for mat in mats if count[mat.stem] == 1}


def _progress(items: list[str], what: str) -> Iterable[str]:
    return tqdm(
        items, desc=what, unit="file", disable=None, leave=False
    )  # None: off where stderr is no terminal


class _FolderFiles:
    """Files under a folder, by their path relative to it; hidden ones are left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        paths = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        self.names = sorted(p.as_posix() for p in paths if not any(part.startswith(".") for part in p.parts))

    def label(self, name: str) -> Path:
        return self.root / name

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()


class _ZipFiles:
    """Entries of a zip. The archive is opened anew in every process that reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        try:
            entries = self._open().namelist()
        except zipfile.BadZipFile:
            raise InputError(f"{path}: not a zip archive, expected a folder or a .zip of images") from None
        self.names = sorted(
            n for n in entries if not n.endswith("/") and not PurePosixPath(n).name.startswith(".")
        )

    def label(self, name: str) -> Path:
        return self.path / name

    def read(self, name: str) -> bytes:
        try:
            return self._open().read(name)
        except zipfile.BadZipFile as error:
            raise InputError(f"{self.label(name)}: {error}") from None

    def _open(self) -> zipfile.ZipFile:
        if self._archive is None:
            self._archive = zipfile.ZipFile(self.path)
        return self._archive

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_archive": None}


def _image_size(files: "_FolderFiles | _ZipFiles", name: str) -> tuple[int, int]:
    """Width and height of one image in pixels.

    Raises:
        InputError: it is not readable.
    """
    content = files.read(name)
    try:
        return image_size(content)
    except OSError as error:
        raise InputError(f"{files.label(name)}: not a readable image ({error})") from None


def _open_files(path: Path) -> _FolderFiles | _ZipFiles:
    if path.is_dir():
        return _FolderFiles(path)
    if path.is_file():
        return _ZipFiles(path)
    raise InputError(f"{path}: no such data set, expected a folder or a .zip of images and .mat files")
