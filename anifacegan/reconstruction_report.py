"""How well a face reconstruction network knows people that it has never seen."""

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.degradations import UNCHANGED, DegradationConfig
from anifacegan.models.reconstruction import FaceLandmarks, Reconstruction, ReconstructionNetwork, pose_of
from anifacegan.reconstruction_data import FaceBatch, FacePictures, degraded_batch
from anifacegan.reconstruction_training import REPORT_SIZE, focal_length

BATCH = 64
FIRST_EXPRESSIONS = 10
"""The expression coefficients whose correlation is reported."""
SEED = 20_001
"""Of the degradations: the same in every report."""
DEGRADED = "degraded_"
"""Before the names of what was measured on degraded pictures."""


def held_out_report(
    network: ReconstructionNetwork,
    landmarks: FaceLandmarks,
    pictures: FacePictures,
    degradations: DegradationConfig,
) -> dict[str, float]:
    """Errors on pictures as they are, and, named ``degraded_...``, on the same pictures degraded. Network and landmarks
    are on one device; pictures are in host memory.
    """
    report = {}
    for prefix, config in (("", UNCHANGED), (DEGRADED, degradations)):
        found, truth = reconstructed(network, pictures, config, focal_length(landmarks, pictures.size))
        report |= {prefix + name: value for name, value in errors(found, truth, landmarks).items()}
    return report


@torch.no_grad()
def reconstructed(
    network: ReconstructionNetwork, pictures: FacePictures, degradations: DegradationConfig, focal_px: float
) -> tuple[Reconstruction, FaceBatch]:
    """What the network sees in all pictures, and what is there."""
    was_training, rng, device = network.training, torch.Generator().manual_seed(SEED), network.mean.device
    network.eval()
    found, batches = [], []
    for items in torch.arange(len(pictures)).split(BATCH):
        batches.append(degraded_batch(pictures, items, degradations, focal_px, rng, device))
        found.append(network(batches[-1].images).rows())
    network.train(was_training)
    truth = FaceBatch(
        images=torch.cat([batch.images for batch in batches]),
        face=Reconstruction.from_rows(torch.cat([batch.face.rows() for batch in batches])),
        landmarks_px=torch.cat([batch.landmarks_px for batch in batches]),
    )
    return Reconstruction.from_rows(torch.cat(found)), truth


def errors(found: Reconstruction, truth: FaceBatch, landmarks: FaceLandmarks) -> dict[str, float]:
    """Means over the pictures: |yaw|, |pitch| in degrees, distances of landmarks in pixels at 128 px, and correlations.

    ``exp_correlation`` is the mean of the first ten coefficients' correlations over the pictures, ``exp_lowest`` the
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


def correlation(
    found: Float[Tensor, "item entry"], truth: Float[Tensor, "item entry"]
) -> Float[Tensor, "entry"]:
    """Pearson's, entry by entry; 0 where one of the two is constant."""
    a, b = found - found.mean(dim=0), truth - truth.mean(dim=0)
    return (a * b).sum(dim=0) / (a.norm(dim=0) * b.norm(dim=0)).clamp(min=1e-12)
