"""Expressions in action units of the open face model: those a user can name, and those its coefficients stand for.

What a user calls an expression, as coefficients: a ``.mat`` file, names and strengths, or an array.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from anifacegan.face_model.coefficients import BFM, ExpressionBasis, read_expression
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.runtime.errors import InputError

PRESETS: dict[str, dict[str, float]] = {
    "smile": {
        "mouthSmile": 0.8,
        "cheekSquint": 0.9,
        "mouthUpperUp": 0.7,
        "eyeSquint": 0.4,
        "mouthLowerDown": 0.3,
    },
    "jaw_open": {"jawOpen": 0.9},
    "blink": {"eyeBlink": 1.0},
    "frown": {"mouthFrown": 0.9, "browDown": 1.0, "mouthShrugLower": 0.4},
    "pucker": {"mouthPucker": 1.0},
    "brow_raise": {"browInnerUp": 0.9, "browOuterUp": 1.0, "eyeWide": 0.4},
}
"""What the files of ``mat/`` hold."""

ACTIONS: dict[str, dict[str, float]] = {
    "jaw open": {"jawOpen": 1.0},
    "smile": {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "cheekSquintLeft": 0.5, "cheekSquintRight": 0.5},
    "brows up": {"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0},
    "brows down": {"browDownLeft": 1.0, "browDownRight": 1.0},
    "blink": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "pucker": {"mouthPucker": 1.0},
    "corners down": {"mouthFrownLeft": 1.0, "mouthFrownRight": 1.0},
    "sneer": {"mouthUpperUpLeft": 1.0, "mouthUpperUpRight": 1.0, "noseSneerLeft": 0.7, "noseSneerRight": 0.7},
    "mouth to the left": {"mouthLeft": 0.5, "mouthRight": -0.5},
    "smile higher on the left": {"mouthSmileLeft": 0.5, "mouthSmileRight": -0.5},
}
"""What the open face model's first expression coefficients do, in order; other actions make another face model. Left is
the person's own. The last two are one-sided by difference: a smile on the left alone is "smile" and "smile higher on
the left" together.
"""


def is_strong_unit(unit: str) -> bool:
    """Whether a unit is one of MakeHuman's own, which move a face further than ARKit's; their names have hyphens."""
    return "-" in unit


def parse_strengths(text: str) -> dict[str, float]:
    """``"smile=0.7,blink=0.3"`` to names and strengths; a name alone has strength 1.

    Raises:
        InputError: a strength is no finite number, or a name is given twice.
    """
    strengths: dict[str, float] = {}
    for item in text.split(","):
        name, equals, value = (part.strip() for part in item.partition("="))
        try:
            strength = float(value) if equals else 1.0
        except ValueError:
            strength = float("nan")
        if not name or name in strengths or not abs(strength) < float("inf"):
            raise InputError(
                f"expression '{text}': cannot read '{item.strip()}', expected name=strength,... each once"
            )
        strengths[name] = strength
    return strengths


def action_units(strengths: dict[str, float], presets: dict[str, dict[str, float]]) -> dict[str, float]:
    """Named expressions spelled out in action units; other names are taken as units."""
    units: dict[str, float] = {}
    for name, strength in strengths.items():
        for unit, share in presets.get(name, {name: 1.0}).items():
            units[unit] = units.get(unit, 0.0) + strength * share
    return units


NEUTRAL = "neutral"
"""The name of the expression whose coefficients are zero."""


@dataclass(frozen=True)
class ExpressionReader:
    """The expressions of one model, or of an avatar that was baked from it."""

    model: str
    """Its name, for messages."""
    face_model: str
    presets: dict[str, dict[str, float]]
    """Named expressions in action units."""
    basis: ExpressionBasis | None
    """None for a face model without named action units."""
    pitch_offset: float = 0.0
    """Pitch of a frontal face in ``.mat`` files without an exact pose, radians."""

    def coefficients(
        self, expression: "str | Path | Float[np.ndarray, '64'] | None"
    ) -> Float[np.ndarray, "64"]:
        """Of a ``.mat`` file, of names and strengths (``"smile=0.7,blink=0.3"``), of an array; None and ``"neutral"``
        are the neutral face.

        Warns of a ``.mat`` that does not say which face model it is for, unless Deep3DFaceRecon's are expected.

        Raises:
            InputError: unknown name, unreadable file, or a file that belongs to another face model.
        """
        if isinstance(expression, np.ndarray):
            return np.asarray(expression, np.float32)
        if expression is None or str(expression) == NEUTRAL:
            return np.zeros(EXP_DIM, np.float32)
        if not str(expression).endswith(".mat"):
            return self._named(str(expression))
        values, owner = read_expression(Path(expression))
        if owner is not None and owner != self.face_model:
            raise InputError(
                f"{expression}: is for face model '{owner}', but model '{self.model}' takes '{self.face_model}'; "
                f"{self._wanted()}"
            )
        if owner is None and self.face_model != BFM:
            warnings.warn(
                f"{expression}: does not say which face model it is for; taken to be for '{self.face_model}'",
                stacklevel=2,
            )
        return values

    def _named(self, text: str) -> Float[np.ndarray, "64"]:
        if self.basis is None:
            raise InputError(
                f"expression '{text}': model '{self.model}' has no named expressions; {self._wanted()}"
            )
        strengths = parse_strengths(text)
        for name in strengths:
            if name not in self.presets and not self.basis.sides(name):
                known = ", ".join([*self.presets, *self.basis.known_names])
                raise InputError(f"expression '{name}' is not known; model '{self.model}' has {known}")
        return self.basis.from_strengths(action_units(strengths, self.presets))

    def _wanted(self) -> str:
        if self.face_model == BFM:
            return "bring a Deep3DFaceRecon .mat, whose 'exp' holds BFM expression coefficients"
        return f"bring a .mat made for '{self.face_model}'"
