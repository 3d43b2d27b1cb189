"""Random colours of people: skin, make-up, brows, beards, eyes and teeth, depending on race, gender and age.

Colours are RGB in [0, 1] at vertices. Hair on the head and clothes are left out: their edges differ between people,
which no linear basis can represent (see :mod:`anifacegan.face_model.build.hair`).
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
from anifacegan.face_model.build.topology import TONGUE
from anifacegan.geometry.resampling import smoothstep

MELANIN_BY_RACE = (0.84, 0.36, 0.17)
SKIN_PALETTE = (
    (0.0, 0.25, 0.5, 0.75, 1.0),
    ((0.91, 0.735, 0.645), (0.86, 0.67, 0.56), (0.74, 0.54, 0.41), (0.52, 0.35, 0.26), (0.31, 0.20, 0.155)),
)
"""Levels of melanin from 0 to 1, and the skin colour at each level, from fair to dark."""

BLUSH_TINT = (0.02, -0.16, -0.13)
UNDER_EYE_TINT = (0.8, 1.0, 0.85)
UPPER_LID_TINT = (0.5, 1.0, 0.9)
BLOTCH_TINT = (0.6, 1.0, 1.0)
MOTTLE_TINT = (0.7, 1.0, 1.0)
WRINKLE_TINT = (0.85, 1.0, 1.0)
FRECKLE_TINT = (0.35, 0.55, 0.7)
NOSTRIL_TINT = (0.80, 0.88, 0.88)

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
LINER = (0.10, 0.06, 0.05)
MOUTH_INSIDE = (0.48, 0.20, 0.19)
TONGUE_COLOUR = (0.70, 0.37, 0.36)
TOOTH_COLOUR = (0.88, 0.84, 0.76)
GUM_COLOUR = (0.70, 0.40, 0.39)
STUBBLE_TINT = (0.9, 0.97, 1.05)

HAIR_COLOURS = (
    (0.055, 0.045, 0.045),
    (0.13, 0.085, 0.06),
    (0.23, 0.15, 0.10),
    (0.36, 0.25, 0.16),
    (0.62, 0.48, 0.31),
    (0.42, 0.19, 0.09),
)
"""Hair colours: black, dark brown, brown, light brown, blond, red."""
HAIR_SHARES = (
    (0.78, 0.18, 0.03, 0.0, 0.0, 0.01),
    (0.70, 0.25, 0.05, 0.0, 0.0, 0.0),
    (0.12, 0.25, 0.27, 0.15, 0.15, 0.06),
)
"""Frequency of each hair colour (columns) among people of each race (rows)."""
GREY_HAIR = (0.52, 0.51, 0.50)
GREY_BROWS = (0.4, 0.39, 0.38)

IRIS_COLOURS = (
    (0.20, 0.10, 0.05),
    (0.30, 0.17, 0.08),
    (0.38, 0.26, 0.13),
    (0.36, 0.36, 0.20),
    (0.32, 0.44, 0.52),
    (0.42, 0.48, 0.52),
    (0.25, 0.38, 0.55),
)
IRIS_SHARES = (
    (0.75, 0.22, 0.03, 0.0, 0.0, 0.0, 0.0),
    (0.6, 0.33, 0.07, 0.0, 0.0, 0.0, 0.0),
    (0.1, 0.25, 0.15, 0.13, 0.15, 0.1, 0.12),
)
EYE_WHITE = (0.90, 0.88, 0.86)

BROW_SIDES = (0.05, 0.09, 0.19, 0.29, 0.38, 0.47, 0.53)
BROW_HEIGHTS = (7.462, 7.472, 7.500, 7.512, 7.494, 7.440, 7.40)
BROW_THICKNESS = ((0.05, 0.12, 0.3, 0.42, 0.5), (0.024, 0.030, 0.026, 0.016, 0.010))

SHAVED, STUBBLE, FULL_BEARD, GOATEE, THIN_BEARD = range(5)
BEARD_SHARES = (0.30, 0.34, 0.12, 0.10, 0.14)


@dataclass(frozen=True)
class DrawnAlbedo:
    """Colours of one person."""

    colours: np.ndarray
    """(V, 3) colours of the vertices."""
    hair_rgb: np.ndarray
    """(3,) colour of the hair on the head."""
    bald: bool
    """Whether the person is bald."""


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
    """Draws random colours of people on the average head."""

    def __init__(self, view: HeadView, noise: SkinNoise, shade: np.ndarray) -> None:
        """Compute the weights with which each feature is painted at each vertex; ``shade`` (V,) is a factor of the
        final colours that darkens hollows."""
        self.view = view
        self.noise = noise
        self.shade = shade
        self.skin: SkinFields = skin_fields(view, noise, shade)
        self.eyes: EyeFields = eye_fields(view)
        self.teeth: TeethFields = teeth_fields(view)

    def draw(self, person: MakeHumanPerson, rng: np.random.Generator) -> DrawnAlbedo:
        """Draw the colours of one person. The order of the steps fixes the order of the random numbers."""
        painting = self._plain_skin(person, rng)
        self._blush_and_shadows(painting)
        self._unevenness(painting)
        self._wrinkles(painting)
        self._spots(painting)
        self._lips(painting)
        self._make_up(painting)
        hair, brows = self._hair_colours(painting)
        self._brows(painting, brows)
        rng.random()  # discarded, see _skip_scalp
        self._beard(painting, brows)
        bald = bool(rng.random() < (0.10 + 0.25 * (person.age > 50)) * person.gender)
        _skip_scalp(rng)
        painting.cover(self.view.mouth_inside, MOUTH_INSIDE)
        painting.tint(self.skin.nostrils, NOSTRIL_TINT)
        self._eyes(painting)
        self._teeth_and_tongue(painting)
        return DrawnAlbedo(np.clip(painting.colours * self.shade[:, None], 0, 1), hair, bald)

    def _plain_skin(self, person: MakeHumanPerson, rng: np.random.Generator) -> _Painting:
        melanin = float(np.clip(person.race @ np.array(MELANIN_BY_RACE) + rng.normal(0, 0.11), 0, 1))
        red, yellow = rng.normal(0, 1), rng.normal(0, 1)
        levels, palette = SKIN_PALETTE
        base = np.array([np.interp(melanin, levels, channel) for channel in np.array(palette).T])
        base *= np.array([1 + 0.02 * red, 1 - 0.025 * red - 0.005 * yellow, 1 - 0.025 * red - 0.035 * yellow])
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
        rng = painting.rng
        aged = 1 + 0.6 * (painting.person.age > 50)
        for field in self.noise.low:
            painting.tint(-0.011 * rng.normal() * field, BLOTCH_TINT)
        for field in self.noise.mid:
            painting.tint(-0.007 * rng.normal() * aged * field, MOTTLE_TINT)
        for field in self.noise.high:
            painting.tint(-0.005 * rng.normal() * field * self.view.skin)

    def _wrinkles(self, painting: _Painting) -> None:
        rng, skin = painting.rng, self.skin
        worn = _share_by_age(32.0, 80.0, painting.person.age) * rng.uniform(0.4, 1.1)
        depth = (0.15 * worn + 0.02) * skin.nasolabial + 0.12 * worn * skin.marionette
        depth += 0.16 * worn * skin.crows_feet
        depth += 0.13 * worn * rng.uniform(0.2, 1.2) * skin.forehead_lines
        depth += 0.14 * worn * rng.random() * skin.frown
        depth += 0.10 * worn * skin.bags
        painting.tint(depth, WRINKLE_TINT)

    def _spots(self, painting: _Painting) -> None:
        rng = painting.rng
        if rng.random() < 0.25:
            amount = rng.uniform(0.1, 0.5) * (0.3 + 1 - painting.melanin)
            for freckles in self.skin.freckles:
                painting.tint(amount * rng.random() * freckles, FRECKLE_TINT)
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

    def _make_up(self, painting: _Painting) -> None:
        rng, skin = painting.rng, self.skin
        made_up = 0.0
        if rng.random() < 0.45 * (1 - painting.person.gender):
            amount = rng.uniform(0.2, 0.6)
            painting.cover(0.6 * amount * skin.upper_lid, EYE_SHADOWS[rng.integers(len(EYE_SHADOWS))])
            made_up = rng.uniform(0.5, 1)

        def liner() -> np.ndarray:
            upper = (0.55 + 0.4 * made_up) * skin.upper_liner
            return np.clip(upper + (0.16 + 0.5 * made_up * rng.random()) * skin.lower_liner, 0, 1)

        hidden, painted = liner(), liner()  # the lower line differs: smudged
        painting.colours *= 1 - hidden[:, None]
        painting.colours += painted[:, None] * np.array(LINER)

    def _hair_colours(self, painting: _Painting) -> tuple[np.ndarray, np.ndarray]:
        """Draw the colours of the hair on the head, and of brows and beard."""
        rng = painting.rng
        colour = np.array(HAIR_COLOURS[_draw_by_race(rng, painting.person.race, HAIR_SHARES)])
        hair = colour * rng.uniform(0.85, 1.2)
        brows = 0.85 * hair
        grey = _share_by_age(42.0, 70.0, painting.person.age + rng.normal(0, 7))
        hair = hair * (1 - grey) + np.array(GREY_HAIR) * grey * rng.uniform(0.8, 1.35)
        brows = brows * (1 - 0.6 * grey) + 0.6 * grey * np.array(GREY_BROWS)
        if brows.mean() > 0.3:
            brows = 0.72 * brows
        return np.clip(hair, 0, 0.9), brows

    def _brows(self, painting: _Painting, colour: np.ndarray) -> None:
        rng, view = painting.rng, self.view
        raised, tilt, arch = rng.normal(0, 0.010), rng.normal(-0.02, 0.045), abs(rng.normal(0, 0.009))
        thickness = np.clip(rng.normal(0.72 + 0.38 * painting.person.gender, 0.2), 0.4, 1.6)
        inner, outer = 0.085 + rng.normal(0, 0.012), 0.47 + rng.normal(0, 0.02)
        line = np.interp(view.side, BROW_SIDES, BROW_HEIGHTS) + raised + tilt * (view.side - 0.28)
        line += arch * np.exp(-(((view.side - 0.34) / 0.09) ** 2))
        half_width = thickness * np.interp(view.side, *BROW_THICKNESS)
        brow = np.exp(-(np.abs((view.y - line) / half_width) ** 3)) * view.front
        brow *= smoothstep(inner - 0.03, inner + 0.035, view.side)
        brow *= smoothstep(outer + 0.03, outer - 0.04, view.side)
        density = np.clip(rng.normal(0.72, 0.12), 0.35, 0.95)
        painting.cover(density * np.clip(brow * (1 + 0.25 * self.noise.high[0]), 0, 1), colour)

    def _beard(self, painting: _Painting, hair: np.ndarray) -> None:
        if painting.person.gender <= 0.5:
            return
        rng, skin, base = painting.rng, self.skin, painting.base
        kind = rng.choice(len(BEARD_SHARES), p=BEARD_SHARES)
        colour = 0.8 * hair + 0.12 * base
        if kind == STUBBLE:
            cover = rng.uniform(0.08, 0.38) * skin.beard
            colour = 0.385 * base * np.array(STUBBLE_TINT) + 0.3 * hair
        elif kind == FULL_BEARD:
            cover = rng.uniform(0.5, 0.8) * skin.beard
        elif kind == GOATEE:
            cover = rng.uniform(0.4, 0.75) * skin.goatee
        elif kind == THIN_BEARD:
            cover = rng.uniform(0.3, 0.5) * skin.beard + 0.3 * skin.moustache
        else:
            cover = 0.06 * skin.beard
        if kind not in (SHAVED, STUBBLE):
            cover = cover * (1 + 0.25 * self.noise.high[1])
        painting.cover(np.clip(cover, 0, 0.9), colour)

    def _eyes(self, painting: _Painting) -> None:
        rng, eyes = painting.rng, self.eyes
        kind = _draw_by_race(rng, painting.person.race, IRIS_SHARES)
        iris_colour = np.array(IRIS_COLOURS[kind]) * rng.uniform(0.8, 1.25)
        white = np.array(EYE_WHITE) * rng.uniform(0.9, 1.04)
        white = white * (1 - 0.06 * np.array([0, 0.3, 1]) * rng.random())
        blood = 0.18 * rng.uniform(0.3, 1) * eyes.redness
        colours = white * (1 - blood[:, None] * np.array([0.25, 1, 0.9]))
        lightness = (1.25 - 0.35 * eyes.outward) * (1 + 0.16 * eyes.streaks) * (1 - 0.55 * eyes.limbus)
        iris, pupil = eyes.iris[:, None], eyes.pupil[:, None]
        colours = colours * (1 - iris) + iris_colour * lightness[:, None] * iris
        colours *= 1 - 0.25 * (eyes.limbus * (1 - eyes.iris))[:, None]
        painting.colours[eyes.vertices] = colours * (1 - pupil) + 0.02 * pupil

    def _teeth_and_tongue(self, painting: _Painting) -> None:
        rng, teeth = painting.rng, self.teeth
        enamel = np.array(TOOTH_COLOUR) * rng.uniform(0.85, 1.08)
        enamel = enamel * np.array([1, 1, rng.uniform(0.88, 1.05)])
        gums = np.array(GUM_COLOUR) * (1 - 0.3 * painting.melanin)
        gum = teeth.gum[:, None]
        painting.colours[teeth.vertices] = enamel * (1 - 0.16 * teeth.gap)[:, None] * (1 - gum) + gums * gum
        painting.colours[self.view.part == TONGUE] = np.array(TONGUE_COLOUR) * (1 + 0.03 * rng.normal())


def _share_by_age(start: float, end: float, years: float) -> float:
    """Return a number that rises smoothly from 0 at the age ``start`` to 1 at the age ``end``, in years."""
    return float(smoothstep(start, end, np.array([years]))[0])


def _draw_by_race(rng: np.random.Generator, race: np.ndarray, shares: tuple[tuple[float, ...], ...]) -> int:
    """Draw an index; its frequencies are those of the races in ``shares``, mixed by the person's shares of the
    races."""
    mixed = race @ np.array(shares)
    return int(rng.choice(len(mixed), p=mixed / mixed.sum()))


def _skip_scalp(rng: np.random.Generator) -> None:
    """Draw and discard random numbers of a former scalp colour, so that the same seeds give the same people."""
    rng.normal(size=2)
    rng.random()
    rng.normal(size=2)
    rng.random()
