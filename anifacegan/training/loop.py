"""The training loop of a generator: paired images first, then adversarial training.

Before it, coefficient priors and initial manifolds are fitted (:mod:`anifacegan.training.initialization`). The steps
come in four stages:

1. ``warm_up_deform``: the deformation field and the alignment learn from the face model's mesh.
2. ``near_surface``: the template also learns from paired images, on the manifolds near the known surface.
3. ``complete``: template, manifolds and deformation learn together from paired images, on all manifolds.
4. ``adversarial``: the generator plays against a discriminator on whole images of people sampled from the priors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.profiler import record_function

from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.models.generator import Generator
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.tensor_records import moved
from anifacegan.training.adversarial import Iteration
from anifacegan.training.batches import TrainingFaces
from anifacegan.training.learning_rates import learning_rates
from anifacegan.training.mesh_imitation import draw_imitation_batch, imitation_losses
from anifacegan.training.optim import BACKWARD, DATA, OPTIMIZER, finite_total, take_step
from anifacegan.training.paired import PairedData
from anifacegan.training.photometric import photometric_losses
from anifacegan.training.schedule import Schedule
from anifacegan.training.state import State
from anifacegan.training.weights import LossWeights


def train(
    state: State,
    data: TrainingFaces,
    mesh: MeshSampler,
    schedule: Schedule,
    weights: LossWeights,
    report: Callable[[State, dict[str, float]], None],
    workers: Workers = SINGLE_PROCESS,
) -> None:
    """Train from the state's step to the end of the schedule, on the device of the state.

    Calls ``report(state, losses)`` after every step. The stages near_surface and complete need :class:`PairedData`
    (synthetic images whose latents and surfaces are known); adversarial steps need ``state.adversarial`` with the same
    ``workers``. The faces of ``schedule.prior_faces`` have to be in ``data`` and ``mesh`` already
    (:mod:`anifacegan.training.prior_faces`).

    Raises:
        FloatingPointError: a term or a gradient is not finite; the weights are those of the step before.
    """
    assert data.prior_faces == schedule.prior_faces, "data and schedule differ in the number of prior faces"
    # Rates change up to the first adversarial step: a run resumed later has the ones it stopped with.
    rates = learning_rates(state.optimizer, schedule, min(state.step, schedule.paired_steps))
    while state.step < schedule.steps:
        # All randomness of a step comes from (seed, step): a resumed run repeats the unbroken one.
        rng = torch.Generator().manual_seed(schedule.seed * 1_000_003 + state.step)
        terms = LossTerms(state.generator, data, mesh, schedule, weights, rng, workers)
        stage = schedule.stage(state.step)
        if stage == "adversarial":
            losses = adversarial_step(state, terms)
        else:
            losses = terms.imitation()
            if stage != "warm_up_deform":
                losses |= terms.photometric(schedule.rays, near=stage == "near_surface")
            losses = workers.mean(losses)
            update(state, losses, schedule, workers)
            rates.step()
        state.step += 1
        report(state, {name: value.item() for name, value in losses.items()})


@dataclass(frozen=True)
class LossTerms:
    """Computes the weighted losses of one step; each method call draws a new batch and uses this worker's share of
    it.
    """

    generator: Generator
    data: TrainingFaces
    mesh: MeshSampler
    schedule: Schedule
    weights: LossWeights
    rng: torch.Generator
    workers: Workers = SINGLE_PROCESS

    def imitation(self) -> dict[str, Tensor]:
        """Compare deformation and alignment with the meshes of schedule.mesh_faces faces; return the weighted losses by
        name.
        """
        with record_function(DATA):
            batch = draw_imitation_batch(
                self.data, self.mesh, self.schedule, self.rng, self.generator.device, self.workers
            )
        return imitation_losses(self.generator, batch, self.weights, self.schedule.precision, self.workers)

    def photometric(self, rays: int, near: bool) -> dict[str, Tensor]:
        """Render ``rays`` rays of each of schedule.batch images, compare them with the images, and return the weighted
        losses by name.

        If ``near`` is true, only the manifolds near the known surface are shaded, otherwise all manifolds.
        """
        assert isinstance(self.data, PairedData), "photometric terms need surfaces and appearance latents"
        with record_function(DATA):
            drawn = self.data.draw(self.schedule.batch, rays, self.rng)
            batch = moved(self.workers.share(drawn), self.generator.device)
        return photometric_losses(
            self.generator, batch, self.schedule, near, self.weights, self.rng, self.workers
        )


def update(
    state: State, losses: dict[str, Tensor], schedule: Schedule, workers: Workers = SINGLE_PROCESS
) -> None:
    """Take one step of the optimizer and update the averaged weights. ``losses`` are the losses of the whole batch.

    Raises:
        FloatingPointError: a term or a field's gradient is not finite; the weights are those of the step before.
    """
    total = finite_total(state.step, losses)
    state.optimizer.zero_grad()
    if total.requires_grad:  # not where every term is switched off
        with record_function(BACKWARD):
            total.backward()
    workers.mean_gradients(weight for group in state.optimizer.param_groups for weight in group["params"])
    with record_function(OPTIMIZER):
        state.learning |= take_step(state.step, state.optimizer, schedule.gradient_limit, each_field=True)
        state.averaged.update_parameters(state.generator)


def adversarial_step(state: State, terms: LossTerms) -> dict[str, Tensor]:
    """Run one iteration of adversarial training and update the averaged weights; return the weighted losses by name.

    If adversarial.paired_rays is not 0, losses on paired images (renders with known latents and surface) keep the
    generator's colours from drifting.

    Raises:
        FloatingPointError: a term or a gradient is not finite.
    """
    training, schedule = state.adversarial, terms.schedule
    assert training is not None, "adversarial steps need a discriminator"
    number = state.step - schedule.paired_steps
    iteration = Iteration(schedule.seed, state.step, number, schedule.precision)

    rays = training.config.paired_rays
    paired = partial(terms.photometric, rays, near=True) if rays else None
    losses = training.run_iteration(iteration, terms.imitation, paired)
    state.learning |= training.learning
    state.averaged.update_parameters(state.generator)
    return losses
