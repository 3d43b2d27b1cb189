"""Training data and their face model: mirror images of photographs, the expression of the template."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.data.config import DataConfig
from anifacegan.face_model.coefficients import read_coefficients, write_coefficients
from anifacegan.runtime.errors import InputError
from anifacegan.training.sources import load_source
from tests.fixtures.tiny_training_set import COUNT, SIZE, write_tiny_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tiny")
    write_tiny_set(made)
    return made


def test_photographs_of_the_open_face_model_are_mirrored_on_request(folder: Path, tmp_path: Path) -> None:
    """Without appearance latents a data set holds photographs."""
    (tmp_path / "data").mkdir()
    for path in sorted((folder / "data").iterdir()):
        if path.suffix == ".mat":
            face = dataclasses.replace(read_coefficients(path), noise=None)
            write_coefficients(tmp_path / "data" / path.name, face)
        else:
            (tmp_path / "data" / path.name).write_bytes(path.read_bytes())
    source = load_source(DataConfig(tmp_path / "data", SIZE, mirror=True), folder / "face_model.npz")
    assert len(source.dataset) == 2 * COUNT and len(source.latents.id) == 2 * COUNT
    np.testing.assert_array_equal(source.latents.pose[COUNT:, 1], -source.latents.pose[:COUNT, 1])
    assert torch.equal(source.dataset[COUNT].image, source.dataset[0].image.flip(1))


def test_synthetic_images_are_not_mirrored(folder: Path) -> None:
    with pytest.raises(InputError, match="data.mirror is true, expected false: .* holds synthetic images"):
        load_source(DataConfig(folder / "data", SIZE, mirror=True), folder / "face_model.npz")


def test_the_templates_expression_has_names_of_the_face_model(folder: Path) -> None:
    source = load_source(DataConfig(folder / "data", SIZE), folder / "face_model.npz")
    assert not source.template_exp("neutral").any()
    units = source.units()
    assert units is not None
    unit = units.known_names[0]
    np.testing.assert_array_equal(source.template_exp(f"{unit}=0.3"), units.from_strengths({unit: 0.3}))
    with pytest.raises(InputError, match="^generator.template_expression: expression 'grin' is not known"):
        source.template_exp("grin=0.3")


def test_a_face_model_without_names_has_a_neutral_template(folder: Path) -> None:
    source = load_source(DataConfig(folder / "data", SIZE), folder / "face_model.npz")
    unnamed = dataclasses.replace(source, synthetic_renderer=None)
    assert not unnamed.template_exp("neutral").any()
    with pytest.raises(InputError, match="template_expression: .*no named expressions; expected neutral"):
        unnamed.template_exp("jawOpen=0.1")
