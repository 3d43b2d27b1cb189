"""The shape of one person of the open face model: neutral, with an expression, and with one action unit.

An action unit's own displacement is taken from the face model's rig, because the 64 expression coefficients tie some
units together. Points are in target space, world units.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from anifacegan.face_model.coefficients import ExpressionBasis
from anifacegan.face_model.lids import place_lids
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import HeadParts, load_head_parts, load_open_face_model
from anifacegan.face_model.rig import FaceRig, load_face_rig
from anifacegan.geometry.conventions import EXP_DIM


@dataclass(frozen=True)
class PersonShape:
    """The face model's mesh as one person has it; V vertices."""

    model: MorphableModel
    parts: HeadParts
    rig: FaceRig
    z_id: Float[np.ndarray, "80"]
    """The person's identity coefficients."""

    @property
    def triangles(self) -> Int[np.ndarray, "triangle 3"]:
        """Vertex indices of the triangles, counter-clockwise seen from outside."""
        return self.model.triangles.numpy()

    @cached_property
    def basis(self) -> ExpressionBasis:
        """Names of the action units, and their expression coefficients."""
        return self.parts.expression_basis()

    @cached_property
    def neutral(self) -> Float[np.ndarray, "vertex 3"]:
        """The neutral face."""
        return self.vertices(np.zeros(EXP_DIM, np.float32))

    def vertices(self, z_exp: Float[np.ndarray, "64"]) -> Float[np.ndarray, "vertex 3"]:
        """Compute the face with an expression."""
        shape = self.model.shape(*(torch.from_numpy(z.astype(np.float32))[None] for z in (self.z_id, z_exp)))
        return self._in_world(shape)

    def unit_displacement(self, name: str) -> Float[np.ndarray, "vertex 3"]:
        """Compute what an action unit at strength 1 adds to the neutral face; a blink's lids close."""
        number = self.rig.unit_names.index(name)
        step = torch.from_numpy(self.rig.unit_displacements[number].astype(np.float32))
        z_exp = torch.from_numpy(self.basis.from_strengths({name: 1.0}))[None]
        moved = place_lids(self._linear + step[None], z_exp, self.model.eyes)
        return self._in_world(moved) - self.neutral

    def pivot(self, name: str) -> Float[np.ndarray, "3"]:
        """Compute a pivot of the rig."""
        pivots = self.rig.pivots_of(self.z_id.astype(np.float32))
        point = torch.from_numpy(pivots[self.rig.pivot_names.index(name)])
        return self.model.to_world(point).numpy().astype(np.float64)

    @cached_property
    def _linear(self) -> Float[Tensor, "1 vertex 3"]:
        """The neutral face before lids are placed, model units."""
        z_id = torch.from_numpy(self.z_id.astype(np.float32))
        return (self.model.mean + self.model.id_basis @ z_id)[None]

    def _in_world(self, shape: Float[Tensor, "1 vertex 3"]) -> Float[np.ndarray, "vertex 3"]:
        return self.model.to_world(shape)[0].numpy().astype(np.float64)


def person_shape(z_id: Float[np.ndarray, "80"], face_model: Path | None = None) -> PersonShape:
    """Load the open face model for one person; ``face_model`` is its file, None stands for that in the cache.

    Raises:
        InputError: the file is missing or damaged.
    """
    return PersonShape(
        load_open_face_model(face_model), load_head_parts(face_model), load_face_rig(face_model), z_id
    )
