"""The map from latents to appearances: what each slice changes, continuity, ranges, and the spread of the bank."""

import dataclasses
import math

import numpy as np
import pytest

from anifacegan.data.synthetic.looks import appearance as slices
from anifacegan.data.synthetic.looks.appearance import Appearance
from anifacegan.data.synthetic.looks.appearance_prior import (
    DIRECTIONS,
    AppearancePrior,
    independent_components,
    texture_metric,
)
from anifacegan.data.synthetic.renderer import SyntheticRenderer
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import HeadParts
from anifacegan.geometry.conventions import NOISE_DIM
from anifacegan.runtime.errors import InputError
from tests.fixtures.synthetic_faces import flat_appearance
from tests.fixtures.tiny_head import tiny_model

SLICES = {
    "SKIN_TEXTURE": {"skin"},
    "SKIN_DETAIL": {"skin"},
    "HAIR_COLOUR": {"hair", "brows", "beard"},
    "HAIR_STYLE": {"hair"},
    "HAIR_SHAPE": {"hair"},
    "BROWS": {"brows"},
    "LASHES": {"lashes"},
    "BEARD": {"beard"},
    "EYES": {"eyes"},
    "GLASSES": {"glasses"},
    "CLOTHES": {"clothes"},
    "LIGHT": {"light", "gamma"},
    "BACKGROUND": {"background"},
}


@pytest.fixture(scope="module")
def parts(renderer: SyntheticRenderer) -> HeadParts:
    return renderer.head.parts


@pytest.fixture(scope="module")
def prior(renderer: SyntheticRenderer) -> AppearancePrior:
    return renderer.prior


def person(gender: float, african: float = 0.0) -> np.ndarray:
    """A shape of the tiny bank: entry 0 is gender, entry 1 descent."""
    z_id = np.zeros(80, np.float32)
    z_id[0], z_id[1] = gender, african
    return z_id


def test_the_slices_cover_the_latents_once() -> None:
    covered = np.concatenate([np.arange(NOISE_DIM)[getattr(slices, name)] for name in SLICES])
    assert sorted(covered) == list(range(NOISE_DIM))


@pytest.mark.parametrize("name", SLICES)
def test_each_slice_changes_its_own_attributes_only(prior: AppearancePrior, name: str) -> None:
    z = np.zeros(NOISE_DIM)
    part = getattr(slices, name)
    z[part] = np.linspace(1, 2, len(z[part]))
    base = flat_appearance(prior.appearance(person(1), np.zeros(NOISE_DIM)))
    other = flat_appearance(prior.appearance(person(1), z))
    changed = {key.partition(".")[0] for key in base if not np.array_equal(base[key], other[key])}
    assert changed == SLICES[name]


@pytest.mark.parametrize("what", ["looks", "people"])
def test_no_attribute_jumps_on_a_straight_way_between_codes(prior: AppearancePrior, what: str) -> None:
    """The half of an interval in which an attribute changes more is halved again and again: a jump would stay."""
    rng = np.random.default_rng(6)
    codes = rng.standard_normal((2, NOISE_DIM))
    people = np.stack([person(-1.0, 1.5), person(1.0, -1.5)])

    def at(t: float) -> dict[str, np.ndarray]:
        z_noise = codes[0] + (codes[1] - codes[0]) * (t if what == "looks" else 0.0)
        z_id = people[0] + (people[1] - people[0]) * (t if what == "people" else 0.5)
        return flat_appearance(prior.appearance(z_id, z_noise))

    steps = np.linspace(0, 1, 33)
    values = [at(t) for t in steps]
    moved = 0
    for name in values[0]:
        series = np.stack([value[name] for value in values])  # (33, entries)
        changes = np.abs(np.diff(series, axis=0))
        step, entry = np.unravel_index(changes.argmax(), changes.shape)
        extent = np.ptp(series[:, entry])
        if extent < 1e-6:
            continue
        moved += 1
        low, high = steps[step], steps[step + 1]
        first, last = series[step, entry], series[step + 1, entry]
        for _ in range(8):
            half = at((low + high) / 2)[name][entry]
            if abs(half - first) > abs(last - half):
                high, last = (low + high) / 2, half
            else:
                low, first = (low + high) / 2, half
        left = abs(last - first)
        assert left < 0.02 * extent + 1e-6, (
            name
        )  # 1 / 8,192 of the way; float32 attributes have steps of 1e-7
    assert moved > (12 if what == "people" else 40)


def test_halfway_between_codes_is_in_range(prior: AppearancePrior) -> None:
    rng = np.random.default_rng(7)
    for gender in (-1.0, 0.0, 1.0):
        for _ in range(15):
            first, second = rng.standard_normal((2, NOISE_DIM))
            for z in (first, (first + second) / 2, 2.5 * second):
                assert_in_range(prior.appearance(person(gender, rng.normal()), z))


def assert_in_range(looks: Appearance) -> None:
    flat = flat_appearance(looks)
    assert all(np.isfinite(value).all() for value in flat.values())
    assert all(
        (value >= 0).all() for name, value in flat.items() if name.endswith("_rgb") or name.endswith(".rgb")
    )
    for name in ("hair.style_weights", "background.kind_weights"):
        assert flat[name].sum() == pytest.approx(1, abs=1e-5) and flat[name].min() >= 0
    shares = ("hair.curl", "lashes.density", "beard.density", "beard.cheeks", "beard.moustache", "beard.chin",
              "skin.melanin", "skin.male", "glasses.size", "background.lights")  # fmt: skip
    assert all(0 <= flat[name] <= 1 for name in shares)
    ranges = {"hair.length": (0.6, 1.5), "hair.parting": (-1, 1), "brows.thickness": (0.2, 1.95),
              "brows.arch": (0, 0.03), "beard.length": (0.004, 0.3), "skin.roughness": (0.45, 0.6),
              "skin.age_years": (18, 80), "eyes.pupil_deg": (8, 13), "light.key_size": (0.05, 0.8),
              "light.exposure": (1, 1.5), "glasses.width": (0.65, 0.85)}  # fmt: skip
    for name, (low, high) in ranges.items():
        assert low <= flat[name] <= high, name
    for directions in (looks.light.key_direction, *looks.light.lobe_directions):
        assert np.linalg.norm(directions) == pytest.approx(1)


def test_skin_follows_descent_and_has_the_spread_of_the_bank(
    prior: AppearancePrior, parts: HeadParts
) -> None:
    rng = np.random.default_rng(3)
    shapes = parts.bank_id.astype(np.float32)
    drawn = [
        prior.bare_skin(z_id.astype(np.float64), rng.standard_normal(DIRECTIONS)) for z_id in shapes[:250]
    ]
    tex, bank = np.array([tex for _, tex in drawn]), parts.bank_tex.astype(np.float64)
    assert np.allclose(tex.mean(axis=0), bank.mean(axis=0), atol=0.4)
    share = tex.var(axis=0).sum() / bank.var(axis=0).sum()
    assert 0.4 < share < 1.0  # 22 of 81 directions, the largest
    melanin = np.array([traits.melanin for traits, _ in drawn])
    african = parts.bank_race[:250, 0] > 0.5
    assert melanin[african].mean() > melanin[~african].mean() + 0.3
    assert np.corrcoef(melanin, tex[:, 0])[0, 1] > 0.95  # the tone in the texture belongs to the melanin


def test_a_rare_mark_of_men_stays_rare_and_men_only(prior: AppearancePrior) -> None:
    rng = np.random.default_rng(2)
    marked = {
        gender: np.mean(
            [prior.bare_skin(person(gender), rng.standard_normal(DIRECTIONS))[1][1] > 3.0 for _ in range(200)]
        )
        for gender in (-1.0, 1.0)
    }
    assert marked[-1.0] < 0.03
    assert marked[1.0] == pytest.approx(0.25, abs=0.13)  # a quarter of the bank's men, 4 sigma of 200 draws


def test_every_texture_entry_acts_monotonically(prior: AppearancePrior) -> None:
    assert (np.diff(prior.warp, axis=-1) >= 0).all()


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
    tex = np.random.default_rng(5).normal(size=80).astype(np.float32)
    change = (model.tex_basis.numpy() @ tex)[parts.front_mask > 0]  # (front vertices, 3)
    assert tex @ texture_metric(model, parts) @ tex == pytest.approx(
        np.square(change).sum(1).mean(), rel=1e-4
    )
    lips = np.zeros_like(parts.lips_mask)
    lips[np.flatnonzero(parts.front_mask)[:5]] = 1
    with_lips = dataclasses.replace(parts, lips_mask=lips)
    assert not np.allclose(texture_metric(model, parts), texture_metric(model, with_lips))  # lips count more


def test_codes_of_a_wrong_length_are_refused_by_shape(prior: AppearancePrior) -> None:
    with pytest.raises((InputError, TypeError), match="80"):
        prior.appearance(np.zeros(79), np.zeros(NOISE_DIM))


def test_the_real_bank_reads_traits_from_the_shape(real_renderer: SyntheticRenderer) -> None:
    parts, prior = real_renderer.head.parts, real_renderer.prior
    gender, age, african, asian = prior.raw_traits(parts.bank_id.astype(np.float64)).T
    truths = (parts.bank_gender, parts.bank_age, parts.bank_race[:, 0], parts.bank_race[:, 1])
    for found, truth in zip((gender, age, african, asian), truths, strict=True):
        assert np.corrcoef(found, truth.astype(float))[0, 1] > 0.95
    right = prior.groups(parts.bank_id.astype(np.float64)) == parts.bank_group
    assert right.mean() > 0.8  # ages near the border of two bands may be told to the other


def test_its_arrays_are_all_that_is_fitted(prior: AppearancePrior) -> None:
    arrays = prior.to_arrays()
    names = {
        "trait_weights",
        "mean_weights",
        "directions",
        "warp",
        "hair.places",
        "hair.biases",
        "light.places",
    }
    assert names | {"light.bias", "light.gamma_fit", "background.places", "background.bias"} == set(arrays)
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays.values())
    assert np.allclose(arrays["light.gamma_fit"], prior.light.gamma_fit)
