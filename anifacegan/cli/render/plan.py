"""Plans a rendering before the first image: people, the trajectory of pose and expression, and the contact sheet.

All files are read and all options checked here, so that a mistake is reported at once.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from anifacegan.avatars.avatar import Avatar, load_avatar
from anifacegan.avatars.config import SUFFIX
from anifacegan.cli.render.config import RenderConfig
from anifacegan.face_model.coefficients import read_expressions
from anifacegan.face_model.expressions import NEUTRAL
from anifacegan.face_model.trajectories import (
    Expression,
    Trajectory,
    check_views,
    float_array,
    planned_trajectory,
    requested_expressions,
)
from anifacegan.models.latent_files import read_people
from anifacegan.rendering.model import Model, load_model
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InputError, warnings_in_one_line
from anifacegan.runtime.mat_files import mat_files_in_order
from anifacegan.runtime.resources import located, located_model
from anifacegan.runtime.seeds import expanded_seeds

MOST_SHEET_EXPRESSIONS = 6
"""Largest number of requested expressions on the contact sheet; of a longer sequence, evenly spaced ones are shown."""


Subject = Model | Avatar
"""Source of the people to render: a model, or an avatar file."""


@dataclass(frozen=True)
class RenderIdentity:
    """One person to render."""

    name: str
    """Name of the person, with which the names of the person's files begin."""
    seed: int | None
    """Random seed of the latents; None if the latents are from a file, or the person from an avatar file."""
    latents: tuple[Float[Tensor, "1 80"], Float[Tensor, "1 80"]] | None
    """Identity and appearance latents z_id and z_noise; None for an avatar file."""


@dataclass(frozen=True)
class VideoPlan:
    """Everything that one run of ``anifacegan render`` shows."""

    model: Subject
    people: tuple[RenderIdentity, ...]
    trajectory: Trajectory
    """Pose and expression of every frame, the same for every person."""
    sheet_yaw: Float[np.ndarray, "view"]
    """Yaw angle of each view on the contact sheet, radians."""
    sheet_expressions: tuple[Expression, ...]
    """Expressions in the columns of the contact sheet; empty if no contact sheet is requested."""


def plan_video(config: RenderConfig) -> VideoPlan:
    """Load the model, read every file that the configuration names, and return the plan.

    Raises:
        InputError: the configuration or one of these files is wrong.
    """
    path = located_model(config.model, "a model folder or a baked avatar")
    model: Subject
    if path.suffix == SUFFIX:
        model = load_avatar(path, select_device(config.device))
        people = [avatar_identity(config, model, path)]
    else:
        model = load_model(path, select_device(config.device))
        people = selected_people(config, model)
    with warnings_in_one_line():
        expressions, is_sequence = requested_expressions(config, model.expressions)
        trajectory = planned_trajectory(config, model.expressions, expressions, is_sequence)
        on_sheet = sheet_expressions(model, expressions) if config.grid else []
    sheet_yaw = float_array(config.grid_yaw)
    check_views(yaw=sheet_yaw, pitch=np.zeros_like(sheet_yaw), place="grid_yaw: ")
    if isinstance(model, Avatar):
        check_avatar(model, trajectory, sheet_yaw if config.grid else sheet_yaw[:0], on_sheet)
    return VideoPlan(model, tuple(people), trajectory, sheet_yaw, tuple(on_sheet))


def avatar_identity(config: RenderConfig, avatar: Avatar, path: Path) -> RenderIdentity:
    """Return the one person of the avatar file ``path``.

    Raises:
        InputError: an option asks for something that is fixed in the avatar file.
    """
    if config.latents is not None:
        raise InputError(
            f"latents is {config.latents}, but {path} is a baked avatar, which is one person already"
        )
    if config.seeds != RenderConfig.seeds:
        raise InputError(
            f"seeds is {config.seeds}, but {path} is a baked avatar, which is one person already"
        )
    if config.renderer == "adaptive":
        raise InputError(
            f"renderer is adaptive, but {path} is a baked avatar without networks; expected baked or auto"
        )
    if config.psi is not None and config.psi != avatar.card.psi:
        raise InputError(
            f"psi is {config.psi}, but {path} was baked with psi {avatar.card.psi}, which is part of it"
        )
    return RenderIdentity(path.stem, None, None)


def check_avatar(
    avatar: Avatar, trajectory: Trajectory, sheet_yaw: Float[np.ndarray, "view"], on_sheet: list[Expression]
) -> None:
    """Refuse frames and contact sheets with expressions or views that an avatar was not baked for.

    Args:
        avatar: the avatar.
        trajectory: pose and expression of every frame.
        sheet_yaw: yaw of each view on the contact sheet, radians from frontal.
        on_sheet: expressions on the contact sheet.

    Raises:
        InputError: there is such an expression or view; the message names the first.
    """
    for expression in on_sheet:
        avatar.check_expression(expression.z_exp, expression.label)
    for yaw in sheet_yaw:
        avatar.check_view(yaw=float(yaw), pitch=0.0)
    for k in range(len(trajectory)):
        avatar.check_expression(trajectory.z_exp[k], trajectory.labels[k])
        avatar.check_view(yaw=float(trajectory.yaw[k]), pitch=float(trajectory.pitch[k]))


def selected_people(config: RenderConfig, model: Model) -> list[RenderIdentity]:
    """Return the people of the latents file if the configuration names one, otherwise one person for each seed."""
    if config.latents is None:
        return [
            RenderIdentity(f"seed{seed}", seed, model.person(seed)) for seed in expanded_seeds(config.seeds)
        ]
    z_id, z_noise = read_people(config.latents)
    stem, count = config.latents.stem, len(z_id)
    names = [stem] if count == 1 else [f"{stem}_{k}" for k in range(count)]
    return [RenderIdentity(name, None, (z_id[k : k + 1], z_noise[k : k + 1])) for k, name in enumerate(names)]


def sheet_expressions(model: Subject, requested: list[Expression]) -> list[Expression]:
    """Return the columns of the contact sheet: the neutral face, the requested expressions, and the files in ``mat/``
    that belong to the model's face model. Of these files, an avatar shows those that it was baked for.
    """
    keep = np.unique(np.linspace(0, len(requested) - 1, MOST_SHEET_EXPRESSIONS).round().astype(int))
    found = {NEUTRAL: Expression(NEUTRAL, model.expressions.coefficients(None))}
    found |= {requested[k].label: requested[k] for k in keep}
    for path in mat_files_in_order(located("mat")):
        rows, owner = read_expressions(path)
        fits = owner == model.card.face_model and path.stem not in found and len(rows) == 1
        if fits and (not isinstance(model, Avatar) or model.can_make(rows[0])):
            found[path.stem] = Expression(path.stem, rows[0], path)
    return list(found.values())
