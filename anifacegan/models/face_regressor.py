"""Face reconstruction: an image becomes the coefficients of the face in it, and from them its 68 landmarks.

    image -> id 80, exp 64, tex 80, angle 3, gamma 27, trans 3            (method, section 4, R)

The network is a backbone of :mod:`anifacegan.models.reconstruction_trunks`; its raw outputs are standardised, and the
statistics of the data are buffers: ``coefficient = mean + scale * raw``. With the ResNet-50 backbone, mean 0 and scale 1
it is Deep3DFaceRecon's network.

Both cameras of the method's section 3 take ``angle`` and ``trans`` alike: the face is posed, ``p' = p R + trans`` in
model units, and looked at from (0, 0, 10). They differ in focal length. For our own images ``trans`` is the model's
world offset seen from the camera, and 0 for the open face model.

Trunks of the face reconstruction network: an image becomes a feature vector and 257 raw numbers.

Three architectures with the same two methods. ``features`` is what distances between images can be measured in;
calling a backbone gives the raw outputs in the order of :mod:`anifacegan.models.reconstruction`. The two small ones stay
our own: torchvision has no network with their layers, so none could load the shipped weights.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from anifacegan.face_model.regressed import SCALE_FLOOR, CameraKind, Reconstruction
from anifacegan.geometry.resampling import resample
from anifacegan.runtime.errors import ConfigError


@dataclass(frozen=True)
class ReconstructionConfig:
    """Which network, and what its images were taken with."""

    backbone: Literal["residual", "plain", "resnet50"] = "residual"
    """Small with residual blocks; small without, for judging; or Deep3DFaceRecon's."""
    size: int = 128
    """Height and width in pixels of what the network looks at; 224 for Deep3DFaceRecon's weights."""
    border: int = 0
    """Pixels that are cut off on each side before: the face lies in the middle, and expressions are small."""
    channels: tuple[int, ...] = (16, 32, 64, 128, 160)
    """Channels of the small backbones' stages, each of half the size of the one before."""
    camera: CameraKind = "generator"
    """The camera that angle and trans belong to."""

    def __post_init__(self) -> None:
        if self.size < 2 or self.backbone != "resnet50" and self.size % 2 ** len(self.channels):
            halvings = f"a multiple of {2 ** len(self.channels)}, for as many halvings as there are channels"
            raise ConfigError("size", self.size, halvings)
        if self.border < 0:
            raise ConfigError("border", self.border, "at least 0")
        if not self.channels or any(width < 8 or width % 8 for width in self.channels):
            raise ConfigError("channels", list(self.channels), "multiples of 8")

    @property
    def frame(self) -> int:
        """Height and width in pixels of whole images when the network looks at their middle."""
        return self.size + 2 * self.border


class ReconstructionNetwork(nn.Module):
    """R of the landmark term and of the evaluation."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: ReconstructionConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone: ResidualBackbone | PlainBackbone | ResNet50Backbone
        if config.backbone == "resnet50":
            self.backbone = ResNet50Backbone()
        else:
            kind = ResidualBackbone if config.backbone == "residual" else PlainBackbone
            self.backbone = kind(config.size, config.channels)
        self.register_buffer("mean", torch.zeros(RAW_DIM))
        self.register_buffer("scale", torch.ones(RAW_DIM))

    def initialise(self, rng: torch.Generator) -> None:
        """Fresh weights; the network says the mean face."""
        initialise(self.backbone, rng)

    def set_statistics(self, rows: Float[Tensor, "item 257"]) -> None:
        """Standardise the outputs by these coefficients."""
        self.mean.copy_(rows.mean(dim=0))
        self.scale.copy_(rows.std(dim=0).clamp(min=SCALE_FLOOR))

    def features(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch feature"]:
        """What the backbone's last layers see: a space to compare images in."""
        return self.backbone.features(self._middle(image))

    def standardised(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 257"]:
        """Coefficients in standard deviations of the data, of images in [0, 1] of any size."""
        return self.backbone(self._middle(image)).to(self.mean)  # out of autocast's half precision

    def forward(self, image: Float[Tensor, "batch 3 side side"]) -> Reconstruction:
        """Coefficients of the faces in images in [0, 1] of any size, framed as the training data are."""
        return self.named(self.standardised(image))

    def _middle(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 3 size size"]:
        whole, border = resample(image, self.config.frame), self.config.border
        return whole[..., border : border + self.config.size, border : border + self.config.size]

    def named(self, standardised: Float[Tensor, "batch 257"]) -> Reconstruction:
        """Standardised outputs as coefficients."""
        return Reconstruction.from_rows(self.mean + self.scale * standardised)


OUTPUTS = (80, 64, 80, 3, 27, 2, 1)
"""Sizes of Deep3DFaceRecon's heads: id, exp, tex, angle, gamma, and trans in two parts, (x, y) and z."""
RAW_DIM = sum(OUTPUTS)
FEATURE_DIM = 256
"""Size of the small backbones' feature vector."""
GROUPS = 8
"""Groups of channels that :class:`PlainTrunk` normalises together."""


class ResidualBackbone(nn.Module):
    """The small backbone of the open model: every stage halves the image; all but the first add a residual block."""

    def __init__(self, size: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = _normed_convolution(3, channels[0], kernel=5, stride=2)
        stages: list[nn.Module] = []
        for before, after in zip(channels, channels[1:], strict=False):
            stages += [
                _normed_convolution(before, after, kernel=3, stride=2),
                nn.ReLU(),
                _ResidualBlock(after),
            ]
        self.stages = nn.Sequential(*stages)
        self.embed = nn.Linear(channels[-1] * (size >> len(channels)) ** 2, FEATURE_DIM)
        self.head = nn.Linear(FEATURE_DIM, RAW_DIM)

    def features(self, image: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch feature"]:
        h = self.stages(functional.relu(self.stem(2 * image - 1)))
        return functional.relu(self.embed(h.flatten(1)))

    def forward(self, image: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch raw"]:
        return self.head(self.features(image))


class _ResidualBlock(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _normed_convolution(channels, channels, kernel=3, stride=1)
        self.second = _normed_convolution(channels, channels, kernel=3, stride=1)

    def forward(
        self, h: Float[Tensor, "batch channel side side"]
    ) -> Float[Tensor, "batch channel side side"]:
        return functional.relu(h + self.second(functional.relu(self.first(h))))


def _normed_convolution(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))


class PlainBackbone(nn.Module):
    """The judge's: no identities, group instead of batch normalisation, smooth activations, pooled at the end.

    Position reaches the pooled features through two more input channels, the pixel's own coordinates.
    """

    def __init__(self, size: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for stage, (before, after) in enumerate(zip((5, *channels), channels, strict=False)):
            layers += _smooth_convolution(before, after, stride=2)
            if stage > 0:
                layers += _smooth_convolution(after, after, stride=1)
        self.layers = nn.Sequential(*layers)
        self.embed = nn.Linear(2 * channels[-1], FEATURE_DIM)
        self.head = nn.Linear(FEATURE_DIM, RAW_DIM)

    def features(self, image: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch feature"]:
        axis = torch.linspace(-1, 1, image.shape[-1], dtype=image.dtype, device=image.device)
        place = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).expand(len(image), -1, -1, -1)
        h = self.layers(torch.cat([2 * image - 1, place], dim=1))
        return functional.silu(self.embed(torch.cat([h.mean(dim=(2, 3)), h.amax(dim=(2, 3))], dim=1)))

    def forward(self, image: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch raw"]:
        return self.head(self.features(image))


def _smooth_convolution(before: int, after: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    return [convolution, nn.GroupNorm(GROUPS, after), nn.SiLU()]


class ResNet50Backbone(nn.Module):
    """Deep3DFaceRecon's network, with its names: ``backbone`` is a ResNet-50, ``final_layers`` are seven heads.

    The backbone is torchvision's without its classifier. The image enters in [0, 1], without normalisation.
    """

    def __init__(self) -> None:
        from torchvision.models import resnet50  # takes seconds to import, needed here only

        super().__init__()
        self.backbone = resnet50(weights=None)
        width = self.backbone.fc.in_features
        self.backbone.fc = nn.Identity()  # the backbone now returns its pooled features
        self.final_layers = nn.ModuleList(nn.Conv2d(width, size, 1) for size in OUTPUTS)

    def features(self, image: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch feature"]:
        return self.backbone(image)

    def forward(self, image: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch raw"]:
        h = self.features(image)[..., None, None]
        return torch.cat([layer(h) for layer in self.final_layers], dim=1).flatten(1)


def initialise(backbone: ResidualBackbone | PlainBackbone | ResNet50Backbone, rng: torch.Generator) -> None:
    """Kaiming normal weights; the last layer starts at zero, so that a fresh network says the mean face."""
    blocks = []
    for module in backbone.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=rng)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
        elif isinstance(module, _ResidualBlock):
            blocks.append(module)
    for block in blocks:
        nn.init.zeros_(block.second[1].weight)  # it starts as the identity
    heads = backbone.final_layers if isinstance(backbone, ResNet50Backbone) else [backbone.head]
    for head in heads:
        nn.init.zeros_(head.weight)
