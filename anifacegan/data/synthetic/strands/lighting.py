"""Light on strands: diffuse light and highlights of thin fibres, with the shadows of head and hair.

A fibre with the unit tangent t reflects diffusely in proportion to the sine of the angle between t and the light
(Kajiya and Kay 1989, "Rendering fur with three dimensional textures"). The lamp makes two highlights, shifted along the
fibre by its scales: one white, reflected at the surface, and one with the colour of the hair, which has passed through
the fibre twice (R and TRT of Marschner et al. 2003, "Light scattering from human hair fibers"). The viewing direction
is always the frontal one, (0, 0, 1): a point has the same colour in every view.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.appearance import EnvironmentLight
from anifacegan.data.synthetic.shadow_maps import FAR, ShadowMaps
from anifacegan.data.synthetic.strands.strands import Strands
from anifacegan.runtime.compiled import kernel

EVERY_LAMP, EVERY_SKY = 2, 3
"""Of the directions of lamp and sky, every so many are used: strands are thin and forgive more than skin."""
DIFFUSE = np.float32(0.60)
"""Factor of the diffuse light."""
ROOT_DARK, TIP_LIGHT = np.float32(0.72), np.float32(1.10)
"""Factors of the colour of long hair at root and tip: roots lie in the shade of their neighbours."""
SOLID_FROM = np.float32(0.05)
"""Depth behind a solid surface, model units, from which a point is in its shadow."""
SHIFT_R, WIDTH_R, GAIN_R = np.float32(0.06), np.float32(0.11), np.float32(0.06)
SHIFT_TRT, WIDTH_TRT, GAIN_TRT = np.float32(-0.12), np.float32(0.22), np.float32(1.0)
"""Shift along the fibre and width of the two highlights, radians, and their strengths."""


def light_strands(
    strands: Strands, shadows: ShadowMaps, light: EnvironmentLight
) -> Float[np.ndarray, "strand step 3"]:
    """Compute the linear colours of all points of strands."""
    keys, count = shadows.keys, len(shadows.towards)
    lamp, sky = np.arange(0, keys, EVERY_LAMP), np.arange(keys, count, EVERY_SKY)
    used = np.concatenate([lamp, sky])
    gain = np.concatenate(
        [
            np.broadcast_to(_ratio(shadows.radiance[:keys], shadows.radiance[lamp]), (len(lamp), 3)),
            np.broadcast_to(_ratio(shadows.radiance[keys:], shadows.radiance[sky]), (len(sky), 3)),
        ]
    )
    colours = np.empty(strands.points.shape, np.float32)
    _light(
        (strands.points, strands.rgb.astype(np.float32), strands.number),
        (shadows.solid, shadows.hair, used, shadows.rights, shadows.ups, shadows.towards),
        (shadows.radiance[used] * gain).astype(np.float32),
        (shadows.centre, np.float32(shadows.scale), len(lamp)),
        (light.key_direction.astype(np.float32), light.key_rgb.astype(np.float32)),
        (np.float32(strands.absorption), np.float32(strands.shine), strands.on_scalp),
        colours,
    )
    return colours


def _ratio(of_all: Float[np.ndarray, "direction 3"], of_used: Float[np.ndarray, "used 3"]) -> np.ndarray:
    """Return the factor by which the light of some directions stands for that of all."""
    return of_all.sum(axis=0) / np.maximum(of_used.sum(axis=0), 1e-6)


@kernel(inline="always", fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _lobe(x, shift, width):
    distance = (x - shift) / width
    return np.exp(-distance * distance)


@kernel(fastmath=True)
@no_type_check
def _light(strands, maps, radiance, frame, lamp, look, colours):
    """Light every third point of the strands and interpolate between them; ``colours`` (N, K, 3) is written."""
    points, rgb, number = strands
    solid_maps, hair_maps, used, rights, ups, towards = maps
    centre, scale, lamps = frame
    key_direction, key_rgb = lamp
    absorption, shine, on_scalp = look
    zero, one, size = np.float32(0), np.float32(1), solid_maps.shape[1]
    half = np.float32((size - 1) / 2)
    steps = points.shape[1]
    stride = 1 if steps < 5 else (2 if steps < 10 else 3)
    lit, gloss = np.empty((steps, 3), np.float32), np.empty(steps, np.float32)
    for s in range(len(points)):
        previous = 0
        k = 0
        while True:
            a, b = max(k - 1, 0), min(k + 1, steps - 1)
            tx, ty, tz = (
                points[s, b, 0] - points[s, a, 0],
                points[s, b, 1] - points[s, a, 1],
                points[s, b, 2] - points[s, a, 2],
            )
            norm = one / (np.sqrt(tx * tx + ty * ty + tz * tz) + np.float32(1e-9))
            tx, ty, tz = tx * norm, ty * norm, tz * norm
            px, py, pz = points[s, k, 0] - centre[0], points[s, k, 1] - centre[1], points[s, k, 2] - centre[2]
            red = green = blue = arrives = zero
            for i in range(len(used)):
                m = used[i]
                lx, ly, lz = towards[m, 0], towards[m, 1], towards[m, 2]
                column = int(
                    half
                    + scale * (px * rights[m, 0] + py * rights[m, 1] + pz * rights[m, 2])
                    + np.float32(0.5)
                )
                row = int(half - scale * (px * ups[m, 0] + py * ups[m, 1] + pz * ups[m, 2]) + np.float32(0.5))
                visible = one
                if 0 <= column < size and 0 <= row < size:
                    depth = FAR + px * lx + py * ly + pz * lz
                    if solid_maps[m, row, column] - depth > SOLID_FROM:
                        continue
                    thick = hair_maps[m, row, column] - depth
                    if thick > zero:
                        visible = np.exp(-absorption * thick)
                along = tx * lx + ty * ly + tz * lz
                if i < lamps:
                    arrives += visible
                visible *= np.sqrt(max(zero, one - along * along))
                red += radiance[i, 0] * visible
                green += radiance[i, 1] * visible
                blue += radiance[i, 2] * visible
            lit[k, 0], lit[k, 1], lit[k, 2] = red, green, blue
            gloss[k] = arrives / np.float32(lamps)
            for j in range(previous + 1, k):
                f = np.float32(j - previous) / np.float32(k - previous)
                gloss[j] = gloss[previous] + f * (gloss[k] - gloss[previous])
                for c in range(3):
                    lit[j, c] = lit[previous, c] + f * (lit[k, c] - lit[previous, c])
            if k == steps - 1:
                break
            previous = k
            k = min(k + stride, steps - 1)
        tilt = np.float32(0.5) * (np.float32((number[s] * 7919) % 1024) / np.float32(1024) - np.float32(0.5))
        for k in range(steps):
            f = np.float32(k) / np.float32(steps - 1)
            a, b = max(k - 1, 0), min(k + 1, steps - 1)
            tx, ty, tz = (
                points[s, b, 0] - points[s, a, 0],
                points[s, b, 1] - points[s, a, 1],
                points[s, b, 2] - points[s, a, 2],
            )
            norm = one / (np.sqrt(tx * tx + ty * ty + tz * tz) + np.float32(1e-9))
            sin_in = (tx * key_direction[0] + ty * key_direction[1] + tz * key_direction[2]) * norm
            sin_out = tz * norm
            # half the sum of the two inclinations; the arcsine matters only where it is small
            half_angle = np.float32(0.5) * (sin_in + sin_out) + np.float32(0.25) * tilt
            facing = key_direction[2] - sin_in * sin_out
            facing /= np.sqrt(max((one - sin_in * sin_in) * (one - sin_out * sin_out), np.float32(1e-4)))
            front = np.sqrt(min(max(np.float32(0.5) + np.float32(0.5) * facing, zero), one))
            shone = shine * gloss[k] * front
            white = shone * GAIN_R * _lobe(half_angle, SHIFT_R, WIDTH_R)
            tinted = shone * GAIN_TRT * _lobe(half_angle, SHIFT_TRT, WIDTH_TRT)
            dark = ROOT_DARK + (TIP_LIGHT - ROOT_DARK) * min(one, np.float32(1.5) * f) if on_scalp else one
            for c in range(3):
                own = rgb[s, c]
                colours[s, k, c] = (
                    DIFFUSE * dark * own * lit[k, c] + (white + tinted * own * np.sqrt(own)) * key_rgb[c]
                )
