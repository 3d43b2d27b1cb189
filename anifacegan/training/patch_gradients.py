"""Gradients of terms of whole images, computed a few rays at a time to save memory.

A term of an image needs all rays of the image, and the graphs of all rays together would not fit into memory. But
backpropagation needs only the term's gradient with respect to each ray's colour. So the image is first rendered in
slices of rays without graphs. Then the gradient of the terms with respect to the image is computed. Then each slice is
rendered again with its graph, and its part of the gradient is backpropagated through the graph. The result equals the
gradient of the whole image; the cost is one more rendering. Both renderings use the same precision. (With culled
points, rendering without a graph on a CPU is always float32.)

Terms may also use other outputs of the rays than colours. Such terms must be sums over rays, so that slices add up.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.profiler import record_function

from anifacegan.geometry.rays import Rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.rendering.compositing import RayColours
from anifacegan.rendering.culled import render_culled
from anifacegan.rendering.volume import render_rays
from anifacegan.training.config import Split
from anifacegan.training.optim import BACKWARD, matrix_precision
from anifacegan.training.schedule import Precision

Conditioning = Callable[[Latents], ConditionedFields]
"""Type of a function that binds the fields to latents: ``generator.condition``, or a version in which some fields get
no gradient."""
ImageTerms = Callable[[Tensor, slice], dict[str, Tensor]]
"""Type of a function that computes weighted losses from images (B, 3, H, W) in [-1, 1]. Its second argument is the
slice of the batch that the images are. The losses of all slices add up to those of the batch."""
RayTerms = Callable[[RayColours, slice, slice], dict[str, Tensor]]
"""Type of a function that computes weighted losses from rendered rays. Its further arguments are the slice of the batch
and the slice of an image's rays that the rays are. The losses of all slices add up to those of the batch."""


@dataclass(frozen=True)
class ImageRenderer:
    """Renders faces as whole images, some of their rays at a time, and backpropagates losses of the images.

    ``condition`` is a function from latents to the generator's fields with these latents; ``split`` says how many
    images and rays are rendered at a time.
    """

    condition: Conditioning
    size: int
    """Height and width of the images in pixels."""
    fov_deg: float
    split: Split
    precision: Precision = "float32"
    """Precision of the fields' hidden layers; rays, colours and losses are always float32."""
    skip_invisible: bool = False
    """Whether points that no light reaches are left out. Works for one image at a time only; see
    :func:`render_culled`."""
    view_dependent: bool = False
    """Whether colours depend on the rays' directions; otherwise they are those of the frontal view."""

    def draw(self, views: PosedLatents) -> Float[Tensor, "batch 3 size size"]:
        """Render images in [-1, 1] of faces, given by latents and camera poses, without gradients."""
        slices = parts(self.size**2, self.split.rays)
        rgb = []
        for part in parts(len(views), self.split.images):
            with torch.no_grad():
                rgb.append(self._colours(*self._bound(views[part]), slices))
        return as_images(torch.cat(rgb), self.size)

    def accumulate_gradients(
        self, views: PosedLatents, image_terms: ImageTerms | None, ray_terms: RayTerms | None = None
    ) -> dict[str, Tensor]:
        """Add the gradient of the sum of all losses of rendered faces to the .grad of the fields' weights.

        Returns the losses by name, detached.

        Args:
            views: latents and camera poses of the faces.
            image_terms: computes losses from images, see :data:`ImageTerms`. Networks that the function uses, such as a
                discriminator, get no gradient. None: no such losses, and no ray is rendered twice.
            ray_terms: computes losses from rendered rays, see :data:`RayTerms`; None: no such losses.
        """
        total: dict[str, Tensor] = {}
        slices = parts(self.size**2, self.split.rays)
        for part in parts(len(views), self.split.images):
            # 1 The image: with its graph where that is one slice, else without. The codes are bound once for all
            # slices.
            fields, rays = self._bound(views[part])
            unsplit = self._render(fields, rays[slices[0]]) if len(slices) == 1 else None
            gradient = None
            if image_terms is not None:
                rgb = self._colours(fields, rays, slices) if unsplit is None else unsplit.rgb.detach()
                rgb.requires_grad_()  # (B, R, 3)

                # 2 The terms' gradient with respect to the image.
                terms = image_terms(as_images(rgb, self.size), part)
                with record_function(BACKWARD):
                    (gradient,) = torch.autograd.grad(_sum(terms, rgb), rgb)
                _add(total, terms)

            # 3 Every slice with its graph, and its part of the gradient.
            for selected in slices:
                rendered = self._render(fields, rays[selected]) if unsplit is None else unsplit
                terms = {} if ray_terms is None else ray_terms(rendered, part, selected)
                target = rendered.rgb.new_zeros(())
                if gradient is not None:
                    target = (rendered.rgb * gradient[:, selected]).sum()
                with record_function(BACKWARD):  # the next slice needs the graph of the codes again
                    (_sum(terms, rendered.rgb) + target).backward(retain_graph=selected is not slices[-1])
                _add(total, terms)
                del rendered, terms, target  # and with them this slice's graph, before the next one's
        return total

    @torch.no_grad()
    def _colours(
        self, fields: ConditionedFields, rays: Rays, slices: list[slice]
    ) -> Float[Tensor, "batch ray 3"]:
        return torch.cat([self._render(fields, rays[part]).rgb for part in slices], dim=1)

    def _bound(self, views: PosedLatents) -> tuple[ConditionedFields, Rays]:
        """Return the fields with the latents of faces, and the rays of their images."""
        rays = views.rays(self.size, self.fov_deg)  # a camera's matrices are never half precision
        with matrix_precision(self.precision, rays.origins.device):
            return replace(self.condition(views.latents), view_dependent=self.view_dependent), rays

    def _render(self, fields: ConditionedFields, rays: Rays) -> RayColours:
        with matrix_precision(self.precision, rays.origins.device):
            return (render_culled if self.skip_invisible else render_rays)(fields, rays)


def as_images(rgb: Float[Tensor, "batch ray 3"], size: int) -> Float[Tensor, "batch 3 size size"]:
    """Convert the colours of rays, in [0, 1], to images with colours in [-1, 1].

    An image has ``size`` * ``size`` rays, in the order of its pixels: row by row from the top, from left to right.
    """
    return 2 * rgb.transpose(1, 2).unflatten(2, (size, size)) - 1


def parts(count: int, most: int) -> list[slice]:
    """Divide ``count`` items into consecutive parts of at most ``most`` items; return them as Python slices. If
    ``most`` is 0, there is one part.
    """
    step = most or max(count, 1)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _sum(terms: dict[str, Tensor], like: Tensor) -> Tensor:
    return sum(terms.values(), start=like.new_zeros(()))


def _add(total: dict[str, Tensor], terms: dict[str, Tensor]) -> None:
    for name, value in terms.items():
        total[name] = total.get(name, 0) + value.detach()
