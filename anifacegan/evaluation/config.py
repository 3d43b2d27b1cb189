"""Names, definitions and sample sizes of all metrics."""

from dataclasses import dataclass, field
from typing import Literal

from anifacegan.evaluation.samples import ExpressionSource, SampleConfig
from anifacegan.runtime.errors import require_at_least

DEFINITIONS = {
    "inception": "FID, KID x 100 and Inception Score by torch-fidelity, on 8-bit images; generated against real",
    "frechet": "Frechet distance of the judge's features, generated against real; floor: real against other real",
    "embedding_frechet": "Frechet distance of the embedder's vectors, generated against real; floor: real against "
    "other real",
    "expression": "target coefficients and camera against those that the judge estimates: correlation of the first ten "
    "expression coefficients, AED and APD (mean absolute, and root mean square), 68 landmarks",
    "identity": "distance of the judge's identity coefficients across one person's expressions, over that between "
    "people",
    "recognition": "cosine of the embedder's vectors of one person across yaw -0.5 to 0.5 and across expressions, "
    "against other people's; Euclidean distance between people over that within a person",
    "disentanglement": "expression changed: change of embedding and pose; yaw changed: change of expression; noise "
    "changed: change of landmarks",
    "view_consistency": "PSNR of a view warped into another by the rendered depth, where both see the same point; "
    "rendered depth against the mesh on the face",
    "smoothness": "second difference of the landmarks that the judge estimates along an eased expression ramp, over "
    "that of the target landmarks",
    "deformation": "mean |D(x) - delta| on visible vertices of the face; relative: on vertices that move by more than "
    "1 mm, over how far they move",
    "detection": "share of images with a shipped expression, yaw within 0.35, in which dlib finds a face; the "
    "camera's yaw against that of the detected landmarks",
}
"""Definition of each metric, in the order of the report."""
METRICS = tuple(DEFINITIONS)
OFFLINE = tuple(name for name in METRICS if name not in ("inception", "detection"))
"""Metrics that need no packages or network weights except those that come with this package."""
Better = Literal["lower", "higher"]
"""Whether lower or higher values of a statistic are better."""
COMPARED: dict[str, dict[str, Better]] = {
    "inception": {"fid": "lower", "kid_100": "lower", "inception_score": "higher"},
    "frechet": {"distance": "lower"},
    "embedding_frechet": {"distance": "lower"},
    "expression": {
        "correlation": "higher",
        "aed": "lower",
        "apd_deg": "lower",
        "landmarks_mm_interocular": "lower",
    },
    "identity": {"ratio": "lower"},
    "recognition": {"between_over_within": "higher"},
    "disentanglement": {
        "expression_moves_embedding_share": "lower",
        "expression_moves_pose_deg": "lower",
        "yaw_moves_expression_share": "lower",
        "noise_moves_landmarks_share": "lower",
    },
    "view_consistency": {"psnr_db": "higher", "depth_mm": "lower"},
    "smoothness": {"ratio_from_1": "lower"},
    "deformation": {"error_interocular": "lower", "moving_relative": "lower"},
    "detection": {"detection_rate": "higher"},
}
"""Metric -> statistic -> whether lower or higher is better, for the statistics by which two models are compared.

Statistics that say nearly the same as another one are left out.
"""
CORE = ("frechet", "expression", "identity", "deformation")
"""Default metrics of :class:`EvaluationConfig`."""


@dataclass(frozen=True)
class EvaluationConfig:
    """Which metrics to measure, and on how many images, people and faces."""

    metrics: tuple[str, ...] = CORE
    """Names of the metrics to measure."""
    samples: SampleConfig = field(default_factory=SampleConfig)
    """Which images to generate for the Frechet distances and for expression control. The Frechet distances use up to
    twice as many real images."""
    expressions_from: ExpressionSource = "prior"
    """Where the expressions of generated people come from: ``prior`` samples the model's expression prior, ``data``
    takes the expressions of random images of the data set."""
    bootstrap: int = 100
    """Number of bootstrap draws (random samples of the images, with replacement) from which the standard deviation of
    a Frechet distance is computed."""
    inception_count: int = 5000
    """Number of generated and of real images for FID, KID and Inception Score."""
    people: int = 40
    """Number of generated people for the metrics identity, recognition and disentanglement."""
    expressions: int = 6
    """Number of expressions that each person shows for identity, recognition and disentanglement; the first one is
    neutral."""
    appearances: int = 4
    """Number of appearance latents z_noise that each person is shown with for disentanglement; the first one is the
    person's own, the others are those of other people."""
    mesh_faces: int = 200
    """Number of generated people whose deformation is compared with the face model's mesh."""
    consistency_faces: int = 20
    """Number of generated people whose views and depths are compared for view consistency."""
    ramps: int = 6
    """Number of expression ramps for smoothness: image sequences in which one person's expression grows from neutral
    to full strength."""
    frames: int = 24
    """Number of images in each expression ramp."""
    detected_people: int = 300
    """Number of generated people in whose images a face is searched for, for detection."""
    detected_expressions: int = 2
    """Number of images of each of these people, each with another of the expressions that the model is shipped with."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown:
            raise ValueError(f"metrics has '{unknown[0]}', expected some of {', '.join(METRICS)}")
        require_at_least(self, 2, "bootstrap", "people", "expressions", "appearances")
        require_at_least(self, 1, "mesh_faces", "inception_count", "consistency_faces", "ramps")
        require_at_least(self, 1, "detected_people", "detected_expressions")
        require_at_least(self, 3, "frames")
