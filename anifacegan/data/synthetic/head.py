"""The head of a synthetic image: coefficients become a surface with hair and clothes.

The open face model gives shape and colours. This module adds the thickness of hair and clothes, and the curtain, long
hair that hangs freely beside and behind the head. Everything is in model units and in the head's own frame, without a
pose.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from anifacegan.data.synthetic.appearance import Appearance
from anifacegan.face_model.face_mesh import FaceMesh, affine, bare_head, by_coordinate, face_mesh
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import EYE_LABELS, HeadParts, load_head_parts, load_open_face_model
from anifacegan.geometry.normals import vertex_normals_numba

CLOTH_THICKNESS = 0.04
"""Thickness of clothes, in model units."""
CLOTH_RAMP = 0.03
"""Distance from the collar at which clothes reach their full thickness, in model units."""
HAIR_GLOSS = 0.12
"""Gloss (strength of highlights) of hair; the gloss of an eye is 1."""
CURTAIN_STYLES = ("long", "fringe")
"""Hair styles with a curtain, hair that hangs freely beside and behind the head."""
THIN_HAIR = 0.02
"""Hair no thicker than this, in model units, counts as skin in :attr:`HeadGeometry.face`."""
OUTSIDE = -1.0
"""Signed distance to hair line or collar, model units, that is used for vertices without hair or clothes."""
CURTAIN_INSIDE = 0.4
"""Signed distance to the hair line, model units, that is used for the curtain: well inside the hair."""


@dataclass(frozen=True)
class HeadGeometry(FaceMesh):
    """The open face model prepared for rendering: its mesh, textures, hair and clothes, in model units."""

    tex_mean: Float[np.ndarray, " coordinate"]
    """Mean colours of the vertices, flattened."""
    tex_basis: Float[np.ndarray, "coordinate 80"]
    """Change of the colours for each texture coefficient."""
    triangles_with_curtain: Int[np.ndarray, "more_triangles 3"]
    """Vertex indices of the triangles of head and curtain."""
    hair_direction: Float[np.ndarray, "vertex 3"]
    """Direction in which hair and clothes thicken the head at each vertex."""
    hair_names: tuple[str, ...]
    """Names of the hair styles."""
    hair_thickness: Float[np.ndarray, "style vertex"]
    """Thickness of the hair of each style at each vertex."""
    hair_distance: Float[np.ndarray, "style vertex"]
    """Signed distance of each vertex to the hair line of each style, positive in the hair."""
    cloth_distance: Float[np.ndarray, " vertex"]
    """Signed distance of each vertex to the collar, positive in the clothes."""
    gloss: Float[np.ndarray, " vertex"]
    """Strength of highlights at each vertex; 1 for an eye."""
    parts: HeadParts
    """Further parts of the open face model's file, such as the curtain."""

    @property
    def face(self) -> Bool[np.ndarray, " vertex"]:
        """Whether each vertex belongs to an eyeball, or to skin of the face that no hair style covers.

        Ears, neck and scalp can be hidden by hair and clothes, which the face model's coefficients do not describe.
        """
        face = (self.parts.face_mask > 0.5) | np.isin(self.parts.part, EYE_LABELS)
        return face & (self.hair_thickness.max(axis=0) <= THIN_HAIR)


@dataclass(frozen=True)
class HeadSurface:
    """The surface of one head with hair and clothes: a mesh whose vertices have attributes, in model units."""

    vertices: Float[np.ndarray, "vertex 3"]
    """Positions of the vertices."""
    normals: Float[np.ndarray, "vertex 3"]
    """Normals of the vertices."""
    albedo: Float[np.ndarray, "vertex 3"]
    """Colours of the vertices without light, in [0, 1]."""
    gloss: Float[np.ndarray, " vertex"]
    """Strength of highlights at each vertex; 1 for an eye."""
    hair_distance: Float[np.ndarray, " vertex"]
    """Signed distance of each vertex to the hair line, positive in the hair."""
    cloth_distance: Float[np.ndarray, " vertex"]
    """Signed distance of each vertex to the collar, positive in the clothes."""
    triangles: Int[np.ndarray, "triangle 3"]
    """Vertex indices of the triangles."""
    landmarks: Float[np.ndarray, "68 3"]
    """Positions of the 68 facial landmarks, on the skin."""


def load_head_geometry(path: Path | None = None) -> HeadGeometry:
    """Load the open face model from a file (None: the one in the user's cache) and prepare it for rendering."""
    return head_geometry(load_open_face_model(path), load_head_parts(path))


def head_geometry(model: MorphableModel, parts: HeadParts) -> HeadGeometry:
    """Prepare a face model for rendering."""
    mesh = face_mesh(model)
    curtain = parts.curtain_tri.astype(np.int32) + len(model.mean)
    return HeadGeometry(
        **vars(mesh),
        tex_mean=by_coordinate(model.tex_mean)[:, 0].copy(),
        tex_basis=np.ascontiguousarray(by_coordinate(model.tex_basis)),
        triangles_with_curtain=np.concatenate([mesh.triangles, curtain]),
        hair_direction=parts.hair_dir.astype(np.float32),
        hair_names=tuple(str(name) for name in parts.hair_names),
        hair_thickness=parts.hair_disp.astype(np.float32),
        hair_distance=parts.hair_sd.astype(np.float32),
        cloth_distance=parts.cloth_sd.astype(np.float32),
        gloss=parts.gloss.astype(np.float32),
        parts=parts,
    )


def dressed_head(
    head: HeadGeometry, z_id: Float[np.ndarray, "80"], z_exp: Float[np.ndarray, "64"], appearance: Appearance
) -> HeadSurface:
    """Compute the surface of a person with an expression, hair and clothes.

    Args:
        head: the prepared face model.
        z_id, z_exp: identity and expression coefficients.
        appearance: colours and hair style.
    """
    vertices = bare_head(head, z_id, z_exp)
    landmarks = vertices[head.landmark_vertices]
    albedo = np.clip(affine(head.tex_mean, head.tex_basis, appearance.tex), 0, 1).reshape(-1, 3)
    gloss = np.where(head.cloth_distance < 0, head.gloss, np.float32(0))
    cloth_distance, hair_distance = head.cloth_distance, np.full(len(vertices), OUTSIDE, np.float32)
    triangles, curtain = head.triangles, None
    thickness = np.float32(CLOTH_THICKNESS) * np.clip(cloth_distance / np.float32(CLOTH_RAMP), 0, 1)
    if appearance.hair_style is not None:
        style = head.hair_names.index("buzz" if appearance.hair_style == "shaved" else appearance.hair_style)
        if appearance.hair_style in CURTAIN_STYLES:
            curtain = (vertices + thickness[:, None] * head.hair_direction)[head.parts.curtain_anchor]
            curtain = (curtain + head.parts.curtain_off).astype(np.float32)
        thickness = thickness + head.hair_thickness[style]
        hair_distance = head.hair_distance[style]
        in_hair = np.clip(hair_distance / np.float32(0.1), 0, 1)
        gloss = gloss + (np.float32(HAIR_GLOSS) - gloss) * in_hair
    vertices = vertices + thickness[:, None] * head.hair_direction
    if curtain is not None:
        added = len(curtain)
        triangles = head.triangles_with_curtain
        vertices = np.concatenate([vertices, curtain])
        albedo = np.concatenate([albedo, np.tile(appearance.hair_rgb, (added, 1))])
        gloss = np.concatenate([gloss, np.full(added, HAIR_GLOSS, np.float32)])
        hair_distance = np.concatenate([hair_distance, np.full(added, CURTAIN_INSIDE, np.float32)])
        cloth_distance = np.concatenate([cloth_distance, np.full(added, OUTSIDE, np.float32)])
    normals = vertex_normals_numba(vertices, triangles)
    return HeadSurface(vertices, normals, albedo, gloss, hair_distance, cloth_distance, triangles, landmarks)
