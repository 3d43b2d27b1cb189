"""Identity preservation: images of one person should have more similar identity vectors than images of two people.

An identity vector is either the identity coefficients that the judge (the face regressor for evaluation) estimates, or
the embedding of a face recognition network. ``IdentityItems`` hold Euclidean distances of identity vectors between
images of one person, and between images of two people. ``RecognitionItems`` hold embeddings of people seen from several
yaws and with several expressions. The embeddings are compared by cosines, as in ArcFace, and by Euclidean distances, as
in dlib.
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
    """Mean Euclidean distances between the identity vectors of two images.

    An identity vector is the output of a face recognition network, or the identity coefficients of a face regressor.
    """

    within: float
    """Mean distance over pairs of images of one person."""
    between: float
    """Mean distance over pairs of images of two people."""
    ratio: float
    """``within`` divided by ``between``: 0 if all images of a person have the same identity vector, 1 if people cannot
    be told apart."""
    people: int
    """Number of people."""
    images_each: int
    """Number of images of each person."""


@dataclass(frozen=True)
class IdentityItems:
    """Mean Euclidean distances between the identity vectors of two images (CPU, float64)."""

    within: Float[Tensor, "person"]
    """Mean distance over all pairs of different images of the person."""
    between: Float[Tensor, "person person"]
    """Mean distance over all pairs of an image of one person and an image of the other; the diagonal is not used."""
    each: int
    """Number of images of each person."""

    def report(self) -> IdentitySpread:
        """Return ``within`` averaged over all people, ``between`` averaged over all pairs of two people, and the former
        average divided by the latter.
        """
        people = len(self.within)
        off_diagonal = self.between[~torch.eye(people, dtype=torch.bool)]
        within, between = float(self.within.mean()), float(off_diagonal.mean())
        return IdentitySpread(
            within=within,
            between=between,
            ratio=within / between if between > 0 else math.nan,
            people=people,
            images_each=self.each,
        )

    def bootstrap_statistics(self) -> BootstrapStatistics:
        """Return a function that recomputes ``ratio`` from bootstrap samples of the people.

        It is ``within``, averaged over people, divided by ``between``, averaged over pairs of two people.
        """
        within, between = self.within.numpy(), self.between.numpy()

        def compute(weights: Sequence[Weights]) -> dict[str, Draws]:
            return {"ratio": ratio(weighted_mean(weights[0], within), pair_mean(weights[0], between))}

        return BootstrapStatistics({"people": len(within)}, compute)


def identity_items(vectors: Float[Tensor, "person image feature"]) -> IdentityItems:
    """Compute mean Euclidean distances of identity vectors for each person and for each pair of people.

    Raises:
        ValueError: there are fewer than two people, or fewer than two images of each.
    """
    people, each = vectors.shape[:2]
    if people < 2 or each < 2:
        raise ValueError(f"{people} people with {each} images each, expected at least 2 and 2")
    rows = vectors.flatten(0, 1).double().cpu()
    # Without matrix products, so that small distances are exact.
    distance = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")  # (P K, P K)
    blocks = distance.reshape(people, each, people, each)
    same_person = blocks.diagonal(dim1=0, dim2=2)  # (K, K, P); the distance of an image from itself is 0
    within = same_person.sum(dim=(0, 1)) / (each * (each - 1))
    return IdentityItems(within, between=blocks.mean(dim=(1, 3)), each=each)


def person_pairs(people: int, each: int) -> tuple[Bool[Tensor, "row row"], Bool[Tensor, "row row"]]:
    """Mark pairs of images in two matrices: in the first the pairs of one person, in the second those of two people.

    Rows and columns are the images, ordered by person, ``each`` for every person. Each pair is marked once, above the
    diagonal.
    """
    person = torch.arange(people).repeat_interleave(each)
    same = person[:, None] == person[None]
    pair = torch.ones_like(same).triu(diagonal=1)
    return same & pair, ~same & pair


@dataclass(frozen=True)
class Recognition:
    """Mean cosines between the face embeddings (identity vectors) of two images, and a ratio of Euclidean distances."""

    across_yaw: float
    """Mean cosine between neutral images of one person at yaws from -0.5 to 0.5 radians."""
    across_yaw_others: float
    """Mean cosine between neutral images of two people at yaws from -0.5 to 0.5 radians."""
    across_expressions: float
    """Mean cosine between frontal images of one person with different expressions."""
    across_expressions_others: float
    """Mean cosine between frontal images of two people with any of these expressions."""
    between_over_within: float
    """Mean Euclidean distance between the embeddings of images of two people, divided by that of images of one person.
    Images of all yaws and all expressions count; higher is better."""
    people: int
    """Number of people."""
    yaws: int
    """Number of yaws that each person is seen from."""
    expressions: int
    """Number of expressions that each person shows."""


@dataclass(frozen=True)
class RecognitionItems:
    """Embeddings (identity vectors) of the same people from several yaws and with several expressions.

    The image with the first expression, neutral and frontal, is also one of the images of ``across_yaw``.
    """

    across_yaw: Float[Tensor, "person yaw feature"]
    """Embeddings of images with a neutral expression from several yaws."""
    across_expressions: Float[Tensor, "person expression feature"]
    """Embeddings of frontal images with several expressions, the first one neutral."""

    def report(self) -> Recognition:
        """Return the mean cosines over pairs of images, and the ratio of the mean distances."""
        yaw_same, yaw_others = cosines(self.across_yaw)
        expression_same, expression_others = cosines(self.across_expressions)
        spread = self.distances().report()
        return Recognition(
            across_yaw=yaw_same,
            across_yaw_others=yaw_others,
            across_expressions=expression_same,
            across_expressions_others=expression_others,
            between_over_within=spread.between / spread.within if spread.within > 0 else math.inf,
            people=self.across_yaw.shape[0],
            yaws=self.across_yaw.shape[1],
            expressions=self.across_expressions.shape[1],
        )

    def distances(self) -> IdentityItems:
        """Compute the Euclidean distances between the embeddings of all images.

        The neutral frontal image of a person, which both fields hold, counts once.
        """
        return identity_items(torch.cat([self.across_yaw, self.across_expressions[:, 1:]], dim=1))

    def bootstrap_statistics(self) -> BootstrapStatistics:
        """Return a function that recomputes ``between_over_within`` from bootstrap samples of the people.

        It is the mean distance between embeddings of two people, divided by that between embeddings of one person.
        """
        distances = self.distances().bootstrap_statistics()

        def compute(weights: Sequence[Weights]) -> dict[str, Draws]:
            within_over_between = distances.compute(weights)["ratio"]
            with np.errstate(divide="ignore"):  # infinite if people never change
                return {"between_over_within": 1 / within_over_between}

        return BootstrapStatistics(distances.counts, compute)


def cosines(vectors: Float[Tensor, "person image feature"]) -> tuple[float, float]:
    """Compute two mean cosines of identity vectors over pairs of images: pairs of one person, and pairs of two
    people.
    """
    people, each = vectors.shape[:2]
    unit = functional.normalize(vectors.double().flatten(0, 1), dim=-1)
    cosine = unit @ unit.T
    same, different = (pairs.to(cosine.device) for pairs in person_pairs(people, each))
    return float(cosine[same].mean()), float(cosine[different].mean())
