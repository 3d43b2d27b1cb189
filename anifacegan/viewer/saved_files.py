"""Files that the viewer writes, all into one folder: images, people and films, numbered, none ever replaced."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from anifacegan.models.latent_files import write_people
from anifacegan.rendering.video import write_video
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.image_files import encoded_image, image_size, read_image
from anifacegan.runtime.locks import FolderLock
from anifacegan.runtime.output_folders import claim, note_contents
from anifacegan.runtime.paths import exists
from anifacegan.viewer.shading import Pixels

SYNTHETIC = "Synthetic image: made by anifacegan"
"""Text in every image and film."""
PATIENCE_S = 10.0
"""Longest time to wait while another viewer writes into the folder, seconds."""
MOST_FILES = 9999
"""Largest number of files of a kind in a folder."""


class SavedFiles:
    """The folder that the viewer writes into; it is made when the first file is.

    Args:
        folder: the folder.

    Raises:
        InputError: there is a file in its place.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if exists(folder) and not folder.is_dir():
            raise InputError(f"{folder}: is a file, expected a folder to write into")

    def image(self, pixels: Pixels) -> Path:
        """Write an image (PNG) and return its path."""
        content = encoded_image(pixels, texts={"Description": SYNTHETIC})
        with self._next("view", ".png") as path:
            write_complete(path, content)
        return path

    def person(self, z_id: Float[Tensor, "1 80"], z_noise: Float[Tensor, "1 80"]) -> Path:
        """Write the latents of a person, as ``anifacegan render --latents`` reads them, and return the path."""
        with self._next("person", ".npz") as path:
            write_people(path, z_id, z_noise)
        return path

    def film(self, frames: Sequence[bytes], fps: int) -> Path:
        """Write JPEG files as the frames of a film (MP4), all as large as the largest, and return the path.

        One frame at a time is decoded, and the folder is locked for the finished film only: encoding takes a while.

        Raises:
            InputError: the folder cannot be written; the message says where the film is kept, for temporary files.
        """
        side = max(image_size(frame)[1] for frame in _different(frames))
        with TemporaryDirectory() as work:
            film = Path(work) / "film.mp4"
            write_video(film, _decoded(frames, side), fps, SYNTHETIC)
            try:
                with self._next("clip", ".mp4") as path:
                    write_complete(path, film.read_bytes())
            except InputError as error:
                kept = Path(mkdtemp(prefix="anifacegan-view-")) / "clip.mp4"
                shutil.copyfile(film, kept)
                raise InputError(f"{error}; the film is kept as {kept}") from None
        return path

    @contextmanager
    def _next(self, kind: str, suffix: str) -> Iterator[Path]:
        """Claim and yield the path of the next file of a kind; the folder is locked until the file is written.

        Raises:
            InputError: the folder cannot be written, is full, or another viewer writes there for long.
        """
        claim(self.folder, [])
        with FolderLock(self.folder, PATIENCE_S):
            for number in range(1, MOST_FILES + 1):
                path = self.folder / f"{kind}_{number:04d}{suffix}"
                if not exists(path) and not path.is_symlink():
                    claim(self.folder, [path.name])
                    yield path
                    note_contents(self.folder, [path.name])
                    return
        raise InputError(f"{self.folder}: holds {MOST_FILES} files {kind}_*{suffix}, expected another --out")


def _different(frames: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the frames without those that repeat the one before."""
    return (frame for frame, _ in groupby(frames))


def _decoded(frames: Sequence[bytes], side: int) -> Iterator[UInt8[np.ndarray, "side side 3"]]:
    """Decode JPEG files, one at a time, once for all repetitions, and scale them."""
    for frame, repeated in groupby(frames):
        image = _scaled(read_image(frame, "RGB"), side)
        for _ in repeated:
            yield image


def _scaled(image: Pixels, side: int) -> UInt8[np.ndarray, "side side 3"]:
    if len(image) == side:
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
