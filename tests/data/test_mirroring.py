"""Mirroring of the open face model's coefficients, computed from its mesh."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from anifacegan.data.mirroring import MIRRORED_LANDMARKS, mirroring_of
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL, FaceCoefficients
from anifacegan.face_model.load import load_face_model
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.regressed import FIELD_COLUMNS, FaceLandmarks, Reconstruction

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


def random_rows(count: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(3)
    rows = torch.randn(count, 257, generator=rng, dtype=torch.float64)
    for name in ("angle", "trans"):
        rows[:, FIELD_COLUMNS[name]] *= 0.2
    return rows


def test_rows_are_mirrored_as_the_coefficients_of_a_face_are(model: MorphableModel) -> None:
    rows, mirroring = random_rows(3), mirroring_of(model)
    for row, mirrored in zip(rows, mirroring.mirrored_rows(rows), strict=True):
        fields = {name: row[columns].numpy() for name, columns in FIELD_COLUMNS.items()}
        expected = mirroring.mirrored(FaceCoefficients(**fields, lm68=None, face_model=OPEN_FACE_MODEL))
        for name, columns in FIELD_COLUMNS.items():
            np.testing.assert_allclose(mirrored[columns], getattr(expected, name), rtol=1e-5, atol=1e-5)


def test_landmarks_of_mirrored_rows_are_in_the_mirror_image(model: MorphableModel) -> None:
    """Tolerance: identities are mirrored to 2 % of their displacements, which the regularised solution leaves."""
    size, landmarks, rows = 128, FaceLandmarks(model, "generator"), random_rows(4).float()
    seen, mirrored = (
        landmarks.pixels(Reconstruction.from_rows(some), size)
        for some in (rows, mirroring_of(model).mirrored_rows(rows))
    )
    expected = seen[:, list(MIRRORED_LANDMARKS)] * torch.tensor([-1.0, 1.0]) + torch.tensor([size - 1.0, 0.0])
    assert (mirrored - expected).norm(dim=-1).mean() < 0.5


def test_an_estimate_of_the_mirror_image_is_mirrored_back(model: MorphableModel) -> None:
    """A network that reads the mean colours of the left and of the right half, and knows no symmetry."""
    weights = torch.randn(6, 257, generator=torch.Generator().manual_seed(4))

    def network(images: torch.Tensor) -> Reconstruction:
        halves = [half.mean(dim=(2, 3)) for half in images.chunk(2, dim=3)]
        return Reconstruction.from_rows(torch.cat(halves, dim=1) @ weights)

    images, mirroring = (
        torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(5)),
        mirroring_of(model),
    )
    plain, mirrored = mirroring.estimates_of_both(network, images)
    assert torch.equal(plain, network(images).rows())
    # The estimates of the flipped images are the same two, each mirrored. Mirroring twice leaves 2 to 9 % of a field.
    other, again = mirroring.estimates_of_both(network, images.flip(3))
    torch.testing.assert_close(mirroring.mirrored_rows(other), mirrored)
    torch.testing.assert_close(mirroring.mirrored_rows(plain), again)
    assert not torch.allclose(plain, mirrored, atol=0.1)
