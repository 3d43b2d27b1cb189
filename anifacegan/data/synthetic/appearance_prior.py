"""The prior of appearances: maps identity and appearance latents to the appearance of a synthetic image.

    y = [tex, hair_rgb] = mean(z_id) + directions @ warp(z_noise[TEXTURE], z_id)

The prior is fitted to the bank of people, the example people in the file of the open face model. Skin, beard, brows and
hair depend on the identity through ``mean(z_id)``, a linear regression on the bank. ``directions`` are independent
components of the residuals of this regression, and ``warp`` maps standard normal numbers to the quantiles of the
residuals along each direction. The training images are drawn from this prior, so new random latents from N(0, I) have
appearances like those of the training images.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from anifacegan.data.synthetic.appearance import (
    BACKGROUND,
    CLOTHES,
    HAIR_STYLE,
    HAIR_STYLES,
    LIGHT,
    TEXTURE,
    Appearance,
    background_from_noise,
    colour_from_noise,
    light_from_noise,
    normal_cdf,
)
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import HeadParts
from anifacegan.geometry.conventions import ID_DIM, NOISE_DIM, TEX_DIM
from anifacegan.geometry.resampling import smoothstep
from anifacegan.runtime.errors import InputError

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
"""Frequency of each hair style, for each group of people of ``AppearancePrior.style_bias``."""

TRAITS = ("gender", "age", "african", "asian")
"""Traits that are predicted as linear functions of ``z_id``: gender (0 female to 1 male), age in years, and the shares
of African and Asian descent."""

DIRECTIONS = TEXTURE.stop - TEXTURE.start
WARP_KNOTS = tuple(np.linspace(-2.5, 2.5, 21).tolist())
"""Arguments, in standard deviations, at which the function ``warp`` is tabulated; it is constant outside of them."""


@dataclass(frozen=True)
class AppearancePrior:
    """The map from (z_id, z_noise) to an :class:`Appearance`, as a few small float32 arrays.

    The regression has the features ``[1, z_id, male, grey, african, asian]``; the last four are smooth steps, from 0 to
    1, of the traits.
    """

    trait_weights: Float[np.ndarray, "81 4"]
    """Weights of ``[1, z_id]`` that give each of ``TRAITS``."""
    mean_weights: Float[np.ndarray, "85 83"]
    """Weights of the regression's features that give ``mean(z_id)``."""
    directions: Float[np.ndarray, "83 48"]
    """Independent directions in which ``y`` varies between people of the same identity features, for example a beard;
    the people of the bank have unit variance along each direction, before it is scaled."""
    warp: Float[np.ndarray, "2 48 21"]
    """Quantiles, at ``WARP_KNOTS``, of the positions of the bank's women (0) and men (1) along each direction."""
    style_bias: Float[np.ndarray, "4 10"]
    """Number that is added to the score of each hair style, for women, African women, men and African men."""

    @classmethod
    def fit(
        cls,
        parts: HeadParts,
        metric: Float[np.ndarray, "80 80"],
        ridge: float = 20.0,
        temperature: float = 0.9,
    ) -> "AppearancePrior":
        """Fit the prior to the bank of people of an open face model.

        Args:
            parts: parts of the open face model, with the bank of people.
            metric: quadratic form for which ``tex @ metric @ tex`` is a mean squared colour difference, see
                :func:`texture_metric`.
            ridge: penalty of the linear regressions.
            temperature: factor by which random appearances differ less (below 1) or more from ``mean(z_id)``.
        """
        z_id = np.asarray(parts.bank_id, np.float64)
        rows = np.concatenate([np.ones((len(z_id), 1)), z_id], axis=1)
        race = np.asarray(parts.bank_race, np.float64)
        traits = np.stack([parts.bank_gender, parts.bank_age, race[:, 0], race[:, 1]], axis=1).astype(
            np.float64
        )
        trait_weights = _ridge(rows, traits, ridge)
        features = _features(rows, rows @ trait_weights)
        bank = np.concatenate([parts.bank_tex, parts.bank_hair_rgb], axis=1).astype(np.float64)
        mean_weights = _ridge(features, bank, ridge)
        residual = bank - features @ mean_weights  # (P, 83)

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
        """Predict the ``TRAITS`` from identity coefficients."""
        return dict(zip(TRAITS, (np.concatenate([[1.0], z_id]) @ self.trait_weights).tolist(), strict=True))

    def appearance(self, z_id: Float[np.ndarray, "80"], z_noise: Float[np.ndarray, "80"]) -> Appearance:
        """Return the appearance of a person with identity coefficients and appearance latents.

        Raises:
            InputError: a latent vector has another shape.
        """
        if np.shape(z_id) != (ID_DIM,) or np.shape(z_noise) != (NOISE_DIM,):
            raise InputError(
                f"latents have shapes {np.shape(z_id)}, {np.shape(z_noise)}, expected (80,) and (80,)"
            )
        row = np.concatenate([[1.0], z_id])[None]
        features = _features(row, row @ self.trait_weights)[0]
        male, african = features[-4], features[-2]
        warp = (1 - male) * self.warp[0] + male * self.warp[1]  # (48, knots)
        steps = [np.interp(z, WARP_KNOTS, table) for z, table in zip(z_noise[TEXTURE], warp, strict=True)]
        y = features @ self.mean_weights + self.directions @ np.array(steps)
        groups = np.array(
            [(1 - male) * (1 - african), (1 - male) * african, male * (1 - african), male * african]
        )
        gamma, shine = light_from_noise(z_noise[LIGHT])
        return Appearance(
            tex=y[:TEX_DIM].astype(np.float32),
            gamma=gamma,
            shine=shine,
            hair_style=_style(z_noise[HAIR_STYLE], groups @ self.style_bias),
            hair_rgb=np.clip(np.minimum.accumulate(y[TEX_DIM:]), 0.02, 0.90).astype(
                np.float32
            ),  # no blue hair
            cloth_rgb=colour_from_noise(z_noise[CLOTHES]),
            background=background_from_noise(z_noise[BACKGROUND]),
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the fitted float32 arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def style_biases(frequencies: Float[np.ndarray, " style"]) -> Float[np.ndarray, " style"]:
    """Find biases b with P(argmax(z + b) = k) = frequencies[k] for z ~ N(0, I), by fixed-point iteration."""
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


def independent_components(
    white: Float[np.ndarray, "person component"], iterations: int = 300
) -> Float[np.ndarray, "component component"]:
    """Find the rotation R that makes the columns of ``white @ R.T`` as independent as possible, with positive skew.

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
    """Return the matrix M for which ``t @ M @ t`` is the mean squared colour difference over the front of the head.

    t is the difference of two vectors of texture coefficients. Eyes and lips have a larger weight.
    """
    eyes = np.isin(parts.part, (1, 2)) * (parts.gloss > 0)
    weight = parts.front_mask.astype(np.float32) + 6 * eyes + 3 * parts.lips_mask.astype(np.float32)
    flat = model.tex_basis.cpu().numpy().astype(np.float32).reshape(-1, TEX_DIM)
    return (flat.T @ (flat * np.repeat(weight / weight.sum(), 3)[:, None].astype(np.float32))).astype(
        np.float64
    )


def _ridge(rows: np.ndarray, targets: np.ndarray, penalty: float) -> np.ndarray:
    """Return the weights that solve penalised least squares; the first feature, a constant, is not penalised."""
    weight = np.full(rows.shape[1], penalty)
    weight[0] = 0.0
    return np.linalg.solve(rows.T @ rows + np.diag(weight), rows.T @ targets)


def _features(rows: np.ndarray, traits: np.ndarray) -> np.ndarray:
    """Append smooth steps of the traits to rows of ``[1, z_id]``."""
    gender, age, african, asian = traits.T
    steps = [
        smoothstep(0.4, 0.6, gender),
        smoothstep(42.0, 70.0, age),
        smoothstep(0.45, 0.7, african),
        smoothstep(0.2, 0.7, asian),
    ]
    return np.concatenate([rows, np.stack(steps, axis=1)], axis=1)


def _style(scores: np.ndarray, bias: np.ndarray) -> str | None:
    """Return the hair style with the largest sum of score and bias.

    For the style ``"bald"``, a score above 1 gives None (a bald head), and a lower score gives ``"shaved"``.
    """
    best = int(np.argmax(scores + bias))
    if HAIR_STYLES[best] != "bald":
        return HAIR_STYLES[best]
    return None if scores[best] > 1.0 else "shaved"
