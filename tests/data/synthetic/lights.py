"""Simple lights for tests of synthetic images."""

import numpy as np

from anifacegan.data.synthetic.appearance import EnvironmentLight


def even_sky(lamp: float = 0.0, size: float = 0.2) -> EnvironmentLight:
    """The same light from everywhere, of which a white surface is white, and a lamp at +x of some strength."""
    return EnvironmentLight(
        key_direction=np.float32([1, 0, 0]),
        key_rgb=np.full(3, lamp, np.float32),
        key_size=size,
        lobe_directions=np.float32([[0, 0, 1], [0, 1, 0]]),
        lobe_sharpness=np.float32([2, 4]),
        lobe_rgb=np.zeros((2, 3), np.float32),
        base_rgb=np.ones(3, np.float32),
        ground_rgb=np.ones(3, np.float32),
        exposure=1.0,
    )
