"""Augmentation of face images for training a face regressor; landmarks and coefficients change accordingly.

Crop jitter is a small rotation of the camera about its own centre, and a small zoom. The rotation D (in yaw, pitch and
roll) moves pixels independently of their depth. The face's rotation R (from ``angle``) and translation ``trans`` change
exactly as follows, with points as row vectors:

    p_camera' = p_camera D          R' = R D          trans' - d = (trans - d) D          d = (0, 0, 10)

A zoom changes the focal length, for which there is no coefficient. Instead ``trans`` moves the face nearer, so that the
origin of the face stays at the same place in the image. This is exact for the depth of the origin only. A point that is
h model units nearer is off by ``|zoom - 1| h / 10`` of its distance from the image centre: at most 0.15 px at 128 px
for zooms within 5 %. Landmarks in pixels are exact for rotation and zoom. Shifts of the crop are small because a shift
changes the pose: 4 % of the width is a rotation by 0.5 degrees.

A gain multiplies the colours and also the light ``gamma``, after 0.8 is added to the first entry of each channel. Blur,
noise and JPEG change only the image.

All random numbers, noise included, are drawn on the CPU; images are processed on their own device, except JPEG.
Functions whose names end in an underscore change the images in place.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from anifacegan.data.config import AugmentationConfig
from anifacegan.face_model.regressed import Reconstruction
from anifacegan.geometry.cameras import RECONSTRUCTION_DISTANCE, euler_from_rotation, euler_rotation
from anifacegan.geometry.spherical_harmonics import AMBIENT
from anifacegan.runtime.image_files import encoded_image, read_image

BLUR_REACH = 3
"""Radius of the blur kernel, in standard deviations."""


@dataclass(frozen=True)
class Augmentation:
    """Augmentation parameters of each image of a batch, on the CPU."""

    rotation: Float[Tensor, "batch 3 3"]
    """Rotation D of the camera about its own centre, by which row vectors in the camera's frame are multiplied; the
    identity does not move the image."""
    zoom: Float[Tensor, "batch"]
    """Factor by which the content of an image is enlarged about the image centre."""
    gain: Float[Tensor, "batch 3"]
    """Factor by which each colour channel is multiplied."""
    blur: Float[Tensor, "batch"]
    """Standard deviation of the blur as a share of the width; 0 for none."""
    noise: Float[Tensor, "batch"]
    """Standard deviation of the noise for colours in [0, 1]; 0 for none."""
    jpeg_quality: Int[Tensor, "batch"]
    """JPEG quality; 0 for no compression."""


def draw_augmentation(
    config: AugmentationConfig, batch: int, size: int, focal_px: float, rng: torch.Generator
) -> Augmentation:
    """Draw random augmentation parameters for a batch of images.

    Args:
        config: how frequent and how strong augmentations are.
        batch: number of images.
        size: height and width of the images in pixels.
        focal_px: focal length of the images' camera in pixels.
        rng: source of all random numbers.
    """

    def uniform(*shape: int) -> Tensor:
        """Draw uniform numbers in [-1, 1)."""
        return 2 * torch.rand(batch, *shape, generator=rng) - 1

    def selected(share: float) -> Bool[Tensor, "batch"]:
        return torch.rand(batch, generator=rng) < share

    moved = selected(config.jitter_share)
    pitch_yaw = torch.atan(config.shift * (size - 1) / focal_px * uniform(2))  # about x and y
    roll = math.radians(config.roll_deg) * uniform(1)
    angles = torch.where(moved[:, None], torch.cat([pitch_yaw, roll], dim=1), 0.0)
    zoom = torch.where(moved, 1 + config.zoom * uniform(), 1.0)
    gain = 1 + config.gain * uniform(1) + config.gain / 4 * uniform(3)
    gain = torch.where(selected(config.gain_share)[:, None], gain, 1.0)
    blur = torch.where(selected(config.blur_share), config.blur * uniform().abs(), 0.0)
    noise = torch.where(selected(config.noise_share), config.noise * uniform().abs(), 0.0)
    quality = torch.randint(config.jpeg_quality, 96, (batch,), generator=rng)
    return Augmentation(
        rotation=euler_rotation(angles),
        zoom=zoom,
        gain=gain,
        blur=blur,
        noise=noise,
        jpeg_quality=torch.where(selected(config.jpeg_share), quality, 0),
    )


def augment(
    images: Float[Tensor, "batch 3 size size"], drawn: Augmentation, focal_px: float, rng: torch.Generator
) -> Float[Tensor, "batch 3 size size"]:
    """Return images after crop jitter (rotation and zoom), gain, blur, noise and JPEG, in this order.

    Args:
        images: colours in [0, 1]; they are not changed.
        drawn: parameters from :func:`draw_augmentation`.
        focal_px: focal length of the images' camera in pixels.
        rng: source of the noise.
    """
    gain = drawn.gain[:, :, None, None].to(images.device)
    images = warp(images, drawn, focal_px) * gain  # no longer the caller's
    blur_(images, drawn.blur)
    add_noise_(images, drawn.noise, rng)
    return compress_(images.clamp_(0, 1), drawn.jpeg_quality)


# ------------------------------------------------------------------------------------------------------- crop jitter
def warp(
    images: Float[Tensor, "batch 3 size size"], drawn: Augmentation, focal_px: float
) -> Float[Tensor, "batch 3 size size"]:
    """Resample images for the rotated and zoomed camera; outside of an image its border is repeated.

    ``focal_px`` is the focal length of the images' camera in pixels. Returns ``images`` itself if no image moves.
    """
    moved = (drawn.rotation != torch.eye(3)).any(dim=(1, 2)) | (drawn.zoom != 1)
    if not moved.any():
        return images
    # torchvision's warps keep the outer edges of the corner pixels, not their centres, and take one transform a call.
    zoom, rotation = (value[moved].to(images.device) for value in (drawn.zoom, drawn.rotation))
    grid = _sources(images.shape[-1], zoom, rotation, focal_px)
    result, index = images.clone(), moved.nonzero()[:, 0].to(images.device)
    result[index] = functional.grid_sample(images[index], grid, padding_mode="border", align_corners=True)
    return result


def _sources(
    size: int, zoom: Float[Tensor, "batch"], rotation: Float[Tensor, "batch 3 3"], focal_px: float
) -> Float[Tensor, "batch size size 2"]:
    """Compute the position in the original image from which every pixel of the warped image is read.

    Positions are -1 and 1 at the centres of the corner pixels. The map is the inverse of :func:`warped_pixels`: the ray
    (x, -y, -1) of a pixel is rotated back and projected. Each component of the rotated ray is the sum of a term that
    depends on the row and a term that depends on the column.
    """
    centre = (size - 1) / 2
    axis = torch.arange(size, dtype=rotation.dtype, device=rotation.device) - centre
    x = axis / (focal_px * zoom[:, None])  # and y: (B, S)
    back = rotation.permute(2, 1, 0)[..., None]  # row, component of the ray, batch
    row, column = x * back[0], x * back[1] + back[2]  # (3, B, S)
    scale = (row[2, :, None] - column[2, :, :, None]).reciprocal_().mul_(focal_px / centre)  # (B, S, S)
    grid = rotation.new_empty(*scale.shape, 2)
    torch.mul(column[0, :, :, None] - row[0, :, None], scale, out=grid[..., 0])
    torch.mul(row[1, :, None] - column[1, :, :, None], scale, out=grid[..., 1])
    return grid


def warped_pixels(
    pixels: Float[Tensor, "batch point 2"], drawn: Augmentation, size: int, focal_px: float
) -> Float[Tensor, "batch point 2"]:
    """Compute where points of the original images lie in the images that :func:`warp` returns.

    ``pixels`` and the result are x (right) and y (down), integers at pixel centres; ``size`` is the height and width of
    the images and ``focal_px`` the focal length of their camera, in pixels.
    """
    centre = (size - 1) / 2
    rotated = _rotated((pixels - centre) / focal_px, drawn.rotation)
    return centre + focal_px * drawn.zoom[:, None, None] * rotated


def _rotated(
    offsets: Float[Tensor, "any_batch point 2"], rotation: Float[Tensor, "batch 3 3"]
) -> Float[Tensor, "batch point 2"]:
    """Rotate the camera, and return the new image positions of points.

    Positions are pixel offsets from the image centre divided by the focal length (x right, y down).
    """
    x, y = offsets.unbind(-1)
    rays = torch.stack([x, -y, -torch.ones_like(x)], dim=-1) @ rotation
    return torch.stack([-rays[..., 0] / rays[..., 2], rays[..., 1] / rays[..., 2]], dim=-1)


# ------------------------------------------------------------------------------------------------------- coefficients
def augmented_coefficients(face: Reconstruction, drawn: Augmentation) -> Reconstruction:
    """Return the coefficients of faces as augmented images show them: angle, translation and light change.

    ``face`` holds the coefficients of the original images.
    """
    distance = face.trans.new_tensor([0.0, 0.0, RECONSTRUCTION_DISTANCE])
    trans = ((face.trans - distance)[:, None] @ drawn.rotation)[:, 0]
    nearer = torch.stack([torch.ones_like(drawn.zoom), torch.ones_like(drawn.zoom), 1 / drawn.zoom], dim=-1)
    light = face.gamma.reshape(-1, 3, 9)
    ambient = AMBIENT * functional.one_hot(torch.tensor(0), 9).to(light)
    return Reconstruction(
        id=face.id,
        exp=face.exp,
        tex=face.tex,
        angle=euler_from_rotation(euler_rotation(face.angle) @ drawn.rotation),
        gamma=((light + ambient) * drawn.gain[:, :, None] - ambient).reshape(-1, 27),
        trans=trans * nearer + distance,
    )


# ------------------------------------------------------------------------------------------------------- the image
def blur_(
    images: Float[Tensor, "batch 3 size size"], sigma: Float[Tensor, "batch"]
) -> Float[Tensor, "batch 3 size size"]:
    """Blur each image in place with a Gaussian of standard deviation ``sigma``, a share of the width (0: no blur).

    Borders are mirrored.
    """
    from torchvision.transforms.v2.functional import gaussian_blur  # slow to import, needed here only

    for index in (sigma > 0).nonzero()[:, 0].tolist():
        sigma_px = float(sigma[index]) * images.shape[-1]
        side = 2 * max(1, math.ceil(BLUR_REACH * sigma_px)) + 1
        images[index] = gaussian_blur(images[index], [side, side], [sigma_px, sigma_px])
    return images


def add_noise_(
    images: Float[Tensor, "batch 3 size size"], sigma: Float[Tensor, "batch"], rng: torch.Generator
) -> Float[Tensor, "batch 3 size size"]:
    """Add Gaussian noise to colours in [0, 1] in place, independent in every pixel and channel.

    ``sigma`` is the standard deviation for each image.
    """
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
    """Compress and decompress images with colours in [0, 1] as JPEG, in place.

    ``quality`` is the JPEG quality of each image, 1 to 95; images with quality 0 stay as they are.
    """
    # Not torchvision's jpeg, whose codecs are deprecated since 0.29; its images are the same.
    for index in quality.nonzero()[:, 0].tolist():
        image = (images[index].permute(1, 2, 0) * 255).round().byte().cpu().numpy()
        content = torch.from_numpy(_through_jpeg(image, int(quality[index]))).to(images.device)
        images[index] = content.permute(2, 0, 1).float() / 255
    return images


def _through_jpeg(image: UInt8[np.ndarray, "size size 3"], quality: int) -> UInt8[np.ndarray, "size size 3"]:
    return read_image(encoded_image(image, ".jpg", quality=quality))
