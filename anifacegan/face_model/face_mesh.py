"""The mesh of a face model as numpy arrays: linear shape bases, triangles, landmarks and eyelids.

The imitation losses (losses that make generated faces follow the face model) use this mesh. :class:`FaceMesh` is a bare
face such as BFM's; the open face model's head with eyeballs, hair and clothes is its subclass
:class:`anifacegan.data.synthetic.surface.head.HeadGeometry`. Lengths are in model units, and faces are not posed.
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
        """Mask of the vertices of the face, without hair, neck and clothes; all vertices of a bare face are in the
        mask."""
        return np.ones(len(self.mean) // 3, bool)

    def coefficients_sha256(self) -> str:
        """Compute the checksum of the arrays that identity and expression coefficients depend on.

        Data and runs recognise their face model by it, so face models that differ in other arrays count as equal.
        """
        bases = self.basis[:, :ID_DIM], self.basis[:, ID_DIM:]
        return sha256(array.tobytes() for array in (self.mean, *bases))


def face_mesh(model: MorphableModel) -> FaceMesh:
    """Convert a morphable model of a bare face to arrays."""
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
    """Flatten values of V vertices to 3V rows, one row for each coordinate of a vertex."""
    return values.detach().cpu().numpy().astype(np.float32).reshape(3 * len(values), -1)


def bare_head(
    mesh: FaceMesh, z_id: Float[np.ndarray, "80"], z_exp: Float[np.ndarray, "64"]
) -> Float[np.ndarray, "vertex 3"]:
    """Compute the vertices of one face without hair and clothes, model units; eyelids are placed.

    The linear part does not depend on BLAS or the number of threads; the lids do, in the last bit.
    """
    latents = np.concatenate([z_id, z_exp]).astype(np.float32)
    return _with_lids(mesh, affine(mesh.mean, mesh.basis, latents), z_exp)


def bare_and_neutral_head(
    mesh: FaceMesh, z_id: Float[np.ndarray, "80"], z_exp: Float[np.ndarray, "64"]
) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "vertex 3"]]:
    """Compute the vertices of one face as :func:`bare_head` does, and those of its neutral face, of which most is done
    once; twice the same array for a neutral expression."""
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
    """Compute mean + basis @ latents row by row, independent of BLAS and its number of threads; the columns of the
    basis are those from ``first`` on."""
    out = np.empty_like(mean)
    for row in range(len(mean)):
        total, values = np.float32(0), basis[row, first:]
        for column in range(len(latents)):
            total += values[column] * latents[column]
        out[row] = mean[row] + total
    return out
