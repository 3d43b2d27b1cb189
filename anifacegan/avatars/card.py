"""What an avatar's file says of it beside geometry and textures: where it comes from and what it can show."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anifacegan.face_model.expressions import STRONGEST
from anifacegan.geometry.conventions import ID_DIM, NOISE_DIM
from anifacegan.runtime.errors import InputError

SYNTHETIC = "Synthetic image: made by anifacegan from one photograph; the person did not do this"
"""Text in every image and film of an avatar of a photograph."""


@dataclass(frozen=True)
class AvatarCard:
    """Describes an avatar: which model and person it was baked from, and which expressions it can make."""

    name: str
    """Name of the avatar, for example the name of its file."""
    model: str
    """Name of the model that the avatar was baked from."""
    face_model: str
    """Name of the face model that the avatar's expression coefficients belong to."""
    psi: float
    """Truncation psi of the person's appearance latent: 1 leaves it as it is, 0 gives the average appearance."""
    expressions: tuple[str, ...]
    """Name of the expression of each blendshape, in the order of the blendshapes."""
    pitch_offset: float = 0.0
    """Pitch that the .mat files of the model's training data give a frontal face, radians."""
    licence: str = ""
    """Licence of the model that the avatar was baked from."""
    presets: dict[str, dict[str, float]] = field(default_factory=dict)
    """Name of each preset expression -> action unit (elementary facial movement) -> weight of the action unit."""
    expression_units: tuple[str, ...] = ()
    """Names of the action units by which an expression can be given."""
    baking: dict[str, Any] = field(default_factory=dict)
    """Settings with which the avatar was baked, and the approximation errors of baking."""
    identity: tuple[float, ...] = ()
    """Identity coefficients of the person, 80 of the face model; none in files of older versions."""
    appearance: tuple[float, ...] = ()
    """Appearance latents of the person, 80 as the synthetic renderer reads them; none for photographs, for models that
    were not trained on its images, and in files of older versions."""

    @property
    def is_of_photograph(self) -> bool:
        """Whether the avatar was made from a photograph, so that its images have to say that they are synthetic."""
        return "photograph" in self.baking


def check_card(path: Path, card: AvatarCard) -> None:
    """Refuse a card with numbers that are not finite, or too few of them.

    Raises:
        InputError: the card is refused; the message names the file ``path`` and the entry.
    """
    if len(card.identity) not in (0, ID_DIM):
        raise InputError(f"{path}: card.identity has {len(card.identity)} numbers, expected {ID_DIM}")
    if len(card.appearance) not in (0, NOISE_DIM):
        raise InputError(f"{path}: card.appearance has {len(card.appearance)} numbers, expected {NOISE_DIM}")
    numbers = {"psi": card.psi, "pitch_offset": card.pitch_offset}
    for name in ("identity", "appearance"):
        numbers |= {f"{name}[{k}]": value for k, value in enumerate(getattr(card, name))}
    for name, value in numbers.items():
        if not abs(value) <= STRONGEST:
            raise InputError(f"{path}: card.{name} is {value}, expected a finite number up to {STRONGEST:g}")
