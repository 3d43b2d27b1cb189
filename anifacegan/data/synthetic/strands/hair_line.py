"""The hair line, the edge of the region where hair of the head grows, and the changes that a hair style makes to it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.strands.head_chart import azimuth_deg
from anifacegan.data.synthetic.strands.roots import WAVES, Roots, StrandNoise, opacity
from anifacegan.data.synthetic.strands.styles import HairStyle
from anifacegan.data.synthetic.surface.head import HeadGeometry
from anifacegan.data.synthetic.surface.value_noise import random_waves
from anifacegan.geometry.resampling import smoothstep

BASE_LINE = "short"
"""Name of the face model's hair line from which all styles start."""
TEMPLE_DEG, TEMPLE_WIDTH_DEG = 38.0, 15.0
PEAK_WIDTH_DEG = 9.0
CROWN_PLACE, CROWN_RADIUS = (0.0, 1.26, -1.05), 0.62
"""Middle and radius of the region that baldness of the crown reaches."""
RAGGED, SCATTER = 0.016, 0.020
"""Size of the random bays of the hair line, and standard deviation of its shift for single strands; model units."""


@dataclass(frozen=True)
class HairLine:
    """The hair line (edge of the region where hair of the head grows) that all hair styles start from, and where styles
    change it, at the vertices of the mean head.
    """

    distance: Float[np.ndarray, " vertex"]
    """Signed distance of each vertex to the hair line, positive in the hair, with random bays; model units."""
    raised: Float[np.ndarray, " vertex"]
    """How much each vertex belongs to the hair line above the forehead, 0 to 1."""
    temples: Float[np.ndarray, " vertex"]
    """How much each vertex belongs to the temples, 0 to 1."""
    peak: Float[np.ndarray, " vertex"]
    """How much each vertex belongs to the middle of the forehead, 0 to 1."""
    crown: Float[np.ndarray, " vertex"]
    """How much each vertex belongs to the crown, which may get bald, 0 to 1."""
    front: Float[np.ndarray, " vertex"]
    """How much each vertex belongs to what is seen from the front, where roots are denser, 0 to 1."""

    def worn(self, style: HairStyle) -> "WornLine":
        """Return the hair line of a person with a hair style."""
        distance = (
            self.distance
            - style.line_raised * self.raised
            - style.line_temples * self.temples
            + style.line_peak * self.peak
        )
        return WornLine(style, distance.astype(np.float32), self.crown)

    def root_density(self) -> Float[np.ndarray, " vertex"]:
        """Return the relative density of hair roots at each vertex, 0 to 1: less at the back of the head, 0 far outside
        the hair line.
        """
        return smoothstep(-0.09, -0.05, self.distance) * (0.55 + 0.45 * self.front)


@dataclass(frozen=True)
class WornLine:
    """The hair line of one person, the edge of the region where hair grows, at the vertices of the mean head."""

    style: HairStyle
    """The person's hair style."""
    distance: Float[np.ndarray, " vertex"]
    """Signed distance of each vertex to the hair line, positive in the hair; model units."""
    crown: Float[np.ndarray, " vertex"]
    """How much each vertex belongs to the crown, which may get bald, 0 to 1."""

    def share(self) -> Float[np.ndarray, " vertex"]:
        """Return the share of hair roots at each vertex whose strands grow, 0 to 1, by the hair line and by baldness
        alone.

        The hair style's density, by which strands are thinned out equally everywhere, is not included.
        """
        return self._grown(self.distance, self.crown).astype(np.float32)

    def cover(self, roots: Roots, noise: StrandNoise, density: float) -> Float[np.ndarray, " root"]:
        """Return the opacity of the strand of each root: 0 outside the hair line and for strands that do not grow.

        Args:
            roots: roots of the strands.
            noise: random numbers of the strands: ``edge`` shifts the hair line for each, and where hair is thin, those
                of low ``rank`` grow.
            density: share of strands that grow where hair is full, 0 to 1.
        """
        distance = roots.at(self.distance) + np.float32(SCATTER) * noise.edge
        return opacity(self._grown(distance, roots.at(self.crown)) * density, noise.rank)

    def _grown(
        self, distance: Float[np.ndarray, " place"], crown: Float[np.ndarray, " place"]
    ) -> Float[np.ndarray, " place"]:
        soft = self.style.line_soft
        return smoothstep(-0.3 * soft, soft, distance) * (1 - self.style.crown_bald * crown)


def hair_line(head: HeadGeometry) -> HairLine:
    """Compute the hair line (edge of the region where hair of the head grows) that all styles start from, and where
    styles change it, on the mean head.
    """
    mean = head.mean.reshape(-1, 3)
    azimuth = azimuth_deg(mean)
    rng = np.random.default_rng(2)
    bays = RAGGED * (0.6 * random_waves(mean, 16.0, rng, WAVES) + 0.4 * random_waves(mean, 40.0, rng, WAVES))
    skin = head.parts.part == 0

    def bump(centre: float, width: float) -> np.ndarray:
        return np.exp(-(((azimuth - centre) / width) ** 2))

    from_crown = np.linalg.norm(mean - np.array(CROWN_PLACE), axis=1) / CROWN_RADIUS
    distance = head.hair_distance[head.hair_names.index(BASE_LINE)].astype(np.float32) + bays
    return HairLine(
        distance=np.where(skin, distance, -1).astype(np.float32),
        raised=smoothstep(72.0, 30.0, azimuth),
        temples=bump(TEMPLE_DEG, TEMPLE_WIDTH_DEG),
        peak=bump(0.0, PEAK_WIDTH_DEG),
        crown=np.exp(-(from_crown**4)),
        front=smoothstep(-1.5, -0.7, mean[:, 2]),
    )
