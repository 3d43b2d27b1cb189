"""The hair line: where hair of the head grows, with the changes that a style makes to it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.head import HeadGeometry
from anifacegan.data.synthetic.strands.roots import Roots, StrandNoise, opacity, waves
from anifacegan.data.synthetic.strands.styles import HairStyle
from anifacegan.geometry.resampling import smoothstep

BASE_LINE = "short"
"""Name of the face model's hair line from which all styles start."""
AXIS_Z = -0.9656
"""Coordinate z of the head's vertical axis, about which azimuths are measured; model units."""
TEMPLE_DEG, TEMPLE_WIDTH_DEG = 38.0, 15.0
SIDEBURN_DEG, SIDEBURN_WIDTH_DEG = 72.0, 10.0
PEAK_WIDTH_DEG = 9.0
CROWN_PLACE, CROWN_RADIUS = (0.0, 1.26, -1.05), 0.62
"""Middle and radius of the region that baldness of the crown reaches."""
RAGGED, SCATTER = 0.016, 0.020
"""Size of the bays of the hair line, and shift of the line for single strands; model units."""


@dataclass(frozen=True)
class HairLine:
    """The common hair line over V vertices of the mean head, and the places of its changes."""

    distance: Float[np.ndarray, " vertex"]
    """Signed distance to the common hair line, positive in the hair, with random bays; model units."""
    raised: Float[np.ndarray, " vertex"]
    """Weight of the line above the forehead."""
    temples: Float[np.ndarray, " vertex"]
    """Weight of the temples."""
    sideburns: Float[np.ndarray, " vertex"]
    """Weight of the sideburns."""
    peak: Float[np.ndarray, " vertex"]
    """Weight of the middle of the forehead."""
    crown: Float[np.ndarray, " vertex"]
    """Weight of the crown."""
    front: Float[np.ndarray, " vertex"]
    """Weight of what is seen from the front, where more roots are."""

    def distance_of(self, style: HairStyle) -> Float[np.ndarray, " vertex"]:
        """Return the signed distance to a style's hair line."""
        return (
            self.distance
            - style.line_raised * self.raised
            - style.line_temples * self.temples
            - style.line_sideburns * self.sideburns
            + style.line_peak * self.peak
        ).astype(np.float32)

    def root_density(self) -> Float[np.ndarray, " vertex"]:
        """Return the density of roots: in the hair and a little beyond, and less at the back of the head."""
        return smoothstep(-0.09, -0.05, self.distance) * (0.55 + 0.45 * self.front)

    def share(self, style: HairStyle) -> Float[np.ndarray, " vertex"]:
        """Return the share of strands that grow at each vertex, without the style's density."""
        grown = smoothstep(-0.3 * style.line_soft, style.line_soft, self.distance_of(style))
        return (grown * (1 - style.crown_bald * self.crown)).astype(np.float32)

    def cover(
        self,
        style: HairStyle,
        roots: Roots,
        noise: StrandNoise,
        density: float,
    ) -> Float[np.ndarray, " root"]:
        """Return the opacity of each strand: 0 outside the hair line, and where hair is thinner for high ranks.

        Random numbers of the strands shift the line for each of them; ``density`` is the share that grows in full hair.
        """
        distance = roots.at(self.distance_of(style)) + np.float32(SCATTER) * noise.edge
        grown = smoothstep(-0.3 * style.line_soft, style.line_soft, distance)
        return opacity(grown * (1 - style.crown_bald * roots.at(self.crown)) * density, noise.rank)


def hair_line(head: HeadGeometry) -> HairLine:
    """Compute the common hair line and the places of its changes on the mean head."""
    mean = head.mean.reshape(-1, 3)
    azimuth_deg = np.degrees(np.arctan2(np.abs(mean[:, 0]), mean[:, 2] - AXIS_Z))
    rng = np.random.default_rng(2)
    bays = RAGGED * (0.6 * waves(mean, 16.0, rng) + 0.4 * waves(mean, 40.0, rng))
    skin = head.parts.part == 0

    def bump(centre: float, width: float) -> np.ndarray:
        return np.exp(-(((azimuth_deg - centre) / width) ** 2))

    from_crown = np.linalg.norm(mean - np.array(CROWN_PLACE), axis=1) / CROWN_RADIUS
    distance = head.hair_distance[head.hair_names.index(BASE_LINE)].astype(np.float32) + bays
    return HairLine(
        distance=np.where(skin, distance, -1).astype(np.float32),
        raised=smoothstep(72.0, 30.0, azimuth_deg),
        temples=bump(TEMPLE_DEG, TEMPLE_WIDTH_DEG),
        sideburns=bump(SIDEBURN_DEG, SIDEBURN_WIDTH_DEG),
        peak=bump(0.0, PEAK_WIDTH_DEG),
        crown=np.exp(-(from_crown**4)),
        front=smoothstep(-1.5, -0.7, mean[:, 2]),
    )
