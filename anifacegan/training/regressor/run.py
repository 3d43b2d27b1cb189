"""A face reconstruction network's training run from its configuration: data, training, reports, finished model."""

from pathlib import Path

import torch

from anifacegan.data.dataset import FaceDataset
from anifacegan.data.mirroring import mirroring_of
from anifacegan.face_model.bfm import is_bfm_file
from anifacegan.face_model.face_mesh import FaceMesh, face_mesh
from anifacegan.face_model.load import load_face_model
from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.regressor_checkpoints import (
    FaceRegressorCard,
    load_face_regressor,
    save_face_regressor,
)
from anifacegan.runtime.cpu import set_torch_threads
from anifacegan.runtime.devices import allow_tf32, select_device
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import sha256
from anifacegan.runtime.typed_config import plain
from anifacegan.training.durable_run import DurableRun
from anifacegan.training.logging import RunLog
from anifacegan.training.regressor.config import ReconstructionRun
from anifacegan.training.regressor.data import FaceImages, coefficient_rows, jittered_rows, load_images
from anifacegan.training.regressor.loop import ReconstructionState, focal_length, new_state, train
from anifacegan.training.regressor.report import held_out_report
from anifacegan.training.resume_check import fixed_values


def run(config: ReconstructionRun, workers: Workers = SINGLE_PROCESS) -> Path:
    """Train a network, or resume from the newest snapshot in the run folder; return the finished model's folder.

    Raises:
        InputError: configuration and data do not fit together.
        FloatingPointError: a loss is not finite; the message names the terms and the step.
    """
    workers.require_single_process("task reconstruction")
    set_torch_threads(config.threads)
    device = select_device(config.device)
    allow_tf32(config.tf32)
    model = load_face_model(config.face_model)
    mirrors = config.data.mirror and not is_bfm_file(config.face_model)
    dataset = FaceDataset(config.data, mirroring_of(model) if mirrors else None)
    dataset.require_face_model(model.name)
    held_out = config.reporting.held_out
    if len(dataset.names) < held_out + 2:
        raise InputError(
            f"{config.data.path}: holds {len(dataset.names)} images, expected at least {held_out + 2} with "
            f"reporting.held_out {held_out}"
        )
    fixed = fixed_values(config, checksums(dataset, face_mesh(model)))
    durable = DurableRun(config, fixed)
    state = fresh_state(config)
    if durable.new and config.initial_model is not None:
        load_initial_model(state, config.initial_model, model.name)
    with durable:
        durable.resume(state)
        images = load_images(dataset, config.network.frame)
        training_images, held_out_images = images.split(held_out)
        landmarks = FaceLandmarks(model, config.network.camera)
        if durable.new and config.initial_model is None:
            initialize(state.network, training_images, landmarks, config)
        state.to(device)
        landmarks.to(device)

        def measure() -> dict[str, float]:
            report = held_out_report(state.network, landmarks, held_out_images, config.augmentation)
            return {name: float(f"{value:.4g}") for name, value in report.items()}

        def log_errors(log: RunLog) -> None:
            log.record(state.step, measure())

        with durable.reporting(state, log_errors, config.reporting.report_every) as report:
            train(
                state,
                training_images,
                landmarks,
                config.augmentation,
                config.schedule,
                config.weights,
                report,
            )
    folder, found = config.out / "model", measure()
    save_face_regressor(folder, state.network.cpu(), card(config, model.name, state, found))
    return folder


def checksums(dataset: FaceDataset, mesh: FaceMesh) -> dict[str, str]:
    """Compute checksums of data and face model, by which a resumed run recognises them."""
    rows = coefficient_rows(dataset)
    return {
        "latents_sha256": sha256([rows.numpy().tobytes()]),
        "images_sha256": dataset.sizes_sha256(),
        "contents_sha256": dataset.contents_sha256(),
        "coefficients_sha256": mesh.coefficients_sha256(),
    }


def load_initial_model(state: ReconstructionState, path: Path, face_model: str) -> None:
    """Load a finished network's weights, mean and scale; the state's facts record where they come from.

    Raises:
        InputError: the network cannot be read, belongs to another face model, or has another configuration.
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


def initialize(
    network: FaceRegressor, images: FaceImages, landmarks: FaceLandmarks, config: ReconstructionRun
) -> None:
    """Initialize a network's weights at random, and its mean and scale from the coefficients of the training images."""
    rng = torch.Generator().manual_seed(config.schedule.seed)
    network.initialize(rng)
    network.set_statistics(
        jittered_rows(images, config.augmentation, focal_length(landmarks, images.size), rng)
    )


def fresh_state(config: ReconstructionRun) -> ReconstructionState:
    """Create the state of a new run: its network, and the optimizer.

    The network is not initialized: :func:`initialize` does it, or a snapshot, or the weights of an initial model.
    """
    network = FaceRegressor(config.network).to(memory_format=torch.channels_last)
    return new_state(network, config.schedule)


def card(
    config: ReconstructionRun, face_model_name: str, state: ReconstructionState, report: dict[str, float]
) -> FaceRegressorCard:
    """Describe the finished model for its card.yaml: name, face model, licence, training, and its errors on images that
    training never uses (``report``).
    """
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
