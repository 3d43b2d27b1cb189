"""A generator's training run from its configuration: data, initial weights, training, previews, finished model."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from anifacegan.data.dataset import FaceDataset
from anifacegan.data.posed_images import RealImages
from anifacegan.data.visibility import RASTER_PX, PosedFaces, require_room_for_visibility, stored_visibility
from anifacegan.face_model.face_mesh import FaceMesh
from anifacegan.face_model.mesh_images import CHANNELS, MeshImages
from anifacegan.geometry.rasterization.rasterizer import select_backend
from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.models.config import PriorKind
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.generator import Generator
from anifacegan.models.model_folder import weights_sha256
from anifacegan.models.prior_checkpoints import Prior, load_fitting_prior
from anifacegan.runtime.cpu import set_torch_threads
from anifacegan.runtime.devices import allow_tf32, select_device
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.errors import InputError
from anifacegan.training.adversarial import AdversarialTraining
from anifacegan.training.batches import Photographs, require_images_left
from anifacegan.training.compilation import compile_fields
from anifacegan.training.config import TrainConfig
from anifacegan.training.durable_run import DurableRun
from anifacegan.training.finished_model import write_model
from anifacegan.training.image_imitation import ImageImitation, ImitationFiles, load_image_imitation
from anifacegan.training.initial_weights import fitting_checkpoint, initialize
from anifacegan.training.logging import RunLog
from anifacegan.training.loop import train
from anifacegan.training.paired import PairedData
from anifacegan.training.previews import held_out_faces, held_out_psnr, sheets
from anifacegan.training.prior_faces import PRIOR_FACES, add_prior_faces, sample_prior_faces
from anifacegan.training.resume_check import fixed_values, refuse_changes, require_within_schedule
from anifacegan.training.snapshots import SURFACES, load_snapshot
from anifacegan.training.sources import TrainingSource, load_source
from anifacegan.training.state import State, new_state


def run(config: TrainConfig, workers: Workers = SINGLE_PROCESS, train: Callable[..., None] = train) -> Path:
    """Train a generator, or resume from the newest snapshot in the run folder; return the finished model's folder.

    All processes (``workers``) read data and snapshot; the first one fits the priors and writes all files. ``train`` is
    called when everything is prepared: :func:`anifacegan.training.loop.train`, or a function with the same arguments.

    Raises:
        InputError: configuration and data do not fit together.
        FloatingPointError: a loss is not finite; the message names the terms and the step.
    """
    set_torch_threads(config.threads)
    device = select_device(config.device)
    allow_tf32(config.tf32)
    workers.take_gpu(device)
    refuse_uneven_shares(config, workers)
    source = training_source(config)
    require_room_for_surfaces(config, source)
    template_exp = source.template_exp(config.generator.template_expression)
    real = real_images(config, source.dataset)
    imitation = image_imitation(config, source.mesh)
    durable = DurableRun(config, fixed_values(config, checksums(config, source, real, imitation)), workers)
    priors = finished_priors(config, source.mesh.name) if durable.new else {}
    if durable.new and config.initial_model is not None:  # refused before anything is written
        fitting_checkpoint(config.generator, config.initial_model, source.mesh.name)
    state = fresh_state(config, real, imitation, workers, mesh_images(config, source.mesh))
    with durable:
        durable.resume(state)
        fov_deg, held_out = config.generator.ray_sampling.fov_deg, config.reporting.held_out
        data, mesh = source.load(config.out / SURFACES, fov_deg, held_out, workers, template_exp)
        with workers.rank_zero_first():
            if durable.new and workers.first:
                initialize(state, config, data, mesh, source, priors)
        workers.broadcast_weights(state.networks())
        if config.schedule.prior_faces:
            with workers.rank_zero_first():
                add_pool(state.generator, config, data, mesh, source)
        state.to(device)
        if config.compile:
            compile_fields(state.generator)
        show = partial(preview, state, data, source, config)
        with durable.reporting(state, show, config.reporting.preview_every) as report:
            train(state, data, mesh, config.schedule, config.weights, report, workers)
    with workers.rank_zero_first():
        folder = config.out / "model"
        return write_model(config, state, source, folder) if workers.first else folder


# ------------------------------------------------------------------------------------------------------- preparation
def refuse_uneven_shares(config: TrainConfig, workers: Workers) -> None:
    """Require that every batch can be divided equally among the processes of the run.

    Raises:
        InputError: a batch cannot be divided; the message names its option.
    """
    batches = {"schedule.mesh_faces": config.schedule.mesh_faces}
    paired_in_adversarial = config.schedule.adversarial and config.adversarial.paired_rays
    if config.schedule.near_surface or config.schedule.complete or paired_in_adversarial:
        batches["schedule.batch"] = config.schedule.batch
    if config.schedule.adversarial:
        batches["adversarial.batch"] = config.adversarial.batch
    for name, count in batches.items():
        workers.refuse_uneven(name, count)


def require_room_for_surfaces(config: TrainConfig, source: TrainingSource) -> None:
    """Require, before anything long, that what cameras see of the faces may be written into the run's folder.

    Raises:
        InputError: a file that is not ours is in the way.
    """
    source.require_room(config.out / SURFACES)
    if config.schedule.prior_faces:
        require_room_for_visibility(config.out / SURFACES, PRIOR_FACES)


def training_source(config: TrainConfig) -> TrainingSource:
    """Load the data set and its face model, and require that they suit the configured stages.

    Raises:
        InputError: a file is bad, the data belong to another face model, or a stage needs synthetic images or the head
            of the open face model, which the data do not have.
    """
    source = load_source(config.data, config.face_model)
    require_images_left(len(source.dataset), config.reporting.held_out)
    paired = {f"schedule.{name}": getattr(config.schedule, name) for name in ("near_surface", "complete")}
    if config.schedule.adversarial:
        paired["adversarial.paired_rays"] = config.adversarial.paired_rays
    for name, value in paired.items():
        if value and not source.synthetic:
            raise InputError(
                f"{name} is {value}, expected 0: its steps learn from synthetic images of the open face model, and "
                f"{config.data.path} holds photographs"
            )
    around_head = config.initial_model is None and config.manifold_init.start == "mean_head"
    if source.synthetic_renderer is None and around_head:
        raise InputError(
            f"manifold_init.start is mean_head, expected spheres: '{source.mesh.name}' is a face without a head to lay "
            f"initial manifolds about"
        )
    return source


def real_images(config: TrainConfig, dataset: FaceDataset) -> RealImages | None:
    """Return the discriminator's real images; None where the schedule has no adversarial steps."""
    if not config.schedule.adversarial:
        return None
    mirror, dual = config.adversarial.mirror, config.adversarial.dual.enabled
    if config.real is not None:
        return RealImages(
            FaceDataset(config.real, poses_suffice=True, option="real"), held_out=0, mirror=mirror
        )
    table = dataset.load_coefficients() if dual else None
    return RealImages(dataset, config.reporting.held_out, mirror=mirror, coefficients=table)


def image_imitation(config: TrainConfig, mesh: FaceMesh) -> ImageImitation | None:
    """Load what the imitation losses of generated images need; return None if there are no adversarial steps, or no
    such loss has a weight.
    """
    if not config.schedule.adversarial:
        return None
    files = ImitationFiles(config.face_model, config.reconstruction, config.rasterizer)
    device = torch.device(select_device(config.device))
    return load_image_imitation(config.weights, files, mesh, config.generator.ray_sampling.fov_deg, device)


def mesh_images(config: TrainConfig, mesh: FaceMesh) -> MeshImages | None:
    """Return what draws the meshes of dual discrimination; None for a run without.

    Raises:
        InputError: the rasterizer does not work on the device.
    """
    dual = config.adversarial.dual
    if not config.schedule.adversarial or not dual.enabled:
        return None
    select_backend(config.rasterizer, torch.device(select_device(config.device)))
    return MeshImages(mesh, config.generator.ray_sampling.fov_deg, config.rasterizer, dual.blur)


def checksums(
    config: TrainConfig, source: TrainingSource, real: RealImages | None, imitation: ImageImitation | None
) -> dict[str, Any]:
    """Compute checksums of everything that a run learns from, under the names in resume_check.CHECKSUMS."""
    found = source.checksums() | {"contents_sha256": source.dataset.contents_sha256()}
    if real is not None:
        found["real_sha256"] = real.sha256()
        found["real_contents_sha256"] = real.dataset.contents_sha256()
    if imitation is not None and imitation.landmarks is not None:
        found["reconstruction_sha256"] = weights_sha256(config.reconstruction)
    return found


def fresh_state(
    config: TrainConfig,
    real: RealImages | None,
    imitation: ImageImitation | None,
    workers: Workers,
    meshes: MeshImages | None = None,
) -> State:
    """Create the state of a new run. The generator is not initialized: :func:`initialize` does it, or a snapshot.

    Args:
        config: configuration of the run.
        real: real images of adversarial training; None for a run without it, which has no discriminator.
        imitation: losses in adversarial training that compare generated images with the face model; None: no such
            losses.
        workers: processes that train together.
        meshes: draws what the discriminator sees beside images; None: nothing.
    """
    generator, adversarial = Generator(config.generator), None
    if real is not None:
        discriminator = Discriminator(config.discriminator, 0 if meshes is None else CHANNELS)
        discriminator.initialize(torch.Generator().manual_seed(config.schedule.seed))
        adversarial = AdversarialTraining(
            generator,
            discriminator,
            real,
            config.adversarial,
            config.adversarial_weights,
            imitation,
            workers,
            meshes,
        )
    schedule = config.schedule
    return new_state(
        generator,
        schedule.average_decay,
        adversarial,
        schedule.adam_betas,
        schedule.slow_average_decay,
        schedule.left_out_limit,
    )


def finished_priors(config: TrainConfig, face_model: str) -> dict[PriorKind, Prior]:
    """Load the finished priors that the configuration names; return them by kind.

    Raises:
        InputError: a prior cannot be read, or belongs to another face model or network size.
    """
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


def add_pool(
    generator: Generator,
    config: TrainConfig,
    data: PairedData | Photographs,
    mesh: MeshSampler,
    source: TrainingSource,
) -> None:
    """Sample schedule.prior_faces faces from the generator's priors, and add them to the faces whose meshes the
    deformation learns to imitate.
    """
    schedule = config.schedule
    pool = sample_prior_faces(generator, data, schedule.prior_faces, schedule.seed)
    size = config.data.size if source.synthetic else RASTER_PX  # a larger image would show more vertices
    posed = PosedFaces(pool.latents.z_id, pool.latents.z_exp, pool.pose, size)
    visible = stored_visibility(config.out / SURFACES, PRIOR_FACES, source.mesh, posed)
    add_prior_faces(data, mesh, pool, visible, schedule.prior_share)


# ------------------------------------------------------------------------------------------------------------ reports
def preview(
    state: State, data: PairedData | Photographs, source: TrainingSource, config: TrainConfig, log: RunLog
) -> None:
    """Log preview images of the averaged weights, and the PSNR of held-out faces if their appearance latents are
    known.
    """
    reporting = config.reporting
    faces = state.average, data, reporting.held_out, reporting.preview_size
    image = held_out_faces(*faces)
    if data.appearance_known:
        log.record(state.step, {"held_out_psnr": round(held_out_psnr(*faces), 3)})
    expressions = source.expressions(reporting.held_out)
    contact_sheets = sheets(state.average, expressions, reporting.sheet_size)
    for name, sheet in {"preview": image, **contact_sheets}.items():
        log.image(state.step, name, sheet)


# ------------------------------------------------------------------------------------------------------------- export
def export(config: TrainConfig, step: int | None, folder: Path, slow: bool = False) -> int:
    """Write the model of one of a run's snapshots to a folder; return the snapshot's step.

    ``step`` None selects the newest snapshot; ``slow`` the second, slower average of the weights. The run is not
    changed, and may still be in progress.

    Raises:
        InputError: there is no such snapshot or average, it was trained with other options or another face model than
            ``config`` has, or the data set is missing.
    """
    content = load_snapshot(config.out, step)
    now = fixed_values(config, {})
    refuse_changes(config.out, content["fixed"], now, f"{config.out / 'config.yaml'} was changed")
    require_within_schedule(config.out, content["step"], config.schedule.steps)
    if slow and "slow_average" not in content:
        raise InputError(
            f"average is slow, but the snapshots of {config.out} have one average only, expected model; "
            "schedule.slow_average_decay keeps a second one"
        )
    state = new_state(Generator(config.generator), config.schedule.average_decay)
    try:
        state.average.load_state_dict(content["slow_average" if slow else "average"])
        state.step, state.facts = content["step"], content["facts"]
    except (RuntimeError, KeyError, TypeError, AttributeError, ValueError):
        raise InputError(
            f"{config.out}: its snapshots are of other networks than its config.yaml says"
        ) from None
    source = training_source(config)
    face_model = {"coefficients_sha256": source.mesh.coefficients_sha256()}
    refuse_changes(config.out, content["fixed"], face_model, "the run learnt another face model")
    write_model(config, state, source, folder)
    return state.step
