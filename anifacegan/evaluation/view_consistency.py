"""View consistency: do two rendered views of a face show the same colours at the same points?

Each pixel of one view (the target) belongs to the point on its ray at the rendered depth. This point is projected into
another view of the face (the source). The point is visible in both views if two conditions hold: it lies in the source
image, and its distance from the source camera agrees within 5 mm with the depth that the source view has there. The
colours of the two pixels are compared if the point is visible in both views and both pixels belong to the head (opacity
over 0.99). The metric is the PSNR of the mean squared colour difference over the compared pixels of all pairs of views.

On the face, the rendered depth is also compared with the depth of the face model's mesh along the same rays.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.evaluation.bootstrap import BootstrapStatistics, Draws, Weights, weighted_ratio
from anifacegan.evaluation.targets import MM_PER_WORLD
from anifacegan.face_model.surface_maps import SurfaceMap
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.conventions import FOV_DEG
from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.geometry.resampling import read_pixels, to_grid
from anifacegan.rendering.frame import decibels

OPAQUE = 0.99
"""Opacity above which a pixel belongs to the head."""
HALF = 0.5
"""Smallest opacity of a pixel whose depth is compared with the mesh."""
SAME_DEPTH = 0.005
"""Largest difference between two depths that count as depths of the same point, world units."""


@dataclass(frozen=True)
class DepthView:
    """A rendered view with colours, opacity and depth."""

    rgb: Float[Tensor, "3 size size"]
    """Colours in [0, 1]."""
    foreground: Float[Tensor, "1 size size"]
    """Opacity of the head."""
    depth: Float[Tensor, "1 size size"]
    """Distance of the head from the camera along each pixel's ray, world units; 0 where there is no head."""
    pose: Float[Tensor, "1 2"]
    """Pitch and yaw, radians from frontal."""


@dataclass(frozen=True)
class FaceViews:
    """Views of one face: pairs whose colours are compared, and views whose depth is compared with a mesh."""

    pairs: Sequence[tuple[DepthView, DepthView]]
    """Pairs (source, target): the colours of the source view are warped into the target view."""
    meshes: Sequence[tuple[DepthView, SurfaceMap]]
    """Views, each with the points where its rays meet the face model's mesh."""


@dataclass(frozen=True)
class ViewConsistency:
    """How well two views of a face agree in colour, and how well the rendered depth agrees with the face model's mesh.

    All means are taken over the pixels of all faces. In a pair of views, the colours of the source view are warped into
    the target view.
    """

    psnr_db: float
    """PSNR between the warped colours of the source view and the colours of the target view, dB; nan if no pixel is
    visible in both views."""
    visible_share: float
    """Number of pixels of the target views whose points are visible in the source views, divided by the number of
    pixels of the target views that show the head."""
    depth_mm: float
    """Mean absolute difference between rendered depth and the depth of the face model's mesh, millimetres; nan if no
    face is visible."""
    depth_bias_mm: float
    """Mean of rendered depth minus depth of the face model's mesh, millimetres; positive if the rendered surface is
    behind the mesh."""
    pairs: int
    """Number of pairs of views."""


@dataclass(frozen=True)
class ConsistencyItems:
    """Sums over pixels for each face: colour differences between views, and depth differences from the face model's
    mesh (CPU, float64).
    """

    squared: Float[Tensor, "face"]
    """Sum, over the pixels that are visible in both views, of the squared colour difference averaged over the
    channels."""
    visible: Float[Tensor, "face"]
    """Number of pixels of the target views whose points are visible in the source views."""
    head: Float[Tensor, "face"]
    """Number of pixels of the target views that show the head."""
    depth_mm: Float[Tensor, "face"]
    """Sum of |rendered depth - mesh depth| over the face's pixels, millimetres."""
    depth_bias_mm: Float[Tensor, "face"]
    """Sum of rendered depth - mesh depth over the face's pixels, millimetres."""
    on_face: Float[Tensor, "face"]
    """Number of pixels, in all views of the face, at which depths are compared."""
    pairs: Float[Tensor, "face"]
    """Number of pairs of views."""

    def report(self) -> ViewConsistency:
        """Return the PSNR of the colours and the mean depth differences over the pixels of all faces."""
        numbers = self.bootstrap_statistics().estimate()
        return ViewConsistency(
            psnr_db=numbers["psnr_db"],
            visible_share=float(self.visible.sum() / self.head.sum()),
            depth_mm=numbers["depth_mm"],
            depth_bias_mm=float(self.depth_bias_mm.sum() / self.on_face.sum()),
            pairs=int(self.pairs.sum()),
        )

    def bootstrap_statistics(self) -> BootstrapStatistics:
        """Return a function that recomputes ``psnr_db`` and ``depth_mm`` from bootstrap samples of the faces."""
        squared, visible = self.squared.numpy(), self.visible.numpy()
        depth_mm, on_face = self.depth_mm.numpy(), self.on_face.numpy()

        def compute(weights: Sequence[Weights]) -> dict[str, Draws]:
            return {
                "psnr_db": decibels(weighted_ratio(weights[0], squared, visible)),
                "depth_mm": weighted_ratio(weights[0], depth_mm, on_face),
            }

        return BootstrapStatistics({"faces": len(squared)}, compute)


def consistency_items(faces: Iterable[FaceViews], fov_deg: float = FOV_DEG) -> ConsistencyItems:
    """Compare the views of each face: their colours with each other, and their depths with the face model's mesh.

    ``fov_deg`` is the field of view in degrees.
    """
    sums = [_face_sums(face, fov_deg) for face in faces]
    columns = {
        field.name: torch.tensor([row[field.name] for row in sums], dtype=torch.float64)
        for field in fields(ConsistencyItems)
    }
    return ConsistencyItems(**columns)


def _face_sums(face: FaceViews, fov_deg: float) -> dict[str, float]:
    """Return the sums over the pixels of one face, by the field names of :class:`ConsistencyItems`."""
    sums = {field.name: 0.0 for field in fields(ConsistencyItems)}
    for source, target in face.pairs:
        warped, visible = warp(source, target, fov_deg)
        sums["squared"] += float((warped - target.rgb).square().mean(dim=0)[visible].sum())
        sums["visible"] += float(visible.sum())
        sums["head"] += float((target.foreground > OPAQUE).sum())
        sums["pairs"] += 1
    for view, mesh in face.meshes:
        errors = MM_PER_WORLD * depth_errors(view, mesh, fov_deg)
        sums["depth_mm"] += float(errors.abs().sum())
        sums["depth_bias_mm"] += float(errors.sum())
        sums["on_face"] += len(errors)
    return sums


def warp(
    source: DepthView, target: DepthView, fov_deg: float = FOV_DEG
) -> tuple[Float[Tensor, "3 size size"], Tensor]:
    """Warp the colours of the source view into the target view by the depth of the target view.

    ``fov_deg`` is the field of view in degrees.

    Returns:
        The warped colours, and the (size, size) mask of the target's pixels whose points are visible in both views.
    """
    size = target.rgb.shape[-1]
    rays = _rays(target, fov_deg)
    x = rays.at(target.depth.reshape(1, -1, 1))[:, :, 0]  # (1, R, 3) world
    pitch, yaw = source.pose.unbind(-1)
    px = orbit_camera(yaw=yaw, pitch=pitch, size=size, fov_deg=fov_deg).project(x)
    px = px.reshape(1, size, size, 2)
    content = torch.cat([source.rgb, source.foreground, source.depth])[None]
    sampled = read_pixels(content, px)[0]
    origin = _rays(source, fov_deg).origins[0, 0]
    distance = (x[0] - origin).norm(dim=-1).reshape(size, size)
    inside = (to_grid(px[0], size, size).abs() <= 1).all(dim=-1)
    opaque = (sampled[3] > OPAQUE) & (target.foreground[0] > OPAQUE)
    return sampled[:3], inside & opaque & ((distance - sampled[4]).abs() < SAME_DEPTH)


def depth_errors(view: DepthView, mesh: SurfaceMap, fov_deg: float = FOV_DEG) -> Float[Tensor, "pixel"]:
    """Compute, for pixels of a rendered view, the rendered depth minus the depth of the face model's mesh, world units.

    The pixels are those at which the mesh shows the face and the rendered opacity is at least 0.5. ``mesh`` has the
    points at which the view's rays meet the mesh; ``fov_deg`` is the field of view in degrees.
    """
    rays = _rays(view, fov_deg)
    face = (mesh.share[0] > 0) & (view.foreground.flatten() >= HALF)
    distance = (mesh.x_mesh[0] - rays.origins[0]).norm(dim=-1)
    return (view.depth.flatten() - distance)[face]


def _rays(view: DepthView, fov_deg: float) -> Rays:
    """Return the rays of all pixels of a view, row by row."""
    pitch, yaw = view.pose.unbind(-1)
    return image_rays(yaw=yaw, pitch=pitch, size=view.rgb.shape[-1], fov_deg=fov_deg)
