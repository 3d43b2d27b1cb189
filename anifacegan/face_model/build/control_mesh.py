"""The control mesh: the part of MakeHuman's base mesh that determines the dense head (the finer mesh of the face
model).

Shapes are sampled and analysed on the few vertices of the control mesh; a matrix interpolates them to the dense head.
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
    """The N vertices of MakeHuman's base mesh that determine the dense head's V vertices."""

    vertices: np.ndarray
    """(N,) indices in MakeHuman's base mesh."""
    matrix: sparse.csr_matrix
    """(V, N) weights of the control vertices in each dense vertex: dense vertices are this matrix times control
    vertices."""
    rest: np.ndarray
    """(N, 3) float32 positions of the control vertices in the rest position of all faces; displacements are added to
    these."""
    average: np.ndarray
    """(N, 3) float32 positions of the control vertices of the average adult in the rest position."""
    face: np.ndarray
    """(N,) weight of each control vertex as part of the face, 0 to 1."""
    eyes: np.ndarray
    """(N,) whether each control vertex determines an eyeball."""
    origin: np.ndarray
    """(3,) origin of the face model: the mean of the average face, moved to the plane of symmetry."""

    def dense(self, columns: np.ndarray) -> np.ndarray:
        """Interpolate (N, ...) values of control vertices to (V, ...) of dense vertices."""
        flat = self.matrix @ columns.reshape(len(self.vertices), -1)
        return flat.reshape(-1, *columns.shape[1:])


def rest_displacement(makehuman: MakeHuman) -> np.ndarray:
    """Sum the morph targets (displacements) that every face has on top of the base mesh; (all base vertices, 3)."""
    return sum(np.float32(strength) * makehuman.targets[name] for name, strength in AT_REST.items())


def control_mesh(makehuman: MakeHuman, topology: Topology, average: np.ndarray) -> ControlMesh:
    """Select the control vertices; ``average`` is the average adult's displacement of all base vertices, (N, 3)."""
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
    """Yield the control vertices (S, N, 3) of the heads of BATCH people at a time, aligned with the average adult.

    They are relative to the face model's origin. The last people are fewer.
    """
    targets = {name: target[control.vertices] for name, target in makehuman.targets.items()}
    reference = control.average - control.origin
    for start in range(0, len(people), BATCH):
        heads = control.rest + shapes_of(people[start : start + BATCH], targets)
        yield align(heads, reference, control.face)
