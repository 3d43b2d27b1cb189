"""The expression basis: actions first, then what they leave."""

import numpy as np
import pytest

from anifacegan.face_model.build.expression_basis import displacement_products, expression_space, vertex_areas


def test_displacements_are_weighted_by_the_area_they_move() -> None:
    corners = np.array([[0, 0, 0], [2, 0, 0], [2, 3, 0], [0, 3, 0], [9, 9, 9]], float)
    areas = vertex_areas(
        corners, np.array([[0, 1, 2], [0, 3, 2]])
    )  # a rectangle of either turn, and no triangle
    np.testing.assert_allclose(areas, [2, 1, 2, 1, 0])
    moved = np.random.default_rng(0).normal(size=(5, 3, 2))
    products = displacement_products(moved, areas)
    for (row, column), product in np.ndenumerate(products):
        by_hand = sum(areas[v] * moved[v, :, row] @ moved[v, :, column] for v in range(5))
        np.testing.assert_allclose(product, by_hand)


def metric_of(shapes: np.ndarray) -> np.ndarray:
    return displacement_products(shapes, np.ones(len(shapes)))


def test_the_basis_spans_the_units_and_actions_are_its_first_coefficients() -> None:
    rng = np.random.default_rng(0)
    metric = metric_of(rng.normal(size=(9, 3, 6)))
    bank, actions = rng.beta(1, 3, size=(300, 6)), np.zeros((6, 2))
    actions[0, 0], actions[[1, 2], 1] = 1.0, (0.5, -0.5)
    space = expression_space(metric, bank, actions, count=6)
    np.testing.assert_allclose(space.to_units @ space.from_units, np.eye(6), atol=1e-5)
    coefficients = bank @ space.from_units.T
    np.testing.assert_allclose(np.mean(coefficients**2, axis=0), np.ones(6), atol=1e-5)
    np.testing.assert_allclose(coefficients[:, 2:].T @ coefficients[:, 2:] / 300, np.eye(4), atol=1e-5)
    of_actions = space.from_units @ actions  # each action moves its own coefficient alone
    assert (np.diag(of_actions) > 0).all()
    of_actions[[0, 1], [0, 1]] = 0
    np.testing.assert_allclose(of_actions, np.zeros((6, 2)), atol=1e-9)
    across = actions.T @ metric @ space.to_units[:, 2:]  # components are what the actions leave
    np.testing.assert_allclose(across, np.zeros((2, 4)), atol=1e-9)


def test_a_basis_that_the_drawn_faces_do_not_fill_is_refused() -> None:
    bank, actions = np.random.default_rng(0).uniform(size=(200, 3)) * [1.0, 0.5, 0.0], np.eye(3)[:, :1]
    assert expression_space(np.eye(3), bank, actions, count=2).to_units.shape == (3, 2)
    for count in (0, 3):
        with pytest.raises(
            ValueError, match=f"{count} coefficients, expected 1 of actions and at most 1 others"
        ):
            expression_space(np.eye(3), bank, actions, count=count)


def test_fewer_expression_components_keep_the_most() -> None:
    """Units that hardly occur are the ones that are lost."""
    bank = np.random.default_rng(0).uniform(size=(200, 3)) * [1.0, 0.5, 0.001]
    space = expression_space(np.eye(3), bank, np.zeros((3, 0)), count=2)
    recovered = np.diag(space.to_units @ space.from_units)
    np.testing.assert_allclose(recovered, [1, 1, 0], atol=0.01)
