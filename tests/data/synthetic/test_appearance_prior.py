"""The prior of appearances: styles, traits, directions and warps."""

import dataclasses
import math
from collections import Counter

import numpy as np
import pytest

from anifacegan.data.synthetic.appearance import (
    BACKGROUND,
    CLOTHES,
    HAIR_STYLE,
    HAIR_STYLES,
    LIGHT,
    TEXTURE,
    normal_cdf,
)
from anifacegan.data.synthetic.appearance_prior import (
    STYLE_FREQUENCIES,
    AppearancePrior,
    independent_components,
    style_biases,
    texture_metric,
)
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import HeadParts, load_head_parts
from anifacegan.geometry.conventions import NOISE_DIM
from anifacegan.runtime.errors import InputError
from tests.fixtures.tiny_head import tiny_model, tiny_parts


@pytest.fixture(scope="module")
def parts() -> HeadParts:
    return tiny_parts(tiny_model())


@pytest.fixture(scope="module")
def prior(parts: HeadParts) -> AppearancePrior:
    return AppearancePrior.fit(parts, np.eye(80) / 80)


def person(gender: float, african: float = 0.0) -> np.ndarray:
    """A shape of the tiny bank: entry 0 is gender, entry 1 descent."""
    z_id = np.zeros(80, np.float32)
    z_id[0], z_id[1] = gender, african
    return z_id


@pytest.mark.parametrize("part", [TEXTURE, LIGHT, HAIR_STYLE, CLOTHES, BACKGROUND])
def test_each_slice_changes_its_own_attributes_only(prior: AppearancePrior, part: slice) -> None:
    base = prior.appearance(person(1), np.zeros(NOISE_DIM))
    z = np.zeros(NOISE_DIM)
    z[part] = np.linspace(-1, 2, len(z[part]))
    other = prior.appearance(person(1), z)
    changed = set()
    for field in dataclasses.fields(base):
        a, b = getattr(base, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            same = np.array_equal(a, b)
        elif field.name == "background":
            same = all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
        else:
            same = a == b
        if not same:
            changed.add(field.name)
    expected = {
        TEXTURE.start: {"tex", "hair_rgb"},
        LIGHT.start: {"gamma", "shine"},
        HAIR_STYLE.start: {"hair_style"},
        CLOTHES.start: {"cloth_rgb"},
        BACKGROUND.start: {"background"},
    }
    assert changed == expected[part.start]


def test_style_biases_give_the_requested_frequencies() -> None:
    target = np.array([0.5, 0.3, 0.15, 0.05, 0.0])
    scores = np.random.default_rng(0).normal(size=(200_000, 5)) + style_biases(target)
    got = np.bincount(scores.argmax(axis=1), minlength=5) / len(scores)
    assert np.allclose(got, target, atol=0.005)  # 4 sigma of 200,000 draws


def test_two_styles_have_the_closed_form_bias() -> None:
    bias = style_biases(np.array([0.8, 0.2]))  # P(z0 - z1 > b1 - b0) = Phi((b0 - b1) / sqrt 2)
    assert normal_cdf((bias[0] - bias[1]) / math.sqrt(2)) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("group, gender, african", [(0, -1, 0), (1, -1, 2), (2, 1, 0), (3, 1, 2)])
def test_hair_styles_follow_gender_and_descent(
    prior: AppearancePrior, group: int, gender: float, african: float
) -> None:
    rng = np.random.default_rng(1)
    z_id = person(gender, african)
    worn = Counter(prior.appearance(z_id, rng.standard_normal(NOISE_DIM)).hair_style for _ in range(800))
    worn["bald"] = worn.pop(None, 0) + worn.pop("shaved", 0)
    for style in HAIR_STYLES:
        assert worn[style] / 800 == pytest.approx(STYLE_FREQUENCIES[group].get(style, 0.0), abs=0.07), style


def test_men_have_beards_as_often_as_the_bank_and_women_none(prior: AppearancePrior) -> None:
    rng = np.random.default_rng(2)
    beards = {
        gender: np.mean(
            [
                prior.appearance(person(gender), rng.standard_normal(NOISE_DIM)).tex[0] > 3.0
                for _ in range(600)
            ]
        )
        for gender in (-1.0, 1.0)
    }
    assert beards[-1.0] < 0.02
    assert beards[1.0] == pytest.approx(0.25, abs=0.08)  # a quarter of the bank's men


def test_draws_have_the_spread_of_the_bank(prior: AppearancePrior, parts: HeadParts) -> None:
    rng = np.random.default_rng(3)
    shapes = parts.bank_id.astype(np.float32)
    draws = np.array([prior.appearance(z_id, rng.standard_normal(NOISE_DIM)).tex for z_id in shapes])
    bank = parts.bank_tex.astype(np.float64)
    assert np.allclose(draws.mean(axis=0), bank.mean(axis=0), atol=0.35)
    variance_share = draws.var(axis=0).sum() / bank.var(axis=0).sum()
    assert 0.6 < variance_share < 1.0  # 48 of 83 directions at temperature 0.9


def test_every_texture_entry_acts_monotonically(prior: AppearancePrior) -> None:
    assert (np.diff(prior.warp, axis=-1) >= 0).all()
    z = np.zeros(NOISE_DIM)
    for k in (0, 17, 47):
        along = []
        for value in (-4.0, -1.0, 0.0, 1.0, 4.0):
            z[k] = value
            along.append(prior.appearance(person(1), z).tex.astype(np.float64) @ prior.directions[:80, k])
        z[k] = 0.0
        assert (np.diff(along) >= -1e-5).all()


def test_independent_components_are_found_in_a_rotation_of_them() -> None:
    rng = np.random.default_rng(4)
    sources = np.stack([rng.exponential(size=20000) - 1, 1 - rng.exponential(size=20000)], axis=1)
    turn = np.array([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]])
    rotation = independent_components(sources @ turn.T)
    assert np.allclose(rotation @ rotation.T, np.eye(2), atol=1e-9)
    match = np.abs(rotation @ turn)
    assert np.allclose(match.max(axis=1), 1, atol=5e-3)
    skews = ((sources @ turn.T @ rotation.T) ** 3).mean(axis=0)
    assert (skews > 1).all()  # signs: the long tail is positive


def test_the_texture_metric_is_the_mean_squared_difference_where_it_is_seen(parts: HeadParts) -> None:
    model: MorphableModel = tiny_model()
    front_only = dataclasses.replace(parts, part=np.zeros_like(parts.part))
    tex = np.random.default_rng(5).normal(size=80).astype(np.float32)
    change = (model.tex_basis.numpy() @ tex)[parts.front_mask > 0]  # (front vertices, 3)
    assert tex @ texture_metric(model, front_only) @ tex == pytest.approx(
        np.square(change).sum(1).mean(), rel=1e-4
    )
    assert not np.allclose(texture_metric(model, parts), texture_metric(model, front_only))  # eyes count more


def test_the_prior_survives_being_stored(prior: AppearancePrior) -> None:
    arrays = prior.to_arrays()
    assert sum(array.nbytes for array in arrays.values()) < 300_000
    assert all(array.dtype == np.float32 for array in arrays.values())
    again = AppearancePrior(**{name: array.copy() for name, array in arrays.items()})
    z = np.random.default_rng(8).standard_normal(NOISE_DIM)
    assert np.array_equal(again.appearance(person(1), z).tex, prior.appearance(person(1), z).tex)


def test_codes_of_a_wrong_length_are_refused_by_shape(prior: AppearancePrior) -> None:
    with pytest.raises((InputError, TypeError), match="80"):
        prior.appearance(np.zeros(79), np.zeros(NOISE_DIM))


def test_the_real_bank_reads_gender_and_age_from_the_shape(face_model: MorphableModel) -> None:
    parts = load_head_parts()
    prior = AppearancePrior.fit(parts, texture_metric(face_model, parts))
    traits = [prior.traits(z_id.astype(np.float32)) for z_id in parts.bank_id[:200]]
    gender = [trait["gender"] for trait in traits]
    age = [trait["age"] for trait in traits]
    assert np.corrcoef(gender, parts.bank_gender[:200].astype(float))[0, 1] > 0.98
    assert np.corrcoef(age, parts.bank_age[:200].astype(float))[0, 1] > 0.98
