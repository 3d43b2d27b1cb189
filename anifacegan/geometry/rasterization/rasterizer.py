"""Rasterization of triangle meshes: the nearest triangle at each pixel, its barycentrics and its depth.

All backends give the same :class:`Fragments`:

- ``numba``: a z-buffer on the CPU. It tests pixel centres on a fixed-point grid with the top-left rule. So two
  triangles that share an edge leave no gap, and never both cover a pixel on the edge.
- ``torch``: the same pixels on any device (:mod:`anifacegan.geometry.rasterization.torch_backend`), for GPUs without
  nvdiffrast.
- ``nvdiffrast``: the CUDA rasterizer of the package diffrp-nvdiffrast. It clips a triangle that reaches behind the
  camera; the other backends omit such a triangle.

Visibility is discrete and has no gradient. Barycentrics and depth are computed in torch from the vertices of the
visible triangle, so gradients flow to vertices and attributes with every backend. For smooth silhouettes use
:func:`anifacegan.geometry.rasterization.antialiasing.antialias`, or, without gradients, :func:`supersampled`.
"""

import functools
import sys
from dataclasses import dataclass, replace
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.geometry.cameras import Camera
from anifacegan.geometry.config import Backend
from anifacegan.geometry.rasterization.torch_backend import LARGEST_COORDINATE_PX, SUBPIXEL, nearest_triangles
from anifacegan.runtime.compiled import kernel
from anifacegan.runtime.cpu import on_all_cores
from anifacegan.runtime.errors import InputError, last_line


@dataclass(frozen=True)
class Fragments:
    """Visible triangle, barycentrics and depth of each pixel."""

    triangle: Int[Tensor, "batch height width"]
    """Index of the nearest triangle; -1 where no triangle covers the pixel."""
    barycentric: Float[Tensor, "batch height width 3"]
    """Perspective-correct weights of the triangle's corners; zero where no triangle covers the pixel."""
    depth: Float[Tensor, "batch height width"]
    """Distance along the viewing axis (-z) in the units of the vertices; zero where no triangle covers the pixel."""
    mask: Bool[Tensor, "batch height width"]
    """Whether a triangle covers the pixel."""


def supersampled(camera: Camera, factor: int) -> Camera:
    """Make a camera whose image has factor x factor pixels in place of each pixel of ``camera``."""
    return replace(
        camera,
        focal_px=camera.focal_px * factor,
        principal_px=camera.principal_px * factor + (factor - 1) / 2,
        size=camera.size * factor,
    )


def select_backend(backend: Backend, device: torch.device) -> Backend:
    """Resolve ``auto`` to a backend for a device: numba on a CPU; on a GPU nvdiffrast or, if nvdiffrast fails, torch.

    A warning about the fallback is printed once.

    Raises:
        InputError: ``nvdiffrast`` is requested, and is not installed or cannot be used.
    """
    if backend == "auto":
        return _automatic_backend(device)
    if backend == "nvdiffrast":
        nvdiffrast_context(device)
    return backend


@functools.cache
def _automatic_backend(device: torch.device) -> Backend:
    if device.type != "cuda":
        return "numba"
    try:
        nvdiffrast_context(device)
    except InputError as error:
        print(f"meshes are drawn by plain PyTorch, which is slower: {error}", file=sys.stderr)
        return "torch"
    return "nvdiffrast"


def rasterize(
    vertices: Float[Tensor, "batch vertex 3"],
    triangles: Int[Tensor, "triangle 3"],
    camera: Camera,
    backend: Backend = "auto",
) -> Fragments:
    """Rasterize a batch of meshes that share their triangles, front and back faces alike.

    ``vertices`` are in the frame and unit that ``camera`` takes.

    Raises:
        InputError: the backend cannot be used, see :func:`select_backend`.
    """
    backend = select_backend(backend, vertices.device)
    in_camera = camera.to_camera(vertices)  # (B, V, 3)
    with torch.no_grad():
        visible = {"numba": _visible_numba, "torch": _visible_torch, "nvdiffrast": _visible_nvdiffrast}[
            backend
        ]
        triangle = visible(in_camera.detach(), triangles, camera)  # (B, H, W)
    return _fragments(in_camera, triangles, triangle, camera)


def interpolate(
    attributes: Float[Tensor, "*batch vertex channel"],
    triangles: Int[Tensor, "triangle 3"],
    fragments: Fragments,
) -> Float[Tensor, "batch height width channel"]:
    """Interpolate attributes of the vertices, such as colours, at every pixel; 0 at pixels that no triangle covers.

    Differentiable in attributes and barycentrics. Attributes without a batch axis are shared by the batch.
    """
    if attributes.ndim == 2:
        attributes = attributes.expand(len(fragments.triangle), -1, -1)
    batch, row, column = fragments.mask.nonzero(as_tuple=True)  # (P,) each
    corners = triangles[fragments.triangle[batch, row, column]]  # (P, 3)
    values = attributes[batch[:, None], corners]  # (P, 3, C)
    values = (values * fragments.barycentric[batch, row, column][..., None]).sum(dim=1)
    image = values.new_zeros(*fragments.mask.shape, values.shape[-1])
    return image.index_put((batch, row, column), values)


def _fragments(in_camera: Tensor, triangles: Tensor, triangle: Tensor, camera: Camera) -> Fragments:
    """Compute barycentrics and depth of covered pixels from the corners a, b, c in the camera's frame.

    A ray d meets the plane of the triangle where the barycentrics are proportional to d.(b x c), d.(c x a), d.(a x b).
    """
    mask = triangle >= 0
    batch, row, column = mask.nonzero(as_tuple=True)  # (P,) each
    corners = in_camera[batch[:, None], triangles[triangle[batch, row, column]]]  # (P, 3 corners, 3)
    a, b, c = corners.unbind(1)
    ray = torch.stack(
        [
            (column - camera.principal_px) / camera.focal_px,
            (camera.principal_px - row) / camera.focal_px,
            -torch.ones_like(row, dtype=in_camera.dtype),
        ],
        dim=-1,
    ).to(in_camera.dtype)  # (P, 3)
    volumes = torch.stack(
        [(ray * torch.linalg.cross(p, q)).sum(-1) for p, q in ((b, c), (c, a), (a, b))], dim=-1
    )
    weights = volumes / volumes.sum(-1, keepdim=True)
    distance = -(weights * corners[..., 2]).sum(-1)
    return Fragments(
        triangle=triangle,
        barycentric=weights.new_zeros(*mask.shape, 3).index_put((batch, row, column), weights),
        depth=distance.new_zeros(mask.shape).index_put((batch, row, column), distance),
        mask=mask,
    )


# -------------------------------------------------------------------------------------------------------- CPU (numba)
def _visible_numba(in_camera: Tensor, triangles: Tensor, camera: Camera) -> Tensor:
    points = in_camera.cpu().numpy().astype(np.float64)
    x_px, y_px, inverse_depth = camera.pixels(points)  # (B, V) each
    shape = (len(points), camera.size, camera.size)
    triangle_map, nearest = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
    corners = triangles.cpu().numpy()
    on_all_cores(
        range(len(points)),
        lambda k: draw_triangles(x_px[k], y_px[k], inverse_depth[k], corners, triangle_map[k], nearest[k]),
    )
    return torch.from_numpy(triangle_map).to(in_camera.device, torch.int64)


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def draw_triangles(x_px, y_px, inverse_depth, triangles, triangle_map, nearest):
    """Draw triangles into the z-buffer of one image.

    Args:
        x_px, y_px: (V,) pixel coordinates, integers at pixel centres; inverse_depth: (V,), positive before the camera.
        triangles: (F, 3) vertex indices, either orientation.
        triangle_map: (H, W) integers, -1 at the start; receives the index of the nearest triangle.
        nearest: (H, W) floats, 0 at the start; receives the largest inverse depth.
    """
    height, width = triangle_map.shape
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        za, zb, zc = inverse_depth[a], inverse_depth[b], inverse_depth[c]
        if not (za > 0 and zb > 0 and zc > 0):  # also drops NaN
            continue
        farthest = max(
            max(abs(x_px[a]), abs(x_px[b]), abs(x_px[c])), max(abs(y_px[a]), abs(y_px[b]), abs(y_px[c]))
        )
        if not farthest < LARGEST_COORDINATE_PX:
            continue
        xa, ya = np.int64(np.rint(x_px[a] * SUBPIXEL)), np.int64(np.rint(y_px[a] * SUBPIXEL))
        xb, yb = np.int64(np.rint(x_px[b] * SUBPIXEL)), np.int64(np.rint(y_px[b] * SUBPIXEL))
        xc, yc = np.int64(np.rint(x_px[c] * SUBPIXEL)), np.int64(np.rint(y_px[c] * SUBPIXEL))
        left = max(0, -(-min(xa, xb, xc) // SUBPIXEL))
        right = min(width - 1, max(xa, xb, xc) // SUBPIXEL)
        top = max(0, -(-min(ya, yb, yc) // SUBPIXEL))
        bottom = min(height - 1, max(ya, yb, yc) // SUBPIXEL)
        if left > right or top > bottom:
            continue
        area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
        if area == 0:
            continue
        if area < 0:  # a back face: swap two corners
            xb, yb, zb, xc, yc, zc = xc, yc, zc, xb, yb, zb
            area = -area
        # The edge opposite each corner: step along x, step along y, and -1 where a pixel on the edge is not ours.
        ax, ay, own_a = -(yc - yb), xc - xb, 0 if (yc < yb or (yc == yb and xc > xb)) else -1
        bx, by, own_b = -(ya - yc), xa - xc, 0 if (ya < yc or (ya == yc and xa > xc)) else -1
        cx, cy, own_c = -(yb - ya), xb - xa, 0 if (yb < ya or (yb == ya and xb > xa)) else -1
        inverse_area = 1.0 / area
        for row in range(top, bottom + 1):
            x, y = left * SUBPIXEL, row * SUBPIXEL
            wa = (x - xb) * ax + (y - yb) * ay
            wb = (x - xc) * bx + (y - yc) * by
            wc = (x - xa) * cx + (y - ya) * cy
            for column in range(left, right + 1):
                if wa + own_a >= 0 and wb + own_b >= 0 and wc + own_c >= 0:
                    here = np.float32((wa * za + wb * zb + wc * zc) * inverse_area)
                    if here > nearest[row, column]:
                        nearest[row, column] = here
                        triangle_map[row, column] = t
                wa += ax * SUBPIXEL
                wb += bx * SUBPIXEL
                wc += cx * SUBPIXEL


@kernel(inline="always")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def corner_shares(x_px, y_px, inverse_depth, a, b, c, column, row):
    """Compute the three perspective-correct weights of a triangle's corners at a pixel, and the triangle's depth there.

    x_px, y_px and inverse_depth are (V,) projected vertices; a, b, c are vertex indices of the corners. Depth is
    measured along the viewing axis. As corners are rounded, a pixel slightly outside the triangle may be drawn; its
    weights are clamped to the triangle. Weights and depth of a triangle without area are 0.
    """
    wa = (x_px[b] - column) * (y_px[c] - row) - (y_px[b] - row) * (x_px[c] - column)
    wb = (x_px[c] - column) * (y_px[a] - row) - (y_px[c] - row) * (x_px[a] - column)
    wc = (x_px[a] - column) * (y_px[b] - row) - (y_px[a] - row) * (x_px[b] - column)
    turn = np.float32(-1) if wa + wb + wc < 0 else np.float32(1)
    wa, wb, wc = max(turn * wa, np.float32(0)), max(turn * wb, np.float32(0)), max(turn * wc, np.float32(0))
    total = wa + wb + wc
    wa, wb, wc = wa * inverse_depth[a], wb * inverse_depth[b], wc * inverse_depth[c]
    share = 1 / max(wa + wb + wc, np.float32(1e-30))
    return wa * share, wb * share, wc * share, total * share


# ------------------------------------------------------------------------------------------------- any device (torch)
def _visible_torch(in_camera: Tensor, triangles: Tensor, camera: Camera) -> Tensor:
    batch, vertices = in_camera.shape[:2]
    points = in_camera.double().flatten(0, 1)
    x_px, y_px, inverse_depth = camera.pixels(points)
    item = torch.arange(batch, device=points.device)
    batch_triangles = (triangles.long() + vertices * item[:, None, None]).flatten(0, 1)
    image = item.repeat_interleave(len(triangles))
    found = nearest_triangles(x_px, y_px, inverse_depth, batch_triangles, image, batch, camera.size)
    return torch.where(found < 0, found, found % len(triangles))


# -------------------------------------------------------------------------------------------------- CUDA (nvdiffrast)
def load_nvdiffrast(device: torch.device) -> Any:
    """Import the package nvdiffrast, and check that it can work on tensors on ``device``.

    Raises:
        InputError: the package is not installed, or the device is not CUDA.
    """
    try:
        import nvdiffrast.torch as nvdiffrast
    except ImportError:
        raise InputError(
            "rasterizer backend 'nvdiffrast' needs the package: pip install 'anifacegan[cuda]' (diffrp-nvdiffrast); "
            "backends 'torch' and 'numba' work without"
        ) from None
    if device.type != "cuda":
        raise InputError(
            f"rasterizer backend 'nvdiffrast' needs CUDA tensors, got {device}; use 'numba' or 'torch'"
        )
    return nvdiffrast


def _visible_nvdiffrast(in_camera: Tensor, triangles: Tensor, camera: Camera) -> Tensor:
    nvdiffrast = load_nvdiffrast(in_camera.device)
    clip = clip_positions(in_camera.float(), camera)
    out, _ = nvdiffrast.rasterize(
        nvdiffrast_context(in_camera.device),
        clip,
        triangles.to(torch.int32).contiguous(),
        [camera.size, camera.size],
    )
    return out[..., 3].long() - 1


@functools.cache
def nvdiffrast_context(device: torch.device) -> Any:
    """Return nvdiffrast's context of a device, which owns buffers on the GPU; it is created once for each device.

    Raises:
        InputError: the package is not installed, or does not compile.
    """
    nvdiffrast = load_nvdiffrast(device)
    try:
        return nvdiffrast.RasterizeCudaContext(device=device)
    except Exception as error:  # it compiles itself here, and may raise whatever compilers do
        raise InputError(f"nvdiffrast cannot be used: {last_line(error)}") from None


def clip_positions(
    in_camera: Float[Tensor, "batch vertex 3"], camera: Camera
) -> Float[Tensor, "batch vertex 4"]:
    """Convert points in the camera's frame to the homogeneous clip coordinates (x, y, z, w) that nvdiffrast takes.

    nvdiffrast has the centre of pixel i at (i + 0.5) / size of the way from -1 to 1. nvdiffrast's first row is at
    y = -1, so y is negated, and rows run down as in ``camera``. The near and far planes enclose the mesh.
    """
    x, y, z = in_camera.unbind(-1)
    distance = -z
    scale = 2 * camera.focal_px / camera.size
    centre = 2 * (camera.principal_px + 0.5) / camera.size - 1
    in_front = torch.where(distance > 0, distance, torch.nan)
    near = 0.5 * in_front.nan_to_num(1.0).min()
    far = 2 * in_front.nan_to_num(1.0).max()
    return torch.stack(
        [
            scale * x + centre * distance,
            -scale * y + centre * distance,
            (distance * (far + near) - 2 * far * near) / (far - near),
            distance,
        ],
        dim=-1,
    ).contiguous()
