"""Names, definitions and sample sizes of all metrics; the options of the commands ``evaluate`` and ``compare``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from anifacegan.evaluation.metric_options import require_used
from anifacegan.models.config import ViewSamplingConfig
from anifacegan.runtime.devices import Device
from anifacegan.runtime.errors import ConfigError, require_at_least, require_memory, require_unused
from anifacegan.runtime.output_places import ImageFolder, OutputFolder
from anifacegan.runtime.typed_config import as_tuple

ExpressionSource = Literal["prior", "data"]
"""Source of expressions: samples of a model's prior, or random images of a data set."""


@dataclass(frozen=True)
class SampleConfig:
    """How many images to generate, of which size, and how they are sampled."""

    count: int = 2000
    """Number of images."""
    seed: int = 1
    """Random seed of latents and poses."""
    size: int = 64
    """Height and width of an image, pixels."""
    psi: float = 1.0
    """Truncation psi of the appearance: 1 shows the full variety of people, 0 the average appearance for everyone."""
    batch: int = 32
    """Number of images that the judge (the face regressor for evaluation) processes at once; it does not change the
    results."""
    views: ViewSamplingConfig = field(default_factory=ViewSamplingConfig)
    """Distribution of the camera poses and expressions of the faces."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "count", "batch")
        require_at_least(self, 2, "size")
        require_at_least(self, 0, "seed", "psi")
        pixels = BYTES_OF_A_PIXEL * self.size**2
        require_memory(self, self.count * (pixels + BYTES_OF_A_FACE), "count", "size")
        require_memory(self, BATCH_FACTOR * min(self.batch, self.count) * pixels, "batch", "size")


BYTES_OF_A_PIXEL, BYTES_OF_A_FACE, BATCH_FACTOR = 6, 20_000, 20
"""Memory that each image of a set needs: bytes a pixel (it is copied once), bytes for its latents and features; and how
much more a pixel needs while networks measure it."""
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
    """Names of the metrics to measure; :data:`DEFINITIONS` says what each is."""
    samples: SampleConfig = field(default_factory=SampleConfig)
    """Which images to generate for the Frechet distances (of features that a face regressor for evaluation, or a face
    embedder, computes) and for expression control. The Frechet distances use up to twice as many real images."""
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
        image = BYTES_OF_A_PIXEL * self.samples.size**2 + BYTES_OF_A_FACE
        for people, others in (
            ("people", "expressions"),
            ("people", "appearances"),
            ("ramps", "frames"),
            ("detected_people", "detected_expressions"),
        ):
            count = getattr(self, people) * getattr(self, others)
            require_memory(self, count * image, people, others)


LARGEST_FIRST_SEED = 2**62
"""Largest seed of a measurement: numbers are added to the seed, and the sums must fit into 64 bits."""


@dataclass(frozen=True)
class MeasureConfig:
    """Options of the commands that measure models."""

    data: ImageFolder
    """Folder or .zip with images and .mat files. It gives the real images, the camera poses of generated faces and,
    with --expressions_from data, their expressions."""
    judge: Path | None = None
    """Folder of the judge: a face reconstruction network (a network from an image to face coefficients) that was not
    used in any training loss of the model. null: the shipped checkpoints/judge, if it belongs to the model's face
    model; if not, metrics that need a judge are left out."""
    metrics: str | tuple[str, ...] = ()
    """Names of the metrics to measure, such as frechet or identity; docs/evaluation.md defines them."""
    embedder: str = "judge"
    """Network that turns a face into an identity vector: judge (the judge's identity coefficients), dlib, or an .onnx
    or .pt (TorchScript) file. The network in a file gets crops (batch, 3, 112, 112), RGB in [-1, 1], that are aligned
    as ArcFace's training images: by eyes, nose tip and mouth corners."""
    trust_torchscript: bool = False
    """Run an embedder in a .pt file. TorchScript can do what a program can, such as write files: only for files from
    people whom you trust."""
    inception_weights: Path | None = None
    """File of torch-fidelity's Inception weights. null: the file in PyTorch's cache."""
    count: int = 2000
    """Number of generated images for the metrics expression, frechet and embedding_frechet. The last two are Frechet
    distances between generated and real images, of features of the judge and of the embedder (FID is part of
    inception); up to twice as many real images are used."""
    inception_count: int = 5000
    """Number of generated images, and of real images, for FID, KID and Inception Score."""
    people: int = 40
    """Number of generated people for the metrics identity, recognition and disentanglement."""
    expressions: int = 6
    """Number of expressions that each of these people shows; the first one is neutral."""
    mesh_faces: int = 200
    """Number of generated people whose deformation is compared with the face model's mesh, for the metric
    deformation."""
    consistency_faces: int = 20
    """Number of generated people whose views and depths are compared, for the metric view_consistency."""
    ramps: int = 6
    """Number of expression ramps (faces that go from neutral to a full expression) on which temporal smoothness is
    measured."""
    frames: int = 24
    """Number of images in each expression ramp."""
    detected_people: int = 300
    """Number of generated people in whose images dlib searches for a face, for the metric detection."""
    detected_expressions: int = 2
    """Number of images of each person for the metric detection, each with another of the expressions that the model is
    shipped with."""
    bootstrap: int = 100
    """Number of bootstrap draws (random samples of the images, with replacement) for the standard deviation that is
    reported with the Frechet distances of the metrics frechet and embedding_frechet."""
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
    """Number of images that are drawn, and that the judge (see the option judge) measures, at once; it changes the
    results by rounding only."""
    pitch_offset: float | None = None
    """Pitch, in radians, that Deep3DFaceRecon reports for a frontal face. It is subtracted from the pitch in the .mat
    files. Ignored for .mat files that store the exact pose (ours do). null: the value in
    card.yaml of the evaluated model."""
    face_model: Path | None = None
    """File of the open face model. null: the file that 'anifacegan face-model' keeps in the cache."""
    device: Device = "auto"
    """Device that computes. auto: a GPU if PyTorch finds one, else the CPU."""

    def __post_init__(self) -> None:
        require_at_least(self, 2, "count")  # of one image there is no correlation
        require_at_least(self, 1, "inception_count", "batch")
        require_at_least(self, 0, "seed", "psi")
        if self.size is not None:
            require_at_least(self, 2, "size")
        if self.seed > LARGEST_FIRST_SEED:
            raise ConfigError("seed", self.seed, f"at most {LARGEST_FIRST_SEED}")
        require_used(self, self.evaluation(64).metrics)  # EvaluationConfig checks the remaining values
        if not self.embedder.endswith(".pt"):
            require_unused(self, "without an --embedder that is a .pt file", "trust_torchscript")
        if self.expressions_from == "data" and set(as_tuple(self.metrics)) == {"detection"}:
            raise ConfigError(
                "expressions_from", "data", "prior: detection takes the model's named expressions"
            )

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
class CompareConfig(MeasureConfig):
    """Compare two models, or one model with itself at two settings of psi.

    B may replace A if it is better in at least one number and worse in none, counting only differences whose 95 %
    confidence interval excludes 0. This verdict is printed as the last line and written to comparison.json. The exit
    code is 0 whatever the verdict, 2 if an option or a file is wrong.
    """

    a: Path = Path("checkpoints/demo")
    """Folder of model A, the model in use."""
    b: Path | None = None
    """Folder of model B, which may replace A. null: compare A with itself at other settings."""
    metrics: str | tuple[str, ...] = OFFLINE
    """One or more of: inception (FID, KID and Inception Score), frechet and embedding_frechet (Frechet distance of
    features of the judge and of the embedder), expression, identity, recognition, disentanglement, view_consistency,
    smoothness, deformation, detection; docs/evaluation.md defines them. The numbers of inception have no intervals and
    do not enter the verdict."""
    psi_a: float | None = None
    """Truncation psi of model A's appearance. null: the value of psi."""
    psi_b: float | None = None
    """Truncation psi of model B's appearance. null: the value of psi."""
    faces: Literal["shared", "own"] = "shared"
    """shared: both models show people and expressions sampled from A's priors. own: each model samples from its own
    priors, which may differ between models that were trained independently."""
    ramps: int = 20
    """Number of expression ramps (faces that go from neutral to a full expression) on which temporal smoothness is
    measured. The confidence interval of only a few ramps would be too narrow."""
    draws: int = 1000
    """Number of bootstrap draws from which the confidence intervals are computed."""
    sheet_people: int = 3
    """Number of people in sheet.png."""
    sheet_size: int = 128
    """Height and width of each image in sheet.png, pixels."""
    out: OutputFolder = Path("runs/compare")
    """Folder for comparison.json, table.md and sheet.png."""
    overwrite: bool = False
    """Replace files in the output folder that this program did not write. Its own are always replaced."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 20, "draws")
        require_at_least(self, 1, "sheet_people")
        require_at_least(self, 8, "sheet_size")
        for name in ("psi_a", "psi_b"):
            if getattr(self, name) is not None:
                require_at_least(self, 0, name)
        if set(as_tuple(self.metrics)) == {"inception"}:
            require_unused(self, "with inception alone, whose numbers have no intervals", "draws")
        if self.psi_a is not None and self.psi_b is not None:
            require_unused(self, "with --psi_a and --psi_b", "psi")
        if self.b is None:
            require_unused(self, "without a second model", "faces")
        if self.b in (None, self.a) and self.psis[0] == self.psis[1]:
            raise ValueError(
                "A is compared with itself, expected a second model, or another --psi_a or --psi_b"
            )

    @property
    def psis(self) -> tuple[float, float]:
        """Truncation psi of A and truncation psi of B."""
        return (
            self.psi if self.psi_a is None else self.psi_a,
            self.psi if self.psi_b is None else self.psi_b,
        )
