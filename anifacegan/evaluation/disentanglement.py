"""How much each code moves what it should not.

    expression changed   the face's embedding and its pose should stay
    yaw changed          the expression should stay
    noise changed        the landmarks should stay

Each drift is a mean over people and changes, of the difference from the same person unchanged. Beside it stands its
share of the difference that a wanted change makes: that of other people for embedding and landmarks, that of other
expressions for the expression. What a judge estimates wrongly is in the drift as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from anifacegan.evaluation.bootstrap import (
    BootstrapStatistics,
    Draws,
    Weights,
    pair_mean,
    ratio,
    weighted_mean,
    weighted_ratio,
)


@dataclass(frozen=True)
class Disentanglement:
    """Lower is better."""

    expression_moves_embedding: float
    """Euclidean distance of the embedder's vectors."""
    expression_moves_embedding_share: float
    """Of the mean distance between different people's neutral faces."""
    expression_moves_pose_deg: float
    """Mean absolute change of pitch, yaw and roll."""
    yaw_moves_expression: float
    """Mean absolute change of the expression coefficients."""
    yaw_moves_expression_share: float
    """Of the mean absolute difference that the expressions make."""
    noise_moves_landmarks_mm: float
    """Mean distance of the 68 landmarks in space, unposed."""
    noise_moves_landmarks_share: float
    """Of the mean distance between different people's."""
    people: int


@dataclass(frozen=True)
class FaceMeasurements:
    """What a judge and an embedder see of people, each first as they are and then changed in one code."""

    embedding: Float[Tensor, "person change feature"]
    exp: Float[Tensor, "person change 64"]
    angle_deg: Float[Tensor, "person change 3"]
    landmarks_mm: Float[Tensor, "person change 68 3"]


@dataclass(frozen=True)
class DisentanglementItems:
    """Mean drifts person by person, and how far people's unchanged faces are apart; host memory."""

    embedding: Float[Tensor, "person"]
    embedding_between: Float[Tensor, "person person"]
    pose_deg: Float[Tensor, "person"]
    exp: Float[Tensor, "person"]
    exp_target: Float[Tensor, "person"]
    landmarks_mm: Float[Tensor, "person"]
    landmarks_between_mm: Float[Tensor, "person person"]

    def report(self) -> Disentanglement:
        numbers = self.bootstrap_statistics().estimate()
        return Disentanglement(
            expression_moves_embedding=float(self.embedding.mean()),
            expression_moves_embedding_share=numbers["expression_moves_embedding_share"],
            expression_moves_pose_deg=numbers["expression_moves_pose_deg"],
            yaw_moves_expression=float(self.exp.mean()),
            yaw_moves_expression_share=numbers["yaw_moves_expression_share"],
            noise_moves_landmarks_mm=float(self.landmarks_mm.mean()),
            noise_moves_landmarks_share=numbers["noise_moves_landmarks_share"],
            people=len(self.exp),
        )

    def bootstrap_statistics(self) -> BootstrapStatistics:
        values = {name: value.numpy() for name, value in vars(self).items()}

        def numbers(weights: Sequence[Weights]) -> dict[str, Draws]:
            people = weights[0]
            embedding, landmarks = (
                weighted_mean(people, values[name]) for name in ("embedding", "landmarks_mm")
            )
            return {
                "expression_moves_embedding_share": ratio(
                    embedding, pair_mean(people, values["embedding_between"])
                ),
                "expression_moves_pose_deg": weighted_mean(people, values["pose_deg"]),
                "yaw_moves_expression_share": weighted_ratio(people, values["exp"], values["exp_target"]),
                "noise_moves_landmarks_share": ratio(
                    landmarks, pair_mean(people, values["landmarks_between_mm"])
                ),
            }

        return BootstrapStatistics({"people": len(self.exp)}, numbers)


def disentanglement(
    expression: FaceMeasurements, yaw: FaceMeasurements, noise: FaceMeasurements
) -> Disentanglement:
    """Of the same people, first neutral and frontal, then with another expression, yaw or appearance code."""
    return disentanglement_items(expression, yaw, noise).report()


def disentanglement_items(
    expression: FaceMeasurements, yaw: FaceMeasurements, noise: FaceMeasurements
) -> DisentanglementItems:
    """The same person by person."""

    def person_mean(values: Tensor) -> Tensor:
        return values.flatten(1).mean(dim=1).cpu()

    return DisentanglementItems(
        embedding=person_mean(drift(expression.embedding).norm(dim=-1)),
        embedding_between=_between(expression.embedding[:, 0]),
        pose_deg=person_mean(drift(expression.angle_deg).abs()),
        exp=person_mean(drift(yaw.exp).abs()),
        exp_target=person_mean(drift(expression.exp).abs()),
        landmarks_mm=person_mean(drift(noise.landmarks_mm).norm(dim=-1)),
        landmarks_between_mm=_between(noise.landmarks_mm[:, 0]),
    )


def drift(values: Float[Tensor, "person change *value"]) -> Float[Tensor, "person fewer *value"]:
    """Each change less the first entry, the person unchanged."""
    return values[:, 1:] - values[:, :1]


def _between(values: Float[Tensor, "person *value"]) -> Float[Tensor, "person person"]:
    """Distances of people; of landmarks the mean over these."""
    distance = (values[:, None] - values[None]).norm(dim=-1)  # (P, P) or (P, P, 68)
    return distance.flatten(2).mean(dim=-1).cpu() if distance.ndim > 2 else distance.cpu()
