"""Which metrics there are, what each says, and how much is looked at."""

from dataclasses import dataclass, field
from typing import Literal

from anifacegan.evaluation.samples import SampleConfig, Source
from anifacegan.runtime.errors import require_at_least

DEFINITIONS = {
    "inception": "FID, KID x 100 and Inception Score by torch-fidelity, on 8-bit images; generated against real",
    "frechet": "Frechet distance of the judge's features, generated against real; floor: real against other real",
    "embedding_frechet": "the same of the embedder's vectors",
    "expression": "codes and camera asked for against those that the judge estimates: correlation of the first ten "
    "expression coefficients, AED and APD (mean absolute, and root mean square), 68 landmarks",
    "identity": "distance of the judge's identity coefficients across one person's expressions, over that between "
    "people",
    "recognition": "cosine of the embedder's vectors of one person across yaw -0.5 to 0.5 and across expressions, "
    "against other people's; Euclidean distance between people over that within a person",
    "disentanglement": "expression changed: drift of embedding and pose; yaw changed: of expression; noise changed: of "
    "landmarks",
    "view_consistency": "PSNR of a view warped into another by the rendered depth, where both see the same point; "
    "rendered depth against the mesh on the face",
    "smoothness": "second difference of the landmarks that the judge finds over an eased expression ramp, over the "
    "ramp's own",
    "deformation": "mean |D(x) - delta| on seen vertices of the face; relative: on vertices that move by more than "
    "1 mm, over how far they move",
    "detection": "share of images with a shipped expression, yaw within 0.35, in which dlib finds a face; the "
    "camera's yaw against that of the found landmarks",
}
METRICS = tuple(DEFINITIONS)
OFFLINE = tuple(name for name in METRICS if name not in ("inception", "detection"))
"""Those that need nothing beyond what is shipped."""
Better = Literal["lower", "higher"]
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
    "detection": {"found": "higher"},
}
"""The numbers by which two models are compared, and which way is better: of each metric those that say a thing once."""
CORE = ("frechet", "expression", "identity", "deformation")
"""What is measured where nothing is chosen."""


@dataclass(frozen=True)
class EvaluationConfig:
    """Which metrics, on how much."""

    metrics: tuple[str, ...] = CORE
    """Names of metrics."""
    samples: SampleConfig = field(default_factory=SampleConfig)
    """The generated images; twice as many real ones are taken where the data set has them."""
    expressions_from: Source = "prior"
    """Whether drawn expressions are the prior's or the data set's."""
    bootstrap: int = 100
    """Draws for the deviation of the Frechet distance."""
    inception_count: int = 5000
    """Generated images, and real ones, for FID, KID and IS."""
    people: int = 40
    """People of identity, recognition and disentanglement."""
    expressions: int = 6
    """Expressions of each of them; the first is neutral."""
    appearances: int = 4
    """Appearance codes of each of them; the first is their own."""
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

    def __post_init__(self) -> None:
        unknown = [name for name in self.metrics if name not in METRICS]
        if unknown:
            raise ValueError(f"metrics has '{unknown[0]}', expected some of {', '.join(METRICS)}")
        require_at_least(self, 2, "bootstrap", "people", "expressions", "appearances")
        require_at_least(self, 1, "mesh_faces", "inception_count", "consistency_faces", "ramps")
        require_at_least(self, 1, "detected_people", "detected_expressions")
        require_at_least(self, 3, "frames")
