"""Reader of the open face model's file, which ``anifacegan face-model`` makes from CC0 data of MakeHuman."""

import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import platformdirs
import torch
from torch import Tensor

from anifacegan.face_model.coefficients import OPEN_FACE_MODEL, ExpressionBasis
from anifacegan.face_model.lids import Eye, LidClosing
from anifacegan.face_model.morphable import OPEN_FACE_WORLD_OFFSET, FaceBases, MorphableModel
from anifacegan.face_model.parts import EYE_LABELS
from anifacegan.face_model.people import GROUPS
from anifacegan.geometry.conventions import EXP_DIM, ID_DIM, TEX_DIM
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.file_arrays import Expected, check_arrays
from anifacegan.runtime.npz_files import read_npz
from anifacegan.runtime.paths import exists, user_path

OPEN_FACE_FILE = "face_model.npz"
"""Name of the file in the cache folder."""
BUILD_COMMAND = "anifacegan face-model"
MASKS = (
    "front",
    "face",
    "lips",
    "lids",
    "ears",
    "mouth",
    "beard",
    "goatee",
    "moustache",
    "cheek",
    "nose",
    "forehead",
)
"""Names of the regions of the head; :class:`HeadParts` has a field ``NAME_mask`` for each."""
BLINK_UNITS = ("eyeBlinkLeft", "eyeBlinkRight")
"""Names of the action units that close the eye at +x and the eye at -x."""
EYE_KEYS = (
    *("part", "au_names", "au2exp", "blink_read_out", "lid_upper", "lid_lower", "lid_below"),
    *(f"lid{name}_{side}" for side in "lr" for name in ("", "_followers", "_columns", "_shares")),
)
"""Keys of the arrays in the open face model's file that describe eyeballs, eyelids and blinking."""


@dataclass(frozen=True)
class HeadParts:
    """Regions, part labels, and sampled people and expressions of the open face model.

    V vertices, F triangles, T texture vertices, P people, E expressions, U action units (named elementary movements), S
    hair lines. Lengths are in model units. Signed distances are measured along the surface of the head and are positive
    inside the region.
    """

    part: np.ndarray
    """(V,) label of the part that each vertex belongs to, see :mod:`anifacegan.face_model.parts`."""
    texture_uv: np.ndarray
    """(T, 2) texture coordinates of the texture vertices, u to the right and v down, 0 to 1."""
    texture_tri: np.ndarray
    """(F, 3) index in ``texture_uv`` of the corners of each triangle of the mesh."""
    au_names: np.ndarray
    """(U,) names of the action units."""
    au2exp: np.ndarray
    """(64, U) matrix from strengths of action units to expression coefficients."""
    au_bank: np.ndarray
    """(E, U) strengths of the action units in each of E sampled plausible expressions."""
    bank_id: np.ndarray
    """(P, 80) identity coefficients of P sampled people."""
    bank_tex: np.ndarray
    """(P, 80) texture coefficients of the sampled people."""
    bank_melanin: np.ndarray
    """(P,) melanin of the sampled people's skin, 0 (fair) to 1 (dark)."""
    bank_group: np.ndarray
    """(P,) group of each sampled person by sex, descent and age, 0 to 17, see :mod:`anifacegan.face_model.people`."""
    bank_gender: np.ndarray
    """(P,) gender of the sampled people, from 0 (female) to 1 (male)."""
    bank_age: np.ndarray
    """(P,) age of the sampled people in years."""
    bank_race: np.ndarray
    """(P, 3) shares of MakeHuman's african, asian and caucasian shapes in each sampled person."""
    hair_names: np.ndarray
    """(S,) names of the hair lines."""
    hair_sd: np.ndarray
    """(S, V) signed distance of each vertex to each hair line, positive in the hair."""
    hair_dir: np.ndarray
    """(V, 3) unit direction, at each vertex, in which clothes are offset from the skin."""
    cloth_sd: np.ndarray
    """(V,) signed distance of each vertex to the collar, positive in the clothes."""
    front_mask: np.ndarray
    """(V,) weight of each vertex as part of the front of the head, 0 to 1."""
    face_mask: np.ndarray
    """(V,) weight of each vertex as part of the face, 0 to 1."""
    lips_mask: np.ndarray
    """(V,) weight of each vertex as part of the lips, 0 to 1."""
    lids_mask: np.ndarray
    """(V,) weight of each vertex as part of the eyelids, 0 to 1."""
    ears_mask: np.ndarray
    """(V,) weight of each vertex as part of the ears, 0 to 1."""
    mouth_mask: np.ndarray
    """(V,) weight of each vertex as part of the inside of the mouth, 0 to 1."""
    beard_mask: np.ndarray
    """(V,) weight of each vertex as part of a full beard, 0 to 1."""
    goatee_mask: np.ndarray
    """(V,) weight of each vertex as part of a beard on chin and upper lip, 0 to 1."""
    moustache_mask: np.ndarray
    """(V,) weight of each vertex as part of a moustache, 0 to 1."""
    cheek_mask: np.ndarray
    """(V,) weight of each vertex as part of the cheeks, 0 to 1, falling off as a Gaussian."""
    nose_mask: np.ndarray
    """(V,) weight of each vertex as part of the tip of the nose, 0 to 1, falling off as a Gaussian."""
    forehead_mask: np.ndarray
    """(V,) weight of each vertex as part of the forehead, 0 to 1, falling off as a Gaussian."""
    eye_polar: np.ndarray
    """(V,) angle of an eyeball's vertex from the eye's pole (the middle of the pupil) in radians; zero for other
    vertices."""
    eye_azimuth: np.ndarray
    """(V,) angle of an eyeball's vertex around the eye's pole, radians, from +x toward +y; zero for other vertices."""

    def expression_basis(self) -> ExpressionBasis:
        """Return the names of the action units and the map from their strengths to expression coefficients."""
        return ExpressionBasis(tuple(str(name) for name in self.au_names), self.au2exp)


def _file_arrays(vertices: int) -> dict[str, Expected]:
    """Return the expected types, shapes and value ranges of the file's arrays; an axis length given by a name is any
    number, the same wherever the name is used."""
    lengths, units, index = (-1e3, 1e3), (-0.01, 1.01), (0, vertices - 1)
    return {
        "mean": Expected("f", (vertices, 3), lengths),
        "id_basis": Expected("f", (3 * vertices, ID_DIM), lengths),
        "exp_basis": Expected("f", (3 * vertices, EXP_DIM), lengths),
        "tex_mean": Expected("f", (vertices, 3), lengths),
        "tex_basis": Expected("f", (3 * vertices, TEX_DIM), lengths),
        "tri": Expected("iu", ("triangles", 3), index),
        "landmarks68": Expected("iu", (68,), index),
        "part": Expected("iu", (vertices,), (0, 5)),
        "au_names": Expected("U", ("units",)),
        "au2exp": Expected("f", (EXP_DIM, "units"), lengths),
        "au_bank": Expected("f", ("expressions", "units")),
        "bank_id": Expected("f", ("people", ID_DIM)),
        "bank_tex": Expected("f", ("people", TEX_DIM)),
        "bank_melanin": Expected("f", ("people",), units),
        "bank_group": Expected("iu", ("people",), (0, GROUPS - 1)),
        "bank_gender": Expected("f", ("people",), units),
        "bank_age": Expected("f", ("people",)),
        "bank_race": Expected("f", ("people", 3), units),
        "hair_names": Expected("U", ("lines",)),
        "hair_sd": Expected("f", ("lines", vertices), lengths),
        "hair_dir": Expected("f", (vertices, 3), (-1.01, 1.01)),
        "lid_l": Expected("iu", ("left lids",), index),
        "lid_r": Expected("iu", ("right lids",), index),
        "lid_upper": Expected("iu", (2, "columns"), index),
        "lid_lower": Expected("iu", (2, "columns"), index),
        "lid_below": Expected("f", (2, "columns"), (0, "columns")),
        "lid_followers_l": Expected("iu", ("left followers",), index),
        "lid_followers_r": Expected("iu", ("right followers",), index),
        "lid_columns_l": Expected("iu", ("left followers", "near"), (0, "columns")),
        "lid_columns_r": Expected("iu", ("right followers", "near"), (0, "columns")),
        "lid_shares_l": Expected("f", ("left followers", "near"), units),
        "lid_shares_r": Expected("f", ("right followers", "near"), units),
        "blink_read_out": Expected("f", (2, EXP_DIM), lengths),
        "part_names": Expected("U", ("parts",)),
        "pivot_names": Expected("U", ("pivots",)),
        "pivots": Expected("f", ("pivots", 3), lengths),
        "pivot_id_basis": Expected("f", ("pivots", 3, ID_DIM), lengths),
        "unit_displacements": Expected("f", ("units", vertices, 3), lengths),
        "texture_uv": Expected("f", ("texture vertices", 2), (0.0, 1.0)),
        "texture_tri": Expected("iu", ("triangles", 3), (0, "texture vertices")),
        "cloth_sd": Expected("f", (vertices,), lengths),
        "eye_polar": Expected("f", (vertices,), (0, 3.2)),
        "eye_azimuth": Expected("f", (vertices,), (-3.2, 6.3)),
    } | {f"{name}_mask": Expected("f", (vertices,), units) for name in MASKS}


_BASIS_KEYS = ("mean", "tri", "id_basis", "exp_basis", "tex_mean", "tex_basis", "landmarks68")
"""Keys of the arrays of every version."""


def face_model_path() -> Path:
    """Return the path of the open face model's file in the cache folder.

    The folder is that of the environment variable ANIFACEGAN_CACHE if it is set, else the platform's cache folder.
    """
    folder = os.environ.get("ANIFACEGAN_CACHE")
    return Path(folder or platformdirs.user_cache_path("anifacegan")) / OPEN_FACE_FILE


def load_open_face_model(path: Path | None = None) -> MorphableModel:
    """Load the open face model from its built file at ``path``; None stands for the file in the cache folder.

    Raises:
        InputError: the file is missing, is no face model, or an array in it is misshaped, not finite or out of range.
    """
    arrays = read_open_face_file(path, _BASIS_KEYS + EYE_KEYS)
    names = [str(name) for name in arrays["au_names"]]
    missing = [name for name in BLINK_UNITS if name not in names]
    if missing or len(set(names)) < len(names):
        place = f"{path or face_model_path()}: key 'au_names'"
        problem = f"has no '{missing[0]}'" if missing else "has a name twice"
        raise InputError(f"{place} {problem}; build it again with '{BUILD_COMMAND} --force'")
    vertices = len(arrays["mean"])

    def basis(key: str) -> Tensor:
        return torch.from_numpy(arrays[key].astype(np.float32, copy=False)).reshape(vertices, 3, -1)

    return MorphableModel(
        FaceBases(
            name=OPEN_FACE_MODEL,
            mean=basis("mean")[..., 0].contiguous(),
            id_basis=basis("id_basis"),
            exp_basis=basis("exp_basis"),
            tex_mean=basis("tex_mean")[..., 0].contiguous(),
            tex_basis=basis("tex_basis"),
            triangles=torch.from_numpy(arrays["tri"].astype(np.int64)),
            landmark_vertices=torch.from_numpy(arrays["landmarks68"].astype(np.int64)),
            world_offset=OPEN_FACE_WORLD_OFFSET,
            eyes=_eyes(arrays),
        )
    )


def holds_bases(path: Path) -> bool:
    """Return whether a file holds the bases of a face model of any version, with the expected shapes and ranges."""
    try:
        arrays = read_npz(path, "a face model", _BASIS_KEYS)
        like = _file_arrays(vertices=arrays["mean"].size // 3)
        check_arrays(path, arrays, {key: like[key] for key in _BASIS_KEYS}, "")
    except InputError:
        return False
    return True


def _eyes(arrays: dict[str, np.ndarray]) -> tuple[Eye, ...]:
    """Collect the eyeballs and their lids, the person's left eye (at +x) first."""
    units = ExpressionBasis(tuple(str(name) for name in arrays["au_names"]), arrays["au2exp"])
    exp_basis = arrays["exp_basis"].reshape(len(arrays["mean"]), 3, EXP_DIM)
    found = []
    for eye, (side, label) in enumerate(zip("lr", EYE_LABELS, strict=True)):
        blink = units.units_to_exp[:, units.names.index(BLINK_UNITS[eye])]
        ball = np.flatnonzero(arrays["part"] == label)
        upper, lower = (arrays[key][eye].astype(np.int64) for key in ("lid_upper", "lid_lower"))
        closing = LidClosing(
            upper=upper,
            lower=lower,
            below=arrays["lid_below"][eye],
            followers=arrays[f"lid_followers_{side}"].astype(np.int64),
            columns=arrays[f"lid_columns_{side}"].astype(np.int64),
            shares=arrays[f"lid_shares_{side}"],
            blink_upper=exp_basis[upper] @ blink,
            blink_lower=exp_basis[lower] @ blink,
            blink_ball=(exp_basis[ball] @ blink).mean(axis=0),
            read_out=arrays["blink_read_out"][eye],
        )
        found.append(Eye(ball, arrays[f"lid_{side}"].astype(np.int64), closing))
    return tuple(found)


def load_head_parts(path: Path | None = None) -> HeadParts:
    """Load regions, labels, and sampled people and expressions from the open face model's file at ``path``.

    None stands for the file in the cache folder.

    Raises:
        InputError: see :func:`load_open_face_model`.
    """
    names = tuple(field.name for field in fields(HeadParts))
    return HeadParts(**read_open_face_file(path, names))


def read_open_face_file(path: Path | None, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Read the arrays ``keys`` from the open face model's file and check their types, shapes and ranges.

    None stands for the file in the cache folder.

    Raises:
        InputError: see :func:`load_open_face_model`.
    """
    path = user_path(path) if path else face_model_path()
    rebuild = f"build it again with '{BUILD_COMMAND} --force'"
    if not exists(path):
        raise InputError(f"{path}: no face model here, build it with '{BUILD_COMMAND}'")
    expected = f"the open face model; {rebuild}"
    version = str(read_npz(path, expected, ["version"])["version"])
    if version != OPEN_FACE_MODEL:
        raise InputError(f"{path}: holds face model '{version}', expected '{OPEN_FACE_MODEL}'; {rebuild}")
    arrays = read_npz(path, expected, ["mean", *keys])
    like = _file_arrays(vertices=arrays["mean"].size // 3)
    check_arrays(path, arrays, {key: like[key] for key in ("mean", *keys)}, rebuild)
    return {key: arrays[key] for key in keys}
