"""Rays of images of one person, with the points where they meet the manifolds.

The refinement leaves deformation, alignment and manifolds as they are, so a ray meets the manifolds at the same points
in every step. They are found once, by the fast fields; a step evaluates the template's radiance there.
"""

from dataclasses import dataclass
from dataclasses import fields as dataclass_fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anifacegan.geometry.intersection import first_crossings
from anifacegan.geometry.rays import Rays, pixel_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.numba_fields import with_numba_fields
from anifacegan.rendering.compositing import RayColours, RayPoints, composite
from anifacegan.rendering.volume import add_background, in_slices, sample_rays

SLICE_RAYS = 4096
"""Number of rays whose samples are evaluated at once."""
LEAST_BEHIND = 0.5
"""Share of the background in a pixel of a guiding image from which its colour is known."""


@dataclass(frozen=True)
class TargetImage:
    """An image that a person's field should show: person and background are known apart."""

    yaw: float
    """Radians from frontal."""
    pitch: float
    z_exp: Float[Tensor, "1 64"]
    fov_deg: float
    person: Float[Tensor, "size size 3"]
    """Colour of the person, premultiplied by the person's opacity."""
    opacity: Float[Tensor, "size size"]
    background: Float[Tensor, "size size 3"]
    """Colour of the background, also behind the person where that is known."""
    background_known: Float[Tensor, "size size"]
    """1 where the background's colour is known, else 0."""
    colour_weight: float = 1.0
    """Weight of the differences in the person's colour."""

    @property
    def size(self) -> int:
        """Height and width, pixels."""
        return len(self.opacity)


@dataclass(frozen=True)
class TargetRays:
    """Rays, the points of the template's radiance on each of them, and what they should show."""

    x: Float[Tensor, "ray point 3"]
    """Points at which the radiance is evaluated, world units; the last one is on the background plane."""
    t: Float[Tensor, "ray point"]
    """Distances of the points from the camera, world units."""
    hit: Bool[Tensor, "ray point"]
    """Whether the ray meets the point's manifold."""
    person: Float[Tensor, "ray 3"]
    opacity: Float[Tensor, "ray"]
    background: Float[Tensor, "ray 3"]
    background_known: Float[Tensor, "ray"]
    colour_weight: Float[Tensor, "ray"]

    def __len__(self) -> int:
        return len(self.opacity)

    def __getitem__(self, index: Tensor) -> "TargetRays":
        return TargetRays(*(getattr(self, name)[index] for name in _names()))

    @classmethod
    def joined(cls, parts: list["TargetRays"]) -> "TargetRays":
        """Return the rays of all parts."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in _names()))

    def render(self, fields: ConditionedFields) -> tuple[RayColours, Float[Tensor, "ray 3"]]:
        """Evaluate the radiance at the points, differentiably; return the rays' colours, and the background's."""
        ray, point = self.hit.nonzero(as_tuple=True)
        rgb, alpha = fields.radiance(self.x[ray, point][None])
        last = self.hit.shape[1] - 1
        alpha = torch.where(point == last, 1.0, alpha[0])
        colours = torch.zeros_like(self.x).index_put((ray, point), rgb[0])
        opacity = torch.zeros_like(self.t).index_put((ray, point), alpha)
        points = RayPoints(self.hit[None], self.t[None], self.x[None], self.x[None])
        return composite(points, colours[None], opacity[None]), colours[:, last]


def _names() -> list[str]:
    return [field.name for field in dataclass_fields(TargetRays)]


@torch.no_grad()
def target_rays(
    fields: ConditionedFields, image: TargetImage, where: Bool[Tensor, "size size"]
) -> TargetRays:
    """Cast rays through the marked pixels of an image, and find where they meet the manifolds.

    ``fields`` are those of the person with the image's expression.
    """
    y, x = where.nonzero(as_tuple=True)
    angles = {"yaw": torch.tensor([image.yaw]), "pitch": torch.tensor([image.pitch])}
    rays = pixel_rays(
        **angles, x_px=x.float()[None], y_px=y.float()[None], size=image.size, fov_deg=image.fov_deg
    )
    fast = with_numba_fields(fields)
    parts = [_crossed(fast, part) for part in in_slices(rays, SLICE_RAYS)]
    points, t, hit = (torch.cat(values) for values in zip(*parts, strict=True))
    known = (image.person, image.opacity, image.background, image.background_known)
    weight = torch.full((len(t),), image.colour_weight)
    return TargetRays(points, t, hit, *(values[y, x] for values in known), weight)


def _crossed(fields: ConditionedFields, rays: Rays) -> tuple[Tensor, Tensor, Tensor]:
    samples = sample_rays(fields, rays)
    crossings = first_crossings(samples.s, fields.levels)
    points = add_background(fields, rays, samples.at(crossings), crossings.hit)
    x = points.x_template[0]
    if fields.align is not None:
        offset = fields.align(x.flatten(0, 1)[None]).reshape(x.shape)
        x = x + offset.masked_fill(points.of_background()[0, ..., None], 0.0)
    hit = points.hit[0] & (points.t[0] <= points.t[0, :, -1:])
    return x, points.t[0], hit
