"""Limits that the losses set for options of training."""

import math

CONFIDENCE_RADIUS = math.sqrt(1e-5)
"""Distance from the mesh, in world units (3.2 mm), at which a point's confidence, its weight in the loss L_3DMM,
reaches 0."""
