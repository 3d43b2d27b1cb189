"""A training run of a face reconstruction network: data, steps, snapshots, reports, the finished model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from anifacegan.data.augmentation import AugmentationConfig
from anifacegan.data.dataset import DataConfig, FaceDataset
from anifacegan.face_model.bfm import is_bfm_file
from anifacegan.face_model.load import load_face_model
from anifacegan.face_model.open_model import face_model_sha256
from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.models.face_regressor import FaceRegressor, FaceRegressorConfig
from anifacegan.models.regressor_checkpoints import (
    FaceRegressorCard,
    load_face_regressor,
    save_face_regressor,
)
from anifacegan.runtime.cpu import set_torch_threads
from anifacegan.runtime.devices import Device, select_device
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.errors import InputError, require_at_least
from anifacegan.runtime.files import sha256
from anifacegan.runtime.typed_config import plain
from anifacegan.training.checkpointing import DurableRun, fixed_values
from anifacegan.training.logging import RunLog
from anifacegan.training.regressor.data import FaceImages, coefficient_rows, jittered_rows, load_images
from anifacegan.training.regressor.loop import (
    ReconstructionSchedule,
    ReconstructionState,
    ReconstructionWeights,
    focal_length,
    new_state,
    train,
)
from anifacegan.training.regressor.report import held_out_report


@dataclass(frozen=True)
class ReconstructionReporting:
    """What a run leaves behind, and when."""

    log_every: int = 50
    """Steps between two lines of stats.jsonl."""
    report_every: int = 500
    """Steps between two reports on held-out images."""
    snapshot_every: int = 500
    """Steps between two snapshots."""
    keep_snapshots: int = 2
    """How many snapshots are kept."""
    held_out: int = 512
    """Images at the end of the data set that training never sees."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, *vars(self))


@dataclass(frozen=True)
class ReconstructionRun:
    """Everything about a run. The resolved values are written to the run folder."""

    out: Path
    """Run folder: snapshots, logs, and the finished model in OUT/model."""
    data: DataConfig
    task: Literal["reconstruction"] = "reconstruction"
    """Kind of training run that the file configures."""
    face_model: Path | None = None
    """File of the open face model, or BFM_model_front.mat; the open one in the cache where this is empty."""
    initial_model: Path | None = None
    """A finished network of the same kind to start from, with its statistics. null: a fresh one."""
    network: FaceRegressorConfig = field(default_factory=FaceRegressorConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    schedule: ReconstructionSchedule = field(default_factory=ReconstructionSchedule)
    weights: ReconstructionWeights = field(default_factory=ReconstructionWeights)
    reporting: ReconstructionReporting = field(default_factory=ReconstructionReporting)
    device: Device = "auto"
    """Where the network learns; auto: the GPU where PyTorch sees one. Draws are made on the CPU."""
    threads: int = 0
    """Threads of PyTorch; 0 leaves the choice to it."""
    name: str = "reconstruction"
    """Name of the finished model, for its card."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "threads")

    def images(self, step: int) -> int:
        """That the step after so many learns from."""
        return self.schedule.batch


def run(config: ReconstructionRun, workers: Workers = SINGLE_PROCESS) -> Path:
    """Train, or go on where the run folder's newest snapshot ends; returns the finished model's folder.

    Raises:
        InputError: something in the configuration or the data does not fit.
        FloatingPointError: a loss is not finite; the message names the terms and the step.
    """
    workers.require_single_process("task reconstruction")
    set_torch_threads(config.threads)
    device = select_device(config.device)
    dataset = FaceDataset(config.data)
    model = load_face_model(config.face_model)
    dataset.require_face_model(model.name)
    held_out = config.reporting.held_out
    if len(dataset) < held_out + 2:
        raise InputError(
            f"{config.data.path}: holds {len(dataset)} items, expected at least {held_out + 2} with "
            f"reporting.held_out {held_out}"
        )
    fixed = fixed_values(config, checksums(dataset, config.face_model))
    kept = DurableRun(config, fixed)
    state = fresh_state(config)
    if kept.new and config.initial_model is not None:
        take_initial_model(state, config.initial_model, model.name)
    kept.take_up(state)
    images = load_images(dataset, config.network.frame)
    seen, unseen = images.part(slice(0, -held_out)), images.part(slice(-held_out, None))
    landmarks = FaceLandmarks(model, config.network.camera)
    if kept.new and config.initial_model is None:
        start(state.network, seen, landmarks, config)
    state.to(device)
    landmarks.to(device)

    def measure() -> dict[str, float]:
        report = held_out_report(state.network, landmarks, unseen, config.augmentation)
        return {name: float(f"{value:.4g}") for name, value in report.items()}

    def show(log: RunLog) -> None:
        log.record(state.step, measure())

    with kept.reporting(state, show, config.reporting.report_every) as report:
        train(state, seen, landmarks, config.augmentation, config.schedule, config.weights, report)
    folder, found = config.out / "model", measure()
    save_face_regressor(folder, state.network.cpu(), card(config, model.name, state, found))
    return folder


def checksums(dataset: FaceDataset, face_model_file: Path | None) -> dict[str, str]:
    """What tells the data and the face model from others."""
    rows = coefficient_rows(dataset)
    return {
        "codes_sha256": sha256([rows.numpy().tobytes()]),
        "face_model_sha256": face_model_sha256(face_model_file),
    }


def take_initial_model(state: ReconstructionState, path: Path, face_model: str) -> None:
    """Start from a finished network's weights and statistics; the facts say how these came about.

    Raises:
        InputError: it cannot be read, belongs to another face model, or is of another kind.
    """
    initial, about = load_face_regressor(path)
    if about.face_model != face_model:
        raise InputError(
            f"initial_model: {path} belongs to face model '{about.face_model}', expected '{face_model}' as the data"
        )
    if initial.config != state.network.config:
        raise InputError(f"initial_model: {path} is another network than 'network' says, see its card.yaml")
    state.network.load_state_dict(initial.state_dict())
    state.facts["initial_model"] = {"path": str(path), "licence": about.licence} | about.training


def start(
    network: FaceRegressor, images: FaceImages, landmarks: FaceLandmarks, config: ReconstructionRun
) -> None:
    """Fresh weights, and the statistics of the coefficients that training will see."""
    rng = torch.Generator().manual_seed(config.schedule.seed)
    network.initialise(rng)
    network.set_statistics(
        jittered_rows(images, config.augmentation, focal_length(landmarks, images.size), rng)
    )


def fresh_state(config: ReconstructionRun) -> ReconstructionState:
    """A network without weights yet, and its optimiser."""
    network = FaceRegressor(config.network).to(memory_format=torch.channels_last)
    return new_state(network, config.schedule)


def card(
    config: ReconstructionRun, face_model_name: str, state: ReconstructionState, report: dict[str, float]
) -> FaceRegressorCard:
    """What the finished model says of itself."""
    ours = "" if is_bfm_file(config.face_model) else "MIT"
    return FaceRegressorCard(
        name=config.name,
        face_model=face_model_name,
        licence=state.facts["initial_model"]["licence"] if "initial_model" in state.facts else ours,
        training={
            "steps": state.step,
            "seed": config.schedule.seed,
            "held_out": config.reporting.held_out,
            "errors": report,
            "facts": state.facts,
            "config": plain(config),
        },
    )
