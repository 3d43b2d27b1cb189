"""The shipped correspondence is complete and small, and other files are refused."""

from pathlib import Path

import numpy as np
import pytest

from anifacegan.capture.correspondence import CORRESPONDENCE_FILE, load_correspondence
from anifacegan.runtime.errors import InputError

VERTICES = 32332


def test_the_shipped_file() -> None:
    found = load_correspondence(VERTICES)
    assert CORRESPONDENCE_FILE.stat().st_size < 300_000
    assert (found.mirrored[found.mirrored] == np.arange(478)).all()
    covariance = found.factors @ found.factors.T + np.diag(found.rest)
    whitened = found.whitening @ covariance @ found.whitening.T
    assert np.linalg.eigvalsh(whitened).max() < 1.001  # the model's misfit comes on top
    assert np.linalg.eigvalsh(found.regressor_covariance).min() > 0


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
