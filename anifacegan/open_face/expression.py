"""Expressions: action units of the face, plausible strengths of them, and an expression basis.

The 52 ARKit shapes of the Face Units pack and MakeHuman's own mouth, nose and neck units move the neutral face.
Strengths are drawn by kinds of expression (a smile raises the cheeks too), and the basis holds the principal
components of the drawn faces **about the neutral face**, not about their mean: coefficients of zero are neutral.
"""

from dataclasses import dataclass

import numpy as np

from anifacegan.open_face.makehuman import RACES, MakeHuman
from anifacegan.open_face.topology import EYE_GROUPS, EYE_LEFT, EYE_RIGHT, MOUTH_GROUPS, TONGUE

MAKEHUMAN_UNITS = ("mouth", "nose", "neck")
"""Beginnings of MakeHuman's expression units that are used beside the Face Units."""

EYE_PUSH = -0.014
"""How far a blink moves the eyeball back, so that it does not poke through half-closed lids."""
NOT_AT_RANDOM = ("eyeBlink", "eyeLook", "tongueOut")
"""Units with a draw of their own."""


@dataclass(frozen=True)
class ExpressionUnits:
    """Displacements of the base vertices at full strength."""

    names: tuple[str, ...]
    shapes: np.ndarray
    """(N, 3, U) float32."""


def expression_units(makehuman: MakeHuman, average: np.ndarray) -> ExpressionUnits:
    """The units, with the tongue kept in the mouth and the eyes behind the lids; ``average`` is (N, 3)."""
    targets = makehuman.targets
    face_units = sorted(name.removeprefix("fu/") for name in targets if name.startswith("fu/"))
    prefix = f"expr/{RACES[1]}/"
    own_units = sorted(
        name.removeprefix(prefix)
        for name in targets
        if name.startswith(prefix) and name.removeprefix(prefix).partition("-")[0] in MAKEHUMAN_UNITS
    )
    shapes = {name: targets[f"fu/{name}"].copy() for name in face_units}
    shapes |= {
        name: np.mean([targets[f"expr/{race}/{name}"] for race in RACES], axis=0) for name in own_units
    }
    tongue = makehuman.base.vertices_of(MOUTH_GROUPS[TONGUE][0])
    shapes["jawOpen"][tongue] = _tongue_of_open_jaw(shapes["jawOpen"][tongue], average[tongue])
    for side, eye in (("Left", EYE_LEFT), ("Right", EYE_RIGHT)):
        shapes[f"eyeBlink{side}"][makehuman.base.vertices_of(EYE_GROUPS[eye]), 2] += np.float32(EYE_PUSH)
    return ExpressionUnits(tuple(shapes), np.stack(list(shapes.values()), axis=-1).astype(np.float32))


def _tongue_of_open_jaw(displacement: np.ndarray, tongue: np.ndarray) -> np.ndarray:
    """The tongue lies flat on the lower jaw: lower than the jaw carries it, thinner and further back."""
    above, before = (tongue[:, axis] - tongue[:, axis].min() for axis in (1, 2))
    return displacement * 1.15 + np.stack([0 * above, -0.45 * above, -0.12 * before], axis=1)


# ----------------------------------------------------------------------------------- drawing expressions
@dataclass(frozen=True)
class Move:
    """One action unit's part in a kind of expression: ``strength * amplitude * random``."""

    unit: str | tuple[str, ...]
    """A name without Left or Right moves both sides, a little differently. Several names: one of them by chance."""
    strength: float = 1.0
    follows: bool = True
    """Multiplied by the amplitude of the whole expression."""
    random: bool = False
    """Multiplied by a number between 0 and 1 of its own."""
    chance: float = 1.0
    """Probability that it happens."""


KINDS: dict[str, tuple[float, tuple[Move, ...]]] = {
    "neutral": (0.20, ()),
    "smile": (
        0.24,
        (
            Move("mouthSmile"),
            Move("cheekSquint", 0.7, random=True),
            Move("eyeSquint", 0.5, random=True),
            Move("mouthUpperUp", 0.7, random=True),
            Move("jawOpen", 0.35, random=True),
            Move("mouthStretch", 0.3, random=True),
            Move("mouthLowerDown", 0.4, random=True),
            Move("mouthDimple", 0.4, follows=False, random=True),
        ),
    ),
    "talk": (
        0.18,
        (
            Move("jawOpen", 0.7),
            Move("mouthFunnel", 0.5, random=True),
            Move("mouthStretch", 0.4, follows=False, random=True),
            Move("mouthUpperUp", 0.5, follows=False, random=True),
            Move("mouthLowerDown", 0.6, follows=False, random=True),
            Move("mouthPucker", 0.4, follows=False, random=True, chance=0.4),
            Move("browInnerUp", 0.3, follows=False, random=True),
            Move("mouthShrugUpper", 0.3, follows=False, random=True),
        ),
    ),
    "sad": (
        0.06,
        (
            Move("mouthFrown"),
            Move("browInnerUp", 0.8),
            Move("mouthShrugLower", 0.5),
            Move("eyeSquint", 0.3),
            Move("mouthPress", 0.3),
        ),
    ),
    "angry": (
        0.06,
        (
            Move("browDown"),
            Move("noseSneer", 0.5),
            Move("mouthPress", 0.6, random=True),
            Move("eyeSquint", 0.4),
            Move("mouth-compression", 0.3),
            Move("nose-left-dilatation", 0.5),
            Move("nose-right-dilatation", 0.5),
            Move("jawForward", 0.3, random=True),
        ),
    ),
    "surprise": (
        0.07,
        (Move("browOuterUp"), Move("browInnerUp", 0.8), Move("eyeWide"), Move("jawOpen", 0.7, random=True)),
    ),
    "disgust": (
        0.05,
        (
            Move("noseSneer"),
            Move("mouthUpperUp", 0.6),
            Move("browDown", 0.5),
            Move("cheekSquint", 0.5),
            Move("mouth-elevation", 0.3, random=True),
        ),
    ),
    "pucker": (
        0.05,
        (
            Move(("mouthPucker", "mouthFunnel", "cheekPuff", "mouthRollLower")),
            Move("browInnerUp", 0.3, follows=False, random=True),
        ),
    ),
    "random": (0.09, ()),
}
"""Share and moves of each kind of expression."""

SIDEWAYS = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")


class ExpressionSampler:
    """Draws plausible strengths of all units."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.index = {name: i for i, name in enumerate(names)}

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """(U,) strengths in [0, 1]: a kind of expression, some units at random, blinks, gaze, a mouth to the side."""
        strengths = np.zeros(len(self.names))
        kinds = list(KINDS)
        kind = kinds[rng.choice(len(kinds), p=[share for share, _ in KINDS.values()])]
        amplitude = rng.beta(1.6, 1.6)
        for move in KINDS[kind][1]:
            self._make_move(rng, strengths, move, amplitude)
        self._add_units_at_random(rng, strengths, mean_count=5.0 if kind == "random" else 1.5)
        if rng.random() < 0.012:
            strengths[self.index["tongueOut"]] += rng.random()
            strengths[self.index["jawOpen"]] += 0.3
        self._blink(rng, strengths)
        self._look(rng, strengths)
        if rng.random() < 0.1:
            unit = SIDEWAYS[rng.integers(len(SIDEWAYS))]
            self._add(rng, strengths, unit, 0.6 * rng.random())
        return np.clip(strengths, 0, 1)

    def _add(
        self,
        rng: np.random.Generator,
        strengths: np.ndarray,
        unit: str,
        value: float,
        asymmetry: float = 0.08,
    ) -> None:
        if unit in self.index:
            strengths[self.index[unit]] += value
            return
        for side in ("Left", "Right"):
            strengths[self.index[unit + side]] += value * (1 + rng.normal(0, asymmetry))

    def _make_move(
        self, rng: np.random.Generator, strengths: np.ndarray, move: Move, amplitude: float
    ) -> None:
        unit = move.unit if isinstance(move.unit, str) else move.unit[rng.integers(len(move.unit))]
        value = move.strength * (amplitude if move.follows else 1)
        if move.random:
            value *= rng.random()
        if move.chance < 1:
            value *= rng.random() < move.chance
        self._add(rng, strengths, unit, value)

    def _add_units_at_random(
        self, rng: np.random.Generator, strengths: np.ndarray, mean_count: float
    ) -> None:
        count = min(rng.poisson(mean_count), 12)
        for i in rng.choice(len(self.names), count, replace=False):
            if not self.names[i].startswith(NOT_AT_RANDOM):
                from_makehuman = "-" in self.names[i]
                strengths[i] += rng.beta(1, 3) * (0.5 if from_makehuman else 0.8)

    def _blink(self, rng: np.random.Generator, strengths: np.ndarray) -> None:
        chance = rng.random()
        if chance < 0.05:
            self._add(rng, strengths, "eyeBlink", rng.uniform(0.85, 1), asymmetry=0.02)
        elif chance < 0.35:
            self._add(rng, strengths, "eyeBlink", rng.uniform(0, 0.35), asymmetry=0.1)
        if rng.random() < 0.02:
            strengths[self.index[("eyeBlinkLeft", "eyeBlinkRight")[rng.integers(2)]]] = 0.95

    def _look(self, rng: np.random.Generator, strengths: np.ndarray) -> None:
        """Both eyes look the same way; positive is to the person's left and up."""
        sideways, upward = rng.normal(0, 0.28), rng.normal(0, 0.18)
        for side, outward in (("Left", sideways), ("Right", -sideways)):
            strengths[self.index[("eyeLookOut" if outward > 0 else "eyeLookIn") + side]] += abs(sideways)
            strengths[self.index[("eyeLookUp" if upward > 0 else "eyeLookDown") + side]] += abs(upward)


# ------------------------------------------------------------------------------------------- the basis
@dataclass(frozen=True)
class ExpressionSpace:
    """``displacement = units.shapes @ to_units @ exp``; ``exp = from_units @ strengths``."""

    to_units: np.ndarray
    """(U, K)."""
    from_units: np.ndarray
    """(K, U): the coefficients whose displacement is nearest to the units'."""
    report: str


def expression_space(
    units: ExpressionUnits, bank: np.ndarray, face: np.ndarray, count: int
) -> ExpressionSpace:
    """Principal components of drawn faces about the neutral one, with unit second moment.

    With M the metric of the units (products of their weighted displacements) and C the second moment of the bank,
    the components are the eigenvectors of sqrt(M) C sqrt(M). Sixty-four of them lose almost nothing of 72 units.

    Args:
        units: U units of N vertices.
        bank: (E, U) strengths.
        face: (N,) face mask.
        count: number K of components.
    """
    weights = np.sqrt(np.repeat(np.where(face > 0.3, 1.0, 0.5), 3))
    weighted = units.shapes.reshape(-1, len(units.names)) * weights[:, None]
    values, vectors = np.linalg.eigh(weighted.T @ weighted)
    values = np.maximum(values, 0)
    metric_root = (vectors * np.sqrt(values)) @ vectors.T
    safe = np.where(values > 1e-6 * values[-1], 1 / np.sqrt(np.maximum(values, 1e-12)), 0)
    metric_inverse_root = (vectors * safe) @ vectors.T
    moments, directions = np.linalg.eigh(metric_root @ (bank.T @ bank / len(bank)) @ metric_root)
    moments, directions = moments[::-1][:count], directions[:, ::-1][:, :count]
    to_units = metric_inverse_root @ directions * np.sqrt(moments)
    from_units = (directions / np.sqrt(moments)).T @ metric_root
    largest = np.abs(bank @ from_units.T).max()
    report = f"{count} expression components; largest coefficient of the bank {largest:.1f}"
    return ExpressionSpace(to_units, from_units, report)
