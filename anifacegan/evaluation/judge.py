"""The judge: a face regressor that estimates features and face coefficients of images, for evaluation only.

The judge must differ in architecture and seed from the regressor in the training losses, because a generator also
learns to exploit the errors of the network in its loss. The judge's features are used for the Frechet distance between
generated and real images. The judge's coefficients are compared with those that the images were generated from.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from tqdm import tqdm

from anifacegan.data.dataset import FaceDataset
from anifacegan.data.mirroring import Mirroring, mirroring_of
from anifacegan.face_model.open_model import load_open_face_model
from anifacegan.face_model.regressed import FaceLandmarks, Reconstruction
from anifacegan.geometry.resampling import resample
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.model_folder import weights_sha256
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.runtime.errors import InputError


@dataclass(frozen=True)
class Judge:
    """A face regressor for evaluation, with the face model that its coefficients belong to."""

    network: FaceRegressor
    """The face regressor."""
    landmarks: FaceLandmarks
    """Landmark positions of the face model as functions of the coefficients, on the network's device."""
    mirroring: Mirroring
    """How coefficients change when an image is mirrored."""
    world_offset: Float[Tensor, "3"]
    """Position of the face model's origin, world units."""
    name: str
    """Name and SHA-256 of the weights, for reports."""


@dataclass(frozen=True)
class JudgeOutputs:
    """What the judge, a face regressor for evaluation, estimates in several images.

    Each tensor has one row for each image, in the order of the images (CPU, float32).
    """

    features: Float[Tensor, "item feature"]
    """Activations before the network's last layer, for Frechet distances."""
    face: Reconstruction
    """Estimated face coefficients: the means of the estimates from the image and from its mirror image."""

    def __len__(self) -> int:
        return len(self.features)


def load_judge(path: Path, face_model: Path | None, device: torch.device) -> Judge:
    """Load the judge, a face regressor for evaluation, from its model folder ``path``.

    Args:
        path: model folder of the face regressor.
        face_model: file of the open face model, or None for the file in the user's cache.
        device: where the network shall compute.

    Raises:
        InputError: the network is missing, or was trained for another face model or another camera.
    """
    network, card = load_face_regressor(path)
    model = load_open_face_model(face_model)
    if card.face_model != model.name:
        raise InputError(f"judge: {path} belongs to face model '{card.face_model}', expected '{model.name}'")
    if network.config.camera != "generator":
        raise InputError(
            f"judge: {path} knows images of camera '{network.config.camera}', expected 'generator'"
        )
    return Judge(
        network=network.requires_grad_(False).eval().to(device),
        landmarks=FaceLandmarks(model, network.config.camera).to(device),
        mirroring=mirroring_of(model),
        world_offset=model.world_offset.to(device),
        name=f"{card.name} (sha256 {weights_sha256(path)[:12]})",
    )


@torch.no_grad()
def judge_images(judge: Judge, batches: Iterable[Float[Tensor, "batch 3 size size"]]) -> JudgeOutputs:
    """Run a face regressor on batches of images in [0, 1]; return its features and face coefficients of all images."""
    features, rows = [], []
    for rgb in batches:
        features.append(judge.network.features(rgb).float().cpu())
        rows.append(judge.mirroring.estimates_of_both(judge.network, rgb).float().mean(dim=0).cpu())
    return JudgeOutputs(torch.cat(features), Reconstruction.from_rows(torch.cat(rows)))


def real_batches(
    dataset: FaceDataset, items: Int[Tensor, "item"], size: int, batch: int, device: torch.device
) -> Iterator[Float[Tensor, "batch 3 size size"]]:
    """Read the images with the indices ``items`` in batches, colours in [0, 1], resampled to ``size`` pixels.

    Raises:
        InputError: a file cannot be read.
    """
    with tqdm(total=len(items), desc="real images", unit="image", disable=None, leave=False) as progress:
        for part in items.split(batch):
            pixels = torch.stack([dataset[int(item)].image for item in part])  # (B, H, W, 3)
            progress.update(len(part))
            yield resample(pixels.permute(0, 3, 1, 2).to(device).float() / 255, size)


def float_batches(
    images: UInt8[Tensor, "item 3 size size"], batch: int, device: torch.device
) -> Iterator[Float[Tensor, "batch 3 size size"]]:
    """Convert 8-bit images to batches of at most ``batch`` images on a device, with colours in [0, 1]."""
    return (part.to(device).float() / 255 for part in images.split(batch))


def real_items(count: int, available: int, rng: torch.Generator) -> Int[Tensor, "item"]:
    """Choose ``count`` different random indices below ``available``; if ``count`` is larger than ``available``, all
    indices in random order.
    """
    return torch.randperm(available, generator=rng)[:count]
