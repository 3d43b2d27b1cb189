"""Mirroring of the open face model's coefficients, computed from its mesh."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from anifacegan.data.mirroring import mirroring_of
from anifacegan.face_model.load import load_face_model
from anifacegan.face_model.morphable import MorphableModel

PEOPLE = 50


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return load_face_model(None)


@pytest.mark.parametrize(("name", "most"), [("id", 0.03), ("exp", 0.02), ("tex", 0.09)])
def test_mirrored_coefficients_give_the_mirrored_mesh_and_stay_likely(
    model: MorphableModel, name: str, most: float
) -> None:
    """The error is a share of the mirrored displacements (for tex: colours). A texture's directions that hardly change
    the mesh once got 50 times the coefficients that people have."""
    basis = getattr(model, f"{name}_basis").double().numpy()
    mean = model.mean.double().numpy()
    distance, partner = cKDTree(mean).query(mean * [-1, 1, 1])
    assert distance.max() < 1e-6
    coefficients = np.random.default_rng(0).normal(size=(PEOPLE, basis.shape[-1]))
    mirrored = coefficients @ getattr(mirroring_of(model), name)
    turned = np.ones(3) if name == "tex" else np.array([-1.0, 1.0, 1.0])
    wanted = np.einsum("vck,pk->pvc", basis, coefficients)[:, partner] * turned
    found = np.einsum("vck,pk->pvc", basis, mirrored)
    assert np.linalg.norm(found - wanted) < most * np.linalg.norm(wanted)
    assert mirrored.std(axis=0).max() < 1.5
