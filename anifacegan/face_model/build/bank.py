"""The bank: example people in the open face model's file, as many of each group of sex, descent and age.

They differ more than the people from whom the identity components are computed. Their shapes are projected onto these
components, so that every person of the bank is a vector of identity coefficients. Their sexes and descents are less
mixed, and morph targets typical of a sex are added, because MakeHuman's own shapes of the two sexes look too alike.
"""

from dataclasses import dataclass

import numpy as np

from anifacegan.face_model.build.control_mesh import ControlMesh, aligned_heads
from anifacegan.face_model.build.identity import (
    IdentitySpace,
    MakeHumanPerson,
    Slider,
    body_strengths,
    draw_face,
    find_asymmetries,
    find_sliders,
    project,
    vertex_weights,
)
from anifacegan.face_model.build.makehuman import MakeHuman
from anifacegan.face_model.people import AGE_BANDS, GROUPS, group_parts

SPREAD = 1.25
"""Factor of the standard deviations of all MakeHuman sliders and asymmetries; 1.7 gives some caricatures."""
EYE_SCALE = 0.35
"""Mean of the random values of MakeHuman's slider eye-scale, as MakeHuman's eyes are small."""
DESCENT_CONCENTRATION = (0.15, 0.15, 0.15)
"""Parameters of the Dirichlet distribution of the shares of descents; smaller ones give less mixed descents."""
GENDER_LIMITS = (0.02, 0.98)
"""Genders, from 0 (female) to 1 (male), of the most feminine and of the most masculine person."""
GENDER_RANGE = 0.2
"""Largest distance of a person's gender from the limit of the person's sex; the mean distance is a third of it."""

FEMININE = {
    "head/head-oval": 0.25,
    "head/head-invertedtriangular": 0.2,
    "head/head-fat-decr": 0.15,
    "chin/chin-triangle": 0.15,
    "chin/chin-width-decr": 0.45,
    "chin/chin-height-decr": 0.2,
    "chin/chin-bones-decr": 0.3,
    "neck/neck-scale-horiz-decr": 0.5,
    "neck/neck-scale-depth-decr": 0.4,
    "nose/nose-volume-decr": 0.25,
    "nose/nose-scale-horiz-decr": 0.2,
    "eyes/l-eye-height2-incr": 0.25,
    "eyes/r-eye-height2-incr": 0.25,
    "eyebrows/eyebrows-trans-up": 0.15,
    "eyebrows/eyebrows-trans-backward": 0.3,
    "mouth/mouth-upperlip-volume-incr": 0.05,
    "mouth/mouth-lowerlip-volume-incr": 0.05,
    "mouth/mouth-scale-vert-decr": 0.15,
    "mouth/mouth-scale-horiz-decr": 0.2,
    "cheek/l-cheek-bones-incr": 0.2,
    "cheek/r-cheek-bones-incr": 0.2,
}
MASCULINE = {
    "eyebrows/eyebrows-trans-forward": 0.3,
    "chin/chin-prominent-incr": 0.15,
    "chin/chin-bones-incr": 0.15,
    "cheek/l-cheek-volume-decr": 0.2,
    "cheek/r-cheek-volume-decr": 0.2,
    "eyes/l-eye-height2-incr": 0.1,
    "eyes/r-eye-height2-incr": 0.1,
    "mouth/mouth-scale-horiz-decr": 0.1,
    "mouth/mouth-upperlip-volume-decr": 0.15,
    "mouth/mouth-lowerlip-volume-decr": 0.15,
}
"""Mean additional strengths of morph targets of a woman and of a man; a person's are 0.5 to 1.5 times these, the same
factor on both sides."""


@dataclass(frozen=True)
class Bank:
    """P example people for the open face model's file."""

    people: list[MakeHumanPerson]
    """Strengths of MakeHuman's morph targets, descent, gender and age of each person."""
    groups: np.ndarray
    """(P,) group of each person by sex, descent and age, 0 to 17, see :mod:`anifacegan.face_model.people`."""
    coefficients: np.ndarray
    """(P, K) identity coefficients of the people: their shapes projected onto the K identity components."""
    report: str
    """Line of text with the error of the projection, for the log."""


def draw_bank(
    makehuman: MakeHuman, control: ControlMesh, identity: IdentitySpace, count: int, rng: np.random.Generator
) -> Bank:
    """Draw ``count`` people, cycling through the 18 groups of sex, age and descent, and find their coefficients.

    The coefficients are those of the people's shapes projected onto the components of ``identity``.
    """
    sliders = find_sliders(makehuman.targets)
    asymmetries = find_asymmetries(makehuman.targets)
    groups = np.arange(count) % GROUPS
    people = [draw_wide_person(rng, sliders, asymmetries, int(group)) for group in groups]
    missing = sorted({name for table in (FEMININE, MASCULINE) for name in table} - makehuman.targets.keys())
    assert not missing, f"MakeHuman has no targets {missing}"

    weights = vertex_weights(identity.mean, np.maximum(control.face, control.eyes))
    face = control.face > 0.5
    found = [
        project(
            identity.basis,
            (heads - identity.mean).reshape(len(heads), -1).astype(np.float32),
            weights,
            face,
        )
        for heads in aligned_heads(makehuman, control, people)
    ]
    error = np.concatenate([batch.residual_mm for batch in found]).mean()
    variation = np.concatenate([batch.size_mm for batch in found]).mean()
    codes = np.concatenate([batch.coefficients for batch in found])
    report = (
        f"bank of {count} people: identity residual {error:.2f} mm of {variation:.2f} mm, "
        f"standard deviation of the coefficients {codes.std():.2f}"
    )
    return Bank(people, groups, codes, report)


def draw_wide_person(
    rng: np.random.Generator, sliders: list[Slider], asymmetries: list[str], group: int
) -> MakeHumanPerson:
    """Draw a random adult of one group of sex, descent and age.

    Args:
        rng: random generator.
        sliders: MakeHuman's sliders of the face.
        asymmetries: names of MakeHuman's asymmetric morph targets.
        group: 0 to 17, see :mod:`anifacegan.face_model.people`.
    """
    sex, descent, band = group_parts(group)
    shares = np.sort(rng.dirichlet(DESCENT_CONCENTRATION))
    race = np.empty(3)
    others = rng.permutation([k for k in range(3) if k != descent])
    race[[*others, descent]] = shares  # the largest share is the group's
    off_limit = GENDER_RANGE * rng.beta(1.0, 2.0)
    gender = GENDER_LIMITS[1] - off_limit if sex else GENDER_LIMITS[0] + off_limit
    years = rng.uniform(*AGE_BANDS[band])
    muscle = float(np.clip(rng.normal(0.48, 0.15), 0, 1))
    weight = float(np.clip(rng.normal(0.42, 0.22), 0, 1))
    strengths = body_strengths(gender, years, race, muscle, weight)
    strengths |= draw_face(rng, sliders, asymmetries, SPREAD, {"eye-scale": EYE_SCALE})
    for table, share in ((FEMININE, 1 - gender), (MASCULINE, gender)):
        factor: dict[str, float] = {}
        for name, strength in table.items():
            both_sides = name.replace("/l-", "/").replace("/r-", "/")
            one = factor.setdefault(both_sides, rng.uniform(0.5, 1.5))
            strengths[name] = strengths.get(name, 0.0) + strength * share * one
    return MakeHumanPerson(strengths, race, gender, years)
