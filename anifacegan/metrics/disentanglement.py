"""How much each code moves what it should not.

    expression changed   the face's embedding and its pose should stay
    yaw changed          the expression should stay
    noise changed        the landmarks should stay

Each drift is a mean over people and changes, of the difference from the same person unchanged. Beside it stands its
share of the difference that a wanted change makes: that of other people for embedding and landmarks, that of other
expressions for the expression. What a judge estimates wrongly is in the drift as well.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


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
class ChangedFaces:
    """What a judge and an embedder see of people, each first as they are and then changed in one code."""

    embedding: Float[Tensor, "person change feature"]
    exp: Float[Tensor, "person change 64"]
    angle_deg: Float[Tensor, "person change 3"]
    landmarks_mm: Float[Tensor, "person change 68 3"]


def disentanglement(expression: ChangedFaces, yaw: ChangedFaces, noise: ChangedFaces) -> Disentanglement:
    """Of the same people, first neutral and frontal, then with another expression, yaw or appearance code."""
    embedding = drift(expression.embedding).norm(dim=-1).mean()
    between = _between(expression.embedding[:, 0])
    exp = drift(yaw.exp).abs().mean()
    wanted = drift(expression.exp).abs().mean()
    landmarks = drift(noise.landmarks_mm).norm(dim=-1).mean()
    landmarks_between = _between(noise.landmarks_mm[:, 0])
    return Disentanglement(
        expression_moves_embedding=float(embedding),
        expression_moves_embedding_share=float(embedding / between),
        expression_moves_pose_deg=float(drift(expression.angle_deg).abs().mean()),
        yaw_moves_expression=float(exp),
        yaw_moves_expression_share=float(exp / wanted),
        noise_moves_landmarks_mm=float(landmarks),
        noise_moves_landmarks_share=float(landmarks / landmarks_between),
        people=len(expression.embedding),
    )


def drift(values: Float[Tensor, "person change *value"]) -> Float[Tensor, "person fewer *value"]:
    """Each change less the first entry, the person unchanged."""
    return values[:, 1:] - values[:, :1]


def _between(values: Float[Tensor, "person *value"]) -> Tensor:
    """Mean distance over all pairs of different people."""
    distance = (values[:, None] - values[None]).norm(dim=-1)           # (P, P) or (P, P, 68)
    first, second = torch.triu_indices(len(values), len(values), offset=1)
    return distance[first, second].mean()
