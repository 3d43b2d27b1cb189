"""Textures of a layered mesh: the networks' colours at template points, premultiplied by their opacity.

The colour at a template point does not depend on the expression, so every texel is evaluated once.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from anifacegan.avatars.baking.charts import evaluate_in_slices
from anifacegan.avatars.baking.layers import Layers, LevelCells
from anifacegan.avatars.config import COARSE
from anifacegan.models.generator import ConditionedFields

TRANSPARENT = 1 / 512
"""Opacity up to which a texel counts as transparent."""
BACKGROUND_SIDE = 384
"""Height and width of the background's texture, texels."""


def coarse_textures(
    fields: ConditionedFields, layers: Layers, spacing: int = COARSE
) -> Float[np.ndarray, "level height width 4"]:
    """Evaluate coarse textures of all layers, with one texel for each ``spacing`` x ``spacing`` texels of a texture.

    Returns colours premultiplied by opacity, and opacities, in [0, 1]; 0 where there is no manifold. ``fields`` are the
    person's fields with any expression, because colours do not depend on the expression.
    """
    positions = layers.texel_positions(math.ceil(layers.height / spacing), math.ceil(layers.width / spacing))
    textures = []
    for level in range(layers.levels):
        x = layers.charts.points(level, positions.reshape(-1, 2))
        exists = x.isfinite().all(-1)
        texture = x.new_zeros(len(x), 4)
        texture[exists] = premultiplied_radiance(fields, x[exists])
        textures.append(texture.reshape(*positions.shape[:2], 4).cpu().numpy())
    return np.stack(textures)


def fine_textures(
    fields: ConditionedFields, layers: Layers, coarse: Float[np.ndarray, "level h w 4"], visible: LevelCells
) -> tuple[UInt8[np.ndarray, "level height width 4"], int]:
    """Make the final textures: colours premultiplied by opacity, and opacity.

    Args:
        fields: the person's fields.
        layers: the grid of cells on each layer.
        coarse: textures in [0, 1] with fewer texels; they are interpolated in cells that are not visible.
        visible: mask (level, cell row, cell column) of the cells that are evaluated texel by texel, but for texels
            around which the coarse textures are transparent.

    Returns:
        The textures (255 stands for 1), and the number of evaluated points.
    """
    height, width = layers.height, layers.width
    positions = layers.texel_positions(height, width).reshape(-1, 2)
    cell_of_row, cell_of_column = (
        torch.arange(count, device=positions.device).mul(cells / (count - 1)).long().clamp(max=cells - 1)
        for count, cells in zip((height, width), visible.shape[1:], strict=True)
    )
    textures = np.empty((len(coarse), height, width, 4), np.uint8)
    evaluated = 0
    for level in range(len(coarse)):
        small = torch.from_numpy(coarse[level]).permute(2, 0, 1)[None]
        smooth = torch.nn.functional.interpolate(
            small, size=(height, width), mode="bilinear", align_corners=True
        )[0]
        texture = smooth.permute(1, 2, 0).reshape(-1, 4).to(positions)
        level_cells = torch.from_numpy(visible[level]).to(positions.device)
        opaque = torch.nn.functional.max_pool2d(small[:, 3:], 3, stride=1, padding=1) > TRANSPARENT
        near = torch.nn.functional.interpolate(opaque.float(), size=(height, width), mode="nearest")[0, 0] > 0
        selected = (level_cells[cell_of_row][:, cell_of_column] & near.to(positions.device)).reshape(-1)
        x = layers.charts.points(level, positions[selected])
        exists = x.isfinite().all(-1)
        values = texture[selected]
        values[exists] = premultiplied_radiance(fields, x[exists])
        texture[selected] = values
        textures[level] = to_bytes(texture.cpu().numpy()).reshape(height, width, 4)
        evaluated += int(exists.sum())
    return textures, evaluated


def to_bytes(colours: Float[np.ndarray, "*batch 4"]) -> UInt8[np.ndarray, "*batch 4"]:
    """Round colours in [0, 1] to bytes; 255 stands for 1."""
    return np.rint(colours.clip(0, 1) * 255).astype(np.uint8)


def background_texture(fields: ConditionedFields, reach: float) -> UInt8[np.ndarray, "side side 3"]:
    """Evaluate the colours of the background plane for x and y from -reach to reach, world units.

    The first row is at the top (y = reach); 255 stands for 1.
    """
    line = torch.linspace(-reach, reach, BACKGROUND_SIDE, device=fields.levels.device)
    y, x = torch.meshgrid(-line, line, indexing="ij")
    plane = torch.stack([x, y, torch.full_like(x, fields.ray_sampling.background_z)], dim=-1)
    rgb = evaluate_in_slices(lambda points: fields.radiance(points)[0], plane)
    return np.rint(rgb.clamp(0, 1).cpu().numpy() * 255).astype(np.uint8)


def premultiplied_radiance(
    fields: ConditionedFields, x: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 4"]:
    """Return colours premultiplied by opacity (entries 0 to 2) and opacities (entry 3), in [0, 1].

    ``x`` are points of the face without deformation, world units.
    """

    def evaluate(x: Tensor) -> Tensor:
        rgb, alpha = fields.radiance(x if fields.align is None else x + fields.align(x))
        return torch.cat([rgb.clamp(0, 1) * alpha[..., None], alpha[..., None]], dim=-1)

    return evaluate_in_slices(evaluate, x)
