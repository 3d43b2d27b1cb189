"""Triangle mesh from rendered views: fusion of truncated signed distances, then marching cubes.

The model has radiance manifolds and no closed surface, so the expected depth in its rendered images is used as its
surface. Each view gives every point in space a signed distance to this surface along the view's ray through the point;
the distance is clipped to 12 mm, and undefined farther behind the surface. The distances are averaged over the views
that define one (Curless and Levoy 1996), and the mesh is the surface on which the average is zero. No view shows the
back of the head, so the mesh is open there. Positions are in world units, y points up, and the face looks along +z.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from types import ModuleType

import numpy as np
import scipy.sparse as sparse
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from anifacegan.geometry.cameras import orbit_camera, orbit_rotation
from anifacegan.geometry.conventions import FOV_DEG, WORLD_PER_NETWORK_UNIT
from anifacegan.geometry.mesh_values import smooth_values
from anifacegan.geometry.resampling import read_pixels
from anifacegan.rendering.surface import VisibleSurface
from anifacegan.runtime.errors import InputError

EXTRA = "pip install scikit-image trimesh"
TRUNCATION = 0.012
"""Largest absolute value of a signed distance, world units."""
CRUMB = 0.02
"""Number of triangles, in those of the largest piece, below which a piece of the mesh is left out."""
LEAST_WEIGHT = 1e-3
"""Weight of all views together (1 for a view on whose surface it is) from which they give a vertex its colour."""


@dataclass(frozen=True, kw_only=True)
class SurfaceView:
    """A rendered view with the distance of the surface that each pixel shows."""

    yaw: float
    """Yaw of the camera, radians from frontal."""
    pitch: float
    """Pitch of the camera, radians from frontal."""
    surface: VisibleSurface
    """Distance of the visible surface from the camera along each pixel's ray, world units."""
    rgb: Float[Tensor, "3 height width"]
    """Colours of the head in [0, 1], not premultiplied by its opacity."""
    fov_deg: float = FOV_DEG
    """Field of view, degrees."""


@dataclass(frozen=True)
class SurfaceMesh:
    """A triangle mesh with vertex colours."""

    vertices: Float[np.ndarray, "vertex 3"]
    """Positions of the vertices, world units."""
    triangles: Int[np.ndarray, "triangle 3"]
    """Vertex indices of each triangle, counter-clockwise seen from outside."""
    rgb: Float[np.ndarray, "vertex 3"]
    """Colours of the vertices in [0, 1]."""


def optional_module(name: str, package: str) -> ModuleType:
    """Import a module that belongs to the optional dependencies ``figures``.

    Raises:
        InputError: the module's package is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{package}: not installed, needed for meshes: {EXTRA}") from None


def fused_distances(
    views: Sequence[SurfaceView], points: Float[Tensor, "point 3"]
) -> tuple[Float[Tensor, "point"], Bool[Tensor, "point"]]:
    """Average, at points (world units), the signed distances to the surfaces that several views show.

    Distances are along the views' rays, clipped to 12 mm, and positive outside of the head. Returns the averages, and
    whether any view defines a distance at each point.
    """
    total, count = torch.zeros_like(points[:, 0]), torch.zeros_like(points[:, 0])
    for view in views:
        signed, known, _ = _project_into_view(view, points)
        total += torch.where(known, signed, 0.0)
        count += known
    return total / count.clamp(min=1), count > 0


def extract_mesh(views: Sequence[SurfaceView], resolution: int) -> SurfaceMesh:
    """Extract the surface that several views show as a mesh.

    Distances are computed on a grid in the box from -0.12 to 0.12 world units, with ``resolution`` cells along an edge.

    Raises:
        InputError: there is no surface, or scikit-image is not installed.
    """
    measure = optional_module("skimage.measure", "scikit-image")
    axis = torch.linspace(-WORLD_PER_NETWORK_UNIT, WORLD_PER_NETWORK_UNIT, resolution + 1)
    grid = torch.cartesian_prod(axis, axis, axis)  # (N, 3)
    parts = [fused_distances(views, part) for part in grid.split(2**18)]
    shape = (resolution + 1,) * 3
    field = torch.cat([distance for distance, _ in parts]).reshape(shape).numpy()
    known = torch.cat([known for _, known in parts]).reshape(shape).numpy()
    if not (field[known] < 0).any() or not (field[known] > 0).any():
        raise InputError(
            "no surface: the images show nothing that is at least half opaque, so there is no mesh"
        )
    vertices, triangles, _, _ = measure.marching_cubes(np.where(known, field, TRUNCATION), 0.0)
    vertices, triangles = _in_known_cells(vertices, triangles, known)
    if not len(triangles):
        raise InputError("no surface: the views agree on none, so there is no mesh")
    points = (vertices * (2 * WORLD_PER_NETWORK_UNIT / resolution) - WORLD_PER_NETWORK_UNIT).astype(
        np.float32
    )
    points, triangles = without_crumbs(points, triangles.astype(np.int64))
    return SurfaceMesh(points, triangles, vertex_colours(views, points, triangles))


def _in_known_cells(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    known: Bool[np.ndarray, "n n n"],
) -> tuple[Float[np.ndarray, "used_vertex 3"], Int[np.ndarray, "used_triangle 3"]]:
    """Keep the triangles in those grid cells at all eight corners of which a distance is known, and their vertices.

    Vertices are in units of the grid's spacing.
    """
    cells = np.logical_and.reduce(
        [
            known[x : x - 1 or None, y : y - 1 or None, z : z - 1 or None]
            for x, y, z in product((0, 1), repeat=3)
        ]
    )
    middle = vertices[triangles].mean(axis=1)  # a triangle lies within a cell
    i, j, k = np.clip(np.floor(middle).astype(int), 0, len(cells) - 1).T
    used, renumbered = np.unique(triangles[cells[i, j, k]], return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3)


def _project_into_view(
    view: SurfaceView, points: Float[Tensor, "point 3"]
) -> tuple[Float[Tensor, "point"], Bool[Tensor, "point"], Float[Tensor, "point 3"]]:
    """Return a view's clipped signed distance at points, whether it is defined, and the colours of their pixels."""
    angles = torch.tensor([[view.pitch, view.yaw]])
    size = view.surface.mask.shape[-1]
    camera = orbit_camera(yaw=angles[:, 1], pitch=angles[:, 0], size=size, fov_deg=view.fov_deg)
    pixel = camera.project(points[None])[0]  # (N, 2)
    inside = ((pixel >= 0) & (pixel <= size - 1)).all(dim=-1)
    images = torch.cat([view.surface.mask.float()[None], view.surface.distance[None], view.rgb])
    images[1:] *= images[:1]  # where there is no surface, nothing counts
    sampled = read_pixels(images[None], pixel[None, None])[0, :, 0]  # (5, N)
    share = sampled[0]
    covered = share >= 0.5
    distance, rgb = sampled[1] / share.clamp(min=0.5), (sampled[2:] / share.clamp(min=0.5)).T
    origin, _ = orbit_rotation(yaw=angles[:, 1], pitch=angles[:, 0])
    signed = torch.where(covered, distance - (points - origin).norm(dim=-1), TRUNCATION)
    known = inside & (signed >= -TRUNCATION)  # farther behind, nothing is known
    return signed.clamp(max=TRUNCATION), known, rgb


def without_crumbs(
    vertices: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"]
) -> tuple[Float[np.ndarray, "used_vertex 3"], Int[np.ndarray, "used_triangle 3"]]:
    """Leave out the connected pieces of a mesh that are small next to the largest one."""
    pairs = np.concatenate([triangles[:, :2], triangles[:, 1:]])
    count = len(vertices)
    graph = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), (count, count))
    piece = connected_components(graph, directed=False)[1][triangles[:, 0]]
    sizes = np.bincount(piece)
    used, renumbered = np.unique(triangles[sizes[piece] >= CRUMB * sizes.max()], return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3)


def vertex_colours(
    views: Sequence[SurfaceView],
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
) -> Float[np.ndarray, "vertex 3"]:
    """Average the colours that the views show at vertices; a view counts more, the nearer the vertex is to its surface.

    A vertex that is near no view's surface gets its neighbours' colours, smoothly.
    """
    points = torch.from_numpy(vertices)
    total, weight = torch.zeros_like(points), torch.zeros_like(points[:, :1])
    for view in views:
        signed, known, rgb = _project_into_view(view, points)
        near = (1 - (signed / TRUNCATION).square()).clamp(min=0) ** 4 * known
        total += near[:, None] * rgb
        weight += near[:, None]
    rgb = (total / weight.clamp(min=1e-6)).clamp(0, 1).numpy()
    shown = weight[:, 0].numpy() >= LEAST_WEIGHT
    if shown.all() or not shown.any():
        return rgb
    smooth = smooth_values(rgb, np.where(shown, 100.0, 0.0), rgb[shown].mean(axis=0) + 0 * rgb, triangles)
    return np.where(shown[:, None], rgb, smooth.clip(0, 1)).astype(np.float32)
