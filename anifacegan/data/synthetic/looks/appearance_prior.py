"""The prior of appearances: maps identity and appearance latents to the appearance of a synthetic image.

Bare skin is fitted to the bank of people, the example people in the file of the open face model:

    y = [tex, melanin] = mean(z_id) + directions @ warp(z_noise[SKIN_TEXTURE], z_id)

``mean(z_id)`` is a linear regression on the bank. ``directions`` are independent components of the residuals of this
regression, and ``warp`` maps standard normal numbers to the quantiles of the residuals along each direction.

Here tex are texture coefficients, and ``z_noise[SKIN_TEXTURE]`` are the first 22 of the 80 appearance latents.
Everything else is a smooth function of traits (sex, age, descent, melanin) and of the other entries of ``z_noise``, in
:mod:`.hair_prior`, :mod:`.colour_prior`, :mod:`.light_prior` and :mod:`.scene_prior`. The training images are drawn
from this prior, so new random latents from N(0, I) have appearances like those of the training images.
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int

from anifacegan.data.synthetic.looks.appearance import (
    BACKGROUND,
    BEARD,
    BROWS,
    CLOTHES,
    EYES,
    GLASSES,
    HAIR_COLOUR,
    HAIR_SHAPE,
    HAIR_STYLE,
    LASHES,
    LIGHT,
    SKIN_DETAIL,
    SKIN_TEXTURE,
    Appearance,
    Eyes,
    Skin,
)
from anifacegan.data.synthetic.looks.colour_prior import iris_colour
from anifacegan.data.synthetic.looks.hair_prior import HairPrior, beard, brows, lashes
from anifacegan.data.synthetic.looks.light_prior import LightPrior
from anifacegan.data.synthetic.looks.scene_prior import BackgroundPrior, clothes, glasses
from anifacegan.data.synthetic.looks.score_space import between, normal_cdf
from anifacegan.data.synthetic.looks.traits import Traits
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import HeadParts
from anifacegan.face_model.people import AGE_BANDS, groups_of
from anifacegan.geometry.conventions import ID_DIM, NOISE_DIM, TEX_DIM
from anifacegan.geometry.resampling import smooth_share, smoothstep
from anifacegan.runtime.errors import InputError

TRAITS = ("gender", "age", "african", "asian")
"""Traits that are predicted as linear functions of ``z_id``: gender (0 female to 1 male), age in years, and the shares
of African and Asian descent."""

DIRECTIONS = SKIN_TEXTURE.stop - SKIN_TEXTURE.start
WARP_KNOTS = tuple(np.linspace(-2.5, 2.5, 21).tolist())
"""Arguments, in standard deviations, at which the function ``warp`` is tabulated; it is constant outside of them."""
MELANIN_WEIGHT = 0.02
"""Weight of a squared difference of melanin, relative to the mean squared difference of skin colours, in the choice of
the directions in which skin varies."""


@dataclass(frozen=True)
class AppearancePrior:
    """The map from (z_id, z_noise) to an :class:`Appearance`, as a few small arrays.

    The regression has the features ``[1, z_id, male, grey, african, asian]``; the last four are smooth steps, from 0 to
    1, of the traits.
    """

    trait_weights: Float[np.ndarray, "81 4"]
    """Weights of ``[1, z_id]`` in the linear prediction of each trait (columns): sex, age, African and Asian
    descent."""
    mean_weights: Float[np.ndarray, "85 81"]
    """Weights of the regression's features (rows) in ``mean(z_id)``, 80 texture coefficients and melanin (columns)."""
    directions: Float[np.ndarray, "81 22"]
    """Independent directions (columns) in which texture coefficients and melanin vary between people of the same
    identity features, for example in skin tone; each is one standard deviation of the bank's people along it, times the
    temperature of the fit."""
    warp: Float[np.ndarray, "2 22 21"]
    """Quantiles of the positions of the bank's women (first index 0) and men (1) along each direction, in standard
    deviations; tabulated at the standard normal numbers ``WARP_KNOTS``."""
    hair: HairPrior
    """Hair styles and their frequencies."""
    light: LightPrior
    """Kinds of light and their frequencies."""
    background: BackgroundPrior
    """Kinds of backgrounds and their frequencies."""

    @classmethod
    def fit(
        cls,
        parts: HeadParts,
        metric: Float[np.ndarray, "80 80"],
        ridge: float = 20.0,
        temperature: float = 0.9,
    ) -> "AppearancePrior":
        """Fit the prior to the example people (the bank) in the file of an open face model.

        Args:
            parts: parts of the open face model's file, with the example people.
            metric: quadratic form for which ``tex @ metric @ tex`` is a mean squared colour difference, see
                :func:`texture_metric`.
            ridge: penalty of the linear regressions.
            temperature: factor by which random skin differs less (below 1) or more than the example people's from the
                mean skin of people with the same identity coefficients.
        """
        z_id = np.asarray(parts.bank_id, np.float64)
        rows = np.concatenate([np.ones((len(z_id), 1)), z_id], axis=1)
        race = np.asarray(parts.bank_race, np.float64)
        traits = np.stack([parts.bank_gender, parts.bank_age, race[:, 0], race[:, 1]], axis=1).astype(
            np.float64
        )
        trait_weights = _ridge(rows, traits, ridge)
        features = _features(rows, rows @ trait_weights)
        bank = np.concatenate([parts.bank_tex, parts.bank_melanin[:, None]], axis=1).astype(np.float64)
        mean_weights = _ridge(features, bank, ridge)
        residual = bank - features @ mean_weights  # (P, 81)

        full_metric = np.zeros((TEX_DIM + 1, TEX_DIM + 1))
        full_metric[:TEX_DIM, :TEX_DIM] = metric + 1e-9 * np.trace(metric) * np.eye(TEX_DIM)
        full_metric[TEX_DIM:, TEX_DIM:] = MELANIN_WEIGHT
        root = np.linalg.cholesky(full_metric)  # metric = root @ root.T
        energy, axes = np.linalg.eigh(np.cov((residual @ root).T))
        energy, axes = energy[::-1][:DIRECTIONS], axes[:, ::-1][:, :DIRECTIONS]
        axes = axes * np.where(axes.sum(axis=0) < 0, -1.0, 1.0)  # eigenvectors have no sign of their own
        white = residual @ root @ axes / np.sqrt(energy)  # (P, 22)
        rotation = independent_components(white)
        directions = np.linalg.solve(root.T, axes * np.sqrt(energy)) @ rotation.T  # (81, 22)
        scores = white @ rotation.T
        order = np.argsort(-np.square(root.T @ directions).sum(axis=0))
        directions, scores = directions[:, order], scores[:, order]
        male = features[:, -4] > 0.5
        shares = [normal_cdf(knot) for knot in WARP_KNOTS]
        warp = np.stack([np.quantile(scores[group], shares, axis=0).T for group in (~male, male)])
        arrays = (trait_weights, mean_weights, temperature * directions, warp)
        return cls(
            *(np.ascontiguousarray(array, np.float32) for array in arrays),
            hair=HairPrior.fit(),
            light=LightPrior.fit(),
            background=BackgroundPrior.fit(),
        )

    def raw_traits(self, z_id: Float[np.ndarray, "*person 80"]) -> Float[np.ndarray, "*person 4"]:
        """Predict sex (0 female to 1 male), age in years, and the shares of African and Asian descent from identity
        coefficients, by linear regression, not clamped to plausible ranges.
        """
        return self.trait_weights[0] + z_id @ self.trait_weights[1:]

    def groups(self, z_id: Float[np.ndarray, "person 80"]) -> Int[np.ndarray, " person"]:
        """Return each person's group of sex, descent and age, 0 to 17, as predicted from the identity coefficients
        ``z_id``.

        See :mod:`anifacegan.face_model.people`.
        """
        gender, age, african, asian = self.raw_traits(z_id).T
        return groups_of(gender, age, np.stack([african, asian, 1 - african - asian], axis=1))

    def appearance(self, z_id: Float[np.ndarray, "80"], z_noise: Float[np.ndarray, "80"]) -> Appearance:
        """Return the appearance of a person with identity coefficients and appearance latents.

        Raises:
            InputError: a latent vector has another shape.
        """
        if np.shape(z_id) != (ID_DIM,) or np.shape(z_noise) != (NOISE_DIM,):
            raise InputError(
                f"latents have shapes {np.shape(z_id)}, {np.shape(z_noise)}, expected (80,) and (80,)"
            )
        z = np.asarray(z_noise, np.float64)
        traits, tex = self.bare_skin(np.asarray(z_id, np.float64), z[SKIN_TEXTURE])
        colour = z[HAIR_COLOUR]
        light = self.light.light(z[LIGHT])
        return Appearance(
            skin=skin(traits, tex, z[SKIN_DETAIL]),
            hair=self.hair.hair(traits, z[HAIR_STYLE], z[HAIR_SHAPE], colour),
            brows=brows(traits, z[BROWS], colour),
            lashes=lashes(traits, z[LASHES]),
            beard=beard(traits, z[BEARD], colour),
            eyes=Eyes(iris_colour(traits, z[EYES][:2]), pupil_deg=between(8.5, 12.0, z[EYES][2])),
            glasses=glasses(traits, z[GLASSES]),
            clothes=clothes(z[CLOTHES]),
            light=light,
            background=self.background.background(z[BACKGROUND]),
            gamma=self.light.gamma(light),
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the fitted arrays as float32, by field name; those of a nested prior by names such as
        ``hair.places``.
        """
        arrays = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                arrays[field.name] = value.astype(np.float32)
            else:
                for part in fields(value):
                    arrays[f"{field.name}.{part.name}"] = getattr(value, part.name).astype(np.float32)
        return arrays

    def bare_skin(
        self, z_id: Float[np.ndarray, "80"], z: Float[np.ndarray, "22"]
    ) -> tuple[Traits, Float[np.ndarray, "80"]]:
        """Return a person's traits (sex, age, descent, melanin) and the texture coefficients of the skin without hair.

        ``z`` are the appearance latents of the skin, the first 22 of ``z_noise``.
        """
        row = np.concatenate([[1.0], z_id])[None]
        raw = row @ self.trait_weights
        features = _features(row, raw)[0]
        male, _, african, asian = features[-4:].tolist()
        warp = (1 - male) * self.warp[0] + male * self.warp[1]  # (22, knots)
        steps = [np.interp(entry, WARP_KNOTS, table) for entry, table in zip(z, warp, strict=True)]
        y = features @ self.mean_weights + self.directions @ np.array(steps)
        youngest, oldest = AGE_BANDS[0][0], AGE_BANDS[-1][1]
        both = max(1.0, african + asian)
        traits = Traits(
            male=male,
            age_years=float(np.clip(raw[0, 1], youngest, oldest)),
            african=african / both,
            asian=asian / both,
            melanin=float(np.clip(y[TEX_DIM], 0, 1)),
        )
        return traits, y[:TEX_DIM].astype(np.float32)


def skin(traits: Traits, tex: Float[np.ndarray, "80"], z: Float[np.ndarray, "5"]) -> Skin:
    """Return the skin of a person: its texture coefficients ``tex``, and the strength of highlights, pores, mottling
    and freckles.

    ``traits`` are sex, age, descent and melanin. ``z`` are standard normal numbers for oiliness, height of bumps,
    blood, brown mottling and freckles.
    """
    fair = 1 - smooth_share(0.2, 0.45, traits.melanin)
    return Skin(
        tex=tex,
        melanin=traits.melanin,
        roughness=between(0.54, 0.48, z[0]),  # more would make dark skin seem to sweat
        gloss=between(0.65, 1.10, z[0]),
        bump=between(1.0, 1.6, z[1]) * (0.8 + 0.5 * smooth_share(30.0, 70.0, traits.age_years)),
        blood=between(0.04, 0.10, z[2]) * (1.2 - traits.melanin),
        mottle=between(0.015, 0.05, z[3]),
        freckles=1.2 * fair * smooth_share(0.4, 2.2, z[4]),
        age_years=traits.age_years,
        male=traits.male,
    )


def independent_components(
    white: Float[np.ndarray, "person component"], iterations: int = 300
) -> Float[np.ndarray, "component component"]:
    """Find the rotation R that makes the columns of ``white @ R.T`` as independent as possible, with positive skew.

    The rows of ``white`` are samples with mean 0 and covariance I. The method is symmetric FastICA with the tanh
    contrast (Hyvarinen 1999), started from the identity, with at most ``iterations`` steps.
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

    t is the difference of two vectors of texture coefficients; colours are sRGB in [0, 1], and lips have a larger
    weight than other skin.
    """
    weight = parts.front_mask.astype(np.float32) + 3 * parts.lips_mask.astype(np.float32)
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
        smoothstep(0.3, 0.7, gender),
        smoothstep(42.0, 70.0, age),
        smoothstep(0.3, 0.7, african),
        smoothstep(0.3, 0.7, asian),
    ]
    return np.concatenate([rows, np.stack(steps, axis=1)], axis=1)
