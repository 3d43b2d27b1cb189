"""Options of the fits before the first step of a generator's training: manifolds, alignment and shading."""

from dataclasses import dataclass
from typing import Literal

from anifacegan.runtime.errors import require_above, require_at_least


@dataclass(frozen=True)
class ManifoldInitConfig:
    """Options for the shape of the radiance manifolds before training."""

    start: Literal["mean_head", "spheres"] = "mean_head"
    """mean_head: the manifolds surround the mean head of the open face model. spheres: the manifolds are GRAM's
    concentric spheres around a point behind the head; all other options of this group are then ignored."""
    level_at_skin: float = 16.0
    """Level (value of the manifold scalar s) of the manifold that coincides with the mean head's skin. The manifold
    with any other level s is placed (s - level_at_skin) * 0.012 world units outside of the skin."""
    reach: float = 0.05
    """Points up to this distance inside and outside of the mean head are used for the fit, world units."""
    steps: int = 4000
    """Number of optimizer steps."""
    batch: int = 4096
    """Number of points in each step."""
    lr: float = 5e-3
    """Learning rate of Adam at the first step; it falls to 0 as half a cosine."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "steps", "batch")
        require_above(self, 0, "lr", "reach")


@dataclass(frozen=True)
class AlignmentInitConfig:
    """Options for fitting the alignment field's lattice to the face model's identity basis before training."""

    points: int = 60_000
    """Number of points on and near the skin of the mean head."""
    smoothness: float = 4e-3
    """Weight of squared second differences between neighbouring nodes, relative to a node's share of the points."""
    iterations: int = 120
    """Largest number of iterations of the solver for each feature."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "points", "iterations")
        require_above(self, 0, "smoothness")


@dataclass(frozen=True)
class ShadingInitConfig:
    """Options for fitting the shading field to the light of synthetic people before training."""

    faces: int = 4000
    """Number of faces whose light is computed on the mesh, with the template's expression and with another: that of the
    data for the first half, one of the expression prior for the second. A tenth of them is held out."""
    steps: int = 4000
    """Number of optimizer steps."""
    batch: int = 64
    """Number of faces in each step."""
    points: int = 400
    """Number of points of the mean head in each step, the same for all its faces."""
    lr: float = 1.5e-3
    """Learning rate of Adam at its highest; it rises for 100 steps, then falls to 0.03 times this as half a cosine."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "steps", "batch", "points")
        require_at_least(self, 10, "faces")
        require_above(self, 0, "lr")
