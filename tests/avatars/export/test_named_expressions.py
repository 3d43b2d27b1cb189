"""Avatars with a few named expressions in place of a blendshape for every coefficient."""

import dataclasses

import numpy as np
import pytest

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.export.named_expressions import for_page, with_expressions
from anifacegan.runtime.errors import InputError
from tests.fixtures.ball_avatars import ball_avatar


@pytest.fixture(scope="module")
def complete() -> Avatar:
    """The ball with a blendshape for every coefficient, of which two move it."""
    ball = ball_avatar(own_corners=False)
    mesh = ball.layered_mesh
    shapes = np.zeros((64, *mesh.blendshapes.shape[1:]), np.float32)
    shades = np.zeros(shapes.shape[:3], np.float32)
    shapes[:2], shades[:2] = mesh.blendshapes, mesh.shades
    offsets = np.zeros((64, mesh.blendshapes.shape[1], 0, 2), np.float32)
    every = dataclasses.replace(
        mesh, z_exp=np.eye(64, dtype=np.float32), blendshapes=shapes, texel_offsets=offsets, shades=shades
    )
    card = dataclasses.replace(ball.card, expressions=tuple(map(str, range(64))))
    return Avatar(every, card, ball.basis)


def test_named_expressions_are_shown_as_before(complete: Avatar) -> None:
    few = with_expressions(complete, ("both", "halfLeft"))
    assert few.card.expressions == ("both", "halfLeft") and len(few.layered_mesh.z_exp) == 2
    for name, strength in (("both", 1.0), ("both", 0.5), ("halfLeft", 1.0), ("both", 0.25)):
        z_exp = strength * complete.expressions.coefficients(name)
        np.testing.assert_allclose(
            few.layered_mesh.posed(z_exp).vertices, complete.layered_mesh.posed(z_exp).vertices, atol=1e-6
        )


def test_a_page_of_a_complete_avatar_has_its_models_expressions(complete: Avatar) -> None:
    assert for_page(complete, None).card.expressions == ("both",)
    assert for_page(complete, ("halfLeft",)).card.expressions == ("halfLeft",)
    baked = ball_avatar()
    assert for_page(baked, None) is baked


def test_texture_that_slides_and_unknown_names_are_refused(complete: Avatar) -> None:
    with pytest.raises(InputError, match="texture that slides"):
        with_expressions(ball_avatar(), ("both",))
    with pytest.raises(InputError, match="grin"):
        with_expressions(complete, ("grin",))


@pytest.mark.parametrize(
    ("names", "expected"),
    [((), "expected at least one"), (("both", "halfLeft", "both"), "are both called 'both'")],
)
def test_no_expressions_and_repeated_ones_are_refused(
    names: tuple[str, ...], expected: str, complete: Avatar
) -> None:
    with pytest.raises(InputError, match=expected):
        for_page(complete, names)
