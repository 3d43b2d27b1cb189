"""Training: the warm start of a generator on paired images, then adversarial training (method, section 4).

Steps come in four stages, after the priors and the initial manifolds of :mod:`anifacegan.warm_start`:

1. ``warm_up_deform`` steps of the deformation field alone, on the mesh of the very codes it is given;
2. ``near_surface`` steps of the template, shading only the manifolds about the known surface and one before it,
   while the deformation field goes on imitating the mesh;
3. ``complete`` steps with every manifold, in which template, manifolds and deformation learn together;
4. ``adversarial`` steps against a discriminator, on whole images of people whom nobody drew.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torch.profiler import record_function

from anifacegan.geometry.conventions import WORLD_PER_NETWORK_UNIT
from anifacegan.losses.imitation import deformation_loss, offset_loss, smoothness_loss
from anifacegan.losses.imitation_points import CONFIDENCE_RADIUS, MeshPoints, MeshSampler
from anifacegan.losses.photometric import colour_loss, free_space_loss, silhouette_loss
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields, FrozenField, Generator
from anifacegan.rendering.compositing import RayColours
from anifacegan.rendering.volume import ManifoldSelection, render_rays
from anifacegan.runtime.devices import moved
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.errors import ConfigError, require_above, require_at_least
from anifacegan.training.adversarial import AdversarialTraining, Iteration
from anifacegan.training.batches import TrainingFaces
from anifacegan.training.image_imitation import ImageWeights
from anifacegan.training.optim import (
    BACKWARD,
    DATA,
    OPTIMISER,
    Precision,
    averaged,
    cosine_decay,
    finite_total,
    matrix_precision,
    scheduled,
    take_step,
)
from anifacegan.training.paired import PairedBatch, PairedData


@dataclass(frozen=True)
class LossWeights(ImageWeights):
    """Factors of the terms; 0 switches one off. Those of generated images serve the adversarial steps alone."""

    colour: float = 1.0
    """Mean absolute error of the colours in [0, 1]."""
    silhouette: float = 0.1
    """Mean absolute error of the head's opacity."""
    free_space: float = 0.1
    """Mean opacity before the surface."""
    deformation: float = 3e4
    """Squared error of the deformation on the mesh, world units (L_3DMM)."""
    mouth_gap: float = 3e3
    """The same between open lips, where there is no mesh."""
    roughness: float = 3e3
    """Squared difference of the deformation between neighbours."""
    minimal: float = 1e2
    """Squared length of the deformation at points anywhere in the box."""
    neutral: float = 1e4
    """Squared length of the deformation on neutral faces."""
    alignment: float = 3e4
    """Squared error of the alignment about neutral meshes, world units; for generators that have one."""


@dataclass(frozen=True)
class Schedule:
    """How long, how many, how fast."""

    seed: int = 0
    """Of everything that is drawn."""
    warm_up_deform: int = 2000
    """Steps of the deformation field alone."""
    near_surface: int = 10_000
    """Steps of the template on the manifolds about the known surface."""
    complete: int = 3000
    """Steps of all fields on all manifolds."""
    adversarial: int = 0
    """Steps of adversarial training."""
    batch: int = 24
    """Images a step."""
    rays: int = 128
    """Rays an image."""
    near_levels: int = 4
    """Manifolds a ray that are shaded about the surface."""
    near_samples: int = 24
    """Samples a ray is marched with in those steps."""
    complete_samples: int = 0
    """Samples a ray is marched with in the steps on all manifolds; 0: as many as the finished model's."""
    mesh_faces: int = 16
    """Faces a step whose meshes the deformation imitates."""
    mesh_points: int = 384
    """Vertices a face."""
    mesh_offset: float = 0.0
    """Largest distance of these points from their vertices, along the normal, world units. The method's weights reach
    0.00316; at 0 all points are vertices."""
    prior_faces: int = 0
    """Faces that the priors draw once, whose meshes are imitated beside the data's. Adversarial training asks for such; 0: none."""
    prior_share: float = 0.5
    """Of mesh_faces, drawn face by face, where there are prior_faces."""
    lr_template: float = 5e-4
    lr_deformation: float = 1e-3
    """In the warm-up; afterwards a third of it."""
    lr_manifolds: float = 5e-5
    gradient_limit: float = 1.0
    """Largest norm of a field's gradient."""
    precision: Precision = "float32"
    """Of the hidden layers' matrix products, in all stages. Coordinates, mapping networks, levels and the discriminator
    stay float32. bfloat16 is twice as fast on processors that have it in hardware, and slower on others."""
    average_decay: float = 0.999
    """Of the averaged weights, which are the ones that are shipped."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "batch", "rays", "near_levels", "mesh_faces", "mesh_points")
        require_at_least(
            self, 0, "warm_up_deform", "near_surface", "complete", "adversarial", "seed", "average_decay"
        )
        require_at_least(self, 0, "mesh_offset", "prior_faces", "prior_share")
        if self.prior_share > 1:
            raise ConfigError("prior_share", self.prior_share, "0 to 1")
        if self.mesh_offset > CONFIDENCE_RADIUS:
            raise ConfigError("mesh_offset", self.mesh_offset, f"at most {CONFIDENCE_RADIUS:.5f}")
        require_at_least(self, 2, "near_samples")
        if self.complete_samples:
            require_at_least(self, 2, "complete_samples")
        require_above(self, 0, "lr_template", "lr_deformation", "lr_manifolds", "gradient_limit")
        if self.average_decay >= 1:
            raise ConfigError("average_decay", self.average_decay, "less than 1")

    @property
    def paired_steps(self) -> int:
        """Of the three stages on paired images."""
        return self.warm_up_deform + self.near_surface + self.complete

    @property
    def steps(self) -> int:
        return self.paired_steps + self.adversarial


@dataclass
class State:
    """Exactly what a snapshot holds."""

    generator: Generator
    averaged: AveragedModel
    """Updated once in every step."""
    optimiser: torch.optim.Adam
    """Of the stages on paired images; adversarial training brings its own."""
    game: AdversarialTraining | None = None
    step: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    """Of what came before the first step, as plain values for the model card."""
    learning: dict[str, float] = field(default_factory=dict)
    """Learning rate and gradient norm of every network that has learnt, of its last step."""

    @property
    def average(self) -> Generator:
        """The generator with the averaged weights."""
        return self.averaged.module

    def state_dict(self) -> dict[str, Any]:
        """All it takes to go on."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return parts | {"step": self.step, "facts": self.facts, "learning": self.learning}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Raises RuntimeError, ValueError or KeyError where the content is of other networks."""
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        self.step, self.facts = content["step"], content["facts"]
        self.learning = content.get("learning", {})  # older snapshots have none
        self.averaged.n_averaged.fill_(self.step)

    def _parts(self) -> dict[str, Any]:
        parts = {"generator": self.generator, "average": self.average, "optimiser": self.optimiser}
        return parts if self.game is None else parts | {"game": self.game}

    def networks(self) -> list[nn.Module]:
        """All that have weights."""
        return [self.generator, self.average] + ([] if self.game is None else [self.game.discriminator])

    def to(self, device: str) -> None:
        """Move the weights and what the optimiser keeps of each."""
        self.generator.to(device)
        self.averaged.to(device)
        self.optimiser.load_state_dict(
            self.optimiser.state_dict()
        )  # it puts its moments where the weights are
        if self.game is not None:
            self.game.to(device)


ALIGNMENT_SPREAD = 0.004
"""Standard deviation per axis of the points about a neutral mesh that the alignment learns at, world units."""
FREE_MARGIN = 0.006
"""Manifolds this far before the surface are in free space for sure, world units."""


def new_state(generator: Generator, schedule: Schedule) -> State:
    """Fresh optimiser for the fields, and averaged weights; the priors are not trained here."""
    groups = [
        {"params": list(generator.get_submodule(field).parameters()), "field": field}
        for field in ("template", "deformation", "manifolds", "alignment")
        if getattr(generator, field) is not None
    ]
    average = averaged(generator, schedule.average_decay)
    return State(generator, average, torch.optim.Adam(groups, betas=(0.9, 0.99)))


def train(
    state: State,
    data: TrainingFaces,
    mesh: MeshSampler,
    schedule: Schedule,
    weights: LossWeights,
    report: Callable[[State, dict[str, float]], None],
    workers: Workers = SINGLE_PROCESS,
) -> None:
    """Run the schedule from the state's step to its end, on the device that the state is on. Steps on pixels need
    :class:`PairedData`, adversarial ones a state with a game, of the same ``workers``; ``schedule.prior_faces`` are
    in ``data`` and ``mesh`` already (:mod:`anifacegan.prior_faces`).
    """
    assert data.of_priors == schedule.prior_faces, (
        "the data have other faces of the priors than the schedule says"
    )
    rates = learning_rates(state.optimiser, schedule, state.step)
    while state.step < schedule.steps:
        # All randomness of a step comes from (seed, step): a resumed run repeats the unbroken one.
        rng = torch.Generator().manual_seed(schedule.seed * 1_000_003 + state.step)
        imitation = partial(imitation_losses, state.generator, data, mesh, schedule, weights, rng, workers)
        paired = partial(paired_losses, state.generator, data, schedule, weights, rng, workers)
        if state.step < schedule.paired_steps:
            losses = imitation()
            if state.step >= schedule.warm_up_deform:
                near = state.step < schedule.warm_up_deform + schedule.near_surface
                losses |= paired(rays=schedule.rays, near=near)
            losses = workers.mean(losses)
            update(state, losses, schedule, workers)
            rates.step()
        else:
            assert state.game is not None, "adversarial steps need a game"
            number = state.step - schedule.paired_steps
            turn = Iteration(schedule.seed, state.step, number, schedule.precision)
            rays = state.game.config.paired_rays
            losses = state.game.play(turn, imitation, partial(paired, rays=rays, near=True) if rays else None)
            state.learning |= state.game.learning
            state.averaged.update_parameters(state.generator)
        state.step += 1
        report(state, {name: value.item() for name, value in losses.items()})


def imitation_losses(
    generator: Generator,
    data: TrainingFaces,
    mesh: MeshSampler,
    schedule: Schedule,
    weights: LossWeights,
    rng: torch.Generator,
    workers: Workers = SINGLE_PROCESS,
) -> dict[str, Tensor]:
    """The deformation field against the mesh: expressive faces, near the surface and anywhere, and neutral ones.

    A worker's share of the faces; the vertices of a step are the same for all faces. A term of weight 0 is not
    computed, but what it looks at is drawn: the other terms see the same.
    """
    device = generator.device
    with record_function(DATA):
        every = data.draw_imitated(schedule.mesh_faces, rng)
        items = workers.share(every)
        z_id, z_exp = data.z_id[items], data.z_exp[items]
        drawn = mesh.points(items.numpy(), z_id, z_exp, schedule.mesh_points, rng, schedule.mesh_offset)
        points = moved(drawn, device)
        between = mesh.mouth_gap(data.z_id[every], data.z_exp[every], max(1, schedule.mesh_points // 8), rng)
        mouth_gap = moved(workers.share(between), device)
        few = max(1, schedule.mesh_points // 4)
        anywhere = WORLD_PER_NETWORK_UNIT * (
            2 * workers.draw(torch.rand, (len(items), few, 3), rng).to(device) - 1
        )
        people = moved(mesh.identity_points(z_id, schedule.mesh_points, rng), device)
        spread = workers.draw(torch.randn, people.x_template.shape, rng).to(device)
        about = people.x_template + ALIGNMENT_SPREAD * spread
        beside = workers.draw(torch.rand, (len(items), few, 3), rng).to(device)
        z_id, z_exp = z_id.to(device), z_exp.to(device)
    offset = generator.deformation.bind(z_id, z_exp)
    neutral = generator.deformation.bind(z_id, torch.zeros_like(z_exp))
    terms = {
        "deformation": lambda: imitation(offset, points, workers),
        "mouth_gap": lambda: imitation(offset, mouth_gap, workers),
        "roughness": lambda: smoothness_loss(offset, points.x_target[:, :few], beside),
        "minimal": lambda: offset_loss(offset(anywhere)),
        "neutral": lambda: offset_loss(neutral(points.x_target[:, :few])),
    }
    if generator.alignment is not None:
        to_mean = generator.alignment.bind(z_id)
        terms["alignment"] = lambda: offset_loss(to_mean(about) - people.to_mean)
    with matrix_precision(schedule.precision, device):
        return {name: weight * terms[name]() for name in terms if (weight := getattr(weights, name))}


def imitation(
    offset: Callable[[Tensor], Tensor], points: MeshPoints, workers: Workers = SINGLE_PROCESS
) -> Float[Tensor, ""]:
    """How far the deformation field is from the mesh at these points."""
    return deformation_loss(offset(points.x_target), points.delta, points.confidence, workers)


def paired_losses(
    generator: Generator,
    data: TrainingFaces,
    schedule: Schedule,
    weights: LossWeights,
    rng: torch.Generator,
    workers: Workers,
    *,
    rays: int,
    near: bool,
) -> dict[str, Tensor]:
    """:func:`photometric_losses` of a worker's share of schedule.batch images, so many ``rays`` of each; on all
    manifolds, or on those ``near`` the surface.
    """
    assert isinstance(data, PairedData), "steps on pixels need surfaces and appearance codes"
    with record_function(DATA):
        whole = data.draw(schedule.batch, rays, rng)
        batch = moved(workers.share(whole), generator.device)
    with matrix_precision(schedule.precision, batch.rgb.device):
        return photometric_losses(generator, batch, schedule, near, weights, rng, workers)


def photometric_losses(
    generator: Generator,
    batch: PairedBatch,
    schedule: Schedule,
    near: bool,
    weights: LossWeights,
    rng: torch.Generator,
    workers: Workers = SINGLE_PROCESS,
) -> dict[str, Tensor]:
    """The rendered rays against the images'; on all manifolds, or on those ``near`` the surface."""
    fields = generator.condition(Latents(batch.z_id, batch.z_exp, batch.z_noise))
    if near:
        fields = deformed_only(marched(fields, schedule.near_samples))
        seen = render_rays(
            fields, batch.rays, near_surface(batch.distance, schedule.near_levels, rng, workers)
        )
    else:
        seen = render_rays(marched(fields, schedule.complete_samples), batch.rays)
    covered = batch.distance.isfinite()
    return {
        "colour": weights.colour * colour_loss(seen.rgb, batch.rgb),
        "silhouette": weights.silhouette * silhouette_loss(seen.foreground, covered.float(), batch.inside),
        "free_space": weights.free_space
        * free_space_loss(seen.alpha[..., :-1], in_free_space(seen, batch), workers),
    }


def deformed_only(fields: ConditionedFields) -> ConditionedFields:
    """The avatar without gradients of where its points are."""
    return replace(fields, offset=FrozenField(fields.offset), level=FrozenField(fields.level))


def marched(fields: ConditionedFields, samples: int) -> ConditionedFields:
    """The avatar with so many samples on a ray; 0 leaves them as they are."""
    return replace(fields, ray_sampling=replace(fields.ray_sampling, samples=samples)) if samples else fields


def near_surface(
    distance: Float[Tensor, "batch ray"], count: int, rng: torch.Generator, workers: Workers = SINGLE_PROCESS
) -> ManifoldSelection:
    """Choose the manifolds nearest to the surface, and one more that lies in free space before it."""

    def choose(
        t: Float[Tensor, "batch ray level"], hit: Bool[Tensor, "batch ray level"]
    ) -> tuple[Tensor, Tensor]:
        random = workers.draw(torch.rand, t.shape, rng).to(t)
        background = distance[..., None].isinf()
        gap = torch.where(background, random, (t - distance[..., None]).abs()).masked_fill(~hit, torch.inf)
        near = gap.topk(count, dim=-1, largest=False).indices  # (B, R, count)
        free = hit & (t < distance[..., None] - FREE_MARGIN)
        free = free.scatter(-1, near, False)
        one = (random * free).argmax(dim=-1, keepdim=True)
        index = torch.cat([near, one], dim=-1)
        exists = torch.cat([hit.gather(-1, near), free.gather(-1, one)], dim=-1)
        return index, exists

    return choose


def in_free_space(seen: RayColours, batch: PairedBatch) -> Bool[Tensor, "batch ray point"]:
    """Which shaded points lie before the surface, on rays whose surface is known for sure."""
    before = seen.t[..., :-1] < (batch.distance - FREE_MARGIN)[..., None]
    return seen.hit[..., :-1] & before & batch.inside[..., None]


def update(
    state: State, losses: dict[str, Tensor], schedule: Schedule, workers: Workers = SINGLE_PROCESS
) -> None:
    """One step of the optimiser and of the averaged weights. ``losses`` are :meth:`Workers.mean`.

    Raises:
        FloatingPointError: a term or a field's gradient is not finite; the weights are those of the step before.
    """
    total = finite_total(state.step, losses)
    state.optimiser.zero_grad()
    if total.requires_grad:  # not where every term is switched off
        with record_function(BACKWARD):
            total.backward()
    workers.mean_gradients(weight for group in state.optimiser.param_groups for weight in group["params"])
    with record_function(OPTIMISER):
        state.learning |= take_step(state.step, state.optimiser, schedule.gradient_limit, each_field=True)
        state.averaged.update_parameters(state.generator)


def learning_rates(optimiser: torch.optim.Optimizer, schedule: Schedule, step: int) -> LambdaLR:
    """Cosine decay of every field over the paired steps in which it learns, after a short ramp; from ``step`` on."""

    def offsets(step: int) -> float:
        if step < schedule.warm_up_deform:
            return cosine_decay((step + 1) / schedule.warm_up_deform, floor=0.3)
        return 0.3 * cosine_decay(after(step), floor=0.1)

    def template(step: int) -> float:
        ramp = min(1.0, max(0.0, (step - schedule.warm_up_deform + 1) / 200))
        return ramp * cosine_decay(after(step), floor=0.03)

    def manifolds(step: int) -> float:
        bent = step - schedule.warm_up_deform - schedule.near_surface + 1
        return cosine_decay(max(0.0, bent / (schedule.complete + 1)), floor=0.03)

    def after(step: int) -> float:
        return (step - schedule.warm_up_deform + 1) / (schedule.paired_steps - schedule.warm_up_deform + 1)

    rates = {
        "template": schedule.lr_template,
        "deformation": schedule.lr_deformation,
        "alignment": schedule.lr_deformation,
        "manifolds": schedule.lr_manifolds,
    }
    shares = {"template": template, "deformation": offsets, "alignment": offsets, "manifolds": manifolds}
    return scheduled(optimiser, rates, shares, step)
