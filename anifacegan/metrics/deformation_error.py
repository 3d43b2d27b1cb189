"""Does the deformation field say what the mesh does?

    error = mean over vertices of |D(x; z_id, z_exp) - delta|

x are the vertices of the expressive face, delta the steps from there to the same vertices of the neutral face. Only
vertices of the face that the face's own camera sees count: skin that no hair style covers, and eyeballs. A mean is
taken over a face's vertices, then over the faces. Beside it: the error of a field that says zero everywhere, which is
how far the vertices move, and the error on moving vertices (by more than 1 mm) relative to how far these move.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.cameras import orbit_camera
from anifacegan.face_surfaces import FaceSurfaces
from anifacegan.metrics.asked import MM_PER_WORLD, interocular
from anifacegan.models.generator import Generator
from anifacegan.rasterizer import rasterize
from anifacegan.views import Views

SIZE = 128
"""Pixels of the picture that says which vertices are seen: those of every triangle that shows in it."""
MOVING_MM = 1.0


@dataclass(frozen=True)
class DeformationError:
    """How far the field's steps are from the mesh's."""

    error_mm: float
    error_interocular: float
    """In interocular distances of the neutral face."""
    still_mm: float
    """The error of a field that is zero everywhere."""
    moving_mm: float
    """On moving vertices of all faces together; nan where nothing moves."""
    moving_relative: float
    """The same over the mean length of their steps: 1 is no better than zero everywhere."""
    count: int
    """Faces."""
    vertices: int
    """Seen vertices of all faces."""


@torch.no_grad()
def deformation_error(
    generator: Generator, surfaces: FaceSurfaces, landmark_vertices: Int[Tensor, "68"], views: Views
) -> DeformationError:
    """Errors of the faces of ``views``; ``landmark_vertices`` are those of the face model of ``surfaces``."""
    face_errors, face_steps, shares, moving_errors, moving_steps, count = [], [], [], [], [], 0
    for k in range(len(views)):
        view = views[k : k + 1]
        expressive = surfaces.vertices(view)                           # (1, V, 3) world units
        latents = view.latents
        neutral = surfaces.vertices(replace(view, latents=replace(latents, z_exp=torch.zeros_like(latents.z_exp))))
        seen = seen_on_face(surfaces, view, expressive)
        x, delta = expressive[:, seen], (neutral - expressive)[:, seen]
        said = generator.deformation.bind(latents.z_id, latents.z_exp)(x)
        error = MM_PER_WORLD * (said - delta)[0].norm(dim=-1)          # (N,) mm
        step = MM_PER_WORLD * delta[0].norm(dim=-1)
        moving = step > MOVING_MM
        face_errors.append(error.mean())
        face_steps.append(step.mean())
        shares.append(error.mean() / (MM_PER_WORLD * interocular(neutral[:, landmark_vertices])[0]))
        moving_errors.append(error[moving])
        moving_steps.append(step[moving])
        count += len(error)
    moving_mm = torch.cat(moving_errors).mean()
    return DeformationError(
        error_mm=float(torch.stack(face_errors).mean()),
        error_interocular=float(torch.stack(shares).mean()),
        still_mm=float(torch.stack(face_steps).mean()),
        moving_mm=float(moving_mm),
        moving_relative=float(moving_mm / torch.cat(moving_steps).mean()),
        count=len(views),
        vertices=count,
    )


def seen_on_face(
    surfaces: FaceSurfaces, view: Views, vertices: Float[Tensor, "1 vertex 3"]
) -> Bool[Tensor, "vertex"]:
    """Corners of the face's triangles that show in a view's picture of the mesh."""
    pitch, yaw = view.pose.unbind(-1)
    camera = orbit_camera(pitch, yaw, SIZE, surfaces.fov_deg)
    fragments = rasterize(vertices, surfaces.triangles, camera, surfaces.backend)
    shown = fragments.triangle[fragments.mask].unique()
    corners = surfaces.triangles[shown[surfaces.on_face[shown]]]
    seen = torch.zeros(vertices.shape[1], dtype=torch.bool, device=vertices.device)
    seen[corners.flatten()] = True
    return seen
