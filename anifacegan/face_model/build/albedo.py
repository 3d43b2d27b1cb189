"""Random colours of people's bare skin, make-up, the whites of the eyes, and teeth, depending on race, gender and age.

Colours are sRGB in [0, 1], without light, one for each vertex. Hair, brows, beards, lashes, irises, shadows and all
that is finer than the mesh are left out: the renderer draws them as geometry, light and detail.
"""

from dataclasses import dataclass

import numpy as np

from anifacegan.face_model.build.albedo_fields import (
    EyeFields,
    SkinFields,
    SkinNoise,
    TeethFields,
    eye_fields,
    skin_fields,
    teeth_fields,
)
from anifacegan.face_model.build.head_view import HeadView
from anifacegan.face_model.build.identity import MakeHumanPerson
from anifacegan.face_model.parts import TONGUE
from anifacegan.geometry.resampling import smooth_share

MELANIN_BY_RACE = (0.84, 0.36, 0.17)
SKIN_PALETTE = (
    (0.0, 0.25, 0.5, 0.75, 1.0),
    ((0.91, 0.735, 0.645), (0.86, 0.67, 0.56), (0.74, 0.54, 0.41), (0.52, 0.35, 0.26), (0.31, 0.20, 0.155)),
)
"""Levels of melanin from 0 to 1, and the skin colour at each level, from fair to dark."""

BLUSH_TINT = (0.015, -0.11, -0.09)
UNDER_EYE_TINT = (0.8, 1.0, 0.85)
UPPER_LID_TINT = (0.5, 1.0, 0.9)
BLOTCH_TINT = (0.6, 1.0, 1.0)
WRINKLE_TINT = (0.85, 1.0, 1.0)
NOSTRIL_TINT = (0.62, 0.72, 0.72)

LIP_TINT = (0.88, 0.62, 0.60)
DARK_LIPS = (0.42, 0.22, 0.2)
LIPSTICKS = (
    (0.62, 0.12, 0.16),
    (0.72, 0.28, 0.32),
    (0.55, 0.20, 0.22),
    (0.75, 0.36, 0.36),
    (0.45, 0.08, 0.16),
)
EYE_SHADOWS = ((0.35, 0.22, 0.2), (0.25, 0.2, 0.25), (0.45, 0.3, 0.3), (0.3, 0.3, 0.35))
MOUTH_INSIDE = (0.48, 0.20, 0.19)
TONGUE_COLOUR = (0.70, 0.37, 0.36)
TOOTH_COLOUR = (0.88, 0.84, 0.76)
GUM_COLOUR = (0.70, 0.40, 0.39)

EYE_WHITE = (0.90, 0.88, 0.86)


@dataclass(frozen=True)
class DrawnAlbedo:
    """Randomly drawn colours of one person, without light."""

    colours: np.ndarray
    """(V, 3) sRGB colours of the vertices, 0 to 1."""
    melanin: float
    """Melanin of the skin, 0 (fair) to 1 (dark)."""


@dataclass
class _Painting:
    """Colours of one person while they are painted; each step draws random numbers from ``rng`` and changes
    ``colours``."""

    rng: np.random.Generator
    person: MakeHumanPerson
    melanin: float
    base: np.ndarray
    """(3,) uniform skin colour under all details."""
    colours: np.ndarray
    """(V, 3) current colours of the vertices."""

    def tint(self, strength: np.ndarray, tint: tuple[float, ...] = (1.0, 1.0, 1.0)) -> None:
        """Darken the vertices' colours by ``strength`` (V,), multiplied by ``tint`` for each colour channel."""
        self.colours *= 1 - strength[:, None] * np.array(tint)

    def cover(self, cover: np.ndarray, colour: np.ndarray | tuple[float, ...]) -> None:
        """Blend a colour over the vertices' colours, with the opacity ``cover`` (V,)."""
        self.colours += cover[:, None] * (np.asarray(colour) - self.colours)


class AlbedoSampler:
    """Draws random colours of people at the vertices of the average head."""

    def __init__(self, view: HeadView, noise: SkinNoise) -> None:
        """Compute the weights with which each feature is painted at each vertex of the head ``view``; ``noise`` are
        random fields of the skin's unevenness."""
        self.view = view
        self.noise = noise
        self.skin: SkinFields = skin_fields(view, noise)
        self.eyes: EyeFields = eye_fields(view)
        self.teeth: TeethFields = teeth_fields(view)

    def draw(self, person: MakeHumanPerson, rng: np.random.Generator) -> DrawnAlbedo:
        """Draw random colours of one person, which depend on the person's race, gender and age."""
        painting = self._plain_skin(person, rng)
        self._blush_and_shadows(painting)
        self._unevenness(painting)
        self._wrinkles(painting)
        self._moles(painting)
        self._lips(painting)
        self._eye_shadow(painting)
        painting.cover(self.view.mouth_inside, MOUTH_INSIDE)
        painting.tint(self.skin.nostrils, NOSTRIL_TINT)
        self._whites(painting)
        self._teeth_and_tongue(painting)
        return DrawnAlbedo(np.clip(painting.colours, 0, 1), painting.melanin)

    def _plain_skin(self, person: MakeHumanPerson, rng: np.random.Generator) -> _Painting:
        melanin = float(np.clip(person.race @ np.array(MELANIN_BY_RACE) + rng.normal(0, 0.11), 0, 1))
        red, yellow = rng.normal(0, 1), rng.normal(0, 1)
        levels, palette = SKIN_PALETTE
        base = np.array([np.interp(melanin, levels, channel) for channel in np.array(palette).T])
        base *= np.array([1 + 0.012 * red, 1 - 0.015 * red - 0.005 * yellow, 1 - 0.015 * red - 0.03 * yellow])
        base *= 1 + 0.03 * rng.normal()
        return _Painting(rng, person, melanin, base, np.ones((len(self.view.points), 3)) * base)

    def _blush_and_shadows(self, painting: _Painting) -> None:
        rng, skin = painting.rng, self.skin
        blood = np.clip(rng.normal(0.6, 0.35), 0, 1.6) * (0.35 + 0.65 * (1 - painting.melanin))
        cheek, nose = rng.uniform(0.3, 1), rng.uniform(0.3, 1)
        blush = cheek * skin.cheek + 0.8 * nose * skin.nose + 0.35 * skin.chin + 0.55 * self.view.ears
        painting.colours *= 1 + np.array(BLUSH_TINT) * (blood * blush)[:, None]
        tired = rng.uniform(0.2, 1.3) * (1 + 0.4 * (painting.person.age > 50))
        painting.tint(0.10 * tired * skin.under_eye, UNDER_EYE_TINT)
        painting.tint(0.06 * rng.uniform(0, 1.5) * skin.upper_lid, UPPER_LID_TINT)
        painting.tint(-0.03 * rng.normal() * skin.forehead)

    def _unevenness(self, painting: _Painting) -> None:
        for field in self.noise.low:
            painting.tint(-0.011 * painting.rng.normal() * field, BLOTCH_TINT)

    def _wrinkles(self, painting: _Painting) -> None:
        rng, skin = painting.rng, self.skin
        worn = 0.65 * smooth_share(32.0, 80.0, painting.person.age) * rng.uniform(0.4, 1.1)
        depth = (0.15 * worn + 0.02) * skin.nasolabial + 0.12 * worn * skin.marionette
        depth += 0.16 * worn * skin.crows_feet
        depth += 0.13 * worn * rng.uniform(0.2, 1.2) * skin.forehead_lines
        depth += 0.14 * worn * rng.random() * skin.frown
        depth += 0.10 * worn * skin.bags
        painting.tint(depth, WRINKLE_TINT)

    def _moles(self, painting: _Painting) -> None:
        rng = painting.rng
        for moles in self.skin.moles:
            if rng.random() < 0.15:
                painting.tint(0.6 * rng.random() * moles)

    def _lips(self, painting: _Painting) -> None:
        rng, dark = painting.rng, 0.25 * painting.melanin
        colour = painting.base * np.array(LIP_TINT) * (1 + 0.05 * rng.normal())
        colour = colour * (1 - dark) + np.array(DARK_LIPS) * dark
        if rng.random() < 0.42 * (1 - painting.person.gender):
            colour = 0.45 * colour + 0.55 * np.array(LIPSTICKS[rng.integers(len(LIPSTICKS))])
        painting.cover(0.85 * self.view.lips, colour)

    def _eye_shadow(self, painting: _Painting) -> None:
        rng = painting.rng
        if rng.random() < 0.45 * (1 - painting.person.gender):
            amount = 0.35 * rng.uniform(0.2, 0.6)
            painting.cover(amount * self.skin.upper_lid, EYE_SHADOWS[rng.integers(len(EYE_SHADOWS))])

    def _whites(self, painting: _Painting) -> None:
        rng, eyes = painting.rng, self.eyes
        white = np.array(EYE_WHITE) * rng.uniform(0.9, 1.04)
        white = white * (1 - 0.06 * np.array([0, 0.3, 1]) * rng.random())
        blood = 0.18 * rng.uniform(0.3, 1) * eyes.redness
        painting.colours[eyes.vertices] = white * (1 - blood[:, None] * np.array([0.25, 1, 0.9]))

    def _teeth_and_tongue(self, painting: _Painting) -> None:
        rng, teeth = painting.rng, self.teeth
        enamel = np.array(TOOTH_COLOUR) * rng.uniform(0.85, 1.08)
        enamel = enamel * np.array([1, 1, rng.uniform(0.88, 1.05)])
        gums = np.array(GUM_COLOUR) * (1 - 0.3 * painting.melanin)
        gum = teeth.gum[:, None]
        painting.colours[teeth.vertices] = enamel * (1 - 0.16 * teeth.gap)[:, None] * (1 - gum) + gums * gum
        painting.colours[self.view.part == TONGUE] = np.array(TONGUE_COLOUR) * (1 + 0.03 * rng.normal())
