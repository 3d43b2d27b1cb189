"""Canaries: they fail when shapes are no longer checked, which otherwise looks just like passing tests.

jaxtyping finds the annotations, beartype checks them. It is switched on by pytest's ``addopts`` in pyproject.toml.
"""

import pytest
import torch
from jaxtyping import Float, jaxtyped
from torch import Tensor

from anifacegan.geometry.cameras import Camera
from anifacegan.rendering.compositing import blending_weights
from tests.fixtures.checks_on_demand import checked


def test_shapes_of_arguments_are_checked() -> None:
    hit = torch.ones(1, 5, 8, dtype=torch.bool)
    with pytest.raises(TypeError, match="hit"):
        blending_weights(torch.rand(1, 5, 7), hit)  # 7 levels, not 8


def test_element_types_of_arguments_are_checked() -> None:
    with pytest.raises(TypeError, match="hit"):
        blending_weights(torch.rand(1, 5, 8), torch.ones(1, 5, 8))  # hit is a float


def test_shapes_in_dataclasses_are_checked() -> None:
    with pytest.raises(TypeError, match="translation"):
        Camera(torch.eye(3).expand(2, 3, 3), torch.zeros(2, 4), focal_px=1.0, principal_px=0.0, size=1)


def test_plain_types_are_checked() -> None:
    with pytest.raises(TypeError, match="size"):
        Camera(torch.eye(3).expand(2, 3, 3), torch.zeros(2, 3), focal_px=1.0, principal_px=0.0, size="large")


def test_shapes_of_results_are_checked_against_those_of_arguments() -> None:
    @jaxtyped(typechecker=checked)
    def first(x: Float[Tensor, "row column"], count: int) -> Float[Tensor, "row column"]:
        return x[:count]

    assert len(first(torch.ones(4, 3), 4)) == 4
    with pytest.raises(TypeError, match="return value"):
        first(torch.ones(4, 3), 2)
    with pytest.raises(TypeError, match="count"):
        first(torch.ones(4, 3), 2.5)
