"""Loading of a face model of either kind, and checksums of its arrays."""

from pathlib import Path

from anifacegan.face_model.bfm import is_bfm_file, load_bfm
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import load_open_face_model
from anifacegan.runtime.files import sha256

COEFFICIENT_ARRAYS = ("mean", "id_basis", "exp_basis")
"""Arrays that identity and expression coefficients depend on."""
TEXTURE_ARRAYS = ("tex_mean", "tex_basis")
"""Arrays that texture coefficients depend on."""


def load_face_model(path: Path | None = None) -> MorphableModel:
    """Load the open face model from an .npz, or BFM from a .mat; None stands for the open face model in the cache.

    Raises:
        InputError: the file is missing, is no face model, or an array in it is misshaped, not finite or out of range.
    """
    path = None if path is None else path.expanduser()
    return load_bfm(path) if path is not None and is_bfm_file(path) else load_open_face_model(path)


def arrays_sha256(path: Path | None, names: tuple[str, ...] = COEFFICIENT_ARRAYS) -> str:
    """Compute the checksum of some of a face model's arrays, by which data and runs recognise their face model.

    Files that differ in other arrays have the same checksum. ``path`` is as in :func:`load_face_model`.

    Raises:
        InputError: see :func:`load_face_model`.
    """
    model = load_face_model(path)
    return sha256(getattr(model, name).numpy().tobytes() for name in names)
