"""Gradients of whole images in the memory of a few rays.

A term that looks at an image needs all of its rays, and their graphs do not fit into memory together. But what a ray
has to learn from such a term is only the term's slope at the ray's own colour. So (method, section 4): render the
image in slices without gradients, take the terms' gradient with respect to the image, then render each slice again
with gradients and push its part of that gradient through. The result is the unsplit gradient, at one more rendering.
Both renderings have the same precision: the slope is that of the image that was looked at. (Where invisible points
are skipped, what needs no gradient on a CPU is drawn in full precision.)

Terms may also look at what the rays saw beside their colours. These must be sums over the rays, so that every slice
can add its part.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.profiler import record_function

from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.sampling import PosedLatents
from anifacegan.rendering.compositing import RayColours
from anifacegan.rendering.culled import render_culled
from anifacegan.rendering.volume import render_rays
from anifacegan.runtime.errors import require_at_least
from anifacegan.training.optim import BACKWARD, Precision, matrix_precision

Conditioning = Callable[[Latents], ConditionedFields]
"""Binds latents: ``generator.condition``, or a version of it in which some fields do not learn."""
ImageTerms = Callable[[Tensor, slice], dict[str, Tensor]]
"""(B, 3, H, W) images in [-1, 1] and their part of the batch -> weighted terms, which add up over the parts."""
RayTerms = Callable[[RayColours, slice, slice], dict[str, Tensor]]
"""What rays saw, their part of the batch and of the image's rays -> weighted terms, which add up over all parts."""


@dataclass(frozen=True)
class Split:
    """How much is rendered with gradients at a time. 0 is all of it."""

    images: int = 0
    """Images of a batch."""
    rays: int = 0
    """Rays of an image; fewer than all of them cost one more rendering."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "images", "rays")


@dataclass(frozen=True)
class ImageRenderer:
    """Renders views as whole images, a part at a time."""

    condition: Conditioning
    size: int
    """Height and width in pixels."""
    fov_deg: float
    split: Split
    precision: Precision = "float32"
    """Of the fields' hidden layers. Rays, colours and whatever looks at an image stay as they are."""
    skip_invisible: bool = False
    """Do not shade points that no light reaches; for one image at a time, see :func:`render_visible`."""

    def draw(self, views: PosedLatents) -> Float[Tensor, "batch 3 size size"]:
        """Images in [-1, 1], without gradients."""
        slices = parts(self.size**2, self.split.rays)
        rgb = [self._colours(views[part], slices) for part in parts(len(views), self.split.images)]
        return as_images(torch.cat(rgb), self.size)

    def accumulate_gradients(
        self, views: PosedLatents, image_terms: ImageTerms | None, ray_terms: RayTerms | None = None
    ) -> dict[str, Tensor]:
        """Add the gradient of the sum of all terms to what the rendering learns with; returns the terms, detached.

        What the image terms compute with (a discriminator) gets no gradient. Without image terms every slice is
        rendered once.
        """
        total: dict[str, Tensor] = {}
        slices = parts(self.size**2, self.split.rays)
        for part in parts(len(views), self.split.images):
            # 1 The image: with its graph where that is one slice, else without.
            whole = self._render(views[part], slices[0]) if len(slices) == 1 else None
            slope = None
            if image_terms is not None:
                rgb = self._colours(views[part], slices) if whole is None else whole.rgb.detach()
                rgb.requires_grad_()  # (B, R, 3)

                # 2 What the terms want of it.
                terms = image_terms(as_images(rgb, self.size), part)
                with record_function(BACKWARD):
                    (slope,) = torch.autograd.grad(_sum(terms, rgb), rgb)
                _add(total, terms)

            # 3 Every slice with its graph, and its part of that.
            for some in slices:
                seen = self._render(views[part], some) if whole is None else whole
                terms = {} if ray_terms is None else ray_terms(seen, part, some)
                target = seen.rgb.new_zeros(()) if slope is None else (seen.rgb * slope[:, some]).sum()
                with record_function(BACKWARD):
                    (_sum(terms, seen.rgb) + target).backward()
                _add(total, terms)
        return total

    @torch.no_grad()
    def _colours(self, views: PosedLatents, slices: list[slice]) -> Float[Tensor, "batch ray 3"]:
        return torch.cat([self._render(views, some).rgb for some in slices], dim=1)

    def _render(self, views: PosedLatents, rays: slice) -> RayColours:
        some = views.rays(self.size, self.fov_deg)[rays]  # a camera's matrices are never half precision
        with matrix_precision(self.precision, some.origins.device):
            render = render_culled if self.skip_invisible else render_rays
            return render(self.condition(views.latents), some)


def as_images(rgb: Float[Tensor, "batch ray 3"], size: int) -> Float[Tensor, "batch 3 size size"]:
    """Colours of an image's rays, row by row and in [0, 1], as images in [-1, 1]."""
    return 2 * rgb.transpose(1, 2).unflatten(2, (size, size)) - 1


def parts(count: int, most: int) -> list[slice]:
    """``count`` things in their order, at most ``most`` at a time; all at once for 0."""
    step = most or max(count, 1)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _sum(terms: dict[str, Tensor], like: Tensor) -> Tensor:
    return sum(terms.values(), start=like.new_zeros(()))


def _add(total: dict[str, Tensor], terms: dict[str, Tensor]) -> None:
    for name, value in terms.items():
        total[name] = total.get(name, 0) + value.detach()
