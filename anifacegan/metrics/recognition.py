"""Is a person recognised across yaw and across expressions? Cosines of face embeddings, against different people's."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Recognition:
    """Mean cosines over pairs of pictures: 1 is the same direction."""

    across_yaw: float
    """Of one person, yaw -0.5 to 0.5 radians, neutral."""
    across_yaw_others: float
    """Of two people in the same pictures."""
    across_expressions: float
    """Of one person, frontal."""
    across_expressions_others: float
    people: int
    yaws: int
    expressions: int


def recognition(
    across_yaw: Float[Tensor, "person yaw feature"], across_expressions: Float[Tensor, "person expression feature"]
) -> Recognition:
    """From embeddings of the same people."""
    yaw, expression = cosines(across_yaw), cosines(across_expressions)
    return Recognition(*yaw, *expression, len(across_yaw), across_yaw.shape[1], across_expressions.shape[1])


def cosines(vectors: Float[Tensor, "person picture feature"]) -> tuple[float, float]:
    """Mean cosine within and between people, over all pairs of pictures."""
    people, each = vectors.shape[:2]
    unit = functional.normalize(vectors.double().flatten(0, 1), dim=-1)
    cosine = unit @ unit.T
    who = torch.arange(people, device=cosine.device).repeat_interleave(each)
    same = who[:, None] == who[None]
    pair = torch.ones_like(same).triu(diagonal=1)
    return float(cosine[same & pair].mean()), float(cosine[~same & pair].mean())
