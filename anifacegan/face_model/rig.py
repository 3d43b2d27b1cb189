"""The rig of the open face model: named parts with pivots, each action unit's own displacement, and a texture layout.

There are fewer expression coefficients than action units. So the coefficients tie some units together, such as the gaze
of both eyes. The displacements here are those of the action units, so that each action unit can be moved alone.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from anifacegan.face_model.open_model import read_open_face_file

TEXTURE_SIZE = 2048
"""Height and width, in pixels, of the texture image for which the texture coordinates were laid out."""
TEXTURE_PADDING = 4
"""Least distance between connected pieces of the surface in the texture, in pixels of an image of ``TEXTURE_SIZE``."""


@dataclass(frozen=True)
class FaceRig:
    """Parts, pivots, action units and texture layout; V vertices, F triangles, U action units, T texture vertices.

    Lengths are model units, in the head's frame without a pose.
    """

    part: Int[np.ndarray, " vertex"]
    """Part of each vertex, as an index of ``part_names``."""
    part_names: tuple[str, ...]
    """Names of the parts: skin, left_eye, right_eye, tongue, upper_teeth, lower_teeth."""
    pivot_names: tuple[str, ...]
    """Names of the pivots: left_eye, right_eye, jaw. Tongue and lower teeth turn about the jaw."""
    pivots: Float[np.ndarray, "pivot 3"]
    """Pivots of the mean face: the centre of rotation of each eye, and the middle of the axis (along x) about which the
    jaw opens."""
    pivot_id_basis: Float[np.ndarray, "pivot 3 80"]
    """Displacement of each pivot by each identity coefficient."""
    unit_names: tuple[str, ...]
    """Names of the action units."""
    unit_displacements: Float[np.ndarray, "unit vertex 3"]
    """Displacement of each vertex by each action unit at strength 1, float16."""
    texture_uv: Float[np.ndarray, "texture_vertex 2"]
    """Texture coordinates in [0, 1], u to the right and v down. No two triangles overlap."""
    texture_triangles: Int[np.ndarray, "triangle 3"]
    """Indices in ``texture_uv`` of each triangle's corners, in the order of the mesh's triangles. A mesh vertex on a
    seam of the texture has several texture vertices."""

    def pivots_of(self, z_id: Float[np.ndarray, "80"]) -> Float[np.ndarray, "pivot 3"]:
        """Compute the pivots of the person with identity coefficients ``z_id``, model units."""
        return self.pivots + self.pivot_id_basis @ z_id


def load_face_rig(path: Path | None = None) -> FaceRig:
    """Load the rig from the open face model's file at ``path``; None stands for the file in the cache folder.

    Raises:
        InputError: see :func:`anifacegan.face_model.open_model.load_open_face_model`.
    """
    arrays = read_open_face_file(path, RIG_KEYS)
    return FaceRig(
        part=arrays["part"].astype(np.int64),
        part_names=tuple(str(name) for name in arrays["part_names"]),
        pivot_names=tuple(str(name) for name in arrays["pivot_names"]),
        pivots=arrays["pivots"],
        pivot_id_basis=arrays["pivot_id_basis"],
        unit_names=tuple(str(name) for name in arrays["au_names"]),
        unit_displacements=arrays["unit_displacements"],
        texture_uv=arrays["texture_uv"],
        texture_triangles=arrays["texture_tri"].astype(np.int64),
    )


RIG_KEYS = (
    *("part", "part_names", "pivot_names", "pivots", "pivot_id_basis", "au_names", "unit_displacements"),
    *("tri", "texture_uv", "texture_tri"),
)
"""Keys of the arrays in the open face model's file that :func:`load_face_rig` reads."""
