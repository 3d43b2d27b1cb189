"""A data set of a few tiny pictures of the tiny head, and a training run on it that takes seconds."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from anifacegan.coefficients import write_coefficients
from anifacegan.config import Reporting, TrainConfig
from anifacegan.data import CoefficientTable, DataConfig, FaceDataset
from anifacegan.models.alignment import AlignmentConfig
from anifacegan.synthetic import load_studio, render_item
from anifacegan.training import Schedule
from anifacegan.warm_start import PriorConfig, ShellConfig
from tests.small_models import SMALL
from tests.tiny_head import write_tiny_file

COUNT, HELD_OUT, SIZE = 8, 2, 24
GENERATOR = dataclasses.replace(SMALL, alignment=AlignmentConfig(hidden_dim=8, layers=2))
"""With all fields there are."""
SCHEDULE = Schedule(
    warm_up_deform=2,
    near_surface=3,
    complete=2,
    batch=2,
    rays=10,
    near_levels=2,
    near_samples=10,
    mesh_faces=2,
    mesh_points=20,
)
REPORTING = Reporting(
    log_every=2,
    preview_every=3,
    preview_size=8,
    sheet_size=8,
    snapshot_every=4,
    keep_snapshots=2,
    held_out=HELD_OUT,
)


def write_tiny_set(folder: Path, count: int = COUNT, size: int = SIZE) -> None:
    """FOLDER/face_model.npz, and FOLDER/data with pictures of it."""
    write_tiny_file(folder / "face_model.npz")
    studio = load_studio(folder / "face_model.npz")
    (folder / "data").mkdir()
    for index in range(count):
        image, face = render_item(studio, 1, index, size, factor=1)
        Image.fromarray(image).save(folder / "data" / f"{index:06d}.png")
        write_coefficients(folder / "data" / f"{index:06d}.mat", face)


def tiny_codes(folder: Path) -> CoefficientTable:
    """Coefficients of the pictures in FOLDER/data."""
    return FaceDataset(DataConfig(folder / "data", SIZE)).load_coefficients()


def tiny_config(folder: Path, out: Path) -> TrainConfig:
    """Seven steps through all three stages."""
    return TrainConfig(
        out=out,
        device="cpu",
        data=DataConfig(folder / "data", SIZE),
        face_model=folder / "face_model.npz",
        generator=GENERATOR,
        priors=PriorConfig(steps=2, batch=8),
        shells=ShellConfig(steps=2, batch=64),
        schedule=SCHEDULE,
        reporting=REPORTING,
    )


def random_codes(count: int, seed: int = 0) -> CoefficientTable:
    """Coefficients of faces that nobody drew."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=rng)

    return CoefficientTable(
        id=normal(80),
        exp=normal(64),
        tex=normal(80),
        gamma=normal(27),
        pose=0.3 * normal(2),
        lm68=112 + 20 * normal(68, 2),
        noise=normal(80),
    )


def packed(seen: np.ndarray) -> np.ndarray:
    """Bits as :class:`anifacegan.surfaces.Surfaces` keeps them."""
    return np.stack([np.packbits(row) for row in seen])
