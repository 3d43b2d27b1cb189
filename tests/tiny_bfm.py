"""A file like BFM_model_front.mat, of the tiny head's bare mesh, and a folder of photographs with its coefficients."""

from pathlib import Path

import numpy as np
import scipy.io

from tests.photographs import write_photographs
from tests.tiny_head import tiny_model

PHOTOGRAPHS = 7


def write_tiny_bfm(path: Path) -> None:
    """The keys of the real file: indices start at 1, colours reach 255, and the origin is anywhere."""
    model = tiny_model()
    vertices = len(model.mean)

    def rows(name: str) -> np.ndarray:
        return getattr(model, name).numpy().reshape(3 * vertices, -1)

    scipy.io.savemat(
        path,
        {
            "meanshape": (model.mean.numpy() + np.array([0.3, -0.2, 2.7])).reshape(1, -1),
            "idBase": rows("id_basis"),
            "exBase": rows("exp_basis"),
            "meantex": 255 * rows("tex_mean").T,
            "texBase": 255 * rows("tex_basis"),
            "tri": model.triangles.numpy() + 1,
            "keypoints": model.landmark_vertices.numpy()[None] + 1,
        },
    )


def write_photograph_set(folder: Path, size: int) -> None:
    """FOLDER/BFM_model_front.mat, and FOLDER/photographs."""
    write_tiny_bfm(folder / "BFM_model_front.mat")
    write_photographs(folder / "photographs", PHOTOGRAPHS, size)
