"""Options of ``anifacegan ablate``: a training configuration, its variants without single losses, and measurements."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

from anifacegan.evaluation.config import EvaluationConfig, SampleConfig
from anifacegan.runtime.errors import require_unused
from anifacegan.runtime.output_places import OutputFolder
from anifacegan.training.config import TrainConfig

IMITATION_TERMS = (
    "deformation",
    "mouth_gap",
    "roughness",
    "minimal",
    "neutral",
    "geometry",
    "landmarks",
)
"""Losses that make generated faces follow the face model, by their keys in ``weights``; see docs/training.md."""
IMAGE_TERMS = ("geometry", "landmarks")
"""Those imitation losses that need generated images, and so are used in adversarial training only."""
FULL, NONE = "full", "without_any"
"""Names of the variants with every imitation loss and with none."""
METRICS = ("expression", "identity", "deformation")
"""Metrics that are measured of each variant; see :mod:`anifacegan.evaluation.config`."""


@dataclass(frozen=True)
class AblationConfig(TrainConfig):
    """Train several variants of a generator and measure how they differ: one with all imitation losses (which make
    faces follow the face model), for each of these losses one without it, and one without any of them. All variants
    have the same seed and data. Takes every option of 'anifacegan train' for a generator. Writes a run folder for each
    variant, OUT/ablation.md and OUT/ablation.json; if it is stopped and started again, it continues. Lengths are in
    world units, of which 1 counts as 1 m.
    """

    out: OutputFolder
    """Folder for one run folder per variant, ablation.md and ablation.json."""
    task: Literal["generator"] = "generator"
    """Kind of network that is trained. Always generator here."""
    judge: Path = Path("checkpoints/judge")
    """Folder of the judge, a face reconstruction network that estimates expressions in generated images. It should be a
    network that was not used in any training loss of the model."""
    samples: SampleConfig = field(default_factory=lambda: SampleConfig(count=400))
    """Number, seed, size and distribution of the generated images in which expressions are estimated."""
    people: int = 30
    """Number of people whose identity is compared between their expressions."""
    expressions: int = 6
    """Number of expressions of each of these people, the neutral one included."""
    mesh_faces: int = 100
    """Number of faces whose deformation is compared with the face model's mesh."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_unused(self, "in an ablation, which is several runs", "plan", "view")
        self.evaluation()  # refuses counts that are too small

    def evaluation(self) -> EvaluationConfig:
        """Return the settings of the measurements, which are the same for every trained variant."""
        return EvaluationConfig(
            metrics=METRICS,
            samples=self.samples,
            people=self.people,
            expressions=self.expressions,
            mesh_faces=self.mesh_faces,
        )

    def training(self) -> TrainConfig:
        """Return the training configuration, without the options of the measurements."""
        return TrainConfig(**{field.name: getattr(self, field.name) for field in fields(TrainConfig)})

    def variants(self) -> dict[str, TrainConfig]:
        """Return the training configuration of each variant by its name.

        One variant has all imitation losses. For each imitation loss that has a weight, one variant lacks only this
        loss. The last variant has no imitation loss.
        """
        training = self.training()
        unused = () if self.schedule.adversarial else IMAGE_TERMS
        weighted = [name for name in IMITATION_TERMS if getattr(self.weights, name) and name not in unused]
        left_out: dict[str, list[str]] = {FULL: []} | {f"without_{name}": [name] for name in weighted}
        return {
            variant: replace(
                training,
                out=self.out / variant,
                name=f"{self.name}_{variant}",
                weights=replace(self.weights, **dict.fromkeys(names, 0.0)),
            )
            for variant, names in (left_out | {NONE: weighted}).items()
        }
