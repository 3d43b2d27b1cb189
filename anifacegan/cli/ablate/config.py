"""Options of ``anifacegan ablate``: a training configuration, its variants without single losses, and measurements."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from anifacegan.evaluation.config import EvaluationConfig
from anifacegan.evaluation.samples import SampleConfig
from anifacegan.training.config import TrainConfig

IMITATION_TERMS = (
    "deformation",
    "mouth_gap",
    "roughness",
    "minimal",
    "neutral",
    "alignment",
    "geometry",
    "landmarks",
)
"""Losses that make the deformation field imitate the face model, by their keys in ``weights``; see docs/training.md."""
IMAGE_TERMS = ("geometry", "landmarks")
"""Imitation losses on generated images, which only adversarial training has."""
FULL, NONE = "full", "without_any"
"""Names of the variants with every imitation loss and with none."""
METRICS = ("expression", "identity", "deformation")
"""What is measured of each variant; see :mod:`anifacegan.evaluation.config`."""


@dataclass(frozen=True)
class AblationConfig(TrainConfig):
    """Train a generator with all imitation losses, without each of them and without any, from the same seed and on the
    same data, and measure the differences. Takes every option of 'anifacegan train' for a generator. Writes a run
    folder for each variant, OUT/ablation.md and OUT/ablation.json; stopped and started again, it goes on.
    """

    judge: Path = Path("checkpoints/judge")
    """Folder of the face reconstruction network that estimates expressions: not the one that a loss has used."""
    samples: SampleConfig = field(default_factory=lambda: SampleConfig(count=400))
    """Generated images whose expressions are estimated."""
    people: int = 30
    """Number of people whose identity is compared between expressions."""
    expressions: int = 6
    """Number of expressions of each of these people, the neutral one included."""
    mesh_faces: int = 100
    """Number of faces whose deformation is compared with the mesh."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.evaluation()  # refuses counts that are too small

    def evaluation(self) -> EvaluationConfig:
        """The measurements that are made of every variant."""
        return EvaluationConfig(
            metrics=METRICS,
            samples=self.samples,
            people=self.people,
            expressions=self.expressions,
            mesh_faces=self.mesh_faces,
        )

    def training(self) -> TrainConfig:
        """The training configuration without the options of the measurements."""
        return TrainConfig(**{field.name: getattr(self, field.name) for field in fields(TrainConfig)})

    def variants(self) -> dict[str, TrainConfig]:
        """Training configurations by name: with all imitation losses, without each weighted one, and without any."""
        training = self.training()
        unused = () if self.schedule.adversarial else IMAGE_TERMS
        if self.generator.alignment is None:
            unused += ("alignment",)
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
