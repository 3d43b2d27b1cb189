"""Does a person stay the same person? Distances of identity vectors within people over those between people.

Vectors are a judge's identity coefficients, or the embeddings of any network that recognises faces.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


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


def identity_spread(vectors: Float[Tensor, "person picture feature"]) -> IdentitySpread:
    """Euclidean distances over all pairs; at least two people with two pictures each."""
    people, each = vectors.shape[:2]
    if people < 2 or each < 2:
        raise ValueError(f"{people} people with {each} pictures each, expected at least 2 and 2")
    rows = vectors.flatten(0, 1).double()
    distance = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")  # (P K, P K), exact near zero
    own, others = (pairs.to(rows.device) for pairs in person_pairs(people, each))
    within, between = float(distance[own].mean()), float(distance[others].mean())
    return IdentitySpread(within, between, within / between if between > 0 else float("nan"), people, each)


def person_pairs(people: int, each: int) -> tuple[Bool[Tensor, "row row"], Bool[Tensor, "row row"]]:
    """Pairs of pictures of one person, and of two, each pair once; rows are person by person."""
    who = torch.arange(people).repeat_interleave(each)
    same = who[:, None] == who[None]
    pair = torch.ones_like(same).triu(diagonal=1)
    return same & pair, ~same & pair
