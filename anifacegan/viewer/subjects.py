"""What a viewer shows: a model, of which every seed is a person, or an avatar; and how their frames are drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from anifacegan.avatars.avatar import Avatar, load_avatar
from anifacegan.avatars.config import SUFFIX, BakeConfig
from anifacegan.evaluation.figures.slices import Slice, manifold_lines
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.face_model.expressions import ACTIONS, is_strong_unit
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.model import Face, Model, load_model
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.paths import user_path
from anifacegan.viewer.baking import PersonBaker, Target
from anifacegan.viewer.requests import FrameSource, View
from anifacegan.viewer.shading import Pixels, shaded

COEFFICIENTS = 10
"""Number of expression coefficients that have sliders, the first ones."""
FULL_COEFFICIENT = 3.0
"""Value of a coefficient up to which a person is baked; the sliders' largest."""
MOST_FACES = 4
"""Number of faces (person and expression) whose conditioned fields are kept."""


@dataclass(frozen=True)
class Frame:
    """A drawn frame."""

    pixels: Pixels
    """Its colours."""
    source: FrameSource
    """What has drawn it."""
    note: str = ""
    """Why it was not drawn as asked; empty where it was."""


@runtime_checkable
class Subject(Protocol):
    """What a viewer shows."""

    def description(self) -> dict[str, Any]:
        """Return what the page needs: names, sliders, views and kinds of pictures, as plain values."""
        ...

    def draw(self, view: View, antialias: bool = False) -> Frame:
        """Draw a frame; ``antialias`` makes the outlines of colours smooth.

        Raises:
            InputError: the view is one that this subject cannot show.
        """
        ...

    def latents(self, view: View) -> tuple[Float[Tensor, "1 80"], Float[Tensor, "1 80"]]:
        """Return the person's z_id and z_noise.

        Raises:
            InputError: this subject has none.
        """
        ...

    def close(self) -> None:
        """End what runs beside the frames."""
        ...


class ModelSubject:
    """A model: its networks draw every view of every person, and people are baked beside them.

    Args:
        model: the model.
        config: resolution of the baked people.
        changed: called, from another thread, when frames can be drawn in another way than before.
    """

    def __init__(self, model: Model, config: BakeConfig, changed: Callable[[], None]) -> None:
        self.model, self.baker = model, PersonBaker(model, config, changed)
        self._person = lru_cache(MOST_FACES)(model.person)
        self._faces = lru_cache(MOST_FACES)(self._conditioned)

    def description(self) -> dict[str, Any]:
        """See :class:`Subject`."""
        card, basis = self.model.card, self.model.expressions.basis
        named = card.face_model == OPEN_FACE_MODEL
        return {
            "kind": "model",
            "name": card.name,
            "licence": card.licence,
            "expressions": [] if basis is None else list(card.presets),
            "units": [] if basis is None else sorted(basis.names, key=is_strong_unit),  # ARKit's first
            "coefficients": list(ACTIONS)[:COEFFICIENTS] if named else _numbered(),
            "widest": self.baker.config.widest_rad,
            "shown": ["colour", "depth", "normals", "slice"],
            "sources": ["baked", "networks"],
        }

    def latents(self, view: View) -> tuple[Float[Tensor, "1 80"], Float[Tensor, "1 80"]]:
        """See :class:`Subject`."""
        return self._person(view.seed)

    def draw(self, view: View, antialias: bool = False) -> Frame:
        """See :class:`Subject`."""
        parts = self._parts(view)
        z_exp = _mixed(self.model.expressions.coefficients(view.strengths), view)
        if view.shown == "slice":
            section = Slice(view.plane, view.at)
            lines = manifold_lines(self._face(view, z_exp).fields, section, view.size)
            return Frame(to_bytes(lines.permute(2, 0, 1)), "networks")
        note = ""
        if view.source == "baked":
            avatar = self.baker.avatar(Target(view.seed, view.psi, self.latents(view), parts), z_exp)
            if avatar is not None:
                try:
                    return Frame(_avatar_pixels(avatar, z_exp, view, antialias), "baked")
                except InputError as error:  # of the view, which the networks can draw
                    note = str(error)
            note = note or self.baker.status
        smooth = antialias and view.shown == "colour"
        image = self._face(view, z_exp).image(
            yaw=view.yaw, pitch=view.pitch, size=view.size, antialias=smooth
        )
        sampling = self.model.generator.config.ray_sampling
        return Frame(
            shaded(image, view.shown, yaw=view.yaw, pitch=view.pitch, ray_sampling=sampling),
            "networks",
            note,
        )

    def close(self) -> None:
        """See :class:`Subject`."""
        self.baker.close()

    def _parts(self, view: View) -> dict[str, Float[np.ndarray, "64"]]:
        """Return what the view mixes, each part at full strength."""
        parts = {
            name: self.model.expressions.coefficients({name: 1.0})
            for name, strength in view.strengths.items()
            if strength
        }
        for k, value in enumerate(view.coefficients):
            if value:
                parts[f"coefficient {k + 1}"] = FULL_COEFFICIENT * np.eye(1, EXP_DIM, k, dtype=np.float32)[0]
        return parts

    def _face(self, view: View, z_exp: Float[np.ndarray, "64"]) -> Face:
        return self._faces(view.seed, view.psi, z_exp.tobytes())

    def _conditioned(self, seed: int, psi: float, z_exp: bytes) -> Face:
        return self.model.face(
            latents=self._person(seed), expression=np.frombuffer(z_exp, np.float32), psi=psi
        )


class AvatarSubject:
    """An avatar file, which plays without networks."""

    def __init__(self, avatar: Avatar) -> None:
        self.avatar = avatar
        mesh = avatar.layered_mesh
        self._own = dict(zip(avatar.card.expressions, mesh.z_exp, strict=True))
        self._offered = self._names()

    def description(self) -> dict[str, Any]:
        """See :class:`Subject`."""
        card = self.avatar.card
        names, units = self._offered
        rows = np.eye(EXP_DIM, dtype=np.float32)[:COEFFICIENTS]
        makeable = all(self.avatar.can_make(row) for row in rows)
        return {
            "kind": "avatar",
            "name": card.name,
            "licence": card.licence,
            "expressions": names,
            "units": units,
            "coefficients": _numbered() if makeable else [],
            "widest": self.avatar.layered_mesh.widest_rad,
            "shown": ["colour", "depth", "normals"],
            "sources": ["baked"],
        }

    def latents(self, view: View) -> tuple[Float[Tensor, "1 80"], Float[Tensor, "1 80"]]:
        """See :class:`Subject`; an avatar has none."""
        raise InputError(f"avatar '{self.avatar.card.name}' has no latents; its file is the person")

    def draw(self, view: View, antialias: bool = False) -> Frame:
        """See :class:`Subject`."""
        if view.shown == "slice":
            raise InputError("shown is slice, expected colour, depth or normals: an avatar has no manifolds")
        if view.source == "networks":
            raise InputError("source is networks, expected baked: an avatar has none")
        own = [strength * self._own[name] for name, strength in view.strengths.items() if name in self._own]
        others = {name: strength for name, strength in view.strengths.items() if name not in self._own}
        z_exp = self.avatar.expressions.coefficients(others) + np.sum(own, axis=0, dtype=np.float32)
        z_exp = _mixed(z_exp.astype(np.float32), view)
        self.avatar.check_expression(z_exp, ", ".join(view.strengths) or "coefficients")
        return Frame(_avatar_pixels(self.avatar, z_exp, view, antialias), "baked")

    def close(self) -> None:
        """See :class:`Subject`; nothing runs."""

    def _names(self) -> tuple[list[str], list[str]]:
        """Return the named expressions and the action units that the avatar can make."""
        avatar, basis = self.avatar, self.avatar.basis
        names = list(avatar.card.expressions)
        if len(names) == EXP_DIM:  # a blendshape for every coefficient, as avatars of photographs have
            names = list(avatar.card.presets)
        if basis is None:
            return names, []
        units = [
            unit
            for k, unit in enumerate(basis.names)
            if unit not in names and avatar.can_make(basis.units_to_exp[:, k].astype(np.float32))
        ]
        return names, units


def open_subject(path: str | Path, config: BakeConfig, device: str, changed: Callable[[], None]) -> Subject:
    """Open a model folder, the name of a shipped model, or an avatar file.

    Raises:
        InputError: it is none, or cannot be read.
    """
    if user_path(path).suffix == SUFFIX:
        return AvatarSubject(load_avatar(path, device))
    return ModelSubject(load_model(path, device), config, changed)


def _numbered() -> list[str]:
    return [f"coefficient {k + 1}" for k in range(COEFFICIENTS)]


def _mixed(z_exp: Float[np.ndarray, "64"], view: View) -> Float[np.ndarray, "64"]:
    """Add the view's own coefficients to those of its names."""
    mixed = z_exp.copy()
    mixed[: len(view.coefficients)] += np.float32(view.coefficients)
    return mixed


def _avatar_pixels(avatar: Avatar, z_exp: Float[np.ndarray, "64"], view: View, antialias: bool) -> Pixels:
    image = avatar.image(
        yaw=view.yaw,
        pitch=view.pitch,
        size=view.size,
        expression=z_exp,
        antialias=antialias and view.shown == "colour",
    )
    sampling = avatar.layered_mesh.ray_sampling
    return shaded(image, view.shown, yaw=view.yaw, pitch=view.pitch, ray_sampling=sampling)
