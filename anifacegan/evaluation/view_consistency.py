"""Is what two views show one surface? One view is warped into the other along the rendered depth.

Every pixel of the target view is carried by its depth to a point in space and from there into the source view. It is
visible there if the point lies in the image and, within 5 mm, at the depth that the source view has at that place.
PSNR is that of the mean squared error of the colours of all visible pixels of all pairs, [0, 1] being the range; both
pixels must be of the head (opacity over 0.99).

On the face the depth is also compared with the face model's: mean |depth rendered - depth of the mesh| along the rays.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.evaluation.bootstrap import BootstrapStatistics, Draws, Weights, weighted_ratio
from anifacegan.evaluation.targets import MM_PER_WORLD
from anifacegan.face_model.surface_maps import SurfaceMap
from anifacegan.geometry.cameras import FOV_DEG, orbit_camera
from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.geometry.resampling import read_pixels, to_grid
from anifacegan.rendering.frame import decibels

OPAQUE = 0.99
HALF = 0.5
"""Less of a head than this is no surface to compare."""
SAME_DEPTH = 0.005
"""World units."""


@dataclass(frozen=True)
class DepthView:
    """A rendered view."""

    rgb: Float[Tensor, "3 size size"]
    """In [0, 1]."""
    foreground: Float[Tensor, "1 size size"]
    """Opacity of the head."""
    depth: Float[Tensor, "1 size size"]
    """Distance of the head along the pixels' rays, world units; 0 where there is none."""
    pose: Float[Tensor, "1 2"]
    """(pitch, yaw), radians relative to frontal."""


@dataclass(frozen=True)
class ViewConsistency:
    psnr_db: float
    """Of warped against rendered colours; nan where no pixel is visible in both views."""
    visible_share: float
    """Of the head's pixels in the target views."""
    depth_mm: float
    """Mean absolute difference from the face model's surface on the face; nan where no face is seen."""
    depth_bias_mm: float
    """Mean difference: positive is behind the mesh."""
    pairs: int


@dataclass(frozen=True)
class ConsistencyItems:
    """Face by face, sums over pixels; host memory."""

    squared: Float[Tensor, "face"]
    """Of the difference of colours, mean of the three, over the visible pixels."""
    visible: Float[Tensor, "face"]
    """Pixels of the target views that the source view sees, too."""
    head: Float[Tensor, "face"]
    """Pixels of the head in the target views."""
    depth_mm: Float[Tensor, "face"]
    """Of the absolute difference from the mesh, over the pixels of the face."""
    depth_bias_mm: Float[Tensor, "face"]
    on_face: Float[Tensor, "face"]
    """Pixels of the face, in all views."""
    pairs: int

    def report(self) -> ViewConsistency:
        numbers = self.bootstrap_statistics().estimate()
        seen, face = self.visible.sum(), self.on_face.sum()
        return ViewConsistency(
            psnr_db=numbers["psnr_db"],
            visible_share=float(seen / self.head.sum()),
            depth_mm=numbers["depth_mm"],
            depth_bias_mm=float(self.depth_bias_mm.sum() / face),
            pairs=self.pairs,
        )

    def bootstrap_statistics(self) -> BootstrapStatistics:
        squared, visible, depth_mm, on_face = (
            values.numpy() for values in (self.squared, self.visible, self.depth_mm, self.on_face)
        )

        def numbers(weights: Sequence[Weights]) -> dict[str, Draws]:
            psnr = decibels(weighted_ratio(weights[0], squared, visible))
            return {"psnr_db": psnr, "depth_mm": weighted_ratio(weights[0], depth_mm, on_face)}

        return BootstrapStatistics({"faces": len(squared)}, numbers)


Pairs = Iterable[tuple[DepthView, DepthView]]
"""Source and target views of one face."""
Depths = Iterable[tuple[DepthView, SurfaceMap]]
"""Views with the mesh on their rays."""


def view_consistency(pairs: Pairs, depths: Depths, fov_deg: float = FOV_DEG) -> ViewConsistency:
    """Of one face."""
    return consistency_items([(pairs, depths)], fov_deg).report()


def consistency_items(faces: Iterable[tuple[Pairs, Depths]], fov_deg: float = FOV_DEG) -> ConsistencyItems:
    """Of several faces."""
    rows, count = [], 0
    for pairs, depths in faces:
        squared, visible, head, depth, bias, on_face = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for source, target in pairs:
            warped, seen = warp(source, target, fov_deg)
            squared += float((warped - target.rgb).square().mean(dim=0)[seen].sum())
            visible, head = visible + float(seen.sum()), head + float((target.foreground > OPAQUE).sum())
            count += 1
        for view, mesh in depths:
            errors = MM_PER_WORLD * depth_errors(view, mesh, fov_deg)
            depth, bias = depth + float(errors.abs().sum()), bias + float(errors.sum())
            on_face += len(errors)
        rows.append((squared, visible, head, depth, bias, on_face))
    return ConsistencyItems(*torch.tensor(rows, dtype=torch.float64).unbind(dim=1), pairs=count)


def warp(
    source: DepthView, target: DepthView, fov_deg: float = FOV_DEG
) -> tuple[Float[Tensor, "3 size size"], Tensor]:
    """The target's image with the source's colours, and the (size, size) pixels where both see the same point."""
    size = target.rgb.shape[-1]
    rays = _rays(target, fov_deg)
    x = rays.at(target.depth.reshape(1, -1, 1))[:, :, 0]  # (1, R, 3) world
    pitch, yaw = source.pose.unbind(-1)
    px = orbit_camera(yaw=yaw, pitch=pitch, size=size, fov_deg=fov_deg).project(x)
    px = px.reshape(1, size, size, 2)
    content = torch.cat([source.rgb, source.foreground, source.depth])[None]
    found = read_pixels(content, px)[0]
    origin = _rays(source, fov_deg).origins[0, 0]
    distance = (x[0] - origin).norm(dim=-1).reshape(size, size)
    inside = (to_grid(px[0], size, size).abs() <= 1).all(dim=-1)
    opaque = (found[3] > OPAQUE) & (target.foreground[0] > OPAQUE)
    return found[:3], inside & opaque & ((distance - found[4]).abs() < SAME_DEPTH)


def depth_errors(view: DepthView, mesh: SurfaceMap, fov_deg: float = FOV_DEG) -> Float[Tensor, "pixel"]:
    """Rendered depth less the mesh's on the pixels of the face that are not see-through, world units."""
    rays = _rays(view, fov_deg)
    face = (mesh.share[0] > 0) & (view.foreground.flatten() >= HALF)
    distance = (mesh.x_mesh[0] - rays.origins[0]).norm(dim=-1)
    return (view.depth.flatten() - distance)[face]


def _rays(view: DepthView, fov_deg: float) -> Rays:
    """Of all pixels, row by row."""
    pitch, yaw = view.pose.unbind(-1)
    return image_rays(yaw=yaw, pitch=pitch, size=view.rgb.shape[-1], fov_deg=fov_deg)
