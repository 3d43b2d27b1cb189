"""A training run from its configuration: data, warm start, the steps, snapshots, previews, the finished model."""

import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from jaxtyping import UInt8
from torch import Tensor

from anifacegan.adversarial import AdversarialGame
from anifacegan.atomic_files import write_complete
from anifacegan.checkpoints import Checkpoint, ModelCard, load_checkpoint, save_checkpoint
from anifacegan.command_line import plain
from anifacegan.config import TrainConfig
from anifacegan.continuation import fixed_values, refuse_changes
from anifacegan.data import FaceDataset
from anifacegan.devices import chosen_device, moved
from anifacegan.distribution import ALONE, Workers
from anifacegan.errors import InputError
from anifacegan.expressions import PRESETS
from anifacegan.imitation_points import MeshSampler
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.generator import Generator, in_slices, render_rays
from anifacegan.models.latents import Latents
from anifacegan.morphable import WORLD_PER_MODEL_UNIT
from anifacegan.paired_data import PairedData
from anifacegan.rays import Rays
from anifacegan.real_pictures import RealPictures
from anifacegan.run_log import RunLog
from anifacegan.snapshots import load_newest, save_snapshot
from anifacegan.surfaces import describe, load_surfaces
from anifacegan.synthetic import Studio, load_studio
from anifacegan.training import State, new_state, train
from anifacegan.warm_start import fit_prior, fit_shells

PREVIEWS = 6
SLICE_RAYS = 4096


def run(config: TrainConfig, workers: Workers = ALONE) -> Path:
    """Train, or go on where the run folder's newest snapshot ends; returns the finished model's folder.

    All workers read data and snapshot; what there is one of, the first one draws, fits and writes.

    Raises:
        InputError: something in the configuration or the data does not fit.
        FloatingPointError: a loss is not finite; the message names the terms and the step.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
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
    codes = dataset.load_coefficients()
    sums = describe(codes, config.data.size, config.face_model)
    fixed = fixed_values(config, sums if real is None else sums | {"real_sha256": real.sha256()})
    content = load_newest(config.out)
    if content is not None and "fixed" in content:                     # older snapshots do not say
        refuse_changes(config.out, content["fixed"], fixed)
    found = -1 if content is None else content["step"]
    workers.require_same(f"{config.out}: the newest snapshot's step (-1: none)", found)
    config.out.mkdir(parents=True, exist_ok=True)
    state = fresh_state(config, real, workers) if content is None else resumed_state(config, real, workers, content)
    with workers.first_alone():
        if workers.first:
            write_complete(config.out / "config.yaml", yaml.safe_dump(plain(config), sort_keys=False))
        surfaces = load_surfaces(config.out / "surfaces", codes, config.data.size, config.face_model)
    march = config.generator.march
    data = PairedData(dataset.load_images(), codes, surfaces, march.fov_deg, config.reporting.held_out)
    mesh = MeshSampler(studio.head, surfaces.visible)
    facts = {} if content is None else content["facts"]
    with workers.first_alone():
        if content is None and workers.first:
            facts = warm_start(state, config, data, studio)
    workers.follow_first(state.networks())
    state.to(device)

    log = RunLog(config.out, state.step, None if content is None else content.get("log")) if workers.first else None
    with ask_before_stopping() as stop, nullcontext() if log is None else closing(log):

        def report(state: State, losses: dict[str, float]) -> None:
            done, stopping = state.step == config.schedule.steps, workers.any(stop.is_set())
            if log is not None:
                log.add(losses)
                if state.step % config.reporting.log_every == 0:
                    log.flush(state.step)
                if state.step % config.reporting.preview_every == 0 or done:
                    preview(state, data, config, log)
                if state.step % config.reporting.snapshot_every == 0 or done or stopping:
                    content = snapshot(state, facts) | {"log": log.pending(), "fixed": fixed}
                    save_snapshot(config.out, state.step, content, config.reporting.keep_snapshots)
            if stopping:
                workers.wait()                                         # until it is saved
                raise KeyboardInterrupt

        train(state, data, mesh, config.schedule, config.weights, report, workers)
    with workers.first_alone():
        return finish(config, state, studio, facts) if workers.first else config.out / "model"


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


def resumed_state(
    config: TrainConfig, real: RealPictures | None, workers: Workers, content: dict[str, Any]
) -> State:
    """The state that a snapshot holds."""
    state = fresh_state(config, real, workers)
    try:
        state.generator.load_state_dict(content["generator"])
        state.average.load_state_dict(content["average"])
        state.optimiser.load_state_dict(content["optimiser"])
        if state.game is not None:
            state.game.load_state_dict(content["game"])
    except (RuntimeError, ValueError, KeyError):
        raise InputError(
            f"{config.out}: its snapshots are of other networks than the configuration's, expected those of "
            f"{config.out / 'config.yaml'}; take another --out for a new run"
        ) from None
    state.step = content["step"]
    return state


def warm_start(state: State, config: TrainConfig, data: PairedData, studio: Studio) -> dict[str, Any]:
    """Give a fresh state its weights: those of the initial model, or priors and shells. Facts for the model card."""
    generator, facts = state.generator, {}
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
            facts[f"{name}_prior"] = fit_prior(vae, coefficients, config.priors, rng, name)
        generator.template.code_scale.copy_(data.visible_scale())
        facts["shell_error_world"] = fit_shells(generator.manifolds, skin(studio), config.shells, rng)
    state.average.load_state_dict(generator.state_dict())
    return facts


def skin(studio: Studio) -> np.ndarray:
    """Vertices of the mean head's skin, world units: no eyes, teeth or tongue."""
    vertices = studio.head.mean.reshape(-1, 3)[studio.head.parts.part == 0]
    return (vertices * WORLD_PER_MODEL_UNIT + studio.head.world_offset).astype(np.float64)


def snapshot(state: State, facts: dict[str, Any]) -> dict[str, Any]:
    content = {
        "generator": state.generator.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "step": state.step,
        "facts": facts,
    }
    return content if state.game is None else content | {"game": state.game.state_dict()}


@torch.no_grad()
def preview(state: State, data: PairedData, config: TrainConfig, log: RunLog) -> None:
    """Held-out faces: as they are, rendered, with the neutral expression, turned; and the rendered ones' error."""

    def drawn(codes: Latents, rays: Rays) -> Tensor:
        device = state.average.device
        avatar, rays = state.average.condition(moved(codes, device)), moved(rays, device)
        return torch.cat([render_rays(avatar, part).rgb for part in in_slices(rays, SLICE_RAYS)], dim=1).cpu()

    size, rows, errors = config.reporting.preview_size, [], []
    for index in range(min(PREVIEWS, config.reporting.held_out)):
        codes, rays, truth = data.held_out_view(index, size)
        neutral = Latents(codes.z_id, torch.zeros_like(codes.z_exp), codes.z_noise)
        pictures = [drawn(c, rays).reshape(size, size, 3) for c in (codes, neutral)]
        errors.append(float((pictures[0] - truth).square().mean()))
        rows.append(torch.cat([truth, *pictures], dim=0))
    log.picture(state.step, "preview", to_uint8(torch.cat(rows, dim=1)))
    log.record(state.step, {"held_out_psnr": round(-10 * float(np.log10(np.mean(errors))), 3)})


def to_uint8(image: Tensor) -> UInt8[np.ndarray, "height width 3"]:
    return (image.clamp(0, 1) * 255).round().byte().numpy()


def finish(config: TrainConfig, state: State, studio: Studio, facts: dict[str, Any]) -> Path:
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
        licence=licence(config),
        training={
            "stage": stage(config),
            "steps": state.step,
            "seed": config.schedule.seed,
            "facts": facts,
            "config": plain(config),
        },
    )
    folder = config.out / "model"
    save_checkpoint(folder, Checkpoint(generator, card, basis, studio.prior.to_arrays()))
    return folder


def licence(config: TrainConfig) -> str:
    """Of the finished model, as far as that is known: nothing is claimed of the user's own pictures."""
    if config.real is not None:
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


@contextmanager
def ask_before_stopping() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event instead of breaking a step; the step's end saves and leaves."""
    event = threading.Event()
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    for name in before:
        signal.signal(name, lambda *_: event.set())
    try:
        yield event
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
