"""Training data and their face model: mirror images of photographs."""

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
