"""Bakes one person of a model with the expressions that the options name."""

import dataclasses
from typing import Any

import numpy as np

from anifacegan.avatars.avatar import Avatar, AvatarCard
from anifacegan.avatars.baking.bake import bake
from anifacegan.avatars.baking.from_model import model_charts, person_condition
from anifacegan.avatars.baking.independent_expressions import independent_expressions
from anifacegan.cli.bake.config import BakeCommand
from anifacegan.face_model.expressions import names_of
from anifacegan.models.latent_files import read_people
from anifacegan.rendering.model import Model
from anifacegan.runtime.errors import InputError, say, warnings_in_one_line
from anifacegan.runtime.typed_config import as_tuple

LARGEST_MISS = 1e-3
"""Error of a baked expression, world units, above which it is said; those of faces are some hundredths of that."""


def baked_avatar(config: BakeCommand, model: Model) -> Avatar:
    """Bake the person with the expressions that the configuration names into textured meshes; return the avatar.

    Raises:
        InputError: no expression is given, or two with one name, the model does not know one of them, or there is not
            exactly one person.
    """
    labels = tuple(model.card.presets) if config.expressions is None else as_tuple(config.expressions)
    names = names_of(labels)
    with warnings_in_one_line():
        z_exp = [model.expressions.coefficients(label) for label in labels]
    if not z_exp:
        raise InputError(
            f"expressions: model '{model.card.name}' has no named ones, expected names or .mat files"
        )
    kept = independent_expressions(np.stack(z_exp))
    _say_mixtures([label for row, label in enumerate(labels) if row not in kept])
    labels, names, z_exp = ([values[row] for row in kept] for values in (labels, names, z_exp))
    latents = person_latents(config, model)
    condition = person_condition(model, latents, config.psi)
    charts = model_charts(model, config.bake.grid)
    layered_mesh, report = bake(condition, np.stack(z_exp), charts, config.bake)
    residuals = dict(zip(labels, report.residual.tolist(), strict=True))
    _say_misses(residuals)
    card = AvatarCard(
        name=config.out.stem,
        model=model.card.name,
        face_model=model.card.face_model,
        psi=config.psi,
        expressions=tuple(names),
        pitch_offset=model.card.pitch_offset,
        licence=model.card.licence,
        presets=model.card.presets,
        expression_units=model.card.expression_units,
        baking={
            "person": f"seed {config.seed}" if config.latents is None else config.latents.name,
            "settings": dataclasses.asdict(config.bake),
            "residual_world": residuals,
            "folded_share": report.folded_share,
        },
        identity=tuple(latents[0][0].cpu().double().tolist()),
        appearance=tuple(latents[1][0].cpu().double().tolist()) if model.checkpoint.appearance else (),
    )
    return Avatar(layered_mesh, card, model.checkpoint.basis)


def _say_mixtures(labels: list[str]) -> None:
    """Name on standard error the expressions that have no blendshape of their own."""
    if labels:
        mixtures = "is a mixture" if len(labels) == 1 else "are mixtures"
        say(f"{', '.join(map(repr, labels))} {mixtures} of the other expressions, and shown as such")


def _say_misses(residuals: dict[str, float]) -> None:
    """Name on standard error the expressions that were not baked as the model deforms the face; world units."""
    for label, residual in residuals.items():
        if residual > LARGEST_MISS:
            say(
                f"expression '{label}': 1 % of the points miss their places by {1000 * residual:.1f} mm or more, as "
                "where it is stronger than the model can show"
            )


def person_latents(config: BakeCommand, model: Model) -> tuple[Any, Any]:
    """Return the person's z_id and z_noise, each (1, 80), from the file or the seed.

    Raises:
        InputError: the file is not readable, or holds more than one person.
    """
    if config.latents is None:
        return model.person(config.seed)
    z_id, z_noise = read_people(config.latents)
    if len(z_id) != 1:
        raise InputError(f"latents: {config.latents} holds {len(z_id)} people, expected one")
    return z_id, z_noise
