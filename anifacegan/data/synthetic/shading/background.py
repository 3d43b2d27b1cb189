"""Out-of-focus backgrounds behind the head, painted on the plane z = -0.12 (world units).

The positions of all shapes and discs of light are constants, drawn once from a fixed seed; colours, opacities and a
shift come from the appearance latents, so backgrounds change smoothly with these.
"""

import functools
import math
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from anifacegan.data.rasterized_mesh import world_rays
from anifacegan.data.synthetic.looks.appearance import BACKGROUND_KINDS, PALETTE, Background
from anifacegan.geometry.cameras import Camera
from anifacegan.geometry.conventions import BACKGROUND_Z
from anifacegan.runtime.compiled import kernel

LEVEL = 0.55
"""Exposure of backgrounds (a factor on linear light), whatever the exposure of the face."""
GRADIENT_WIDTH = 0.12
"""Width of the transition between the two colours behind the shapes, in world units."""
SEED = 12
LIGHT_DISCS = 14
ROUND, SQUARE = 0, 1
X, Y, HALF_WIDTH, HALF_HEIGHT, SOFTNESS, OPACITY, OUTLINE, KIND, COLOUR = range(9)
"""Columns of the array of shapes: centre, half width and height, and softness of the edge, in world units; opacity;
outline (ROUND or SQUARE); index of the kind of background, or -1 for a disc of light; index in the palette."""
EDGE = 3.0
"""Distance outside a shape's edge at which its opacity reaches 0, in multiples of the shape's softness."""


@functools.cache
def background_shapes() -> Float[np.ndarray, "shape 9"]:
    """Draw, from a fixed seed, the shapes of all kinds of backgrounds and then the discs of light, in the order of
    painting.

    There is a row for each shape; the columns are X, Y and so on to COLOUR of this module.
    """
    rng = np.random.default_rng(SEED)
    shapes = []
    for kind, name in enumerate(BACKGROUND_KINDS):
        shapes += [_shape(name, number, rng, kind) for number in range(_COUNTS[name])]
    for _ in range(LIGHT_DISCS):
        radius = rng.uniform(0.006, 0.014)
        x, y = rng.normal(0, 0.13), rng.normal(0.05, 0.08)
        shapes.append([x, y, radius, radius, 0.0016, rng.uniform(0.15, 0.5), ROUND, -1, 0])
    return np.array(shapes, np.float32)


_COUNTS = {"wall": 3, "green": 30, "room": 11, "street": 14, "studio": 1}


def _shape(name: str, number: int, rng: np.random.Generator, kind: int) -> list[float | int]:
    colour = int(rng.integers(PALETTE))
    x, y = rng.normal(0, 0.16), rng.normal(0.02, 0.13)
    if name == "studio":  # a soft light on the backdrop
        return [0.0, 0.02, 0.10, 0.12, 0.06, 0.55, ROUND, kind, colour]
    if name == "green":  # leaves, smaller and sharper toward the front
        radius = 0.09 * (1 - number / 40) * rng.uniform(0.4, 1.0)
        tall, soft = rng.uniform(0.7, 1.3), rng.uniform(0.012, 0.03)
        return [x, y, radius, radius * tall, soft, rng.uniform(0.3, 0.7), ROUND, kind, colour]
    if name == "wall":  # a door frame or a picture, hardly visible
        return [x, y, rng.uniform(0.03, 0.10), rng.uniform(0.08, 0.25), 0.02, 0.35, SQUARE, kind, colour]
    size = (rng.uniform(0.01, 0.07), rng.uniform(0.04, 0.22))
    if name == "room" and rng.random() < 0.4:
        size = size[::-1]  # shelves and tables
    return [x, y, *size, rng.uniform(0.008, 0.022), rng.uniform(0.4, 0.9), SQUARE, kind, colour]


def background_image(background: Background, camera: Camera) -> Float[np.ndarray, "size size 3"]:
    """Render the background that a camera sees without the head; linear colours, multiplied by the exposure
    ``LEVEL``.
    """
    origin, (right, up, fall) = world_rays(camera)
    distance = (BACKGROUND_Z - origin[2]) / np.minimum(fall, -1e-6)
    x, y = (np.float32(at + distance * rays) for at, rays in ((origin[0], right), (origin[1], up)))
    along = x * np.float32(math.cos(background.turn_rad)) + y * np.float32(math.sin(background.turn_rad))
    share = 0.5 + 0.5 * np.tanh(along / np.float32(GRADIENT_WIDTH))
    first, second = background.first_rgb.astype(np.float32), background.second_rgb.astype(np.float32)
    image = first + share[..., None].astype(np.float32) * (second - first)
    shapes = background_shapes().copy()
    shapes[:, X] += np.float32(background.shift)
    kinds = shapes[:, KIND].astype(int)
    shapes[:, OPACITY] *= np.where(kinds < 0, background.lights, background.kind_weights[kinds])
    palette = background.palette_rgb[shapes[:, COLOUR].astype(int)]
    colours = np.where((kinds < 0)[:, None], background.lights_rgb, palette).astype(np.float32)
    _paint(x, y, shapes, colours, image)
    return image * np.float32(LEVEL)


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _paint(x, y, shapes, colours, image):
    one, zero = np.float32(1), np.float32(0)
    height, width = x.shape
    for s in range(len(shapes)):
        opacity = shapes[s, OPACITY]
        if opacity < np.float32(0.002):
            continue
        half_width, half_height, soft = shapes[s, HALF_WIDTH], shapes[s, HALF_HEIGHT], shapes[s, SOFTNESS]
        reach = EDGE * soft
        smaller = min(half_width, half_height)
        for row in range(height):
            for column in range(width):
                dx, dy = abs(x[row, column] - shapes[s, X]), abs(y[row, column] - shapes[s, Y])
                if dx > half_width + reach or dy > half_height + reach:
                    continue
                if shapes[s, OUTLINE] == ROUND:
                    u, v = dx / half_width, dy / half_height
                    outside = (np.sqrt(u * u + v * v) - one) * smaller
                else:
                    outside = max(dx - half_width, dy - half_height)
                t = min(max(np.float32(0.5) - outside / (2 * reach), zero), one)
                cover = opacity * t * t * (3 - 2 * t)
                for k in range(3):
                    image[row, column, k] += cover * (colours[s, k] - image[row, column, k])
