"""All metrics of a model, each by its name; what several look at is rendered once.

``evaluate`` is the function for a script that compares models: a dictionary of numbers. ``Evaluation`` measures one
metric at a time, for a table that goes on where one metric has not what it needs.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anifacegan.data import FaceDataset
from anifacegan.errors import InputError
from anifacegan.face_surfaces import FaceSurfaces
from anifacegan.head_geometry import HeadGeometry
from anifacegan.metrics.deformation_error import DeformationError, deformation_error
from anifacegan.metrics.disentanglement import Disentanglement, disentanglement
from anifacegan.metrics.expression_control import ExpressionControl, expression_control
from anifacegan.metrics.frechet import FrechetReport, frechet_report
from anifacegan.metrics.gallery import Gallery, Subject
from anifacegan.metrics.identity import IdentitySpread, identity_spread
from anifacegan.metrics.inception import InceptionReport, inception_report, inception_weights
from anifacegan.metrics.judge import Judge, judged
from anifacegan.metrics.recognition import Recognition, recognition
from anifacegan.metrics.samples import draw_samples, people_with_ramps, picture_alone
from anifacegan.metrics.settings import METRICS, EvaluationConfig
from anifacegan.metrics.smoothness import Smoothness, ramp, smoothness
from anifacegan.metrics.view_consistency import DepthView, ViewConsistency, view_consistency
from anifacegan.models.generator import Generator
from anifacegan.models.reconstruction import Reconstruction, from_lm68
from anifacegan.views import Views
from anifacegan.visible_surface import visible_surface

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
)
OTHER_FACES = 103
"""Added to the seed of the faces that the deformation is measured on: others than those of the pictures."""
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
    evaluation = Evaluation(Subject(generator, dataset, judge, head), config)
    return {name: dataclasses.asdict(evaluation.measure(name)) for name in config.metrics}


class Evaluation:
    """Measures a subject; pictures that were rendered for one metric are kept for the others."""

    def __init__(self, subject: Subject, config: EvaluationConfig) -> None:
        self.gallery = Gallery(subject, config)
        self.subject, self.config, self.samples = subject, config, config.samples
        self.generator = subject.generator

    def measure(self, name: str) -> Report:
        """One of METRICS.

        Raises:
            InputError: something it needs is missing, in one line.
        """
        measures: dict[str, Callable[[], Report]] = {known: getattr(self, f"_{known}") for known in METRICS}
        return measures[name]()

    # ---------------------------------------------------------------------------------------------- sets of pictures
    def _inception(self) -> InceptionReport:
        weights, count = inception_weights(self.subject.inception_weights), self.config.inception_count
        real = torch.cat([(255 * rgb).round().byte().cpu() for rgb in self.gallery.real(count)])
        generated = self.gallery.generated(count)
        return inception_report(generated, real, weights, self.samples.batch, self.generator.device)

    def _frechet(self) -> FrechetReport:
        self._require_real()
        real = judged(self.gallery.judge.network, self.gallery.real(2 * self.samples.count))
        return self._frechet_of(self.gallery.seen.features, real.features)

    def _embedding_frechet(self) -> FrechetReport:
        self._require_real()
        gallery, count = self.gallery, self.samples.count
        lm68 = gallery.table.lm68[gallery.real_items(2 * count)]
        landmarks_px = from_lm68(lm68, self.samples.size).to(self.generator.device)
        real = gallery.embedded(gallery.real(2 * count), landmarks_px)
        return self._frechet_of(gallery.embeddings(gallery.views(count), gallery.generated(count)), real)

    def _require_real(self) -> None:
        count, available = self.samples.count, len(self.subject.dataset)
        if min(count, available // 2) < 2:
            raise InputError(
                f"frechet: {count} generated and {available} real pictures, expected at least 2 and 4"
            )

    def _frechet_of(self, generated: Tensor, real: Tensor) -> FrechetReport:
        rng = np.random.default_rng(self.samples.seed)
        return frechet_report(generated.cpu().numpy(), real.cpu().numpy(), self.config.bootstrap, rng)

    # ------------------------------------------------------------------------------------------- asked against found
    def _expression(self) -> ExpressionControl:
        found = Reconstruction.from_rows(self.gallery.seen.face.rows().to(self.generator.device))
        asked = self.gallery.views(self.samples.count)
        return expression_control(asked, found, self.gallery.judge, self.gallery.fov_deg)

    def _deformation(self) -> DeformationError:
        head = self.gallery.head
        surfaces = FaceSurfaces(head, self.gallery.fov_deg).to(self.generator.device)
        seed = self.samples.seed + OTHER_FACES
        faces = dataclasses.replace(self.samples, count=self.config.mesh_faces, seed=seed)
        views = draw_samples(self.generator, self.gallery.table.pose, faces)
        return deformation_error(self.generator, surfaces, torch.from_numpy(head.landmark_vertices), views)

    def _smoothness(self) -> Smoothness:
        gallery, config = self.gallery, self.config
        views, pictures = gallery.grid(
            people_with_ramps(self.generator, config.ramps, ramp(config.frames), self.samples.seed)
        )
        face, codes = gallery.judged(pictures).face, views.latents
        found, asked = gallery.landmarks_mm(face.id, face.exp), gallery.landmarks_mm(codes.z_id, codes.z_exp)
        shape = (config.ramps, config.frames)
        return smoothness(found.unflatten(0, shape), asked.unflatten(0, shape))

    # -------------------------------------------------------------------------------------------------------- people
    def _identity(self) -> IdentitySpread:
        face = self.gallery.judged(self.gallery.expression_grid[1]).face
        return identity_spread(face.id.unflatten(0, (self.config.people, self.config.expressions)))

    def _recognition(self) -> Recognition:
        gallery = self.gallery
        gallery.require_embedder()
        grids = (gallery.yaw_grid, gallery.expression_grid)
        return recognition(*(gallery.changed(*grid).embedding for grid in grids))

    def _disentanglement(self) -> Disentanglement:
        gallery = self.gallery
        gallery.require_embedder()
        grids = (gallery.expression_grid, gallery.yaw_grid, gallery.noise_grid)
        return disentanglement(*(gallery.changed(*grid) for grid in grids))

    def _view_consistency(self) -> ViewConsistency:
        gallery, size = self.gallery, self.samples.size
        surfaces = FaceSurfaces(gallery.head, gallery.fov_deg).to(self.generator.device)
        latents = gallery.views(self.config.consistency_faces).latents
        pairs, depths = [], []
        for k in range(len(latents)):
            seen = []
            for yaw in CONSISTENCY_YAWS:
                view = Views(latents[k : k + 1], latents.z_id.new_tensor([[0.0, yaw]]))
                picture = picture_alone(self.generator, view, size, self.samples.psi)
                surface = visible_surface(picture, yaw, 0.0, self.generator.config.march)
                seen.append(DepthView(picture.rgb, picture.foreground, surface.distance[None], view.pose))
                depths.append((seen[-1], surfaces(view, size)))
            pairs += [(seen[0], other) for other in seen[1:]]
        return view_consistency(pairs, depths, gallery.fov_deg)
