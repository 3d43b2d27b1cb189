"""Measures a face reconstruction network on all images of a data set, and formats the errors as a table."""

from anifacegan.cli.measure.config import MeasureRegressorConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.face_model.load import load_face_model
from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.markdown import markdown_table
from anifacegan.training.regressor.data import load_images
from anifacegan.training.regressor.report import AUGMENTED, held_out_report


def measured(config: MeasureRegressorConfig) -> tuple[int, dict[str, float]]:
    """Measure a face reconstruction network on all images of a data set; return the number of images, and the errors by
    name.

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
    """Format the errors as a Markdown table: a row for each, with columns for unchanged and for augmented images."""
    plain = (name for name in report if not name.startswith(AUGMENTED))
    rows = ([name, f"{report[name]:.4g}", f"{report[AUGMENTED + name]:.4g}"] for name in plain)
    return markdown_table([heading, "as they are", "augmented"], rows)
