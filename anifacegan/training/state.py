"""What a generator's training changes and a snapshot stores: networks, optimizers, averaged weights, step."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from anifacegan.models.generator import Generator
from anifacegan.training.adversarial import AdversarialTraining
from anifacegan.training.optim import adam, averaged
from anifacegan.training.schedule import Schedule
from anifacegan.training.weight_groups import weight_groups


@dataclass
class State:
    """Generator, averaged weights, optimizer, adversarial training, and the number of finished steps."""

    generator: Generator
    averaged: AveragedModel
    """Moving average of the generator's weights, updated in every step."""
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

    @property
    def average(self) -> Generator:
        """A generator with the averaged weights."""
        return self.averaged.module

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return parts | {"step": self.step, "facts": self.facts, "learning": self.learning}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            RuntimeError, ValueError, KeyError: the content belongs to other networks.
        """
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        self.step, self.facts, self.learning = content["step"], content["facts"], content["learning"]
        self.averaged.n_averaged.fill_(self.step)

    def _parts(self) -> dict[str, Any]:
        parts = {"generator": self.generator, "average": self.average, "optimizer": self.optimizer}
        return parts if self.adversarial is None else parts | {"adversarial": self.adversarial}

    def networks(self) -> list[nn.Module]:
        """Return all networks that have weights."""
        discriminator = [] if self.adversarial is None else [self.adversarial.discriminator]
        return [self.generator, self.average, *discriminator]

    def to(self, device: str) -> None:
        """Move networks and optimizer states to a device."""
        self.generator.to(device)
        self.averaged.to(device)
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
) -> State:
    """Create the state of a new run: a fresh optimizer of the fields, and averaged weights.

    The optimizer does not contain the coefficient priors, which are fitted before training
    (:mod:`anifacegan.training.initialization`). ``adversarial`` has to train the same ``generator``; None for a run
    without adversarial training. ``betas`` are the decays of Adam's moments. ``average_decay`` is the decay per step
    of the averaged weights.
    """
    groups = [{"params": weights, "field": name} for name, weights in weight_groups(generator).items()]
    optimizer = adam(groups, betas)
    return State(generator, averaged(generator, average_decay), optimizer, adversarial)
