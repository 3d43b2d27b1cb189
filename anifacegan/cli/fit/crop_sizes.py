"""One size of all crops in a folder: they are a data set."""

from collections.abc import Iterable

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.image_files import image_size
from anifacegan.runtime.output_folders import own_files

FACES = "faces"
"""Folder below --out with the crops and their coefficients."""


def require_one_size(folder: GrowingFolder, size: int, new: Iterable[str]) -> None:
    """Require that the crops of earlier runs that stay beside ``new`` ones, of ``size`` pixels, have their size.

    ``new`` are the names of the files that this run writes, relative to the folder. A crop that somebody has damaged
    or removed has none.

    Raises:
        InputError: a crop has another size; names the first.
    """
    stay = (name for name in own_files(folder.path).difference(new) if name.startswith(f"{FACES}/"))
    for name in sorted(name for name in stay if name.endswith(".png")):
        try:
            width, height = image_size(folder.path / name)
        except OSError:
            continue
        if (width, height) != (size, size):
            raise InputError(
                f"{folder.path / name}: is of {width} x {height} px and stays, expected --size {width} for the crops "
                "beside it, or another --out"
            )
