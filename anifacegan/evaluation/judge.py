"""What a judge sees in images: features to compare sets with, and the coefficients of each face.

The judge is a face reconstruction network that no loss has seen: another architecture and another seed than the one
in the landmark term, or a generator could learn to please its teacher.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from tqdm import tqdm

from anifacegan.data.dataset import FaceDataset
from anifacegan.face_model.open_model import load_open_face_model
from anifacegan.face_model.regressed import FaceLandmarks, Reconstruction
from anifacegan.geometry.resampling import resample
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.model_folder import weights_sha256
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.runtime.errors import InputError


@dataclass(frozen=True)
class Judge:
    """A face reconstruction network and the landmarks of its coefficients."""

    network: FaceRegressor
    landmarks: FaceLandmarks
    """Of the face model that the coefficients belong to, on the network's device."""
    world_offset: Float[Tensor, "3"]
    """Where that face model's origin is, world units."""
    name: str
    """Name and sum of the weights."""


@dataclass(frozen=True)
class JudgeOutputs:
    """What a judge saw in images, in their order, float32 in host memory."""

    features: Float[Tensor, "item feature"]
    face: Reconstruction

    def __len__(self) -> int:
        return len(self.features)


def load_judge(path: Path, face_model: Path | None, device: torch.device) -> Judge:
    """A judge from a model folder, for images of the generator's camera. ``face_model``: see ``load_head_geometry``.

    Raises:
        InputError: no such network, or one that belongs to another face model or another camera.
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
        world_offset=model.world_offset.to(device),
        name=f"{card.name} (sha256 {weights_sha256(path)[:12]})",
    )


@torch.no_grad()
def judge_images(
    network: FaceRegressor, batches: Iterable[Float[Tensor, "batch 3 size size"]]
) -> JudgeOutputs:
    """What a network sees in batches of images in [0, 1]."""
    features, rows = [], []
    for rgb in batches:
        features.append(network.features(rgb).float().cpu())
        rows.append(network(rgb).rows().float().cpu())
    return JudgeOutputs(torch.cat(features), Reconstruction.from_rows(torch.cat(rows)))


def real_batches(
    dataset: FaceDataset, items: Int[Tensor, "item"], size: int, batch: int, device: torch.device
) -> Iterator[Float[Tensor, "batch 3 size size"]]:
    """Images of a data set in [0, 1], at ``size`` pixels as the generated ones are.

    Raises:
        InputError: a file cannot be read.
    """
    with tqdm(total=len(items), desc="real images", unit="image", disable=None, leave=False) as progress:
        for some in items.split(batch):
            pixels = torch.stack([dataset[int(item)].image for item in some])  # (B, H, W, 3)
            progress.update(len(some))
            yield resample(pixels.permute(0, 3, 1, 2).to(device).float() / 255, size)


def float_batches(
    images: UInt8[Tensor, "item 3 size size"], batch: int, device: torch.device
) -> Iterator[Float[Tensor, "batch 3 size size"]]:
    """8-bit images in [0, 1]."""
    return (some.to(device).float() / 255 for some in images.split(batch))


def real_items(count: int, available: int, rng: torch.Generator) -> Int[Tensor, "item"]:
    """``count`` random items of a data set, no two the same; all of them where there are fewer."""
    return torch.randperm(available, generator=rng)[:count]
