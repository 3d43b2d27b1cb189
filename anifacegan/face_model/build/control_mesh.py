"""The control mesh: the vertices of MakeHuman's base mesh that determine the face model's mesh, which is finer.

Shapes are sampled and analysed on these few vertices; a matrix interpolates them to the face model's mesh.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

from anifacegan.face_model.build.identity import AT_REST, MakeHumanPerson, align, shapes_of
from anifacegan.face_model.build.makehuman import MakeHuman
from anifacegan.face_model.build.topology import Topology
from anifacegan.face_model.parts import EYE_LEFT, EYE_RIGHT

BATCH = 200
"""Number of people whose shapes are computed and aligned at a time."""


@dataclass(frozen=True)
class ControlMesh:
    """The N control vertices: those of MakeHuman's base mesh that determine the V vertices of the face model's mesh.

    Lengths are MakeHuman's decimetres.
    """

    vertices: np.ndarray
    """(N,) indices of the control vertices in MakeHuman's base mesh."""
    matrix: sparse.csr_matrix
    """(V, N) weights of the control vertices in each vertex of the face model's mesh."""
    rest: np.ndarray
    """(N, 3) float32 positions of the control vertices before a person's own displacements, which are added to them."""
    average: np.ndarray
    """(N, 3) float32 positions of the control vertices of the average adult with a neutral face."""
    face: np.ndarray
    """(N,) weight of each control vertex as part of the face, 0 to 1."""
    eyes: np.ndarray
    """(N,) whether each control vertex determines an eyeball."""
    origin: np.ndarray
    """(3,) origin of the face model: the mean vertex of the average adult's face, with x = 0."""

    def dense(self, columns: np.ndarray) -> np.ndarray:
        """Interpolate (N, ...) values of control vertices to (V, ...) values on the face model's mesh."""
        flat = self.matrix @ columns.reshape(len(self.vertices), -1)
        return flat.reshape(-1, *columns.shape[1:])


def rest_displacement(makehuman: MakeHuman) -> np.ndarray:
    """Sum the displacements, (base vertices, 3), that every neutral face has on top of MakeHuman's base mesh."""
    return sum(np.float32(strength) * makehuman.targets[name] for name, strength in AT_REST.items())


def control_mesh(makehuman: MakeHuman, topology: Topology, average: np.ndarray) -> ControlMesh:
    """Select the control vertices, those with a weight in ``topology.matrix``.

    ``average`` is (base vertices, 3): the displacement of all vertices of the base mesh in the average adult.
    """
    used = np.unique(topology.matrix.indices)
    base = makehuman.base.vertices[used].astype(np.float32)
    at_rest = rest_displacement(makehuman)[used]
    face = makehuman.masks["face"][used]
    rested_average = base + average[used] + at_rest
    origin = (rested_average * face[:, None]).sum(axis=0) / face.sum()
    origin[0] = 0
    matrix = topology.matrix[:, used].tocsr()
    eyes = np.zeros(len(used), bool)
    eyes[matrix[np.isin(topology.part, (EYE_LEFT, EYE_RIGHT))].indices] = True
    return ControlMesh(used, matrix, base + at_rest, rested_average, face, eyes, origin)


def aligned_heads(
    makehuman: MakeHuman, control: ControlMesh, people: list[MakeHumanPerson]
) -> Iterator[np.ndarray]:
    """Yield the (S, N, 3) control vertices of the heads of S = BATCH people at a time, in the order of ``people``, in
    decimetres.

    Each head is moved and rotated, without scaling, so that the vertices of its face are nearest (least squares) to
    those of the average adult. Positions are relative to the face model's origin. S may be smaller for the last batch.
    """
    targets = {name: target[control.vertices] for name, target in makehuman.targets.items()}
    reference = control.average - control.origin
    for start in range(0, len(people), BATCH):
        heads = control.rest + shapes_of(people[start : start + BATCH], targets)
        yield align(heads, reference, control.face)
