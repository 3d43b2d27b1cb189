"""Discriminator: a residual convolutional network from an image to a real-or-generated logit and the head pose.

It follows pi-GAN (Chan et al. 2021) with CoordConv (Liu et al. 2018): a 1x1 convolution from RGB, one residual block
for every halving of the resolution down to 2x2, and a 2x2 convolution to three numbers. Both branches of a block are
blurred before downsampling (Zhang 2019), so that the logit hardly changes when the image moves by a pixel:

    y = halve(act(conv(act(conv(x))))),    block(x) = (y + project(halve(x))) / sqrt(2)

Images are in [-1, 1], as (B, 3, H, W).
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from anifacegan.models.config import DiscriminatorConfig

LEAK = 0.2
"""Negative slope of the LeakyReLU activations."""


@dataclass(frozen=True)
class DiscriminatorOutput:
    """Logits and poses of a batch of images."""

    logit: Float[Tensor, "batch"]
    """Log odds that the image is real."""
    pose: Float[Tensor, "batch 2"]
    """Predicted head pose (pitch, yaw), radians relative to frontal, with the signs of
    :mod:`anifacegan.geometry.conventions`."""


class Discriminator(nn.Module):
    """Residual network from images (B, 3, size, size) in [-1, 1] to logits and poses."""

    def __init__(self, config: DiscriminatorConfig, condition_channels: int = 0) -> None:
        """``condition_channels`` is the number of channels that the network sees beside an image's three."""
        super().__init__()
        self.config = config
        resolutions = config.resolutions
        self.from_rgb = nn.Conv2d(3 + condition_channels, config.channels(resolutions[0]), 1)
        self.blocks = nn.ModuleDict(
            {
                f"from_{before}": HalvingBlock(config.channels(before), config.channels(after), config.blur)
                for before, after in pairwise(resolutions)
            }
        )
        self.output = nn.Conv2d(config.channels(resolutions[-1]), 3, 2)

    def initialize(self, rng: torch.Generator) -> "Discriminator":
        """Draw weights and biases from a CPU random generator, as the option ``start`` says; return the network itself.

        default: uniform in +-1/sqrt(inputs of a unit). kaiming: normal weights (a = 0.2), biases zero.
        """
        for module in self.modules():
            if not isinstance(module, nn.Conv2d):
                continue
            if self.config.start == "kaiming":
                nn.init.kaiming_normal_(module.weight, a=LEAK, generator=rng)
                nn.init.zeros_(module.bias)
            else:
                bound = 1 / math.sqrt(module.weight[0].numel())
                nn.init.uniform_(module.weight, -bound, bound, generator=rng)
                nn.init.uniform_(module.bias, -bound, bound, generator=rng)
        return self

    def forward(
        self,
        image: Float[Tensor, "batch 3 size size"],
        condition: Float[Tensor, "batch channel size size"] | None = None,
    ) -> DiscriminatorOutput:
        """Predict the logit and the head pose of each image, which is seen beside its ``condition``.

        Raises:
            ValueError: the images have another size than the configuration's.
        """
        if image.shape[-1] != self.config.size:
            raise ValueError(f"images are {image.shape[-1]} pixels wide, expected {self.config.size}")
        seen = image if condition is None else torch.cat([image, condition], dim=1)
        h = functional.leaky_relu(self.from_rgb(seen), LEAK)
        for block in self.blocks.values():
            h = block(h)  # (B, channels, resolution, resolution)
        numbers = self.output(h).flatten(1)  # (B, 3)
        return DiscriminatorOutput(numbers[:, 0], numbers[:, 1:])


class HalvingBlock(nn.Module):
    """Residual block of two 3x3 CoordConv layers that halves the resolution."""

    def __init__(self, in_channels: int, out_channels: int, blur: bool) -> None:
        super().__init__()
        self.blur = blur
        self.first = nn.Conv2d(in_channels + 2, out_channels, 3, padding=1)
        self.second = nn.Conv2d(out_channels + 2, out_channels, 3, padding=1)
        self.project = None if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Float[Tensor, "batch channel size size"]) -> Float[Tensor, "batch other half half"]:
        y = functional.leaky_relu(self.first(with_coordinates(x)), LEAK)
        y = functional.leaky_relu(self.second(with_coordinates(y)), LEAK)
        shortcut = halve(x, self.blur)
        if self.project is not None:
            shortcut = self.project(shortcut)
        return (halve(y, self.blur) + shortcut) / math.sqrt(2)


def with_coordinates(x: Float[Tensor, "batch channel size size"]) -> Float[Tensor, "batch more size size"]:
    """Append two channels to feature maps: the coordinates x and y of the pixel centres, from -1 to 1 (CoordConv)."""
    along = torch.linspace(-1, 1, x.shape[-1], dtype=x.dtype, device=x.device)
    down, right = torch.meshgrid(along, along, indexing="ij")
    place = torch.stack([right, down]).expand(len(x), -1, -1, -1)  # (B, 2, H, W)
    return torch.cat([x, place], dim=1)


def halve(
    x: Float[Tensor, "batch channel size size"], blur: bool
) -> Float[Tensor, "batch channel half half"]:
    """Halve the resolution: with ``blur`` by the separable filter (1, 3, 3, 1) / 8, otherwise by the mean of 2x2
    pixels.

    The filter is three consecutive means of two pixels, the last one with stride 2; border pixels are repeated.
    """
    if blur:
        x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        x = functional.avg_pool2d(functional.avg_pool2d(x, 2, stride=1), 2, stride=1)
    return functional.avg_pool2d(x, 2)
