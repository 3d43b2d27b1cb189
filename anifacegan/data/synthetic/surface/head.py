"""The head of a synthetic image: the open face model with regions, hair lines and a collar, prepared for rendering.

A hair line is the edge of the region where hair grows. Everything is in model units and in the head's own frame,
without a pose. Surfaces of people are made by :mod:`.person_surface`, their hair by
:mod:`anifacegan.data.synthetic.strands`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from anifacegan.face_model.face_mesh import FaceMesh, by_coordinate, face_mesh
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import EYE_LABELS, HeadParts, load_head_parts, load_open_face_model
from anifacegan.face_model.parts import LOWER_TEETH, TONGUE, UPPER_TEETH
from anifacegan.runtime.files import sha256

HAIR_OVER_FACE = -0.06
"""Signed distance to the hair line, in model units, below which no hair style covers the face."""
HAIR_BESIDE_FACE = 0.52
"""Distance from the plane of symmetry, in model units, beyond which long hair hangs over cheeks and temples."""


@dataclass(frozen=True)
class HeadGeometry(FaceMesh):
    """The open face model prepared for rendering: its mesh, textures, hair lines and collar, in model units."""

    tex_mean: Float[np.ndarray, " coordinate"]
    """Mean sRGB colours of the vertices in [0, 1], without light; red, green and blue of a vertex follow each other."""
    tex_basis: Float[np.ndarray, "coordinate 80"]
    """Change of the colours in ``tex_mean`` by each texture coefficient."""
    cloth_direction: Float[np.ndarray, "vertex 3"]
    """Unit direction in which clothes are offset from the skin at each vertex."""
    hair_names: tuple[str, ...]
    """Names of the hair lines, in the order of ``hair_distance``."""
    hair_distance: Float[np.ndarray, "line vertex"]
    """Signed distance of each vertex to each hair line, positive in the hair."""
    cloth_distance: Float[np.ndarray, " vertex"]
    """Signed distance of each vertex to the collar, positive in the clothes."""
    parts: HeadParts
    """Further parts of the open face model's file, such as the masks of regions."""

    @property
    def face(self) -> Bool[np.ndarray, " vertex"]:
        """Whether each vertex belongs to an eyeball, or to skin of the face that no hair style covers.

        Ears, neck, scalp, temples and the outer cheeks can be hidden by hair and clothes, which the face model's
        coefficients do not describe. Beards are drawn on the skin and hide little of its shape.
        """
        face = (self.parts.face_mask > 0.5) | np.isin(self.parts.part, EYE_LABELS)
        free = (self.hair_distance.max(axis=0) < HAIR_OVER_FACE) & (
            np.abs(self.mean.reshape(-1, 3)[:, 0]) < HAIR_BESIDE_FACE
        )
        return face & free

    @property
    def inside_mouth(self) -> Bool[np.ndarray, " vertex"]:
        """Whether each vertex belongs to the teeth or the tongue."""
        return np.isin(self.parts.part, (TONGUE, UPPER_TEETH, LOWER_TEETH))

    def texture_sha256(self) -> str:
        """Compute the SHA-256 of the arrays that give texture coefficients their meaning."""
        return sha256((self.tex_mean.tobytes(), self.tex_basis.tobytes()))


def load_head_geometry(path: Path | None = None) -> HeadGeometry:
    """Load the open face model from a file (None: the one in the user's cache folder) and prepare it for rendering."""
    return head_geometry(load_open_face_model(path), load_head_parts(path))


def head_geometry(model: MorphableModel, parts: HeadParts) -> HeadGeometry:
    """Prepare the open face model for rendering; ``parts`` holds the regions and hair lines of its file."""
    return HeadGeometry(
        **vars(face_mesh(model)),
        tex_mean=by_coordinate(model.tex_mean)[:, 0].copy(),
        tex_basis=np.ascontiguousarray(by_coordinate(model.tex_basis)),
        cloth_direction=parts.hair_dir.astype(np.float32),
        hair_names=tuple(str(name) for name in parts.hair_names),
        hair_distance=parts.hair_sd.astype(np.float32),
        cloth_distance=parts.cloth_sd.astype(np.float32),
        parts=parts,
    )
