"""The light on a synthetic head changes with the expression, as in the images."""

import numpy as np
import pytest

from anifacegan.data.synthetic.light_change import DISPLAY_POWER, light_change
from anifacegan.data.synthetic.renderer import SyntheticRenderer
from anifacegan.data.synthetic.sampling import SyntheticPerson
from tests.fixtures.tiny_training_set import tiny_renderer

REST = np.zeros(64, np.float32)


@pytest.fixture(scope="module")
def renderer() -> SyntheticRenderer:
    return tiny_renderer()


def a_person(z_exp: np.ndarray) -> SyntheticPerson:
    rng = np.random.default_rng(3)
    z_id, z_noise = (rng.normal(0, 1, 80).astype(np.float32) for _ in range(2))
    return SyntheticPerson(z_id, z_exp, z_noise)


def some_expression(seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, 64).astype(np.float32)


def test_the_templates_expression_changes_nothing(renderer: SyntheticRenderer) -> None:
    change = light_change(renderer, a_person(some_expression()), some_expression())
    assert change.shape == (len(renderer.head.mean) // 3,)
    np.testing.assert_array_equal(change, 0)


def test_the_way_back_is_the_reverse(renderer: SyntheticRenderer) -> None:
    there = light_change(renderer, a_person(some_expression()), REST)
    back = light_change(renderer, a_person(REST), some_expression())
    assert np.isfinite(there).all() and np.abs(there).max() > 0.01
    np.testing.assert_allclose(there, -back, atol=1e-6)


def test_skin_that_turns_to_the_light_becomes_lighter(
    renderer: SyntheticRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one lamp from above and no shadows, the light of a vertex is the cosine of its normal to the lamp."""
    from anifacegan.data.synthetic import light_change as module
    from anifacegan.data.synthetic.surface.shadow_maps import VertexLight

    normals = []

    def from_above(
        shadows: object, vertices: np.ndarray, turned: np.ndarray, seen: np.ndarray
    ) -> VertexLight:
        normals.append(turned)
        up = np.maximum(turned[:, 1], 0).astype(np.float32)
        return VertexLight(np.repeat(up[:, None], 3, 1), turned, 1 + 0 * up, 1 + 0 * up)

    monkeypatch.setattr(module, "vertex_light", from_above)
    monkeypatch.setattr(module, "scattered", lambda light, *others: light)
    change = light_change(renderer, a_person(some_expression()), REST)
    with_expression, rest = (
        np.maximum(turned[: len(change), 1], 0) + module.LEAST_LIGHT for turned in normals
    )
    np.testing.assert_allclose(change, DISPLAY_POWER * np.log(with_expression / rest), atol=1e-6)
    assert (change > 0.01).any() and (change < -0.01).any()
