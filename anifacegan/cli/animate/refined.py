"""Writes a model that was fine-tuned to the photograph, and stills of the person in it."""

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from anifacegan.capture.painted_head import PhotoView
from anifacegan.capture.photo_avatar import PhotoAvatar
from anifacegan.capture.refined_model import PERSON, RefinedPerson, refined_person
from anifacegan.face_model.expressions import ExpressionInput
from anifacegan.models.model_folder import CARD, TENSORS
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.model import Model
from anifacegan.training.refinement.config import RefinementConfig

FOLDER, REFINED_BESIDE = "refined", "refined_beside_photograph.png"
"""Folder of the refined model in the output folder, and the image of the person in it."""
REFINED_FILES = (*(f"{FOLDER}/{name}" for name in (TENSORS, CARD, PERSON)), REFINED_BESIDE)


def write_refined(
    folder: Path, model: Model, made: PhotoAvatar, view: PhotoView, config: RefinementConfig
) -> RefinedPerson:
    """Fine-tune the model to the person of a photograph, and write the model's folder and the person's latents.

    Raises:
        InputError: the losses are not finite, or the folder cannot be written.
    """
    progress = partial(tqdm, unit="step", disable=None)
    refined = refined_person(model, made, view, config, progress)
    refined.save(folder / FOLDER)
    return refined


def refined_still(
    refined: RefinedPerson,
    size: int,
    *,
    yaw: float = 0.0,
    pitch: float = 0.0,
    expression: ExpressionInput = None,
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw the person with the refined model's networks; angles are radians from frontal."""
    return to_bytes(refined.face(expression).render(yaw=yaw, pitch=pitch, size=size))
