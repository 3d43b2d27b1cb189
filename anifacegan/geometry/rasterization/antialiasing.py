"""Anti-aliased silhouettes with gradients: colours are blended by the share of a pixel that the nearer surface covers.

This is the analytic anti-aliasing of Laine et al. 2020, "Modular primitives for high-performance differentiable
rendering". It compares two neighbouring pixels that show different triangles. A silhouette edge of the nearer triangle
may cross the line between the two pixel centres. The position of the crossing on the line gives the coverage, and the
colours of the two pixels are blended by the coverage. The crossing moves with the vertices, so silhouettes have
gradients; visibility itself has none.

Backends:

- ``numba``, ``torch``: an implementation in torch for the fragments of these rasterizers. From the nearer pixel it
  walks over all triangles between the two centres, so a mesh may be finer than the pixels.
- ``nvdiffrast``: the published CUDA kernel of the package diffrp-nvdiffrast. It tests the edges of the nearer pixel's
  own triangle only, so silhouettes stay aliased where triangles are smaller than pixels.

Edges are identified by vertex indices. So two triangles that touch without sharing vertices have a silhouette edge
between them. Where their colours are equal, blending there changes nothing.
"""

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from anifacegan.geometry.cameras import Camera
from anifacegan.geometry.config import Backend
from anifacegan.geometry.rasterization.rasterizer import (
    Fragments,
    clip_positions,
    load_nvdiffrast,
    select_backend,
)
from anifacegan.geometry.rasterization.torch_backend import LARGEST_COORDINATE_PX, SUBPIXEL

SLACK_PX = 2 / SUBPIXEL
"""Tolerance, pixels, of the position where a silhouette edge crosses the line between two pixel centres. It is needed
because the rasterizer rounds the positions of corners."""
LONGEST_WALK = 64
"""Largest number of triangles that the search for a silhouette edge crosses between two pixel centres."""


def antialias(
    image: Float[Tensor, "batch height width channel"],
    vertices: Float[Tensor, "batch vertex 3"],
    triangles: Int[Tensor, "triangle 3"],
    camera: Camera,
    fragments: Fragments,
    backend: Backend = "auto",
) -> Float[Tensor, "batch height width channel"]:
    """Blend the colours of an image across silhouettes; differentiable in the image and in the vertices.

    The coverage of a pixel is exact at vertical and horizontal silhouettes. At slanted silhouettes only the sum of the
    coverage over neighbouring pixels is right; a single pixel may have a coverage other than a box filter gives. The
    changes by several silhouettes in one pixel add up, so colours may leave their range.

    Args:
        image: any channels, such as shaded colours or ``fragments.mask`` as numbers.
        vertices, triangles, camera: those that ``fragments`` were made from.
        backend: the backend that ``fragments`` were made by.

    Raises:
        InputError: the backend cannot be used, see
            :func:`anifacegan.geometry.rasterization.rasterizer.select_backend`.
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
    """Blend along rows, then along columns, which are rows of the transposed image.

    Edges at exactly 45 degrees are blended along rows.
    """
    x, y, z = in_camera.double().unbind(-1)
    in_front = z < 0
    x_px, y_px, _ = camera.pixels(torch.stack([x, y, torch.where(in_front, z, -1.0)], dim=-1))
    points = torch.stack([x_px, y_px], dim=-1)  # (B, V, 2)
    drawn = in_front & (points.abs() < LARGEST_COORDINATE_PX).all(-1)
    across = neighbours_across_edges(points.detach(), triangles, drawn[:, triangles].all(-1))
    seen, depth = fragments.triangle, fragments.depth.detach().masked_fill(~fragments.mask, torch.inf)
    rows = _row_blending(image, points[:, triangles], across, seen, depth, True)
    columns = _row_blending(
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
    """Find the index of the triangle on the other side of each triangle's edges; -1 where the edge is a silhouette.

    Edge k joins corners k and k + 1. Two kinds of triangles do not count as neighbours: those that are folded back to
    the same side of the edge, and those without projected area.

    Args:
        points: vertices projected to the image, pixels.
        triangles: vertex indices.
        drawn: whether each triangle is considered.
    """
    start, end, apex = (triangles.long().roll(-turns, 1) for turns in (0, 1, 2))  # (F, 3 edges)
    low, high = torch.minimum(start, end), torch.maximum(start, end)
    edges, edge = (low * points.shape[1] + high).unique(return_inverse=True)  # (E,), (F, 3)
    along, aside = points[:, high] - points[:, low], points[:, apex] - points[:, low]
    turn = along[..., 0] * aside[..., 1] - along[..., 1] * aside[..., 0]  # (B, F, 3)
    number = torch.arange(len(triangles), device=points.device)[:, None]
    where = edge.flatten().expand(len(points), -1)  # (B, 3 F)

    def triangle_of_edge(flag: Tensor) -> Tensor:
        found = torch.where(flag & drawn[..., None], number, -1).flatten(1)
        none = torch.full((len(points), len(edges)), -1, device=points.device)
        return none.scatter_reduce(1, where, found, "amax")[:, edge]  # (B, F, 3)

    return torch.where(turn > 0, triangle_of_edge(turn < 0), triangle_of_edge(turn > 0))


def _row_blending(
    image: Float[Tensor, "batch height width channel"],
    corners: Float64[Tensor, "batch triangle 3 2"],
    across: Int[Tensor, "batch triangle 3"],
    triangle: Int[Tensor, "batch height width"],
    depth: Float[Tensor, "batch height width"],
    diagonals: bool,
) -> Float[Tensor, "batch height width channel"]:
    """Compute how blending with neighbours in the row changes each pixel's colour, at silhouettes steeper than 45
    degrees.

    Args:
        corners: pixel coordinates (along the row, across the rows), integers at pixel centres.
        across: from :func:`neighbours_across_edges`.
        depth: depth of the visible surface; infinite where there is none.
        diagonals: whether silhouettes at exactly 45 degrees are included.
    """
    batch, row, nearer, other, face, edge = _silhouettes_between_pixels(
        corners.detach(), across, triangle, depth
    )
    start, end = corners[batch, face, edge], corners[batch, face, (edge + 1) % 3]  # (P, 2)
    run, rise = (end - start).unbind(-1)
    steep = run.abs() <= rise.abs() if diagonals else run.abs() < rise.abs()
    batch, row, nearer, other, start, run, rise = (
        value[steep] for value in (batch, row, nearer, other, start, run, rise)
    )
    crossing = start[:, 0] + (row - start[:, 1]) * run / rise
    reach = (crossing - nearer) * (other - nearer)  # (P,) coverage by the nearer surface: 0 to 1 pixels
    contrast = image[batch, row, nearer] - image[batch, row, other]
    gain = (reach - 0.5).to(image.dtype)[:, None] * contrast  # the nearer surface's own pixel ends at 0.5
    gains = torch.where(reach > 0.5, other, nearer)
    return torch.zeros_like(image).index_put((batch, row, gains), gain, accumulate=True)


@torch.no_grad()
def _silhouettes_between_pixels(
    corners: Tensor, across: Tensor, triangle: Tensor, depth: Tensor
) -> tuple[Tensor, ...]:
    """Find silhouette edges between the centres of row neighbours, walking from the nearer pixel's triangle.

    Returns six arrays with one entry for each edge: batch index, row, column of the nearer pixel, column of the other
    pixel, index of the triangle, and index of the edge in the triangle.
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
        continues = inside & (neighbour >= 0)
        walkers = tuple(value[continues] for value in (batch, row, nearer, other, neighbour))
        if not continues.any():
            break
    return tuple(torch.cat(part) for part in zip(*found, strict=True))


# -------------------------------------------------------------------------------------------------- CUDA (nvdiffrast)
def raster_buffer(
    clip: Float[Tensor, "batch vertex 4"], triangles: Int[Tensor, "triangle 3"], fragments: Fragments
) -> Float[Tensor, "batch height width 4"]:
    """Convert fragments to the buffer that nvdiffrast's rasterizer would return.

    Channels are two barycentrics, z/w in clip space, and triangle index + 1; all are zero where no triangle covers the
    pixel. ``clip`` are the vertices in homogeneous clip coordinates, see
    :func:`anifacegan.geometry.rasterization.rasterizer.clip_positions`.
    """
    batch, row, column = fragments.mask.nonzero(as_tuple=True)  # (P,) each
    seen = fragments.triangle[batch, row, column]
    weights = fragments.barycentric[batch, row, column].detach()  # (P, 3)
    _, _, z, w = (weights[..., None] * clip[batch[:, None], triangles[seen]]).sum(dim=1).unbind(-1)
    values = torch.stack([weights[:, 0], weights[:, 1], z / w, (seen + 1).to(clip.dtype)], dim=-1).to(
        clip.dtype
    )
    return clip.new_zeros(*fragments.mask.shape, 4).index_put((batch, row, column), values)
