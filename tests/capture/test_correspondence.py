"""The shipped correspondence is complete and small, and other files are refused."""

from pathlib import Path

import numpy as np
import pytest

from anifacegan.capture.correspondence import (
    CORRESPONDENCE_FILE,
    JOINT_SHARE,
    MODEL_MISFIT,
    OWN_SHARE,
    load_correspondence,
)
from anifacegan.runtime.errors import InputError

VERTICES = 32332


def test_the_shipped_file() -> None:
    found = load_correspondence(VERTICES)
    assert CORRESPONDENCE_FILE.stat().st_size < 300_000
    assert (found.mirrored[found.mirrored] == np.arange(478)).all()
    assert np.linalg.eigvalsh(found.regressor_covariance).min() > 0


def test_the_equations_are_those_of_the_whole_covariance() -> None:
    found, rng = load_correspondence(VERTICES), np.random.default_rng(0)
    columns, error = rng.standard_normal((956, 5)), rng.standard_normal(956)
    covariance = JOINT_SHARE**2 * found.factors @ found.factors.T
    covariance += np.diag(OWN_SHARE * found.rest + MODEL_MISFIT**2)
    normal, gradient = found.normal_equations(columns, error)
    np.testing.assert_allclose(normal, columns.T @ np.linalg.solve(covariance, columns), rtol=1e-6)
    np.testing.assert_allclose(gradient, columns.T @ np.linalg.solve(covariance, error), rtol=1e-6, atol=1e-3)


def test_other_files_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"broken")
    with pytest.raises(InputError, match="not a readable correspondence file"):
        load_correspondence(VERTICES, broken)
    with pytest.raises(InputError, match=r"key 'vertices'"):
        load_correspondence(100)
    np.savez(tmp_path / "other.npz", face_model="another")
    with pytest.raises(InputError, match="belongs to another face model"):
        load_correspondence(VERTICES, tmp_path / "other.npz")
