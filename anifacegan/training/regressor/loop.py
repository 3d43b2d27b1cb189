"""Training of a face reconstruction network on synthetic images, whose coefficients are known exactly.

    loss = sum over fields of w |raw - (coefficient - mean) / scale|^2  +  w |landmarks - true landmarks| in pixels

The first terms weigh all coefficients of a field equally, or by their effect on the mesh. The last term weighs
identity, expression and pose by their effect on the landmarks in the image. Every step augments its images anew
(:mod:`anifacegan.data.augmentation`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.data.config import AugmentationConfig
from anifacegan.face_model.regressed import FIELD_COLUMNS, FaceLandmarks, coefficient_camera
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.training.logging import Losses
from anifacegan.training.optim import cosine_decay, finite_total, matrix_precision, scheduled, take_step
from anifacegan.training.regressor.config import ReconstructionSchedule, ReconstructionWeights
from anifacegan.training.regressor.data import FaceBatch, FaceImages, augmented_batch

REPORT_SIZE = 128
"""Landmark errors are in pixels of an image of this height and width, whatever the network's input size is."""


@dataclass
class ReconstructionState:
    """Network, optimizer and number of finished steps: everything that a snapshot stores."""

    network: FaceRegressor
    optimizer: torch.optim.AdamW
    step: int = 0
    """Number of finished steps."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Where the weights before the first step come from, as plain values for the model's card.yaml."""
    learning: dict[str, float] = field(default_factory=dict)
    """Learning rates and gradient norms of the last step."""

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "facts": self.facts,
            "learning": self.learning,
        }

    def to(self, device: str) -> None:
        """Move the network and the optimizer's state to a device."""
        self.network.to(device)
        self.optimizer.load_state_dict(
            self.optimizer.state_dict()
        )  # moves its moments to the weights' device

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            RuntimeError, ValueError, KeyError: the content belongs to another network.
        """
        self.network.load_state_dict(content["network"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step, self.facts, self.learning = content["step"], content["facts"], content["learning"]


def new_state(network: FaceRegressor, schedule: ReconstructionSchedule) -> ReconstructionState:
    """Create the state of a new run, with a fresh optimizer; normalisations and biases have no weight decay."""
    decaying = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": decaying, "weight_decay": schedule.weight_decay, "field": "matrices"},
        {"params": others, "weight_decay": 0.0, "field": "vectors"},
    ]
    return ReconstructionState(network, torch.optim.AdamW(groups, lr=schedule.lr, betas=(0.9, 0.99)))


def train(
    state: ReconstructionState,
    images: FaceImages,
    landmarks: FaceLandmarks,
    augmentation: AugmentationConfig,
    schedule: ReconstructionSchedule,
    weights: ReconstructionWeights,
    report: Callable[[ReconstructionState, Mapping[str, float]], None],
) -> None:
    """Train a face reconstruction network from the state's step to the end of the schedule, on the device of the state
    and of ``landmarks``.

    Calls ``report(state, losses)`` after every step. ``images`` are the training images with coefficients;
    ``augmentation`` says how they are changed at random; ``weights`` are the factors of the losses.

    Raises:
        FloatingPointError: a term or a gradient is not finite; the weights are those of the step before.
    """
    device = state.network.mean.device
    focal_px = focal_length(landmarks, images.size)
    factors = dict.fromkeys(("matrices", "vectors"), partial(learning_rate_factor, schedule=schedule))
    rates = scheduled(state.optimizer, dict.fromkeys(factors, schedule.lr), factors, state.step)
    while state.step < schedule.steps:
        # All randomness of a step comes from (seed, step): a resumed run repeats the unbroken one.
        rng = torch.Generator().manual_seed(schedule.seed * 1_000_003 + state.step)
        items = torch.randint(len(images), (schedule.batch,), generator=rng)
        batch = augmented_batch(images, items, augmentation, focal_px, rng, device)
        state.network.train()
        with matrix_precision(schedule.precision, device):
            standardised = state.network.standardised(batch.images)
        losses = reconstruction_losses(state.network, landmarks, batch, standardised, weights)
        update(state, losses, schedule)
        rates.step()
        state.step += 1
        report(state, Losses(losses))


def focal_length(landmarks: FaceLandmarks, size: int) -> float:
    """Return the focal length, in pixels of an image of ``size`` pixels, of the camera that the coefficients belong
    to.
    """
    return coefficient_camera(torch.zeros(1, 3), torch.zeros(1, 3), size, landmarks.camera).focal_px


def reconstruction_losses(
    network: FaceRegressor,
    landmarks: FaceLandmarks,
    batch: FaceBatch,
    standardised: Float[Tensor, "batch 257"],
    weights: ReconstructionWeights,
) -> dict[str, Tensor]:
    """Compute the weighted losses of a batch of images by name.

    Args:
        network: the face reconstruction network.
        landmarks: landmark positions of the face model as functions of the coefficients.
        batch: images with their true coefficients and landmarks.
        standardised: the network's output for the images: coefficients scaled to mean 0 and variance 1 over the
            training data.
        weights: factors of the losses.
    """
    squared = (standardised - (batch.face.rows() - network.mean) / network.scale).square()
    importance = landmarks.effects**weights.effect_exponent
    losses = {
        name: getattr(weights, name) * weighted_mean(squared[:, columns], importance[columns])
        for name, columns in FIELD_COLUMNS.items()
    }
    size = batch.images.shape[-1]
    predicted_px = landmarks.pixels(network.to_coefficients(standardised), size)
    error_px = (predicted_px - batch.landmarks_px).abs().mean() * ((REPORT_SIZE - 1) / (size - 1))
    return losses | {"landmarks": weights.landmarks * error_px}


def weighted_mean(
    values: Float[Tensor, "batch entry"], importance: Float[Tensor, "entry"]
) -> Float[Tensor, ""]:
    """Return the mean over a batch of the weighted means of its rows."""
    return (values.mean(dim=0) * importance).sum() / importance.sum()


def update(state: ReconstructionState, losses: dict[str, Tensor], schedule: ReconstructionSchedule) -> None:
    """Take one step of the optimizer.

    Raises:
        FloatingPointError: a term or the gradient is not finite; the weights are those of the step before.
    """
    total = finite_total(state.step, losses)
    state.optimizer.zero_grad()
    total.backward()
    state.learning |= take_step(state.step, state.optimizer, schedule.gradient_limit)


def learning_rate_factor(step: int, schedule: ReconstructionSchedule) -> float:
    """Return the factor on the learning rate: it rises linearly in the warm-up, then falls as half a cosine to a
    hundredth.
    """
    ramp = min(1.0, (step + 1) / schedule.warm_up)
    progress = max(0.0, (step + 1 - schedule.warm_up) / max(1, schedule.steps - schedule.warm_up))
    return ramp * cosine_decay(progress, floor=0.01)
