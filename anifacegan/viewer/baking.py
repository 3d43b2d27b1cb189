"""Bakes the person on view, in a thread of its own, so that frames can be drawn without the networks.

Baking takes seconds to minutes. Meanwhile the networks draw. A person is baked with the model's named expressions;
where the view uses an action unit or a coefficient that these cannot make, the person is baked again with it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float
from torch import Tensor

from anifacegan.avatars.avatar import Avatar, AvatarCard
from anifacegan.avatars.baking.bake import bake
from anifacegan.avatars.baking.charts import ManifoldCharts
from anifacegan.avatars.baking.from_model import model_charts, person_condition
from anifacegan.avatars.baking.independent_expressions import independent_expressions
from anifacegan.avatars.config import BakeConfig
from anifacegan.rendering.model import Model
from anifacegan.runtime.errors import InputError, error_line

SETTLE_S = 0.7
"""Time for which the person has to stay the same before baking begins, seconds."""
MOST_SHAPES = 24
"""Largest number of expressions that a person is baked with; beyond it, those that were added first are left out."""
BEYOND = "drawn by the networks: this expression is beyond what people are baked for"
"""What the page says where baking again would not help."""


@dataclass(frozen=True)
class Target:
    """A person, and the expressions that are needed."""

    seed: int
    """Random seed of the person."""
    psi: float
    """Truncation psi of the appearance."""
    latents: tuple[Tensor, Tensor] = field(compare=False)
    """z_id and z_noise of the person, (1, 80) each."""
    parts: dict[str, Float[np.ndarray, "64"]] = field(compare=False)
    """Expression coefficients, at full strength, of everything that the view mixes, by name."""


class PersonBaker:
    """Keeps one baked person of a model: the newest that was asked for.

    Args:
        model: the model.
        config: resolution of the baked people, and the views that they show.
        changed: called, from the baking thread, when a person is baked or cannot be.
    """

    def __init__(self, model: Model, config: BakeConfig, changed: Callable[[], None]) -> None:
        self.model, self.config, self._changed = model, config, changed
        self.status = ""
        """One line about baking for the page; empty if there is nothing to say."""
        self._lock = threading.Condition()
        self._added: dict[str, Float[np.ndarray, 64]] = {}
        self._baked: tuple[Target, Avatar] | None = None
        self._wanted: _Job | None = None
        self._running: _Job | None = None
        self._done: _Job | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def avatar(self, target: Target, z_exp: Float[np.ndarray, "64"]) -> Avatar | None:
        """Return the baked person if they can make an expression; else None, and they will be baked with it."""
        with self._lock:
            if self._baked is not None and self._baked[0] == target and self._baked[1].can_make(z_exp):
                return self._baked[1]
            job = _Job(target, self._shapes_with(target))
            if job == self._done:
                self.status = self.status or BEYOND
            elif job not in (self._running, self._wanted):
                self._wanted, self.status = job, "baking this person"
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="baking", daemon=True)
                    self._thread.start()
                self._lock.notify()
        return None

    def close(self) -> None:
        """End the thread, after the person that it may be baking."""
        with self._lock:
            self._closed = True
            self._lock.notify()

    def _shapes_with(self, target: Target) -> dict[str, Float[np.ndarray, "64"]]:
        """Return what is to be baked: the named expressions, and what this view and those before mixed beside them."""
        for name, row in target.parts.items():
            if name not in self._named:
                self._added.pop(name, None)
                self._added[name] = row
        room = max(MOST_SHAPES - len(self._named), 1)
        self._added = dict(list(self._added.items())[-room:])
        return self._named | self._added

    @cached_property
    def _named(self) -> dict[str, Float[np.ndarray, "64"]]:
        card, reader = self.model.card, self.model.expressions
        return {} if reader.basis is None else {name: reader.coefficients(name) for name in card.presets}

    @cached_property
    def _charts(self) -> ManifoldCharts:
        return model_charts(self.model, self.config.grid)

    def _work(self) -> None:
        """Bake the newest person that is asked for, until the baker is closed."""
        while True:
            with self._lock:
                while self._wanted is None and not self._closed:
                    self._lock.wait()
                while not self._closed and self._lock.wait(SETTLE_S):
                    pass  # another one is asked for: wait until it stays
                if self._closed:
                    return
                job, self._running, self._wanted = self._wanted, self._wanted, None
            assert job is not None
            try:
                avatar, status = self._bake(job), ""
            except Exception as error:  # noqa: BLE001  the page says it, in one line
                avatar, status = None, f"cannot be baked: {error_line(error).removeprefix('error: ')}"
            with self._lock:
                self._running, self._done = None, job
                if avatar is not None:
                    self._baked = job.target, avatar
                if self._wanted is None:
                    self.status = status
            self._changed()

    def _bake(self, job: "_Job") -> Avatar:
        target, shapes = job.target, job.shapes
        if not shapes:
            raise InputError("the model has no named expressions, and the view has no expression")
        condition = person_condition(self.model, target.latents, target.psi)
        names, z_exp = list(shapes), np.stack(list(shapes.values()))
        kept = independent_expressions(z_exp)
        layered_mesh, _ = bake(condition, z_exp[kept], self._charts, self.config)
        card = AvatarCard(
            name=f"seed {target.seed}",
            model=self.model.card.name,
            face_model=self.model.card.face_model,
            psi=target.psi,
            expressions=tuple(names[row] for row in kept),
        )
        return Avatar(layered_mesh, card, device=str(self.model.generator.device))


@dataclass(frozen=True)
class _Job:
    """A person to be baked; jobs are equal if person and names of expressions are."""

    target: Target
    shapes: dict[str, Float[np.ndarray, "64"]] = field(compare=False)
    names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", frozenset(self.shapes))
