"""Images with exact coefficients, in memory at the input size of a face reconstruction network."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from tqdm import tqdm

from anifacegan.data.augmentation import augment, augmented_coefficients, draw_augmentation, warped_pixels
from anifacegan.data.config import AugmentationConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.face_model.regressed import Reconstruction
from anifacegan.geometry.cameras import from_lm68
from anifacegan.geometry.resampling import resample
from anifacegan.runtime.tensor_records import moved

CPU = torch.device("cpu")
CHUNK = 64
"""Number of images that are read and resampled at a time."""


@dataclass(frozen=True)
class FaceImages:
    """Images, coefficients and landmarks of a data set.

    With mirroring, there are twice as many items as images: the mirror images follow, in the same order.
    """

    pixels: UInt8[Tensor, "image 3 size size"]
    """Images, without their mirror images."""
    rows: Float[Tensor, "item 257"]
    """Coefficients, a row for each item, in the order of :class:`Reconstruction`."""
    landmarks_px: Float[Tensor, "item 68 2"]
    """Landmarks in pixels, y down; whole numbers are the centres of pixels."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        """Height and width of the images in pixels."""
        return self.pixels.shape[-1]

    def pixels_of(self, items: Int[Tensor, "some"]) -> UInt8[Tensor, "some 3 size size"]:
        """Return the pixels of some of the items."""
        pixels, mirrored = self.pixels[items % len(self.pixels)], items >= len(self.pixels)
        pixels[mirrored] = pixels[mirrored].flip(3)
        return pixels

    def split(self, held_out: int) -> tuple["FaceImages", "FaceImages"]:
        """Return all but the last ``held_out`` images, with their mirror images if there are such, and these last
        images without."""
        count = len(self.pixels)
        images = torch.arange(count - held_out)
        training = images if len(self) == count else torch.cat([images, images + count])
        last = slice(count - held_out, count)
        return (
            FaceImages(self.pixels[: count - held_out], self.rows[training], self.landmarks_px[training]),
            FaceImages(self.pixels[last], self.rows[last], self.landmarks_px[last]),
        )


@dataclass(frozen=True)
class FaceBatch:
    """Augmented images with their coefficients and landmarks."""

    images: Float[Tensor, "batch 3 size size"]
    """Colours in [0, 1]."""
    face: Reconstruction
    landmarks_px: Float[Tensor, "batch 68 2"]


def load_images(dataset: FaceDataset, size: int) -> FaceImages:
    """Read all images of a data set, resampled to ``size`` pixels, with as many threads as PyTorch uses."""
    count = len(dataset.names)
    pixels = torch.empty(count, 3, size, size, dtype=torch.uint8)
    starts = tqdm(range(0, count, CHUNK), desc="reading images", unit="chunk", disable=None, leave=False)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for start in starts:
            items = range(start, min(start + CHUNK, count))
            chunk = torch.stack(list(pool.map(lambda item: dataset[item].image, items)))  # (B, S, S, 3)
            small = resample(chunk.permute(0, 3, 1, 2).float(), size)
            pixels[start : items.stop] = small.round().clamp(0, 255).byte()
    lm68 = dataset.load_coefficients().landmarks()
    return FaceImages(pixels, coefficient_rows(dataset), from_lm68(lm68, size))


def coefficient_rows(dataset: FaceDataset) -> Float[Tensor, "item 257"]:
    """Return the coefficients of all items, a row for each, in the order of :class:`Reconstruction`."""
    faces = [dataset.face(item) for item in range(len(dataset))]
    rows = np.stack([np.concatenate([f.id, f.exp, f.tex, f.angle, f.gamma, f.trans]) for f in faces])
    return torch.from_numpy(rows)


def augmented_batch(
    images: FaceImages,
    items: Int[Tensor, "batch"],
    config: AugmentationConfig,
    focal_px: float,
    rng: torch.Generator,
    device: torch.device = CPU,
) -> FaceBatch:
    """Augment some images at random, and change their coefficients and landmarks accordingly.

    The random draws do not depend on the device.

    Args:
        images: all images, with coefficients and landmarks.
        items: indices of the images that are augmented.
        config: how frequent and how strong augmentations are.
        focal_px: focal length of the images' camera, pixels.
        rng: source of all random numbers.
        device: where the result lies.
    """
    drawn = draw_augmentation(config, len(items), images.size, focal_px, rng)
    pixels = images.pixels_of(items).to(device, non_blocking=True)
    face = augmented_coefficients(Reconstruction.from_rows(images.rows[items]), drawn)
    return FaceBatch(
        images=augment(pixels.float() / 255, drawn, focal_px, rng),
        face=moved(face, device),
        landmarks_px=warped_pixels(images.landmarks_px[items], drawn, images.size, focal_px).to(device),
    )


def jittered_rows(
    images: FaceImages, config: AugmentationConfig, focal_px: float, rng: torch.Generator
) -> Float[Tensor, "item 257"]:
    """Return the coefficients of all images after a random augmentation, one row of 257 numbers for each image.

    The mean and standard deviation of each coefficient, by which the network's outputs are scaled, are computed from
    these rows. ``config`` says how strong augmentations are; ``focal_px`` is the focal length of the images' camera,
    pixels.
    """
    drawn = draw_augmentation(config, len(images), images.size, focal_px, rng)
    return augmented_coefficients(Reconstruction.from_rows(images.rows), drawn).rows()
