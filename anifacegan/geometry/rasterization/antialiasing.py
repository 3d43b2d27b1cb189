"""Silhouettes without stairs: pixels beside an outline are mixed in proportion to what it covers of them.

The analytic anti-aliasing of Laine et al. 2020, "Modular primitives for high-performance differentiable rendering":
neighbouring pixels that see different triangles are looked at in pairs. Where an outline of the nearer triangle crosses
the line between the two centres, the crossing says how much of the pair the nearer surface covers, and the colour of
one pixel reaches into the other by as much. The crossing moves with the vertices, so silhouettes carry a gradient,
which the choice of the triangle at a pixel does not.

Backends:

- ``numba``, ``torch``: plain torch, for the fragments of these rasterisers. From the nearer pixel it follows the
  surface over as many triangles as lie between the two centres, so a mesh may be finer than the pixels.
- ``nvdiffrast``: the CUDA kernel of the package diffrp-nvdiffrast, as published: it knows the outlines of the nearer
  pixel's own triangle only, and leaves stairs where triangles at the silhouette are smaller than pixels.

Both know outlines by vertex indices: two triangles that meet without sharing vertices have an outline between them,
which mixes like with like.
"""

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from anifacegan.geometry.cameras import Camera
from anifacegan.geometry.rasterization.rasterizer import (
    Backend,
    Fragments,
    clip_positions,
    load_nvdiffrast,
    select_backend,
)
from anifacegan.geometry.rasterization.torch_backend import LARGEST_COORDINATE_PX, SUBPIXEL

SLACK_PX = 2 / SUBPIXEL
"""A crossing so little beyond a pixel's centre still lies between the two: coverage was decided on rounded corners."""
LONGEST_WALK = 64
"""Triangles that are crossed from one pixel's centre to the next before giving up."""


def antialias(
    image: Float[Tensor, "batch height width channel"],
    vertices: Float[Tensor, "batch vertex 3"],
    triangles: Int[Tensor, "triangle 3"],
    camera: Camera,
    fragments: Fragments,
    backend: Backend = "auto",
) -> Float[Tensor, "batch height width channel"]:
    """The image with smooth silhouettes. Differentiable in the image and, at silhouettes, in the vertices.

    Coverage is exact for upright and level outlines; slanted ones keep their area, spread over other pixels than a box
    filter would. Where several outlines pass through one pixel their effects add up, and may leave the colours' range.

    Args:
        image: what each pixel shows, any channels: shaded colours, or ``fragments.mask`` as numbers.
        vertices, triangles, camera: those that ``fragments`` were made from.
        backend: who drew ``fragments``.

    Raises:
        InputError: see :func:`anifacegan.rasterizer.select_backend`.
    """
    backend = select_backend(backend, vertices.device)
    in_camera = camera.to_camera(vertices)  # (B, V, 3)
    if backend == "nvdiffrast":
        nvdiffrast = load_nvdiffrast(in_camera.device)
        clip = clip_positions(in_camera.float(), camera)
        buffer = raster_buffer(clip.detach(), triangles, fragments)
        return nvdiffrast.antialias(image.contiguous(), buffer, clip, triangles.to(torch.int32).contiguous())
    return _antialias_torch(image, in_camera, triangles, camera, fragments)


# ------------------------------------------------------------------------------------------------- any device (torch)
def _antialias_torch(
    image: Tensor, in_camera: Tensor, triangles: Tensor, camera: Camera, fragments: Fragments
) -> Tensor:
    """Rows first; columns are the rows of the transposed image. An outline at 45 degrees is left to the rows."""
    x, y, z = in_camera.double().unbind(-1)
    in_front = z < 0
    x_px, y_px, _ = camera.pixels(torch.stack([x, y, torch.where(in_front, z, -1.0)], dim=-1))
    points = torch.stack([x_px, y_px], dim=-1)  # (B, V, 2)
    drawn = in_front & (points.abs() < LARGEST_COORDINATE_PX).all(-1)
    across = neighbours_across_edges(points.detach(), triangles, drawn[:, triangles].all(-1))
    seen, depth = fragments.triangle, fragments.depth.detach().masked_fill(~fragments.mask, torch.inf)
    rows = _exchange(image, points[:, triangles], across, seen, depth, True)
    columns = _exchange(
        image.transpose(1, 2),
        points.flip(-1)[:, triangles],
        across,
        seen.transpose(1, 2),
        depth.transpose(1, 2),
        False,
    )
    return image + rows + columns.transpose(1, 2)


def neighbours_across_edges(
    points: Float64[Tensor, "batch vertex 2"],
    triangles: Int[Tensor, "triangle 3"],
    drawn: Bool[Tensor, "batch triangle"],
) -> Int[Tensor, "batch triangle 3"]:
    """The triangle across each edge of a drawn triangle, as projected to ``points``; -1 where the edge is an outline.

    Edge k joins corners k and k + 1. A neighbour that is folded back to the triangle's own side is not across, and a
    triangle seen exactly from the edge is on neither side.
    """
    start, end, apex = (triangles.long().roll(-turns, 1) for turns in (0, 1, 2))  # (F, 3 edges)
    low, high = torch.minimum(start, end), torch.maximum(start, end)
    edges, edge = (low * points.shape[1] + high).unique(return_inverse=True)  # (E,), (F, 3)
    along, aside = points[:, high] - points[:, low], points[:, apex] - points[:, low]
    turn = along[..., 0] * aside[..., 1] - along[..., 1] * aside[..., 0]  # (B, F, 3)
    number = torch.arange(len(triangles), device=points.device)[:, None]
    where = edge.flatten().expand(len(points), -1)  # (B, 3 F)

    def one_with(flag: Tensor) -> Tensor:
        found = torch.where(flag & drawn[..., None], number, -1).flatten(1)
        none = torch.full((len(points), len(edges)), -1, device=points.device)
        return none.scatter_reduce(1, where, found, "amax")[:, edge]  # (B, F, 3)

    return torch.where(turn > 0, one_with(turn < 0), one_with(turn > 0))


def _exchange(
    image: Float[Tensor, "batch height width channel"],
    corners: Float64[Tensor, "batch triangle 3 2"],
    across: Int[Tensor, "batch triangle 3"],
    triangle: Int[Tensor, "batch height width"],
    depth: Float[Tensor, "batch height width"],
    diagonals: bool,
) -> Float[Tensor, "batch height width channel"]:
    """What each pixel gains from its neighbours in the row, through outlines that are steeper than 45 degrees.

    Args:
        corners: index pixels (along the row, across the rows).
        across: from :func:`neighbours_across_edges`.
        depth: of what is seen; infinite where there is nothing.
        diagonals: whether an outline at exactly 45 degrees is steep enough.
    """
    batch, row, nearer, other, face, edge = _outlines_between_pixels(
        corners.detach(), across, triangle, depth
    )
    start, end = corners[batch, face, edge], corners[batch, face, (edge + 1) % 3]  # (P, 2)
    run, rise = (end - start).unbind(-1)
    steep = run.abs() <= rise.abs() if diagonals else run.abs() < rise.abs()
    batch, row, nearer, other, start, run, rise = (
        value[steep] for value in (batch, row, nearer, other, start, run, rise)
    )
    crossing = start[:, 0] + (row - start[:, 1]) * run / rise
    reach = (crossing - nearer) * (other - nearer)  # (P,) of the nearer surface: 0 to 1 pixels
    contrast = image[batch, row, nearer] - image[batch, row, other]
    gain = (reach - 0.5).to(image.dtype)[:, None] * contrast  # half a pixel is the nearer one's own
    gains = torch.where(reach > 0.5, other, nearer)
    return torch.zeros_like(image).index_put((batch, row, gains), gain, accumulate=True)


@torch.no_grad()
def _outlines_between_pixels(
    corners: Tensor, across: Tensor, triangle: Tensor, depth: Tensor
) -> tuple[Tensor, ...]:
    """Where the surface that is seen at the nearer of two neighbours in a row ends before the other's centre.

    Returns (P,) each: batch, row, column of the nearer pixel, column of the other, triangle and edge of the outline.
    """
    left_is_nearer = depth[:, :, :-1] <= depth[:, :, 1:]
    nearest = torch.where(left_is_nearer, triangle[:, :, :-1], triangle[:, :, 1:]).long()
    batch, row, column = (triangle[:, :, :-1] != triangle[:, :, 1:]).nonzero(as_tuple=True)
    face, left_is_nearer = nearest[batch, row, column], left_is_nearer[batch, row, column]
    nearer = torch.where(left_is_nearer, column, column + 1)
    other = torch.where(left_is_nearer, column + 1, column)
    walkers, found = (batch, row, nearer, other, face), []
    for _ in range(LONGEST_WALK):
        batch, row, nearer, other, face = walkers
        start = corners[batch, face]  # (P, 3 edges, 2)
        end = start.roll(-1, 1)
        crosses = (start[..., 1] <= row[:, None]) != (end[..., 1] <= row[:, None])
        run, rise = (end - start).unbind(-1)
        crossing = start[..., 0] + (row[:, None] - start[..., 1]) * run / torch.where(crosses, rise, 1.0)
        reach = (crossing - nearer[:, None]) * (other - nearer)[:, None]
        reach, edge = reach.masked_fill(~crosses, -torch.inf).max(
            dim=1
        )  # a row enters a triangle, then leaves it
        inside = (reach >= -SLACK_PX) & (reach <= 1 + SLACK_PX)
        neighbour = across[batch, face, edge]
        found.append([value[inside & (neighbour < 0)] for value in (*walkers, edge)])
        goes_on = inside & (neighbour >= 0)
        walkers = tuple(value[goes_on] for value in (batch, row, nearer, other, neighbour))
        if not goes_on.any():
            break
    return tuple(torch.cat(part) for part in zip(*found, strict=True))


# -------------------------------------------------------------------------------------------------- CUDA (nvdiffrast)
def raster_buffer(
    clip: Float[Tensor, "batch vertex 4"], triangles: Int[Tensor, "triangle 3"], fragments: Fragments
) -> Float[Tensor, "batch height width 4"]:
    """Fragments in nvdiffrast's form: weights of the first two corners, z/w in clip space, triangle + 1; else zero."""
    batch, row, column = fragments.mask.nonzero(as_tuple=True)  # (P,) each
    seen = fragments.triangle[batch, row, column]
    weights = fragments.barycentric[batch, row, column].detach()  # (P, 3)
    _, _, z, w = (weights[..., None] * clip[batch[:, None], triangles[seen]]).sum(dim=1).unbind(-1)
    values = torch.stack([weights[:, 0], weights[:, 1], z / w, (seen + 1).to(clip.dtype)], dim=-1).to(
        clip.dtype
    )
    return clip.new_zeros(*fragments.mask.shape, 4).index_put((batch, row, column), values)
