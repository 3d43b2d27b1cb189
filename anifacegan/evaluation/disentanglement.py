"""Disentanglement: how much changing one latent, or the camera, changes what it should not.

    changed latent      what should stay the same
    expression          the face's embedding and its pose
    yaw                 the expression coefficients
    appearance (noise)  the facial landmarks

A face embedder turns an image into an identity vector, the embedding. Pose, expression coefficients and landmarks are
measured by the judge, a face regressor that is only used for evaluation; its errors are part of all numbers.

Each number is the mean difference between a changed face and the unchanged face of the same person, over people and
changes. A number whose name ends in ``_share`` is this mean divided by a difference of natural size. For embedding and
landmarks this is the mean difference between the unchanged faces of two people. For the expression coefficients it is
the mean difference that a change of the expression makes.
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
    """Unwanted changes of a face when one of its latents or the camera changes; lower is better.

    All changes are means over people and over the changed images of a person. An embedding is the identity vector of a
    face image. Pose, expression coefficients and landmarks are measured in the images by the judge, a face regressor
    that is only used for evaluation.
    """

    expression_moves_embedding: float
    """Mean Euclidean distance that the embedding moves when the expression changes."""
    expression_moves_embedding_share: float
    """``expression_moves_embedding`` divided by the mean distance between the embeddings of different people's neutral
    faces."""
    expression_moves_pose_deg: float
    """Mean absolute change of pitch, yaw and roll when the expression changes, degrees."""
    yaw_moves_expression: float
    """Mean absolute change of the expression coefficients when the yaw changes."""
    yaw_moves_expression_share: float
    """``yaw_moves_expression`` divided by the mean absolute change of the expression coefficients when the expression
    changes."""
    noise_moves_landmarks_mm: float
    """Mean distance by which the 68 landmarks move, without the head pose, when the appearance latent z_noise changes,
    millimetres."""
    noise_moves_landmarks_share: float
    """``noise_moves_landmarks_mm`` divided by the mean distance between the same landmark of two people."""
    people: int
    """Number of people."""


@dataclass(frozen=True)
class FaceMeasurements:
    """Measurements in several images of each person: first the unchanged face, then the changed faces."""

    embedding: Float[Tensor, "person change feature"]
    """Identity vector that the face embedder computes from each image."""
    exp: Float[Tensor, "person change 64"]
    """Expression coefficients measured by the judge, a face regressor for evaluation."""
    angle_deg: Float[Tensor, "person change 3"]
    """Pitch, yaw and roll measured by the judge, a face regressor for evaluation, degrees."""
    landmarks_mm: Float[Tensor, "person change 68 3"]
    """Landmarks of the measured identity and expression coefficients, without the head pose, millimetres."""


@dataclass(frozen=True)
class DisentanglementItems:
    """Mean changes of each person's face, and distances between the unchanged faces of two people.

    A mean change is the mean over a person's changed faces of the difference from the unchanged face. An embedding is
    the identity vector of a face image. Pose, expression coefficients and landmarks are measured in the images by the
    judge, a face regressor that is only used for evaluation. All tensors are on the CPU.
    """

    embedding: Float[Tensor, "person"]
    """Mean Euclidean distance that the embedding moves when the expression changes."""
    embedding_between: Float[Tensor, "person person"]
    """Euclidean distance between the embeddings of the unchanged faces of two people."""
    pose_deg: Float[Tensor, "person"]
    """Mean absolute change of pitch, yaw and roll when the expression changes, degrees."""
    exp: Float[Tensor, "person"]
    """Mean absolute change of the measured expression coefficients when the yaw changes; an unwanted change."""
    exp_target: Float[Tensor, "person"]
    """Mean absolute change of the measured expression coefficients when the expression changes; a wanted change."""
    landmarks_mm: Float[Tensor, "person"]
    """Mean distance by which the landmarks move when the appearance latent changes, millimetres."""
    landmarks_between_mm: Float[Tensor, "person person"]
    """Distance between a landmark of one person and the same landmark of the other, on unchanged faces, averaged over
    the 68 landmarks, millimetres."""

    def report(self) -> Disentanglement:
        """Return the changes averaged over all people, and the shares: these averages divided by natural changes."""
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
        """Return a function that recomputes all shares (names with ``_share``) and the mean change of the pose from
        bootstrap samples of the people.
        """
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
    """Compute the mean changes of each person from three sets of measurements of the same people.

    In each set the first face of a person is unchanged. The other faces of the person differ from it in one respect.

    Args:
        expression: faces whose expression changes.
        yaw: faces whose camera yaw changes.
        noise: faces whose appearance latent z_noise changes.
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
    """Subtract the values of each person's unchanged face from the values of the person's changed faces.

    The unchanged face is the first one along the axis ``change``; it is not in the result.
    """
    return values[:, 1:] - values[:, :1]


def _person_mean(values: Float[Tensor, "person *value"]) -> Float[Tensor, "person"]:
    return values.flatten(1).mean(dim=1).cpu()


def _distances(values: Float[Tensor, "person *value"]) -> Float[Tensor, "person person"]:
    """Compute Euclidean distances between people along the last axis, averaged over the other axes (landmarks)."""
    distance = (values[:, None] - values[None]).norm(dim=-1)  # (P, P) or (P, P, 68)
    return distance.flatten(2).mean(dim=-1).cpu() if distance.ndim > 2 else distance.cpu()
