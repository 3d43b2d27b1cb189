"""Place and size of the lattice in which the alignment field stores its offsets."""

import math
from dataclasses import dataclass

from anifacegan.runtime.errors import ConfigError, require_within

MOST_LATTICE_POINTS = 10_000_000
"""Largest number of lattice points in the box, so that a mistyped spacing cannot fill the memory."""


@dataclass(frozen=True)
class AlignmentConfig:
    """Lattice of the alignment field, which moves each person's template points to the corresponding points of a mean
    head. Lengths are in world units.
    """

    spacing: float = 0.007
    """Distance between neighbouring lattice points."""
    nodes: int = 16384
    """Number of lattice points that carry offsets: those nearest to the mean head's visible skin."""
    features: int = 96
    """Number of features of a node, from which each person's offset there is computed."""
    rounds: int = 4
    """Number of times that a point's offset is looked up, each time at the place of the mean head that the time before
    has found."""
    manifolds: bool = False
    """Whether the radiance manifolds lie around the mean head, so that the skin of every person lies on the same ones.
    False: they lie in the template, as in the paper, where the skin of different people crosses them."""
    lower: tuple[float, float, float] = (-0.128, -0.152, -0.13)
    """Lattice point with the smallest x, y and z."""
    upper: tuple[float, float, float] = (0.128, 0.144, 0.048)
    """Corner up to which the lattice reaches at least."""

    def __post_init__(self) -> None:
        require_within(self, 1, 4096, "features")
        require_within(self, 1, 64, "rounds")
        require_within(self, 1, MOST_LATTICE_POINTS, "nodes")
        require_within(self, 1e-4, 10, "spacing")
        require_within(self, -10, 10, "lower", "upper")
        if not (all(low < high for low, high in zip(self.lower, self.upper, strict=True))):
            raise ConfigError("upper", self.upper, f"three numbers above those of lower, {self.lower}")
        points = math.prod(self.lattice)
        if points > MOST_LATTICE_POINTS:
            expected = f"enough for at most {MOST_LATTICE_POINTS} lattice points, which are {points}"
            raise ConfigError("spacing", self.spacing, expected)
        if self.nodes > points:
            raise ConfigError("nodes", self.nodes, f"at most {points}, the number of lattice points")

    @property
    def lattice(self) -> tuple[int, int, int]:
        """Number of lattice points along x, y and z."""
        x, y, z = (
            math.ceil((high - low) / self.spacing) + 1
            for low, high in zip(self.lower, self.upper, strict=True)
        )
        return x, y, z
