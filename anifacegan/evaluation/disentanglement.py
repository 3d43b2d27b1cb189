"""Disentanglement: how much changing one latent, or the camera, changes what it should not.

    changed latent      what should stay the same
    expression          the face's embedding and its pose
    yaw                 the expression coefficients
    appearance (noise)  the facial landmarks

Each number is the mean over people and changed latents, relative to the same person unchanged. A ``_share`` divides
it by a natural unit: for embedding and landmarks the mean difference between people, for the expression the mean
difference that a change of expression makes. Errors of the judge are included in all numbers.
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
    """Unwanted changes; lower is better."""

    expression_moves_embedding: float
    """Euclidean distance of the embeddings when the expression changes."""
    expression_moves_embedding_share: float
    """The same divided by the mean distance between different people's neutral faces."""
    expression_moves_pose_deg: float
    """Mean absolute change of pitch, yaw and roll when the expression changes, degrees."""
    yaw_moves_expression: float
    """Mean absolute change of the expression coefficients when the yaw changes."""
    yaw_moves_expression_share: float
    """The same divided by the mean absolute change that a change of expression makes."""
    noise_moves_landmarks_mm: float
    """Mean distance of the 68 unposed landmarks when the appearance latent changes, millimetres."""
    noise_moves_landmarks_share: float
    """The same divided by the mean distance between different people's landmarks."""
    people: int
    """Number of people."""


@dataclass(frozen=True)
class FaceMeasurements:
    """Measurements of people in their images: the unchanged face first, then the faces with one latent changed."""

    embedding: Float[Tensor, "person change feature"]
    """The embedder's vectors."""
    exp: Float[Tensor, "person change 64"]
    """Expression coefficients measured by the judge."""
    angle_deg: Float[Tensor, "person change 3"]
    """Pitch, yaw and roll measured by the judge, degrees."""
    landmarks_mm: Float[Tensor, "person change 68 3"]
    """Unposed landmarks of the measured coefficients, millimetres."""


@dataclass(frozen=True)
class DisentanglementItems:
    """Mean changes of each person, and distances between the unchanged faces of different people (CPU)."""

    embedding: Float[Tensor, "person"]
    """Change of the embedding when the expression changes."""
    embedding_between: Float[Tensor, "person person"]
    """Distance between two people's embeddings."""
    pose_deg: Float[Tensor, "person"]
    """Change of the pose when the expression changes."""
    exp: Float[Tensor, "person"]
    """Change of the expression coefficients when the yaw changes."""
    exp_target: Float[Tensor, "person"]
    """Change of the expression coefficients when the expression changes, as it should."""
    landmarks_mm: Float[Tensor, "person"]
    """Change of the landmarks when the appearance latent changes."""
    landmarks_between_mm: Float[Tensor, "person person"]
    """Distance between two people's landmarks."""

    def report(self) -> Disentanglement:
        """Average over the people."""
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
        """Return the shares and the change of the pose as statistics over resampled people."""
        values = {name: value.numpy() for name, value in vars(self).items()}

        def compute(weights: Sequence[Weights]) -> dict[str, Draws]:
            people = weights[0]
            embedding = weighted_mean(people, values["embedding"])
            landmarks = weighted_mean(people, values["landmarks_mm"])
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

        return BootstrapStatistics({"people": len(self.exp)}, compute)


def disentanglement_items(
    expression: FaceMeasurements, yaw: FaceMeasurements, noise: FaceMeasurements
) -> DisentanglementItems:
    """Compute each person's changes from measurements of the same people with one latent changed.

    Args:
        expression: faces with other expressions.
        yaw: faces from other yaws.
        noise: faces with other appearance latents.
    """
    return DisentanglementItems(
        embedding=_person_mean(change_from_first(expression.embedding).norm(dim=-1)),
        embedding_between=_distances(expression.embedding[:, 0]),
        pose_deg=_person_mean(change_from_first(expression.angle_deg).abs()),
        exp=_person_mean(change_from_first(yaw.exp).abs()),
        exp_target=_person_mean(change_from_first(expression.exp).abs()),
        landmarks_mm=_person_mean(change_from_first(noise.landmarks_mm).norm(dim=-1)),
        landmarks_between_mm=_distances(noise.landmarks_mm[:, 0]),
    )


def change_from_first(
    values: Float[Tensor, "person change *value"],
) -> Float[Tensor, "person other_change *value"]:
    """Subtract the unchanged face, which is the first entry, from all others."""
    return values[:, 1:] - values[:, :1]


def _person_mean(values: Float[Tensor, "person *value"]) -> Float[Tensor, "person"]:
    return values.flatten(1).mean(dim=1).cpu()


def _distances(values: Float[Tensor, "person *value"]) -> Float[Tensor, "person person"]:
    """Compute Euclidean distances between people; for landmarks the mean over the landmarks."""
    distance = (values[:, None] - values[None]).norm(dim=-1)  # (P, P) or (P, P, 68)
    return distance.flatten(2).mean(dim=-1).cpu() if distance.ndim > 2 else distance.cpu()
