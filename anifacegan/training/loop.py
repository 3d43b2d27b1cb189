"""The training loop of a generator: paired images first, then adversarial training.

Before it, coefficient priors, initial manifolds (:mod:`anifacegan.training.initialization`) and the alignment field
(:mod:`anifacegan.training.alignment_fit`) are fitted. The steps
come in four stages:

1. ``warm_up_deform``: the deformation field learns from the face model's mesh.
2. ``near_surface``: the template also learns from paired images, on the manifolds near the known surface.
3. ``complete``: template, manifolds and deformation learn together from paired images, on all manifolds.
4. ``adversarial``: the generator plays against a discriminator on whole images of people sampled from the priors.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor
from torch.profiler import record_function

from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.models.generator import Generator
from anifacegan.runtime.cpu import torch_threads
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.prefetching import prefetched
from anifacegan.runtime.tensor_records import Packed, moved
from anifacegan.training.adversarial import AdversarialTraining
from anifacegan.training.batches import TrainingFaces
from anifacegan.training.learning_rates import learning_rates
from anifacegan.training.logging import Losses
from anifacegan.training.mesh_imitation import ImitationBatch, draw_imitation_batch, imitation_losses
from anifacegan.training.optim import (
    BACKWARD,
    DATA,
    OPTIMIZER,
    finite_total,
    learning_weights,
    take_step,
)
from anifacegan.training.paired import PairedBatch, PairedData
from anifacegan.training.photometric import photometric_losses
from anifacegan.training.schedule import Schedule, Stage
from anifacegan.training.state import State
from anifacegan.training.step_data import Drawn, StepData, drawn_ahead, iteration_of, steps_ahead
from anifacegan.training.thread_shares import ThreadWorker, shared_gradients, thread_count
from anifacegan.training.weights import LossWeights


def train(
    state: State,
    data: TrainingFaces,
    mesh: MeshSampler,
    schedule: Schedule,
    weights: LossWeights,
    report: Callable[[State, Mapping[str, float]], None],
    workers: Workers = SINGLE_PROCESS,
) -> None:
    """Train from the state's step to the end of the schedule, on the device of the state.

    Args:
        state: networks, optimizers and the number of finished steps. Adversarial steps need ``state.adversarial`` with
            the same ``workers``.
        data: faces to learn from; the stages near_surface and complete need :class:`PairedData` (synthetic images whose
            latents and surfaces are known). Faces of ``schedule.prior_faces`` must be in ``data`` and ``mesh`` already.
        mesh: samples points of the face model's mesh.
        schedule: number of steps of each stage, batch sizes and learning rates.
        weights: factors of the losses.
        report: called as ``report(state, losses)`` after every step; the losses are read from their device when one
            of them is asked for.
        workers: the processes that share each batch.

    Raises:
        FloatingPointError: a term or a gradient is not finite, and no more steps may be left out for that; the weights
            are those of the step before.
    """
    assert data.prior_faces == schedule.prior_faces, "data and schedule differ in the number of prior faces"
    # Rates change up to the first adversarial step: a run resumed later has the ones it stopped with.
    rates = learning_rates(state.optimizer, schedule, min(state.step, schedule.paired_steps))
    device = state.generator.device

    def terms_of(step: int) -> LossTerms:
        # All randomness of a step comes from (seed, step): a resumed run repeats the unbroken one.
        rng = torch.Generator().manual_seed(schedule.seed * 1_000_003 + step)
        return LossTerms(state.generator, data, mesh, schedule, weights, rng, workers)

    def data_of(step: int) -> StepData:
        return terms_of(step).step_data(step, state.adversarial, pinned=device.type == "cuda")

    ahead = steps_ahead(device)
    with prefetched(data_of, schedule.steps - 1, ahead) as drawn:
        while state.step < schedule.steps:
            terms = terms_of(state.step)
            if ahead:  # a CPU draws within the step, where its threads share the work
                terms = terms.with_data(drawn(state.step))
            stage = schedule.stage(state.step)
            if stage == "adversarial":
                losses = adversarial_step(state, terms)
            else:
                losses = paired_step_or_none(state, terms, stage)
                rates.step()
            state.step += 1
            report(state, Losses(losses))


@dataclass(frozen=True)
class LossTerms:
    """Computes the weighted losses of one training step.

    Each method whose name begins with ``draw`` draws a new batch, and returns this process's share of it.
    """

    generator: Generator
    data: TrainingFaces
    mesh: MeshSampler
    schedule: Schedule
    weights: LossWeights
    rng: torch.Generator
    workers: Workers = SINGLE_PROCESS
    ahead: Drawn | None = None
    """What has been drawn before the step, on the generator's device; None: nothing."""
    _imitated: Iterator[ImitationBatch] = field(default_factory=lambda: iter(()))
    """Those of ``ahead`` that have not been used yet."""

    def step_data(self, step: int, training: AdversarialTraining | None, pinned: bool) -> StepData:
        """Draw on the CPU what a step needs; ``pinned`` puts it into page-locked memory."""
        cpu = torch.device("cpu")
        with record_function(DATA):
            drawn = drawn_ahead(
                self.schedule,
                step,
                training,
                lambda: draw_imitation_batch(
                    self.data, self.mesh, self.schedule, self.rng, cpu, self.workers
                ),
                lambda rays: self._drawn_pairs(rays, cpu),
            )
            return StepData(Packed(drawn, pinned), self.rng)

    def with_data(self, data: StepData) -> "LossTerms":
        """Return the same terms with what has been drawn before the step."""
        ahead = data.on(self.generator.device)
        return replace(self, rng=data.rng, ahead=ahead, _imitated=iter(ahead.imitated))

    def imitation(self) -> dict[str, Tensor]:
        """Draw schedule.mesh_faces faces and return their weighted losses at mesh points by name.

        The losses compare how the deformation field moves points with how the face model's mesh moves them.
        """
        return self.imitation_of(self.draw_imitated())

    def photometric(self, rays: int, near: bool) -> dict[str, Tensor]:
        """Render ``rays`` rays of each of schedule.batch newly drawn images, compare them with the images, and return
        the weighted losses by name.

        If ``near`` is true, only the manifolds near the known surface are shaded, otherwise all manifolds.
        """
        return self.photometric_of(self.draw_paired(rays), near)

    def draw_imitated(self) -> ImitationBatch:
        """Draw schedule.mesh_faces faces, and the points at which their deformation is compared with the face model's
        mesh.
        """
        for batch in self._imitated:
            return batch
        with record_function(DATA):
            return draw_imitation_batch(
                self.data, self.mesh, self.schedule, self.rng, self.generator.device, self.workers
            )

    def draw_paired(self, rays: int) -> PairedBatch:
        """Draw schedule.batch paired images (renders with known latents and surface) and ``rays`` rays of each."""
        if self.ahead is not None and self.ahead.paired is not None:
            return self.ahead.paired
        with record_function(DATA):
            return self._drawn_pairs(rays, self.generator.device)

    def _drawn_pairs(self, rays: int, device: torch.device) -> PairedBatch:
        assert isinstance(self.data, PairedData), "photometric terms need surfaces and appearance latents"
        drawn = self.data.draw(self.schedule.batch, rays, self.rng)
        return moved(self.workers.share(drawn), device)

    def draw(self, stage: Stage) -> tuple[ImitationBatch, PairedBatch | None]:
        """Draw the data of one step before adversarial training.

        Returns faces with points of the face model's mesh, and random rays of paired images (renders with known latents
        and surface). ``stage`` is warm_up_deform, near_surface or complete; in warm_up_deform the paired images are
        None.
        """
        return self.draw_imitated(), None if stage == "warm_up_deform" else self.draw_paired(
            self.schedule.rays
        )

    def paired(self, stage: Stage, faces: ImitationBatch, images: PairedBatch | None) -> dict[str, Tensor]:
        """Return, by name, the weighted losses of one step before adversarial training.

        Args:
            stage: warm_up_deform, near_surface or complete. In near_surface only manifolds near the known surface are
                shaded, in complete all manifolds.
            faces: faces with points of the face model's mesh, at which the deformation is measured.
            images: rays of paired images (renders with known latents and surface); None in warm_up_deform.
        """
        losses = self.imitation_of(faces)
        return losses if images is None else losses | self.photometric_of(images, stage == "near_surface")

    def imitation_of(self, batch: ImitationBatch) -> dict[str, Tensor]:
        """Return the weighted losses of the faces in ``batch`` at mesh points by name.

        The losses compare how the deformation moves points with how the face model's mesh moves them.
        """
        return imitation_losses(self.generator, batch, self.weights, self.schedule.precision, self.workers)

    def photometric_of(self, batch: PairedBatch, near: bool) -> dict[str, Tensor]:
        """Render the rays in ``batch`` and compare them with their images; return the weighted losses by name.

        If ``near`` is true, only the manifolds near the known surface are shaded, otherwise all manifolds.
        """
        return photometric_losses(
            self.generator, batch, self.schedule, near, self.weights, self.rng, self.workers
        )


def paired_step_or_none(state: State, terms: LossTerms, stage: Stage) -> dict[str, Tensor]:
    """Take one optimizer step before adversarial training, see :func:`paired_step`; a step whose numbers are not finite
    may be left out, and has no losses then.

    Raises:
        FloatingPointError: too many steps in a row have been left out; the weights are those of the last one taken.
    """
    try:
        losses = paired_step(state, terms, stage)
    except FloatingPointError as error:
        state.left_out.add(error, terms.workers.first)
        return {}
    state.left_out.step_taken()
    return losses


def paired_step(state: State, terms: LossTerms, stage: Stage) -> dict[str, Tensor]:
    """Take one optimizer step before adversarial training; return the weighted losses of the whole batch by name.

    ``terms`` computes the losses; ``stage`` is warm_up_deform, near_surface or complete. On a CPU the batches are
    shared by PyTorch's threads where their sizes allow it (:mod:`anifacegan.training.thread_shares`).

    Raises:
        FloatingPointError: a term or a gradient is not finite; the weights are those of the step before.
    """
    schedule = terms.schedule
    threads = thread_count(terms.workers, terms.generator.device, [schedule.mesh_faces, schedule.batch])
    if threads == 1:
        losses = terms.workers.mean(terms.paired(stage, *terms.draw(stage)))
        update(state, losses, schedule, terms.workers)
        return losses
    # PyTorch's own threads would go on waiting for work for milliseconds, on a core that is needed.
    with torch_threads(1):
        faces, images = terms.draw(stage)

        def losses_of_share(worker: ThreadWorker) -> dict[str, Tensor]:
            own = replace(terms, workers=worker, rng=terms.rng.clone_state())
            return own.paired(stage, worker.share(faces), None if images is None else worker.share(images))

        losses = shared_gradients(threads, learning_weights(state.optimizer), losses_of_share)
        finite_total(state.step, losses)
        apply_gradients(state, schedule)
    return losses


def update(
    state: State, losses: dict[str, Tensor], schedule: Schedule, workers: Workers = SINGLE_PROCESS
) -> None:
    """Take one step of the optimizer of the stages before adversarial training, and update the averaged weights.

    ``losses`` are the losses of the whole batch by name; ``schedule`` has the largest norm of the gradients;
    ``workers`` are the processes that share the batch.

    Raises:
        FloatingPointError: a term or a field's gradient is not finite; the weights are those of the step before.
    """
    total = finite_total(state.step, losses)
    state.optimizer.zero_grad()
    if total.requires_grad:  # not where every term is switched off
        with record_function(BACKWARD):
            total.backward()
    workers.mean_gradients(learning_weights(state.optimizer))
    apply_gradients(state, schedule)


def apply_gradients(state: State, schedule: Schedule) -> None:
    """Take one step of the optimizer with the gradients that the weights have, and update the averaged weights;
    ``schedule`` has the largest norm of the gradients.

    Raises:
        FloatingPointError: a field's gradient is not finite; the weights are those of the step before.
    """
    with record_function(OPTIMIZER):
        state.learning |= take_step(state.step, state.optimizer, schedule.gradient_limit, each_field=True)
        state.update_averages()


def adversarial_step(state: State, terms: LossTerms) -> dict[str, Tensor]:
    """Run one iteration of adversarial training and update the averaged weights; return the weighted losses by name.

    ``terms`` computes the losses that need no generated image. These are losses at points of the face model's mesh. If
    adversarial.paired_rays is not 0, there are also losses on paired images (renders with known latents and surface);
    they keep the generator's colours from drifting.

    Raises:
        FloatingPointError: a term or a gradient is not finite.
    """
    training, schedule = state.adversarial, terms.schedule
    assert training is not None, "adversarial steps need a discriminator"
    iteration = iteration_of(schedule, state.step, None if terms.ahead is None else terms.ahead.faces)

    rays = training.config.paired_rays
    paired = partial(terms.photometric, rays, near=True) if rays else None
    losses = training.run_iteration(iteration, terms.imitation, paired)
    state.learning |= training.learning
    state.update_averages()
    return losses
