"""Random people and camera poses of the synthetic data set."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anifacegan.face_model.expressions import PRESETS, is_strong_unit
from anifacegan.face_model.open_model import HeadParts
from anifacegan.face_model.people import GROUPS
from anifacegan.geometry.conventions import NOISE_DIM

PITCH_SIGMA, PITCH_LIMIT = 0.155, 0.4
YAW_SIGMA, YAW_LIMIT = 0.35, 0.9
"""Standard deviation and largest absolute value of the camera's pitch and of its yaw, in radians."""
GROUP_STRIDE = 7
"""Difference, modulo ``GROUPS``, between the numbers of the groups (of sex, descent and age) of two consecutive images.
It is coprime to ``GROUPS``, so that the images cycle through all groups."""
IDENTITY_SPREAD = 1.4
"""Factor w of :func:`sample_identity`, by which the difference between a mixture of two people and the mean of their
group is enlarged."""
EXCLUDED_UNIT = "tongueOut"
"""An action unit that is never sampled: the open face model's tongue would go through the lower lip."""


@dataclass(frozen=True)
class SyntheticPerson:
    """Latents of one synthetic image."""

    z_id: Float[np.ndarray, "80"]
    """Identity coefficients of the open face model."""
    z_exp: Float[np.ndarray, "64"]
    """Expression coefficients of the open face model."""
    z_noise: Float[np.ndarray, "80"]
    """Appearance latents: everything that is neither shape nor expression."""


def sample_item(parts: HeadParts, seed: int, index: int) -> tuple[SyntheticPerson, tuple[float, float]]:
    """Draw the person and the camera pose of image number ``index`` of the synthetic data set of a seed.

    Indices cycle through the 18 groups of sex, descent and age (:mod:`anifacegan.face_model.people`), so every data set
    has as many images of each. The pose is (pitch, yaw), radians relative to frontal. ``parts`` holds the example
    people and expressions of the face model's file.
    """
    rng = np.random.default_rng([seed, index])
    person = sample_person(parts, rng, group=_item_group(index))
    return person, sample_pose(rng)


def item_identity(parts: HeadParts, seed: int, index: int) -> Float[np.ndarray, "80"]:
    """Draw only the identity coefficients of image number ``index`` of the synthetic data set of a seed.

    They are equal to those that :func:`sample_item` draws for the same arguments.
    """
    return sample_identity(parts, np.random.default_rng([seed, index]), _item_group(index))


def _item_group(index: int) -> int:
    return index * GROUP_STRIDE % GROUPS


def sample_person(parts: HeadParts, rng: np.random.Generator, group: int | None = None) -> SyntheticPerson:
    """Draw identity, expression and appearance latents of a random person.

    ``parts`` holds the example people and expressions of the face model's file. ``group`` is the person's group of sex,
    descent and age, 0 to 17 (:mod:`anifacegan.face_model.people`); None for a random one.
    """
    z_id, z_exp = sample_identity(parts, rng, group), sample_expression(parts, rng)
    return SyntheticPerson(z_id, z_exp, rng.standard_normal(NOISE_DIM).astype(np.float32))


def sample_pose(rng: np.random.Generator) -> tuple[float, float]:
    """Draw a camera pose (pitch, yaw) in radians relative to frontal, normally distributed and clamped."""
    pitch, yaw = PITCH_SIGMA * rng.standard_normal(), YAW_SIGMA * rng.standard_normal()
    return float(np.clip(pitch, -PITCH_LIMIT, PITCH_LIMIT)), float(np.clip(yaw, -YAW_LIMIT, YAW_LIMIT))


def sample_identity(
    parts: HeadParts, rng: np.random.Generator, group: int | None = None
) -> Float[np.ndarray, "80"]:
    """Draw identity coefficients m + w (cos(a) (x - m) + sin(a) (y - m)), with a random angle a from 0 to pi / 2.

    x and y are two random people of one group (of sex, descent and age) in the bank, the example people of the face
    model's file; m is the group's mean, and w is ``IDENTITY_SPREAD``. Without ``group``, a random group is drawn.
    """
    drawn = int(rng.integers(GROUPS))
    members = parts.bank_id[parts.bank_group == (drawn if group is None else group)].astype(np.float64)
    first, second = rng.integers(len(members), size=2)
    angle = rng.uniform(0, math.pi / 2)
    mean = members.mean(axis=0)
    mix = math.cos(angle) * (members[first] - mean) + math.sin(angle) * (members[second] - mean)
    return (mean + IDENTITY_SPREAD * mix).astype(np.float32)


def sample_expression(parts: HeadParts, rng: np.random.Generator) -> Float[np.ndarray, "64"]:
    """Draw expression coefficients of a random expression.

    10 % of the expressions are neutral. 16 % are a preset (:data:`anifacegan.face_model.expressions.PRESETS`) or a
    single action unit (an elementary facial movement) of random strength; a fifth of these 16 % move only one side of
    the face. All others are example expressions in ``parts``, the parts of the face model's file, multiplied by a
    random factor from 0.8 to 1.05; only these change the direction of gaze.
    """
    basis = parts.expression_basis()
    kind = rng.random()
    if kind < 0.10:
        return np.zeros(len(basis.units_to_exp), np.float32)
    if kind < 0.26:
        strength = rng.uniform(0.1, 1.05)
        names = [name for name in basis.names if not name.startswith("eyeLook") and name != EXCLUDED_UNIT]
        single = names[rng.integers(len(names))]
        candidates = [*PRESETS.values(), {single: 0.5 if is_strong_unit(single) else 1.0}]
        selected = candidates[rng.integers(len(candidates))]
        side = ("Left", "Right")[rng.integers(2)] if rng.random() < 0.2 else ""
        strengths = {}
        for name, share in selected.items():
            one_sided = f"{name}{side}" if f"{name}{side}" in basis.names else name
            strengths[one_sided] = float(strength * share)
        return basis.from_strengths(strengths)
    strength = rng.uniform(0.8, 1.05)
    units = parts.au_bank[rng.integers(len(parts.au_bank))].astype(np.float64)
    units[basis.names.index(EXCLUDED_UNIT)] = 0.0
    return (strength * (basis.units_to_exp @ units)).astype(np.float32)
