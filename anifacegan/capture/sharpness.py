"""How sharp a face is: the width of its edges.

Where an edge is blurred by a Gaussian of standard deviation s, its steepest gradient is proportional to 1 / s. So the
ratio of the steepest gradients before and after a known blur tells s, whatever the contrast.
"""

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter

CROP_PX = 256
"""Height and width of the crops."""
FINE, COARSE = 0.7, 2.5
"""Standard deviations of the two known blurs, pixels; the first one removes noise of single pixels."""
DIFFERENCE_VARIANCE = 1 / 3
"""Variance of the blur by central differences, pixels^2."""
STEEPEST = 0.01
"""Share of the pixels, those of the steepest gradients, that are compared."""
MIDDLE = slice(48, 208)
"""Rows and columns of a crop of 256 px that show the face."""


def edge_width(crop: UInt8[np.ndarray, "256 256 3"]) -> float:
    """Estimate the standard deviation, pixels of a crop of 256, by which the edges of its face are blurred.

    A sharp photograph has about 1; infinity if there are no edges at all.
    """
    grey = crop.astype(np.float64).mean(axis=2)
    fine, coarse = (_steepness(gaussian_filter(grey, sigma)) for sigma in (FINE, COARSE))
    if fine <= coarse:
        return float("inf")
    ratio = (coarse / fine) ** 2
    known = (FINE**2 + DIFFERENCE_VARIANCE, COARSE**2 + DIFFERENCE_VARIANCE)
    return float(np.sqrt(max(0.0, (ratio * known[1] - known[0]) / (1 - ratio))))


def _steepness(grey: Float[np.ndarray, "256 256"]) -> float:
    slope = np.hypot(*np.gradient(grey))[MIDDLE, MIDDLE]
    return float(np.sort(slope, axis=None)[-int(STEEPEST * slope.size) :].mean())
