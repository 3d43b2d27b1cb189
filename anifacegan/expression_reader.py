"""What a user calls an expression, as coefficients: a ``.mat`` file, names and strengths, or an array."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from anifacegan.coefficients import BFM, ExpressionBasis, read_expression
from anifacegan.errors import InputError
from anifacegan.expressions import action_units, parse_strengths
from anifacegan.shapes import EXP_DIM

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

    def coefficients(self, expression: "str | Path | Float[np.ndarray, '64'] | None") -> Float[np.ndarray, "64"]:
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
            raise InputError(f"expression '{text}': model '{self.model}' has no named expressions; {self._wanted()}")
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
