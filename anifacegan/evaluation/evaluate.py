"""All metrics of a model, each by its name; what several look at is rendered once.

``evaluate`` is the function for a script that measures models: a dictionary of numbers. ``Evaluation`` measures one
metric at a time, for a table that goes on where one metric has not what it needs; its ``items`` are what a metric is
computed from, which :mod:`anifacegan.metrics.comparison` draws again.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anifacegan.data.dataset import FaceDataset
from anifacegan.data.synthetic.head import HeadGeometry
from anifacegan.evaluation.config import METRICS, EvaluationConfig
from anifacegan.evaluation.deformation_error import DeformationError, DeformationItems, deformation_items
from anifacegan.evaluation.detection import Detection, DetectionItems, detection_items
from anifacegan.evaluation.disentanglement import Disentanglement, DisentanglementItems, disentanglement_items
from anifacegan.evaluation.expression_control import ExpressionControl, ExpressionItems, expression_items
from anifacegan.evaluation.face_detector import FaceDetector
from anifacegan.evaluation.frechet import FrechetItems, FrechetReport
from anifacegan.evaluation.image_sets import EvaluationInputs, ImageSets
from anifacegan.evaluation.inception import (
    InceptionNumbers,
    InceptionReport,
    inception_report,
    inception_weights,
)
from anifacegan.evaluation.judge import Judge, judge_images
from anifacegan.evaluation.recognition import (
    IdentityItems,
    IdentitySpread,
    Recognition,
    RecognitionItems,
    identity_items,
)
from anifacegan.evaluation.samples import detection_views, expression_ramp_views, render_view, render_views
from anifacegan.evaluation.smoothness import Smoothness, SmoothnessItems, ramp, smoothness_items
from anifacegan.evaluation.view_consistency import (
    ConsistencyItems,
    Depths,
    DepthView,
    Pairs,
    ViewConsistency,
    consistency_items,
)
from anifacegan.face_model.regressed import Reconstruction
from anifacegan.face_model.surface_maps import FaceSurfaces
from anifacegan.geometry.cameras import from_lm68
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import Generator
from anifacegan.models.sampling import PosedLatents
from anifacegan.rendering.surface import visible_surface
from anifacegan.runtime.errors import InputError

Report = (
    FrechetReport
    | ExpressionControl
    | IdentitySpread
    | DeformationError
    | InceptionReport
    | Recognition
    | Disentanglement
    | ViewConsistency
    | Smoothness
    | Detection
)
Items = (
    FrechetItems
    | ExpressionItems
    | IdentityItems
    | DeformationItems
    | InceptionNumbers
    | RecognitionItems
    | DisentanglementItems
    | ConsistencyItems
    | SmoothnessItems
    | DetectionItems
)
"""What a metric is computed from: ``report()`` computes it, ``bootstrap_statistics()`` lets the items be drawn again."""
OTHER_FACES = 103
"""Added to the seed of the faces that the deformation is measured on: others than those of the images."""
LEAST_DETECTED_PX = 192
"""Height of images in which a face is 80 px high."""
CONSISTENCY_YAWS = (0.0, -0.3, 0.3)
"""Radians; the first is warped into the others."""


def evaluate(
    generator: Generator, judge: Judge, head: HeadGeometry, dataset: FaceDataset, config: EvaluationConfig
) -> dict[str, dict[str, Any]]:
    """The chosen metrics: name -> its report as a dictionary of numbers. All on the generator's device.

    The same numbers for the same seed, whatever the batch size and whichever other metrics are chosen.

    Raises:
        InputError: a metric has not what it needs, or a file of the data set cannot be read.
    """
    evaluation = Evaluation(EvaluationInputs(generator, dataset, judge, head), config)
    return {name: dataclasses.asdict(evaluation.measure(name)) for name in config.metrics}


class Evaluation:
    """Measures a set of inputs; images that were rendered for one metric are kept for the others."""

    def __init__(self, inputs: EvaluationInputs, config: EvaluationConfig) -> None:
        self.image_sets = ImageSets(inputs, config)
        self.inputs, self.config, self.samples = inputs, config, config.samples
        self.generator = inputs.generator

    def measure(self, name: str) -> Report:
        """One of METRICS.

        Raises:
            InputError: something it needs is missing, in one line.
        """
        return self.items(name).report()

    def items(self, name: str) -> Items:
        """What one of METRICS is computed from.

        Raises:
            InputError: something it needs is missing, in one line.
        """
        items: dict[str, Callable[[], Items]] = {known: getattr(self, f"_{known}") for known in METRICS}
        return items[name]()

    # ---------------------------------------------------------------------------------------------- sets of images
    def _inception(self) -> InceptionNumbers:
        weights, count = inception_weights(self.inputs.inception_weights), self.config.inception_count
        real = torch.cat([(255 * rgb).round().byte().cpu() for rgb in self.image_sets.real(count)])
        generated = self.image_sets.generated(count)
        return InceptionNumbers(
            inception_report(generated, real, weights, self.samples.batch, self.generator.device)
        )

    def _frechet(self) -> FrechetItems:
        self._require_real()
        judge = self.image_sets.judge
        real = judge_images(judge.network, self.image_sets.real(2 * self.samples.count))
        return self._frechet_of(self.image_sets.seen.features, real.features, f"judge {judge.name}")

    def _embedding_frechet(self) -> FrechetItems:
        self._require_real()
        image_sets, count = self.image_sets, self.samples.count
        lm68 = image_sets.table.lm68[image_sets.real_items(2 * count)]
        landmarks_px = from_lm68(lm68, self.samples.size).to(self.generator.device)
        real = image_sets.embedded(image_sets.real(2 * count), landmarks_px)
        generated = image_sets.embeddings(image_sets.views(count), image_sets.generated(count))
        return self._frechet_of(generated, real, image_sets.embedder.name)

    def _require_real(self) -> None:
        count, available = self.samples.count, len(self.inputs.dataset)
        if min(count, available // 2) < 2:
            raise InputError(
                f"frechet: {count} generated and {available} real images, expected at least 2 and 4"
            )

    def _frechet_of(self, generated: Tensor, real: Tensor, features: str) -> FrechetItems:
        sets = generated.cpu().numpy(), real.cpu().numpy()
        return FrechetItems(*sets, features, self.config.bootstrap, self.samples.seed)

    # ------------------------------------------------------------------------------------------- asked against found
    def _expression(self) -> ExpressionItems:
        found = Reconstruction.from_rows(self.image_sets.seen.face.rows().to(self.generator.device))
        requested = self.image_sets.views(self.samples.count)
        return expression_items(requested, found, self.image_sets.judge, self.image_sets.fov_deg)

    def _deformation(self) -> DeformationItems:
        head = self.image_sets.head
        surfaces = FaceSurfaces(head, self.image_sets.fov_deg).to(self.generator.device)
        seed = self.samples.seed + OTHER_FACES
        faces = dataclasses.replace(self.samples, count=self.config.mesh_faces, seed=seed)
        views = self.image_sets.samples_of(faces)
        return deformation_items(self.generator, surfaces, torch.from_numpy(head.landmark_vertices), views)

    def _smoothness(self) -> SmoothnessItems:
        image_sets, config = self.image_sets, self.config
        views, images = image_sets.grid(
            expression_ramp_views(
                image_sets.priors, config.ramps, ramp(config.frames), self.samples.seed, image_sets.data_exp
            )
        )
        face, latents = image_sets.judge_images(images).face, views.latents
        found, requested = (
            image_sets.landmarks_mm(face.id, face.exp),
            image_sets.landmarks_mm(latents.z_id, latents.z_exp),
        )
        shape = (config.ramps, config.frames)
        return smoothness_items(found.unflatten(0, shape), requested.unflatten(0, shape))

    # -------------------------------------------------------------------------------------------------------- people
    def _detection(self) -> DetectionItems:
        image_sets, config, shipped = self.image_sets, self.config, self.inputs.expressions
        if self.samples.size < LEAST_DETECTED_PX:
            least = f"expected {LEAST_DETECTED_PX} or more: the detector finds faces of 80 px"
            raise InputError(f"detection: size is {self.samples.size}, {least}")
        detector, head = FaceDetector(upsample=0), image_sets.head
        if shipped is None:
            raise InputError("detection: this model is shipped without expressions")
        each = min(config.detected_expressions, len(shipped))
        views = detection_views(image_sets.priors, config.detected_people, each, shipped, self.samples.seed)
        images = render_views(self.generator, views, self.samples)
        mean_face = np.asarray(head.mean, np.float64).reshape(-1, 3)[head.landmark_vertices]
        return detection_items(detector.find, images, views.pose[:, 1], config.detected_people, mean_face)

    def _identity(self) -> IdentityItems:
        face = self.image_sets.judge_images(self.image_sets.expression_grid[1]).face
        return identity_items(face.id.unflatten(0, (self.config.people, self.config.expressions)))

    def _recognition(self) -> RecognitionItems:
        image_sets = self.image_sets
        image_sets.require_embedder()
        grids = (image_sets.yaw_grid, image_sets.expression_grid)
        return RecognitionItems(*(image_sets.changed(*grid).embedding for grid in grids))

    def _disentanglement(self) -> DisentanglementItems:
        image_sets = self.image_sets
        image_sets.require_embedder()
        grids = (image_sets.expression_grid, image_sets.yaw_grid, image_sets.appearance_grid)
        return disentanglement_items(*(image_sets.changed(*grid) for grid in grids))

    def _view_consistency(self) -> ConsistencyItems:
        image_sets = self.image_sets
        surfaces = FaceSurfaces(image_sets.head, image_sets.fov_deg).to(self.generator.device)
        latents = image_sets.views(self.config.consistency_faces).latents
        faces = (self._views_of_one(latents[k : k + 1], surfaces) for k in range(len(latents)))
        return consistency_items(faces, image_sets.fov_deg)

    def _views_of_one(self, latents: Latents, surfaces: FaceSurfaces) -> tuple[Pairs, Depths]:
        seen, depths, size = [], [], self.samples.size
        for yaw in CONSISTENCY_YAWS:
            view = PosedLatents(latents, latents.z_id.new_tensor([[0.0, yaw]]))
            image = render_view(self.generator, view, size, self.samples.psi)
            surface = visible_surface(
                image, yaw=yaw, pitch=0.0, ray_sampling=self.generator.config.ray_sampling
            )
            seen.append(DepthView(image.rgb, image.foreground, surface.distance[None], view.pose))
            depths.append((seen[-1], surfaces(latents.z_id, latents.z_exp, view.pose, size)))
        return [(seen[0], other) for other in seen[1:]], depths
