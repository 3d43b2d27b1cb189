"""Synthetic people: how codes become a person's appearance.

Everything of an image that is neither shape nor expression is one vector ``z_noise`` of 80 standard normal numbers.
:class:`AppearancePrior` is the documented map from it (and ``z_id``: skin, beard and brows follow the shape) to an
:class:`Appearance`. The training images are drawn from this very prior, so unseen draws of N(0, I) look like the
people that were seen.

| slice of ``z_noise`` | meaning |
|---|---|
| 0:48 ``TEXTURE`` | ``y = [tex, hair colour] = mean(z_id) + directions @ warp(z, z_id)``, largest first |
| 48:60 ``LIGHT`` | ambient, azimuth, elevation, strength, tint (2), second-order terms (5), shine; fixed to the head |
| 60:70 ``HAIR_STYLE`` | one score a style of ``HAIR_STYLES``; the largest of score + bias(z_id) is worn |
| 70:73 ``CLOTHES`` | lightness and two chroma axes |
| 73:80 ``BACKGROUND`` | two colours (lightness, two chroma axes each) and the direction of the gradient between them |

Uniform quantities are reached through the normal distribution function, so every entry acts monotonically.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from anifacegan.face_model.expressions import PRESETS, is_strong_unit
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import HeadParts
from anifacegan.geometry.conventions import ID_DIM, NOISE_DIM, TEX_DIM
from anifacegan.geometry.resampling import smoothstep
from anifacegan.runtime.errors import InputError

TEXTURE, LIGHT, HAIR_STYLE = slice(0, 48), slice(48, 60), slice(60, 70)
CLOTHES, BACKGROUND = slice(70, 73), slice(73, 80)

HAIR_STYLES = ("buzz", "short", "quiff", "medium", "afro", "receding", "tied", "long", "fringe", "bald")
"""Order of the scores. The first nine are surfaces of the face model file, the last is none (or stubble)."""

_MEN = {
    "buzz": 0.14,
    "short": 0.32,
    "quiff": 0.18,
    "medium": 0.10,
    "receding": 0.10,
    "afro": 0.02,
    "bald": 0.14,
}
_AFRICAN_MEN = {"buzz": 0.42, "short": 0.22, "afro": 0.20, "receding": 0.02, "bald": 0.14}
_WOMEN = {"long": 0.40, "fringe": 0.22, "tied": 0.20, "medium": 0.10, "short": 0.08}
_AFRICAN_WOMEN = {"afro": 0.34, "long": 0.20, "tied": 0.35, "short": 0.10, "buzz": 0.01}
STYLE_FREQUENCIES = (_WOMEN, _AFRICAN_WOMEN, _MEN, _AFRICAN_MEN)
"""How often each style is worn; groups in the order of ``AppearancePrior.style_bias``."""

LEFT_OUT_UNIT = "tongueOut"
"""Not drawn: the tongue of the open face model goes through the lower lip."""

TRAITS = ("gender", "age", "african", "asian")
"""Read linearly from ``z_id``: gender 0 woman .. 1 man, age in years, shares of descent."""

DIRECTIONS = TEXTURE.stop - TEXTURE.start
WARP_KNOTS = tuple(np.linspace(-2.5, 2.5, 21).tolist())
"""Where the warps of the texture entries are tabulated, in standard deviations; constant beyond."""


@dataclass(frozen=True)
class Background:
    """A gradient painted on the world plane z = -0.12."""

    from_rgb: Float[np.ndarray, "3"]
    to_rgb: Float[np.ndarray, "3"]
    direction_rad: float
    """Direction of the gradient in the plane, counter-clockwise from +x."""


@dataclass(frozen=True)
class Appearance:
    """Looks of one person in one image. Colours are in [0, 1], gamma-encoded as in an image file."""

    tex: Float[np.ndarray, "80"]
    gamma: Float[np.ndarray, "27"]
    """Spherical-harmonics light in Deep3DFaceRecon's convention, fixed to the head."""
    shine: float
    """Strength of the highlights on eyes, lips and skin."""
    hair_style: str | None
    """One of the face model's styles, ``"shaved"`` (stubble on the scalp) or None."""
    hair_rgb: Float[np.ndarray, "3"]
    cloth_rgb: Float[np.ndarray, "3"]
    background: Background


def normal_cdf(z: float | np.floating) -> float:
    """Share of N(0, 1) below z."""
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def light_from_noise(z: Float[np.ndarray, "12"]) -> tuple[np.ndarray, float]:
    """Light of ``z_noise[LIGHT]``: gamma (27,) float32 and shine. One soft lamp in front, never far to the side."""
    ambient = 0.07 + 0.07 * math.tanh(z[0] / 2) * 2
    azimuth = 1.1 * (2 * normal_cdf(z[1]) - 1)
    elevation = -0.25 + 1.15 * normal_cdf(z[2])
    strength = 0.08 + 0.20 * normal_cdf(z[3])
    blue = 0.86 + 0.18 * normal_cdf(z[5])  # warm .. cool
    tint = np.array([1.0, 0.5 + 0.5 * blue + 0.02 * (2 * normal_cdf(z[4]) - 1), blue])
    lamp = np.array(
        [
            math.sin(azimuth) * math.cos(elevation),
            math.sin(elevation),
            math.cos(azimuth) * math.cos(elevation),
        ]
    )
    gamma = np.zeros((3, 9))
    gamma[:, 0] = ambient + (tint - 1) * 0.6
    gamma[:, 1:4] = strength * tint[:, None] * np.array([-lamp[1], lamp[2], -lamp[0]])
    gamma[:, 4:9] = 0.03 * np.asarray(z[6:11])
    return gamma.reshape(27).astype(np.float32), 0.30 + 0.25 * normal_cdf(z[11])


def colour_from_noise(z: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """A colour: lightness uniform in 0.1 .. 0.85, mostly muted chroma."""
    lightness = 0.10 + 0.75 * normal_cdf(z[0])
    warm = 0.30 * (2 * normal_cdf(z[1]) - 1)
    green = 0.18 * (2 * normal_cdf(z[2]) - 1)
    rgb = lightness * (1 + warm * np.array([1.0, 0.1, -1.0]) + green * np.array([-0.6, 0.8, -0.6]))
    return np.clip(rgb, 0.02, 0.95).astype(np.float32)


def background_from_noise(z: Float[np.ndarray, "7"]) -> Background:
    """Two related colours and the direction of the gradient."""
    first = colour_from_noise(z[0:3])
    second = (0.45 * first + 0.55 * colour_from_noise(z[3:6])).astype(np.float32)
    return Background(first, second, math.pi * (2 * normal_cdf(z[6]) - 1))


def style_biases(frequencies: Float[np.ndarray, " style"]) -> Float[np.ndarray, " style"]:
    """Biases b with P(argmax(z + b) = k) = frequency k for z ~ N(0, I), by fixed-point iteration on the integrals."""
    target = np.maximum(frequencies, 3e-5)
    target = target / target.sum()
    x = np.linspace(-9.0, 9.0, 1201)
    bias = np.zeros(len(target))
    for _ in range(400):
        shifted = x[:, None] - bias  # (x, style)
        below = np.maximum(ndtr(shifted), 1e-300)
        density = np.exp(-0.5 * shifted**2) / math.sqrt(2 * math.pi)
        others = np.exp(np.log(below).sum(axis=1, keepdims=True) - np.log(below))
        got = (density * others).sum(axis=0) * (x[1] - x[0])
        step = 0.5 * (np.log(target) - np.log(np.maximum(got, 1e-12)))
        bias = bias + step
        bias = bias - bias.max()
        if np.abs(step).max() < 1e-5:
            break
    return bias


@dataclass(frozen=True)
class AppearancePrior:
    """The map ``(z_id, z_noise) -> Appearance``: a handful of small arrays, fitted once, shipped with a checkpoint.

    ``y = [tex, hair_rgb]``; a row of features is ``[1, z_id, male, grey, african, asian]``, the last four being smooth
    steps of the linear traits.
    """

    trait_weights: Float[np.ndarray, "81 4"]
    mean_weights: Float[np.ndarray, "85 83"]
    directions: Float[np.ndarray, "83 48"]
    """Independent directions of what the shape does not explain (a beard, say), of unit variance over all people."""
    warp: Float[np.ndarray, "2 48 21"]
    """Quantiles of the people along each direction at ``WARP_KNOTS``, for women and for men: few have a full beard."""
    style_bias: Float[np.ndarray, "4 10"]
    """Women, African women, men, African men."""

    @classmethod
    def fit(
        cls,
        parts: HeadParts,
        metric: Float[np.ndarray, "80 80"],
        ridge: float = 20.0,
        temperature: float = 0.9,
    ) -> "AppearancePrior":
        """Fit to the bank of a face model file.

        ``metric`` is the quadratic form ``tex @ metric @ tex`` = mean squared colour difference where it is seen (see
        :func:`texture_metric`); ``temperature`` scales the draws about their mean.
        """
        z_id = np.asarray(parts.bank_id, np.float64)
        rows = np.concatenate([np.ones((len(z_id), 1)), z_id], axis=1)
        race = np.asarray(parts.bank_race, np.float64)
        traits = np.stack([parts.bank_gender, parts.bank_age, race[:, 0], race[:, 1]], axis=1).astype(
            np.float64
        )
        trait_weights = _ridge(rows, traits, ridge)
        features = _features(rows, rows @ trait_weights)
        appearance = np.concatenate([parts.bank_tex, parts.bank_hair_rgb], axis=1).astype(np.float64)
        mean_weights = _ridge(features, appearance, ridge)
        residual = appearance - features @ mean_weights  # (P, 83)

        full_metric = np.zeros((TEX_DIM + 3, TEX_DIM + 3))
        full_metric[:TEX_DIM, :TEX_DIM] = metric + 1e-9 * np.trace(metric) * np.eye(TEX_DIM)
        full_metric[TEX_DIM:, TEX_DIM:] = 0.3 * np.eye(3)  # hair covers about a third of a face's area
        root = np.linalg.cholesky(full_metric)  # metric = root @ root.T
        energy, axes = np.linalg.eigh(np.cov((residual @ root).T))
        energy, axes = energy[::-1][:DIRECTIONS], axes[:, ::-1][:, :DIRECTIONS]
        axes = axes * np.where(axes.sum(axis=0) < 0, -1.0, 1.0)  # eigenvectors have no sign of their own
        white = residual @ root @ axes / np.sqrt(energy)  # (P, 48)
        rotation = independent_components(white)
        directions = np.linalg.solve(root.T, axes * np.sqrt(energy)) @ rotation.T  # (83, 48)
        scores = white @ rotation.T
        order = np.argsort(-np.square(root.T @ directions).sum(axis=0))
        directions, scores = directions[:, order], scores[:, order]
        male = features[:, -4] > 0.5
        shares = [normal_cdf(knot) for knot in WARP_KNOTS]
        warp = np.stack([np.quantile(scores[group], shares, axis=0).T for group in (~male, male)])
        style_bias = np.stack(
            [
                style_biases(np.array([table.get(style, 0.0) for style in HAIR_STYLES]))
                for table in STYLE_FREQUENCIES
            ]
        )
        arrays = (trait_weights, mean_weights, temperature * directions, warp, style_bias)
        return cls(*(np.ascontiguousarray(array, np.float32) for array in arrays))

    def traits(self, z_id: Float[np.ndarray, "80"]) -> dict[str, float]:
        """Gender, age and descent that the shape suggests."""
        return dict(zip(TRAITS, (np.concatenate([[1.0], z_id]) @ self.trait_weights).tolist(), strict=True))

    def appearance(self, z_id: Float[np.ndarray, "80"], z_noise: Float[np.ndarray, "80"]) -> Appearance:
        """Looks of the person ``z_id`` in the image ``z_noise``."""
        if np.shape(z_id) != (ID_DIM,) or np.shape(z_noise) != (NOISE_DIM,):
            raise InputError(
                f"codes have shapes {np.shape(z_id)}, {np.shape(z_noise)}, expected (80,) and (80,)"
            )
        row = np.concatenate([[1.0], z_id])[None]
        features = _features(row, row @ self.trait_weights)[0]
        male, african = features[-4], features[-2]
        warp = (1 - male) * self.warp[0] + male * self.warp[1]  # (48, knots)
        steps = [np.interp(z, WARP_KNOTS, table) for z, table in zip(z_noise[TEXTURE], warp, strict=True)]
        appearance = features @ self.mean_weights + self.directions @ np.array(steps)
        groups = np.array(
            [(1 - male) * (1 - african), (1 - male) * african, male * (1 - african), male * african]
        )
        gamma, shine = light_from_noise(z_noise[LIGHT])
        return Appearance(
            tex=appearance[:TEX_DIM].astype(np.float32),
            gamma=gamma,
            shine=shine,
            hair_style=_style(z_noise[HAIR_STYLE], groups @ self.style_bias),
            hair_rgb=np.clip(np.minimum.accumulate(appearance[TEX_DIM:]), 0.02, 0.90).astype(
                np.float32
            ),  # no blue hair
            cloth_rgb=colour_from_noise(z_noise[CLOTHES]),
            background=background_from_noise(z_noise[BACKGROUND]),
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The prior as named float32 arrays."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def independent_components(
    white: Float[np.ndarray, "person component"], iterations: int = 300
) -> Float[np.ndarray, "component component"]:
    """Rotation R such that the columns of ``white @ R.T`` are as independent as can be, each skewed to the positive.

    Symmetric FastICA with the tanh contrast (Hyvarinen 1999), started from the identity.
    """
    count, size = white.shape
    rotation = np.eye(size)
    for _ in range(iterations):
        squashed = np.tanh(white @ rotation.T)  # (P, K)
        update = squashed.T @ white / count - (1 - squashed**2).mean(axis=0)[:, None] * rotation
        left, _, right = np.linalg.svd(update)
        previous, rotation = rotation, left @ right
        if np.abs(np.abs((rotation * previous).sum(axis=1)) - 1).max() < 1e-6:
            break
    skew = ((white @ rotation.T) ** 3).mean(axis=0)
    return rotation * np.where(skew < 0, -1.0, 1.0)[:, None]


def texture_metric(model: MorphableModel, parts: HeadParts) -> Float[np.ndarray, "80 80"]:
    """Quadratic form of the mean squared colour difference over the front of the head; eyes and lips count more."""
    eyes = np.isin(parts.part, (1, 2)) * (parts.gloss > 0)
    weight = parts.front_mask.astype(np.float32) + 6 * eyes + 3 * parts.lips_mask.astype(np.float32)
    flat = model.tex_basis.cpu().numpy().astype(np.float32).reshape(-1, TEX_DIM)
    return (flat.T @ (flat * np.repeat(weight / weight.sum(), 3)[:, None].astype(np.float32))).astype(
        np.float64
    )


def sample_identity(parts: HeadParts, rng: np.random.Generator) -> Float[np.ndarray, "80"]:
    """A new shape: the mix ``cos(a) x + sin(a) y`` of two people of the bank, which keeps the bank's variance."""
    first, second = rng.integers(len(parts.bank_id), size=2)
    angle = rng.uniform(0, math.pi / 2)
    mix = math.cos(angle) * parts.bank_id[first].astype(np.float64)
    return (mix + math.sin(angle) * parts.bank_id[second].astype(np.float64)).astype(np.float32)


def sample_expression(parts: HeadParts, rng: np.random.Generator) -> Float[np.ndarray, "64"]:
    """An expression: 10 % exactly neutral, 16 % one clear expression or unit, the rest from the bank of mixtures.

    Clear ones are an entry of ``anifacegan.expressions.PRESETS`` or any single unit (of MakeHuman's own half), at any
    strength, one in five on one side only. Gaze comes from the bank alone.
    """
    basis = parts.expression_basis()
    kind = rng.random()
    if kind < 0.10:
        return np.zeros(len(basis.units_to_exp), np.float32)
    if kind < 0.26:
        strength = rng.uniform(0.1, 1.05)
        names = [name for name in basis.names if not name.startswith("eyeLook") and name != LEFT_OUT_UNIT]
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
    units[basis.names.index(LEFT_OUT_UNIT)] = 0.0
    return (strength * (basis.units_to_exp @ units)).astype(np.float32)


def _ridge(rows: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """Least squares with a penalty on all weights but the first row's (the constant)."""
    weight = np.full(rows.shape[1], penalty)
    weight[0] = 0.0
    return np.linalg.solve(rows.T @ rows + np.diag(weight), rows.T @ targets)


def _features(rows: np.ndarray, traits: np.ndarray) -> np.ndarray:
    gender, age, african, asian = traits.T
    steps = [
        smoothstep(0.4, 0.6, gender),
        smoothstep(42.0, 70.0, age),
        smoothstep(0.45, 0.7, african),
        smoothstep(0.2, 0.7, asian),
    ]
    return np.concatenate([rows, np.stack(steps, axis=1)], axis=1)


def _style(scores: np.ndarray, bias: np.ndarray) -> str | None:
    """The style with the largest score; a bald head is smooth where its own score is high, else shaved."""
    best = int(np.argmax(scores + bias))
    if HAIR_STYLES[best] != "bald":
        return HAIR_STYLES[best]
    return None if scores[best] > 1.0 else "shaved"
