"""Layered avatars of a few triangles, and a slow player of them: every ray against every triangle, in float64."""

from dataclasses import dataclass

import numpy as np
import torch

from anifacegan.layered import LayeredAvatar
from anifacegan.march import MarchConfig
from anifacegan.rays import image_rays
from anifacegan.rendered import Picture

FINE = MarchConfig(samples=400)
"""Samples so close that hardly any sheet hides between two of them."""
LEAST_LIGHT = 1 / 1024


@dataclass(frozen=True)
class Sheet:
    """One sheet of an avatar."""

    vertices: np.ndarray
    """(V, 3)"""
    triangles: np.ndarray
    """(F, 3), counter-clockwise seen from outside."""
    texels: np.ndarray
    """(V, 2)"""
    texture: np.ndarray
    """(h, w, 4) bytes."""


def square(
    z: float, rgba: tuple[int, int, int, int] = (100, 50, 20, 255), half: float = 0.05, outwards: bool = True
) -> Sheet:
    """A square of one colour, at one depth, that looks at a frontal camera or away from it."""
    vertices = np.array([[x, y, z] for y in (-half, half) for x in (-half, half)], np.float32)
    triangles = np.array([[0, 1, 2], [3, 2, 1]], np.int32)
    texture = np.broadcast_to(np.array(rgba, np.uint8), (4, 4, 4)).copy()
    return Sheet(vertices, triangles if outwards else triangles[:, ::-1].copy(), np.ones((4, 2), np.float32), texture)


def together(*sheets: Sheet) -> Sheet:
    """Several parts as one sheet, with the first one's texture."""
    offsets = np.cumsum([0, *(len(sheet.vertices) for sheet in sheets)])
    return Sheet(
        np.concatenate([sheet.vertices for sheet in sheets]),
        np.concatenate([sheet.triangles + k for sheet, k in zip(sheets, offsets[:-1], strict=True)]).astype(np.int32),
        np.concatenate([sheet.texels for sheet in sheets]),
        sheets[0].texture,
    )


def bumpy_sheet(z: float, rng: np.random.Generator, lines: int = 5, half: float = 0.07, bump: float = 0.01) -> Sheet:
    """A net of triangles with random bumps and a random, half transparent texture."""
    line = np.linspace(-half, half, lines)
    x, y = np.meshgrid(line, line)
    vertices = np.stack([x, y, np.full_like(x, z)], -1).reshape(-1, 3) + bump * rng.uniform(-1, 1, (lines * lines, 3))
    a = (np.arange(lines - 1)[:, None] * lines + np.arange(lines - 1)).ravel()
    triangles = np.concatenate([np.stack([a, a + 1, a + lines], -1), np.stack([a + lines + 1, a + lines, a + 1], -1)])
    texture = rng.integers(0, 256, (6, 5, 4)).astype(np.uint8)
    texture[..., :3] = texture[..., :3] * (texture[..., 3:] / 255)     # premultiplied
    texels = rng.uniform(-0.2, (4.2, 5.2), (len(vertices), 2))
    return Sheet(vertices.astype(np.float32), triangles.astype(np.int32), texels.astype(np.float32), texture)


def avatar_of(*sheets: Sheet, march: MarchConfig = FINE, background: np.ndarray | int = 51) -> LayeredAvatar:
    """Sheets from the outermost inwards, without expressions, before a background of one grey or of given bytes."""
    all_of_them = together(*sheets)
    if isinstance(background, int):
        background = np.full((2, 2, 3), background, np.uint8)
    return LayeredAvatar(
        vertices=all_of_them.vertices,
        texels=all_of_them.texels,
        triangles=all_of_them.triangles,
        starts=np.cumsum([0, *(len(sheet.triangles) for sheet in sheets)]).astype(np.int32),
        textures=np.stack([sheet.texture for sheet in sheets]),
        background=background,
        background_reach=0.2,
        blendshapes=np.zeros((0, 1, *all_of_them.vertices.shape), np.float32),
        texel_steps=np.zeros((0, 1, 0, 2), np.float32),
        codes=np.zeros((0, 64), np.float32),
        march=march,
        widest_rad=0.9,
    )


@dataclass(frozen=True)
class SlowView:
    """What rays see of an avatar, looked up triangle by triangle."""

    planes: np.ndarray
    """(8, size, size): rgb, foreground, its premultiplied colour, depth."""
    entered: np.ndarray
    """(L, size, size) the first triangle of each sheet that faces the camera, or -1."""
    seen: np.ndarray
    """(F,) triangles that more than LEAST_LIGHT of some pixel comes from."""


def slow_view(avatar: LayeredAvatar, yaw: float, pitch: float, size: int) -> SlowView:
    """The playback's definition, one ray at a time."""
    march = avatar.march
    angles = torch.tensor([[pitch, yaw]], dtype=torch.float64)
    rays = image_rays(angles[:, 0], angles[:, 1], size, march.fov_deg)
    layers = len(avatar.textures)
    planes, entered = np.zeros((8, size * size)), np.full((layers, size * size), -1)
    seen = np.zeros(len(avatar.triangles), bool)
    spacing = (march.far - march.near) / (march.samples - 1)
    corners = avatar.vertices.astype(np.float64)[avatar.triangles]     # (F, 3, 3)
    for pixel, (origin, way) in enumerate(zip(rays.origins[0].numpy(), rays.directions[0].numpy(), strict=True)):
        t, shares, faces = _met(corners, origin, way)
        plane_t = (march.background_z - origin[2]) / way[2]
        light, colour, depth = 1.0, np.zeros(3), 0.0
        for layer in range(layers):
            own = np.arange(avatar.starts[layer], avatar.starts[layer + 1])
            fronts, backs = (own[np.isfinite(t[own]) & (faces[own] == side)] for side in (True, False))
            if not len(fronts):
                continue
            first = fronts[t[fronts].argmin()]
            entered[layer, pixel] = first
            enters, leaves = t[first], t[backs].min() if len(backs) else np.inf
            if not march.near <= enters <= min(march.far, plane_t):
                continue
            if enters < leaves and (leaves - march.near) // spacing == (enters - march.near) // spacing:
                continue
            texel = _texel(avatar.textures[layer], shares[first] @ avatar.texels[avatar.triangles[first]])
            seen[first] |= light * texel[3] > LEAST_LIGHT
            colour, depth = colour + light * texel[:3], depth + light * texel[3] * enters
            light *= 1 - texel[3]
        side = len(avatar.background) - 1
        x, y = (origin + plane_t * way)[:2] / avatar.background_reach
        behind = _texel(avatar.background, np.array([(x + 1) / 2 * side, (1 - y) / 2 * side]))
        planes[:, pixel] = [*(colour + light * behind), 1 - light, *colour, depth + light * plane_t]
    return SlowView(planes.reshape(8, size, size), entered.reshape(layers, size, size), seen)


def _met(corners: np.ndarray, origin: np.ndarray, way: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(F,) distances, inf where missed; (F, 3) shares of the corners; (F,) whether the outside is seen."""
    a, b, c = corners.transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    t = ((a - origin) * normal).sum(1) / (normal @ way)
    point = origin + t[:, None] * way
    shares = [(np.cross(q - p, point - p) * normal).sum(1) for p, q in ((b, c), (c, a), (a, b))]
    shares = np.stack(shares, -1) / (normal**2).sum(1, keepdims=True)
    return np.where((shares >= 0).all(1) & (t > 0), t, np.inf), shares, normal @ way < 0


def _texel(texture: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Between four texels, in [0, 1]; beyond the edge, the edge."""
    height, width = texture.shape[:2]
    u, v = np.clip(place, 0, (width - 1, height - 1))
    i, j = min(int(u), width - 2), min(int(v), height - 2)
    top, bottom = ((1 - (u - i)) * texture[row, i] + (u - i) * texture[row, i + 1] for row in (j, j + 1))
    return ((1 - (v - j)) * top + (v - j) * bottom) / 255


def as_planes(picture: Picture) -> np.ndarray:
    """(8, size, size), in the order of :class:`SlowView`."""
    parts = [picture.rgb, picture.foreground, picture.foreground_rgb, picture.depth]
    return torch.cat(parts).numpy()
