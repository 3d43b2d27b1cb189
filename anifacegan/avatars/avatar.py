"""A layered avatar with what a user has to know of it, in one file: it plays without the networks.

    player = load_avatar("seed7.safetensors")
    image = player.render(yaw=0.35, pitch=0.0, expression="smile=0.7,blink=0.3")    # (3, 256, 256) in [0, 1]

The file is a safetensors file with the arrays of :class:`LayeredMesh`; its header holds the card as JSON.
"""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.avatars.players.choice import player_on
from anifacegan.face_model.coefficients import ExpressionBasis
from anifacegan.face_model.expressions import ExpressionReader
from anifacegan.geometry.cameras import WIDEST_VIEW_RAD, from_frontal
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.geometry.rays import RaySamplingConfig
from anifacegan.rendering.frame import FrameRenderer, RenderedImage, check_size
from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.typed_config import from_plain

SUFFIX = ".safetensors"
FORMAT = 2
MOST_MISSED = 0.1
"""Share of an expression, by the length of its coefficients, that may be missing from the blendshapes."""
MOST_WEIGHT = 1.5
"""Of a blendshape, in either direction: beyond 0 and 1 skin goes on along the straight line between them."""
_HEADER = "anifacegan.avatar"
_UNITS = "expression.units_to_exp"
_ARRAYS = {
    "vertices": ("float32", (None, 3)),
    "texels": ("float32", (None, 2)),
    "triangles": ("int32", (None, 3)),
    "starts": ("int32", (None,)),
    "textures": ("uint8", (None, None, None, 4)),
    "background": ("uint8", (None, None, 3)),
    "blendshapes": ("float16", (None, None, None, 3)),
    "texel_steps": ("float32", (None, None, None, 2)),
    "latents": ("float32", (None, 64)),
}
"""Kind and shape of the arrays, as the file has them."""
_LARGEST = {
    "vertices": 100.0,
    "blendshapes": 100.0,
    "texels": 1e6,
    "texel_steps": 1e6,
    "latents": 1e6,
    _UNITS: 1e6,
}
"""Of the values of the arrays, in either direction: world units, texels and coefficients far beyond any avatar's."""
_SIZES = {"background_reach": (1e-3, 100.0), "widest_rad": (1e-3, WIDEST_VIEW_RAD)}
"""Numbers of the header, with the smallest and the largest that make sense."""
LEAST_STEP = 1e-6
"""Between two samples of a ray, world units: the compiled player counts in float32."""


@dataclass(frozen=True)
class AvatarCard:
    """What a user has to know of an avatar, besides its arrays."""

    name: str
    """Of the avatar, its file's name for example."""
    model: str
    """Name of the model that it was baked from."""
    face_model: str
    """Face model whose bases the expressions belong to."""
    psi: float
    """Truncation that it was baked with: part of how the person looks."""
    expressions: tuple[str, ...]
    """What its blendshapes show, in the order of the blendshapes."""
    pitch_offset: float = 0.0
    """Pitch of a frontal face in the .mat files of the model's data set, radians."""
    licence: str = ""
    """Licence of the model that it was baked from."""
    presets: dict[str, dict[str, float]] = field(default_factory=dict)
    """Named expressions in action units."""
    expression_units: tuple[str, ...] = ()
    """Names of the action units that an expression can be given in."""
    baking: dict[str, Any] = field(default_factory=dict)
    """How it was baked, and what came out inexact."""


@dataclass(frozen=True)
class Avatar:
    """One person who can be turned and make expressions, without networks."""

    avatar: LayeredMesh
    card: AvatarCard
    basis: ExpressionBasis | None = None
    device: str = "cpu"
    """Where images are drawn, and where they lie."""

    @cached_property
    def _player(self) -> FrameRenderer:
        return player_on(self.device, self.avatar)

    @cached_property
    def expressions(self) -> ExpressionReader:
        """What the avatar understands as an expression."""
        card = self.card
        return ExpressionReader(card.name, card.face_model, card.presets, self.basis, card.pitch_offset)

    def image(
        self,
        *,
        yaw: float = 0.0,
        pitch: float = 0.0,
        size: int = 256,
        expression: "str | Path | Float[np.ndarray, '64'] | None" = None,
    ) -> RenderedImage:
        """Everything the player knows of a view. Angles are radians from frontal; at positive yaw the face turns to
        the image's right, at positive pitch it looks down.

        Raises:
            InputError: an expression that is not known, or that the avatar was not baked for; a view too far from
                frontal; an image of one pixel.
        """
        check_size(size)
        z_exp = self.expressions.coefficients(expression)
        self.check_expression(
            z_exp, "coefficients" if isinstance(expression, np.ndarray) else str(expression)
        )
        self.check_view(yaw=yaw, pitch=pitch)
        return self._player.image(z_exp, yaw=float(yaw), pitch=float(pitch), size=size)

    def render(
        self,
        *,
        yaw: float = 0.0,
        pitch: float = 0.0,
        size: int = 256,
        expression: "str | Path | Float[np.ndarray, '64'] | None" = None,
    ) -> Float[Tensor, "3 size size"]:
        """The image's colours in [0, 1]."""
        return self.image(yaw=yaw, pitch=pitch, size=size, expression=expression).rgb

    def check_expression(self, z_exp: Float[np.ndarray, "64"], label: str) -> None:
        """Refuse an expression that the blendshapes cannot make."""
        missed = self.avatar.missed(z_exp)
        if missed > MOST_MISSED:
            raise InputError(
                f"expression '{label}': {missed:.0%} of it cannot be made of what avatar '{self.card.name}' was baked "
                f"with ({', '.join(self.card.expressions) or 'no expression'}); bake it with that expression"
            )
        weights = np.abs(self.avatar.weights(z_exp))
        if weights.size and not weights.max() <= MOST_WEIGHT:
            name = self.card.expressions[int(weights.argmax())]
            raise InputError(
                f"expression '{label}': takes {weights.max():.3g} times '{name}', but avatar '{self.card.name}' was "
                f"baked with it at 1 and goes up to {MOST_WEIGHT}; bake it with that expression"
            )

    def can_make(self, z_exp: Float[np.ndarray, "64"]) -> bool:
        """Whether the blendshapes can make an expression."""
        try:
            self.check_expression(z_exp, "")
        except InputError:
            return False
        return True

    def check_view(self, *, yaw: float, pitch: float) -> None:
        """Refuse a view from farther aside than the avatar was baked for."""
        angle = float(from_frontal(yaw=yaw, pitch=pitch))
        if not angle <= self.avatar.widest_rad + 1e-6:
            raise InputError(
                f"yaw {yaw:.3g} and pitch {pitch:.3g} are {angle:.2f} radians from frontal, but avatar "
                f"'{self.card.name}' was baked for views up to {self.avatar.widest_rad:.2f}"
            )


def save_avatar(path: Path, player: Avatar) -> None:
    """Write one file, complete or not at all."""
    arrays = {name: getattr(player.avatar, name).astype(kind) for name, (kind, _) in _ARRAYS.items()}
    if player.basis is not None:
        arrays[_UNITS] = player.basis.units_to_exp
    header = {
        "format": FORMAT,
        "card": dataclasses.asdict(player.card),
        "ray_sampling": dataclasses.asdict(player.avatar.ray_sampling),
    } | {name: getattr(player.avatar, name) for name in _SIZES}
    content = save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}, {_HEADER: json.dumps(header)}
    )
    write_complete(path, content)


def load_avatar(path: Path | str, device: str = "cpu") -> Avatar:
    """Read what :func:`save_avatar` wrote, to be played on a device.

    Raises:
        InputError: no such file, no avatar, or something in it does not fit.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a baked avatar ({SUFFIX})")
    try:
        with safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get(_HEADER)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({first_line(error)})") from None
    if text is None:
        raise InputError(f"{path}: holds no avatar (of a model, name its folder); anifacegan bake makes one")
    header = _read_header(path, text)
    _check_arrays(path, arrays)
    card = from_plain(AvatarCard, header["card"], str(path), "card.")
    _check_card(path, card)
    ray_sampling = from_plain(RaySamplingConfig, header["ray_sampling"], str(path), "ray_sampling.")
    _check_march(path, ray_sampling, float(header["widest_rad"]))
    if len(card.expressions) != len(arrays["latents"]):
        raise InputError(
            f"{path}: names {len(card.expressions)} expressions, but holds {len(arrays['latents'])}; the file is damaged"
        )
    values = {name: arrays[name] for name in _ARRAYS} | {
        "blendshapes": arrays["blendshapes"].astype(np.float32)
    }
    sizes = {name: float(header[name]) for name in _SIZES}
    avatar = LayeredMesh(**values, ray_sampling=ray_sampling, **sizes)
    return Avatar(avatar, card, _read_basis(path, card, arrays), device)


def _read_header(path: Path, text: str) -> dict[str, Any]:
    """What the header says, with everything that has to be there."""
    try:
        header = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: its header is no JSON ({first_line(error)}); the file is damaged"
        ) from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else None
        raise InputError(f"{path}: has format {found}, expected {FORMAT}: bake it again")
    for name in ("card", "ray_sampling"):
        if not isinstance(header.get(name), dict):
            raise InputError(f"{path}: its header has no '{name}'; the file is damaged")
    for name, (least, most) in _SIZES.items():
        value = header.get(name)
        if not isinstance(value, float | int) or isinstance(value, bool) or not least <= value <= most:
            raise InputError(f"{path}: {name} is {value}, expected a number from {least} to {most}")
    return header


def _check_card(path: Path, card: AvatarCard) -> None:
    """Refuse numbers that no rendering can come from."""
    numbers = {"psi": card.psi, "pitch_offset": card.pitch_offset}
    numbers |= {
        f"presets.{name}.{unit}": x for name, units in card.presets.items() for unit, x in units.items()
    }
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise InputError(f"{path}: card.{name} is {value}, expected a finite number")


def _check_march(path: Path, ray_sampling: RaySamplingConfig, widest_rad: float) -> None:
    """Refuse a march that a compiled player cannot follow, and views in which a ray does not reach the background."""
    step = (ray_sampling.far - ray_sampling.near) / (ray_sampling.samples - 1)
    if not (
        ray_sampling.far <= 100
        and step >= LEAST_STEP
        and abs(ray_sampling.background_z) <= 100
        and ray_sampling.fov_deg >= 0.01
    ):
        raise InputError(
            f"{path}: {ray_sampling} is out of range, expected far up to 100, steps of at least {LEAST_STEP}, background_z "
            "within 100 and fov_deg of at least 0.01"
        )
    corner = math.atan(math.sqrt(2) * math.tan(math.radians(ray_sampling.fov_deg / 2)))
    if not widest_rad + corner < math.pi / 2:
        raise InputError(
            f"{path}: views up to widest_rad {widest_rad:.3g} see beside the background's plane with fov_deg "
            f"{ray_sampling.fov_deg:.3g}, expected less than 90 degrees for widest_rad and half the image's diagonal"
        )


def _read_basis(path: Path, card: AvatarCard, arrays: dict[str, np.ndarray]) -> ExpressionBasis | None:
    """Named expressions, where the file has them."""
    if _UNITS not in arrays:
        return None
    units, target = arrays[_UNITS], (EXP_DIM, len(card.expression_units))
    if units.shape != target or units.dtype.kind != "f":
        raise InputError(f"{path}: tensor '{_UNITS}' is {units.dtype}{units.shape}, expected float32{target}")
    return ExpressionBasis(card.expression_units, arrays[_UNITS])


def _check_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Refuse, by name, what is missing or misshaped, and indices that lead outside: the player does not look."""
    for name, (kind, shape) in _ARRAYS.items():
        if name not in arrays:
            raise InputError(f"{path}: tensor '{name}' is missing")
        array = arrays[name]
        fits = array.dtype == kind and array.ndim == len(shape)
        if not fits or any(size not in (None, got) for size, got in zip(shape, array.shape, strict=True)):
            target = tuple("N" if size is None else size for size in shape)
            raise InputError(
                f"{path}: tensor '{name}' is {array.dtype}{array.shape}, expected {kind}{target}"
            )
    vertices, triangles, starts = len(arrays["vertices"]), arrays["triangles"], arrays["starts"]
    layers = len(arrays["textures"])
    whole = (
        len(arrays["texels"]) == vertices == arrays["blendshapes"].shape[2]
        and arrays["texel_steps"].shape[2] <= vertices
        and arrays["texel_steps"].shape[:2] == arrays["blendshapes"].shape[:2]
        and arrays["blendshapes"].shape[1] >= 1
        and len(arrays["latents"]) == len(arrays["blendshapes"])
        and len(starts) == layers + 1
        and starts[0] == 0
        and starts[-1] == len(triangles)
        and bool((np.diff(starts) >= 0).all())
        and bool(((triangles >= 0) & (triangles < vertices)).all())
        and min(*arrays["textures"].shape[1:3], *arrays["background"].shape[:2]) >= 2
        and arrays["background"].shape[0] == arrays["background"].shape[1]
    )
    if not whole:
        raise InputError(f"{path}: its tensors do not belong together; the file is damaged")
    for name in _LARGEST.keys() & arrays.keys():
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            raise InputError(f"{path}: tensor '{name}' has values that are not finite; the file is damaged")
        largest = np.abs(arrays[name]).max(initial=0)
        if largest > _LARGEST[name]:
            raise InputError(
                f"{path}: tensor '{name}' has a value of size {largest:.3g}, expected at most {_LARGEST[name]:g}; the "
                "file is damaged"
            )
