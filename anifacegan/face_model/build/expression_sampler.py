"""Random plausible expressions as strengths of action units, the face model's named elementary movements.

Mouth, brows and eyes each make one of several kinds of movement, each with its own amplitude. People smile with their
brows up, down or at rest; if mouth and brows always moved together, images would not show what each coefficient means.
The action units of one kind of movement move together as in real faces: a smile raises the cheeks, too.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from anifacegan.face_model.expressions import is_strong_unit


class Sides(Enum):
    """Side of the face, left or right, on which an action unit moves.

    ONE is drawn at random for each expression and each kind of movement: all units of the kind with ONE move on the
    same side, and those with OTHER on the opposite side. A unit in the middle of the face ignores its side.
    """

    BOTH = "both sides, with slightly different strengths"
    ONE = "one side, drawn at random"
    OTHER = "the side opposite to ONE"


@dataclass(frozen=True)
class Move:
    """What one action unit does in a kind of movement; its strength is the product of the factors below."""

    unit: str
    """Name of the action unit; a name without Left or Right means both sides, unless the unit is in the middle of the
    face."""
    strength: float = 1.0
    """Constant factor of the unit's strength."""
    random: bool = False
    """Whether the unit's strength is multiplied by a random number between 0 and 1."""
    follows: bool = True
    """Whether the unit's strength is multiplied by a random amplitude that all units of the kind share."""
    sides: Sides = Sides.BOTH
    """Side of the face that moves."""


@dataclass(frozen=True)
class Kind:
    """One kind of movement of a part of the face."""

    share: float
    """Probability of the kind."""
    moves: tuple[Move, ...] = ()
    """Movements of the action units; empty for a part of the face at rest."""


MOUTH = {
    "rest": Kind(0.13),
    "smile": Kind(
        0.20,
        (
            Move("mouthSmile"),
            Move("cheekSquint", 0.7, random=True),
            Move("eyeSquint", 0.5, random=True),
            Move("mouthUpperUp", 0.6, random=True),
            Move("mouthStretch", 0.3, random=True),
            Move("mouthLowerDown", 0.4, random=True),
            Move("jawOpen", 0.4, random=True),
            Move("mouthDimple", 0.4, random=True, follows=False),
        ),
    ),
    "laugh": Kind(
        0.05,
        (
            Move("mouthSmile"),
            Move("cheekSquint", 0.8),
            Move("eyeSquint", 0.6, random=True),
            Move("mouthUpperUp", 0.5),
            Move("jawOpen", 0.3),
            Move("jawOpen", 0.5, random=True),
        ),
    ),
    "smile of one side": Kind(
        0.08,
        (
            Move("mouthSmile", sides=Sides.ONE),
            Move("mouthDimple", 0.5, random=True, sides=Sides.ONE),
            Move("cheekSquint", 0.6, random=True, sides=Sides.ONE),
        ),
    ),
    "talk": Kind(
        0.16,
        (
            Move("jawOpen", 0.85),
            Move("mouthFunnel", 0.5, random=True, follows=False),
            Move("mouthStretch", 0.4, random=True, follows=False),
            Move("mouthUpperUp", 0.4, random=True, follows=False),
            Move("mouthLowerDown", 0.5, random=True, follows=False),
            Move("mouthShrugUpper", 0.3, random=True, follows=False),
        ),
    ),
    "corners down": Kind(
        0.10,
        (Move("mouthFrown"), Move("mouthShrugLower", 0.5, random=True), Move("mouthPress", 0.3, random=True)),
    ),
    "pucker": Kind(0.10, (Move("mouthPucker"),)),
    "funnel": Kind(0.05, (Move("mouthFunnel"), Move("jawOpen", 0.4, random=True))),
    "sneer": Kind(
        0.06, (Move("noseSneer"), Move("mouthUpperUp", 0.9), Move("cheekSquint", 0.6, random=True))
    ),
    "lips pressed": Kind(
        0.03,
        (
            Move("mouthRollLower"),
            Move("mouthRollUpper", 0.8, random=True),
            Move("mouthPress", 0.7, random=True),
        ),
    ),
    "puffed": Kind(0.02, (Move("cheekPuff"),)),
    "anything": Kind(0.02),
}
"""Kinds of movement of the mouth, each with the action units that it moves."""

BROWS = {
    "rest": Kind(0.34),
    "up": Kind(
        0.31,
        (
            Move("browInnerUp", 0.6),
            Move("browInnerUp", 0.4, random=True),
            Move("browOuterUp", 0.6),
            Move("browOuterUp", 0.4, random=True),
            Move("eyeWide", 0.5, random=True),
        ),
    ),
    "down": Kind(
        0.27,
        (Move("browDown"), Move("noseSneer", 0.25, random=True), Move("eyeSquint", 0.4, random=True)),
    ),
    "one up": Kind(
        0.08,
        (Move("browOuterUp", sides=Sides.ONE), Move("browDown", 0.5, random=True, sides=Sides.OTHER)),
    ),
}

EYES = {
    "rest": Kind(0.36),
    "half closed": Kind(0.28, (Move("eyeBlink", 0.6, random=True, follows=False),)),
    "closed": Kind(
        0.12, (Move("eyeBlink", 0.8, follows=False), Move("eyeBlink", 0.2, random=True, follows=False))
    ),
    "wide": Kind(0.10, (Move("eyeWide", random=True, follows=False),)),
    "squinted": Kind(0.10, (Move("eyeSquint", random=True, follows=False),)),
    "wink": Kind(0.04, (Move("eyeBlink", 0.9, follows=False, sides=Sides.ONE),)),
}

SIDEWAYS = Kind(0.12, (Move("mouth", 0.7, sides=Sides.ONE), Move("jaw", 0.5, random=True, sides=Sides.ONE)))
"""Additional movement that draws the mouth to one side; its share is its probability."""

NOT_AT_RANDOM = ("eyeBlink", "eyeLook", "tongueOut")
"""Beginnings of the names of action units that are never chosen when single units move at random."""

ASYMMETRY = 0.08
"""Standard deviation of the difference between the sides of the face, as a share of the strength."""


class ExpressionSampler:
    """Draws random plausible expressions as strengths of the action units that it is given by name."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.index = {name: i for i, name in enumerate(names)}
        self.free = [i for i, name in enumerate(names) if not name.startswith(NOT_AT_RANDOM)]

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draw the strengths of all action units in one expression, (U,) in [0, 1], in the order of the names.

        Mouth, brows and eyes each make one kind of movement. Sometimes the mouth is also drawn to one side, or the
        tongue comes out. A few random units move as well, and the eyes look in a random direction.
        """
        strengths = np.zeros(len(self.names))
        mouth = self._make_one_of(rng, strengths, MOUTH)
        self._make_one_of(rng, strengths, BROWS)
        self._make_one_of(rng, strengths, EYES)
        if rng.random() < SIDEWAYS.share:
            self._make(rng, strengths, SIDEWAYS)
        self._move_units_at_random(rng, strengths, mean_count=5.0 if mouth == "anything" else 1.2)
        if rng.random() < 0.012:
            strengths[self.index["tongueOut"]] += rng.random()
            strengths[self.index["jawOpen"]] += 0.3
        self._look(rng, strengths)
        return np.clip(strengths, 0, 1)

    def _make_one_of(self, rng: np.random.Generator, strengths: np.ndarray, kinds: dict[str, Kind]) -> str:
        """Draw a kind, add its movements to ``strengths`` and return its name."""
        name = list(kinds)[rng.choice(len(kinds), p=[kind.share for kind in kinds.values()])]
        self._make(rng, strengths, kinds[name])
        return name

    def _make(self, rng: np.random.Generator, strengths: np.ndarray, kind: Kind) -> None:
        amplitude = rng.beta(1.5, 1.0)
        one, other = rng.permutation(["Left", "Right"])
        for move in kind.moves:
            value = move.strength * (amplitude if move.follows else 1) * (rng.random() if move.random else 1)
            if move.unit in self.index:
                strengths[self.index[move.unit]] += value
                continue
            sides = {Sides.BOTH: (one, other), Sides.ONE: (one,), Sides.OTHER: (other,)}[move.sides]
            for side in sides:
                strengths[self.index[move.unit + side]] += value * (1 + rng.normal(0, ASYMMETRY))

    def _move_units_at_random(
        self, rng: np.random.Generator, strengths: np.ndarray, mean_count: float
    ) -> None:
        for i in rng.choice(self.free, min(rng.poisson(mean_count), 12), replace=False):
            largest = 0.5 if is_strong_unit(self.names[i]) else 0.8
            strengths[i] += largest * rng.beta(1, 3)

    def _look(self, rng: np.random.Generator, strengths: np.ndarray) -> None:
        """Turn both eyes in one random direction; positive is to the person's left and up."""
        sideways, upward = rng.normal(0, 0.28), rng.normal(0, 0.18)
        for side, outward in (("Left", sideways), ("Right", -sideways)):
            strengths[self.index[("eyeLookOut" if outward > 0 else "eyeLookIn") + side]] += abs(sideways)
            strengths[self.index[("eyeLookUp" if upward > 0 else "eyeLookDown") + side]] += abs(upward)
