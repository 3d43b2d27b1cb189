"""Backbones of the face regressor: an image becomes a feature vector and 257 raw outputs.

There are three architectures with the same interface: ``features`` returns the feature vector, in which distances
between images can be measured; calling the backbone returns the raw outputs in the order of :data:`OUTPUTS`. Images are
(B, 3, H, W) in [0, 1].
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

OUTPUTS = (80, 64, 80, 3, 27, 2, 1)
"""Sizes of the parts of the raw output in order: id, exp, tex, angle, gamma, (x, y) of trans and z of trans, as in
Deep3DFaceRecon."""
RAW_DIM = sum(OUTPUTS)
"""Number of raw outputs, 257."""
FEATURE_DIM = 256
"""Size of the small backbones' feature vector."""
GROUPS = 8
"""Number of groups of the group normalisation in :class:`PlainBackbone`."""


class ResidualBackbone(nn.Module):
    """Small backbone whose stages halve the resolution; each stage but the first has a residual block."""

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
    """Two 3x3 convolutions with an identity shortcut."""

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
    """Small backbone without shortcuts, for the regressor that is only used for evaluation.

    Its architecture differs on purpose from that of the regressor that generators are trained with: group
    normalisation, SiLU activations, and global mean and max pooling. Two more input channels hold the pixel
    coordinates, so that positions are not lost in the pooling.
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
    """Deep3DFaceRecon's network: torchvision's ResNet-50 without its classifier, and seven linear heads.

    Module names are Deep3DFaceRecon's, so that its weights load. Images are not normalised.
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


def initialize_backbone(
    backbone: ResidualBackbone | PlainBackbone | ResNet50Backbone, rng: torch.Generator
) -> None:
    """Draw Kaiming normal weights; the output layers start at zero, so that a fresh network regresses the mean face."""
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
