"""The dressed head: codes to the surface that is drawn in a synthetic image.

The open face model gives shape and colours; on top come what a linear model cannot hold: lids that stay outside the
eyeballs, thickness of hair and clothes, and the curtain of long hair. Everything is in model units, unposed. Loops over
vertices are numba kernels, for one head after another on one core.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from anifacegan.data.synthetic.appearance import Appearance
from anifacegan.face_model.face_mesh import Eye, FaceMesh, affine, bare_head, by_coordinate, face_mesh
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import HeadParts, load_head_parts, load_open_face_model
from anifacegan.geometry.normals import vertex_normals_numba

CLOTH_THICKNESS = 0.04
CLOTH_RAMP = 0.03
"""Clothes reach their full thickness at this distance inside the collar."""
HAIR_GLOSS = 0.12
CURTAIN_STYLES = ("long", "fringe")
"""Hair styles with the free-hanging sheet."""
EYE_LABELS = (1, 2)
"""Of the parts that are eyeballs: at +x, at -x."""
THIN_HAIR = 0.02
"""Hair up to this thick leaves the skin where it is."""
OUTSIDE = -1.0
"""Signed distance of what is surely not covered."""
CURTAIN_INSIDE = 0.4
"""Signed distance to the hair line on the curtain: all hair."""


@dataclass(frozen=True)
class HeadGeometry(FaceMesh):
    """The open face model, laid out for drawing: its mesh, and what dresses it."""

    tex_mean: Float[np.ndarray, " coordinate"]
    tex_basis: Float[np.ndarray, "coordinate 80"]
    triangles_with_curtain: Int[np.ndarray, "more_triangles 3"]
    hair_direction: Float[np.ndarray, "vertex 3"]
    hair_names: tuple[str, ...]
    hair_thickness: Float[np.ndarray, "style vertex"]
    hair_distance: Float[np.ndarray, "style vertex"]
    cloth_distance: Float[np.ndarray, " vertex"]
    gloss: Float[np.ndarray, " vertex"]
    parts: HeadParts

    @property
    def eyes(self) -> tuple[Eye, ...]:
        """Both eyeballs."""
        return eyes_of(self.parts)

    @property
    def face(self) -> Bool[np.ndarray, " vertex"]:
        """Eyeballs, and skin of the face that no hair style covers. Ears, neck and scalp lie under hair and clothes, of
        which the face model's codes say nothing.
        """
        face = (self.parts.face_mask > 0.5) | np.isin(self.parts.part, EYE_LABELS)
        return face & (self.hair_thickness.max(axis=0) <= THIN_HAIR)


def eyes_of(parts: HeadParts) -> tuple[Eye, ...]:
    """Eyeballs and their lids."""
    lids = (parts.lid_l, parts.lid_r)
    return tuple(Eye(np.flatnonzero(parts.part == k), lid) for k, lid in zip(EYE_LABELS, lids, strict=True))


@dataclass(frozen=True)
class HeadSurface:
    """What is drawn: N vertices of the head, clothes and hair included, in model units."""

    vertices: Float[np.ndarray, "vertex 3"]
    normals: Float[np.ndarray, "vertex 3"]
    albedo: Float[np.ndarray, "vertex 3"]
    gloss: Float[np.ndarray, " vertex"]
    hair_distance: Float[np.ndarray, " vertex"]
    """Signed distance to the hair line, positive inside."""
    cloth_distance: Float[np.ndarray, " vertex"]
    triangles: Int[np.ndarray, "triangle 3"]
    landmarks: Float[np.ndarray, "68 3"]
    """Landmarks of the bare face."""


def load_head_geometry(path: Path | None = None) -> HeadGeometry:
    """Read the open face model's file (None: the cached one)."""
    return head_geometry(load_open_face_model(path), load_head_parts(path))


def head_geometry(model: MorphableModel, parts: HeadParts) -> HeadGeometry:
    """Arrange a face model for drawing."""
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
    """The surface of a person with an expression."""
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
        more = len(curtain)
        triangles = head.triangles_with_curtain
        vertices = np.concatenate([vertices, curtain])
        albedo = np.concatenate([albedo, np.tile(appearance.hair_rgb, (more, 1))])
        gloss = np.concatenate([gloss, np.full(more, HAIR_GLOSS, np.float32)])
        hair_distance = np.concatenate([hair_distance, np.full(more, CURTAIN_INSIDE, np.float32)])
        cloth_distance = np.concatenate([cloth_distance, np.full(more, OUTSIDE, np.float32)])
    normals = vertex_normals_numba(vertices, triangles)
    return HeadSurface(vertices, normals, albedo, gloss, hair_distance, cloth_distance, triangles, landmarks)
