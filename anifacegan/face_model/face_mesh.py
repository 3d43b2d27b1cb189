"""The mesh of a face model as numpy arrays: linear shape bases, triangles, landmarks and eyelids.

The imitation losses (losses that make generated faces follow the face model) use this mesh. :class:`FaceMesh` has the
shape of a face only, without hair and clothes; its subclass
:class:`anifacegan.data.synthetic.surface.head.HeadGeometry` adds what images of the open face model's head need.
Lengths are in model units, and faces are not posed.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.face_model.lids import Eye, place_lids
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.geometry.conventions import ID_DIM
from anifacegan.runtime.compiled import kernel
from anifacegan.runtime.files import sha256


@dataclass(frozen=True)
class FaceMesh:
    """A linear face model as float32 arrays; each vertex has three rows, its coordinates x, y and z."""

    name: str
    """Name of the face model."""
    world_offset: Float[np.ndarray, "3"]
    """Position of the face model's origin, world units."""
    mean: Float[np.ndarray, " coordinate"]
    """Vertex coordinates of the mean face, model units."""
    basis: Float[np.ndarray, "coordinate 144"]
    """Change of each vertex coordinate by each coefficient: 80 columns for identity, then 64 for expression, model
    units."""
    triangles: Int[np.ndarray, "triangle 3"]
    """Vertex indices of the corners of each triangle."""
    landmark_vertices: Int[np.ndarray, "68"]
    """Vertex indices of the 68 landmarks in iBUG order."""
    eyes: tuple[Eye, ...]
    """Eyeballs that are separate from the skin, and their lids; none for BFM, whose eyes are part of the skin."""

    @property
    def face(self) -> Bool[np.ndarray, " vertex"]:
        """Whether each vertex belongs to the face; generated faces are compared with the mesh only there.

        In this class all vertices do. Subclasses leave out vertices that hair and clothes may hide.
        """
        return np.ones(len(self.mean) // 3, bool)

    @property
    def inside_mouth(self) -> Bool[np.ndarray, " vertex"]:
        """Whether each vertex belongs to the teeth or the tongue; in this class none does, as in BFM."""
        return np.zeros(len(self.mean) // 3, bool)

    def coefficients_sha256(self) -> str:
        """Compute the SHA-256 of the arrays that give identity and expression coefficients their meaning.

        Data sets and training runs recognise their face model by this checksum. Two face models that differ only in
        other arrays have the same checksum.
        """
        bases = self.basis[:, :ID_DIM], self.basis[:, ID_DIM:]
        return sha256(array.tobytes() for array in (self.mean, *bases))


def face_mesh(model: MorphableModel) -> FaceMesh:
    """Convert the mesh and the shape bases of a morphable model to numpy arrays."""
    return FaceMesh(
        name=model.name,
        world_offset=model.world_offset.cpu().numpy().astype(np.float32),
        mean=by_coordinate(model.mean)[:, 0].copy(),
        basis=np.ascontiguousarray(
            np.concatenate([by_coordinate(model.id_basis), by_coordinate(model.exp_basis)], axis=1)
        ),
        triangles=model.triangles.cpu().numpy().astype(np.int32),
        landmark_vertices=model.landmark_vertices.cpu().numpy().astype(np.int64),
        eyes=model.eyes,
    )


def by_coordinate(values: Float[Tensor, "vertex 3 *column"]) -> Float[np.ndarray, "coordinate columns"]:
    """Reshape values with one row of three coordinates for each vertex to one float32 row for each coordinate.

    Without columns, the result has one column.
    """
    return values.detach().cpu().numpy().astype(np.float32).reshape(3 * len(values), -1)


def bare_head(
    mesh: FaceMesh, z_id: Float[np.ndarray, "80"], z_exp: Float[np.ndarray, "64"]
) -> Float[np.ndarray, "vertex 3"]:
    """Compute the vertices of one face without hair and clothes, not posed, model units.

    After the linear model the eyelids are corrected, see :func:`anifacegan.face_model.lids.place_lids`. The result of
    the linear model does not depend on BLAS or the number of threads. The last bit of the eyelids' vertices does.
    """
    latents = np.concatenate([z_id, z_exp]).astype(np.float32)
    return _with_lids(mesh, affine(mesh.mean, mesh.basis, latents), z_exp)


def bare_and_neutral_head(
    mesh: FaceMesh, z_id: Float[np.ndarray, "80"], z_exp: Float[np.ndarray, "64"]
) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "vertex 3"]]:
    """Compute the vertices of one face without hair and clothes, with its expression and with the neutral expression.

    This is faster than two calls of :func:`bare_head`. If ``z_exp`` is zero, both results are the same array.
    """
    linear = affine(mesh.mean, mesh.basis, z_id.astype(np.float32))
    neutral = _with_lids(mesh, linear, np.zeros_like(z_exp))
    if not np.any(z_exp):
        return neutral, neutral
    return _with_lids(mesh, affine(linear, mesh.basis, z_exp.astype(np.float32), len(z_id)), z_exp), neutral


def _with_lids(
    mesh: FaceMesh, linear: Float[np.ndarray, " coordinate"], z_exp: Float[np.ndarray, "64"]
) -> Float[np.ndarray, "vertex 3"]:
    """Place the eyelids of a face of the linear model."""
    vertices, expression = torch.from_numpy(linear.reshape(-1, 3)), torch.from_numpy(z_exp.astype(np.float32))
    return place_lids(vertices[None], expression[None], mesh.eyes)[0].numpy()


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def affine(mean, basis, latents, first=0):
    """Compute ``mean + basis[:, first : first + len(latents)] @ latents``, independent of BLAS and of its threads.

    ``mean`` is (N,), ``basis`` (N, K), ``latents`` a vector of coefficients; all are float32.
    """
    out = np.empty_like(mean)
    for row in range(len(mean)):
        total, values = np.float32(0), basis[row, first:]
        for column in range(len(latents)):
            total += values[column] * latents[column]
        out[row] = mean[row] + total
    return out
