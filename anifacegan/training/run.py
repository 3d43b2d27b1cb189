"""A training run from its configuration: data, warm start, the steps, snapshots, previews, the finished model."""

import dataclasses
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from anifacegan.data.dataset import FaceDataset
from anifacegan.data.posed_images import RealImages
from anifacegan.data.visibility import RASTER_PX
from anifacegan.face_model.expressions import PRESETS
from anifacegan.face_model.face_mesh import FaceMesh
from anifacegan.models.checkpoints import Checkpoint, ModelCard, load_checkpoint, save_checkpoint
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.generator import Generator
from anifacegan.models.model_folder import weights_sha256
from anifacegan.models.prior_checkpoints import Prior, PriorKind, load_fitting_prior
from anifacegan.runtime.cpu import set_torch_threads
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.typed_config import plain
from anifacegan.training.adversarial import AdversarialTraining
from anifacegan.training.batches import Photographs
from anifacegan.training.checkpointing import DurableRun, fixed_values, load_snapshot
from anifacegan.training.compilation import compile_fields
from anifacegan.training.config import TrainConfig
from anifacegan.training.crop_check import crop_check
from anifacegan.training.image_imitation import ImageImitation, ImitationFiles, load_image_imitation
from anifacegan.training.initialization import fit_manifolds, fit_prior
from anifacegan.training.logging import RunLog
from anifacegan.training.loop import State, new_state, train
from anifacegan.training.paired import PairedData
from anifacegan.training.previews import held_out_faces, sheets
from anifacegan.training.sources import TrainingSource, add_prior_faces, draw_prior_faces, load_source


def run(config: TrainConfig, workers: Workers = SINGLE_PROCESS, train: Callable[..., None] = train) -> Path:
    """Train, or go on where the run folder's newest snapshot ends; returns the finished model's folder.

    All workers read data and snapshot; what there is one of, the first one draws, fits and writes. ``train`` is what is
    done when all is prepared: :func:`anifacegan.training.train`, or something with its arguments.

    Raises:
        InputError: something in the configuration or the data does not fit.
        FloatingPointError: a loss is not finite; the message names the terms and the step.
    """
    set_torch_threads(config.threads)
    device = select_device(config.device)
    workers.take_gpu(device)
    refuse_uneven_shares(config, workers)
    source = fitting_source(config)
    real = real_images(config, source.dataset)
    imitation = image_imitation(config, source.mesh)
    checksums = source.checksums()
    if real is not None:
        checksums["real_sha256"] = real.sha256()
    if imitation is not None and imitation.landmarks is not None:
        checksums["reconstruction_sha256"] = weights_sha256(config.reconstruction)
    kept = DurableRun(config, fixed_values(config, checksums), workers)
    priors = finished_priors(config, source.mesh.name) if kept.new else {}
    state = fresh_state(config, real, workers)
    if state.game is not None:
        state.game.imitation = imitation
    kept.take_up(state)
    fov_deg, held_out = config.generator.ray_sampling.fov_deg, config.reporting.held_out
    data, mesh = source.load(config.out / "surfaces", fov_deg, held_out, workers)
    with workers.rank_zero_first():
        if kept.new and workers.first:
            warm_start(state, config, data, source, priors)
    workers.broadcast_weights(state.networks())
    if config.schedule.prior_faces:
        pool = draw_prior_faces(state.generator, data, config.schedule.prior_faces, config.schedule.seed)
        size = config.data.size if source.synthetic else RASTER_PX
        add_prior_faces(data, mesh, source.mesh, pool, config.schedule.prior_share, size)
    state.to(device)
    if config.compile:
        compile_fields(state.generator)
    show = partial(shown, state, data, source, config)
    with kept.reporting(state, show, config.reporting.preview_every) as report:
        train(state, data, mesh, config.schedule, config.weights, report, workers)
    with workers.rank_zero_first():
        folder = config.out / "model"
        return finish(config, state, source, folder) if workers.first else folder


def refuse_uneven_shares(config: TrainConfig, workers: Workers) -> None:
    """Raises InputError where a batch does not divide by the number of workers."""
    batches = {"schedule.mesh_faces": config.schedule.mesh_faces}
    anchored = config.schedule.adversarial and config.adversarial.paired_rays
    if config.schedule.near_surface or config.schedule.complete or anchored:
        batches["schedule.batch"] = config.schedule.batch
    if config.schedule.adversarial:
        batches["adversarial.batch"] = config.adversarial.batch
    for name, count in batches.items():
        workers.refuse_uneven(name, count)


def fitting_source(config: TrainConfig) -> TrainingSource:
    """Load the data set and its face model.

    Raises:
        InputError: bad files; data of another face model; or steps that learn from synthetic images, or initial manifolds
            of a head, where there are none.
    """
    source = load_source(config.data, config.face_model)
    on_pixels = {f"schedule.{name}": getattr(config.schedule, name) for name in ("near_surface", "complete")}
    if config.schedule.adversarial:
        on_pixels["adversarial.paired_rays"] = config.adversarial.paired_rays
    for name, value in on_pixels.items():
        if value and not source.synthetic:
            raise InputError(
                f"{name} is {value}, expected 0: its steps learn from synthetic images of the open face model, and "
                f"{config.data.path} holds photographs"
            )
    if (
        source.synthetic_renderer is None
        and config.initial_model is None
        and config.manifold_init.start == "mean_head"
    ):
        raise InputError(
            f"manifold_init.start is mean_head, expected spheres: '{source.mesh.name}' is a face without a head to lay "
            f"initial manifolds about"
        )
    return source


def real_images(config: TrainConfig, dataset: FaceDataset) -> RealImages | None:
    """What the discriminator is shown; None where the schedule has no adversarial steps."""
    if not config.schedule.adversarial:
        return None
    if config.real is not None:
        return RealImages(FaceDataset(config.real), held_out=0)
    return RealImages(dataset, config.reporting.held_out)


def image_imitation(config: TrainConfig, mesh: FaceMesh) -> ImageImitation | None:
    """What generated images are compared with; None where there are none, or no term looks at them."""
    if not config.schedule.adversarial:
        return None
    files = ImitationFiles(config.face_model, config.reconstruction, config.rasterizer)
    device = torch.device(select_device(config.device))
    return load_image_imitation(config.weights, files, mesh, config.generator.ray_sampling.fov_deg, device)


def fresh_state(config: TrainConfig, real: RealImages | None, workers: Workers) -> State:
    """A generator without weights yet, a fresh discriminator where there are images for it, and their optimisers."""
    state = new_state(Generator(config.generator), config.schedule)
    if real is not None:
        judge = Discriminator(config.discriminator)
        judge.initialise(torch.Generator().manual_seed(config.schedule.seed))
        state.game = AdversarialTraining(
            state.generator, judge, real, config.adversarial, config.adversarial_weights, workers
        )
    return state


def finished_priors(config: TrainConfig, face_model: str) -> dict[PriorKind, Prior]:
    """The priors that the configuration names."""
    named: dict[PriorKind, Path | None] = {
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
    state: State,
    config: TrainConfig,
    data: PairedData | Photographs,
    source: TrainingSource,
    priors: dict[PriorKind, Prior],
) -> None:
    """Give a fresh state its weights, and its facts: those of the initial model, or priors and initial manifolds; the finished
    ``priors`` in place of either's.
    """
    generator, facts = state.generator, state.facts
    if not source.synthetic:
        fit = crop_check(source.mesh, source.latents, config.generator.ray_sampling.fov_deg)
        print(fit.line(), file=sys.stderr)
        facts["crop_check"] = fit.plain()
    if config.initial_model is not None:
        facts["initial_model"] = take_initial_model(generator, config.initial_model, source.mesh.name)
    else:
        rng = torch.Generator().manual_seed(config.schedule.seed)
        generator.initialise(rng)
        for name, vae, coefficients in (
            ("identity", generator.identity_prior, data.z_id[: data.count]),
            ("expression", generator.expression_prior, data.z_exp[: data.count]),
        ):
            if name not in priors:
                facts[f"{name}_prior"] = fit_prior(vae, coefficients, config.priors, rng, name)
        if isinstance(data, PairedData):
            generator.template.latent_scale.copy_(data.visible_scale())
        if config.manifold_init.start == "mean_head":
            facts["manifold_init_error_world"] = fit_manifolds(
                generator.manifolds, source.skin(), config.manifold_init, rng
            )
    for name, prior in priors.items():
        generator.get_submodule(f"{name}_prior").load_state_dict(prior.vae.state_dict())
        facts[f"{name}_prior"] = dataclasses.asdict(prior.card)
    state.average.load_state_dict(generator.state_dict())


def take_initial_model(generator: Generator, folder: Path, face_model: str) -> dict[str, Any]:
    """Load a finished model's weights; returns how they came about."""
    initial = load_checkpoint(folder)
    if initial.card.face_model != face_model:
        raise InputError(
            f"initial_model: {folder} belongs to face model '{initial.card.face_model}', expected '{face_model}' as "
            f"the data"
        )
    if (
        dataclasses.replace(initial.generator.config, ray_sampling=generator.config.ray_sampling)
        != generator.config
    ):
        raise InputError(
            f"initial_model: {folder} holds other networks than 'generator' says, see its card.yaml"
        )
    generator.load_state_dict(initial.generator.state_dict())
    return {"path": str(folder), "licence": initial.card.licence} | initial.card.training


def shown(
    state: State, data: PairedData | Photographs, source: TrainingSource, config: TrainConfig, log: RunLog
) -> None:
    """Images of what the averaged weights draw by now, and the error of held-out faces where it means something."""
    when = config.reporting
    image, psnr = held_out_faces(state.average, data, when.held_out, when.preview_size)
    if psnr is not None:
        log.record(state.step, {"held_out_psnr": round(psnr, 3)})
    expressions = source.expressions(when.held_out)
    for name, sheet in {"preview": image, **sheets(state.average, expressions, when.sheet_size)}.items():
        log.image(state.step, name, sheet)


def export(config: TrainConfig, step: int | None, folder: Path) -> int:
    """Write the model that a run would have ended with at one of its snapshots; returns the snapshot's step.

    ``step`` None is the newest. The run is left as it is, and may be going on.

    Raises:
        InputError: there is no such snapshot, it is of other networks, or the data set is not there.
    """
    content = load_snapshot(config.out, step)
    state = new_state(Generator(config.generator), config.schedule)
    try:
        state.average.load_state_dict(content["average"])
    except (RuntimeError, KeyError):
        raise InputError(
            f"{config.out}: its snapshots are of other networks than its config.yaml says"
        ) from None
    state.step, state.facts = content["step"], content["facts"]
    finish(config, state, fitting_source(config), folder)
    return state.step


def finish(config: TrainConfig, state: State, source: TrainingSource, folder: Path) -> Path:
    """Write the averaged weights as a model folder, with the truncation mean and everything it needs to be used."""
    generator = state.average.cpu()
    generator.set_truncation_mean(torch.Generator().manual_seed(config.schedule.seed))
    basis = source.units()
    card = ModelCard(
        name=config.name,
        face_model=source.mesh.name,
        pitch_offset=config.data.pitch_offset,
        expression_units=() if basis is None else basis.names,
        presets={} if basis is None else PRESETS,
        licence=licence(config, state.facts, source),
        training={
            "stage": stage(config, source, state.step),
            "steps": state.step,
            "seed": config.schedule.seed,
            "facts": state.facts,
            "config": plain(config),
        },
    )
    appearance = (
        source.synthetic_renderer.prior.to_arrays()
        if source.synthetic_renderer is not None and source.synthetic
        else {}
    )
    save_checkpoint(folder, Checkpoint(generator, card, basis, appearance))
    return folder


def licence(config: TrainConfig, facts: dict[str, Any], source: TrainingSource) -> str:
    """Of the finished model, as far as that is known: nothing is claimed of the user's own images and face model,
    nor of priors that were fitted to their coefficients.
    """
    named_priors = [facts[name] for name in ("identity_prior", "expression_prior") if name in facts]
    if (
        not source.synthetic
        or config.real is not None
        or not all(prior.get("licence", True) for prior in named_priors)
    ):
        return ""
    if config.initial_model is not None:
        known = facts["initial_model"].get("licence")  # older snapshots do not say
        return load_checkpoint(config.initial_model).card.licence if known is None else known
    return "MIT; trained on renders of the open face model, whose data is CC0"


def stage(config: TrainConfig, source: TrainingSource, step: int) -> str:
    """What this run did up to a step, for the model card; what came before stands in the facts of its initial model."""
    done, steps = [], config.schedule
    paired, game = min(step, steps.paired_steps), step - min(step, steps.paired_steps)
    lead = min(game, config.adversarial.discriminator_warmup)
    if config.initial_model is not None:
        done.append(f"from {config.initial_model}")
    if paired > steps.warm_up_deform:
        done.append("photometric warm start on paired synthetic renders")
    elif paired:
        done.append(f"{paired} steps of the deformation on the face model's mesh")
    if game > lead:
        own = "the same renders" if source.synthetic else str(config.data.path)
        images = own if config.real is None else str(config.real.path)
        after = f", after {lead} of the discriminator alone" if lead else ""
        beside = ", paired renders beside them" if config.adversarial.paired_rays else ""
        done.append(f"{game - lead} adversarial steps on {images}{after}{beside}")
    elif config.initial_model is None:
        done.append("no adversarial training yet")
    return "; ".join(done)
