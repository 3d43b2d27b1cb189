"""Errors of a face reconstruction network on images that it was not trained on."""

import torch

from anifacegan.data.config import NO_AUGMENTATION, AugmentationConfig
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
"""Number of images that the network processes at a time."""

SEED = 20_001
"""Random seed of the augmentations, the same in every report."""
AUGMENTED = "augmented_"
"""Prefix of the names of errors on augmented images."""


def held_out_report(
    network: FaceRegressor,
    landmarks: FaceLandmarks,
    images: FaceImages,
    augmentation: AugmentationConfig,
) -> dict[str, float]:
    """Compute the :func:`errors` of a face reconstruction network on images, and on the same images augmented.

    The names of errors on augmented images begin with AUGMENTED. Network and landmarks are on one device; images are in
    host memory.
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
    """Augment all images at random and estimate their coefficients with a face reconstruction network.

    Returns the estimated coefficients, and the augmented images with their true coefficients. ``focal_px`` is the focal
    length of the images' camera, pixels.
    """
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
    """Compare estimated coefficients ``found`` with the true coefficients in ``truth``; return errors by name.

    The errors are means over images: of yaw and pitch in degrees, of landmarks in pixels of an image of 128 px. The
    correlations are Pearson's, between estimated and true values over images. ``exp_correlation`` is the mean of the
    correlations of the first ten expression coefficients, ``exp_lowest`` the lowest of these ten correlations, and
    ``exp_all`` the mean of the correlations of all 64 coefficients. ``id_correlation`` is the mean of the correlations
    of the first ten identity coefficients.
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
