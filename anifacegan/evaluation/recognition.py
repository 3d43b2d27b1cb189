"""Does a person stay the same person? Distances of identity vectors within people over those between people.

Vectors are a judge's identity coefficients, or the embeddings of any network that recognises faces.

Is a person recognised across yaw and across expressions? Face embeddings of one person, against different people's.

Cosines, as ArcFace's vectors are compared; and Euclidean distances, as dlib's are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from anifacegan.evaluation.bootstrap import (
    BootstrapStatistics,
    Draws,
    Weights,
    pair_mean,
    ratio,
    weighted_mean,
)


@dataclass(frozen=True)
class IdentitySpread:
    """Mean distances of pairs of images."""

    within: float
    """Of one person."""
    between: float
    """Of two people."""
    ratio: float
    """within / between: 0 is a person who never changes, 1 is images that do not tell people apart."""
    people: int
    images_each: int


@dataclass(frozen=True)
class IdentityItems:
    """Mean distances of images, float64."""

    within: Float[Tensor, "person"]
    """Over the pairs of one person's images."""
    between: Float[Tensor, "person person"]
    """Over the pairs of two people's images; the diagonal says nothing."""
    each: int
    """Images of a person."""

    def report(self) -> IdentitySpread:
        people = len(self.within)
        apart = self.between[~torch.eye(people, dtype=torch.bool)]
        within, between = float(self.within.mean()), float(apart.mean())
        ratio = within / between if between > 0 else float("nan")
        return IdentitySpread(within, between, ratio, people, self.each)

    def bootstrap_statistics(self) -> BootstrapStatistics:
        within, between = self.within.numpy(), self.between.numpy()
        return BootstrapStatistics(
            {"people": len(within)},
            lambda weights: {
                "ratio": ratio(weighted_mean(weights[0], within), pair_mean(weights[0], between))
            },
        )


def identity_items(vectors: Float[Tensor, "person image feature"]) -> IdentityItems:
    """Measure Euclidean distances over all pairs, person by person, in host memory.

    Raises:
        ValueError: there are fewer than two people, or fewer than two images of each.
    """
    people, each = vectors.shape[:2]
    if people < 2 or each < 2:
        raise ValueError(f"{people} people with {each} images each, expected at least 2 and 2")
    rows = vectors.flatten(0, 1).double().cpu()
    distance = torch.cdist(
        rows, rows, compute_mode="donot_use_mm_for_euclid_dist"
    )  # (P K, P K), exact near zero
    blocks = distance.reshape(people, each, people, each)
    own = blocks.diagonal(dim1=0, dim2=2)  # (K, K, P); an image is 0 from itself
    return IdentityItems(own.sum(dim=(0, 1)) / (each * (each - 1)), blocks.mean(dim=(1, 3)), each)


def person_pairs(people: int, each: int) -> tuple[Bool[Tensor, "row row"], Bool[Tensor, "row row"]]:
    """Pairs of images of one person, and of two, each pair once; rows are person by person."""
    who = torch.arange(people).repeat_interleave(each)
    same = who[:, None] == who[None]
    pair = torch.ones_like(same).triu(diagonal=1)
    return same & pair, ~same & pair


@dataclass(frozen=True)
class Recognition:
    """Means over pairs of images: cosines, of which 1 is the same direction, and a ratio of distances."""

    across_yaw: float
    """Of one person, yaw -0.5 to 0.5 radians, neutral."""
    across_yaw_others: float
    """Of two people in the same images."""
    across_expressions: float
    """Of one person, frontal."""
    across_expressions_others: float
    between_over_within: float
    """Distance between people over that within a person, both kinds of images together: higher is better."""
    people: int
    yaws: int
    expressions: int


@dataclass(frozen=True)
class RecognitionItems:
    """Embeddings of the same people. The first expression is the neutral one, whose image is among the yaws."""

    across_yaw: Float[Tensor, "person yaw feature"]
    across_expressions: Float[Tensor, "person expression feature"]

    def report(self) -> Recognition:
        yaw, expression = cosines(self.across_yaw), cosines(self.across_expressions)
        people, yaws = self.across_yaw.shape[:2]
        spread = self.distances().report()
        ratio = spread.between / spread.within if spread.within > 0 else math.inf
        return Recognition(*yaw, *expression, ratio, people, yaws, self.across_expressions.shape[1])

    def distances(self) -> IdentityItems:
        """Of all images together."""
        return identity_items(torch.cat([self.across_yaw, self.across_expressions[:, 1:]], dim=1))

    def bootstrap_statistics(self) -> BootstrapStatistics:
        spread = self.distances().bootstrap_statistics()

        def numbers(weights: Sequence[Weights]) -> dict[str, Draws]:
            within_over_between = spread.numbers(weights)["ratio"]
            with np.errstate(divide="ignore"):  # people who never change: infinitely well told
                return {"between_over_within": 1 / within_over_between}

        return BootstrapStatistics(spread.counts, numbers)


def recognition(
    across_yaw: Float[Tensor, "person yaw feature"],
    across_expressions: Float[Tensor, "person expression feature"],
) -> Recognition:
    """From embeddings of the same people: see :class:`RecognitionItems`."""
    return RecognitionItems(across_yaw, across_expressions).report()


def cosines(vectors: Float[Tensor, "person image feature"]) -> tuple[float, float]:
    """Mean cosine within and between people, over all pairs of images."""
    people, each = vectors.shape[:2]
    unit = functional.normalize(vectors.double().flatten(0, 1), dim=-1)
    cosine = unit @ unit.T
    own, others = (pairs.to(cosine.device) for pairs in person_pairs(people, each))
    return float(cosine[own].mean()), float(cosine[others].mean())
