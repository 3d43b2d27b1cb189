"""Loading of a face model of either kind, the open face model or the Basel face model (BFM)."""

from pathlib import Path

from anifacegan.face_model.bfm import is_bfm_file, load_bfm
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import load_open_face_model
from anifacegan.runtime.paths import user_path


def load_face_model(path: Path | None = None) -> MorphableModel:
    """Load the open face model from an .npz, or BFM from a .mat; None stands for the open face model in the cache.

    Raises:
        InputError: the file is missing, is no face model, or an array in it is misshaped, not finite or out of range.
    """
    path = None if path is None else user_path(path)
    return load_bfm(path) if path is not None and is_bfm_file(path) else load_open_face_model(path)
