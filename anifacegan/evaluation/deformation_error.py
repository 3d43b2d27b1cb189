"""Does the deformation field say what the mesh does?

    error = mean over vertices of |D(x; z_id, z_exp) - delta|

x are the vertices of the expressive face, delta the steps from there to the same vertices of the neutral face. Only
vertices of the face that the face's own camera sees count: skin that no hair style covers, and eyeballs. A mean is
taken over a face's vertices, then over the faces. Beside it: the error of a field that says zero everywhere, which is
how far the vertices move, and the error on moving vertices (by more than 1 mm) relative to how far these move.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.data.mesh_rasterization import visible_corners
from anifacegan.evaluation.bootstrap import BootstrapStatistics, Draws, Weights, weighted_mean, weighted_ratio
from anifacegan.evaluation.targets import MM_PER_WORLD, interocular
from anifacegan.face_model.surface_maps import FaceSurfaces
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.rasterization.rasterizer import rasterize
from anifacegan.models.generator import Generator
from anifacegan.models.sampling import PosedLatents

SIZE = 128
"""Pixels of the image that says which vertices are seen: those of every triangle that shows in it."""
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


@dataclass(frozen=True)
class DeformationItems:
    """Face by face, in host memory: means over its seen vertices, and sums over those that move."""

    error_mm: Float[Tensor, "face"]
    still_mm: Float[Tensor, "face"]
    interocular_mm: Float[Tensor, "face"]
    vertices: Float[Tensor, "face"]
    moving_error_mm: Float[Tensor, "face"]
    moving_step_mm: Float[Tensor, "face"]
    moving: Float[Tensor, "face"]
    """How many move."""

    def report(self) -> DeformationError:
        numbers = self.bootstrap_statistics().estimate()
        moving = float(self.moving.sum())
        return DeformationError(
            error_mm=float(self.error_mm.mean()),
            error_interocular=numbers["error_interocular"],
            still_mm=float(self.still_mm.mean()),
            moving_mm=float(self.moving_error_mm.sum()) / moving if moving else math.nan,
            moving_relative=numbers["moving_relative"],
            count=len(self.error_mm),
            vertices=int(self.vertices.sum()),
        )

    def bootstrap_statistics(self) -> BootstrapStatistics:
        share = (self.error_mm / self.interocular_mm).numpy()
        errors, steps = self.moving_error_mm.numpy(), self.moving_step_mm.numpy()

        def numbers(weights: Sequence[Weights]) -> dict[str, Draws]:
            return {
                "error_interocular": weighted_mean(weights[0], share),
                "moving_relative": weighted_ratio(weights[0], errors, steps),
            }

        return BootstrapStatistics({"faces": len(share)}, numbers)


def deformation_error(
    generator: Generator, surfaces: FaceSurfaces, landmark_vertices: Int[Tensor, "68"], views: PosedLatents
) -> DeformationError:
    """Errors of the faces of ``views``; ``landmark_vertices`` are those of the face model of ``surfaces``."""
    return deformation_items(generator, surfaces, landmark_vertices, views).report()


@torch.no_grad()
def deformation_items(
    generator: Generator, surfaces: FaceSurfaces, landmark_vertices: Int[Tensor, "68"], views: PosedLatents
) -> DeformationItems:
    """The same face by face."""
    rows = []
    for k in range(len(views)):
        view = views[k : k + 1]
        z_id, z_exp = view.latents.z_id, view.latents.z_exp
        expressive = surfaces.vertices(z_id, z_exp)  # (1, V, 3) world units
        neutral = surfaces.vertices(z_id, torch.zeros_like(z_exp))
        seen = seen_on_face(surfaces, view.pose, expressive)
        x, delta = expressive[:, seen], (neutral - expressive)[:, seen]
        said = generator.deformation.bind(z_id, z_exp)(x)
        error = MM_PER_WORLD * (said - delta)[0].norm(dim=-1)  # (N,) mm
        step = MM_PER_WORLD * delta[0].norm(dim=-1)
        moving = step > MOVING_MM
        eyes = MM_PER_WORLD * interocular(neutral[:, landmark_vertices])[0]
        counts = (error.new_tensor(float(len(error))), moving.sum().to(error))
        checksums = (error[moving].sum(), step[moving].sum())
        rows.append(torch.stack([error.mean(), step.mean(), eyes, counts[0], *checksums, counts[1]]))
    return DeformationItems(*torch.stack(rows).double().cpu().unbind(dim=1))


def seen_on_face(
    surfaces: FaceSurfaces, angles: Float[Tensor, "1 2"], vertices: Float[Tensor, "1 vertex 3"]
) -> Bool[Tensor, "vertex"]:
    """Find the corners of the face's triangles that show in an image of the mesh.

    ``angles`` are pitch and yaw, radians relative to frontal; ``vertices`` are in world units.
    """
    pitch, yaw = angles.unbind(-1)
    camera = orbit_camera(yaw=yaw, pitch=pitch, size=SIZE, fov_deg=surfaces.fov_deg)
    fragments = rasterize(vertices, surfaces.triangles, camera, surfaces.backend)
    shown = fragments.triangle[fragments.mask]
    shown = shown[surfaces.on_face[shown]].cpu().numpy()
    seen = visible_corners(surfaces.triangles.cpu().numpy(), shown, vertices.shape[1])
    return torch.from_numpy(seen).to(vertices.device)
