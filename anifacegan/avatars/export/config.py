"""Options of the exports of an avatar."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from anifacegan.runtime.errors import ConfigError, require_above, require_unused, require_within

FRAME_RATES = (0.01, 1000.0)
"""Slowest and fastest rate of a sequence, frames a second: at any other, times as float32 would not rise."""
WIDEST_RAD = 0.6
"""Largest angle from the frontal view to which a page turns a head, where none is given, radians."""
SEQUENCE_FPS = 30.0
"""Rate of a sequence of which none is given, frames a second."""


@runtime_checkable
class WithSequence(Protocol):
    """Options of an export that may play a sequence of expressions."""

    @property
    def sequence(self) -> Path | None:
        """File of the expressions."""

    @property
    def fps(self) -> float | None:
        """Its frames a second; None: SEQUENCE_FPS."""


def require_frame_rate(config: WithSequence) -> None:
    """Require that a frame rate, if it is given, lies within FRAME_RATES and belongs to a sequence.

    Raises:
        InputError: it does not.
    """
    if config.fps is None:
        return
    require_within(config, *FRAME_RATES, "fps")
    if config.sequence is None:
        require_unused(config, "without --sequence FILE", "fps")


@dataclass(frozen=True)
class WebConfig:
    """How an avatar is packed into a web page."""

    widest_rad: float | None = None
    """Largest angle from the frontal view to which the page turns the head, radians; parts that only wider views see
    are left out. At most the angle for which the avatar was baked. null: 0.6, or that angle if it is smaller."""
    precision_mm: float = 0.03
    """Precision of visible points, mm, counting 1 world unit as 1 m: 0.03 is a 28th of a pixel at 256 px."""
    quality: int = 92
    """Quality of the AVIF pictures of colours and opacities, 1 to 100."""

    def __post_init__(self) -> None:
        require_above(self, 0, "precision_mm")
        if self.widest_rad is not None:
            require_above(self, 0, "widest_rad")
            require_within(self, 0, 1.6, "widest_rad")
        if not 1 <= self.quality <= 100:
            raise ConfigError("quality", self.quality, "a whole number from 1 to 100")
        if not 0.001 <= self.precision_mm <= 1:
            raise ConfigError("precision_mm", self.precision_mm, "a number from 0.001 to 1")


@dataclass(frozen=True)
class GlbConfig:
    """How a person becomes a head for other programs."""

    texture: int = 2048
    """Height and width of the texture, texels."""
    view: int = 512
    """Height and width of the avatar's images that the texture is read from, pixels."""
    quality: int = 92
    """Quality of the texture's JPEG file, 1 to 100."""
    least_move: float = 0.0125
    """Movement of a vertex that a morph target leaves out, as a share of the target's largest. 0.0125 leaves out what
    moves less than an eightieth of it; the rest sets in smoothly."""
    hair_ribbons: int = 0
    """Number of ribbons of hair that hangs clear of the head, at most, such as 300; 0 leaves it out. They are of the
    synthetic person whose latents the avatar has: today's demo draws such hair shorter."""
    lash_ribbons: int = 130
    """Number of lashes, at most; 0 leaves them out."""

    def __post_init__(self) -> None:
        require_within(self, 64, 8192, "texture")
        require_within(self, 64, 4096, "view")
        require_within(self, 0, 4000, "hair_ribbons", "lash_ribbons")
        if not 1 <= self.quality <= 100:
            raise ConfigError("quality", self.quality, "a whole number from 1 to 100")
        if not 0 <= self.least_move <= 0.1:
            raise ConfigError("least_move", self.least_move, "a number from 0 to 0.1")
