"""The dressed head: codes to the surface that is drawn in a synthetic picture.

The open face model gives shape and colours; on top come what a linear model cannot hold: lids that stay outside the
eyeballs, thickness of hair and clothes, and the curtain of long hair. Everything is in model units, unposed. Loops over
vertices are numba kernels, for one head after another on one core.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from anifacegan.morphable import HeadParts, MorphableModel, load_head_parts, load_open_face_model
from anifacegan.people import Appearance

CLOTH_THICKNESS = 0.04
CLOTH_RAMP = 0.03
"""Clothes reach their full thickness at this distance inside the collar."""
HAIR_GLOSS = 0.12
CURTAIN_STYLES = ("long", "fringe")
"""Hair styles with the free-hanging sheet."""
LID_CLEARANCE = 1.012
"""Lids stay outside this multiple of the eyeball's radius."""
OUTSIDE = -1.0
"""Signed distance of what is surely not covered."""
CURTAIN_INSIDE = 0.4
"""Signed distance to the hair line on the curtain: all hair."""


@dataclass(frozen=True)
class HeadGeometry:
    """Arrays of one face model file, laid out for drawing."""

    name: str
    """Name of the face model."""
    world_offset: Float[np.ndarray, "3"]
    mean: Float[np.ndarray, " coordinate"]
    basis: Float[np.ndarray, "coordinate 144"]
    """Identity, then expression."""
    tex_mean: Float[np.ndarray, " coordinate"]
    tex_basis: Float[np.ndarray, "coordinate 80"]
    triangles: Int[np.ndarray, "triangle 3"]
    triangles_with_curtain: Int[np.ndarray, "more_triangles 3"]
    landmark_vertices: Int[np.ndarray, "68"]
    hair_direction: Float[np.ndarray, "vertex 3"]
    hair_names: tuple[str, ...]
    hair_thickness: Float[np.ndarray, "style vertex"]
    hair_distance: Float[np.ndarray, "style vertex"]
    cloth_distance: Float[np.ndarray, " vertex"]
    gloss: Float[np.ndarray, " vertex"]
    parts: HeadParts


@dataclass(frozen=True)
class Surface:
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

    def flat(tensor: Tensor) -> np.ndarray:
        return tensor.detach().cpu().numpy().astype(np.float32).reshape(3 * len(model.mean), -1)

    triangles = model.triangles.cpu().numpy().astype(np.int32)
    curtain = parts.curtain_tri.astype(np.int32) + len(model.mean)
    return HeadGeometry(
        name=model.name,
        world_offset=model.world_offset.cpu().numpy().astype(np.float32),
        mean=flat(model.mean)[:, 0].copy(),
        basis=np.ascontiguousarray(np.concatenate([flat(model.id_basis), flat(model.exp_basis)], axis=1)),
        tex_mean=flat(model.tex_mean)[:, 0].copy(),
        tex_basis=np.ascontiguousarray(flat(model.tex_basis)),
        triangles=triangles,
        triangles_with_curtain=np.concatenate([triangles, curtain]),
        landmark_vertices=model.landmark_vertices.cpu().numpy().astype(np.int64),
        hair_direction=parts.hair_dir.astype(np.float32),
        hair_names=tuple(str(name) for name in parts.hair_names),
        hair_thickness=parts.hair_disp.astype(np.float32),
        hair_distance=parts.hair_sd.astype(np.float32),
        cloth_distance=parts.cloth_sd.astype(np.float32),
        gloss=parts.gloss.astype(np.float32),
        parts=parts,
    )


def clear_lids(vertices: Float[Tensor, "batch vertex 3"], parts: HeadParts) -> Float[Tensor, "batch vertex 3"]:
    """Push the outer surface of half-closed lids out of the eyeballs; everything else stays where it is.

    A linear model moves lids along chords, through the ball. Each eyeball is measured by the sphere that fits its
    vertices best. Differentiable; training uses the same geometry as the pictures.
    """
    result = vertices.clone()
    for label, lids in ((1, parts.lid_l), (2, parts.lid_r)):
        ball = vertices[:, torch.from_numpy(np.flatnonzero(parts.part == label)).to(vertices.device)]
        lid = torch.from_numpy(lids.astype(np.int64)).to(vertices.device)
        middle = ball.mean(dim=1, keepdim=True)
        local = ball - middle                                          # (B, N, 3); |p|^2 = 2 p.c + (r^2 - |c|^2)
        equations = torch.cat([2 * local, torch.ones_like(local[..., :1])], dim=-1)
        square = equations.transpose(1, 2) @ equations                 # (B, 4, 4)
        solution = torch.linalg.solve(square, equations.transpose(1, 2) @ local.square().sum(-1, keepdim=True))
        centre = solution[:, :3, 0]
        radius = (solution[:, 3, 0] + centre.square().sum(-1)).sqrt()
        centre = centre[:, None] + middle                              # (B, 1, 3)
        outward = vertices[:, lid] - centre
        distance = outward.norm(dim=-1, keepdim=True)
        stretch = (LID_CLEARANCE * radius[:, None, None] / distance).clamp(min=1)
        result[:, lid] = centre + outward * stretch
    return result


def bare_head(
    head: HeadGeometry, z_id: Float[np.ndarray, "80"], z_exp: Float[np.ndarray, "64"]
) -> Float[np.ndarray, "vertex 3"]:
    """Vertices of the unposed face in model units, lids cleared."""
    codes = np.concatenate([z_id, z_exp]).astype(np.float32)
    vertices = _affine(head.mean, head.basis, codes).reshape(-1, 3)
    return clear_lids(torch.from_numpy(vertices)[None], head.parts)[0].numpy()


def dressed_head(
    head: HeadGeometry, z_id: Float[np.ndarray, "80"], z_exp: Float[np.ndarray, "64"], looks: Appearance
) -> Surface:
    """The surface of a person with an expression."""
    vertices = bare_head(head, z_id, z_exp)
    landmarks = vertices[head.landmark_vertices]
    albedo = np.clip(_affine(head.tex_mean, head.tex_basis, looks.tex), 0, 1).reshape(-1, 3)
    gloss = np.where(head.cloth_distance < 0, head.gloss, np.float32(0))
    cloth_distance, hair_distance = head.cloth_distance, np.full(len(vertices), OUTSIDE, np.float32)
    triangles, curtain = head.triangles, None
    thickness = np.float32(CLOTH_THICKNESS) * np.clip(cloth_distance / np.float32(CLOTH_RAMP), 0, 1)
    if looks.hair_style is not None:
        style = head.hair_names.index("buzz" if looks.hair_style == "shaved" else looks.hair_style)
        if looks.hair_style in CURTAIN_STYLES:
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
        albedo = np.concatenate([albedo, np.tile(looks.hair_rgb, (more, 1))])
        gloss = np.concatenate([gloss, np.full(more, HAIR_GLOSS, np.float32)])
        hair_distance = np.concatenate([hair_distance, np.full(more, CURTAIN_INSIDE, np.float32)])
        cloth_distance = np.concatenate([cloth_distance, np.full(more, OUTSIDE, np.float32)])
    return Surface(
        vertices, _normals(vertices, triangles), albedo, gloss, hair_distance, cloth_distance, triangles, landmarks
    )


@numba.njit(cache=True, fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _affine(mean, basis, codes):
    """mean + basis @ codes, one row after another: the same bits whatever the number of threads of a BLAS."""
    out = np.empty_like(mean)
    for row in range(len(mean)):
        total = np.float32(0)
        for column in range(len(codes)):
            total += basis[row, column] * codes[column]
        out[row] = mean[row] + total
    return out


@numba.njit(cache=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _normals(vertices, triangles):
    """Unit normals, the triangles around a vertex weighing in by area."""
    out = np.zeros_like(vertices)
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for vertex in (a, b, c):
            out[vertex, 0] += x
            out[vertex, 1] += y
            out[vertex, 2] += z
    for vertex in range(len(out)):
        x, y, z = out[vertex]
        scale = np.float32(1) / (np.sqrt(x * x + y * y + z * z) + np.float32(1e-12))
        for axis in range(3):
            out[vertex, axis] *= scale
    return out
