"""The data set and the judge that the commands ``evaluate`` and ``compare`` measure models with.

The judge is a face regressor that is only used for evaluation.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.image_contents import dataset_image_size
from anifacegan.data.synthetic.surface.head import load_head_geometry
from anifacegan.evaluation.config import MeasureConfig
from anifacegan.evaluation.evaluate import Evaluation
from anifacegan.evaluation.image_sets import EvaluationInputs
from anifacegan.evaluation.inception import check_weights
from anifacegan.evaluation.judge import Judge, load_judge
from anifacegan.evaluation.metric_options import EMBEDDED
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.face_model.open_model import load_open_face_model
from anifacegan.face_model.trajectories import check_views
from anifacegan.models.checkpoints import ModelCard
from anifacegan.rendering.model import Model
from anifacegan.runtime.errors import InputError, say
from anifacegan.runtime.resources import shipped_root

SHIPPED_JUDGE = Path("checkpoints/judge")
"""Folder of the shipped judge, relative to the package's shipped files."""


@dataclass(frozen=True)
class EvaluationSetup:
    """Data set and judge (a face regressor for evaluation) with which models are evaluated."""

    dataset: FaceDataset
    """Real images with coefficients and camera poses."""
    size: int
    """Height and width of the data set's images, pixels."""
    judge: Judge | None
    """Face regressor for evaluation, or None if there is none for the model's face model."""

    def evaluation(
        self, config: MeasureConfig, model: Model, psi: float | None = None, priors: Model | None = None
    ) -> Evaluation:
        """Prepare the evaluation of a model.

        Args:
            config: which metrics to measure, and on how many images, people and faces.
            model: the model.
            psi: truncation to use instead of ``config.psi``, or None.
            priors: model from whose priors the faces are sampled, or None for the model's own priors.

        Raises:
            InputError: the face embedder or the Inception weights that the user named are unsuitable.
        """
        has_mesh = model.card.face_model == OPEN_FACE_MODEL
        inputs = EvaluationInputs(
            generator=model.generator,
            dataset=self.dataset,
            judge=self.judge,
            head=load_head_geometry(config.face_model) if has_mesh else None,
            embedder=config.embedder,
            trust_torchscript=config.trust_torchscript,
            inception_weights=config.inception_weights,
            expressions=shipped_expressions(model),
            priors=None if priors is None else priors.generator,
        )
        evaluation = Evaluation(inputs, config.evaluation(self.size, psi))
        selected = evaluation.config.metrics
        if config.inception_weights is not None and "inception" in selected:
            check_weights(config.inception_weights)
        if self.judge is not None and not set(EMBEDDED).isdisjoint(selected):
            evaluation.image_sets.load_embedder()
        return evaluation


def shipped_expressions(model: Model) -> Float[Tensor, "expression 64"] | None:
    """Return the coefficients of the neutral expression and of the model's named expressions; None if the model has no
    named expressions."""
    if not model.card.presets:
        return None
    return torch.cat([model.expression(name) for name in (None, *model.card.presets)])


def evaluation_setup(config: MeasureConfig, card: ModelCard, device: torch.device) -> EvaluationSetup:
    """Open the data set, and the judge (a face regressor for evaluation), with which a model is evaluated.

    ``card`` has the facts about the model, such as its face model; ``device`` is where the judge computes.

    Raises:
        InputError: a file or folder cannot be read, an image is seen from where faces are not rendered, the judge
            belongs to another face model than the model, or ``expressions_from`` is data and the data belong to another
            face model.
    """
    judge = matching_judge(config, card, device)
    size = dataset_image_size(config.data)
    offset = card.pitch_offset if config.pitch_offset is None else config.pitch_offset
    dataset = FaceDataset(DataConfig(config.data, size, offset), poses_suffice=True, option=None)
    for name, pose in zip(dataset.names, dataset.poses, strict=True):
        check_views(pitch=pose[:1], yaw=pose[1:], place=f"{config.data / name}: ")
    if config.expressions_from == "data":
        for item in range(len(dataset)):
            dataset.face(item)  # an image with a camera pose only is refused
    if config.expressions_from == "data" and dataset.face_model_name != card.face_model:
        raise InputError(
            f"expressions_from: {config.data} belongs to face model '{dataset.face_model_name}', "
            f"expected the model's '{card.face_model}'"
        )
    return EvaluationSetup(dataset, size, judge)


def matching_judge(config: MeasureConfig, card: ModelCard, device: torch.device) -> Judge | None:
    """Load the judge, a face regressor for evaluation.

    If the user named no judge, the shipped one is loaded if it belongs to the model's face model; otherwise None is
    returned. ``card`` has the facts about the model; ``device`` is where the judge computes.

    Raises:
        InputError: the judge or face model that the user named cannot be read, or they do not belong together.
    """
    fits = card.face_model == OPEN_FACE_MODEL
    if config.judge is not None:
        if not fits:
            raise InputError(
                f"judge: model '{card.name}' takes '{card.face_model}', a judge knows '{OPEN_FACE_MODEL}'"
            )
        return load_judge(config.judge, config.face_model, device)
    shipped = shipped_root() / SHIPPED_JUDGE
    if not fits or not shipped.is_dir():
        return None
    if config.face_model is not None:
        load_open_face_model(config.face_model)  # the user's file, whose mistakes are no fault of the judge's
    try:
        return load_judge(shipped, config.face_model, device)
    except InputError as error:
        say(f"the shipped judge is not used: {error}")
        return None
