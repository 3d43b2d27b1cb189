"""Is a person recognised across yaw and across expressions? Face embeddings of one person, against different people's.

Cosines, as ArcFace's vectors are compared; and Euclidean distances, as dlib's are.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from anifacegan.metrics.identity import identity_spread, person_pairs


@dataclass(frozen=True)
class Recognition:
    """Means over pairs of pictures: cosines, of which 1 is the same direction, and a ratio of distances."""

    across_yaw: float
    """Of one person, yaw -0.5 to 0.5 radians, neutral."""
    across_yaw_others: float
    """Of two people in the same pictures."""
    across_expressions: float
    """Of one person, frontal."""
    across_expressions_others: float
    between_over_within: float
    """Distance between people over that within a person, both kinds of pictures together: higher is better."""
    people: int
    yaws: int
    expressions: int


def recognition(
    across_yaw: Float[Tensor, "person yaw feature"], across_expressions: Float[Tensor, "person expression feature"]
) -> Recognition:
    """From embeddings of the same people. The first expression is the neutral one, whose picture is among the yaws."""
    yaw, expression = cosines(across_yaw), cosines(across_expressions)
    spread = identity_spread(torch.cat([across_yaw, across_expressions[:, 1:]], dim=1))
    ratio = spread.between / spread.within if spread.within > 0 else math.inf
    return Recognition(*yaw, *expression, ratio, len(across_yaw), across_yaw.shape[1], across_expressions.shape[1])


def cosines(vectors: Float[Tensor, "person picture feature"]) -> tuple[float, float]:
    """Mean cosine within and between people, over all pairs of pictures."""
    people, each = vectors.shape[:2]
    unit = functional.normalize(vectors.double().flatten(0, 1), dim=-1)
    cosine = unit @ unit.T
    own, others = (pairs.to(cosine.device) for pairs in person_pairs(people, each))
    return float(cosine[own].mean()), float(cosine[others].mean())
