"""Errors of a face reconstruction network on images that it was not trained on."""

import torch

from anifacegan.data.config import NO_AUGMENTATION, AugmentationConfig
from anifacegan.data.mirroring import Mirroring
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
WITH_MIRROR_IMAGES = "mirror_"
"""Prefix of the names of errors of the mean of two estimates, from an image and from its mirror image."""


def held_out_report(
    network: FaceRegressor,
    landmarks: FaceLandmarks,
    images: FaceImages,
    augmentation: AugmentationConfig,
    mirroring: Mirroring | None = None,
) -> dict[str, float]:
    """Compute the :func:`errors` of a face reconstruction network on images, and on the same images augmented.

    The names of errors on augmented images begin with AUGMENTED. With ``mirroring`` there are also the errors of the
    mean of the estimates from an image and from its mirror image; their names begin with WITH_MIRROR_IMAGES. Network
    and landmarks are on one device; images are in host memory.
    """
    report = {}
    focal_px = focal_length(landmarks, images.size)
    kinds = [("", NO_AUGMENTATION, None), (AUGMENTED, augmentation, None)]
    if mirroring is not None:
        kinds.append((WITH_MIRROR_IMAGES, NO_AUGMENTATION, mirroring))
    for prefix, config, flip in kinds:
        found, truth = reconstructed(network, images, config, focal_px, flip)
        report |= {prefix + name: value for name, value in errors(found, truth, landmarks).items()}
    return report


@torch.no_grad()
def reconstructed(
    network: FaceRegressor,
    images: FaceImages,
    augmentation: AugmentationConfig,
    focal_px: float,
    mirroring: Mirroring | None = None,
) -> tuple[Reconstruction, FaceBatch]:
    """Augment all images at random and estimate their coefficients with a face reconstruction network.

    Returns the estimated coefficients, and the augmented images with their true coefficients. ``focal_px`` is the focal
    length of the images' camera, pixels. With ``mirroring`` a coefficient is the mean of the estimates from the image
    and from its mirror image.
    """
    was_training, rng, device = network.training, torch.Generator().manual_seed(SEED), network.mean.device
    network.eval()
    found, batches = [], []
    for items in torch.arange(len(images)).split(BATCH):
        batches.append(augmented_batch(images, items, augmentation, focal_px, rng, device))
        if mirroring is None:
            found.append(network(batches[-1].images).rows())
        else:
            found.append(mirroring.estimates_of_both(network, batches[-1].images).mean(dim=0))
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
