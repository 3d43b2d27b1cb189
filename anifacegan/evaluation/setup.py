"""Options, data set and judge that the commands ``evaluate`` and ``compare`` share."""

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
from anifacegan.evaluation.samples import ExpressionSource, SampleConfig
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.models.checkpoints import ModelCard
from anifacegan.rendering.model import Model
from anifacegan.runtime.devices import Device
from anifacegan.runtime.errors import InputError, require_at_least
from anifacegan.runtime.resources import shipped_root
from anifacegan.runtime.typed_config import as_tuple

SHIPPED_JUDGE = Path("checkpoints/judge")
"""Folder of the shipped judge, relative to the package's shipped files."""
EMBEDDED = ("embedding_frechet", "recognition", "disentanglement")
"""Metrics that need the embedder."""
LARGEST_SEED = 2**62
"""Largest seed, so that seeds derived from it by addition fit into 64 bits."""


@dataclass(frozen=True)
class MeasureConfig:
    """Options of the commands that measure models."""

    data: Path
    """Folder or .zip with images and .mat files: the real images, the camera poses of generated faces, and with
    --expressions_from data their expressions."""
    judge: Path | None = None
    """Folder of the judge, a face regressor that was in no loss of the model. null: the shipped checkpoints/judge, if
    it fits the model's face model."""
    metrics: str | tuple[str, ...] = ()
    """One or more of: inception, frechet, embedding_frechet, expression, identity, recognition, disentanglement,
    view_consistency, smoothness, deformation, detection."""
    embedder: str = "judge"
    """Face embedder: judge, dlib, or an .onnx or .pt (TorchScript) file that takes aligned 112 px crops."""
    inception_weights: Path | None = None
    """File of torch-fidelity's Inception weights. null: the file in PyTorch's cache."""
    count: int = 2000
    """Number of generated images for Frechet distances and expression control; up to twice as many real ones are
    used."""
    inception_count: int = 5000
    """Number of generated and of real images for FID, KID and Inception Score."""
    people: int = 40
    """Number of people for identity, recognition and disentanglement."""
    expressions: int = 6
    """Number of expressions of each person for identity, recognition and disentanglement."""
    mesh_faces: int = 200
    """Number of faces for the deformation error."""
    consistency_faces: int = 20
    """Number of faces for the view consistency."""
    ramps: int = 6
    """Number of expression ramps (neutral to full expression) for the temporal smoothness."""
    frames: int = 24
    """Number of frames of each expression ramp."""
    detected_people: int = 300
    """Number of people for the detection rate."""
    detected_expressions: int = 2
    """Number of shipped expressions of each person for the detection rate."""
    bootstrap: int = 100
    """Number of bootstrap draws for the standard deviations of Frechet distances."""
    size: int | None = None
    """Height and width of generated images, pixels; real images are resampled to it. null: the size of the data."""
    psi: float = 1.0
    """Truncation of the appearance latent: 1 is the full variety of people, 0 the average appearance."""
    expressions_from: ExpressionSource = "prior"
    """Source of random expressions: prior, the model's expression prior, or data, random images of the data."""
    seed: int = 1
    """Random seed of latents, poses, real images and bootstrap draws."""
    batch: int = 32
    """Number of images that the judge processes at once; it does not change the results."""
    pitch_offset: float | None = None
    """Pitch of a frontal face in .mat files without an exact pose, radians, to subtract. null: the model card's."""
    face_model: Path | None = None
    """File of the open face model. null: the cached file."""
    device: Device = "auto"
    """Device to compute on; auto is the GPU if PyTorch sees one."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "count", "inception_count", "batch")
        require_at_least(self, 0, "seed", "psi")
        if self.size is not None:
            require_at_least(self, 2, "size")
        if self.seed > LARGEST_SEED:
            raise ValueError(f"seed is {self.seed}, expected at most {LARGEST_SEED}")
        self.evaluation(64)  # EvaluationConfig checks the remaining values

    def evaluation(self, data_size: int, psi: float | None = None) -> EvaluationConfig:
        """Make the configuration of an evaluation.

        Args:
            data_size: size of the data set's images, which applies if ``size`` is None.
            psi: truncation in place of the configured one.
        """
        size, psi = data_size if self.size is None else self.size, self.psi if psi is None else psi
        return EvaluationConfig(
            metrics=as_tuple(self.metrics),
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
    """Data set and judge of an evaluation."""

    dataset: FaceDataset
    size: int
    """Height and width of the data set's images, pixels."""
    judge: Judge | None
    """The judge, or None if there is none for the model's face model."""

    def evaluation(
        self, config: MeasureConfig, model: Model, psi: float | None = None, priors: Model | None = None
    ) -> Evaluation:
        """Prepare the evaluation of a model.

        Args:
            psi: truncation in place of the configured one.
            priors: model whose priors sample the faces, or None for the model's own priors.

        Raises:
            InputError: the embedder or the Inception weights that the user named are unsuitable.
        """
        has_mesh = model.card.face_model == OPEN_FACE_MODEL
        inputs = EvaluationInputs(
            generator=model.generator,
            dataset=self.dataset,
            judge=self.judge,
            head=load_head_geometry(config.face_model) if has_mesh else None,
            embedder=config.embedder,
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
    """Return the neutral expression and the model's presets, or None if it has no presets."""
    if not model.card.presets:
        return None
    return torch.cat([model.expression(name) for name in (None, *model.card.presets)])


def evaluation_setup(config: MeasureConfig, card: ModelCard, device: torch.device) -> EvaluationSetup:
    """Open the data set and the judge for a model.

    Raises:
        InputError: a file or folder cannot be read, the judge belongs to another face model than the model, or
            ``expressions_from`` is data and the data belong to another face model.
    """
    judge = matching_judge(config, card, device)
    size = dataset_image_size(config.data)
    offset = card.pitch_offset if config.pitch_offset is None else config.pitch_offset
    dataset = FaceDataset(DataConfig(config.data, size, offset))
    if config.expressions_from == "data" and dataset.face_model_name != card.face_model:
        raise InputError(
            f"expressions_from: {config.data} belongs to face model '{dataset.face_model_name}', "
            f"expected the model's '{card.face_model}'"
        )
    return EvaluationSetup(dataset, size, judge)


def matching_judge(config: MeasureConfig, card: ModelCard, device: torch.device) -> Judge | None:
    """Load the judge that the user named, or else the shipped one if it fits the model's face model.

    Raises:
        InputError: the judge that the user named cannot be read or belongs to another face model.
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
