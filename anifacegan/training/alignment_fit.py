"""Fit of the alignment field's lattice to a face model, before training.

A face model's identity basis says how each vertex of the mean head moves with each entry of z_id. The fit spreads
points over the mean head's skin and a little off it, and finds, by weighted least squares,

1. the affine map from a point to its 3 x 80 offsets,
2. the principal directions of what the affine map leaves, weighted as the people of the data vary: the mix,
3. the features of the lattice's nodes along these directions. Second differences between neighbouring nodes are kept
   small; they decide where there is little skin.

Skin that images show counts most. The inside of the mouth lies a millimetre from the lips and moves otherwise, and a
lattice can follow only one of them.
"""

import sys
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.linalg import cg
from scipy.spatial import cKDTree
from torch import Tensor
from tqdm import tqdm

from anifacegan.face_model.face_mesh import FaceMesh
from anifacegan.geometry.conventions import ID_DIM, WORLD_PER_MODEL_UNIT
from anifacegan.geometry.normals import triangle_normals, vertex_normals
from anifacegan.models.alignment import AlignmentField, lattice_corners
from anifacegan.models.alignment_config import AlignmentConfig
from anifacegan.training.batches import regular_root
from anifacegan.training.init_config import AlignmentInitConfig

NEAR_SKIN, NEAR_SHARE = 0.0015, 0.7
"""Standard deviation of the distance from the skin of most points, world units, and the share of these points."""
OFF_SKIN = (-0.006, 0.012)
"""Least and largest distance outside of the skin of the other points, world units."""
FAR, WEIGHT_FAR = 0.004, 0.1
"""Distance from the skin, in world units, from which on a point counts less, and its weight."""
WEIGHT_HIDDEN = 0.01
"""Weight of skin that no image shows; skin that all images show has 1 more."""
FIRST_DIFFERENCES = 0.05
"""Factor on first differences between nodes beside the second differences, so that far nodes have a solution."""


@dataclass(frozen=True)
class SkinPoints:
    """Points on and near the skin of the mean head, and the offsets that the face model gives them."""

    x: Float[Tensor, "point 3"]
    """Points of the mean head, world units."""
    offsets: Float[Tensor, "point 3 80"]
    """Mean head minus person at each point, for each entry of z_id at 1, world units."""
    weight: Float[Tensor, "point"]
    """Weight of each point's error."""


def fit_alignment(
    alignment: AlignmentField,
    mesh: FaceMesh,
    seen: Float[np.ndarray, " vertex"],
    z_id: Float[Tensor, "item 80"],
    config: AlignmentInitConfig,
    rng: torch.Generator,
) -> float:
    """Fit the alignment field to the identity basis of a face model.

    Args:
        alignment: the field whose buffers are set.
        mesh: the face model's mesh.
        seen: share of the images in which each vertex is visible.
        z_id: identities of the data; errors are weighted by their second moments.
        config: number of points and smoothness.
        rng: source of all random numbers.

    Returns:
        The rms error of these people's offsets over the points, weighted, world units.
    """
    root = regular_root(z_id.double().T @ z_id.double() / len(z_id))
    points = skin_points(mesh, seen, alignment.config, config.points, rng)
    targets = (points.offsets.double() @ root).flatten(1)  # (N, 3 * 80)
    weight = points.weight.double()

    places = torch.nn.functional.pad(points.x.double(), (0, 1), value=1.0)
    weighted = places * weight[:, None]
    affine = torch.linalg.solve(weighted.T @ places, weighted.T @ targets)  # (4, 3 * 80)
    targets = targets - places @ affine

    moments = (targets * weight[:, None]).T @ targets
    count = min(alignment.config.features, len(moments))
    directions = torch.linalg.eigh(moments).eigenvectors.flip(1)[:, :count]

    node, used = nearest_nodes(points, alignment.config)
    features, error = _node_features(points, targets @ directions, node, alignment.config, config)
    left = (targets - targets @ directions @ directions.T).square().sum(1)

    alignment.affine.copy_(_per_entry(affine, root))
    alignment.mix.zero_()
    alignment.mix[:count] = _per_entry(directions.T, root).half()  # rounded as model folders store them
    alignment.features.zero_()
    alignment.features[:used, :count] = torch.from_numpy(features).half()
    alignment.node.copy_(node)
    return float((error + (weight * left).sum() / weight.sum()).sqrt())


def _per_entry(rows: Float[Tensor, "row 240"], root: Float[Tensor, "80 80"]) -> Float[Tensor, "row 3 80"]:
    """Turn offsets for the columns of ``root`` into offsets for each entry of z_id."""
    offsets = rows.unflatten(1, (3, ID_DIM))
    return torch.linalg.solve(root, offsets, left=False).float()


def skin_points(
    mesh: FaceMesh,
    seen: Float[np.ndarray, " vertex"],
    lattice: AlignmentConfig,
    count: int,
    rng: torch.Generator,
) -> SkinPoints:
    """Draw points on and near the skin of the mean head inside the lattice's box.

    Half of them are spread evenly over the skin; for the other half all triangles are equally likely, and the finer
    triangles of eyes and lips get more.
    """
    mean = torch.from_numpy(mesh.mean).reshape(-1, 3) * WORLD_PER_MODEL_UNIT + torch.from_numpy(
        mesh.world_offset
    )
    triangles = torch.from_numpy(mesh.triangles).long()
    basis = torch.from_numpy(mesh.basis[:, :ID_DIM]).reshape(-1, 3, ID_DIM)
    normals = vertex_normals(mean[None], triangles)[0]

    inside = ((mean > torch.tensor(lattice.lower)) & (mean < torch.tensor(lattice.upper))).all(1)
    triangles = triangles[inside[triangles].all(1)]
    area = triangle_normals(mean[None], triangles)[0].norm(dim=-1)
    share = 0.5 * area / area.sum() + 0.5 / len(triangles)
    corners = triangles[torch.multinomial(share, count, replacement=True, generator=rng)]  # (N, 3)
    barycentric = -torch.rand(count, 3, generator=rng).clamp(min=1e-12).log()
    barycentric = barycentric / barycentric.sum(1, keepdim=True)

    def interpolated(values: Tensor) -> Tensor:
        return torch.einsum("nk,nk...->n...", barycentric, values[corners])

    near = NEAR_SKIN * torch.randn(count, generator=rng)
    far = OFF_SKIN[0] + (OFF_SKIN[1] - OFF_SKIN[0]) * torch.rand(count, generator=rng)
    distance = torch.where(torch.rand(count, generator=rng) < NEAR_SHARE, near, far)
    outward = torch.nn.functional.normalize(interpolated(normals), dim=-1)
    visible = interpolated(torch.from_numpy(seen.astype(np.float32)))
    return SkinPoints(
        x=interpolated(mean) + distance[:, None] * outward,
        offsets=-WORLD_PER_MODEL_UNIT * interpolated(basis),
        weight=(WEIGHT_HIDDEN + visible) * torch.where(distance.abs() < FAR, 1.0, WEIGHT_FAR),
    )


def nearest_nodes(points: SkinPoints, lattice: AlignmentConfig) -> tuple[Int[Tensor, "X Y Z"], int]:
    """Number the lattice points that carry offsets: those nearest to points of visible skin.

    Returns the table of numbers, with ``lattice.nodes`` where there is no node, and the number of nodes.
    """
    places = _lattice_points(lattice)
    on_skin = points.x[points.weight > WEIGHT_HIDDEN * 2]
    distance, _ = cKDTree((on_skin if len(on_skin) else points.x).numpy()).query(places)
    chosen = np.sort(np.argsort(distance, kind="stable")[: lattice.nodes])
    node = torch.full((len(places),), lattice.nodes, dtype=torch.int32)
    node[torch.from_numpy(chosen)] = torch.arange(len(chosen), dtype=torch.int32)
    return node.reshape(lattice.lattice), len(chosen)


def _lattice_points(lattice: AlignmentConfig) -> Float[np.ndarray, "place 3"]:
    steps = np.stack(np.meshgrid(*(np.arange(n) for n in lattice.lattice), indexing="ij"), axis=-1)
    return np.asarray(lattice.lower) + lattice.spacing * steps.reshape(-1, 3)


def _node_features(
    points: SkinPoints,
    targets: Float[Tensor, "point feature"],
    node: Int[Tensor, "X Y Z"],
    lattice: AlignmentConfig,
    config: AlignmentInitConfig,
) -> tuple[Float[np.ndarray, "node feature"], float]:
    """Solve for the nodes' features, one column after another; return them and the weighted mean squared error."""
    used = int((node < lattice.nodes).sum())
    index, share = lattice_corners(points.x, lattice)
    column = node.flatten().long()[index].numpy()
    row = np.repeat(np.arange(len(column)), 8)
    values = np.where(column < used, share.double().numpy(), 0.0)
    interpolation = sparse.csr_matrix(
        (values.ravel(), (row, np.minimum(column, used - 1).ravel())), (len(column), used)
    )
    weight = points.weight.double().numpy()
    weighted = interpolation.T @ sparse.diags(weight)
    smooth = config.smoothness * weight.sum() / used
    normal = (weighted @ interpolation + smooth * _roughness(node, used)).tocsr()
    normal = normal + sparse.diags(np.full(used, 1e-7 * normal.diagonal().mean()))
    preconditioner = sparse.diags(1 / normal.diagonal())
    right = weighted @ targets.numpy()
    solved = np.zeros_like(right)
    for k in tqdm(range(right.shape[1]), desc="alignment_init", disable=not sys.stderr.isatty()):
        solved[:, k], _ = cg(normal, right[:, k], rtol=1e-4, maxiter=config.iterations, M=preconditioner)
    residual = interpolation @ solved - targets.numpy()
    return solved.astype(np.float32), float((weight[:, None] * residual**2).sum() / weight.sum())


def _roughness(node: Int[Tensor, "X Y Z"], used: int) -> sparse.csr_matrix:
    """Return the matrix of the squared second differences of neighbouring nodes, summed over the axes, and a little of
    the squared first differences."""
    total = sparse.csr_matrix((used, used))
    for axis in range(3):
        after, before = (node.narrow(axis, start, node.shape[axis] - 2).flatten() for start in (2, 0))
        middle = node.narrow(axis, 1, node.shape[axis] - 2).flatten()
        triple = torch.stack([before, middle, after], dim=1).numpy()
        triple = triple[(triple < used).all(axis=1)]
        for factor, stencil in ((1.0, (1, -2, 1)), (FIRST_DIFFERENCES, (-1, 0, 1))):
            values = np.tile(np.array(stencil, float) * factor, len(triple))
            rows = np.repeat(np.arange(len(triple)), 3)
            difference = sparse.csr_matrix((values, (rows, triple.ravel())), (len(triple), used))
            total = total + difference.T @ difference
    return total
