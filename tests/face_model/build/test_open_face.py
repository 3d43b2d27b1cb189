"""Components, people and expressions of the face model's builder against closed forms."""

import numpy as np
import pytest

from anifacegan.face_model.build.expression_basis import displacement_products, expression_space, vertex_areas
from anifacegan.face_model.build.expression_sampler import ExpressionSampler
from anifacegan.face_model.build.identity import align, draw_person, find_sliders, shapes_of
from anifacegan.face_model.build.makehuman import blend, macro_weights
from anifacegan.face_model.build.pca import fix_signs, principal_components


# ------------------------------------------------------------------------------------------------- components
def test_the_largest_entry_of_each_component_is_positive_and_samples_stay() -> None:
    basis = np.array([[0.1, -2.0], [-3.0, 1.0]])
    coefficients = np.array([[1.0, 2.0], [3.0, -4.0]])
    fixed, flipped = fix_signs(basis, coefficients)
    assert fixed.tolist() == [[-0.1, 2.0], [3.0, -1.0]]
    assert flipped.tolist() == [[-1.0, -2.0], [-3.0, 4.0]]
    np.testing.assert_array_equal(flipped @ fixed.T, coefficients @ basis.T)
    again, _ = fix_signs(fixed, flipped)
    np.testing.assert_array_equal(again, fixed)


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    rng = np.random.default_rng(0)
    samples = (rng.normal(size=(50, 8)) * np.arange(1, 9)) @ rng.normal(size=(8, 30))
    samples = (samples - samples.mean(axis=0)).astype(np.float32)
    found = principal_components(samples, np.ones(30), 3)
    left, spread, right = np.linalg.svd(samples, full_matrices=False)
    best = (left[:, :3] * spread[:3]) @ right[:3]
    np.testing.assert_allclose(found.coefficients @ found.basis.T, best, atol=1e-3)
    np.testing.assert_allclose((found.coefficients**2).mean(axis=0), 1, rtol=1e-4)
    assert found.kept == pytest.approx((spread[:3] ** 2).sum() / (spread**2).sum(), rel=1e-4)


def test_coordinates_without_weight_do_not_choose_the_components() -> None:
    rng = np.random.default_rng(0)
    quiet = rng.normal(size=(40, 1)) @ rng.normal(size=(1, 5))
    loud = 100 * rng.normal(size=(40, 5))
    samples = np.concatenate([quiet, loud], axis=1).astype(np.float32)
    found = principal_components(samples, np.repeat([1.0, 0.0], 5), 1)
    np.testing.assert_allclose((found.coefficients @ found.basis.T)[:, :5], quiet, atol=1e-4)


# ---------------------------------------------------------------------------------------- people and expressions
def test_alignment_undoes_a_turn_and_a_move_but_keeps_the_size() -> None:
    rng = np.random.default_rng(0)
    reference, weights = rng.normal(size=(20, 3)), rng.uniform(0.1, 1, 20)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    moved = np.stack([reference @ turn + [1, 2, 3], 1.5 * reference])
    aligned = align(moved, reference, weights)
    np.testing.assert_allclose(aligned[0], reference, atol=1e-9)
    centre = weights @ reference / weights.sum()
    np.testing.assert_allclose(aligned[1], centre + 1.5 * (reference - centre), atol=1e-9)


def test_a_mirror_image_is_not_aligned_by_mirroring_it() -> None:
    reference = np.random.default_rng(0).normal(size=(1, 20, 3))
    aligned = align(reference * [-1, 1, 1], reference[0], np.ones(20))
    assert np.abs(aligned - reference).max() > 0.1


def test_macro_shares_sum_to_one_in_each_family() -> None:
    strengths = macro_weights(0.3, 0.7, np.array([0.2, 0.3, 0.5]), 0.4, 0.9)
    races = [value for name, value in strengths.items() if "universal" not in name]
    bodies = [value for name, value in strengths.items() if "universal" in name]
    assert sum(races) == pytest.approx(1) and sum(bodies) == pytest.approx(1)
    assert strengths["macro/asian-male-old"] == pytest.approx(0.3 * 0.3 * 0.4)
    assert macro_weights(1.0, 0.5, (0.0, 0.0, 1.0), 0.5, 0.5) == {
        "macro/caucasian-male-young": 1,
        "macro/universal-male-young-averagemuscle-averageweight": 1,
    }


def test_the_young_are_part_child() -> None:
    strengths = macro_weights(0.0, 0.34375, (0.0, 1.0, 0.0), 0.5, 0.5)  # half-way from 10 to 25 years
    assert strengths["macro/asian-female-child"] == strengths["macro/asian-female-young"] == 0.5
    assert not any("old" in name for name in strengths)


def test_opposite_targets_are_one_slider_and_sides_belong_together() -> None:
    names = ["nose/nose-hump-decr", "nose/nose-hump-incr", "ears/l-ear-scale-decr", "ears/l-ear-scale-incr",
             "ears/r-ear-scale-decr", "ears/r-ear-scale-incr", "chin/chin-cleft", "head/head-trans-in",
             "asym/a"]  # fmt: skip
    sliders = find_sliders(names)
    assert [(slider.name, slider.one_way) for slider in sliders] == [
        ("nose-hump", False),
        ("ear-scale", False),
        ("chin-cleft", True),
    ]
    assert sliders[0].targets == {"": ("nose/nose-hump-decr", "nose/nose-hump-incr")}
    assert sliders[1].targets["l-"] == ("ears/l-ear-scale-decr", "ears/l-ear-scale-incr")
    assert sliders[2].targets == {"": (None, "chin/chin-cleft")}


def test_people_depend_on_the_generator_alone_and_stay_in_range() -> None:
    sliders = find_sliders(["nose/nose-hump-decr", "nose/nose-hump-incr", "chin/chin-cleft"])
    asymmetries = [f"asym/asym-{i}" for i in range(8)]
    people, again = (
        [draw_person(rng, sliders, asymmetries) for _ in range(200)]
        for rng in (np.random.default_rng(3), np.random.default_rng(3))
    )
    assert [p.strengths for p in people] == [p.strengths for p in again]
    assert all(18 <= p.age <= 80 and 0 <= p.gender <= 1 and p.race.sum() == pytest.approx(1) for p in people)
    assert all(0 <= strength <= 1.5 for p in people for strength in p.strengths.values())
    assert not any({"nose/nose-hump-decr", "nose/nose-hump-incr"} <= p.strengths.keys() for p in people)


def test_a_slider_with_a_positive_mean_mostly_goes_up() -> None:
    sliders = find_sliders(["mouth/mouth-angles-down", "mouth/mouth-angles-up"])
    rng = np.random.default_rng(0)
    people = [draw_person(rng, sliders, [f"asym/asym-{i}" for i in range(8)]) for _ in range(300)]
    value = np.array(
        [
            p.strengths.get("mouth/mouth-angles-up", 0) - p.strengths.get("mouth/mouth-angles-down", 0)
            for p in people
        ]
    )
    assert value.mean() == pytest.approx(0.30, abs=0.05) and value.std() == pytest.approx(0.25, abs=0.03)


def test_shapes_are_targets_times_strengths() -> None:
    rng = np.random.default_rng(0)
    targets = {f"asym/asym-{i}": rng.normal(size=(5, 3)).astype(np.float32) for i in range(8)}
    people = [draw_person(rng, [], list(targets)) for _ in range(3)]
    shapes = shapes_of(people, targets)
    for person, shape in zip(people, shapes, strict=True):
        np.testing.assert_allclose(shape, blend(targets, person.strengths), atol=1e-6)


def unit_names() -> tuple[str, ...]:
    """The names of the Face Units and MakeHuman's own units that the sampler asks for."""
    both_sides = ("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut",
                  "eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress",
                  "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer")  # fmt: skip
    single = ("browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthFunnel", "mouthLeft",
              "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
              "tongueOut", "mouth-compression", "mouth-elevation",
              "nose-left-dilatation", "nose-right-dilatation")  # fmt: skip
    return tuple(sorted([name + side for name in both_sides for side in ("Left", "Right")] + list(single)))


def drawn(names: tuple[str, ...], count: int) -> dict[str, np.ndarray]:
    """Unit -> strengths of so many expressions."""
    sampler, rng = ExpressionSampler(names), np.random.default_rng(0)
    return dict(zip(names, np.stack([sampler.draw(rng) for _ in range(count)]).T, strict=True))


def test_drawn_expressions_are_in_range_and_both_eyes_look_the_same_way() -> None:
    strength, again = drawn(unit_names(), 500), drawn(unit_names(), 500)
    for name, values in strength.items():
        np.testing.assert_array_equal(values, again[name])
        assert values.min() == 0 and values.max() <= 1
    np.testing.assert_array_equal(strength["eyeLookOutLeft"], strength["eyeLookInRight"])
    np.testing.assert_array_equal(strength["eyeLookUpLeft"], strength["eyeLookUpRight"])
    smiles = strength["mouthSmileLeft"] > 0.3
    assert strength["cheekSquintLeft"][smiles].mean() > 2 * strength["cheekSquintLeft"][~smiles].mean()


def test_mouth_brows_and_eyes_are_drawn_each_by_themselves() -> None:
    strength = drawn(unit_names(), 3000)
    for one in ("mouthSmileLeft", "jawOpen", "mouthPucker"):
        for other in ("browOuterUpLeft", "browDownLeft", "eyeBlinkLeft"):
            assert abs(np.corrcoef(strength[one], strength[other])[0, 1]) < 0.08
    lopsided = np.abs(strength["mouthSmileLeft"] - strength["mouthSmileRight"]) > 0.3
    assert 0.03 < lopsided.mean() < 0.12  # the kind's share, times its larger amplitudes
    winks = (strength["eyeBlinkLeft"] > 0.6) != (strength["eyeBlinkRight"] > 0.6)
    assert 0.03 < winks.mean() < 0.08
    raised, right = strength["browOuterUpLeft"] > 0.3, strength["browOuterUpRight"]
    lowered = strength["browDownRight"]
    assert (
        lowered[raised & (right < 0.1)].mean() > 3 * lowered[raised & (right > 0.3)].mean()
    )  # one up, the other down


def test_displacements_are_weighed_by_the_area_they_move() -> None:
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
    kept = np.diag(space.to_units @ space.from_units)
    np.testing.assert_allclose(kept, [1, 1, 0], atol=0.01)
