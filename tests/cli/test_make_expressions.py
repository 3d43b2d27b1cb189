"""mat/ holds the expressions it names, made with the open face model."""

from pathlib import Path

import numpy as np
import pytest

from anifacegan.cli.expressions.run import named_expressions, readme
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL, read_coefficients
from anifacegan.face_model.expressions import PRESETS
from anifacegan.face_model.morphable import MorphableModel

MAT = Path(__file__).resolve().parents[2] / "mat"


def test_there_is_one_file_for_each_named_expression() -> None:
    assert sorted(path.stem for path in MAT.glob("*.mat")) == sorted(PRESETS)
    assert len(PRESETS) == 6


@pytest.mark.parametrize("name", PRESETS)
def test_a_file_is_an_expression_of_nobody_seen_frontally(name: str) -> None:
    face = read_coefficients(MAT / f"{name}.mat")
    assert face.face_model == OPEN_FACE_MODEL
    assert np.linalg.norm(face.exp) > 1
    assert not face.id.any() and not face.tex.any() and not face.angle.any()
    assert face.pose is not None and not face.pose.any()


@pytest.mark.parametrize("name", PRESETS)
def test_landmarks_of_a_file_run_down_from_the_brows_to_the_chin(name: str) -> None:
    y = read_coefficients(MAT / f"{name}.mat").lm68[:, 1]
    assert y[17:27].mean() < y[36:48].mean() < y[30] < y[48:60].mean() < y[8]


def test_the_files_differ() -> None:
    latents = [read_coefficients(MAT / f"{name}.mat").exp for name in PRESETS]
    for k, code in enumerate(latents):
        others = latents[:k] + latents[k + 1 :]
        assert min(np.linalg.norm(code - other) for other in others) > 1


def test_the_readme_is_what_the_command_writes() -> None:
    assert (MAT / "README.md").read_text() == readme(OPEN_FACE_MODEL)


def test_the_readme_names_every_unit_and_strength() -> None:
    text = (MAT / "README.md").read_text()
    for name, units in PRESETS.items():
        line = next(line for line in text.splitlines() if f"`{name}.mat`" in line)
        assert all(f"{unit} {strength:g}" in line for unit, strength in units.items())


def test_the_files_are_what_the_face_model_makes(face_model: MorphableModel) -> None:
    for name, made in named_expressions(None).items():
        shipped = read_coefficients(MAT / f"{name}.mat")
        assert np.allclose(shipped.exp, made.exp, atol=1e-4), f"{name}: run anifacegan expressions"
        assert np.allclose(shipped.lm68, made.lm68, atol=1e-2), name
