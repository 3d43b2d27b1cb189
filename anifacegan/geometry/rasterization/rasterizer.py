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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.geometry.cameras import Camera
from anifacegan.geometry.config import Backend
from anifacegan.geometry.rasterization.numba_kernels import draw_triangles
from anifacegan.geometry.rasterization.torch_backend import nearest_triangles
from anifacegan.runtime.cpu import on_all_cores
from anifacegan.runtime.errors import InputError, last_line, say


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
        say(f"meshes are drawn by plain PyTorch, which is slower: {error}")
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
    batch, row, column = _pixels(fragments.mask)  # (P,) each
    corners = triangles[fragments.triangle[batch, row, column].clamp(min=0)]  # (P, 3)
    values = attributes[batch[:, None], corners]  # (P, 3, C)
    values = (values * fragments.barycentric[batch, row, column][..., None]).sum(dim=1)
    image = values.new_zeros(*fragments.mask.shape, values.shape[-1])
    return image.index_put((batch, row, column), values)


def _pixels(mask: Bool[Tensor, "batch height width"]) -> tuple[Tensor, Tensor, Tensor]:
    """Return image, row and column of the pixels to compute: on a CPU the covered ones, elsewhere all, because a GPU
    would have to wait for their number."""
    if mask.device.type == "cpu":
        return mask.nonzero(as_tuple=True)
    _, height, width = mask.shape
    index = torch.arange(mask.numel(), device=mask.device)
    return index // (height * width), index // width % height, index % width


def _fragments(in_camera: Tensor, triangles: Tensor, triangle: Tensor, camera: Camera) -> Fragments:
    """Compute barycentrics and depth of covered pixels from the corners a, b, c in the camera's frame.

    A ray d meets the plane of the triangle where the barycentrics are proportional to d.(b x c), d.(c x a), d.(a x b).
    """
    mask = triangle >= 0
    batch, row, column = _pixels(mask)  # (P,) each
    covered = mask[batch, row, column]
    corners = in_camera[
        batch[:, None], triangles[triangle[batch, row, column].clamp(min=0)]
    ]  # (P, 3 corners, 3)
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
    total = torch.where(covered, volumes.sum(-1), 1.0)[:, None]  # no 0 / 0, in the gradient neither
    weights = torch.where(covered[:, None], volumes / total, 0.0)
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
    corners = np.ascontiguousarray(triangles.cpu().numpy(), np.int32)
    on_all_cores(
        range(len(points)),
        lambda k: draw_triangles(x_px[k], y_px[k], inverse_depth[k], corners, triangle_map[k], nearest[k]),
    )
    return torch.from_numpy(triangle_map).to(in_camera.device, torch.int64)


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


def nvdiffrast_context(device: torch.device) -> Any:
    """Return nvdiffrast's context of a device, which owns buffers on the GPU; it is created once for each device.

    ``cuda`` without an index is the current device.

    Raises:
        InputError: the package is not installed, or does not compile.
    """
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    return _context_of(device)


@functools.cache
def _context_of(device: torch.device) -> Any:
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
