"""Conversion of expressions as users give them (a file, names with strengths, or an array) to expression coefficients.

Names are action units of the face model, or presets that combine several of them.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from anifacegan.face_model.blendshape_files import is_blendshape_file, read_blendshapes
from anifacegan.face_model.coefficients import BFM, OPEN_FACE_MODEL, ExpressionBasis, read_expressions
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.runtime.arguments import array, number
from anifacegan.runtime.errors import InputError, say_once
from anifacegan.runtime.mat_files import is_mat_file, mat_files_in_order
from anifacegan.runtime.number_texts import real_number_of
from anifacegan.runtime.paths import require_file
from anifacegan.runtime.resources import located

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
"""Predefined expressions, by name, as strengths (1 is full) of action units, the face model's elementary movements."""

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
"""Movements that the first expression coefficients of the open face model describe, in order, as strengths of action
units.

Left is the person's left. The last two movements are differences between the sides of the face. For example, a smile on
the left side only is the sum of "smile" and "smile higher on the left". Changing an entry changes the face model.
"""


def is_strong_unit(unit: str) -> bool:
    """Return whether an action unit is one of MakeHuman's, whose names have a hyphen.

    At strength 1, MakeHuman's units move a face further than all other units, which are ARKit's.
    """
    return "-" in unit


STRONGEST = 1000.0
"""Largest strength of a name, in size; 1 is the full expression."""
ExpressionInput = str | Path | Mapping[str, float] | Sequence[float] | np.ndarray | Tensor | None
"""An expression as a program may give it: a file, names with strengths, coefficients, or None for the neutral one."""


def parse_strengths(text: str) -> dict[str, float]:
    """Parse ``"smile=0.7,blink=0.3"`` to names and strengths; a name without a strength has strength 1.

    Raises:
        InputError: a strength is no finite number, or a name is given twice.
    """
    strengths: dict[str, float] = {}
    for item in text.split(","):
        name, equals, value = (part.strip() for part in item.partition("="))
        try:
            strength = real_number_of(value) if equals else 1.0
        except ValueError:
            strength = float("nan")
        if not name or name in strengths or not abs(strength) < float("inf"):
            raise InputError(
                f"expression '{text}': cannot read '{item.strip()}', expected name=strength,... each once"
            )
        if abs(strength) > STRONGEST:
            raise InputError(
                f"expression '{text}': {name} is {value}, expected at most {STRONGEST:g} (1 is full strength)"
            )
        strengths[name] = strength
    return strengths


def action_units(strengths: dict[str, float], presets: dict[str, dict[str, float]]) -> dict[str, float]:
    """Convert strengths of presets and action units, by name, to strengths of action units only.

    ``presets`` holds the strengths of action units of each preset, by its name; other names count as action units.
    """
    units: dict[str, float] = {}
    for name, strength in strengths.items():
        for unit, share in presets.get(name, {name: 1.0}).items():
            units[unit] = units.get(unit, 0.0) + strength * share
    return units


def named_coefficients(
    expression: str,
    basis: ExpressionBasis | None,
    presets: dict[str, dict[str, float]] = PRESETS,
    owner: str = "this face model",
    advice: str = "expected neutral",
) -> Float[np.ndarray, "64"]:
    """Return the coefficients of an expression that names and strengths describe, or of ``"neutral"``, which every face
    model has. ``owner`` and ``advice`` are words of messages: whose names these are, and what to do without any.

    Raises:
        InputError: a name is unknown, or the face model has no named action units (``basis`` is None).
    """
    if expression == NEUTRAL:
        return np.zeros(EXP_DIM, np.float32)
    if basis is None:
        raise InputError(f"expression '{expression}': {owner} has no named expressions; {advice}")
    return _mixed_coefficients(parse_strengths(expression), basis, presets, owner)


def _mixed_coefficients(
    strengths: dict[str, float], basis: ExpressionBasis, presets: dict[str, dict[str, float]], owner: str
) -> Float[np.ndarray, "64"]:
    """Return the coefficients of presets and action units with given strengths, by name.

    Raises:
        InputError: a name is unknown; ``owner`` says whose names are listed.
    """
    for name in strengths:
        if name not in presets and not basis.sides(name):
            known = ", ".join([*presets, *basis.known_names])
            raise InputError(f"expression '{name}' is not known; {owner} has {known}")
    return basis.from_strengths(action_units(strengths, presets))


def check_presets(
    place: str, presets: Mapping[str, Mapping[str, float]], basis: ExpressionBasis | None
) -> None:
    """Require that the presets of a file are mixtures of its action units; ``place`` begins the message.

    Raises:
        InputError: a strength is not finite or too large, a preset names a unit that the file does not have, or the
            file has a unit twice.
    """
    for name, units in presets.items():
        for unit, strength in units.items():
            if not abs(strength) <= STRONGEST:
                raise InputError(
                    f"{place}presets.{name}.{unit} is {strength}, expected a finite number up to {STRONGEST:g}"
                )
            if basis is not None and not basis.sides(unit):
                known = ", ".join(basis.known_names)
                raise InputError(
                    f"{place}presets.{name} has the action unit '{unit}', expected those of the file: {known}"
                )
    names = () if basis is None else basis.names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{place}expression_units has '{twice}' twice, expected each once")


SAME_EXPRESSIONS = {"anifacegan-open-3": OPEN_FACE_MODEL}
"""Earlier names of face models whose expression basis is that of a present one."""
NEUTRAL = "neutral"
"""Name of the expression whose coefficients are all zero."""


def is_expression_file(text: str) -> bool:
    """Return whether an expression is the path of a file (.mat, .csv, .json), in lower or upper case, and no names."""
    return is_mat_file(text) or is_blendshape_file(text)


def names_of(expressions: Sequence[str]) -> tuple[str, ...]:
    """Return what expressions are called where they become a file's: a file's name without its ending, or the names.

    Raises:
        InputError: two have the same name, so that only one of them could be asked for.
    """
    names = tuple(Path(text).stem if is_expression_file(text) else text for text in expressions)
    for k, name in enumerate(names):
        if name in names[:k]:
            first = expressions[names.index(name)]
            raise InputError(
                f"expressions: '{first}' and '{expressions[k]}' are both called '{name}', expected each name once"
            )
    return names


EXPECTED = "a .csv or .json of blendshapes, or names such as smile=0.7,blink=0.3"
"""What an expression may be beside a .mat file."""
SEQUENCE_FILE = "a .mat with face coefficients, or a .csv or .json of blendshapes"
"""What a file of expressions may be."""


def has_separator(text: str) -> bool:
    """Return whether an expression is written as a path of several parts, which no name is."""
    return os.sep in text


def say_names_are_meant(text: str) -> None:
    """Say once on stderr, where a folder with .mat files or a .mat file is called as names of expressions are, that
    the names are meant, and how the path is written."""
    paths = []
    with suppress(OSError):
        if os.path.isdir(text) and mat_files_in_order(Path(text)):
            paths.append(os.path.join(os.curdir, text))
    if os.path.isfile(f"{text}.mat"):
        paths.append(f"{text}.mat")
    if paths:
        say_once(f"'{text}' is the expression of that name; what lies here is {' and '.join(paths)}")


@dataclass(frozen=True)
class ExpressionReader:
    """Converter of expressions to coefficients for one trained generator, or for an avatar baked from it."""

    model: str
    """Name of the generator, for error messages."""
    face_model: str
    """Name of the face model whose coefficients the generator takes."""
    presets: dict[str, dict[str, float]]
    """Predefined expressions, each as strengths of action units."""
    basis: ExpressionBasis | None
    """Action units of the face model; None if the face model has no named action units."""
    pitch_offset: float = 0.0
    """Pitch angle that ``.mat`` files without ``pose`` give to a face seen from the front, radians."""

    def means_names(self, text: str) -> bool:
        """Return whether an expression means names that the generator knows, whatever lies in the current folder.

        Otherwise it is a path: it has a separator (``./smile``) or a file's ending, or a name in it is not known.
        """
        if is_expression_file(text) or has_separator(text):
            return False
        names = [item.partition("=")[0].strip() for item in text.split(",")]
        return text == NEUTRAL or (
            self.basis is not None and all(name in self.presets or self.basis.sides(name) for name in names)
        )

    def coefficients(self, expression: "ExpressionInput") -> Float[np.ndarray, "64"]:
        """Convert an expression to coefficients.

        An expression is a file as :meth:`sequence` reads it with a single frame, names with strengths
        (``"smile=0.7,blink=0.3"``, or a dictionary of them), or 64 coefficients in an array, a tensor or a list; None
        and ``"neutral"`` are the neutral expression.

        Raises:
            InputError: unknown name, unreadable file, several frames, a file that belongs to another face model, or an
                array that does not hold 64 finite numbers.
        """
        if isinstance(expression, Mapping):
            return self._named(expression)
        if expression is not None and not isinstance(expression, (str, Path)):
            return array("expression", expression, EXP_DIM)
        text = NEUTRAL if expression is None else str(expression)
        if has_separator(text) and not is_expression_file(text):
            raise InputError(f"{text}: no .mat file, expected one, {EXPECTED}")
        if not is_expression_file(text):
            owner = f"model '{self.model}'"
            return named_coefficients(text, self.basis, self.presets, owner, self._advice())
        rows = self.sequence(Path(text))
        if len(rows) != 1:
            raise InputError(f"{expression}: holds {len(rows)} frames, expected one expression")
        return rows[0]

    def _named(self, strengths: Mapping[str, float]) -> Float[np.ndarray, "64"]:
        """Convert strengths, each by one name, to coefficients.

        Raises:
            InputError: a name is no text or is not known, or a strength is no finite number.
        """
        for name in strengths:
            if not isinstance(name, str):
                raise InputError(f"expression has {name!r} as a name, expected a text")
        named = {
            str(name): number(f"expression '{name}'", value, STRONGEST) for name, value in strengths.items()
        }
        if not named:
            return np.zeros(EXP_DIM, np.float32)
        owner = f"model '{self.model}'"
        if self.basis is None:
            raise InputError(f"expression {named}: {owner} has no named expressions; {self._advice()}")
        return _mixed_coefficients(named, self.basis, self.presets, owner)

    def sequence(self, path: Path | str) -> Float[np.ndarray, "frame 64"]:
        """Read the expression coefficients of every frame in a file: coefficients (.mat), or blendshapes of ARKit or
        MediaPipe (.csv, .json) where the face model has these action units.

        A relative path means a file in the current folder, or else one of the shipped files.

        A .mat file whose face model cannot be told causes a warning, unless the generator takes coefficients of the
        Basel face model.

        Raises:
            InputError: unreadable file, a file that belongs to another face model, or a face model without units.
        """
        path = located(path, SEQUENCE_FILE)
        require_file(path, SEQUENCE_FILE)
        if is_blendshape_file(path.name):
            if self.basis is None:
                raise InputError(
                    f"{path}: blendshapes are strengths of action units, which model '{self.model}' does not have; "
                    f"{self._advice()}"
                )
            strengths = read_blendshapes(path, self.basis.names)
            return (strengths @ self.basis.units_to_exp.T).astype(np.float32)
        values, owner = read_expressions(path)
        if owner is not None and SAME_EXPRESSIONS.get(owner, owner) != self.face_model:
            raise InputError(
                f"{path}: is for face model '{owner}', but model '{self.model}' takes '{self.face_model}'; "
                f"{self._advice()}"
            )
        if owner is None and self.face_model != BFM:
            warnings.warn(
                f"{path}: does not say which face model it is for; taken to be for '{self.face_model}'",
                stacklevel=3,
            )
        return values

    def _advice(self) -> str:
        if self.face_model == BFM:
            return "bring a Deep3DFaceRecon .mat, whose 'exp' holds BFM expression coefficients"
        return f"bring a .mat made for '{self.face_model}'"
