"""What is painted on the sheets of a layered avatar: the networks' colours at template points.

Colours are premultiplied by their opacity. A person looks the same with every expression: what a sheet shows at a
template point is asked once.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from anifacegan.avatars.baking.charts import ask
from anifacegan.avatars.baking.layers import Layers, LevelCells
from anifacegan.models.generator import ConditionedFields

COARSE = 4
"""The first bake has about one texel for so many in each direction."""
BACKGROUND_SIDE = 384
"""Texels along a side of the background's texture."""


def coarse_textures(
    person: ConditionedFields, layers: Layers, spacing: int = COARSE
) -> Float[np.ndarray, "level height width 4"]:
    """Colours and opacities in [0, 1] of every so many texels; transparent where there is no manifold."""
    places = layers.texel_places(math.ceil(layers.height / spacing), math.ceil(layers.width / spacing))
    textures = []
    for level in range(layers.levels):
        x = layers.charts.points(level, places.reshape(-1, 2))
        found = x.isfinite().all(-1)
        texture = x.new_zeros(len(x), 4)
        texture[found] = read(person, x[found])
        textures.append(texture.reshape(*places.shape[:2], 4).cpu().numpy())
    return np.stack(textures)


def fine_textures(
    person: ConditionedFields, layers: Layers, coarse: Float[np.ndarray, "level h w 4"], seen: LevelCells
) -> tuple[UInt8[np.ndarray, "level height width 4"], int]:
    """The textures as bytes: of seen cells texel by texel, elsewhere as the coarse bake has them. And how many points
    that took.
    """
    height, width = layers.height, layers.width
    places = layers.texel_places(height, width).reshape(-1, 2)
    cell = [
        torch.arange(count, device=places.device).mul((cells) / (count - 1)).long().clamp(max=cells - 1)
        for count, cells in zip((height, width), seen.shape[1:], strict=True)
    ]
    textures = np.empty((len(coarse), height, width, 4), np.uint8)
    evaluated = 0
    for level in range(len(coarse)):
        small = torch.from_numpy(coarse[level]).permute(2, 0, 1)[None]
        smooth = torch.nn.functional.interpolate(
            small, size=(height, width), mode="bilinear", align_corners=True
        )[0]
        texture = smooth.permute(1, 2, 0).reshape(-1, 4).to(places)
        target = torch.from_numpy(seen[level]).to(places.device)[cell[0]][:, cell[1]].reshape(-1)
        x = layers.charts.points(level, places[target])
        found = x.isfinite().all(-1)
        values = texture[target]
        values[found] = read(person, x[found])
        texture[target] = values
        textures[level] = to_bytes(texture.cpu().numpy()).reshape(height, width, 4)
        evaluated += int(found.sum())
    return textures, evaluated


def to_bytes(colours: Float[np.ndarray, "*batch 4"]) -> UInt8[np.ndarray, "*batch 4"]:
    """255 is 1."""
    return np.rint(colours.clip(0, 1) * 255).astype(np.uint8)


def background_texture(person: ConditionedFields, reach: float) -> UInt8[np.ndarray, "side side 3"]:
    """Of the plane behind the person, from minus to plus ``reach`` in x and y (see :class:`LayeredMesh`)."""
    line = torch.linspace(-reach, reach, BACKGROUND_SIDE, device=person.levels.device)
    y, x = torch.meshgrid(-line, line, indexing="ij")
    plane = torch.stack([x, y, torch.full_like(x, person.ray_sampling.background_z)], dim=-1)
    rgb = ask(lambda points: person.radiance(points)[0], plane)
    return np.rint(rgb.clamp(0, 1).cpu().numpy() * 255).astype(np.uint8)


def read(person: ConditionedFields, x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """Premultiplied colour and opacity of template points."""

    def premultiplied(x: Tensor) -> Tensor:
        rgb, alpha = person.radiance(x if person.align is None else x + person.align(x))
        return torch.cat([rgb.clamp(0, 1) * alpha[..., None], alpha[..., None]], dim=-1)

    return ask(premultiplied, x)
