"""A z-buffer in PyTorch, for GPUs without nvdiffrast; it covers the same pixels as the numba backend.

Every triangle is tested against the pixels of its bounding box. If several triangles cover a pixel, an atomic maximum
of (inverse depth, triangle) selects the nearest triangle.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Float64, Int
from torch import Tensor

SUBPIXEL = 1024
"""Corners are rounded to 1 / SUBPIXEL of a pixel, so that coverage is decided in exact integer arithmetic."""
LARGEST_COORDINATE_PX = 2.0**19
"""Triangles with a larger pixel coordinate than this are not drawn, because integer products of the coordinates would
overflow."""
MOST_TESTS = {"cpu": 2**18, "cuda": 2**22}
"""Largest number of pairs of triangle and pixel that are tested at once, by device type; it limits the memory."""
_LAST = 2**31 - 1


def nearest_triangles(
    x_px: Float[Tensor, "vertex"],
    y_px: Float[Tensor, "vertex"],
    inverse_depth: Float[Tensor, "vertex"],
    triangles: Int[Tensor, "triangle 3"],
    image: Int[Tensor, "triangle"],
    images: int,
    size: int,
) -> Int[Tensor, "images size size"]:
    """Find the index of the nearest triangle at each pixel; -1 where no triangle covers the pixel.

    Of equally near triangles the first one is taken.

    Args:
        x_px, y_px: pixel coordinates of the vertices, integers at pixel centres.
        inverse_depth: inverse depth of the vertices, positive in front of the camera. A triangle is omitted if a corner
            is not in front of the camera.
        triangles: vertex indices, either orientation. A pixel on a shared edge belongs to one of the two triangles.
        image: index of the image that each triangle is drawn into.
        images: number of images.
        size: height and width of each image, pixels.
    """
    drawn = _drawn_triangles(x_px, y_px, inverse_depth, triangles, size)
    best = torch.zeros(images * size * size, dtype=torch.int64, device=triangles.device)
    total = drawn.tests.cumsum(0)
    most = MOST_TESTS[triangles.device.type]
    first = 0
    while first < len(total):
        done = int(total[first - 1]) if first else 0
        last = max(first + 1, int(torch.searchsorted(total, done + most, right=True)))
        triangle, row, column, near = _covered_pixels(drawn, first, last, int(total[last - 1]) - done)
        order = drawn.order[triangle]
        key = near.view(torch.int32).long() * 2**32 + (
            _LAST - order
        )  # the bits of floats above 0 rise with them
        best.scatter_reduce_(0, (image[order] * size + row) * size + column, key, "amax")
        first = last
    found = torch.where(best > 0, _LAST - best % 2**32, -1)
    return found.reshape(images, size, size)


@dataclass(frozen=True)
class _DrawnTriangles:
    """Triangles in front of the camera, with their bounding boxes and edges.

    Corners are rounded to a grid of 1 / SUBPIXEL pixels, the unit of edges and areas.
    """

    order: Int[Tensor, "triangle"]
    """Index of each drawn triangle in the list of all triangles of the mesh."""
    low: Int[Tensor, "triangle 2"]
    """First column and first row of the bounding box."""
    extent: Int[Tensor, "triangle 2"]
    """Number of columns and number of rows of the bounding box."""
    tests: Int[Tensor, "triangle"]
    """Number of pixels in the bounding box; 0 for a triangle without area."""
    gradient: Int[Tensor, "triangle 3 2"]
    """For each edge, ``gradient . pixel + base`` is twice the area of the triangle that the edge and a pixel centre
    span."""
    base: Int[Tensor, "triangle 3"]
    """Constant term of each edge's area; see ``gradient``."""
    least: Int[Tensor, "triangle 3"]
    """Smallest value of ``gradient . pixel + base`` at a covered pixel, for each edge. It is 1 if pixel centres on the
    edge belong to the neighbouring triangle, else 0."""
    weight: Float64[Tensor, "triangle 3"]
    """Inverse depth of each corner divided by twice the area of the triangle."""


def _drawn_triangles(
    x_px: Tensor, y_px: Tensor, inverse_depth: Tensor, triangles: Tensor, size: int
) -> _DrawnTriangles:
    triangles, order = triangles.long(), torch.arange(len(triangles), device=triangles.device)
    points = torch.stack([x_px, y_px], dim=-1)
    usable = (inverse_depth > 0) & (points.abs() < LARGEST_COORDINATE_PX).all(-1)  # not NaN either
    order = order[usable[triangles].all(-1)]
    corners = triangles[order]
    fixed = (points[corners].double() * SUBPIXEL).round().long()  # (F, 3, 2)
    edge = fixed[:, 1:] - fixed[:, :1]
    area = edge[:, 0, 0] * edge[:, 1, 1] - edge[:, 0, 1] * edge[:, 1, 0]
    turned = torch.where((area < 0)[:, None], corners[:, [0, 2, 1]], corners)
    fixed = (points[turned].double() * SUBPIXEL).round().long()
    low = (-((-fixed.amin(1)).div(SUBPIXEL, rounding_mode="floor"))).clamp(min=0)
    high = fixed.amax(1).div(SUBPIXEL, rounding_mode="floor").clamp(max=size - 1)
    extent = (high - low + 1).clamp(min=0)
    start, end = fixed[:, [1, 2, 0]], fixed[:, [2, 0, 1]]
    along = end - start  # (F, 3, 2)
    gradient = torch.stack([-along[..., 1], along[..., 0]], dim=-1)
    inclusive = (along[..., 1] < 0) | ((along[..., 1] == 0) & (along[..., 0] > 0))
    return _DrawnTriangles(
        order=order,
        low=low,
        extent=extent,
        tests=extent.prod(-1) * (area != 0),
        gradient=gradient,
        base=-(gradient * start).sum(-1),
        least=torch.where(inclusive, 0, 1),
        weight=inverse_depth[turned].double() / area.abs().clamp(min=1)[:, None],
    )


def _covered_pixels(
    drawn: _DrawnTriangles, first: int, last: int, count: int
) -> tuple[Int[Tensor, "pixel"], Int[Tensor, "pixel"], Int[Tensor, "pixel"], Float32[Tensor, "pixel"]]:
    """Find the pixels that the triangles ``first`` to ``last - 1`` cover, among the pixels of their bounding boxes.

    ``count`` is the number of pixels in these boxes. Returns the drawn triangle, row, column and inverse depth of each
    covered pixel.
    """
    tests = drawn.tests[first:last]
    total = tests.cumsum(0)
    triangle = torch.repeat_interleave(
        torch.arange(last - first, device=tests.device), tests, output_size=count
    )
    place = torch.arange(len(triangle), device=tests.device) - (total - tests)[triangle]
    triangle = triangle + first
    width = drawn.extent[triangle, 0]
    row = drawn.low[triangle, 1] + place.div(width, rounding_mode="floor")
    column = drawn.low[triangle, 0] + place % width
    pixel = torch.stack([column, row], dim=-1) * SUBPIXEL
    share = (drawn.gradient[triangle] * pixel[:, None]).sum(-1) + drawn.base[triangle]  # (T, 3)
    covered = (share >= drawn.least[triangle]).all(-1)
    triangle, share, row, column = triangle[covered], share[covered], row[covered], column[covered]
    return triangle, row, column, (share * drawn.weight[triangle]).sum(-1).float()


def corner_shares(
    corners: Float[Tensor, "layer rows size 3 3"], column: Int[Tensor, "size"], row: Int[Tensor, "rows 1"]
) -> tuple[Float[Tensor, "layer rows size 3"], Float[Tensor, "layer rows size"]]:
    """Compute the perspective-correct weights of triangle corners at pixels, and the triangles' depths there.

    Several meshes (layers) are drawn over each other, and each pixel shows one triangle of each layer. ``corners`` has
    the three corners of this triangle as (x, y, inverse depth); x and y are pixels. ``column`` and ``row`` are the
    pixels' integer coordinates. Depth is measured along the viewing axis. Weights are clamped to the triangle; they are
    0 for a triangle without area.
    """
    x, y, inverse = corners.unbind(-1)  # (L, H, W, 3 corners)
    x, y = x - column[:, None], y - row[:, :, None]
    area = x.roll(-1, -1) * y.roll(-2, -1) - y.roll(-1, -1) * x.roll(-2, -1)
    area = (area * torch.where(area.sum(-1, keepdim=True) < 0, -1, 1)).clamp(min=0)
    weights = area * inverse
    share = 1 / weights.sum(-1).clamp(min=1e-30)
    return weights * share[..., None], area.sum(-1) * share
