"""Sets of images that several metrics use; each set is rendered once.

The images are measured by two networks: the judge, a face regressor that is only used for evaluation, and the embedder,
which turns a face into an identity vector. A network is loaded before anything is rendered for it, so that a missing
file is reported at once.

The main set has random people, expressions and camera poses. The other sets are grids, ordered by person. In a grid,
one thing changes between the images of a person: the expression, the yaw or the appearance latent.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from anifacegan.data.dataset import CoefficientTable, FaceDataset
from anifacegan.data.synthetic.surface.head import HeadGeometry
from anifacegan.evaluation.config import EvaluationConfig, SampleConfig
from anifacegan.evaluation.disentanglement import FaceMeasurements
from anifacegan.evaluation.embedders import Embedder, load_embedder
from anifacegan.evaluation.judge import (
    Judge,
    JudgeOutputs,
    float_batches,
    judge_images,
    real_batches,
    real_items,
)
from anifacegan.evaluation.samples import (
    appearance_grid_views,
    expression_grid_views,
    render_views,
    sample_views,
    yaw_grid_views,
)
from anifacegan.evaluation.targets import MM_PER_WORLD, target_landmarks_px
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.runtime.errors import InputError

YAWS = (0.0, -0.5, -0.25, 0.25, 0.5)
"""Yaws from which each person of the yaw grid is shown, radians; the first one is the frontal view."""


@dataclass(frozen=True)
class EvaluationInputs:
    """The evaluated model, and the data, networks and files that its evaluation needs.

    All networks are on the generator's device.
    """

    generator: Generator
    """Generator of the evaluated model."""
    dataset: FaceDataset
    """Data set with real images and camera poses."""
    judge: Judge | None = None
    """Face regressor for evaluation, or None if there is none for the generator's face model."""
    head: HeadGeometry | None = None
    """Mesh of the generator's face model, or None if it is not available."""
    embedder: str = "judge"
    """Name or file of the face embedder, see :mod:`anifacegan.evaluation.embedders`."""
    trust_torchscript: bool = False
    """Whether an embedder in a TorchScript file may be run."""
    inception_weights: Path | None = None
    """File of Inception weights, or None for the file in PyTorch's cache."""
    expressions: Float[Tensor, "expression 64"] | None = None
    """Coefficients of the expressions that the model is shipped with, including the neutral one; None if it is shipped
    without expressions."""
    priors: Generator | None = None
    """Generator whose priors people and expressions are sampled from, or None for the evaluated generator itself."""


class ImageSets:
    """Generated and real images of an evaluation, cached for the lifetime of this object."""

    def __init__(self, inputs: EvaluationInputs, config: EvaluationConfig) -> None:
        self.inputs, self.config, self.samples = inputs, config, config.samples
        self.generator, self.device = inputs.generator, inputs.generator.device
        self.priors = inputs.generator if inputs.priors is None else inputs.priors
        self.fov_deg = inputs.generator.config.ray_sampling.fov_deg
        self._images = torch.zeros(0, 3, self.samples.size, self.samples.size, dtype=torch.uint8)
        self._embedder: Embedder | None = None

    @property
    def judge(self) -> Judge:
        """The judge: the face regressor (network from an image to face coefficients) for evaluation.

        Raises:
            InputError: there is no judge.
        """
        return self.require_judge()

    def require_judge(self) -> Judge:
        """Return the judge: the face regressor (network from an image to face coefficients) for evaluation.

        Raises:
            InputError: there is no judge.
        """
        if self.inputs.judge is None:
            raise InputError("no judge given, expected --judge FOLDER with a face reconstruction network")
        return self.inputs.judge

    @property
    def head(self) -> HeadGeometry:
        """The mesh of the generator's face model.

        Raises:
            InputError: there is no mesh of this face model.
        """
        if self.inputs.head is None:
            raise InputError("no mesh of the model's face model here; known is the open face model's")
        return self.inputs.head

    def load_embedder(self) -> Embedder:
        """Return the face embedder, the network from a face image to an identity vector.

        The first call loads the embedder.

        Raises:
            InputError: there is no such embedder, or no face regressor for evaluation (judge).
        """
        if self._embedder is None:
            judge = self.judge
            inputs = self.inputs
            self._embedder = load_embedder(
                inputs.embedder,
                judge.network,
                judge.name,
                self.device,
                trust_torchscript=inputs.trust_torchscript,
            )
        return self._embedder

    @property
    def loaded_embedder_name(self) -> str | None:
        """Name of the face embedder, or None if it has not been loaded."""
        return None if self._embedder is None else self._embedder.name

    @cached_property
    def table(self) -> CoefficientTable:
        """Face coefficients and camera poses of all images of the data set."""
        return self.inputs.dataset.load_coefficients()

    @property
    def data_exp(self) -> Float[Tensor, "item 64"] | None:
        """Expression coefficients of the data set's images, or None if expressions are sampled from the prior."""
        return self.table.exp if self.config.expressions_from == "data" else None

    def views(self, count: int) -> PosedLatents:
        """Return the latents and camera poses of the first ``count`` images of random people with random
        expressions.
        """
        return self.sample(count, self.samples.seed)

    def sample(self, count: int, seed: int) -> PosedLatents:
        """Sample the latents and camera poses of ``count`` images of random people with a seed."""
        poses = torch.from_numpy(self.inputs.dataset.poses)
        config = SampleConfig(count, seed, views=self.samples.views)
        return sample_views(self.priors, poses, config, self.data_exp)

    def generated(self, count: int) -> UInt8[Tensor, "item 3 size size"]:
        """Return the first ``count`` images of random people; images that are not rendered yet are rendered now."""
        available = len(self._images)
        if count > available:
            more = render_views(self.generator, self.views(count)[available:], self.samples)
            self._images = torch.cat([self._images, more])
        return self._images[:count]

    def real_items(self, count: int) -> Int[Tensor, "item"]:
        """Return the indices of ``count`` random images of the data set; they depend on the seed only."""
        return real_items(count, len(self.inputs.dataset), torch.Generator().manual_seed(self.samples.seed))

    def real(self, count: int) -> Iterable[Float[Tensor, "batch 3 size size"]]:
        """Read ``count`` random images of the data set in batches, colours in [0, 1]."""
        dataset, samples = self.inputs.dataset, self.samples
        return real_batches(dataset, self.real_items(count), samples.size, samples.batch, self.device)

    @cached_property
    def judge_outputs(self) -> JudgeOutputs:
        """Features and face coefficients that the judge, the face regressor for evaluation, estimates in the images of
        random people.
        """
        judge = self.judge  # raises before any image is rendered
        images = self.generated(self.samples.count)
        return judge_images(judge, float_batches(images, self.samples.batch, self.device))

    def judge_images(self, images: UInt8[Tensor, "item 3 size size"]) -> JudgeOutputs:
        """Return the features and face coefficients that the judge, the face regressor for evaluation, estimates in
        8-bit images.
        """
        return judge_images(self.judge, float_batches(images, self.samples.batch, self.device))

    def embed_views(
        self, views: PosedLatents, images: UInt8[Tensor, "item 3 size size"]
    ) -> Float[Tensor, "item feature"]:
        """Compute the identity vectors of the faces in ``images``.

        Landmarks, by which the faces are aligned, are not detected. They are computed from ``views``, the latents and
        poses of the images.
        """
        judge, size = self.judge, self.samples.size
        landmarks = target_landmarks_px(judge.landmarks, judge.world_offset, views, size, self.fov_deg)
        return self.embed(float_batches(images, self.samples.batch, self.device), landmarks)

    @torch.no_grad()
    def embed(
        self, batches: Iterable[Tensor], landmarks_px: Float[Tensor, "item 68 2"]
    ) -> Float[Tensor, "item feature"]:
        """Compute the identity vectors of faces.

        ``batches`` are (B, 3, size, size) images in [0, 1]. ``landmarks_px`` are the landmarks of all images, in the
        order of the images; pixels, integers at pixel centres.
        """
        parts, embedder = landmarks_px.split(self.samples.batch), self.load_embedder()
        return torch.cat([embedder.embed(rgb, px).float() for rgb, px in zip(batches, parts, strict=True)])

    def landmarks_mm(
        self, z_id: Float[Tensor, "item 80"], z_exp: Float[Tensor, "item 64"]
    ) -> Float[Tensor, "item 68 3"]:
        """Compute the face model's 68 landmarks in space, millimetres, from identity and expression coefficients.

        The landmarks are those of the face without a head pose.
        """
        unposed = self.judge.landmarks.unposed(z_id.to(self.device), z_exp.to(self.device))
        return MM_PER_WORLD * WORLD_PER_MODEL_UNIT * unposed

    @cached_property
    def expression_grid(self) -> tuple[PosedLatents, Tensor]:
        """Frontal images of each person with several expressions, the first one neutral.

        A pair: latents and poses, and the 8-bit images; both are ordered by person.
        """
        people, expressions = self.config.people, self.config.expressions
        views = expression_grid_views(self.priors, people, expressions, self.samples.seed, self.data_exp)
        return views, self.render_for_judge(views)

    @cached_property
    def yaw_grid(self) -> tuple[PosedLatents, Tensor]:
        """Images of each person with a neutral expression from several yaws, the first one frontal.

        A pair: latents and poses, and the 8-bit images; both are ordered by person.
        """
        views = yaw_grid_views(self.priors, self.config.people, YAWS, self.samples.seed)
        return views, self.render_for_judge(views)

    @cached_property
    def appearance_grid(self) -> tuple[PosedLatents, Tensor]:
        """Frontal images of each person with several appearance latents z_noise; the first one is the person's own.

        A pair: latents and poses, and the 8-bit images; both are ordered by person.
        """
        people, appearances = self.config.people, self.config.appearances
        views = appearance_grid_views(self.priors, people, appearances, self.samples.seed)
        return views, self.render_for_judge(views)

    def render_for_judge(self, views: PosedLatents) -> UInt8[Tensor, "item 3 size size"]:
        """Render views to 8-bit images, which a face regressor for evaluation (the judge) will measure.

        Raises:
            InputError: there is no judge; in this case nothing is rendered.
        """
        self.require_judge()
        return render_views(self.generator, views, self.samples)

    def measure_faces(
        self, views: PosedLatents, images: UInt8[Tensor, "item 3 size size"]
    ) -> FaceMeasurements:
        """Measure identity vectors, expression coefficients, head angles and landmarks in images.

        The images are ordered by person, with the same number of images for each person. ``views`` are the latents and
        poses that the images were generated from.
        """
        outputs, people = self.judge_images(images), (self.config.people, -1)
        face = outputs.face
        return FaceMeasurements(
            embedding=self.embed_views(views, images).unflatten(0, people),
            exp=face.exp.unflatten(0, people),
            angle_deg=torch.rad2deg(face.angle).unflatten(0, people),
            landmarks_mm=self.landmarks_mm(face.id, face.exp).unflatten(0, people),
        )
