"""Images made worse, with what it does to their landmarks and coefficients: so that a network learns to bear it.

Crop jitter is a small turn and zoom of the camera about its own centre. The turn (sideways, up and down, about the
axis) moves every pixel as it moves the points of the scene, whatever their depth, and changes ``angle`` and ``trans``
exactly:

    p_camera' = p_camera D          R' = R D          trans' - d = (trans - d) D          d = (0, 0, 10)

A zoom changes the focal length, which the coefficients do not have. They say instead that the face came closer, which
puts its origin where it is in the image; points nearer by h model units are off by ``|zoom - 1| h / 10`` of their
distance from the centre, 0.15 px at most for zooms within 5 % at 128 px. Landmarks in pixels are exact in both cases.
Shifts stay small because they do change the pose: 4 % of the width is a turn by 0.5 degrees.

A gain of the colours is a gain of the light, ``gamma + 0.8`` in each first entry. Blur, noise and JPEG change the
image alone.

What is drawn, the noise included, is drawn on the CPU, and stays there; images are changed where they are. JPEG is
written and read on the CPU. A batch of images is tens of megabytes, and a step of training waits for it: functions
with an underscore change it in place.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from anifacegan.face_model.regressed import Reconstruction
from anifacegan.geometry.cameras import RECONSTRUCTION_DISTANCE, euler_from_rotation, euler_rotation
from anifacegan.geometry.spherical_harmonics import AMBIENT
from anifacegan.runtime.errors import ConfigError
from anifacegan.runtime.files import encoded_image, read_image

BLUR_REACH = 3
"""Standard deviations after which a blur is cut off."""


@dataclass(frozen=True)
class AugmentationConfig:
    """How often and how far; everything is drawn evenly up to its limit."""

    jitter_share: float = 0.7
    """Share of images whose crop is moved."""
    shift: float = 0.04
    """Largest shift of a crop in x and in y, as a share of the width."""
    roll_deg: float = 4.0
    """Largest turn of a crop."""
    zoom: float = 0.05
    """Largest change of a crop's scale, as a share."""
    gain_share: float = 0.5
    """Share of images whose brightness and tint change."""
    gain: float = 0.2
    """Largest change of brightness, as a share; of the tint, a quarter of it."""
    blur_share: float = 0.4
    """Share of blurred images."""
    blur: float = 0.016
    """Largest standard deviation of the blur, as a share of the width: 2 px at 128."""
    noise_share: float = 0.4
    """Share of noisy images."""
    noise: float = 0.06
    """Largest standard deviation of the noise, of colours in [0, 1]."""
    jpeg_share: float = 0.25
    """Share of images that go through JPEG."""
    jpeg_quality: int = 30
    """Lowest quality; the highest is 95."""

    def __post_init__(self) -> None:
        limits = {name: 1.0 for name in vars(self) if name.endswith("_share")}
        limits |= {"shift": 0.25, "roll_deg": 45.0, "zoom": 0.5, "gain": 0.9, "blur": 0.05, "noise": 1.0}
        for name, high in limits.items():
            if not 0 <= getattr(self, name) <= high:
                raise ConfigError(name, getattr(self, name), f"0 to {high:g}")
        if not 1 <= self.jpeg_quality <= 95:
            raise ConfigError("jpeg_quality", self.jpeg_quality, "1 to 95")


NO_AUGMENTATION = AugmentationConfig(
    jitter_share=0.0, gain_share=0.0, blur_share=0.0, noise_share=0.0, jpeg_share=0.0
)
"""Draws augmentations that change nothing."""


@dataclass(frozen=True)
class Augmentation:
    """What happens to each image of a batch. On the CPU."""

    turn: Float[Tensor, "batch 3 3"]
    """D: points of the camera's frame, as rows, are multiplied by it."""
    zoom: Float[Tensor, "batch"]
    gain: Float[Tensor, "batch 3"]
    blur: Float[Tensor, "batch"]
    """Standard deviation, share of the width."""
    noise: Float[Tensor, "batch"]
    """Standard deviation, of colours in [0, 1]."""
    jpeg_quality: Int[Tensor, "batch"]
    """0 leaves the image as it is."""


def draw_augmentation(
    config: AugmentationConfig, batch: int, size: int, focal_px: float, rng: torch.Generator
) -> Augmentation:
    """What happens to images of ``size`` pixels, taken with a focal length of ``focal_px``."""

    def even(*shape: int) -> Tensor:
        """In [-1, 1)."""
        return 2 * torch.rand(batch, *shape, generator=rng) - 1

    def selected(share: float) -> Bool[Tensor, "batch"]:
        return torch.rand(batch, generator=rng) < share

    moved = selected(config.jitter_share)
    angles = torch.atan(config.shift * (size - 1) / focal_px * even(2))  # about x and y
    roll = math.radians(config.roll_deg) * even(1)
    turn = torch.where(moved[:, None], torch.cat([angles, roll], dim=1), 0.0)
    zoom = torch.where(moved, 1 + config.zoom * even(), 1.0)
    gain = 1 + config.gain * even(1) + config.gain / 4 * even(3)
    gain = torch.where(selected(config.gain_share)[:, None], gain, 1.0)
    blur = torch.where(selected(config.blur_share), config.blur * even().abs(), 0.0)
    noise = torch.where(selected(config.noise_share), config.noise * even().abs(), 0.0)
    quality = torch.randint(config.jpeg_quality, 96, (batch,), generator=rng)
    return Augmentation(
        turn=euler_rotation(turn),
        zoom=zoom,
        gain=gain,
        blur=blur,
        noise=noise,
        jpeg_quality=torch.where(selected(config.jpeg_share), quality, 0),
    )


def augment(
    images: Float[Tensor, "batch 3 size size"], drawn: Augmentation, focal_px: float, rng: torch.Generator
) -> Float[Tensor, "batch 3 size size"]:
    """Images in [0, 1]: moved, lit, blurred, noisy, compressed, in this order."""
    gain = drawn.gain[:, :, None, None].to(images.device)
    images = warp(images, drawn, focal_px) * gain  # no longer the caller's
    blur_(images, drawn.blur)
    add_noise_(images, drawn.noise, rng)
    return compress_(images.clamp_(0, 1), drawn.jpeg_quality)


# ------------------------------------------------------------------------------------------------------- crop jitter
def warp(
    images: Float[Tensor, "batch 3 size size"], drawn: Augmentation, focal_px: float
) -> Float[Tensor, "batch 3 size size"]:
    """What the turned and zoomed camera sees; where it looks past the image, the border's colours."""
    moved = (drawn.turn != torch.eye(3)).any(dim=(1, 2)) | (drawn.zoom != 1)
    if not moved.any():
        return images
    # torchvision's warps keep the outer edges of the corner pixels, not their centres, and take one transform a call.
    zoom, turn = (value[moved].to(images.device) for value in (drawn.zoom, drawn.turn))
    grid = _sources(images.shape[-1], zoom, turn, focal_px)
    result, index = images.clone(), moved.nonzero()[:, 0].to(images.device)
    result[index] = functional.grid_sample(images[index], grid, padding_mode="border", align_corners=True)
    return result


def _sources(
    size: int, zoom: Float[Tensor, "batch"], turn: Float[Tensor, "batch 3 3"], focal_px: float
) -> Float[Tensor, "batch size size 2"]:
    """Where every pixel comes from, from -1 to 1 between the corner pixels' centres: :func:`warped_pixels` backwards.

    A component of a pixel's ray, (x, -y, -1) turned back, is a row of numbers minus a column, so little is computed
    for each pixel.
    """
    centre = (size - 1) / 2
    axis = torch.arange(size, dtype=turn.dtype, device=turn.device) - centre
    x = axis / (focal_px * zoom[:, None])  # and y: (B, S)
    back = turn.permute(2, 1, 0)[..., None]  # row, component of the ray, batch
    row, column = x * back[0], x * back[1] + back[2]  # (3, B, S)
    scale = (row[2, :, None] - column[2, :, :, None]).reciprocal_().mul_(focal_px / centre)  # (B, S, S)
    grid = turn.new_empty(*scale.shape, 2)
    torch.mul(column[0, :, :, None] - row[0, :, None], scale, out=grid[..., 0])
    torch.mul(row[1, :, None] - column[1, :, :, None], scale, out=grid[..., 1])
    return grid


def warped_pixels(
    pixels: Float[Tensor, "batch point 2"], drawn: Augmentation, size: int, focal_px: float
) -> Float[Tensor, "batch point 2"]:
    """Where the index pixels of an image lie in the warped one."""
    centre = (size - 1) / 2
    turned = _turned((pixels - centre) / focal_px, drawn.turn)
    return centre + focal_px * drawn.zoom[:, None, None] * turned


def _turned(
    offsets: Float[Tensor, "any_batch point 2"], turn: Float[Tensor, "batch 3 3"]
) -> Float[Tensor, "batch point 2"]:
    """Pixels over the focal length (x right, y down from the centre) of directions after a turn of the camera."""
    x, y = offsets.unbind(-1)
    rays = torch.stack([x, -y, -torch.ones_like(x)], dim=-1) @ turn
    return torch.stack([-rays[..., 0] / rays[..., 2], rays[..., 1] / rays[..., 2]], dim=-1)


# ------------------------------------------------------------------------------------------------------- coefficients
def augmented_coefficients(face: Reconstruction, drawn: Augmentation) -> Reconstruction:
    """The coefficients of the augmented images."""
    distance = face.trans.new_tensor([0.0, 0.0, RECONSTRUCTION_DISTANCE])
    trans = ((face.trans - distance)[:, None] @ drawn.turn)[:, 0]
    nearer = torch.stack([torch.ones_like(drawn.zoom), torch.ones_like(drawn.zoom), 1 / drawn.zoom], dim=-1)
    light = face.gamma.reshape(-1, 3, 9)
    ambient = AMBIENT * functional.one_hot(torch.tensor(0), 9).to(light)
    return Reconstruction(
        id=face.id,
        exp=face.exp,
        tex=face.tex,
        angle=euler_from_rotation(euler_rotation(face.angle) @ drawn.turn),
        gamma=((light + ambient) * drawn.gain[:, :, None] - ambient).reshape(-1, 27),
        trans=trans * nearer + distance,
    )


# ------------------------------------------------------------------------------------------------------- the image
def blur_(
    images: Float[Tensor, "batch 3 size size"], sigma: Float[Tensor, "batch"]
) -> Float[Tensor, "batch 3 size size"]:
    """Gaussian blur, its own for each image; beyond the border, the image is mirrored."""
    from torchvision.transforms.v2.functional import gaussian_blur  # slow to import, needed here only

    for index in (sigma > 0).nonzero()[:, 0].tolist():
        sigma_px = float(sigma[index]) * images.shape[-1]
        side = 2 * max(1, math.ceil(BLUR_REACH * sigma_px)) + 1
        images[index] = gaussian_blur(images[index], [side, side], [sigma_px, sigma_px])
    return images


def add_noise_(
    images: Float[Tensor, "batch 3 size size"], sigma: Float[Tensor, "batch"], rng: torch.Generator
) -> Float[Tensor, "batch 3 size size"]:
    """Independent Gaussian noise in every pixel and colour."""
    selected = (sigma > 0).nonzero()[:, 0]
    if not len(selected):
        return images
    noise = torch.randn(len(selected), *images.shape[1:], generator=rng).mul_(
        sigma[selected, None, None, None]
    )
    return images.index_add_(0, selected.to(images.device), noise.to(images.device))


def compress_(
    images: Float[Tensor, "batch 3 size size"], quality: Int[Tensor, "batch"]
) -> Float[Tensor, "batch 3 size size"]:
    """Images in [0, 1] written and read as JPEG where their quality is not 0."""
    # Not torchvision's jpeg, whose codecs are deprecated since 0.29; its images are the same.
    for index in quality.nonzero()[:, 0].tolist():
        image = (images[index].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
        content = torch.from_numpy(_through_jpeg(image, int(quality[index]))).to(images.device)
        images[index] = content.permute(2, 0, 1).float() / 255
    return images


def _through_jpeg(image: UInt8[np.ndarray, "size size 3"], quality: int) -> UInt8[np.ndarray, "size size 3"]:
    return read_image(encoded_image(image, ".jpg", quality=quality))
