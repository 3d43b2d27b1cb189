"""Is a person recognised across yaw and across expressions? Face embeddings of one person, against different people's.

Cosines, as ArcFace's vectors are compared; and Euclidean distances, as dlib's are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from anifacegan.metrics.bootstrap import Draws, Resampled, Weights
from anifacegan.metrics.identity import IdentityItems, identity_items, person_pairs


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


@dataclass(frozen=True)
class RecognitionItems:
    """Embeddings of the same people. The first expression is the neutral one, whose picture is among the yaws."""

    across_yaw: Float[Tensor, "person yaw feature"]
    across_expressions: Float[Tensor, "person expression feature"]

    def report(self) -> Recognition:
        yaw, expression = cosines(self.across_yaw), cosines(self.across_expressions)
        people, yaws = self.across_yaw.shape[:2]
        spread = self.distances().report()
        ratio = spread.between / spread.within if spread.within > 0 else math.inf
        return Recognition(*yaw, *expression, ratio, people, yaws, self.across_expressions.shape[1])

    def distances(self) -> IdentityItems:
        """Of all pictures together."""
        return identity_items(torch.cat([self.across_yaw, self.across_expressions[:, 1:]], dim=1))

    def resampled(self) -> Resampled:
        spread = self.distances().resampled()

        def numbers(weights: Sequence[Weights]) -> dict[str, Draws]:
            within_over_between = spread.numbers(weights)["ratio"]
            with np.errstate(divide="ignore"):                         # people who never change: infinitely well told
                return {"between_over_within": 1 / within_over_between}

        return Resampled(spread.counts, numbers)


def recognition(
    across_yaw: Float[Tensor, "person yaw feature"], across_expressions: Float[Tensor, "person expression feature"]
) -> Recognition:
    """From embeddings of the same people: see :class:`RecognitionItems`."""
    return RecognitionItems(across_yaw, across_expressions).report()


def cosines(vectors: Float[Tensor, "person picture feature"]) -> tuple[float, float]:
    """Mean cosine within and between people, over all pairs of pictures."""
    people, each = vectors.shape[:2]
    unit = functional.normalize(vectors.double().flatten(0, 1), dim=-1)
    cosine = unit @ unit.T
    own, others = (pairs.to(cosine.device) for pairs in person_pairs(people, each))
    return float(cosine[own].mean()), float(cosine[others].mean())
