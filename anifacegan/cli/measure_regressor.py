"""``anifacegan measure``: measure a face reconstruction network on images with known coefficients.

docs/face_model.md explains the rows of the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anifacegan.data.augmentation import AugmentationConfig
from anifacegan.data.dataset import DataConfig
from anifacegan.runtime.devices import Device, select_device
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import markdown_table
from anifacegan.runtime.typed_config import read_config


@dataclass(frozen=True)
class MeasureRegressorConfig:
    """Measure the errors of a face reconstruction network (a network that estimates face coefficients from an image) on
    images whose true coefficients are known, such as those of 'anifacegan dataset'. The errors are measured twice: on
    the images as they are, and on augmented ones.
    """

    data: DataConfig
    """Data set of images with their exact coefficients, of people that the network was not trained on."""
    network: Path = Path("checkpoints/reconstruction")
    """Folder of the face reconstruction network."""
    face_model: Path | None = None
    """File of the face model that network and data belong to: an open face model or BFM_model_front.mat. null: the open
    face model in the cache."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """How the images are changed at random for the table's column 'augmented'."""
    device: Device = "auto"
    """Device that computes. auto: a GPU if PyTorch finds one, else the CPU."""


def measured(config: MeasureRegressorConfig) -> tuple[int, dict[str, float]]:
    """Measure the network on all images; return the number of images and the errors, as :func:`held_out_report` does.

    Raises:
        InputError: a file cannot be read, or network, data and face model do not belong together.
    """
    from anifacegan.data.dataset import FaceDataset
    from anifacegan.face_model.load import load_face_model
    from anifacegan.face_model.regressed import FaceLandmarks
    from anifacegan.models.regressor_checkpoints import load_face_regressor
    from anifacegan.training.regressor.data import load_images
    from anifacegan.training.regressor.report import held_out_report

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
    """Format the errors as a Markdown table: a row for each, with columns for unchanged and for augmented images."""
    from anifacegan.training.regressor.report import AUGMENTED

    plain = (name for name in report if not name.startswith(AUGMENTED))
    rows = ([name, f"{report[name]:.4g}", f"{report[AUGMENTED + name]:.4g}"] for name in plain)
    return markdown_table([heading, "as they are", "augmented"], rows)


def main(arguments: Sequence[str]) -> None:
    """Run the subcommand; prints a table.

    Raises:
        InputError: a wrong option or file, or network, data and face model that do not belong together.
    """
    config = read_config(MeasureRegressorConfig, arguments, "anifacegan measure")
    count, report = measured(config)
    print(table(report, f"{config.network}, {count} images"))
