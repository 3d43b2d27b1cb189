"""Largest sizes of networks that are accepted, so that a card of a few bytes cannot fill the memory."""

LAYERS, UNITS = 64, 8192
"""Largest number of layers of a network, and of units of a layer."""
CHANNELS, TEXELS = 1024, 8192
"""Largest number of features, manifolds and cells along a side, and of pixels or texels along a side."""
CAPACITY = 2**22
"""Largest number of channels of a discriminator's image, times its pixels along a side."""
LENGTH, FACTOR = 100.0, 1e6
"""Largest absolute value of a length, in world units, and of a level or factor."""
