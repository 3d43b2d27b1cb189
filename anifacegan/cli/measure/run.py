"""Measures a face reconstruction network on all images of a data set, and formats the errors as a table."""

from anifacegan.cli.measure.config import MeasureRegressorConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.mirroring import mirroring_of
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.face_model.load import load_face_model
from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.markdown import markdown_table
from anifacegan.training.regressor.data import load_images
from anifacegan.training.regressor.report import AUGMENTED, WITH_MIRROR_IMAGES, held_out_report


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
    mirroring = mirroring_of(model) if model.name == OPEN_FACE_MODEL else None
    report = held_out_report(network.to(device), landmarks, images, config.augmentation, mirroring)
    return len(images), report


def table(report: dict[str, float], heading: str) -> str:
    """Format the errors as a Markdown table: a row for each, with columns for unchanged and for augmented images, and
    one for the mean with the mirror image where the report has it.
    """
    columns = {"": "as they are", WITH_MIRROR_IMAGES: "mean with the mirror image", AUGMENTED: "augmented"}
    names = [name for name in report if not name.startswith((AUGMENTED, WITH_MIRROR_IMAGES))]
    shown = [prefix for prefix in columns if prefix + names[0] in report]
    rows = ([name, *(f"{report[prefix + name]:.4g}" for prefix in shown)] for name in names)
    return markdown_table([heading, *(columns[prefix] for prefix in shown)], rows)
