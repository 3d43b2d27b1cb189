"""Random people, their sliders, shapes and alignment."""

import numpy as np
import pytest

from anifacegan.face_model.build.identity import align, draw_person, find_sliders, shapes_of
from anifacegan.face_model.build.makehuman import blend


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
