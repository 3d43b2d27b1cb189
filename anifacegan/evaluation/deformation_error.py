"""Error of the deformation field against the motion of the face model's mesh.

    error = mean over vertices of |D(x; z_id, z_exp) - delta|

x is a vertex of the face model's mesh with the expression, delta the offset from x to the same vertex of the template
(a neutral face, unless the model's configuration names another expression), and D the generator's deformation field.
Only vertices of the face (skin that no hair style covers, and eyeballs) that the sampled camera sees are counted. The
mean is taken over the vertices of each face, then over the faces.

The report has two more numbers. One is the error of a field that is zero everywhere, for reference. The other uses only
the vertices that the expression moves by more than 1 mm: their mean error divided by the mean distance that they move.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.data.rasterized_mesh import visible_corners
from anifacegan.evaluation.bootstrap import BootstrapStatistics, Draws, Weights, weighted_mean, weighted_ratio
from anifacegan.evaluation.targets import MM_PER_WORLD, interocular
from anifacegan.face_model.surface_maps import FaceSurfaces
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.rasterization.rasterizer import rasterize
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import PosedLatents

SIZE = 128
"""Height and width, in pixels, of the mesh's image in which the visible triangles are found."""
MOVING_MM = 1.0
"""A vertex counts as moving if the expression moves it by more than this, millimetres."""


@dataclass(frozen=True)
class DeformationError:
    """Mean error of the deformation field over several faces.

    The error at a vertex of the face model's mesh is the distance between the field's offset and the mesh's offset.
    Only visible vertices count: vertices of the face that the face's sampled camera sees. A vertex is moving if the
    expression moves it by more than 1 mm.
    """

    error_mm: float
    """Error, millimetres: mean over the visible vertices of a face, then over the faces."""
    error_interocular: float
    """Error divided by the interocular distance of the neutral face: mean over the visible vertices of a face, then
    over the faces."""
    still_mm: float
    """``error_mm`` of a deformation field that is zero everywhere, for reference, millimetres."""
    moving_mm: float
    """Error, millimetres: mean over the moving visible vertices of all faces together; nan if there is none."""
    moving_relative: float
    """``moving_mm`` divided by the mean distance by which the expression moves the same vertices. It is 1 for a field
    that is zero everywhere, and nan if no vertex is moving."""
    count: int
    """Number of faces."""
    vertices: int
    """Number of visible vertices, summed over all faces."""


@dataclass(frozen=True)
class DeformationItems:
    """Errors of the deformation field on the visible vertices of each face; see :class:`DeformationError`.

    All tensors are float64 on the CPU.
    """

    error_mm: Float[Tensor, "face"]
    """Mean error over the visible vertices, millimetres."""
    still_mm: Float[Tensor, "face"]
    """Mean distance by which the expression moves the visible vertices, millimetres."""
    interocular_mm: Float[Tensor, "face"]
    """Interocular distance of the neutral face, millimetres."""
    vertices: Float[Tensor, "face"]
    """Number of visible vertices."""
    moving_error_mm: Float[Tensor, "face"]
    """Sum of the errors over the moving vertices (visible, and moved by more than 1 mm), millimetres."""
    moving_step_mm: Float[Tensor, "face"]
    """Sum, over the moving vertices, of the distances by which the expression moves them, millimetres."""
    moving: Float[Tensor, "face"]
    """Number of moving vertices."""

    def report(self) -> DeformationError:
        """Return the errors averaged over all faces, those of moving vertices over all moving vertices."""
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
        """Return a function that recomputes ``error_interocular`` and ``moving_relative`` from bootstrap samples of
        the faces."""
        relative = (self.error_mm / self.interocular_mm).numpy()
        errors, steps = self.moving_error_mm.numpy(), self.moving_step_mm.numpy()

        def compute(weights: Sequence[Weights]) -> dict[str, Draws]:
            return {
                "error_interocular": weighted_mean(weights[0], relative),
                "moving_relative": weighted_ratio(weights[0], errors, steps),
            }

        return BootstrapStatistics({"faces": len(relative)}, compute)


@torch.no_grad()
def deformation_items(
    generator: Generator,
    surfaces: FaceSurfaces,
    landmark_vertices: Int[Tensor, "68"],
    views: PosedLatents,
    template_exp: Float[np.ndarray, "64"],
) -> DeformationItems:
    """Measure the error of a generator's deformation field against the motion of the face model's mesh on several
    faces.

    Args:
        generator: the generator.
        surfaces: meshes of the generator's face model, on the generator's device.
        landmark_vertices: vertex indices of the mesh's 68 landmarks.
        views: latents of the faces, and the camera poses from which vertices must be visible to be counted.
        template_exp: expression coefficients of the template's faces.
    """
    rows = []
    for k in range(len(views)):
        view = views[k : k + 1]
        z_id, z_exp = view.latents.z_id, view.latents.z_exp
        expressive = surfaces.vertices(z_id, z_exp)  # (1, V, 3) world units
        template = surfaces.vertices(z_id, torch.from_numpy(template_exp).to(z_exp).expand_as(z_exp))
        visible = visible_face_vertices(surfaces, view.pose, expressive)
        x, delta = expressive[:, visible], (template - expressive)[:, visible]
        predicted = generator.bind_deformation(z_id, z_exp)(x)
        error = MM_PER_WORLD * (predicted - delta)[0].norm(dim=-1)  # (N,) mm
        step = MM_PER_WORLD * delta[0].norm(dim=-1)
        moving = step > MOVING_MM
        row = {
            "error_mm": error.mean(),
            "still_mm": step.mean(),
            "interocular_mm": MM_PER_WORLD * interocular(template[:, landmark_vertices])[0],
            "vertices": error.new_tensor(float(len(error))),
            "moving_error_mm": error[moving].sum(),
            "moving_step_mm": step[moving].sum(),
            "moving": moving.sum(),
        }
        rows.append({name: value.double().cpu() for name, value in row.items()})
    return DeformationItems(**{name: torch.stack([row[name] for row in rows]) for name in rows[0]})


def visible_face_vertices(
    surfaces: FaceSurfaces, angles: Float[Tensor, "1 2"], vertices: Float[Tensor, "1 vertex 3"]
) -> Bool[Tensor, "vertex"]:
    """Mark the mesh vertices of the face that are visible from a camera.

    A vertex is visible if one of its triangles, on the face, is visible in at least one pixel.

    ``angles`` are the camera's pitch and yaw in radians from frontal; ``vertices`` are in world units.
    """
    pitch, yaw = angles.unbind(-1)
    camera = orbit_camera(yaw=yaw, pitch=pitch, size=SIZE, fov_deg=surfaces.fov_deg)
    fragments = rasterize(vertices, surfaces.triangles, camera, surfaces.backend)
    triangles = fragments.triangle[fragments.mask]
    triangles = triangles[surfaces.on_face[triangles]].cpu().numpy()
    visible = visible_corners(surfaces.triangles.cpu().numpy(), triangles, vertices.shape[1])
    return torch.from_numpy(visible).to(vertices.device)
