"""Which vertex of the open face model each of MediaPipe's 478 landmarks is, and how far the detector errs.

Learned by ``scripts/learn_landmark_correspondence.py`` from synthetic images whose vertices are known. The errors of
neighbouring landmarks go together, so their whole covariance is kept: a few factors and what is left of each variance.
The file also holds the errors of the face regressor R, as far as they are needed to combine both.
"""

import zipfile
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.geometry.conventions import EXP_DIM, ID_DIM
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.file_arrays import Expected, check_arrays

CORRESPONDENCE_FILE = Path(__file__).with_name("correspondence.npz")
"""File in the package."""
REGRESSED = 2 + ID_DIM + EXP_DIM + 4
"""Numbers of the face that R estimates and the fit uses, see :class:`anifacegan.capture.priors.Estimate`."""
MODEL_MISFIT = 0.004
"""Standard deviation, model units (1 is 10 cm), by which real faces differ from every face of the model."""
JOINT_SHARE, OWN_SHARE, REGRESSOR_SHARE = 0.22, 3.0, 0.02
"""Factors of the joint errors, of the remaining variances, and of the covariance of R's errors, found by trial. Much of
the joint errors depends on the person (a detector prefers average faces), whom the fit does not know; fully believed,
they would let it ignore the landmarks. R's errors are dominated by few badly cropped faces; with less of them still
synthetic faces are fitted better, and the two photographs of scripts/check_own_face.py worse."""
POSE_SHARE = 0.0024
"""Further factor of the variances of R's pitch and yaw, so small that they decide. Alone R is wrong by 1.00 degrees of
pitch, the landmarks by 2.95; their errors correlate by 0.44, so any weight of the landmarks makes the pitch worse."""
COUNT = 478


@dataclass(frozen=True)
class Correspondence:
    """Vertices of the landmarks, and the errors of landmarks and regressor.

    Errors of landmarks are landmark minus projected vertex in the generator's image, x right and y down, in model units
    (at the distance of the head's origin); axis ``xy`` has x and y of each landmark in turn.
    """

    vertices: Int[np.ndarray, "478"]
    """Vertex index of each landmark."""
    mirrored: Int[np.ndarray, "478"]
    """Number of the landmark that each landmark becomes when the image is mirrored."""
    mean: Float[np.ndarray, "xy"]
    """Mean error of each landmark."""
    factors: Float[np.ndarray, "xy factor"]
    """Joint errors: their outer product is the covariance but for ``rest``."""
    rest: Float[np.ndarray, "xy"]
    """Variances that the factors leave."""
    regressor_mean: Float[np.ndarray, "150"]
    """Mean of truth minus R's estimate."""
    regressor_deviation: Float[np.ndarray, "150"]
    """Standard deviations of these errors."""
    regressor_correlation: Float[np.ndarray, "150 150"]
    """Correlations of these errors."""

    def normal_equations(
        self, columns: Float[np.ndarray, "xy n"], error: Float[np.ndarray, "xy"]
    ) -> tuple[Float[np.ndarray, "n n"], Float[np.ndarray, " n"]]:
        """Return C' S C and C' S e for columns C and errors e, where S is the inverse covariance of the landmarks'
        errors (by Woodbury's identity, since the factors are few)."""
        weighted = columns / self._variances[:, None]
        shared, shared_error = self._joint.T @ weighted, self._joint.T @ (error / self._variances)
        solved = np.linalg.solve(self._core, np.column_stack([shared, shared_error]))
        normal = columns.T @ weighted - shared.T @ solved[:, :-1]
        return normal, weighted.T @ error - shared.T @ solved[:, -1]

    @cached_property
    def _joint(self) -> Float[np.ndarray, "xy factor"]:
        return JOINT_SHARE * self.factors

    @cached_property
    def _variances(self) -> Float[np.ndarray, "xy"]:
        return OWN_SHARE * self.rest + MODEL_MISFIT**2

    @cached_property
    def _core(self) -> Float[np.ndarray, "factor factor"]:
        return np.eye(self._joint.shape[1]) + self._joint.T @ (self._joint / self._variances[:, None])

    @cached_property
    def regressor_covariance(self) -> Float[np.ndarray, "150 150"]:
        """Covariance of R's errors, as far as it is believed."""
        deviation = self.regressor_deviation.copy()
        deviation[:2] *= np.sqrt(POSE_SHARE)
        return REGRESSOR_SHARE * self.regressor_correlation * np.outer(deviation, deviation)


def load_correspondence(vertex_count: int | None, path: Path = CORRESPONDENCE_FILE) -> Correspondence:
    """Read the correspondence for a face model of ``vertex_count`` vertices; None if the face model is not used.

    Raises:
        InputError: the file is missing or broken, or belongs to another face model.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError):
        raise InputError(f"{path}: not a readable correspondence file, install the package again") from None
    remedy = "learn it again with scripts/learn_landmark_correspondence.py"
    if str(arrays.pop("face_model", "")) != OPEN_FACE_MODEL:
        raise InputError(f"{path}: belongs to another face model, expected '{OPEN_FACE_MODEL}'; {remedy}")
    expected = {
        "vertices": Expected("iu", (COUNT,), (0, (vertex_count or 2**31) - 1)),
        "mirrored": Expected("iu", (COUNT,), (0, COUNT - 1)),
        "mean": Expected("f", (2 * COUNT,)),
        "factors": Expected("f", (2 * COUNT, "factors")),
        "rest": Expected("f", (2 * COUNT,), (0.0, 1.0)),
        "regressor_mean": Expected("f", (REGRESSED,)),
        "regressor_deviation": Expected("f", (REGRESSED,), (0.0, 100.0)),
        "regressor_correlation": Expected("f", (REGRESSED, REGRESSED), (-1.01, 1.01)),
    }
    missing = [key for key in expected if key not in arrays]
    if missing:
        raise InputError(f"{path}: no '{missing[0]}' in the file; {remedy}")
    check_arrays(path, arrays, expected, remedy)
    wide = {key: np.int64 if expected[key].kinds == "iu" else np.float64 for key in expected}
    names = (field.name for field in fields(Correspondence))
    return Correspondence(**{name: arrays[name].astype(wide[name]) for name in names})
