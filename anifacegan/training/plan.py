"""What a training run will cost on a GPU: memory, operations and estimated time of each stage, found without a GPU.

``anifacegan train --config FILE --plan`` prints it. One step of every stage is computed by the functions of the
training itself on tensors without numbers (:mod:`anifacegan.training.cost_counter`). Data set, face model and network
R are not read. Left out are reading images, rasterizing the mesh ('geometry', dual discrimination), and the start.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from anifacegan.data.posed_images import PosedImages
from anifacegan.face_model.mesh_images import CHANNELS, softened
from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.face_model.surface_maps import FaceSurfaces, SurfaceMap
from anifacegan.geometry.conventions import EXP_DIM, ID_DIM, NOISE_DIM
from anifacegan.geometry.rays import Rays
from anifacegan.losses.drawn_points import MeshPoints
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.models.regressor_checkpoints import DEEP3D
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.markdown import markdown_table
from anifacegan.training.adversarial_gradients import (
    accumulate_gradients,
    condition_for_template,
    discriminator_gradients,
    frozen_template,
    generator_gradients,
    imitation_gradients,
)
from anifacegan.training.config import TrainConfig
from anifacegan.training.cost_counter import DEVICES, CostCounter, counting, without_numbers
from anifacegan.training.dual import ShownMeshes
from anifacegan.training.image_imitation import ImageImitation, ImageLandmarks, ImitationTerms
from anifacegan.training.mesh_imitation import ImitationBatch, imitation_losses
from anifacegan.training.paired import PairedBatch
from anifacegan.training.patch_gradients import Conditioning, ImageRenderer
from anifacegan.training.photometric import photometric_losses
from anifacegan.training.schedule import Stage

LINK_BYTES = 2.4e11
"""Bytes in a second that GPUs of one computer exchange, in which gradients are averaged: 80 % of NVLink's 300 GB/s."""
GIB = 2**30
LANDMARKS = 68


@dataclass(frozen=True)
class StepCost:
    """Cost of one step on each of several GPUs that share the batch."""

    peak_bytes: int
    """Largest memory of tensors, on each GPU: weights, gradients, the optimizer's averages, and activations."""
    flops: float
    """Floating-point operations of matrix products and convolutions, on each GPU."""
    kernels: float
    """Number of kernels, on each GPU, without compilation; those of an optimizer and its averages count as one."""
    seconds: dict[str, float]
    """Estimated time by the name of the device."""

    def toward(self, other: "StepCost", share: float) -> "StepCost":
        """Return the cost on the straight line from this one (``share`` 0) to another (1); the larger memory of the
        two."""

        def between(one: float, another: float) -> float:
            return one + share * (another - one)

        return StepCost(
            max(self.peak_bytes, other.peak_bytes),
            between(self.flops, other.flops),
            between(self.kernels, other.kernels),
            {name: between(self.seconds[name], other.seconds[name]) for name in self.seconds},
        )


@dataclass(frozen=True)
class StagePlan:
    """A stage of a training run."""

    stage: Stage
    steps: int
    gpus: int
    cost: StepCost


def plan(config: TrainConfig, gpus: int) -> list[StagePlan]:
    """Count what one step of every stage costs on each of ``gpus`` GPUs.

    Raises:
        InputError: a batch cannot be divided among the GPUs.
    """
    schedule = config.schedule
    stages: dict[Stage, int] = {
        "warm_up_deform": schedule.warm_up_deform,
        "near_surface": schedule.near_surface,
        "complete": schedule.complete,
        "adversarial": schedule.adversarial,
    }
    return [
        StagePlan(stage, steps, gpus, _step_cost(config, stage, gpus))
        for stage, steps in stages.items()
        if steps
    ]


def table(config: TrainConfig, gpus: tuple[int, ...]) -> list[str]:
    """Return the lines of a Markdown table of the stages, on each of the numbers of GPUs that divide the batches."""
    names = [device.name for device in DEVICES]
    head = ["stage", "steps", "GPUs", "GiB a GPU", "TFLOP a GPU", "kernels"]
    head += [f"{name}: s a step" for name in names] + [f"{name}: hours" for name in names]
    rows = []
    for count in gpus:
        try:
            planned = plan(config, count)
        except InputError:
            continue
        for stage in planned:
            cost = stage.cost
            numbers = [f"{cost.peak_bytes / GIB:.1f}", f"{cost.flops / 1e12:.2f}", f"{cost.kernels:.0f}"]
            numbers += [f"{cost.seconds[name]:.3f}" for name in names]
            numbers += [f"{stage.steps * cost.seconds[name] / 3600:.1f}" for name in names]
            rows.append([stage.stage, str(stage.steps), str(count), *numbers])
    return markdown_table(head, rows).splitlines()


# ------------------------------------------------------------------------------------------------------------- counting
def _step_cost(config: TrainConfig, stage: Stage, gpus: int) -> StepCost:
    """Count one step; of lazy R1 penalties, one step with the penalty and one without, by their frequencies."""
    if stage != "adversarial":
        return _counted(config, gpus, partial(_paired_step, stage=stage))
    every = config.adversarial.r1_every
    with_r1 = _iteration_cost(config, gpus, 1.0)
    if every == 1:
        return with_r1
    return with_r1.toward(_iteration_cost(config, gpus, 0.0), (every - 1) / every)


def _iteration_cost(config: TrainConfig, gpus: int, r1_factor: float) -> StepCost:
    """Count an iteration of adversarial training. All micro-batches (adversarial.split.images) cost the same, so that
    of more than two only two are computed."""
    adversarial = config.adversarial
    images = adversarial.batch // gpus
    part = adversarial.split.images or images

    def of(parts: int) -> StepCost:
        few = replace(adversarial, batch=gpus * part * parts)
        step = partial(_adversarial_iteration, r1_factor=r1_factor)
        return _counted(replace(config, adversarial=few), gpus, step)

    if adversarial.batch % gpus or images % part or images <= 2 * part:
        return _counted(config, gpus, partial(_adversarial_iteration, r1_factor=r1_factor))
    return of(1).toward(of(2), images / part - 1)


def _counted(config: TrainConfig, gpus: int, step: Callable[["_Networks"], None]) -> StepCost:
    with counting(config.tf32) as counter:
        networks = _Networks(config, gpus, counter)
        counter.flops = counter.kernels = 0
        counter.seconds = dict.fromkeys(counter.seconds, 0.0)
        step(networks)
        flops, kernels = float(counter.flops), float(counter.kernels)
        return StepCost(counter.peak_bytes, flops, kernels, dict(counter.seconds))


class _Networks:
    """Networks without numbers, with the memory that their optimizers and averages take."""

    def __init__(self, config: TrainConfig, gpus: int, counter: CostCounter) -> None:
        self.config, self.gpus, self.counter = config, gpus, counter
        self.generator = without_numbers(lambda: Generator(config.generator))
        self.discriminator: Discriminator | None = None
        if config.schedule.adversarial:
            channels = CHANNELS if config.adversarial.dual.enabled else 0
            self.discriminator = without_numbers(lambda: Discriminator(config.discriminator, channels))
        values = list(self.generator.state_dict().values()) * (2 if config.schedule.slow_average_decay else 1)
        self.averages = [torch.empty_like(value) for value in values]
        parts = [self.generator] + ([] if self.discriminator is None else [self.discriminator])
        self.moments = [torch.empty_like(w) for part in parts for w in part.parameters() for _ in range(2)]

    def share(self, name: str, batch: int) -> int:
        """Return this GPU's part of a batch."""
        if batch % self.gpus:
            raise InputError(f"{name} is {batch}, expected a multiple of the {self.gpus} GPUs")
        return batch // self.gpus

    def take_step(self, network: nn.Module) -> None:
        """Count averaging the gradients over the GPUs, and Adam's step, which reads and writes every number of the
        weights and of two averages once; drop the gradients."""
        learning = [weight for weight in network.parameters() if weight.grad is not None]
        size = sum(weight.numel() * weight.element_size() for weight in learning)
        self.counter.add(0, 7 * size, torch.float32)
        exchanged = 2 * (self.gpus - 1) / self.gpus * size
        for name in self.counter.seconds:
            self.counter.seconds[name] += exchanged / LINK_BYTES
        network.zero_grad(set_to_none=True)


# ---------------------------------------------------------------------------------------------------------------- steps
def _paired_step(networks: _Networks, stage: Stage) -> None:
    """Compute one step before adversarial training."""
    config, generator = networks.config, networks.generator
    terms = _imitation_losses(networks)
    if stage != "warm_up_deform":
        terms |= _photometric_losses(networks, config.schedule.rays, near=stage == "near_surface")
    accumulate_gradients(terms)
    networks.take_step(generator)


def _adversarial_iteration(networks: _Networks, r1_factor: float) -> None:
    """Compute one iteration of adversarial training, as :class:`AdversarialTraining` does. Points that no light
    reaches are not left out, because which ones they are depends on the numbers.
    """
    config, generator, discriminator = networks.config, networks.generator, networks.discriminator
    assert discriminator is not None
    adversarial, size = config.adversarial, config.discriminator.size
    views = _views(networks.share("adversarial.batch", adversarial.batch))
    image_imitation = _image_imitation(config)

    def imitation(other_terms: dict[str, Tensor]) -> ImitationTerms:
        if image_imitation is None:
            return ImitationTerms(other_terms=other_terms)
        terms = image_imitation.terms(views, size, config.schedule.precision)
        return replace(terms, other_terms=other_terms)

    for k in range(adversarial.deformation_steps):
        with frozen_template(generator):
            with_images = k >= adversarial.deformation_steps - adversarial.image_steps
            terms = imitation(_imitation_losses(networks))
            if not with_images:
                terms = ImitationTerms(other_terms=terms.other_terms)
            imitation_gradients(_renderer(config, generator.condition), views, terms)
        networks.take_step(generator)

    fake = PosedImages(_renderer(config, generator.condition).draw(views), views.pose)
    real = PosedImages(torch.empty_like(fake.image), torch.empty_like(fake.pose))
    real, fake = (_beside_meshes(config, views, images) for images in (real, fake))
    weights, images = config.adversarial_weights, adversarial.split.images
    discriminator_gradients(discriminator, real, fake, weights, r1_factor, images)
    networks.take_step(discriminator)

    others: dict[str, Tensor] = {}
    if adversarial.paired_rays:
        others |= _photometric_losses(networks, adversarial.paired_rays, near=True)
    if not adversarial.deformation_steps:
        others |= _imitation_losses(networks)
    condition = condition_for_template(generator) if adversarial.deformation_steps else generator.condition
    shown = _shown(config, views)
    generator_gradients(_renderer(config, condition), discriminator, views, weights, imitation(others), shown)
    networks.take_step(generator)


def _renderer(config: TrainConfig, condition: Conditioning) -> ImageRenderer:
    fov_deg, precision = config.generator.ray_sampling.fov_deg, config.schedule.precision
    rays = config.adversarial.view_direction == "rays"
    size, split = config.discriminator.size, config.adversarial.split
    return ImageRenderer(condition, size, fov_deg, split, precision, view_dependent=rays)


def _imitation_losses(networks: _Networks) -> dict[str, Tensor]:
    schedule = networks.config.schedule
    faces = networks.share("schedule.mesh_faces", schedule.mesh_faces)
    few = max(1, schedule.mesh_points // 4)
    batch = ImitationBatch(
        z_id=torch.empty(faces, ID_DIM),
        z_exp=torch.empty(faces, EXP_DIM),
        template_exp=torch.empty(faces, EXP_DIM),
        mesh=_mesh_points(faces, schedule.mesh_points),
        mouth_gap=_mesh_points(faces, max(1, schedule.mesh_points // 8)),
        volume=torch.empty(faces, few, 3),
        jitter=torch.empty(faces, few, 3),
    )
    return imitation_losses(networks.generator, batch, networks.config.weights, schedule.precision)


def _mesh_points(faces: int, count: int) -> MeshPoints:
    return MeshPoints(torch.empty(faces, count, 3), torch.empty(faces, count, 3), torch.empty(faces, count))


def _photometric_losses(networks: _Networks, rays: int, near: bool) -> dict[str, Tensor]:
    config = networks.config
    images = networks.share("schedule.batch", config.schedule.batch)
    batch = PairedBatch(
        *(torch.empty(images, size) for size in (ID_DIM, EXP_DIM, NOISE_DIM)),
        rays=Rays(torch.empty(images, rays, 3), torch.empty(images, rays, 3)),
        rgb=torch.empty(images, rays, 3),
        distance=torch.empty(images, rays),
        inside=torch.empty(images, rays, dtype=torch.bool),
        in_mouth=torch.empty(images, rays, dtype=torch.bool),
    )
    rng = torch.Generator().manual_seed(0)
    return photometric_losses(networks.generator, batch, config.schedule, near, config.weights, rng)


def _beside_meshes(config: TrainConfig, views: PosedLatents, images: PosedImages) -> PosedImages:
    shown = _shown(config, views)
    return images if shown is None else shown.beside(images)


def _shown(config: TrainConfig, views: PosedLatents) -> ShownMeshes | None:
    """Return what the discriminator sees beside images; the mesh is not drawn, but softened."""
    dual, size = config.adversarial.dual, config.discriminator.size
    if not dual.enabled:
        return None
    drawn = torch.empty(len(views), CHANNELS, size, size)
    return ShownMeshes(softened(drawn, dual.blur * size), torch.empty(len(views), 2, dtype=torch.long))


def _views(count: int) -> PosedLatents:
    latents = Latents(torch.empty(count, ID_DIM), torch.empty(count, EXP_DIM), torch.empty(count, NOISE_DIM))
    return PosedLatents(latents, torch.empty(count, 2))


# --------------------------------------------------------------------------------------- a face model without numbers
def _image_imitation(config: TrainConfig) -> ImageImitation | None:
    """Return the losses of generated images with a face model without numbers; R is Deep3DFaceRecon's network, larger
    than the small ones."""
    weights = config.weights
    surfaces = _SurfacesOfAnyModel() if weights.geometry else None
    landmarks = None
    if weights.landmarks:
        landmarks = without_numbers(lambda: ImageLandmarks(FaceRegressor(DEEP3D), LandmarksOfAnyModel()))
    return None if surfaces is None and landmarks is None else ImageImitation(weights, surfaces, landmarks)


class LandmarksOfAnyModel(FaceLandmarks):
    """Landmarks of a face model without lids."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.camera, self.eyes = "deep3dfacerecon", ()
        self.register_buffer("mean", torch.empty(LANDMARKS, 3))
        self.register_buffer("id_basis", torch.empty(LANDMARKS, 3, ID_DIM))
        self.register_buffer("exp_basis", torch.empty(LANDMARKS, 3, EXP_DIM))


class _SurfacesOfAnyModel(FaceSurfaces):
    """Position maps that are not drawn."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, z_id: Tensor, z_exp: Tensor, angles: Tensor, size: int) -> SurfaceMap:
        """Return empty maps of images of ``size`` x ``size`` pixels."""
        return SurfaceMap(torch.empty(len(z_id), size**2, 3), torch.empty(len(z_id), size**2))
