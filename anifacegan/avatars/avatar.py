"""An avatar: one baked person in one file, who can be turned and make expressions without the networks.

    avatar = load_avatar("seed7.safetensors")
    image = avatar.render(yaw=0.35, pitch=0.0, expression="smile=0.7,blink=0.3")    # (3, 256, 256) in [0, 1]

The safetensors file holds the arrays of a :class:`LayeredMesh`; the file's header holds everything else as JSON.
"""

import dataclasses
import json
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.avatars.card import AvatarCard, check_card
from anifacegan.avatars.config import SUFFIX
from anifacegan.avatars.file_checks import (
    ARRAYS,
    OPTIONAL_ARRAYS,
    UNITS,
    avatar_arrays,
    check_arrays,
    check_ray_sampling,
)
from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.avatars.players.choice import NumbaPlayer, player_on
from anifacegan.avatars.players.torch_player import TorchPlayer
from anifacegan.face_model.coefficients import ExpressionBasis
from anifacegan.face_model.expressions import ExpressionInput, ExpressionReader, check_presets
from anifacegan.face_model.trajectories import check_views
from anifacegan.geometry.cameras import WIDEST_VIEW_RAD, from_frontal
from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.rendering.frame import RenderedImage, checked_size
from anifacegan.runtime.arguments import array, number, switch
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InexactWarning, InputError
from anifacegan.runtime.files import remove_abandoned, write_complete
from anifacegan.runtime.paths import exists, user_path
from anifacegan.runtime.structured_text import parse_json
from anifacegan.runtime.tensor_files import read_safetensors, safetensors_content
from anifacegan.runtime.typed_config import from_plain

FORMAT = 3
LARGEST_APPROXIMATION_ERROR = 0.1
"""Largest relative error of an expression's coefficients when the blendshapes approximate the expression."""
LARGEST_WEIGHT, LEAST_WEIGHT = 1.5, -0.5
"""Largest absolute weight of a blendshape, and the least one that is drawn without a warning; a weight below 0 or above
1 extrapolates the blendshape. Frames of the demo's smile have a PSNR of 49 dB to the networks' at 0 to 1, of 36 and 38
dB at these two, and of 30 dB at -1."""
_ROUNDING = 1e-3
"""Rounding errors of weights."""
_HEADER = "anifacegan.avatar"
_TENSORS, _CARD = "model.safetensors", "card.yaml"
"""Names of the files of a model folder."""
_SCALARS = {"background_reach": (1e-3, 100.0), "widest_rad": (1e-3, WIDEST_VIEW_RAD)}
"""Name of each number in the header -> its smallest and its largest valid value."""


@dataclass(frozen=True, eq=False)
class Avatar:
    """A baked person who can be turned and make expressions without networks."""

    layered_mesh: LayeredMesh
    """Geometry and textures of the person."""
    card: AvatarCard
    """Facts about the avatar: its name, the model it was baked from, the expressions it can make, and its licence."""
    basis: ExpressionBasis | None = None
    """Expression coefficients of the action units, or None if expressions cannot be given by action units."""
    device: str = "cpu"
    """Device that draws the images; the images lie on it."""

    @cached_property
    def _player(self) -> NumbaPlayer | TorchPlayer:
        return player_on(self.device, self.layered_mesh)

    @cached_property
    def expressions(self) -> ExpressionReader:
        """Reader of the names, action units and .mat files that this avatar accepts as expressions."""
        card = self.card
        return ExpressionReader(card.name, card.face_model, card.presets, self.basis, card.pitch_offset)

    def image(
        self,
        *,
        yaw: float = 0.0,
        pitch: float = 0.0,
        size: int = 256,
        expression: ExpressionInput = None,
        antialias: bool = True,
    ) -> RenderedImage:
        """Draw a square view of the person: colours, opacity and depth of each pixel.

        Args:
            yaw: radians from frontal; positive yaw turns the face to the image's right.
            pitch: radians from frontal; at positive pitch the face looks down.
            size: height and width of the image, pixels.
            expression: names with strengths, as in ``"smile=0.7,blink=0.3"`` (1: full strength); the path of a .mat
                file; 64 expression coefficients of the avatar's face model; or None, the neutral expression. Less than
                -0.5 times an expression that was baked is drawn with an InexactWarning.
            antialias: make outlines smooth: pixels on sharp edges are the mean of several rays. Otherwise a pixel is
                one ray through its centre, which is faster.

        Raises:
            InputError: the expression is unknown, or the avatar was not baked for it; the view is too far from frontal;
                or a number is none, not finite or out of range.
        """
        size, angles = checked_size(size), {"yaw": number("yaw", yaw), "pitch": number("pitch", pitch)}
        antialias = switch("antialias", antialias)
        z_exp = self.expressions.coefficients(expression)
        label = str(expression) if isinstance(expression, (str, Path)) else "coefficients"
        self.check_expression(z_exp, label)
        self._warn_of_extrapolation(z_exp)
        self.check_view(**angles)
        return self._player.image(z_exp, **angles, size=size, antialias=antialias)

    def render(
        self,
        *,
        yaw: float = 0.0,
        pitch: float = 0.0,
        size: int = 256,
        expression: ExpressionInput = None,
        antialias: bool = True,
    ) -> Float[Tensor, "3 size size"]:
        """Draw a square view of the person and return its colours, RGB in [0, 1], background included.

        Args:
            yaw: radians from frontal; positive yaw turns the face to the image's right.
            pitch: radians from frontal; at positive pitch the face looks down.
            size: height and width of the image, pixels.
            expression: names with strengths, as in ``"smile=0.7,blink=0.3"`` (1: full strength); the path of a .mat
                file; 64 expression coefficients of the avatar's face model; or None, the neutral expression.
            antialias: make outlines smooth: pixels on sharp edges are the mean of several rays. Otherwise a pixel is
                one ray through its centre, which is faster.

        Raises:
            InputError: see :meth:`image`.
        """
        return self.image(yaw=yaw, pitch=pitch, size=size, expression=expression, antialias=antialias).rgb

    def check_expression(self, z_exp: Float[np.ndarray, "64"], label: str) -> None:
        """Raise an error if the avatar's blendshapes cannot make the expression with the coefficients ``z_exp``.

        Raises:
            InputError: they are not 64 finite numbers, or the blendshapes cannot make the expression; the message calls
                it ``label``, and lists the expressions that the avatar was baked with.
        """
        z_exp = array("z_exp", z_exp, EXP_DIM)
        error = self.layered_mesh.approximation_error(z_exp)
        if error > LARGEST_APPROXIMATION_ERROR:
            raise InputError(
                f"expression '{label}': {error:.0%} of it cannot be made of what avatar '{self.card.name}' was baked "
                f"with ({', '.join(self.card.expressions) or 'no expression'}); bake it with that expression"
            )
        weights = np.abs(self.layered_mesh.weights(z_exp))
        if weights.size and not weights.max() <= LARGEST_WEIGHT + _ROUNDING:
            name = self.card.expressions[int(weights.argmax())]
            raise InputError(
                f"expression '{label}': takes {weights.max():.3g} times '{name}', but avatar '{self.card.name}' was "
                f"baked with it at 1 and goes up to {LARGEST_WEIGHT}; bake it with that expression"
            )

    def _warn_of_extrapolation(self, z_exp: Float[np.ndarray, "64"]) -> None:
        """Give an InexactWarning if an expression is the reverse of one that the avatar was baked with. Avatars of
        photographs have directions in place of expressions, which go both ways."""
        weights = self.layered_mesh.weights(z_exp)
        if 0 < len(weights) < EXP_DIM and weights.min() < LEAST_WEIGHT - _ROUNDING:
            name = self.card.expressions[int(weights.argmin())]
            warnings.warn(
                f"avatar '{self.card.name}' was baked for 0 to 1 times '{name}', and is less exact below "
                f"{LEAST_WEIGHT} times; bake it with the expression that is shown",
                InexactWarning,
                stacklevel=3,
            )

    def can_make(self, z_exp: Float[np.ndarray, "64"]) -> bool:
        """Return whether the avatar's blendshapes can make the expression with the coefficients ``z_exp``.

        Raises:
            InputError: they are not 64 finite numbers.
        """
        z_exp = array("z_exp", z_exp, EXP_DIM)
        try:
            self.check_expression(z_exp, "")
        except InputError:
            return False
        return True

    def check_view(self, *, yaw: float, pitch: float) -> None:
        """Raise an error if a view (radians from frontal) is farther from frontal than the avatar was baked for.

        Raises:
            InputError: the view is too far from frontal; the message has the angles and the limit.
        """
        yaw, pitch = number("yaw", yaw), number("pitch", pitch)
        # first, as degrees may look like a view that is only a little too far aside
        check_views(yaw=np.array([yaw]), pitch=np.array([pitch]), place="")
        angle = float(from_frontal(yaw=yaw, pitch=pitch))
        if not angle <= self.layered_mesh.widest_rad + 1e-6:
            raise InputError(
                f"yaw {yaw:.3g} and pitch {pitch:.3g} are {angle:.2f} radians from frontal, but avatar "
                f"'{self.card.name}' was baked for views up to {self.layered_mesh.widest_rad:.2f}"
            )


def save_avatar(path: Path | str, avatar: Avatar, overwrite: bool = False) -> None:
    """Write an avatar to the file ``path`` (.safetensors); if writing fails, there is no incomplete file.

    An avatar that is there is replaced; ``overwrite`` lets any other file be replaced, except that of a model folder.

    Raises:
        InputError: another file is in the way, its name has another ending, or it cannot be written.
    """
    path = user_path(path)
    if not isinstance(avatar, Avatar):
        raise InputError(f"avatar is a {type(avatar).__name__}, expected what load_avatar returns")
    if path.suffix.lower() != SUFFIX:
        raise InputError(
            f"{path}: has another ending than avatars have, expected a name that ends in {SUFFIX}"
        )
    require_room_for_avatar(path, switch("overwrite", overwrite))
    layered_mesh = avatar.layered_mesh
    held = ARRAYS | {
        name: of for name, of in OPTIONAL_ARRAYS.items() if getattr(layered_mesh, name) is not None
    }
    arrays = {name: getattr(layered_mesh, name).astype(kind) for name, (kind, _) in held.items()}
    if avatar.basis is not None:
        arrays[UNITS] = avatar.basis.units_to_exp.astype(np.float32)
    header = {
        "format": FORMAT,
        "card": dataclasses.asdict(avatar.card),
        "ray_sampling": dataclasses.asdict(layered_mesh.ray_sampling),
    } | {name: getattr(layered_mesh, name) for name in _SCALARS}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    content = safetensors_content(tensors, {_HEADER: json.dumps(header)})
    remove_abandoned(path)
    write_complete(path, content)


def require_room_for_avatar(path: Path, overwrite: bool = False) -> None:
    """Require that an avatar may be written to a file, before it is baked: there is none yet, or an avatar
    with the numbers that this program wrote; those of earlier versions, without a checksum, may have been edited.

    ``overwrite`` lets any other file be replaced, except that of a model folder.

    Raises:
        InputError: another file is in the way.
    """
    if not exists(path):
        return
    if (path.parent / _CARD).exists() and path.name == _TENSORS:
        raise InputError(f"{path}: is the weights of a model, expected another file")
    try:
        is_avatar = _HEADER in read_safetensors(path, "an avatar")[1]
    except InputError:
        is_avatar = False
    if not (is_avatar or overwrite):
        raise InputError(
            f"{path}: is in the way and no avatar as this program wrote it, expected another file, or overwrite "
            "(--overwrite true)"
        )


def load_avatar(path: Path | str, device: str | torch.device = "cpu") -> Avatar:
    """Read an avatar file (.safetensors), as ``anifacegan bake`` writes it.

    ``device`` ("cpu", "cuda", or "auto", a GPU if there is one) is where its images will be drawn, and will lie.

    Raises:
        InputError: there is no such file, it holds no avatar, or a value in it is missing or invalid.
    """
    path, device = user_path(path), select_device(device)
    tensors, metadata = read_safetensors(path, f"a baked avatar ({SUFFIX})")
    if _HEADER not in metadata:
        raise InputError(f"{path}: holds no avatar (of a model, name its folder); anifacegan bake makes one")
    header = _read_header(path, metadata[_HEADER])
    arrays = avatar_arrays(path, tensors)
    check_arrays(path, arrays)
    card = from_plain(AvatarCard, header["card"], str(path), "card.")
    check_card(path, card)
    ray_sampling = from_plain(RaySamplingConfig, header["ray_sampling"], str(path), "ray_sampling.")
    check_ray_sampling(path, ray_sampling, float(header["widest_rad"]))
    if len(card.expressions) != len(arrays["z_exp"]):
        raise InputError(
            f"{path}: names {len(card.expressions)} expressions, but holds {len(arrays['z_exp'])}; the file is damaged"
        )
    values = {name: arrays[name] for name in ARRAYS.keys() | (OPTIONAL_ARRAYS.keys() & arrays.keys())}
    values |= {name: array.astype(np.float32) for name, array in values.items() if array.dtype == np.float16}
    scalars = {name: float(header[name]) for name in _SCALARS}
    layered_mesh = LayeredMesh(**values, ray_sampling=ray_sampling, **scalars)
    basis = _read_basis(path, card, arrays)
    check_presets(f"{path}: card.", card.presets, basis)
    return Avatar(layered_mesh, card, basis, device)


def _read_header(path: Path, text: str) -> dict[str, Any]:
    """Parse the header, and check that every entry is there and every number is in its valid range."""
    header = parse_json(text, f"{path}: its header")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else None
        raise InputError(f"{path}: has format {found}, expected {FORMAT}: bake it again")
    for name in ("card", "ray_sampling"):
        if not isinstance(header.get(name), dict):
            raise InputError(f"{path}: its header has no '{name}'; the file is damaged")
    for name, (least, most) in _SCALARS.items():
        value = header.get(name)
        if not isinstance(value, float | int) or isinstance(value, bool) or not least <= value <= most:
            raise InputError(f"{path}: {name} is {value}, expected a number from {least} to {most}")
    return header


def _read_basis(path: Path, card: AvatarCard, arrays: dict[str, np.ndarray]) -> ExpressionBasis | None:
    """Return the expression coefficients of the action units, or None if the file does not have them."""
    if UNITS not in arrays:
        return None
    units, expected = arrays[UNITS], (EXP_DIM, len(card.expression_units))
    if units.shape != expected or units.dtype != np.float32:
        raise InputError(
            f"{path}: tensor '{UNITS}' is {units.dtype}{units.shape}, expected float32{expected}"
        )
    return ExpressionBasis(card.expression_units, arrays[UNITS])
