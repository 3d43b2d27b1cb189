"""The metrics that need no more than a generator, a judge, a face model and a data set; any of them alone, by name.

    frechet      Frechet distance of the judge's features, generated against real pictures, and its floor
    expression   expression, camera and landmarks asked for against those found (AED, APD, correlations)
    identity     the judge's identity coefficients of one person across expressions, against different people
    deformation  the deformation field's steps against the mesh's, on the face

The first two look at the same generated pictures, which are rendered once.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from anifacegan.data import FaceDataset
from anifacegan.errors import InputError, require
from anifacegan.face_surfaces import FaceSurfaces
from anifacegan.head_geometry import HeadGeometry
from anifacegan.metrics.deformation_error import DeformationError, deformation_error
from anifacegan.metrics.expression_control import ExpressionControl, expression_control
from anifacegan.metrics.frechet import FrechetReport, frechet_report
from anifacegan.metrics.identity import IdentitySpread, identity_spread
from anifacegan.metrics.judge import Judge, Judged, judged, real_batches, real_items
from anifacegan.metrics.samples import (
    SampleConfig,
    draw_samples,
    generated_batches,
    people_with_expressions,
)
from anifacegan.models.generator import Generator
from anifacegan.models.reconstruction import Reconstruction

METRICS = ("frechet", "expression", "identity", "deformation")
MESH_FACES = 103
"""Added to the seed of the faces that the deformation is measured on: others than those of the pictures."""


@dataclass(frozen=True)
class EvaluationConfig:
    """Which metrics, on how much."""

    metrics: tuple[str, ...] = METRICS
    """Names: frechet, expression, identity, deformation."""
    samples: SampleConfig = field(default_factory=SampleConfig)
    """The generated pictures; twice as many real ones are taken where the data set has them."""
    bootstrap: int = 100
    """Draws for the deviation of the Frechet distance."""
    people: int = 40
    """People of the identity metric."""
    expressions: int = 6
    """Expressions of each of them; the first is neutral."""
    mesh_faces: int = 200
    """Faces of the deformation error."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown:
            raise ValueError(f"metrics has '{unknown[0]}', expected some of {', '.join(METRICS)}")
        require(self, "", "bootstrap people expressions", at_least=2)
        require(self, "", "mesh_faces", at_least=1)


def evaluate(
    generator: Generator, judge: Judge, head: HeadGeometry, dataset: FaceDataset, config: EvaluationConfig
) -> dict[str, dict[str, Any]]:
    """The chosen metrics: name -> its report as a dictionary of numbers. All on the generator's device.

    The same numbers for the same seed, whatever the batch size and whichever other metrics are chosen.

    Raises:
        InputError: too few pictures for a covariance, or a file of the data set cannot be read.
    """
    return {
        name: dataclasses.asdict(report) for name, report in reports(generator, judge, head, dataset, config)
    }


def reports(
    generator: Generator, judge: Judge, head: HeadGeometry, dataset: FaceDataset, config: EvaluationConfig
) -> Iterator[tuple[str, FrechetReport | ExpressionControl | IdentitySpread | DeformationError]]:
    """The same one by one, as they are ready."""
    samples = config.samples
    poses = dataset.load_coefficients().pose
    views = seen = None
    if "frechet" in config.metrics or "expression" in config.metrics:
        views = draw_samples(generator, poses, samples)
        batches = generated_batches(generator, views, samples)
        seen = judged(judge.network, (batch.rgb for batch in batches))
    if "frechet" in config.metrics:
        assert seen is not None
        yield "frechet", judge_frechet(judge, seen, dataset, config, generator.device)
    if "expression" in config.metrics:
        assert views is not None and seen is not None
        found = Reconstruction.from_rows(seen.face.rows().to(generator.device))
        yield "expression", expression_control(views, found, judge, generator.config.march.fov_deg)
    if "identity" in config.metrics:
        yield "identity", judge_identity(generator, judge, config)
    if "deformation" in config.metrics:
        surfaces = FaceSurfaces(head, generator.config.march.fov_deg).to(generator.device)
        faces = dataclasses.replace(samples, count=config.mesh_faces, seed=samples.seed + MESH_FACES)
        shown = draw_samples(generator, poses, faces)
        landmarks = torch.from_numpy(head.landmark_vertices)
        yield "deformation", deformation_error(generator, surfaces, landmarks, shown)


def judge_frechet(
    judge: Judge, generated: Judged, dataset: FaceDataset, config: EvaluationConfig, device: torch.device
) -> FrechetReport:
    """Frechet distance of the judge's features, against random pictures of the data set."""
    samples = config.samples
    if min(len(generated), len(dataset) // 2) < 2:
        raise InputError(
            f"frechet: {len(generated)} generated and {len(dataset)} real pictures, expected at least 2 and 4"
        )
    items = real_items(2 * samples.count, len(dataset), torch.Generator().manual_seed(samples.seed))
    real = judged(judge.network, real_batches(dataset, items, samples.size, samples.batch, device))
    return frechet_report(
        generated.features.numpy(), real.features.numpy(), config.bootstrap, np.random.default_rng(samples.seed)
    )


def judge_identity(generator: Generator, judge: Judge, config: EvaluationConfig) -> IdentitySpread:
    """Identity coefficients of people with several expressions, all frontal."""
    views = people_with_expressions(generator, config.people, config.expressions, config.samples.seed)
    batches = generated_batches(generator, views, config.samples)
    seen = judged(judge.network, (batch.rgb for batch in batches))
    return identity_spread(seen.face.id.unflatten(0, (config.people, config.expressions)))
