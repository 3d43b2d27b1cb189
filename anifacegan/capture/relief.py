"""Hair, hats and shoulders beyond the fitted head: a relief behind it that moves rigidly with the head.

The relief is a grid over the photograph's view. Beside the head it lies at the depth of the head's outline; under the
head it goes on, with the colours of what is beside it, so that a turned head uncovers no hole.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage

from anifacegan.capture.filling import nearest_filled, push_pull_filled
from anifacegan.geometry.resampling import resample

GRID = 97
FRONT_Z, BACK_Z = -0.05, -0.115
"""Foremost and rearmost z of the relief, world units: behind the face, and before the background."""
OUTLINE_PX = 6
"""Width of the head's rim whose depth the relief goes on with, pixels."""
COVERED_PX = 1
"""Width of the rim outside of the head's outline that the relief takes from what is beside it, pixels: it is mixed with
the head."""
BESIDE_PX = 4
"""Width of the rim outside of the outline that gives no colours to what is under the head, pixels: where the fit errs,
the head itself is there."""


def relief_mesh(
    depth: Float[np.ndarray, "size size"],
    origin: Float[np.ndarray, "3"],
    axes: Float[np.ndarray, "3 3"],
    tangent: float,
) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "vertex 2"], Int[np.ndarray, "triangle 3"]]:
    """Make the relief's vertices (world units), their texture coordinates (0 to 1) and its triangles.

    Args:
        depth: depth of the head along the viewing axis in the photograph's view; infinite beside it.
        origin: position of the camera, world units.
        axes: columns right, up and backward of the camera.
        tangent: tangent of half the view's angle.
    """
    solid = np.isfinite(depth)
    rim = solid & ~ndimage.binary_erosion(solid, iterations=OUTLINE_PX, border_value=1)
    beside = push_pull_filled(np.where(solid, depth, 0)[..., None], rim.astype(np.float32))
    at_grid = (
        resample(torch.from_numpy(beside).permute(2, 0, 1)[None].contiguous(), GRID)[0, 0].double().numpy()
    )
    at_grid = ndimage.gaussian_filter(at_grid, 1.5)
    line = np.linspace(-1, 1, GRID)
    x, y = np.meshgrid(line, line)
    ways = np.stack([x * tangent, -y * tangent, -np.ones_like(x)], axis=-1) @ axes.T  # depth 1 along the axis
    nearest, farthest = ((z - origin[2]) / ways[..., 2] for z in (FRONT_Z, BACK_Z))
    points = origin + at_grid.clip(nearest, farthest)[..., None] * ways
    index = np.arange(GRID * GRID).reshape(GRID, GRID)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]))
    triangles = np.concatenate([np.stack([a, c, b], -1), np.stack([d, b, c], -1)])
    texels = np.stack([x, y], axis=-1).reshape(-1, 2) / 2 + 0.5
    return points.reshape(-1, 3).astype(np.float32), texels.astype(np.float32), triangles.astype(np.int32)


def relief_texture(
    person: Float[np.ndarray, "size size 3"],
    share: Float[np.ndarray, "size size"],
    depth: Float[np.ndarray, "size size"],
    size: int,
) -> Float[np.ndarray, "height width 4"]:
    """Return colours and opacity of the relief, not premultiplied: the photograph beside the head, and under the head
    what is beside it. ``size`` is the height and width of the texture, texels."""
    whole = beside_head(np.dstack([person * share[..., None], share]), depth)
    image = torch.from_numpy(whole).permute(2, 0, 1)[None].contiguous()
    enlarged = torch.nn.functional.interpolate(image, (size, size), mode="bilinear", align_corners=True)
    premultiplied = enlarged[0].permute(1, 2, 0).numpy()
    alpha = premultiplied[..., 3:]
    return np.concatenate([premultiplied[..., :3] / np.maximum(alpha, 1e-3), alpha], axis=-1).clip(0, 1)


def beside_head(
    image: Float[np.ndarray, "size size channel"], depth: Float[np.ndarray, "size size"]
) -> Float[np.ndarray, "size size channel"]:
    """Return an image of the photograph's view with what is beside the head carried on under it.

    ``depth`` is that of the head, infinite beside it.
    """
    head = np.isfinite(depth)
    near = ndimage.binary_dilation(head, iterations=BESIDE_PX)
    inner = ndimage.binary_dilation(head, iterations=COVERED_PX)
    return np.where(inner[..., None], nearest_filled(image, ~near), image)
