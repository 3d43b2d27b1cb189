"""Appearance of a synthetic image: its attributes, and the entries of the appearance latents that they come from.

The appearance latents ``z_noise`` are 80 independent standard normal numbers; they determine everything of an image
that is neither shape nor expression:

| slice of ``z_noise`` | meaning |
|---|---|
| 0:22 ``SKIN_TEXTURE`` | bare skin along the directions of :mod:`.appearance_prior` |
| 22:27 ``SKIN_DETAIL`` | oiliness, bump, blood, mottle, freckles |
| 27:30 ``HAIR_COLOUR`` | lightness, redness, grey |
| 30:36 ``HAIR_STYLE`` | a vector whose direction selects the style, see :mod:`.score_space` |
| 36:39 ``HAIR_SHAPE`` | length, curl, parting |
| 39:44 ``BROWS`` | thickness, height, tilt, arch, density |
| 44:45 ``LASHES`` | length and density |
| 45:49 ``BEARD`` | density, length, cheeks, moustache against chin |
| 49:52 ``EYES`` | lightness and hue of the iris, size of the pupil |
| 52:56 ``GLASSES`` | size (0 for most people), width and height, roundness, colour and thickness |
| 56:60 ``CLOTHES`` | lightness, two chroma axes, collar |
| 60:72 ``LIGHT`` | kind (3), azimuth, elevation, power, warmth, fill, second light (2), light from behind, exposure |
| 72:80 ``BACKGROUND`` | kind (2), two tones, hue, turn, shift, discs of light |

Colours are linear light (no gamma encoding). Lengths are model units (decimetres), in the head's own frame without a
pose. Every attribute is a continuous function of ``z_noise`` and of the identity.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

SKIN_TEXTURE, SKIN_DETAIL = slice(0, 22), slice(22, 27)
HAIR_COLOUR, HAIR_STYLE, HAIR_SHAPE = slice(27, 30), slice(30, 36), slice(36, 39)
BROWS, LASHES, BEARD, EYES = slice(39, 44), slice(44, 45), slice(45, 49), slice(49, 52)
GLASSES, CLOTHES = slice(52, 56), slice(56, 60)
LIGHT, BACKGROUND = slice(60, 72), slice(72, 80)

HAIR_STYLES = (
    "crop",
    "side_part",
    "swept_back",
    "short_curls",
    "buzz",
    "bald",
    "receding",
    "afro",
    "bob",
    "long",
    "long_waves",
    "curly_long",
    "tied",
    "fringe",
    "pixie",
)
"""Hair styles in the order of ``Hair.style_weights``."""

LIGHT_KINDS = ("window", "overcast", "sun", "room", "flash")
"""Kinds of light that an :class:`EnvironmentLight` is blended from."""

BACKGROUND_KINDS = ("wall", "green", "room", "street", "studio")
"""Kinds of background in the order of ``Background.kind_weights``."""

PALETTE = 4
"""Number of colours of a background's palette."""


@dataclass(frozen=True)
class Hair:
    """Hair on the head."""

    style_weights: Float[np.ndarray, "15"]
    """Share of each of ``HAIR_STYLES``, with sum 1; most people are near one style."""
    length: float
    """Factor of the lengths of the style, about 0.6 to 1.5."""
    curl: float
    """Curl in addition to the style's own, 0 to 1."""
    parting: float
    """Side of the parting, -1 (the person's right) to 1 (the person's left)."""
    rgb: Float[np.ndarray, "3"]
    """Linear colour of the strands."""


@dataclass(frozen=True)
class Brows:
    """Brows, as differences from mean brows."""

    thickness: float
    """Thickness as a factor of that of mean brows."""
    height: float
    """Upward shift of the brows from the mean, in model units."""
    tilt: float
    """Rise of the brows toward their outer ends, relative to mean brows, as a slope."""
    arch: float
    """Height of the arch above the mean line, in model units, not negative."""
    density: float
    """Number of hairs as a factor of that of mean brows."""
    rgb: Float[np.ndarray, "3"]
    """Linear colour of the hairs."""


@dataclass(frozen=True)
class Lashes:
    """Lashes of both eyes."""

    length: float
    """Length relative to long lashes (1)."""
    density: float
    """Density relative to dense lashes (1)."""


@dataclass(frozen=True)
class Beard:
    """Hair on cheeks, chin and upper lip."""

    density: float
    """Share of the roots of a full beard whose hairs grow, 0 (no beard) to 1."""
    length: float
    """Length of the hairs, in model units."""
    cheeks: float
    """Factor of ``density`` on the cheeks, 0 to 1."""
    moustache: float
    """Factor of ``density`` on the upper lip, 0 to 1."""
    chin: float
    """Factor of ``density`` on the chin, 0 to 1."""
    rgb: Float[np.ndarray, "3"]
    """Linear colour of the hairs."""


@dataclass(frozen=True)
class Skin:
    """Bare skin: its colours as texture coefficients, and what is finer than the mesh."""

    tex: Float[np.ndarray, "80"]
    """Texture coefficients of the open face model: bare skin, lips, whites of the eyes, teeth; without light."""
    melanin: float
    """Melanin, 0 (fair) to 1 (dark)."""
    roughness: float
    """Roughness of the surface for highlights, nearly the same for everyone."""
    gloss: float
    """Factor of the strength of highlights."""
    bump: float
    """Factor of the height of pores and fine lines."""
    blood: float
    """Amplitude of fine red mottling."""
    mottle: float
    """Amplitude of fine brown mottling."""
    freckles: float
    """Strength of freckles, 0 (none) to about 1.2."""
    age_years: float
    """Age in years, 18 to 80."""
    male: float
    """Sex, 0 (female) to 1 (male)."""


@dataclass(frozen=True)
class Eyes:
    """Irises and pupils of both eyes."""

    iris_rgb: Float[np.ndarray, "3"]
    """Linear colour of the irises."""
    pupil_deg: float
    """Half the angle that the pupil covers, seen from the eye's centre, in degrees."""


@dataclass(frozen=True)
class Glasses:
    """Glasses; all lengths are model units."""

    size: float
    """Presence, 0 (no glasses) to 1, a factor of the frame's thickness, so that glasses vanish continuously."""
    width: float
    """Half the width of a lens as a share of half the distance between the eyes."""
    height: float
    """Half the height of a lens."""
    roundness: float
    """Exponent of the superellipse of the outline: 2 for an ellipse, larger for a rounded rectangle."""
    thickness: float
    """Radius of the frame's wire."""
    rgb: Float[np.ndarray, "3"]
    """Linear colour of the frame."""


@dataclass(frozen=True)
class Clothes:
    """Clothes on the shoulders."""

    rgb: Float[np.ndarray, "3"]
    """Linear colour of the cloth."""
    collar: float
    """Upward shift of the collar from its usual place on the neck, in model units."""


@dataclass(frozen=True)
class EnvironmentLight:
    """Light from all around and from one lamp, fixed to the head: it does not depend on the camera.

    Radiance from the unit direction w, with up = (1 + w_y) / 2:
    ``base * up + ground * (1 - up) + sum_l lobe_rgb_l * exp(lobe_sharpness_l * (w @ lobe_direction_l - 1))``.
    """

    key_direction: Float[np.ndarray, "3"]
    """Unit vector from the head to the middle of the lamp."""
    key_rgb: Float[np.ndarray, "3"]
    """Irradiance, by the lamp, of a surface that faces it: the linear colour of a white one."""
    key_size: float
    """Angular radius of the lamp's disc, in radians."""
    lobe_directions: Float[np.ndarray, "lobe 3"]
    """Unit directions of the lobes: a light that fills shadows, and a light from behind."""
    lobe_sharpness: Float[np.ndarray, " lobe"]
    """Sharpness of the lobes; larger is narrower."""
    lobe_rgb: Float[np.ndarray, "lobe 3"]
    """Radiance of the lobes at their peaks."""
    base_rgb: Float[np.ndarray, "3"]
    """Radiance from straight above, without lamp and lobes."""
    ground_rgb: Float[np.ndarray, "3"]
    """Radiance from straight below, without lamp and lobes."""
    exposure: float
    """Factor of the camera's automatic exposure, about 1.05 to 1.4."""


@dataclass(frozen=True)
class Background:
    """Colours of an out-of-focus background; the positions of its shapes and discs are the same for everyone."""

    kind_weights: Float[np.ndarray, "5"]
    """Share of each of ``BACKGROUND_KINDS``, with sum 1, which is a factor of the opacity of that kind's shapes."""
    first_rgb: Float[np.ndarray, "3"]
    """Linear colour at the start of the gradient behind the shapes."""
    second_rgb: Float[np.ndarray, "3"]
    """Linear colour at the end of the gradient behind the shapes."""
    turn_rad: float
    """Direction of the gradient in the background's plane, radians counter-clockwise from +x."""
    palette_rgb: Float[np.ndarray, "4 3"]
    """Linear colours of the shapes; each shape has a constant index in the palette."""
    shift: float
    """Horizontal shift of all shapes and discs, in world units."""
    lights_rgb: Float[np.ndarray, "3"]
    """Linear colour of the out-of-focus discs of light."""
    lights: float
    """Opacity factor of the discs of light, 0 to 1."""


@dataclass(frozen=True)
class Appearance:
    """Everything of one image but the person's shape and expression and the camera."""

    skin: Skin
    hair: Hair
    brows: Brows
    lashes: Lashes
    beard: Beard
    eyes: Eyes
    glasses: Glasses
    clothes: Clothes
    light: EnvironmentLight
    background: Background
    gamma: Float[np.ndarray, "27"]
    """Spherical-harmonics light in Deep3DFaceRecon's convention (RGB x 9), in the head's frame, fitted to ``light``
    without shadows."""
