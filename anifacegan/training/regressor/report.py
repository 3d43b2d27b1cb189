"""How well a face reconstruction network knows people that it has never seen."""

import torch

from anifacegan.data.augmentation import NO_AUGMENTATION, AugmentationConfig
from anifacegan.face_model.regressed import (
    FIRST_EXPRESSIONS,
    FaceLandmarks,
    Reconstruction,
    correlation,
    pose_of,
)
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.training.regressor.data import FaceBatch, FaceImages, augmented_batch
from anifacegan.training.regressor.loop import REPORT_SIZE, focal_length

BATCH = 64

SEED = 20_001
"""Of the augmentations: the same in every report."""
AUGMENTED = "augmented_"
"""Before the names of what was measured on augmented images."""


def held_out_report(
    network: FaceRegressor,
    landmarks: FaceLandmarks,
    images: FaceImages,
    augmentation: AugmentationConfig,
) -> dict[str, float]:
    """Errors on images as they are, and, named ``degraded_...``, on the same images augmented. Network and landmarks
    are on one device; images are in host memory.
    """
    report = {}
    for prefix, config in (("", NO_AUGMENTATION), (AUGMENTED, augmentation)):
        found, truth = reconstructed(network, images, config, focal_length(landmarks, images.size))
        report |= {prefix + name: value for name, value in errors(found, truth, landmarks).items()}
    return report


@torch.no_grad()
def reconstructed(
    network: FaceRegressor, images: FaceImages, augmentation: AugmentationConfig, focal_px: float
) -> tuple[Reconstruction, FaceBatch]:
    """What the network sees in all images, and what is there."""
    was_training, rng, device = network.training, torch.Generator().manual_seed(SEED), network.mean.device
    network.eval()
    found, batches = [], []
    for items in torch.arange(len(images)).split(BATCH):
        batches.append(augmented_batch(images, items, augmentation, focal_px, rng, device))
        found.append(network(batches[-1].images).rows())
    network.train(was_training)
    truth = FaceBatch(
        images=torch.cat([batch.images for batch in batches]),
        face=Reconstruction.from_rows(torch.cat([batch.face.rows() for batch in batches])),
        landmarks_px=torch.cat([batch.landmarks_px for batch in batches]),
    )
    return Reconstruction.from_rows(torch.cat(found)), truth


def errors(found: Reconstruction, truth: FaceBatch, landmarks: FaceLandmarks) -> dict[str, float]:
    """Means over the images: |yaw|, |pitch| in degrees, distances of landmarks in pixels at 128 px, and correlations.

    ``exp_correlation`` is the mean of the first ten coefficients' correlations over the images, ``exp_lowest`` the
    lowest of the ten, ``exp_all`` the mean of all 64.
    """
    size = truth.images.shape[-1]
    pitch, yaw = torch.rad2deg(pose_of(found.angle) - pose_of(truth.face.angle)).abs().mean(dim=0).tolist()
    distance = (landmarks.pixels(found, size) - truth.landmarks_px).norm(dim=-1)
    expressions = correlation(found.exp, truth.face.exp)
    return {
        "yaw_deg": yaw,
        "pitch_deg": pitch,
        "landmarks_px": float(distance.mean()) * (REPORT_SIZE - 1) / (size - 1),
        "exp_correlation": float(expressions[:FIRST_EXPRESSIONS].mean()),
        "exp_lowest": float(expressions[:FIRST_EXPRESSIONS].min()),
        "exp_all": float(expressions.mean()),
        "id_correlation": float(correlation(found.id, truth.face.id)[:FIRST_EXPRESSIONS].mean()),
    }
