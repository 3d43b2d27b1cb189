"""Does a person stay the same person? Distances of identity vectors within people over those between people.

Vectors are a judge's identity coefficients, or the embeddings of any network that recognises faces.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anifacegan.metrics.bootstrap import Resampled, pair_mean, ratio, weighted_mean


@dataclass(frozen=True)
class IdentitySpread:
    """Mean distances of pairs of pictures."""

    within: float
    """Of one person."""
    between: float
    """Of two people."""
    ratio: float
    """within / between: 0 is a person who never changes, 1 is pictures that do not tell people apart."""
    people: int
    pictures_each: int


@dataclass(frozen=True)
class IdentityItems:
    """Mean distances of pictures, float64."""

    within: Float[Tensor, "person"]
    """Over the pairs of one person's pictures."""
    between: Float[Tensor, "person person"]
    """Over the pairs of two people's pictures; the diagonal says nothing."""
    each: int
    """Pictures of a person."""

    def report(self) -> IdentitySpread:
        people = len(self.within)
        apart = self.between[~torch.eye(people, dtype=torch.bool)]
        within, between = float(self.within.mean()), float(apart.mean())
        ratio = within / between if between > 0 else float("nan")
        return IdentitySpread(within, between, ratio, people, self.each)

    def resampled(self) -> Resampled:
        within, between = self.within.numpy(), self.between.numpy()
        return Resampled(
            {"people": len(within)},
            lambda weights: {"ratio": ratio(weighted_mean(weights[0], within), pair_mean(weights[0], between))},
        )


def identity_items(vectors: Float[Tensor, "person picture feature"]) -> IdentityItems:
    """Measure Euclidean distances over all pairs, person by person, in host memory.

    Raises:
        ValueError: there are fewer than two people, or fewer than two pictures of each.
    """
    people, each = vectors.shape[:2]
    if people < 2 or each < 2:
        raise ValueError(f"{people} people with {each} pictures each, expected at least 2 and 2")
    rows = vectors.flatten(0, 1).double().cpu()
    distance = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")  # (P K, P K), exact near zero
    blocks = distance.reshape(people, each, people, each)
    own = blocks.diagonal(dim1=0, dim2=2)                              # (K, K, P); a picture is 0 from itself
    return IdentityItems(own.sum(dim=(0, 1)) / (each * (each - 1)), blocks.mean(dim=(1, 3)), each)


def person_pairs(people: int, each: int) -> tuple[Bool[Tensor, "row row"], Bool[Tensor, "row row"]]:
    """Pairs of pictures of one person, and of two, each pair once; rows are person by person."""
    who = torch.arange(people).repeat_interleave(each)
    same = who[:, None] == who[None]
    pair = torch.ones_like(same).triu(diagonal=1)
    return same & pair, ~same & pair
