"""Trunks of the face reconstruction network: a picture becomes a feature vector and 257 raw numbers.

Three architectures with the same two methods. ``features`` is what distances between pictures can be measured in;
calling a trunk gives the raw outputs in the order of :mod:`anifacegan.models.reconstruction`. The two small ones stay
our own: torchvision has no network with their layers, so none could load the shipped weights.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

OUTPUTS = (80, 64, 80, 3, 27, 2, 1)
"""Sizes of Deep3DFaceRecon's heads: id, exp, tex, angle, gamma, and trans in two parts, (x, y) and z."""
RAW_DIM = sum(OUTPUTS)
FEATURE_DIM = 256
"""Size of the small trunks' feature vector."""
GROUPS = 8
"""Groups of channels that :class:`PlainTrunk` normalises together."""


class ResidualTrunk(nn.Module):
    """The small trunk of the open model: every stage halves the picture; all but the first add a residual block."""

    def __init__(self, size: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = _normed_convolution(3, channels[0], kernel=5, stride=2)
        stages: list[nn.Module] = []
        for before, after in zip(channels, channels[1:], strict=False):
            stages += [_normed_convolution(before, after, kernel=3, stride=2), nn.ReLU(), _ResidualBlock(after)]
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

    def forward(self, h: Float[Tensor, "batch channel side side"]) -> Float[Tensor, "batch channel side side"]:
        return functional.relu(h + self.second(functional.relu(self.first(h))))


def _normed_convolution(before: int, after: int, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))


class PlainTrunk(nn.Module):
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


class ResNet50Trunk(nn.Module):
    """Deep3DFaceRecon's network, with its names: ``backbone`` is a ResNet-50, ``final_layers`` are seven heads.

    The backbone is torchvision's without its classifier. The image enters in [0, 1], without normalisation.
    """

    def __init__(self) -> None:
        from torchvision.models import resnet50  # takes seconds to import, needed here only

        super().__init__()
        self.backbone = resnet50(weights=None)
        width = self.backbone.fc.in_features
        self.backbone.fc = nn.Identity()                               # the backbone now returns its pooled features
        self.final_layers = nn.ModuleList(nn.Conv2d(width, size, 1) for size in OUTPUTS)

    def features(self, image: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch feature"]:
        return self.backbone(image)

    def forward(self, image: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch raw"]:
        h = self.features(image)[..., None, None]
        return torch.cat([layer(h) for layer in self.final_layers], dim=1).flatten(1)


def initialise(trunk: ResidualTrunk | PlainTrunk | ResNet50Trunk, rng: torch.Generator) -> None:
    """Kaiming normal weights; the last layer starts at zero, so that a fresh network says the mean face."""
    blocks = []
    for module in trunk.modules():
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
        nn.init.zeros_(block.second[1].weight)                         # it starts as the identity
    heads = trunk.final_layers if isinstance(trunk, ResNet50Trunk) else [trunk.head]
    for head in heads:
        nn.init.zeros_(head.weight)
