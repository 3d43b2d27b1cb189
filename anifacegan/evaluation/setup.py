"""What the commands that measure models share: their options, what they open, and what they say of it."""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.data.dataset import DataConfig, FaceDataset, dataset_image_size
from anifacegan.data.synthetic.head import load_head_geometry
from anifacegan.evaluation.config import EvaluationConfig
from anifacegan.evaluation.evaluate import Evaluation
from anifacegan.evaluation.image_sets import EvaluationInputs
from anifacegan.evaluation.inception import check_weights
from anifacegan.evaluation.judge import Judge, load_judge
from anifacegan.evaluation.samples import SampleConfig, Source
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.models.checkpoints import ModelCard
from anifacegan.rendering.model import Model
from anifacegan.runtime.devices import Device
from anifacegan.runtime.errors import InputError, require_at_least
from anifacegan.runtime.resources import shipped_root

SHIPPED_JUDGE = Path("checkpoints/judge")
EMBEDDED = ("embedding_frechet", "recognition", "disentanglement")
"""Metrics that ask the embedder."""
LARGEST_SEED = 2**62
"""What is added to a seed stays within 64 bits."""


@dataclass(frozen=True)
class MeasureConfig:
    """What is looked at, by whom, and how much of it."""

    data: Path
    """Folder or .zip with images and .mat files: real images, and the poses that faces are generated in; their
    expressions too, where ``expressions_from`` says so."""
    judge: Path | None = None
    """Folder of a face reconstruction network that was in no loss of the model. null: the shipped checkpoints/judge,
    where it knows the model's faces."""
    metrics: str | tuple[str, ...] = ()
    """One name or several, of: inception, frechet, embedding_frechet, expression, identity, recognition,
    disentanglement, view_consistency, smoothness, deformation, detection."""
    embedder: str = "judge"
    """Who recognises faces: judge, dlib, or a file .onnx or .pt (TorchScript) that takes aligned 112 px crops."""
    inception_weights: Path | None = None
    """torch-fidelity's weights file. null: the one in PyTorch's cache."""
    count: int = 2000
    """Generated images for Frechet distances and expression control; twice as many real ones."""
    inception_count: int = 5000
    """Generated images, and real ones, for FID, KID and IS."""
    people: int = 40
    """People of identity, recognition and disentanglement."""
    expressions: int = 6
    """Expressions of each of them."""
    mesh_faces: int = 200
    """Faces of the deformation error."""
    consistency_faces: int = 20
    """Faces of the view consistency."""
    ramps: int = 6
    """Expression ramps of the temporal smoothness."""
    frames: int = 24
    """Frames of a ramp."""
    detected_people: int = 300
    """People whom the detector looks for."""
    detected_expressions: int = 2
    """Shipped expressions that each of them shows."""
    bootstrap: int = 100
    """Draws for the deviations of Frechet distances."""
    size: int | None = None
    """Height and width of generated images, to which real ones are brought, pixels. null: that of the data."""
    psi: float = 1.0
    """Variety of people."""
    expressions_from: Source = "prior"
    """Whether drawn expressions are those of the model's prior or of random images of the data."""
    seed: int = 1
    """Of everything that is drawn."""
    batch: int = 32
    """Images that are judged at once; changes no result."""
    pitch_offset: float | None = None
    """Subtracted from the files' pitch where they have no exact pose, radians. null: as the model's card says."""
    face_model: Path | None = None
    """File of the open face model. null: the cached one."""
    device: Device = "auto"
    """Where the networks run. auto: the GPU where PyTorch sees one."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "count", "inception_count", "batch")
        require_at_least(self, 0, "seed", "psi")
        if self.size is not None:
            require_at_least(self, 2, "size")
        if self.seed > LARGEST_SEED:
            raise ValueError(f"seed is {self.seed}, expected at most {LARGEST_SEED}")
        self.evaluation(64)  # refuses what it cannot take

    def evaluation(self, size: int, psi: float | None = None) -> EvaluationConfig:
        """The same for the package, with images of this size where none is chosen."""
        size, psi = size if self.size is None else self.size, self.psi if psi is None else psi
        return EvaluationConfig(
            metrics=(self.metrics,) if isinstance(self.metrics, str) else self.metrics,
            samples=SampleConfig(self.count, self.seed, size, psi, self.batch),
            expressions_from=self.expressions_from,
            bootstrap=self.bootstrap,
            inception_count=self.inception_count,
            people=self.people,
            expressions=self.expressions,
            mesh_faces=self.mesh_faces,
            consistency_faces=self.consistency_faces,
            ramps=self.ramps,
            frames=self.frames,
            detected_people=self.detected_people,
            detected_expressions=self.detected_expressions,
        )


@dataclass(frozen=True)
class EvaluationSetup:
    """What a model is measured with."""

    dataset: FaceDataset
    size: int
    """Of the data set's images, pixels."""
    judge: Judge | None

    def evaluation(
        self, config: MeasureConfig, model: Model, psi: float | None = None, priors: Model | None = None
    ) -> Evaluation:
        """Measures a model; ``priors`` draw the faces, the model's own where there are none.

        Raises:
            InputError: a file that the user named for a metric is not what it should be.
        """
        known = model.card.face_model == OPEN_FACE_MODEL
        inputs = EvaluationInputs(
            model.generator,
            self.dataset,
            self.judge,
            load_head_geometry(config.face_model) if known else None,
            config.embedder,
            config.inception_weights,
            shipped_expressions(model),
            None if priors is None else priors.generator,
        )
        evaluation = Evaluation(inputs, config.evaluation(self.size, psi))
        selected = evaluation.config.metrics
        if config.inception_weights is not None and "inception" in selected:
            check_weights(config.inception_weights)
        if self.judge is not None and not set(EMBEDDED).isdisjoint(selected):
            evaluation.image_sets.require_embedder()
        return evaluation


def shipped_expressions(model: Model) -> Float[Tensor, "expression 64"] | None:
    """Neutral, and the model's presets; None where it has no presets."""
    if not model.card.presets:
        return None
    return torch.cat([model.expression(name) for name in (None, *model.card.presets)])


def evaluation_setup(config: MeasureConfig, card: ModelCard, device: torch.device) -> EvaluationSetup:
    """Open the data set and the judge for a model.

    Raises:
        InputError: a file or folder cannot be read, the judge cannot know this model's faces, or expressions of the
            data are asked for that mean something else to the model.
    """
    judge = matching_judge(config, card, device)
    size = dataset_image_size(config.data)
    offset = card.pitch_offset if config.pitch_offset is None else config.pitch_offset
    dataset = FaceDataset(DataConfig(config.data, size, offset))
    if config.expressions_from == "data" and dataset.face_model_name != card.face_model:
        came = f"{config.data} belongs to face model '{dataset.face_model_name}'"
        raise InputError(f"expressions_from: {came}, expected the model's '{card.face_model}'")
    return EvaluationSetup(dataset, size, judge)


def matching_judge(config: MeasureConfig, card: ModelCard, device: torch.device) -> Judge | None:
    """The judge, where there is one: the user's, or the shipped one if it fits.

    Raises:
        InputError: the user's cannot be read, or it cannot know this model's faces.
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
    try:
        return load_judge(shipped, config.face_model, device)
    except InputError as error:
        print(f"the shipped judge is not used: {error}", file=sys.stderr)
        return None
