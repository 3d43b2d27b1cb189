"""An avatar with a few named expressions in place of its own blendshapes, for players that have to be small."""

from dataclasses import replace

import numpy as np

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.layered_mesh import at_stored_strengths
from anifacegan.face_model.expressions import names_of
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.runtime.errors import InputError


def for_page(avatar: Avatar, names: tuple[str, ...] | None) -> Avatar:
    """Return the avatar with the named expressions; None keeps its own, but an avatar that has a blendshape for every
    coefficient, as those of photographs, gets the named expressions of its model.

    Raises:
        InputError: an expression is unknown, or the avatar cannot show it.
    """
    if names is None and len(avatar.layered_mesh.z_exp) == EXP_DIM and avatar.card.presets:
        names = tuple(avatar.card.presets)
    return avatar if names is None else with_expressions(avatar, names)


def with_expressions(avatar: Avatar, names: tuple[str, ...]) -> Avatar:
    """Return an avatar whose blendshapes are the named expressions, as this one shows them.

    Raises:
        InputError: there is no expression, or a name twice; one is unknown, or the avatar cannot show it; or it has
            triangles that span an opening, whose texture slides.
    """
    if not names:
        raise InputError("expressions are [], expected at least one")
    called = names_of(names)
    mesh = avatar.layered_mesh
    if mesh.texel_offsets.shape[2]:
        raise InputError(
            f"avatar '{avatar.card.name}' has texture that slides with its own expressions, expected no other ones: "
            "bake it with them"
        )
    z_exp = np.stack([avatar.expressions.coefficients(name) for name in names]).astype(np.float32)
    for name, row in zip(names, z_exp, strict=True):
        avatar.check_expression(row, name)
    count = mesh.blendshapes.shape[1]
    poses = [[mesh.posed(row) for row in rows] for rows in at_stored_strengths(z_exp, count)]
    shapes = [[pose.vertices - mesh.vertices for pose in of_name] for of_name in poses]
    shades = [[np.log(pose.factors) for pose in of_name if pose.factors is not None] for of_name in poses]
    changed = replace(
        mesh,
        z_exp=z_exp,
        blendshapes=np.array(shapes, np.float32),
        texel_offsets=np.zeros((len(names), count, 0, 2), np.float32),
        shades=None if mesh.shades is None else np.array(shades, np.float32),
    )
    return Avatar(changed, replace(avatar.card, expressions=called), avatar.basis)
