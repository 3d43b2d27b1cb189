"""Random people from MakeHuman's sliders, and the principal components of their heads.

MakeHuman shapes a body by morph targets: displacements of all vertices, each multiplied by a strength and added to the
base mesh. A person is a set of strengths: those of a body (gender, age, race, muscle, weight), of every slider of the
face with a small difference between left and right, and of a few of MakeHuman's asymmetries.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from anifacegan.face_model.build.makehuman import YOUNG_AGE, macro_weights
from anifacegan.face_model.build.pca import principal_components

OPPOSITES = (
    ("decr", "incr"),
    ("down", "up"),
    ("in", "out"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
    ("triangle", "pointed"),
    ("round", "square"),
)
"""Endings of the names of morph targets: in each pair, the first moves a slider in its negative direction, the second
in its positive direction."""

LEFT_OUT = (
    "head-trans",
    "neck-trans",
    "head-angle",
    "measure-",
    "nose-trans-in",
    "nose-trans-out",
    "mouth-trans-in",
    "mouth-trans-out",
)
"""Beginnings of the names of morph targets that are not used: they move or turn the head, or pull nose and mouth off
the middle."""

SLIDER_SIGMA = {
    "head": 0.14,
    "nose": 0.23,
    "mouth": 0.21,
    "eyes": 0.22,
    "eyebrows": 0.4,
    "chin": 0.22,
    "cheek": 0.25,
    "forehead": 0.17,
    "ears": 0.24,
    "neck": 0.16,
}
"""Standard deviation of a slider's random value, by the folder of the slider's morph targets."""

SPECIAL_SIGMA = {
    "head-age": 0.12,
    "head-scale-vert": 0.16,
    "head-scale-horiz": 0.18,
    "head-scale-depth": 0.15,
    "head-back": 0.1,
    "head-fat": 0.28,
    "nose-hump": 0.15,
    "nose-curve": 0.18,
    "nose-compression": 0.12,
    "nose-septum": 0.15,
    "eye-push1": 0.12,
    "eye-push2": 0.12,
    "eye-scale": 0.3,
    "mouth-scale-depth": 0.15,
    "mouth-trans": 0.2,
    "nose-trans": 0.2,
    "neck-double": 0.3,
    "eye-epicanthus": 0.25,
    "mouth-laugh-lines": 0.25,
    "eyebrows-trans": 0.3,
    "eyebrows-angle": 0.22,
    "mouth-angles": 0.25,
}
"""Standard deviations of the random values of sliders whose names begin with these words, in place of ``SLIDER_SIGMA``;
of several beginnings that match, the last counts."""

SLIDER_MEAN = {"mouth-angles": 0.30, "eyebrows-angle": 0.12}
"""Means of sliders' random values: raised corners of the mouth and brows, as MakeHuman's rest face is sullen."""

SIDE_SIGMA = 0.05
ASYMMETRY_SIGMA = 0.18
ASYMMETRIES = 6
AT_REST = {"fu/mouthClose": 0.05, "nose/nose-septumangle-decr": 0.6, "nose/nose-flaring-incr": 0.25}
"""Strengths of morph targets in every neutral face: closed lips, which subdivision opens a little, and nostrils turned
to the front, where they are visible."""

FACE_WEIGHT = 0.3
"""Weight in the mask of the face above which vertices have full weight in the identity components."""

SHOULDER_HEIGHT = -1.0
"""Height, decimetres above the face model's origin, below which vertices have the least weight in the components."""


@dataclass(frozen=True)
class Slider:
    """One slider of MakeHuman, a number from -1 to 1 that changes the shape of the face."""

    folder: str
    """Folder of the slider's morph targets, such as nose."""
    name: str
    """Name of the slider."""
    targets: dict[str, tuple[str | None, str | None]]
    """Names of the morph targets for negative and positive values (None: no target), by side: "l-", "r-", "" (both)."""
    one_way: bool
    """Whether the slider has a positive direction only."""


@dataclass(frozen=True)
class MakeHumanPerson:
    """A random person: strengths of MakeHuman's morph targets, and the attributes on which colours depend."""

    strengths: dict[str, float]
    """Strength of each morph target by its name."""
    race: np.ndarray
    """(3,) share of each of ``people.DESCENTS``."""
    gender: float
    """Gender from 0 (female) to 1 (male)."""
    age: float
    """Age in years."""


def find_sliders(target_names: Iterable[str]) -> list[Slider]:
    """Find MakeHuman's sliders of the face among names of morph targets, in the order of each slider's first target."""
    found: dict[tuple[str, str, bool], dict[str, list[str | None]]] = {}
    for target in target_names:
        folder, _, name = target.partition("/")
        if folder not in SLIDER_SIGMA or name.startswith(LEFT_OUT):
            continue
        side = name[:2] if name[:2] in ("l-", "r-") else ""
        stem, direction = _stem_and_direction(name[len(side) :])
        key = (folder, stem, direction is None)
        ends = found.setdefault(key, {}).setdefault(side, [None, None])
        ends[0 if direction == 0 else 1] = target
    return [
        Slider(
            folder,
            stem.partition(":")[0],
            {side: (low, high) for side, (low, high) in sides.items()},
            one_way,
        )
        for (folder, stem, one_way), sides in found.items()
    ]


def find_asymmetries(target_names: Iterable[str]) -> list[str]:
    """Select, among names of morph targets, those that make a face asymmetric."""
    return [name for name in target_names if name.startswith("asym/asym-")]


def _stem_and_direction(name: str) -> tuple[str, int | None]:
    """Return a slider's name, and the direction of the morph target: 0 negative, 1 positive, None if the slider has one
    direction only."""
    for pair in OPPOSITES:
        for direction, ending in enumerate(pair):
            if name.endswith(f"-{ending}"):
                return f"{name.removesuffix(f'-{ending}')}:{pair[0]}", direction
    return name, None


def draw_person(rng: np.random.Generator, sliders: list[Slider], asymmetries: list[str]) -> MakeHumanPerson:
    """Draw a random plausible adult; ``asymmetries`` are the names of MakeHuman's asymmetric morph targets."""
    race = rng.dirichlet([0.45, 0.45, 0.6])
    gender = float(np.clip(rng.beta(0.22, 0.22), 0, 1))
    years = 18 + 62 * rng.beta(1.1, 1.7)
    muscle = float(np.clip(rng.normal(0.5, 0.15), 0, 1))
    weight = float(np.clip(rng.normal(0.5, 0.2), 0, 1))
    strengths = body_strengths(gender, years, race, muscle, weight)
    return MakeHumanPerson(strengths | draw_face(rng, sliders, asymmetries), race, gender, years)


def body_strengths(
    gender: float, years: float, race: np.ndarray, muscle: float, weight: float
) -> dict[str, float]:
    """Compute the strengths, by name, of the morph targets for a body; ``years`` is the age, and the other arguments
    are those of :func:`.makehuman.macro_weights`."""
    return macro_weights(gender, _makehuman_age(years), race, muscle, weight)


def _makehuman_age(years: float) -> float:
    """Convert years to MakeHuman's age: 0.5 at 25, 1 at 90; ages below 25 are a blend with MakeHuman's child."""
    if years > 25:
        return YOUNG_AGE + (years - 25) / 65 * 0.5
    return YOUNG_AGE - (25 - years) / 15 * 0.3125 * 0.6


def draw_face(
    rng: np.random.Generator,
    sliders: list[Slider],
    asymmetries: list[str],
    spread: float = 1.0,
    means: dict[str, float] | None = None,
) -> dict[str, float]:
    """Draw the strengths, by name, of the morph targets of all sliders of the face and of some random asymmetries.

    Args:
        rng: random generator.
        sliders: the sliders of the face.
        asymmetries: names of MakeHuman's asymmetric morph targets.
        spread: factor of all standard deviations.
        means: means of sliders by name, beside those in ``SLIDER_MEAN``.
    """
    strengths: dict[str, float] = {}
    for slider in sliders:
        strengths |= draw_slider(rng, slider, spread, means)
    for index in rng.choice(len(asymmetries), ASYMMETRIES, replace=False):
        strengths[asymmetries[index]] = abs(rng.normal(0, spread * ASYMMETRY_SIGMA))
    return strengths


def draw_slider(
    rng: np.random.Generator, slider: Slider, spread: float = 1.0, means: dict[str, float] | None = None
) -> dict[str, float]:
    """Draw a random value of a slider; return the strengths, by name, of the slider's morph targets. ``spread`` and
    ``means`` are those of :func:`draw_face`."""
    sigma = SLIDER_SIGMA[slider.folder]
    for beginning, special in SPECIAL_SIGMA.items():
        if slider.name.startswith(beginning):
            sigma = special
    mean = (SLIDER_MEAN | (means or {})).get(slider.name, 0)
    value = np.clip(rng.normal(mean, sigma * spread), -1, 1)
    if slider.one_way:
        value = abs(value) * 0.9
    if slider.name.startswith("head-age"):
        value = max(value, -0.1)  # the negative direction is a child
    strengths = {}
    for side, (negative, positive) in slider.targets.items():
        side_value = value + (rng.normal(0, SIDE_SIGMA) if side else 0)
        target = positive if side_value > 0 else negative
        if target is not None:
            strengths[target] = abs(side_value)
    return strengths


def shapes_of(people: list[MakeHumanPerson], targets: dict[str, np.ndarray]) -> np.ndarray:
    """Compute each person's displacements of N vertices from the base mesh, (people, N, 3) float32; ``targets`` holds
    those (N, 3) of each morph target at strength 1, by name, in the same unit."""
    used = sorted({name for person in people for name in person.strengths if name in targets})
    column = {name: i for i, name in enumerate(used)}
    strengths = np.zeros((len(people), len(used)), np.float32)
    for row, person in enumerate(people):
        for name, strength in person.strengths.items():
            if name in column:
                strengths[row, column[name]] = strength
    stacked = np.stack([targets[name].reshape(-1) for name in used])  # (targets, 3N)
    return (strengths @ stacked).reshape(len(people), -1, 3)


def align(shapes: np.ndarray, reference: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rotate and translate (S, N, 3) shapes so that each fits the (N, 3) reference best, in least squares with the
    ``weights`` (N,) of the vertices."""
    share = weights / weights.sum()
    centres = np.einsum("n,snc->sc", share, shapes)[:, None]
    target = share @ reference
    covariance = np.einsum("snc,nd->scd", shapes - centres, (reference - target) * share[:, None])
    left, _, right = np.linalg.svd(covariance)
    flip = np.linalg.det(left @ right)  # a reflection is no rotation
    left[:, :, 2] *= flip[:, None]
    return (shapes - centres) @ (left @ right) + target


@dataclass(frozen=True)
class IdentitySpace:
    """Mean and K identity components of heads with N vertices: ``neutral = mean + basis @ coefficients``."""

    mean: np.ndarray
    """(N, 3) vertices of the mean head, which is symmetric, in decimetres."""
    basis: np.ndarray
    """(3N, K) principal components of the vertex coordinates, in decimetres."""
    report: str
    """Line of text with explained variance and reconstruction error, for the log."""


def identity_space(people: np.ndarray, held_out: np.ndarray, face: np.ndarray, count: int) -> IdentitySpace:
    """Compute the mean and the principal components of aligned heads.

    Args:
        people: (S, N, 3) aligned heads.
        held_out: (T, N, 3) aligned heads on which the error is measured.
        face: (N,) weight of each vertex as part of the face, 0 to 1.
        count: number of components.
    """
    mean = people.mean(axis=0)
    weights = vertex_weights(mean, face)
    mirrored = mean * [-1, 1, 1]
    mean = (0.5 * (mean + mirrored[cKDTree(mirrored).query(mean)[1]])).astype(np.float32)
    samples = (people - mean).reshape(len(people), -1)
    found = principal_components(samples, np.repeat(weights, 3), count)
    left = project(found.basis, (held_out - mean).reshape(len(held_out), -1), weights, face > 0.5)
    report = (
        f"{count} identity components keep {found.explained:.4f} of the variance; held-out people: "
        f"{left.residual_mm.mean():.2f} mm mean error of {left.size_mm.mean():.2f} mm"
    )
    return IdentitySpace(mean, found.basis, report)


def vertex_weights(mean: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Return the weight (N,), 0.15 to 1, of each vertex in the principal component analysis of identities; ``mean``
    has the vertices (N, 3) of the mean head, model units, ``face`` (N,) their membership of the face, 0 to 1."""
    weights = np.where(face > FACE_WEIGHT, 1.0, 0.35)
    weights[mean[:, 1] < SHOULDER_HEIGHT] = 0.15
    return weights


def coefficients_of(basis: np.ndarray, samples: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fit (S, 3N) displacements from the mean by a (3N, K) basis, in least squares with weights (N,) of the vertices;
    return the coefficients (S, K)."""
    root = np.sqrt(np.repeat(weights, 3)).astype(np.float32)
    return np.linalg.lstsq(basis * root[:, None], (samples * root).T, rcond=None)[0].T


@dataclass(frozen=True)
class Projection:
    """Coefficients of S heads, and the part of the heads' shapes that the coefficients do not describe."""

    coefficients: np.ndarray
    """(S, K) coefficients."""
    residual_mm: np.ndarray
    """(S, F) length of what the coefficients do not describe of the displacement of each of F vertices of the face."""
    size_mm: np.ndarray
    """(S, F) length of the whole displacement from the mean of each of these vertices."""


def project(basis: np.ndarray, samples: np.ndarray, weights: np.ndarray, face: np.ndarray) -> Projection:
    """Fit the displacements of heads from the mean head by a basis, and measure what remains.

    Args:
        basis: (3N, K) basis.
        samples: (S, 3N) displacements in MakeHuman's decimetres.
        weights: (N,) weights of the vertices.
        face: (N,) whether each vertex counts in the lengths.
    """
    coefficients = coefficients_of(basis, samples, weights)
    residual_mm, size_mm = (
        100 * np.linalg.norm(vectors.reshape(len(samples), -1, 3)[:, face], axis=2)
        for vectors in (samples - coefficients @ basis.T, samples)
    )
    return Projection(coefficients, residual_mm, size_mm)
