"""Photometric terms: rendered rays compared with paired images, whose surfaces are known (stages 2 and 3).

Near the known surface only a few manifolds are shaded: those nearest to the surface, and two in free space in front
of it. That is several times cheaper than shading all manifolds, and enough for the template to learn.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anifacegan.losses.photometric import colour_loss, free_space_loss, silhouette_loss
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields, FrozenField, Generator
from anifacegan.rendering.compositing import RayColours
from anifacegan.rendering.volume import render_rays
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.training.optim import matrix_precision
from anifacegan.training.paired import PairedBatch
from anifacegan.training.schedule import Schedule
from anifacegan.training.weights import LossWeights

FREE_MARGIN = 0.006
"""Points that lie at least this far in front of the known surface count as free space, world units."""

FREE_SCALE = 0.008
"""The second manifold in free space is drawn with a probability proportional to exp(-d / FREE_SCALE), where d is its
distance from the known surface, world units. Manifolds close in front of a surface are those that show a surface
elsewhere: between open lips, the manifolds of the lips hide the teeth unless they are transparent there."""

OPEN_MOUTH_FACTOR = 4.0
"""Factor of points in free space on rays between open lips. The lips' manifolds are opaque in most images, where the
mouth is closed, and transparent only if its rarer open ones weigh more. With 10, closed lips show teeth, too."""

VARIATION_TEXELS = 8192
"""Number of texels of each feature plane whose differences from their neighbours are penalised in a step."""


def photometric_losses(
    generator: Generator,
    batch: PairedBatch,
    schedule: Schedule,
    near: bool,
    weights: LossWeights,
    rng: torch.Generator,
    workers: Workers = SINGLE_PROCESS,
) -> dict[str, Tensor]:
    """Render the rays of paired images and return the weighted losses by name.

    Paired images are renders with known latents and surface. The losses compare colours and opacity with these images,
    and penalise opacity in front of the known surface. If ``near`` is true, only the manifolds near the known surface
    are shaded, and the fields that place the points (deformation and manifolds) get no gradient. If ``near`` is false,
    all manifolds are shaded and all fields learn.
    """
    with matrix_precision(schedule.precision, batch.rgb.device):
        fields = generator.condition(Latents(batch.z_id, batch.z_exp, batch.z_noise))
        if near:
            fields = without_point_gradients(with_samples(fields, schedule.near_samples))
            choice = NearSurface(batch.distance, schedule.near_levels, rng, workers)
            rendered = render_rays(fields, batch.rays, choice)
            surface = choice.surface
        else:
            rendered = render_rays(with_samples(fields, schedule.complete_samples), batch.rays)
            surface = reachable_surface(batch.distance, rendered.t[..., :-1], rendered.hit[..., :-1])
        covered = batch.distance.isfinite().float()
        colour = colour_loss(rendered.rgb, batch.rgb)
        silhouette = silhouette_loss(rendered.foreground, covered, batch.inside)
        weight = torch.where(batch.in_mouth, OPEN_MOUTH_FACTOR, 1.0)
        in_free = in_free_space(rendered, surface, batch.inside)
        free = free_space_loss(rendered.alpha[..., :-1], in_free, weight, workers)
    losses = {
        "colour": weights.colour * colour,
        "silhouette": weights.silhouette * silhouette,
        "free_space": weights.free_space * free,
    }
    planes = generator.template.planes
    if weights.plane_variation and planes is not None:
        losses["plane_variation"] = weights.plane_variation * planes.variation(VARIATION_TEXELS, rng)
    return losses


def without_point_gradients(fields: ConditionedFields) -> ConditionedFields:
    """Return the same fields, but with deformation and manifolds evaluated without gradients."""
    return replace(fields, offset=FrozenField(fields.offset), scalar=FrozenField(fields.scalar))


def with_samples(fields: ConditionedFields, samples: int) -> ConditionedFields:
    """Return the same fields with another number of samples along each ray; ``samples`` 0 keeps the present number."""
    if not samples:
        return fields
    return replace(fields, ray_sampling=replace(fields.ray_sampling, samples=samples))


def reachable_surface(
    distance: Float[Tensor, "batch ray"],
    t: Float[Tensor, "batch ray level"],
    hit: Bool[Tensor, "batch ray level"],
) -> Float[Tensor, "batch ray"]:
    """Return the distance from the camera at which manifolds can show each ray's surface, world units.

    It is that of the surface, ``distance``, unless the surface is behind the innermost manifold, as the back of an open
    mouth is: then it is that of the innermost manifold. ``t`` and ``hit`` are the distances of all manifolds, the
    innermost last, and whether the ray meets them.
    """
    innermost = t[..., -1].masked_fill(~hit[..., -1], torch.inf)
    return torch.where(distance.isfinite(), torch.minimum(distance, innermost), distance)


@dataclass
class NearSurface:
    """Chooses, for every ray, the ``count`` manifolds nearest to the surface and up to two manifolds in front of it:
    one at random from all of these, and one more often close to the surface (FREE_SCALE). It is a
    :data:`~anifacegan.rendering.volume.ManifoldSelection`.
    """

    distance: Float[Tensor, "batch ray"]
    """Distance from the camera to the surface along the ray, world units. It is infinite for the background, where all
    manifolds are chosen at random."""
    count: int
    rng: torch.Generator
    workers: Workers = SINGLE_PROCESS
    surface: Float[Tensor, "batch ray"] = field(init=False)
    """Distance at which manifolds can show the surface (:func:`reachable_surface`); known after a choice."""

    def __call__(
        self, t: Float[Tensor, "batch ray level"], hit: Bool[Tensor, "batch ray level"]
    ) -> tuple[Tensor, Tensor]:
        self.surface = reachable_surface(self.distance, t, hit)
        random, random_near = self.workers.draw(torch.rand, (*t.shape, 2), self.rng).to(t).unbind(-1)
        background = self.surface[..., None].isinf()
        in_front = self.surface[..., None] - t
        gap = torch.where(background, random, in_front.abs()).masked_fill(~hit, torch.inf)
        near = gap.topk(self.count, dim=-1, largest=False).indices  # (B, R, count)
        free = (hit & (in_front > FREE_MARGIN)).scatter(-1, near, False)
        one = (random * free).argmax(dim=-1, keepdim=True)
        other = free.scatter(-1, one, False)
        # log(u) / w is largest at each manifold with a probability proportional to its w
        order = random_near.log() * torch.where(background, 0.0, in_front / FREE_SCALE).exp()
        another = order.masked_fill(~other, -torch.inf).argmax(dim=-1, keepdim=True)
        index = torch.cat([near, one, another], dim=-1)
        exists = [hit.gather(-1, near), free.gather(-1, one), other.gather(-1, another)]
        return index, torch.cat(exists, dim=-1)


def in_free_space(
    rendered: RayColours, surface: Float[Tensor, "batch ray"], inside: Bool[Tensor, "batch ray"]
) -> Bool[Tensor, "batch ray point"]:
    """Mark the points of the rays ``rendered`` that lie at least FREE_MARGIN in front of the known ``surface``.

    ``surface`` is its distance from the camera, world units. On rays at silhouettes, which are not ``inside``, no point
    is marked.
    """
    in_front = rendered.t[..., :-1] < (surface - FREE_MARGIN)[..., None]
    return rendered.hit[..., :-1] & in_front & inside[..., None]
