#!/usr/bin/env python3
"""Measure a face reconstruction network on images with exact coefficients, as they are and augmented.

    python scripts/make_synthetic_dataset.py --out data/judged256 --count 4000 --size 256 --seed 9
    python scripts/measure_reconstruction.py --network checkpoints/reconstruction --data.path data/judged256

Prints a table; docs/reconstruction.md says what its rows are.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from anifacegan.data.augmentation import AugmentationConfig
from anifacegan.data.dataset import DataConfig, FaceDataset
from anifacegan.face_model.load import load_face_model
from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.runtime.devices import Device, select_device
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.files import markdown_table
from anifacegan.runtime.typed_config import read_config
from anifacegan.training.regressor.data import load_images
from anifacegan.training.regressor.report import AUGMENTED, held_out_report


@dataclass(frozen=True)
class MeasureReconstructionConfig:
    """Measure a face reconstruction network."""

    data: DataConfig
    """Images, and files with their exact coefficients, of people that it was not trained on."""
    network: Path = Path("checkpoints/reconstruction")
    """Its folder."""
    face_model: Path | None = None
    """File of the open face model, or BFM_model_front.mat; the open one in the cache where this is empty."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Of the images of the second column."""
    device: Device = "auto"


def measured(config: MeasureReconstructionConfig) -> tuple[int, dict[str, float]]:
    """How many images, and :func:`held_out_report` of them.

    Raises:
        InputError: a file cannot be read, or network, data and face model do not belong together.
    """
    network, card = load_face_regressor(config.network)
    dataset, model = FaceDataset(config.data), load_face_model(config.face_model)
    if card.face_model != model.name:
        raise InputError(
            f"{config.network}: belongs to face model '{card.face_model}', expected '{model.name}'"
        )
    dataset.require_face_model(model.name)
    device = select_device(config.device)
    images = load_images(dataset, network.config.frame)
    landmarks = FaceLandmarks(model, network.config.camera).to(device)
    return len(images), held_out_report(network.to(device), landmarks, images, config.augmentation)


def table(report: dict[str, float], heading: str) -> str:
    """Markdown: a row for each error, images as they are beside augmented ones."""
    plain = (name for name in report if not name.startswith(AUGMENTED))
    rows = ([name, f"{report[name]:.4g}", f"{report[AUGMENTED + name]:.4g}"] for name in plain)
    return markdown_table([heading, "as they are", "augmented"], rows)


def main() -> None:
    with exit_on_input_error():
        config = read_config(MeasureReconstructionConfig, sys.argv[1:], "measure_reconstruction.py")
        count, report = measured(config)
        print(table(report, f"{config.network}, {count} images"))


if __name__ == "__main__":
    main()
