"""Trunks of the face reconstruction network: a picture becomes a feature vector and 257 raw numbers.

Three architectures with the same two methods. ``features`` is what distances between pictures can be measured in;
calling a trunk gives the raw outputs in the order of :mod:`anifacegan.models.reconstruction`.
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

    The backbone is He et al.'s with the stride in the 3 x 3 convolutions, named as torchvision names it. The picture
    enters as it is, in [0, 1].
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _ResNet50()
        self.final_layers = nn.ModuleList(nn.Conv2d(_ResNet50.feature_dim, size, 1) for size in OUTPUTS)

    def features(self, image: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch feature"]:
        return self.backbone(image)

    def forward(self, image: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch raw"]:
        h = self.features(image)[..., None, None]
        return torch.cat([layer(h) for layer in self.final_layers], dim=1).flatten(1)


class _ResNet50(nn.Module):
    feature_dim = 2048

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        before = 64
        for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
            layers = []
            for block in range(blocks):
                layers.append(_Bottleneck(before, width, stride=2 if stage > 1 and block == 0 else 1))
                before = 4 * width
            self.add_module(f"layer{stage}", nn.Sequential(*layers))

    def forward(self, image: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch feature"]:
        h = functional.relu(self.bn1(self.conv1(image)))
        h = functional.max_pool2d(h, 3, stride=2, padding=1)
        for stage in range(1, 5):
            h = self.get_submodule(f"layer{stage}")(h)
        return h.mean(dim=(2, 3))


class _Bottleneck(nn.Module):
    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride != 1 or before != 4 * width:
            projection = nn.Conv2d(before, 4 * width, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(4 * width))

    def forward(self, x: Float[Tensor, "batch channel side side"]) -> Float[Tensor, "batch wide low low"]:
        h = functional.relu(self.bn1(self.conv1(x)))
        h = functional.relu(self.bn2(self.conv2(h)))
        identity = x if self.downsample is None else self.downsample(x)
        return functional.relu(identity + self.bn3(self.conv3(h)))


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
