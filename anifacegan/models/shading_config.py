"""Options of the shading field (:mod:`anifacegan.models.shading`)."""

from dataclasses import dataclass

from anifacegan.models.size_limits import FACTOR, LAYERS, LENGTH, UNITS
from anifacegan.runtime.errors import ConfigError, require_above, require_within


@dataclass(frozen=True)
class ShadingConfig:
    """Sizes of the shading field, which changes the template's colours with the expression; not in the paper."""

    hidden_dim: int = 64
    """Width of every sine layer."""
    layers: int = 2
    """Number of sine layers before the linear head."""
    mapping_dim: int = 256
    """Width of the mapping network."""
    mapping_layers: int = 3
    """Number of hidden layers of the mapping network."""
    bound: float = 1.2
    """Largest change of the logarithm of a colour; 1.2: factors from 0.3 to 3.3."""
    fade_z: tuple[float, float] = (-0.118, -0.1)
    """Two values of z, world units. Behind the first, colours do not change; to the second, the change grows to its
    full strength. The background plane is at z = -0.12."""

    def __post_init__(self) -> None:
        require_within(self, 1, UNITS, "hidden_dim", "mapping_dim")
        require_within(self, 1, LAYERS, "layers")
        require_within(self, 0, LAYERS, "mapping_layers")
        require_above(self, 0, "bound")
        require_within(self, 0, FACTOR, "bound")
        require_within(self, -LENGTH, LENGTH, "fade_z")
        if self.fade_z[0] >= self.fade_z[1]:
            raise ConfigError("fade_z", self.fade_z, "a lower and a higher z")
