"""Measurement of a model by any selection of metrics; images that several metrics need are rendered once.

``evaluate`` returns all numbers of a model as a dictionary. ``Evaluation`` measures one metric at a time: if a metric
lacks something, such as a package, the others can still be measured. ``Evaluation.items`` returns the values of a
metric for each image, face or person; :mod:`anifacegan.evaluation.compare` resamples them.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anifacegan.data.dataset import FaceDataset
from anifacegan.data.synthetic.surface.head import HeadGeometry
from anifacegan.evaluation.config import EvaluationConfig
from anifacegan.evaluation.deformation_error import DeformationError, DeformationItems, deformation_items
from anifacegan.evaluation.detection import Detection, DetectionItems, detection_items
from anifacegan.evaluation.disentanglement import Disentanglement, DisentanglementItems, disentanglement_items
from anifacegan.evaluation.expression_control import ExpressionControl, ExpressionItems, expression_items
from anifacegan.evaluation.face_detector import FaceDetector
from anifacegan.evaluation.frechet import FrechetItems, FrechetReport
from anifacegan.evaluation.image_sets import EvaluationInputs, ImageSets
from anifacegan.evaluation.inception import (
    InceptionItems,
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
from anifacegan.evaluation.smoothness import Smoothness, SmoothnessItems, eased_strengths, smoothness_items
from anifacegan.evaluation.view_consistency import (
    ConsistencyItems,
    DepthView,
    FaceViews,
    ViewConsistency,
    consistency_items,
)
from anifacegan.face_model.expressions import named_coefficients
from anifacegan.face_model.regressed import Reconstruction
from anifacegan.face_model.surface_maps import FaceSurfaces
from anifacegan.geometry.cameras import from_lm68
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import PosedLatents
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
    | InceptionItems
    | RecognitionItems
    | DisentanglementItems
    | ConsistencyItems
    | SmoothnessItems
    | DetectionItems
)
"""Values of one metric for each item: image, face or person. ``report()`` returns the metric's numbers over all items.
``bootstrap_statistics()`` returns the metric's statistics as functions of a bootstrap sample of the items."""
OTHER_FACES = 103
"""Number added to the seed to sample the faces of the deformation error; other metrics have other faces."""
LEAST_DETECTED_PX = 192
"""Smallest height of the images for the detection rate, pixels. In an image of this height a face is 80 px high."""
CONSISTENCY_YAWS = (0.0, -0.3, 0.3)
"""Yaws of the views that view consistency compares, radians; the first view is warped into the others."""


def evaluate(
    generator: Generator, judge: Judge, head: HeadGeometry, dataset: FaceDataset, config: EvaluationConfig
) -> dict[str, dict[str, Any]]:
    """Measure a generator by the selected metrics; return the name of each metric -> its numbers by name.

    The numbers depend on the seed, not on the batch size or on which other metrics are selected.

    Args:
        generator: the generator.
        judge: face regressor for evaluation, on the generator's device.
        head: mesh of the generator's face model.
        dataset: real images with coefficients and camera poses.
        config: which metrics, on how many images, people and faces.

    Raises:
        InputError: a metric lacks something it needs, or a file of the data set cannot be read.
    """
    evaluation = Evaluation(EvaluationInputs(generator, dataset, judge, head), config)
    return {name: dataclasses.asdict(evaluation.measure(name)) for name in config.metrics}


class Evaluation:
    """Measures one model, one metric at a time; images that were rendered for a metric are kept for other metrics."""

    def __init__(self, inputs: EvaluationInputs, config: EvaluationConfig) -> None:
        self.image_sets = ImageSets(inputs, config)
        self.inputs, self.config, self.samples = inputs, config, config.samples
        self.generator = inputs.generator

    def measure(self, name: str) -> Report:
        """Measure one metric, given by its name in :data:`anifacegan.evaluation.config.METRICS`, such as ``frechet``.

        Raises:
            InputError: something that the metric needs is missing.
        """
        return self.items(name).report()

    def items(self, name: str) -> Items:
        """Return the values of one metric for each image, face or person.

        The metric's numbers, and their intervals, are computed from these values. ``name`` is the metric's name in
        :data:`anifacegan.evaluation.config.METRICS`, such as ``frechet``.

        Raises:
            InputError: something that the metric needs is missing.
        """
        methods: dict[str, Callable[[], Items]] = {
            "inception": self._inception,
            "frechet": self._frechet,
            "embedding_frechet": self._embedding_frechet,
            "expression": self._expression,
            "identity": self._identity,
            "recognition": self._recognition,
            "disentanglement": self._disentanglement,
            "view_consistency": self._view_consistency,
            "smoothness": self._smoothness,
            "deformation": self._deformation,
            "detection": self._detection,
        }
        return methods[name]()

    # --------------------------------------------------------------------------------------------- distributions
    def _inception(self) -> InceptionItems:
        weights, count = inception_weights(self.inputs.inception_weights), self.config.inception_count
        real = torch.cat([(255 * rgb).round().byte().cpu() for rgb in self.image_sets.real(count)])
        generated = self.image_sets.generated(count)
        device = self.generator.device
        return InceptionItems(inception_report(generated, real, weights, self.samples.batch, device))

    def _frechet(self) -> FrechetItems:
        self._require_real_images()
        judge = self.image_sets.judge
        real = judge_images(judge, self.image_sets.real(2 * self.samples.count))
        generated = self.image_sets.judge_outputs
        return self._frechet_items(generated.features, real.features, f"judge {judge.name}")

    def _embedding_frechet(self) -> FrechetItems:
        self._require_real_images()
        image_sets, count = self.image_sets, self.samples.count
        embedder = image_sets.load_embedder()
        lm68 = image_sets.table.landmarks()[image_sets.real_items(2 * count)]
        landmarks_px = from_lm68(lm68, self.samples.size).to(self.generator.device)
        real = image_sets.embed(image_sets.real(2 * count), landmarks_px)
        generated = image_sets.embed_views(image_sets.views(count), image_sets.generated(count))
        return self._frechet_items(generated, real, embedder.name)

    def _require_real_images(self) -> None:
        count, available = self.samples.count, len(self.inputs.dataset)
        if min(count, available // 2) < 2:
            raise InputError(
                f"frechet: {count} generated and {available} real images, expected at least 2 and 4"
            )

    def _frechet_items(self, generated: Tensor, real: Tensor, features: str) -> FrechetItems:
        return FrechetItems(
            generated=generated.cpu().numpy(),
            real=real.cpu().numpy(),
            features=features,
            draws=self.config.bootstrap,
            seed=self.samples.seed,
        )

    # ----------------------------------------------------------------------------------- measured against target
    def _expression(self) -> ExpressionItems:
        rows = self.image_sets.judge_outputs.face.rows().to(self.generator.device)
        views = self.image_sets.views(self.samples.count)
        measured = Reconstruction.from_rows(rows)
        return expression_items(views, measured, self.image_sets.judge, self.image_sets.fov_deg)

    def _deformation(self) -> DeformationItems:
        head = self.image_sets.head
        surfaces = FaceSurfaces(head, self.image_sets.fov_deg).to(self.generator.device)
        views = self.image_sets.sample(self.config.mesh_faces, self.samples.seed + OTHER_FACES)
        named = self.generator.config.template_expression
        template_exp = named_coefficients(named, head.parts.expression_basis())
        return deformation_items(
            self.generator, surfaces, torch.from_numpy(head.landmark_vertices), views, template_exp
        )

    def _smoothness(self) -> SmoothnessItems:
        image_sets, ramps, frames = self.image_sets, self.config.ramps, self.config.frames
        views = expression_ramp_views(
            image_sets.priors, ramps, eased_strengths(frames), self.samples.seed, image_sets.data_exp
        )
        face = image_sets.judge_images(image_sets.render_for_judge(views)).face
        measured = image_sets.landmarks_mm(face.id, face.exp)
        target = image_sets.landmarks_mm(views.latents.z_id, views.latents.z_exp)
        shape = (ramps, frames)
        return smoothness_items(measured.unflatten(0, shape), target.unflatten(0, shape))

    def _detection(self) -> DetectionItems:
        image_sets, config, expressions = self.image_sets, self.config, self.inputs.expressions
        if self.samples.size < LEAST_DETECTED_PX:
            raise InputError(
                f"detection: size is {self.samples.size}, expected {LEAST_DETECTED_PX} or more: the detector finds "
                "faces of 80 px"
            )
        detector, head = FaceDetector(upsample=0), image_sets.head
        if expressions is None:
            raise InputError("detection: this model is shipped without expressions")
        people, each = config.detected_people, min(config.detected_expressions, len(expressions))
        views = detection_views(image_sets.priors, people, each, expressions, self.samples.seed)
        images = render_views(self.generator, views, self.samples)
        mean_face = np.asarray(head.mean, np.float64).reshape(-1, 3)[head.landmark_vertices]
        return detection_items(detector.find, images, views.pose[:, 1], people, mean_face)

    # ------------------------------------------------------------------------------------- grids of people
    def _identity(self) -> IdentityItems:
        _, images = self.image_sets.expression_grid
        face = self.image_sets.judge_images(images).face
        return identity_items(face.id.unflatten(0, (self.config.people, self.config.expressions)))

    def _recognition(self) -> RecognitionItems:
        image_sets = self.image_sets
        image_sets.load_embedder()
        return RecognitionItems(
            across_yaw=image_sets.measure_faces(*image_sets.yaw_grid).embedding,
            across_expressions=image_sets.measure_faces(*image_sets.expression_grid).embedding,
        )

    def _disentanglement(self) -> DisentanglementItems:
        image_sets = self.image_sets
        image_sets.load_embedder()
        return disentanglement_items(
            expression=image_sets.measure_faces(*image_sets.expression_grid),
            yaw=image_sets.measure_faces(*image_sets.yaw_grid),
            noise=image_sets.measure_faces(*image_sets.appearance_grid),
        )

    # ---------------------------------------------------------------------------------------------------- views
    def _view_consistency(self) -> ConsistencyItems:
        image_sets = self.image_sets
        surfaces = FaceSurfaces(image_sets.head, image_sets.fov_deg).to(self.generator.device)
        latents = image_sets.views(self.config.consistency_faces).latents
        faces = (self._face_views(latents[k : k + 1], surfaces) for k in range(len(latents)))
        return consistency_items(faces, image_sets.fov_deg)

    def _face_views(self, latents: Latents, surfaces: FaceSurfaces) -> FaceViews:
        """Render one face from all yaws, and find the points of its mesh on the rays of each view."""
        views, meshes, size = [], [], self.samples.size
        ray_sampling = self.generator.config.ray_sampling
        for yaw in CONSISTENCY_YAWS:
            view = PosedLatents(latents, latents.z_id.new_tensor([[0.0, yaw]]))
            image = render_view(self.generator, view, size, self.samples.psi)
            surface = visible_surface(image, yaw=yaw, pitch=0.0, ray_sampling=ray_sampling)
            views.append(DepthView(image.rgb, image.foreground, surface.distance[None], view.pose))
            meshes.append(surfaces(latents.z_id, latents.z_exp, view.pose, size))
        return FaceViews(
            pairs=[(views[0], target) for target in views[1:]],
            meshes=list(zip(views, meshes, strict=True)),
        )
