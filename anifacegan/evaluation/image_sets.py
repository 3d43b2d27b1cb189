"""What metrics look at: images, rendered once, and what the judge and the embedder see in them.

Nothing is rendered before the judge is known to be there.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from anifacegan.data.dataset import CoefficientTable, FaceDataset
from anifacegan.data.synthetic.head import HeadGeometry
from anifacegan.evaluation.config import EvaluationConfig
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
    SampleConfig,
    appearance_grid_views,
    expression_grid_views,
    render_views,
    sample_views,
    yaw_grid_views,
)
from anifacegan.evaluation.targets import MM_PER_WORLD, target_landmarks_px
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.models.generator import Generator
from anifacegan.models.sampling import PosedLatents
from anifacegan.runtime.errors import InputError

YAWS = (0.0, -0.5, -0.25, 0.25, 0.5)
"""Radians; the first is the unchanged one."""


@dataclass(frozen=True)
class EvaluationInputs:
    """What is judged, and by whom; everything on the generator's device."""

    generator: Generator
    dataset: FaceDataset
    judge: Judge | None = None
    head: HeadGeometry | None = None
    """The generator's face model, where there is a mesh of it."""
    embedder: str = "judge"
    """See :mod:`anifacegan.metrics.embedders`."""
    inception_weights: Path | None = None
    """See :mod:`anifacegan.metrics.inception`."""
    expressions: Float[Tensor, "expression 64"] | None = None
    """Coefficients of the expressions that the model is shipped with, the neutral one among them."""
    priors: Generator | None = None
    """Whose priors draw the people, and expressions of the prior, that are asked for. None: the generator's own."""


class ImageSets:
    """Images of a set of inputs, and of its data set, kept for as long as this object is."""

    def __init__(self, inputs: EvaluationInputs, config: EvaluationConfig) -> None:
        self.inputs, self.config, self.samples = inputs, config, config.samples
        self.generator, self.device = inputs.generator, inputs.generator.device
        self.priors = inputs.generator if inputs.priors is None else inputs.priors
        self.fov_deg = inputs.generator.config.ray_sampling.fov_deg
        self._images = torch.zeros(0, 3, self.samples.size, self.samples.size, dtype=torch.uint8)

    @property
    def judge(self) -> Judge:
        """Raises an InputError where there is none."""
        if self.inputs.judge is None:
            raise InputError("no judge given, expected --judge FOLDER with a face reconstruction network")
        return self.inputs.judge

    @cached_property
    def embedder(self) -> Embedder:
        return load_embedder(self.inputs.embedder, self.judge.network, self.judge.name, self.device)

    @property
    def head(self) -> HeadGeometry:
        """Raises an InputError where there is none."""
        if self.inputs.head is None:
            raise InputError("no mesh of the model's face model here; known is the open face model's")
        return self.inputs.head

    def require_embedder(self) -> None:
        """Load it, before images are rendered for it.

        Raises:
            InputError: there is no such embedder, or no judge.
        """
        assert self.embedder is not None

    @cached_property
    def table(self) -> CoefficientTable:
        """Of the data set."""
        return self.inputs.dataset.load_coefficients()

    @property
    def data_exp(self) -> Float[Tensor, "item 64"] | None:
        """The data set's expressions, where faces are asked for these and not for the prior's."""
        return self.table.exp if self.config.expressions_from == "data" else None

    def views(self, count: int) -> PosedLatents:
        """The first of the stream."""
        return self.samples_of(dataclasses.replace(self.samples, count=count))

    def samples_of(self, config: SampleConfig) -> PosedLatents:
        """Faces and cameras of any stream."""
        return sample_views(self.priors, self.table.pose, config, self.data_exp)

    def generated(self, count: int) -> UInt8[Tensor, "item 3 size size"]:
        """Images of the first views, of which only those that are not there yet are rendered."""
        have = len(self._images)
        if count > have:
            more = render_views(self.generator, self.views(count)[have:], self.samples)
            self._images = torch.cat([self._images, more])
        return self._images[:count]

    def real_items(self, count: int) -> Tensor:
        return real_items(count, len(self.inputs.dataset), torch.Generator().manual_seed(self.samples.seed))

    def real(self, count: int) -> Iterable[Float[Tensor, "batch 3 size size"]]:
        """Batches of real images."""
        dataset, samples = self.inputs.dataset, self.samples
        return real_batches(dataset, self.real_items(count), samples.size, samples.batch, self.device)

    @cached_property
    def seen(self) -> JudgeOutputs:
        """What the judge sees in the stream's images."""
        judge = self.judge  # before any image is rendered
        return judge_images(
            judge.network, float_batches(self.generated(self.samples.count), self.samples.batch, self.device)
        )

    def judge_images(self, images: UInt8[Tensor, "item 3 size size"]) -> JudgeOutputs:
        return judge_images(self.judge.network, float_batches(images, self.samples.batch, self.device))

    def embeddings(
        self, views: PosedLatents, images: UInt8[Tensor, "item 3 size size"]
    ) -> Float[Tensor, "item feature"]:
        """Vectors of rendered views."""
        judge, size = self.judge, self.samples.size
        landmarks = target_landmarks_px(judge.landmarks, judge.world_offset, views, size, self.fov_deg)
        return self.embedded(float_batches(images, self.samples.batch, self.device), landmarks)

    @torch.no_grad()
    def embedded(
        self, batches: Iterable[Tensor], landmarks_px: Float[Tensor, "item 68 2"]
    ) -> Float[Tensor, "item feature"]:
        """Vectors of images in [0, 1]."""
        parts, embedder = landmarks_px.split(self.samples.batch), self.embedder
        return torch.cat([embedder.embed(rgb, px).float() for rgb, px in zip(batches, parts, strict=True)])

    def landmarks_mm(self, z_id: Tensor, z_exp: Tensor) -> Float[Tensor, "item 68 3"]:
        unposed = self.judge.landmarks.unposed(z_id.to(self.device), z_exp.to(self.device))
        return MM_PER_WORLD * WORLD_PER_MODEL_UNIT * unposed

    @cached_property
    def expression_grid(self) -> tuple[PosedLatents, Tensor]:
        config = self.config
        return self.grid(
            expression_grid_views(
                self.priors, config.people, config.expressions, self.samples.seed, self.data_exp
            )
        )

    @cached_property
    def yaw_grid(self) -> tuple[PosedLatents, Tensor]:
        return self.grid(yaw_grid_views(self.priors, self.config.people, YAWS, self.samples.seed))

    @cached_property
    def appearance_grid(self) -> tuple[PosedLatents, Tensor]:
        config = self.config
        return self.grid(
            appearance_grid_views(self.priors, config.people, config.appearances, self.samples.seed)
        )

    def grid(self, views: PosedLatents) -> tuple[PosedLatents, Tensor]:
        """Views and their images, for the judge.

        Raises:
            InputError: there is no judge; nothing is rendered then.
        """
        assert self.judge is not None
        return views, render_views(self.generator, views, self.samples)

    def changed(self, views: PosedLatents, images: Tensor) -> FaceMeasurements:
        """Of people in order, each as often as changed."""
        seen, people = self.judge_images(images), (self.config.people, -1)
        return FaceMeasurements(
            embedding=self.embeddings(views, images).unflatten(0, people),
            exp=seen.face.exp.unflatten(0, people),
            angle_deg=torch.rad2deg(seen.face.angle).unflatten(0, people),
            landmarks_mm=self.landmarks_mm(seen.face.id, seen.face.exp).unflatten(0, people),
        )
