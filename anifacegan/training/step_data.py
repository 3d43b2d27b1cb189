"""Everything that a training step draws on the CPU, drawn before the step: by a thread while a GPU is at work."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from anifacegan.runtime.tensor_records import Packed
from anifacegan.training.adversarial import AdversarialTraining
from anifacegan.training.iteration import DrawnFaces, Iteration
from anifacegan.training.mesh_imitation import ImitationBatch
from anifacegan.training.paired import PairedBatch
from anifacegan.training.schedule import Schedule

AHEAD = 2
"""Number of steps whose data are drawn before they are needed, where a GPU computes."""


def steps_ahead(device: torch.device) -> int:
    """Return for how many coming steps a thread draws: AHEAD for a GPU; 0 for a CPU, whose cores the step itself
    needs."""
    return 0 if device.type == "cpu" else AHEAD


@dataclass(frozen=True)
class Drawn:
    """Batches of one step, this process's share of them."""

    imitated: tuple[ImitationBatch, ...] = ()
    """Faces with points of their meshes: one batch for each optimizer step that imitates the mesh."""
    paired: PairedBatch | None = None
    """Rays of paired images (renders with known latents and surface)."""
    faces: DrawnFaces | None = None
    """Random faces and real images of an iteration of adversarial training."""


@dataclass(frozen=True)
class StepData:
    """The batches of a step in one piece of memory on the CPU, and the random generator behind them."""

    packed: Packed
    rng: torch.Generator
    """The step's random generator after the batches have been drawn; what is drawn later goes on from it."""

    def on(self, device: torch.device) -> Drawn:
        """Copy the batches to a device; the copy may still be in progress."""
        return self.packed.on(device)


def drawn_ahead(
    schedule: Schedule,
    step: int,
    training: AdversarialTraining | None,
    imitated: Callable[[], ImitationBatch],
    paired: Callable[[int], PairedBatch],
) -> Drawn:
    """Draw on the CPU what a step needs, in the order in which the step itself would draw it.

    ``imitated`` draws faces with points of their meshes, ``paired`` images and so many rays of each, from the step's
    random generator. An iteration without steps of the deformation draws both itself, in its own order.
    """
    stage = schedule.stage(step)
    if stage != "adversarial":
        faces = imitated()
        return Drawn((faces,), None if stage == "warm_up_deform" else paired(schedule.rays))
    assert training is not None, "adversarial steps need a discriminator"
    iteration, config = iteration_of(schedule, step), training.config
    drawn = Drawn(faces=training.draw(iteration))
    if iteration.number < config.discriminator_warmup or not config.deformation_steps:
        return drawn
    batches = tuple(imitated() for _ in range(config.deformation_steps))
    return replace(drawn, imitated=batches, paired=paired(config.paired_rays) if config.paired_rays else None)


def iteration_of(schedule: Schedule, step: int, drawn: DrawnFaces | None = None) -> Iteration:
    """Return the iteration of adversarial training that a step is."""
    number = step - schedule.paired_steps
    return Iteration(schedule.seed, step, number, schedule.precision, drawn)
