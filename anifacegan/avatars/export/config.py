"""Options of the exports of an avatar."""

from dataclasses import dataclass

from anifacegan.runtime.errors import ConfigError, require_above


@dataclass(frozen=True)
class WebConfig:
    """How an avatar is packed into a web page."""

    widest_rad: float = 0.6
    """Largest angle from the frontal view to which the page turns the head, radians; parts that only wider views see
    are left out. At most the angle for which the avatar was baked."""
    precision_mm: float = 0.06
    """Precision of visible points, mm, counting 1 world unit as 1 m: 0.06 is a fourteenth of a pixel at 256 px."""
    quality: int = 90
    """Quality of the AVIF pictures of colours and opacities, 1 to 100."""

    def __post_init__(self) -> None:
        require_above(self, 0, "precision_mm", "widest_rad")
        if not 1 <= self.quality <= 100:
            raise ConfigError("quality", self.quality, "a whole number from 1 to 100")
        if not 0.001 <= self.precision_mm <= 1:
            raise ConfigError("precision_mm", self.precision_mm, "a number from 0.001 to 1")
