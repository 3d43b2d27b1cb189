"""Strands of hair as polylines with colour, opacity and width."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

LEAST_COVER = 1e-3
"""Opacity below which a strand is neither drawn nor casts a shadow."""
CASTING = 6
"""One in so many strands of the head casts shadows, with every second of its points, which is enough for depth maps."""


@dataclass(frozen=True)
class Strands:
    """Strands of one kind (hair of the head, brows, lashes, beard) of a person, in the head's frame without a pose."""

    points: Float[np.ndarray, "strand step 3"]
    """Points along each strand from the root to the tip, model units."""
    rgb: Float[np.ndarray, "strand 3"]
    """Colour of each strand, linear light."""
    cover: Float[np.ndarray, " strand"]
    """Opacity of each strand at its root, 0 to 1."""
    number: Int[np.ndarray, " strand"]
    """Number of each strand among all roots of the kind; the strand of the same root has it in every person."""
    width_mm: float
    """Width of a strand in millimetres: more than a hair's, as fewer strands are drawn than a person has hairs."""
    absorption: float
    """Absorption of light by the hair above a strand, for each model unit of depth."""
    shine: float
    """Factor of the strength of highlights."""
    on_scalp: bool
    """Whether the strands are longer hair of the head, which casts shadows."""

    @property
    def casting(self) -> Float[np.ndarray, "point 3"]:
        """Return the points of the strands if they are longer hair of the head, which casts shadows, model units; else
        no points.
        """
        chosen = self.number % CASTING == 0 if self.on_scalp else np.zeros(len(self.number), bool)
        return self.points[chosen, ::2].reshape(-1, 3)
