"""Training of a face reconstruction network on synthetic images whose coefficients are known exactly.

    loss = sum over fields of w |raw - (coefficient - mean) / scale|^2  +  w |landmarks - true landmarks| in pixels

The first terms weigh every coefficient alike. The last one weighs identity, expression and pose by what they move in
the image, and sets them right together. Every step degrades its images anew (:mod:`anifacegan.augmentations`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.data.augmentation import AugmentationConfig
from anifacegan.face_model.regressed import FIELD_COLUMNS, FaceLandmarks, coefficient_camera
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.runtime.errors import require_above, require_at_least
from anifacegan.training.optim import (
    Precision,
    cosine_decay,
    finite_total,
    matrix_precision,
    scheduled,
    take_step,
)
from anifacegan.training.regressor.data import FaceBatch, FaceImages, augmented_batch

REPORT_SIZE = 128
"""Landmark errors are in pixels of an image of this size, whatever the network looks at."""


@dataclass(frozen=True)
class ReconstructionWeights:
    """Factors of the terms; 0 switches one off. Of fields: mean squared error in standard deviations."""

    id: float = 0.5
    exp: float = 1.0
    tex: float = 0.25
    angle: float = 2.0
    gamma: float = 0.5
    trans: float = 0.25
    landmarks: float = 0.2
    """Mean absolute error in x and y, pixels at 128."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, *vars(self))


@dataclass(frozen=True)
class ReconstructionSchedule:
    """How long, how many, how fast."""

    seed: int = 0
    """Of everything that is drawn."""
    steps: int = 2000
    batch: int = 64
    """Images a step."""
    lr: float = 2e-3
    """At its highest, after the warm-up; then it falls to a hundredth, as a cosine."""
    warm_up: int = 100
    """Steps in which the learning rate rises."""
    weight_decay: float = 1e-2
    """AdamW's."""
    gradient_limit: float = 5.0
    """Largest norm of the gradient."""
    precision: Precision = "float32"
    """Of the backbone's convolutions. bfloat16 is faster on processors that have it in hardware, and slower on others."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "steps", "seed", "weight_decay")
        require_at_least(self, 1, "warm_up")
        require_at_least(self, 2, "batch")
        require_above(self, 0, "lr", "gradient_limit")


@dataclass
class ReconstructionState:
    """Exactly what a snapshot holds."""

    network: FaceRegressor
    optimiser: torch.optim.AdamW
    step: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    """Of what came before the first step, as plain values for the card."""
    learning: dict[str, float] = field(default_factory=dict)
    """Learning rate and gradient norm of the last step."""

    def state_dict(self) -> dict[str, Any]:
        """All it takes to go on."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "facts": self.facts,
            "learning": self.learning,
        }

    def to(self, device: str) -> None:
        """Move the weights and what the optimiser keeps of each."""
        self.network.to(device)
        self.optimiser.load_state_dict(
            self.optimiser.state_dict()
        )  # it puts its moments where the weights are

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Raises RuntimeError, ValueError or KeyError where the content is of another network."""
        self.network.load_state_dict(content["network"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.step, self.facts = content["step"], content.get("facts", {})  # older snapshots have none
        self.learning = content.get("learning", {})  # nor these


def new_state(network: FaceRegressor, schedule: ReconstructionSchedule) -> ReconstructionState:
    """A fresh optimiser; normalisations and biases do not decay."""
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
    report: Callable[[ReconstructionState, dict[str, float]], None],
) -> None:
    """Run the schedule from the state's step to its end, on the device that the state and the landmarks are on."""
    device = state.network.mean.device
    focal_px = focal_length(landmarks, images.size)
    shares = dict.fromkeys(("matrices", "vectors"), partial(learning_rate_share, schedule=schedule))
    rates = scheduled(state.optimiser, dict.fromkeys(shares, schedule.lr), shares, state.step)
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
        report(state, {name: value.item() for name, value in losses.items()})


def focal_length(landmarks: FaceLandmarks, size: int) -> float:
    """Of the coefficients' camera, in pixels of an image of this size."""
    return coefficient_camera(torch.zeros(1, 3), torch.zeros(1, 3), size, landmarks.camera).focal_px


def reconstruction_losses(
    network: FaceRegressor,
    landmarks: FaceLandmarks,
    batch: FaceBatch,
    standardised: Float[Tensor, "batch 257"],
    weights: ReconstructionWeights,
) -> dict[str, Tensor]:
    """The weighted terms by name."""
    squared = (standardised - (batch.face.rows() - network.mean) / network.scale).square()
    losses = {
        name: getattr(weights, name) * squared[:, columns].mean() for name, columns in FIELD_COLUMNS.items()
    }
    size = batch.images.shape[-1]
    predicted_px = landmarks.pixels(network.to_coefficients(standardised), size)
    off = (predicted_px - batch.landmarks_px).abs().mean() * ((REPORT_SIZE - 1) / (size - 1))
    return losses | {"landmarks": weights.landmarks * off}


def update(state: ReconstructionState, losses: dict[str, Tensor], schedule: ReconstructionSchedule) -> None:
    """One step of the optimiser.

    Raises:
        FloatingPointError: a term or the gradient is not finite; the weights are those of the step before.
    """
    total = finite_total(state.step, losses)
    state.optimiser.zero_grad()
    total.backward()
    state.learning |= take_step(state.step, state.optimiser, schedule.gradient_limit)


def learning_rate_share(step: int, schedule: ReconstructionSchedule) -> float:
    """Up in a line, down as a cosine to a hundredth."""
    ramp = min(1.0, (step + 1) / schedule.warm_up)
    progress = max(0.0, (step + 1 - schedule.warm_up) / max(1, schedule.steps - schedule.warm_up))
    return ramp * cosine_decay(progress, floor=0.01)
