"""The Basel face model from the ``BFM_model_front.mat`` that users make with Deep3DFaceRecon.

The licence of the Basel face model forbids shipping it with this package.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from anifacegan.face_model.coefficients import BFM
from anifacegan.face_model.morphable import BFM_WORLD_OFFSET, FaceBases, MorphableModel
from anifacegan.geometry.conventions import EXP_DIM, ID_DIM, TEX_DIM
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.file_arrays import Expected, check_arrays
from anifacegan.runtime.mat_files import MatFile, is_mat_file, opened_mat

BFM_COLUMNS = {"idBase": ID_DIM, "exBase": EXP_DIM, "texBase": TEX_DIM}
"""Number of coefficients (columns) of each basis in ``BFM_model_front.mat``, by the key of the basis there."""
_BFM_ADVICE = "it is no BFM_model_front.mat as Deep3DFaceRecon makes it"


def load_bfm(path: Path) -> MorphableModel:
    """Load the Basel face model from Deep3DFaceRecon's ``BFM_model_front.mat``.

    Indices in the file start at 1 and colours reach 255; those of the result start at 0 and reach 1. The mean face is
    moved so that the mean of its vertices is the origin.
    ``point_buf``, the triangles around each vertex, is not read, because it follows from ``tri``.

    Raises:
        InputError: no such file, no .mat, or a key is missing, misshaped, not finite or out of range.
    """
    arrays = _read_bfm(Path(path))
    mean = arrays["meanshape"].reshape(-1, 3)

    def basis(key: str) -> Tensor:
        return torch.from_numpy(arrays[key].astype(np.float32)).reshape(len(mean), 3, -1)

    return MorphableModel(
        FaceBases(
            name=BFM,
            mean=torch.from_numpy((mean - mean.mean(axis=0)).astype(np.float32)),
            id_basis=basis("idBase"),
            exp_basis=basis("exBase"),
            tex_mean=torch.from_numpy((arrays["meantex"] / 255).astype(np.float32)).reshape(-1, 3),
            tex_basis=basis("texBase") / 255,
            triangles=torch.from_numpy(arrays["tri"].astype(np.int64) - 1),
            landmark_vertices=torch.from_numpy(arrays["keypoints"].reshape(-1).astype(np.int64) - 1),
            world_offset=BFM_WORLD_OFFSET,
            normal_weighting="equal",
        )
    )


def _read_bfm(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        raise InputError(f"{path}: no such file, expected Deep3DFaceRecon's BFM_model_front.mat")
    with opened_mat(path, expected="Deep3DFaceRecon's BFM_model_front.mat") as mat:
        expected = _expected_shapes(mat)
        arrays = mat.arrays(expected)
    coordinates = arrays["meanshape"].size  # 3V
    indices = ("tri", "keypoints")
    ranges = dict.fromkeys(expected, (-1e6, 1e6)) | dict.fromkeys(indices, (1, coordinates // 3))
    check_arrays(
        path, arrays, {key: Expected("fiu", arrays[key].shape, ranges[key]) for key in expected}, _BFM_ADVICE
    )
    for key in indices:
        if (arrays[key] % 1 != 0).any():
            raise InputError(f"{path}: key '{key}' holds fractions, expected whole numbers")
    return arrays


def _expected_shapes(mat: MatFile) -> dict[str, tuple[int | None, int]]:
    """Return the shapes of the model's arrays, by key; checks those in the file, of which nothing is read yet."""
    coordinates = math.prod(mat.shape("meanshape")) if "meanshape" in mat else 0  # 3V
    expected: dict[str, tuple[int | None, int]] = {"meanshape": (1, coordinates), "meantex": (1, coordinates)}
    expected |= {key: (coordinates, columns) for key, columns in BFM_COLUMNS.items()}
    expected |= {"tri": (None, 3), "keypoints": (1, 68)}
    for key, shape in expected.items():
        if key not in mat:
            raise InputError(
                f"{mat.path}: key '{key}' is missing, expected Deep3DFaceRecon's BFM_model_front.mat"
            )
        found = mat.shape(key)
        if len(found) != 2 or found[1] != shape[1] or shape[0] not in (None, found[0]) or coordinates % 3:
            raise InputError(f"{mat.path}: key '{key}' has shape {found}, expected {_shape_text(key, shape)}")
    return expected


def _shape_text(key: str, shape: tuple[int | None, int]) -> str:
    if key == "meanshape":
        return "(1, 3 x vertices)"
    return f"({'triangles' if shape[0] is None else shape[0]}, {shape[1]})"


def is_bfm_file(path: Path | None) -> bool:
    """Return whether the path of a face model's file ends in .mat, as that of the Basel face model does.

    False for None, which stands for the open face model in the cache folder.
    """
    return path is not None and is_mat_file(path.name)
