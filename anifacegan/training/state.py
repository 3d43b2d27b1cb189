"""What a generator's training changes and a snapshot stores: networks, optimizers, averaged weights, step."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from anifacegan.models.generator import Generator
from anifacegan.training.adversarial import AdversarialTraining
from anifacegan.training.optim import LeftOutSteps, MovingAverage, adam
from anifacegan.training.schedule import Schedule
from anifacegan.training.weight_groups import weight_groups


@dataclass
class State:
    """Generator, averaged weights, optimizer, adversarial training, and the number of finished steps."""

    generator: Generator
    averaged: MovingAverage
    """Moving average of the generator's weights and buffers, updated in every step that was taken."""
    optimizer: torch.optim.Adam
    """Optimizer of the stages before adversarial training."""
    adversarial: AdversarialTraining | None = None
    """Discriminator and optimizers of adversarial training; None if the schedule has no adversarial steps."""
    step: int = 0
    """Number of finished steps."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Where the weights before the first step come from, as plain values for the model card."""
    learning: dict[str, float] = field(default_factory=dict)
    """Learning rate and gradient norm of every network, from the last step in which the network learnt."""
    slowly_averaged: MovingAverage | None = None
    """Second, slower average; None for a run without."""
    left_out: LeftOutSteps = field(default_factory=LeftOutSteps)
    """Steps that were left out because a number was not finite."""

    @property
    def average(self) -> Generator:
        """A generator with the averaged weights."""
        return self.averaged.module

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        left_out = [self.left_out.total, self.left_out.in_a_row]
        return parts | {
            "step": self.step,
            "average_updates": self.averaged.updates,
            "facts": self.facts,
            "learning": self.learning,
            "left_out": left_out,
        }

    def update_averages(self) -> None:
        """Move the averages toward the generator's weights and buffers."""
        self.averaged.update(self.generator)
        if self.slowly_averaged is not None:
            self.slowly_averaged.update(self.generator)

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            RuntimeError, ValueError, KeyError: the content belongs to other networks.
        """
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        self.step, self.facts, self.learning = content["step"], content["facts"], content["learning"]
        self.left_out.total, self.left_out.in_a_row = content.get("left_out", [0, 0])
        for average in self._averages():
            average.updates = content.get("average_updates", self.step)

    def _averages(self) -> list[MovingAverage]:
        return [self.averaged] + ([] if self.slowly_averaged is None else [self.slowly_averaged])

    def _parts(self) -> dict[str, Any]:
        parts = {"generator": self.generator, "average": self.average, "optimizer": self.optimizer}
        if self.slowly_averaged is not None:
            parts["slow_average"] = self.slowly_averaged.module
        return parts if self.adversarial is None else parts | {"adversarial": self.adversarial}

    def networks(self) -> list[nn.Module]:
        """Return all networks that have weights."""
        discriminator = [] if self.adversarial is None else [self.adversarial.discriminator]
        return [self.generator, *(average.module for average in self._averages()), *discriminator]

    def to(self, device: str) -> None:
        """Move networks and optimizer states to a device."""
        self.generator.to(device)
        for average in self._averages():
            average.to(device)
        self.optimizer.load_state_dict(
            self.optimizer.state_dict()
        )  # moves its moments to the weights' device
        if self.adversarial is not None:
            self.adversarial.to(device)


def new_state(
    generator: Generator,
    average_decay: float,
    adversarial: AdversarialTraining | None = None,
    betas: tuple[float, float] = Schedule.adam_betas,
    slow_average_decay: float = 0.0,
    left_out_limit: int = 0,
) -> State:
    """Create the state of a new run: a fresh optimizer of the fields, and averaged weights.

    The optimizer does not contain the coefficient priors, which are fitted before training
    (:mod:`anifacegan.training.initialization`). ``adversarial`` has to train the same ``generator``; None for a run
    without adversarial training. ``betas`` are the decays of Adam's moments. ``average_decay`` is the decay per step
    of the averaged weights, ``slow_average_decay`` that of a second average (0: none). ``left_out_limit`` is how many
    steps in a row may be left out because a number is not finite.
    """
    groups = [{"params": weights, "field": name} for name, weights in weight_groups(generator).items()]
    slow = MovingAverage(generator, slow_average_decay) if slow_average_decay else None
    left_out = LeftOutSteps(left_out_limit)
    if adversarial is not None:
        adversarial.left_out = left_out
    average = MovingAverage(generator, average_decay)
    return State(
        generator, average, adam(groups, betas), adversarial, slowly_averaged=slow, left_out=left_out
    )
