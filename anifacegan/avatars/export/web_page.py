"""An avatar as one HTML file that plays in a browser with WebGL2, from a disk or any server, and loads nothing else.

The page's own files are in the folder ``page`` beside this module. The avatar is one block of bytes in the page, as
base64: geometry and coefficients compressed by gzip (:mod:`.web_geometry`), then AVIF pictures (:mod:`.web_textures`).
"""

import base64
import html
import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.export.config import WIDEST_RAD, WebConfig
from anifacegan.avatars.export.visible_part import visible_part
from anifacegan.avatars.export.web_geometry import packed_geometry
from anifacegan.avatars.export.web_textures import pictures, require_avif
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.runtime.errors import ConfigError, InputError
from anifacegan.runtime.files import encoded, sha256
from anifacegan.runtime.paths import exists, require_file

SCRIPTS = (
    "arguments.js",
    "geometry.js",
    "expression.js",
    "shaders.js",
    "renderer.js",
    "controls.js",
    "main.js",
)
"""The parts of the page's program, in the order in which they are put together."""
METRES_PER_MM = 1e-3
GENERATOR = '<meta name="generator" content="anifacegan export web"'
"""The beginning of the tag by which a page is known as one of this program's. An attribute of it is the checksum of the
rest of the page, by which one that somebody has edited is known; pages of earlier versions have none."""
_GENERATOR_TAG = re.compile(f'{GENERATOR}(?: data-rest="([0-9a-f]+)")?>'.encode())
_DIGITS = 16
"""Number of hexadecimal digits of the checksum."""


@dataclass(frozen=True)
class Sequence:
    """Expressions that the page's button Play shows one after another."""

    coefficients: Float[np.ndarray, "frame 64"]
    """Expression coefficients of each frame."""
    fps: float
    """Frames a second."""


def web_page(avatar: Avatar, config: WebConfig, sequence: Sequence | None = None) -> str:
    """Return the HTML of the page; with a ``sequence``, it has a button that plays it.

    Raises:
        InputError: the avatar was baked for smaller angles than the options ask for, its geometry cannot be packed
            (:func:`packed_geometry`), or Pillow cannot write AVIF.
    """
    require_avif()
    widest = _widest(config, avatar)
    part = visible_part(avatar.layered_mesh, widest)
    mesh = part.layered_mesh
    try:
        geometry = packed_geometry(part, config.precision_mm * METRES_PER_MM, _coefficients(avatar, sequence))
    except InputError as error:
        raise InputError(f"avatar '{avatar.card.name}': {error}") from None
    blobs = [geometry.content, *pictures(mesh, config.quality)]
    header = geometry.header | _description(avatar) | {
        "widest": widest,
        "texture": [mesh.textures.shape[2], mesh.textures.shape[1]],
        "sequence": None if sequence is None else {"fps": sequence.fps, "loop": False},
        "lengths": [len(blob) for blob in blobs],
    }  # fmt: skip
    folder = resources.files("anifacegan.avatars.export") / "page"
    texts = {
        "TITLE": html.escape(avatar.card.name),
        "STYLE": (folder / "style.css").read_text(),
        "SCRIPT": "\n".join((folder / name).read_text() for name in SCRIPTS),
        "HEADER": json.dumps(header, separators=(",", ":")).replace("<", "\\u003c"),
        "DATA": base64.b64encode(b"".join(blobs)).decode(),
    }
    page = re.sub("@@([A-Z]+)@@", lambda found: texts[found[1]], (folder / "page.html").read_text())
    before, _, after = page.partition(f"{GENERATOR}>")
    rest = _checksum(encoded(before), encoded(after))
    return f'{before}{GENERATOR} data-rest="{rest}">{after}'


def _widest(config: WebConfig, avatar: Avatar) -> float:
    """Return the largest angle to which the page turns the head, radians.

    Raises:
        ConfigError: the avatar was not baked for the angle that is asked for.
    """
    baked = avatar.layered_mesh.widest_rad
    if config.widest_rad is None:
        return min(WIDEST_RAD, baked)
    if config.widest_rad > baked + 1e-6:  # as Avatar.check_view
        angle = f"at most {baked:g}, the angle for which avatar '{avatar.card.name}' was baked"
        raise ConfigError("web.widest_rad", config.widest_rad, angle)
    return min(config.widest_rad, baked)


def require_room_for_page(path: Path, overwrite: bool = False) -> None:
    """Require that a page may be written to a file: there is none yet, or one of this program that nobody has edited.

    Raises:
        InputError: another file is in the way, and ``overwrite`` is not set.
    """
    if overwrite or not exists(path):
        return
    require_file(path, "a page of ours, or another --out")
    with path.open("rb") as file:
        tag = _GENERATOR_TAG.search(file.read(4096))
    if tag is None:
        what = "no page of ours"
    elif tag[1] is not None and _rest_checksum(path, tag) != tag[1].decode():
        what = "a page of ours that somebody has edited"
    else:
        return
    raise InputError(f"{path}: is in the way and {what}, expected another --out, or --overwrite true")


def _rest_checksum(path: Path, tag: re.Match[bytes]) -> str:
    content = path.read_bytes()
    return _checksum(content[: tag.start()], content[tag.end() :])


def _checksum(*parts: bytes) -> str:
    return sha256(parts)[:_DIGITS]


def _description(avatar: Avatar) -> dict[str, Any]:
    """Return what the page needs to know beside the geometry: names, and how rays are sampled."""
    card, mesh = avatar.card, avatar.layered_mesh
    sampling = mesh.ray_sampling
    return {
        "name": card.name,
        "licence": card.licence,
        "expressions": card.expressions,
        "presets": card.presets,
        "units": card.expression_units if avatar.basis is not None else (),
        "coefficients": EXP_DIM,
        "backgroundReach": mesh.background_reach,
        "sampling": {
            "near": sampling.near, "far": sampling.far, "fov": sampling.fov_deg, "plane": sampling.background_z,
        },
    }  # fmt: skip


def _coefficients(avatar: Avatar, sequence: Sequence | None) -> dict[str, Float[np.ndarray, "*any"]]:
    """Return the arrays with which the page turns names into weights, and the sequence."""
    units = np.zeros((EXP_DIM, 0)) if avatar.basis is None else avatar.basis.units_to_exp
    arrays = {
        "z_exp": avatar.layered_mesh.z_exp,
        "to_weights": avatar.layered_mesh.weights(np.eye(EXP_DIM, dtype=np.float32)),
        "units_to_exp": np.ascontiguousarray(units.T),
    }
    if sequence is not None:
        arrays["sequence"] = sequence.coefficients
    return {name: array.astype(np.float32) for name, array in arrays.items()}
