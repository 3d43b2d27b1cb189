"""A training run from its configuration: data, warm start, the steps, snapshots, previews, the finished model."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anifacegan.adversarial import AdversarialGame
from anifacegan.checkpoints import Checkpoint, ModelCard, load_checkpoint, save_checkpoint
from anifacegan.command_line import plain
from anifacegan.compilation import compile_fields
from anifacegan.config import TrainConfig
from anifacegan.continuation import fixed_values
from anifacegan.data import FaceDataset
from anifacegan.devices import chosen_device
from anifacegan.distribution import ALONE, Workers
from anifacegan.durable_run import DurableRun
from anifacegan.errors import InputError
from anifacegan.expressions import PRESETS
from anifacegan.imitation_pictures import ImitationFiles, PictureImitation, load_picture_imitation
from anifacegan.imitation_points import MeshSampler
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.generator import Generator
from anifacegan.morphable import WORLD_PER_MODEL_UNIT
from anifacegan.paired_data import PairedData
from anifacegan.previews import held_out_faces, sheets
from anifacegan.prior_files import Kind, Prior, load_fitting_prior
from anifacegan.real_pictures import RealPictures
from anifacegan.reconstruction_files import weights_sha256
from anifacegan.run_log import RunLog
from anifacegan.shapes import EXP_DIM
from anifacegan.surfaces import describe, load_surfaces
from anifacegan.synthetic import Studio, load_studio
from anifacegan.threads import use_threads
from anifacegan.training import State, new_state, train
from anifacegan.warm_start import fit_prior, fit_shells


def run(config: TrainConfig, workers: Workers = ALONE, train: Callable[..., None] = train) -> Path:
    """Train, or go on where the run folder's newest snapshot ends; returns the finished model's folder.

    All workers read data and snapshot; what there is one of, the first one draws, fits and writes. ``train`` is what is
    done when all is prepared: :func:`anifacegan.training.train`, or something with its arguments.

    Raises:
        InputError: something in the configuration or the data does not fit.
        FloatingPointError: a loss is not finite; the message names the terms and the step.
    """
    use_threads(config.threads)
    device = chosen_device(config.device)
    workers.take_gpu(device)
    refuse_uneven_shares(config, workers)
    dataset = FaceDataset(config.data)
    studio = load_studio(config.face_model)
    if dataset.face_model != studio.head.name:
        raise InputError(
            f"{config.data.path}: belongs to face model '{dataset.face_model}', expected '{studio.head.name}'"
        )
    real = real_pictures(config, dataset)
    imitation = picture_imitation(config, studio)
    codes = dataset.load_coefficients()
    sums = describe(codes, config.data.size, config.face_model)
    if real is not None:
        sums["real_sha256"] = real.sha256()
    if imitation is not None and imitation.landmarks is not None:
        sums["reconstruction_sha256"] = weights_sha256(config.reconstruction)
    kept = DurableRun(config, fixed_values(config, sums), workers)
    priors = finished_priors(config, studio.head.name) if kept.new else {}
    state = fresh_state(config, real, workers)
    if state.game is not None:
        state.game.imitation = imitation
    kept.take_up(state)
    with workers.first_alone():
        surfaces = load_surfaces(config.out / "surfaces", codes, config.data.size, config.face_model)
    march = config.generator.march
    data = PairedData(dataset.load_images(), codes, surfaces, march.fov_deg, config.reporting.held_out)
    mesh = MeshSampler(studio.head, surfaces.visible)
    with workers.first_alone():
        if kept.new and workers.first:
            warm_start(state, config, data, studio, priors)
    workers.follow_first(state.networks())
    state.to(device)
    if config.compile:
        compile_fields(state.generator)
    show = partial(shown, state, data, studio, config)
    with kept.reporting(state, show, config.reporting.preview_every) as report:
        train(state, data, mesh, config.schedule, config.weights, report, workers)
    with workers.first_alone():
        return finish(config, state, studio) if workers.first else config.out / "model"


def refuse_uneven_shares(config: TrainConfig, workers: Workers) -> None:
    """Raises InputError where a batch does not divide by the number of workers."""
    batches = {"schedule.batch": config.schedule.batch, "schedule.mesh_faces": config.schedule.mesh_faces}
    if config.schedule.adversarial:
        batches["adversarial.batch"] = config.adversarial.batch
    for name, count in batches.items():
        workers.refuse_uneven(name, count)


def real_pictures(config: TrainConfig, dataset: FaceDataset) -> RealPictures | None:
    """What the discriminator is shown; None where the schedule has no adversarial steps."""
    if not config.schedule.adversarial:
        return None
    if config.real is not None:
        return RealPictures(FaceDataset(config.real), held_out=0)
    return RealPictures(dataset, config.reporting.held_out)


def picture_imitation(config: TrainConfig, studio: Studio) -> PictureImitation | None:
    """What generated pictures are compared with; None where there are none, or no term looks at them."""
    if not config.schedule.adversarial:
        return None
    files = ImitationFiles(config.face_model, config.reconstruction, config.rasterizer)
    device = torch.device(chosen_device(config.device))
    return load_picture_imitation(config.weights, files, studio.head, config.generator.march.fov_deg, device)


def fresh_state(config: TrainConfig, real: RealPictures | None, workers: Workers) -> State:
    """A generator without weights yet, a fresh discriminator where there are pictures for it, and their optimisers."""
    state = new_state(Generator(config.generator), Generator(config.generator), config.schedule)
    if real is not None:
        judge = Discriminator(config.discriminator)
        judge.initialise(torch.Generator().manual_seed(config.schedule.seed))
        state.game = AdversarialGame(
            state.generator, judge, real, config.adversarial, config.adversarial_weights, workers
        )
    return state


def finished_priors(config: TrainConfig, face_model: str) -> dict[Kind, Prior]:
    """The priors that the configuration names."""
    named: dict[Kind, Path | None] = {
        "identity": config.identity_prior_model,
        "expression": config.expression_prior_model,
    }
    sizes = {"identity": config.generator.identity_prior, "expression": config.generator.expression_prior}
    return {
        kind: load_fitting_prior(folder, kind, face_model, sizes[kind])
        for kind, folder in named.items()
        if folder is not None
    }


def warm_start(
    state: State, config: TrainConfig, data: PairedData, studio: Studio, priors: dict[Kind, Prior]
) -> None:
    """Give a fresh state its weights, and its facts: those of the initial model, or priors and shells; the finished
    ``priors`` in place of either's.
    """
    generator, facts = state.generator, state.facts
    if config.initial_model is not None:
        initial = load_checkpoint(config.initial_model)
        try:
            generator.load_state_dict(initial.generator.state_dict())
        except RuntimeError:
            raise InputError(
                f"initial_model: {config.initial_model} holds other networks than 'generator' says, see its card.yaml"
            ) from None
        facts["initial_model"] = {"path": str(config.initial_model)} | initial.card.training
    else:
        rng = torch.Generator().manual_seed(config.schedule.seed)
        generator.initialise(rng)
        for name, vae, coefficients in (
            ("identity", generator.identity_prior, data.z_id[: data.count]),
            ("expression", generator.expression_prior, data.z_exp[: data.count]),
        ):
            if name not in priors:
                facts[f"{name}_prior"] = fit_prior(vae, coefficients, config.priors, rng, name)
        generator.template.code_scale.copy_(data.visible_scale())
        facts["shell_error_world"] = fit_shells(generator.manifolds, skin(studio), config.shells, rng)
    for name, prior in priors.items():
        generator.get_submodule(f"{name}_prior").load_state_dict(prior.vae.state_dict())
        facts[f"{name}_prior"] = dataclasses.asdict(prior.card)
    state.average.load_state_dict(generator.state_dict())


def skin(studio: Studio) -> np.ndarray:
    """Vertices of the mean head's skin, world units: no eyes, teeth or tongue."""
    vertices = studio.head.mean.reshape(-1, 3)[studio.head.parts.part == 0]
    return (vertices * WORLD_PER_MODEL_UNIT + studio.head.world_offset).astype(np.float64)


def shown(state: State, data: PairedData, studio: Studio, config: TrainConfig, log: RunLog) -> None:
    """Pictures of what the averaged weights draw by now, and the error of held-out faces."""
    when = config.reporting
    picture, psnr = held_out_faces(state.average, data, when.held_out, when.preview_size)
    log.record(state.step, {"held_out_psnr": round(psnr, 3)})
    basis = studio.head.parts.expression_basis()
    presets = {name: basis.from_strengths(units) for name, units in PRESETS.items()}
    expressions = {"neutral": np.zeros(EXP_DIM, np.float32)} | presets
    for name, sheet in {"preview": picture, **sheets(state.average, expressions, when.sheet_size)}.items():
        log.picture(state.step, name, sheet)


def finish(config: TrainConfig, state: State, studio: Studio) -> Path:
    """Write the averaged weights as a model folder, with the truncation mean and everything it needs to be used."""
    generator = state.average.cpu()
    generator.set_truncation_mean(torch.Generator().manual_seed(config.schedule.seed))
    basis = studio.head.parts.expression_basis()
    card = ModelCard(
        name=config.name,
        face_model=studio.head.name,
        pitch_offset=config.data.pitch_offset,
        expression_units=basis.names,
        presets=PRESETS,
        licence=licence(config, state.facts),
        training={
            "stage": stage(config),
            "steps": state.step,
            "seed": config.schedule.seed,
            "facts": state.facts,
            "config": plain(config),
        },
    )
    folder = config.out / "model"
    save_checkpoint(folder, Checkpoint(generator, card, basis, studio.prior.to_arrays()))
    return folder


def licence(config: TrainConfig, facts: dict[str, Any]) -> str:
    """Of the finished model, as far as that is known: nothing is claimed of the user's own pictures, nor of priors
    that were fitted to their coefficients.
    """
    named_priors = [facts[name] for name in ("identity_prior", "expression_prior") if name in facts]
    if config.real is not None or not all(prior.get("licence", True) for prior in named_priors):
        return ""
    if config.initial_model is not None:
        return load_checkpoint(config.initial_model).card.licence
    return "MIT; trained on renders of the open face model, whose data is CC0"


def stage(config: TrainConfig) -> str:
    """What this run did, for the model card; what came before it stands in the facts of its initial model."""
    done, steps = [], config.schedule
    if config.initial_model is not None:
        done.append(f"from {config.initial_model}")
    if steps.paired_steps:
        done.append("photometric warm start on paired synthetic renders")
    if steps.adversarial:
        pictures = "the same renders" if config.real is None else str(config.real.path)
        done.append(f"{steps.adversarial} adversarial steps on {pictures}")
    elif config.initial_model is None:
        done.append("no adversarial training yet")
    return "; ".join(done)
