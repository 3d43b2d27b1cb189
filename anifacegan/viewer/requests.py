"""Messages from the page to the server: JSON texts, each checked in full before anything is done with it.

A message is ``{"type": "draw", "id": 3, "view": {...}}``. The types ``draw``, ``screenshot`` and ``person`` carry the
view that is meant; ``load`` carries a path; ``record`` and ``webcam`` start and stop.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from anifacegan.face_model.config import require_psi
from anifacegan.geometry.cameras import WIDEST_VIEW_RAD
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.runtime.errors import ConfigError, InputError, require_within
from anifacegan.runtime.structured_text import parse_json
from anifacegan.runtime.typed_config import from_plain

MOST_CHARACTERS = 2**14
"""Largest length of a message; one with a strength for every action unit has 3,000 characters."""
MOST_ID = 2**53
"""Largest number of a request: whole numbers of JavaScript end there."""
LEAST_PX, MOST_PX = 32, 1024
"""Smallest and largest height and width of a frame, pixels."""
MOST_STRENGTH = 10.0
"""Largest strength of an expression and largest coefficient, in size."""
MOST_NAMES = 128
"""Largest number of expressions that a view mixes."""
WIDEST_SLICE = 0.09
"""Farthest slice through the head from its middle, world units."""
Shown = Literal["colour", "depth", "normals", "slice"]
"""What a frame shows: colours, distances, normals, or the manifolds where a plane cuts them."""
FrameSource = Literal["baked", "networks"]
"""What draws a frame: the player of baked people, or the networks."""


@dataclass(frozen=True)
class View:
    """Everything that a frame depends on: person, expression, camera and kind of picture."""

    seed: int = 1
    """Random seed of the person; avatars have one person only."""
    psi: float = 0.7
    """Truncation psi of the appearance."""
    strengths: dict[str, float] = field(default_factory=dict)
    """Strength of each expression or action unit, by its name; 1 is full."""
    coefficients: tuple[float, ...] = ()
    """First expression coefficients, added to those of the names."""
    yaw: float = 0.0
    """Radians from frontal."""
    pitch: float = 0.0
    """Radians from frontal."""
    size: int = 256
    """Height and width of the frame, pixels."""
    shown: Shown = "colour"
    """What the frame shows."""
    source: FrameSource = "baked"
    """What is asked to draw it."""
    plane: Literal["yz", "xz"] = "yz"
    """Axes that span the plane of a slice: sagittal or horizontal."""
    at: float = 0.0
    """Coordinate of the plane on its perpendicular axis, world units."""

    def __post_init__(self) -> None:
        require_within(self, 0, MOST_ID, "seed")
        require_within(self, LEAST_PX, MOST_PX, "size")
        require_within(self, -WIDEST_VIEW_RAD, WIDEST_VIEW_RAD, "yaw", "pitch")
        require_within(self, -WIDEST_SLICE, WIDEST_SLICE, "at")
        require_psi("psi", self.psi)
        if len(self.coefficients) > EXP_DIM or not all(abs(c) <= MOST_STRENGTH for c in self.coefficients):
            raise ConfigError(
                "coefficients", list(self.coefficients), f"at most {EXP_DIM} numbers up to {MOST_STRENGTH:g}"
            )
        if len(self.strengths) > MOST_NAMES:
            raise ConfigError("strengths", f"{len(self.strengths)} names", f"at most {MOST_NAMES}")
        for name, strength in self.strengths.items():
            if not abs(strength) <= MOST_STRENGTH:
                raise ConfigError(f"strengths.{name}", strength, f"a finite number up to {MOST_STRENGTH:g}")


@dataclass(frozen=True)
class Draw:
    """Draw a frame."""

    view: View
    id: int = 0
    """Number that the answer repeats."""

    def __post_init__(self) -> None:
        require_within(self, 0, MOST_ID, "id")


@dataclass(frozen=True)
class Screenshot:
    """Write the view as an image file."""

    view: View


@dataclass(frozen=True)
class SavePerson:
    """Write the latents of the person on view."""

    view: View


@dataclass(frozen=True)
class Load:
    """Show another model or avatar from now on."""

    path: str


@dataclass(frozen=True)
class Record:
    """Start to record what this page shows, or write it as a film."""

    on: bool


@dataclass(frozen=True)
class Webcam:
    """Say whether binary messages, camera pictures, will follow."""

    on: bool


Message = Draw | Screenshot | SavePerson | Load | Record | Webcam
TYPES: dict[str, type] = {
    "draw": Draw, "screenshot": Screenshot, "person": SavePerson, "load": Load, "record": Record, "webcam": Webcam,
}  # fmt: skip


def parse_message(text: str) -> Message:
    """Read a message.

    Raises:
        InputError: it is too long, no JSON, of no known type, or has a missing, unknown or invalid value.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"message: has {len(text)} characters, expected at most {MOST_CHARACTERS}")
    content: Any = parse_json(text, "message")
    if not isinstance(content, dict):
        raise InputError(f"message: holds a {type(content).__name__}, expected keys and values")
    name = content.pop("type", None)
    if not isinstance(name, str) or name not in TYPES:
        raise InputError(f"message: type is {name!r}, expected one of {', '.join(TYPES)}")
    return from_plain(TYPES[name], content, f"message '{name}'")
