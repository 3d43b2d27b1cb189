"""Sizes of all networks, and the distribution of the poses of generated faces."""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from anifacegan.face_model.config import CameraKind
from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.conventions import ID_DIM, NOISE_DIM
from anifacegan.models.alignment_config import AlignmentConfig
from anifacegan.models.planes_config import FeaturePlanesConfig
from anifacegan.models.shading_config import ShadingConfig
from anifacegan.models.size_limits import CAPACITY, CHANNELS, FACTOR, LAYERS, TEXELS, UNITS
from anifacegan.runtime.errors import ConfigError, require_above, require_at_least, require_within


@dataclass(frozen=True)
class TemplateConfig:
    """Sizes of the template radiance field, the colour and opacity of the neutral face."""

    hidden_dim: int = 256
    """Width of every sine layer."""
    layers: int = 8
    """Number of sine layers, without the colour layer."""
    mapping_dim: int = 256
    """Width of the mapping network."""
    mapping_layers: int = 3
    """Number of hidden layers of the mapping network."""
    sigma_gain: float = 1.0
    """Factor on the density before its activation; 1 for the released weights. With the factor 1, an untrained head is
    almost transparent (alpha 0.03 for each manifold), and training without a discriminator is slow."""
    planes: FeaturePlanesConfig | None = None
    """Feature planes: tables of learned features over the mean head's surface, which give skin, irises and teeth more
    detail than a small network can; sharp only with generator.alignment. null: no planes, as in the paper."""

    def __post_init__(self) -> None:
        require_within(self, 2, LAYERS, "layers")
        require_within(self, 1, UNITS, "hidden_dim", "mapping_dim")
        require_within(self, 0, LAYERS, "mapping_layers")
        require_above(self, 0, "sigma_gain")
        require_within(self, 0, FACTOR, "sigma_gain")

    @property
    def units(self) -> int:
        """Number of sine units of all layers, the colour layer included."""
        return self.hidden_dim * (self.layers + 1)

    @property
    def mapping_width(self) -> int:
        """Width of the last hidden layer of the mapping network, or of its input where it has none."""
        return self.mapping_dim if self.mapping_layers else ID_DIM + NOISE_DIM


@dataclass(frozen=True)
class DeformationConfig:
    """Sizes of the deformation field, which moves points of the expressive face to the neutral template."""

    hidden_dim: int = 128
    """Width of every sine layer."""
    layers: int = 3
    """Number of sine layers before the linear head."""
    mapping_dim: int = 128
    """Width of the mapping network."""
    mapping_layers: int = 3
    """Number of hidden layers of the mapping network."""
    output_scale: float = 1.0
    """Factor from the last layer's output to the offset in world units; 1 for the released weights. Faces move by
    millimetres (0.001 world units). With the factor 0.02, one optimizer step changes offsets by less than a millimetre,
    and training is several times faster."""
    aligned: bool = False
    """Whether the network reads points that the alignment field has moved to the mean head, where everybody's lids and
    lips are at the same place. False: it reads points of the person, as in the paper."""

    def __post_init__(self) -> None:
        require_within(self, 1, UNITS, "hidden_dim", "mapping_dim")
        require_within(self, 1, LAYERS, "layers")
        require_within(self, 0, LAYERS, "mapping_layers")
        require_above(self, 0, "output_scale")
        require_within(self, 0, FACTOR, "output_scale")


LEAST_SPACING = 2.0**-21
"""Smallest distance between evenly spaced levels, relative to the largest of them: four float32 numbers."""


@dataclass(frozen=True)
class ManifoldConfig:
    """Size of the manifold predictor M, and the levels of s = M(x) that define the manifolds."""

    hidden_dim: int = 128
    """Width of the hidden layers."""
    layers: int = 3
    """Number of hidden layers."""
    count: int = 23
    """Number of manifolds."""
    first_level: float = 23.0
    """Level (value of s) of the manifold nearest to a frontal camera."""
    last_level: float = 8.0
    """Level (value of s) of the manifold farthest from a frontal camera; the levels between are evenly spaced."""
    levels: tuple[float, ...] = ()
    """Levels (values of s) of all manifolds, in falling order, if they are not evenly spaced; count, first_level and
    last_level are then ignored. Empty: they are evenly spaced."""

    def __post_init__(self) -> None:
        require_within(self, 1, UNITS, "hidden_dim")
        require_within(self, 1, LAYERS, "layers")
        require_within(self, 1, CHANNELS, "count")
        require_within(self, -FACTOR, FACTOR, "first_level", "last_level", "levels")
        if len(self.levels) > CHANNELS:
            raise ConfigError("levels", f"a list of {len(self.levels)}", f"at most {CHANNELS}")
        if self.manifold_count < 2 or not self._levels_fall():
            raise ConfigError("levels", self.values(), "at least 2, each lower than the one before")

    @property
    def manifold_count(self) -> int:
        """Number of manifolds: that of ``levels`` if there are any, else ``count``."""
        return len(self.levels) or self.count

    def _levels_fall(self) -> bool:
        """Return whether each level is lower than the one before, as float32 numbers if they are evenly spaced."""
        if self.levels:
            return all(a > b for a, b in pairwise(self.levels))
        largest = max(abs(self.first_level), abs(self.last_level))
        spacing = (self.first_level - self.last_level) / (self.count - 1)
        return spacing > LEAST_SPACING * largest

    def values(self) -> tuple[float, ...]:
        """Return the values of s on all manifolds, in falling order."""
        if self.levels:
            return self.levels
        import torch  # here, because the options are read, and their help is printed, without it

        return tuple(torch.linspace(self.first_level, self.last_level, self.count, device="cpu").tolist())


@dataclass(frozen=True)
class CoefficientVAEConfig:
    """Sizes of the networks of a VAE of face coefficients."""

    hidden_dim: int = 512
    """Width of the hidden layers."""
    layers: int = 5
    """Number of hidden layers of the encoder, and likewise of the decoder."""
    latent_dim: int = 256
    """Number of entries of the Gaussian latent."""

    def __post_init__(self) -> None:
        require_within(self, 1, UNITS, "hidden_dim", "latent_dim")
        require_within(self, 1, LAYERS, "layers")


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of the generator's networks, and how its rays are sampled."""

    template: TemplateConfig = field(default_factory=TemplateConfig)
    """Template radiance field: colour and opacity of the neutral face."""
    deformation: DeformationConfig = field(default_factory=DeformationConfig)
    """Deformation field, which moves points of the expressive face to the template."""
    alignment: AlignmentConfig | None = None
    """Alignment field, which moves all people's template points to the same points of a mean head, where the template
    radiance is evaluated; this makes eyes and lips sharper. null: no such field, as in the paper."""
    manifolds: ManifoldConfig = field(default_factory=ManifoldConfig)
    """Manifold predictor M, and the levels of s = M(x) that define the radiance manifolds."""
    shading: ShadingConfig | None = None
    """Shading field, which makes colours lighter and darker with the expression, as skin that turns or folds gets other
    light. null: no such field, as in the paper; every expression has the template's colours."""
    ray_sampling: RaySamplingConfig = field(default_factory=RaySamplingConfig)
    """Samples along the rays, field of view and background plane."""
    identity_prior: CoefficientVAEConfig = field(default_factory=CoefficientVAEConfig)
    """Identity VAE, whose decoder turns N(0, I) into z_id."""
    expression_prior: CoefficientVAEConfig = field(default_factory=CoefficientVAEConfig)
    """Expression VAE, whose decoder turns N(0, I) into z_exp."""
    template_expression: str = "neutral"
    """Expression of the template's faces: neutral as in the paper, or action units with strengths (ours), such as
    mouthUpperUp=0.35,mouthLowerDown=0.35: with its lips apart, mouths open without tearing them."""
    radiance_offset_gain: float = 1.0
    """Factor g on the deformation field's offset delta where colours are looked up, x + g * delta; manifolds are found
    at x + delta. 1 for models trained with this package; 1 / 0.12 for the released weights."""

    def __post_init__(self) -> None:
        require_within(self, 0, FACTOR, "radiance_offset_gain")
        if self.radiance_offset_gain != 1 and self.alignment is not None and self.alignment.manifolds:
            raise ConfigError("radiance_offset_gain", self.radiance_offset_gain, "1 with aligned manifolds")
        if self.deformation.aligned and self.alignment is None:
            raise ConfigError("deformation.aligned", True, "false, or an 'alignment'")


PriorKind = Literal["identity", "expression"]
"""Kind of a prior: which coefficients its decoder generates."""
DISCRIMINATOR_SIZES = (16, 32, 64, 128, 256, 512)
"""Supported heights and widths of the images, pixels."""


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Image size and widths of the discriminator."""

    size: int = 128
    """Height and width of the images in pixels: a power of two from 16 to 512."""
    capacity: int = 8192
    """A layer has capacity / resolution channels, but at most max_channels: with 8192, a layer at 128 pixels has 64."""
    max_channels: int = 400
    """Largest number of channels of a layer."""
    blur: bool = True
    """Halve the resolution with the filter 1-3-3-1 instead of the mean of 2x2 pixels."""
    start: Literal["default", "kaiming"] = "default"
    """Distribution of the first weights of the convolutions. default: PyTorch's, uniform in +-1/sqrt(inputs), as in
    GRAM; kaiming: normal, with a variance that keeps the size of the activations, so that the first logits depend on
    the image."""

    def __post_init__(self) -> None:
        if self.size not in DISCRIMINATOR_SIZES:
            raise ConfigError("size", self.size, f"one of {', '.join(map(str, DISCRIMINATOR_SIZES))}")
        require_within(self, self.size, CAPACITY, "capacity")
        require_within(self, 1, UNITS, "max_channels")

    @property
    def resolutions(self) -> list[int]:
        """Height and width in pixels of the discriminator's feature maps, before the first block and after each block:
        from the image size down to 2."""
        return [2**k for k in range(int(math.log2(self.size)), 0, -1)]

    def channels(self, resolution: int) -> int:
        """Return the number of channels of the layers at a resolution, which is given in pixels."""
        return min(self.max_channels, self.capacity // resolution)


@dataclass(frozen=True)
class FaceRegressorConfig:
    """Architecture of a face regressor, and the camera of its training images."""

    backbone: Literal["residual", "plain", "resnet50"] = "residual"
    """Architecture: residual is a small network with residual blocks; plain is a small network without residual blocks,
    for a second regressor that is only used for evaluation; resnet50 is Deep3DFaceRecon's network."""
    size: int = 128
    """Height and width in pixels of the backbone's input; 224 for Deep3DFaceRecon's weights."""
    border: int = 0
    """Number of pixels that are cropped from each side of the image before it enters the backbone."""
    channels: tuple[int, ...] = (16, 32, 64, 128, 160)
    """Number of channels in each stage of a small backbone (residual or plain); each stage halves the resolution."""
    camera: CameraKind = "generator"
    """Camera for which the network regresses angle and trans: generator or deep3dfacerecon."""

    def __post_init__(self) -> None:
        require_within(self, 2, TEXELS, "size")
        require_within(self, 0, TEXELS, "border")
        if len(self.channels) > 12:
            raise ConfigError("channels", f"a list of {len(self.channels)}", "at most 12")
        if self.backbone != "resnet50" and self.size % 2 ** len(self.channels):
            halvings = f"a multiple of {2 ** len(self.channels)}, for as many halvings as there are channels"
            raise ConfigError("size", self.size, halvings)
        require_within(self, 8, UNITS, "channels")
        if not self.channels or any(width < 8 or width % 8 for width in self.channels):
            raise ConfigError("channels", list(self.channels), "multiples of 8")

    @property
    def frame(self) -> int:
        """Height and width in pixels to which an image is resampled before its border is cropped."""
        return self.size + 2 * self.border


@dataclass(frozen=True)
class ViewSamplingConfig:
    """Distribution of the camera poses and expressions of generated faces."""

    poses: Literal["data", "gaussian"] = "data"
    """Camera poses. data: those of random real images, from their .mat files; gaussian: normal yaw and pitch."""
    yaw_deviation: float = 0.3
    """Standard deviation of the yaw of Gaussian poses, radians."""
    pitch_deviation: float = 0.155
    """Standard deviation of the pitch of Gaussian poses, radians."""
    limit: float = 1.3
    """Largest absolute pitch and yaw of Gaussian poses, radians; larger angles are set to this value."""
    neutral_ratio: float = 0.1
    """Probability that a face has the neutral expression, from 0 to 1; any other expression is sampled from the model's
    expression prior."""

    def __post_init__(self) -> None:
        require_within(self, 0, math.pi / 2, "yaw_deviation", "pitch_deviation", "limit")
        require_at_least(self, 0, "neutral_ratio")
        if self.neutral_ratio > 1:
            raise ConfigError("neutral_ratio", self.neutral_ratio, "0 to 1")
