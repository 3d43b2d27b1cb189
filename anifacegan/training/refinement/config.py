"""Options of the refinement of a model to one person."""

from dataclasses import dataclass
from typing import Literal

from anifacegan.runtime.errors import require_above, require_at_least, require_within
from anifacegan.runtime.field_types import require_types

Guide = Literal["avatar", "model"]
MOST_STEPS, MOST_RAYS, MOST_VIEWS = 20_000, 16_384, 256
"""Largest numbers of steps, of rays in a step, and of guiding views."""


@dataclass(frozen=True)
class RefinementConfig:
    """Fine-tune a model's template field on one photograph; deformation, alignment and manifolds stay."""

    guide: Guide = "avatar"
    """Images of views and expressions that the photograph does not show. avatar: those of the layered avatar. model:
    those of the model before the fine-tuning, with the latents that resemble the photograph most (NeRFInvertor)."""
    guide_views: int = 16
    """Number of guiding images. 0: the photograph alone."""
    guide_share: float = 0.5
    """Share of the rays of a step that guiding images have."""
    inversion_steps: int = 50
    """Number of steps that look for the appearance latents."""
    steps: int = 400
    """Number of steps of the fine-tuning."""
    rays: int = 640
    """Number of rays in a step."""
    lr_latents: float = 0.08
    """Learning rate of the appearance latents."""
    lr_template: float = 1e-3
    """Learning rate of the template field's sine layers, heads and the person's FiLM parameters; falls to 0."""
    lr_planes: float = 1e-2
    """Learning rate of the template field's feature planes; falls to 0."""
    seed: int = 0
    """Random seed of views, rays and latents."""

    def __post_init__(self) -> None:
        require_types(self)
        require_within(self, 0, MOST_VIEWS, "guide_views")
        require_within(self, 0, 0.9, "guide_share")
        require_within(self, 0, MOST_STEPS, "inversion_steps")
        require_within(self, 1, MOST_STEPS, "steps")
        require_within(self, 8, MOST_RAYS, "rays")
        require_above(self, 0, "lr_latents", "lr_template", "lr_planes")
        require_at_least(self, 0, "seed")
