"""Options of the commands ``evaluate`` and ``compare``, and the data set and the judge that they measure models with.

The judge is a face regressor that is only used for evaluation.
"""

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
from anifacegan.runtime.errors import ConfigError, InputError, require_at_least
from anifacegan.runtime.resources import shipped_root
from anifacegan.runtime.typed_config import as_tuple

SHIPPED_JUDGE = Path("checkpoints/judge")
"""Folder of the shipped judge, relative to the package's shipped files."""
EMBEDDED = ("embedding_frechet", "recognition", "disentanglement")
"""Metrics that need a face embedder, a network that turns a face into an identity vector."""
LARGEST_SEED = 2**62
"""Largest seed: numbers are added to the seed, and the sums must fit into 64 bits."""


@dataclass(frozen=True)
class MeasureConfig:
    """Options of the commands that measure models."""

    data: Path
    """Folder or .zip with images and .mat files. It gives the real images, the camera poses of generated faces and,
    with --expressions_from data, their expressions."""
    judge: Path | None = None
    """Folder of the judge: a face reconstruction network (a network from an image to face coefficients) that was not
    used in any training loss of the model. null: the shipped checkpoints/judge, if it fits the model's face model."""
    metrics: str | tuple[str, ...] = ()
    """Names of the metrics to measure, see :data:`anifacegan.evaluation.config.DEFINITIONS`."""
    embedder: str = "judge"
    """Network that turns a face into a feature vector: judge, dlib, or an .onnx or .pt (TorchScript) file that takes
    aligned crops of 112 px."""
    inception_weights: Path | None = None
    """File of torch-fidelity's Inception weights. null: the file in PyTorch's cache."""
    count: int = 2000
    """Number of generated images for Frechet distances and expression control; up to twice as many real images are
    used."""
    inception_count: int = 5000
    """Number of generated images, and of real images, for FID, KID and Inception Score."""
    people: int = 40
    """Number of generated people for the metrics identity, recognition and disentanglement."""
    expressions: int = 6
    """Number of expressions that each of these people shows; the first one is neutral."""
    mesh_faces: int = 200
    """Number of generated people whose deformation is compared with the face model's mesh, for deformation."""
    consistency_faces: int = 20
    """Number of generated people whose views and depths are compared, for view_consistency."""
    ramps: int = 6
    """Number of expression ramps (faces that go from neutral to a full expression) on which temporal smoothness is
    measured."""
    frames: int = 24
    """Number of images in each expression ramp."""
    detected_people: int = 300
    """Number of generated people in whose images dlib searches for a face, for detection."""
    detected_expressions: int = 2
    """Number of images of each person for detection, each with another of the expressions that the model is shipped
    with."""
    bootstrap: int = 100
    """Number of bootstrap draws (random samples of the images, with replacement) for the standard deviation that is
    reported with a Frechet distance."""
    size: int | None = None
    """Height and width of generated images in pixels; real images are resampled to this size. null: the size of the
    data's images."""
    psi: float = 1.0
    """Truncation psi of the appearance: 1 shows the full variety of people, 0 the average appearance for everyone."""
    expressions_from: ExpressionSource = "prior"
    """Source of the random expressions of generated faces. prior: the model's expression prior; data: random images of
    the data."""
    seed: int = 1
    """Random seed for latents, poses, the choice of real images, and bootstrap draws."""
    batch: int = 32
    """Number of images that the judge processes at once; it does not change the results."""
    pitch_offset: float | None = None
    """Pitch, in radians, that Deep3DFaceRecon reports for a frontal face; it is subtracted. Ignored for .mat files that
    store the exact pose (those of 'anifacegan dataset'). null: the value in the model's card.yaml."""
    face_model: Path | None = None
    """File of the open face model. null: the file that 'anifacegan face-model' keeps in the cache."""
    device: Device = "auto"
    """Device that computes. auto: a GPU if PyTorch finds one, else the CPU."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "count", "inception_count", "batch")
        require_at_least(self, 0, "seed", "psi")
        if self.size is not None:
            require_at_least(self, 2, "size")
        if self.seed > LARGEST_SEED:
            raise ConfigError("seed", self.seed, f"at most {LARGEST_SEED}")
        self.evaluation(64)  # EvaluationConfig checks the remaining values

    def evaluation(self, data_size: int, psi: float | None = None) -> EvaluationConfig:
        """Make the configuration of an evaluation.

        Args:
            data_size: height and width of the data set's images, pixels; used if ``self.size`` is None.
            psi: truncation to use instead of ``self.psi``, or None.
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
    """Data set and judge with which models are evaluated."""

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
            psi: truncation to use instead of ``config.psi``, or None.
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
    """Return the coefficients of the neutral expression and of the model's named expressions; None if it has none."""
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
    """Load the judge that the user named, or else the shipped one if it fits the model's face model; else return None.

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
