"""Morph targets of a head: what each action unit and each named expression adds to the neutral face."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.face_model.expressions import is_strong_unit
from anifacegan.runtime.errors import InputError

LEAST_MOVE = 5e-5
"""Movement that every morph target leaves out, metres."""


def arkit_units(shape: PersonShape) -> tuple[str, ...]:
    """Return the names of ARKit's movements among the face model's action units."""
    return tuple(name for name in shape.rig.unit_names if not is_strong_unit(name))


def morph_targets(
    shape: PersonShape, expressions: Mapping[str, Float[np.ndarray, "64"]], least_move: float
) -> dict[str, Float[np.ndarray, "vertex 3"]]:
    """Compute what each action unit and each expression adds to the neutral face, metres.

    ``least_move`` is the share of its largest movement below which a target leaves a vertex where it is.

    Raises:
        InputError: an expression has the name of an action unit, which the head has anyway.
    """
    taken = next((name for name in expressions if name in arkit_units(shape)), None)
    if taken is not None:
        raise InputError(
            f"expressions: '{taken}' is one of ARKit's movements, which the head has anyway, expected other names"
        )
    moves = {name: shape.unit_displacement(name) for name in arkit_units(shape)}
    moves |= {name: shape.vertices(z_exp) - shape.neutral for name, z_exp in expressions.items()}
    return {name: without_least(move, least_move, _largest(move)) for name, move in moves.items()}


def without_least(
    move: Float[np.ndarray, "vertex 3"], share: float, largest: float
) -> Float[np.ndarray, "vertex 3"]:
    """Leave out what moves less than a share of the largest movement of its target; longer moves set in smoothly."""
    length = np.linalg.norm(move, axis=1)
    least = max(LEAST_MOVE, share * largest)
    factor = 1 - np.square(least / np.maximum(length, least))
    return move * factor[:, None]


def _largest(move: Float[np.ndarray, "vertex 3"]) -> float:
    return float(np.linalg.norm(move, axis=1).max())
