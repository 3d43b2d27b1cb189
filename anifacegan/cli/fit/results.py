"""What the two ways of fitting photographs share: finding the face, the files that are written, and counts."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from anifacegan.capture.crop import Photograph
from anifacegan.capture.face_fitter import BLURRED_PX
from anifacegan.capture.landmarks import DetectedFace
from anifacegan.capture.photographs import read_photograph
from anifacegan.cli.fit.config import FitConfig
from anifacegan.cli.fit.crop_sizes import FACES, require_one_size
from anifacegan.cli.fit.film import OVERLAYS
from anifacegan.face_model.coefficients import FaceCoefficients, write_coefficients
from anifacegan.runtime.errors import InputError, one_line, say
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.image_files import encoded_image
from anifacegan.runtime.output_folders import own_files

OVERLAY_PX = 384
"""Height of the overlays, pixels."""
CLAIMED_AT_ONCE = 256
"""Number of photographs whose files are claimed at a time, as each claim reads and writes the list of all files."""
Fitted = TypeVar("Fitted")
Select = Callable[[Photograph, Path, int | None], tuple[DetectedFace, int]]
"""A method that finds a face, as :meth:`anifacegan.capture.face_fitter.FaceFitter.select`."""


def result_names(file: Path) -> tuple[str, str, str]:
    """Return the names of a photograph's files in the output folder: overlay, coefficients, crop."""
    return f"{OVERLAYS}/{file.stem}.png", f"{FACES}/{file.stem}.mat", f"{FACES}/{file.stem}.png"


def claim_part(folder: GrowingFolder, files: list[Path], k: int) -> None:
    """Claim the files of the k-th photograph, and of those that are claimed with it."""
    first = k - k % CLAIMED_AT_ONCE
    folder.claim(name for file in files[first : first + CLAIMED_AT_ONCE] for name in result_names(file))


def require_room_for_photographs(folder: GrowingFolder, files: list[Path], size: int) -> None:
    """Require that the files of photographs, whose crops are of ``size`` pixels, may be written into a folder.

    Raises:
        InputError: a file of others or an input is in the way, or crops of another size stay beside them.
    """
    names = [name for file in files for name in result_names(file)]
    folder.require_room(names, files)
    require_one_size(folder, size, names)


def found_face(config: FitConfig, select: Select, file: Path) -> tuple[Photograph, DetectedFace]:
    """Read a photograph and find the face that is asked for, with ``select``; say on stderr if there are several.

    Raises:
        InputError: the photograph cannot be read or has no such face.
    """
    photograph = read_photograph(file)
    detected, count = select(photograph, file, config.face)
    if count > 1 and config.face is None:
        tqdm.write(
            one_line(f"{file}: {count} faces, the largest is fitted (--face selects)"), file=sys.stderr
        )
    return photograph, detected


def say_of_earlier_faces(folder: GrowingFolder, files: list[Path]) -> None:
    """Say, in one line on standard error, how many faces of other photographs than ``files`` stay in the folder: they
    are items of the data set there, though their photograph may be gone.
    """
    own = own_files(folder.path).difference(name for file in files for name in result_names(file))
    stay = (name for name in own if name.startswith(f"{FACES}/") and (folder.path / name).is_file())
    faces = sorted({name.rpartition(".")[0] for name in stay})
    if faces:
        say(
            f"{folder.path}: {len(faces)} faces of earlier runs stay beside the new ones, the first is {faces[0]}"
        )


def refusal(folder: GrowingFolder, file: Path, error: InputError) -> str:
    """Return why a photograph was refused, and whether files that an earlier run wrote of it stay."""
    there = [name for name in result_names(file) if (folder.path / name).exists()]
    own = folder.still_own(there)
    stays = [name for name in there if name in own]
    return f"{error}{f' ({stays[-1]} of an earlier run stays)' if stays else ''}"


def each_photograph(
    folder: GrowingFolder,
    files: list[Path],
    fit: Callable[[Path], Fitted],
    write: Callable[[Path, Fitted], None],
) -> tuple[int, int]:
    """Fit photographs one after another, and write each; return how many were fitted and how many were refused.

    Raises:
        InputError: all were refused, or files cannot be written.
    """
    refused: list[str] = []
    for k, file in enumerate(tqdm(files, unit="image", disable=None if len(files) > 1 else True)):
        try:
            fitted = fit(file)
        except InputError as error:
            refused.append(refusal(folder, file, error))
        else:
            claim_part(folder, files, k)
            write(file, fitted)
    numbers = counts(files, refused)
    say_of_earlier_faces(folder, files)
    return numbers


def counts(files: list[Path], refused: list[str]) -> tuple[int, int]:
    """Print the refused photographs of a folder; return how many were fitted and how many were refused.

    Raises:
        InputError: all were refused.
    """
    if len(refused) == len(files):
        more = f" (and {len(refused) - 1} more photographs, none could be fitted)" if len(files) > 1 else ""
        raise InputError(refused[0] + more)
    for line in refused:
        say(f"refused: {line}")
    return len(files) - len(refused), len(refused)


def warn_of_blur(file: Path, edge_px: float) -> None:
    """Say on stderr if a face's edges are wide."""
    if edge_px > BLURRED_PX:
        warning = f"blurred (edges {edge_px:.1f} px of 256 wide), the fit is less exact"
        tqdm.write(one_line(f"{file}: {warning}"), file=sys.stderr)


def write_results(
    folder: GrowingFolder,
    file: Path,
    overlay: UInt8[np.ndarray, "height width 3"],
    coefficients: FaceCoefficients,
    crop: UInt8[np.ndarray, "size size 3"],
) -> None:
    """Write the three files of a photograph, the crop last."""
    overlay_file, coefficient_file, crop_file = map(folder.file, result_names(file))
    write_complete(overlay_file, encoded_image(overlay))
    write_coefficients(coefficient_file, coefficients)
    write_complete(crop_file, encoded_image(crop))
