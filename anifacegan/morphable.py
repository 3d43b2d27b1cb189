"""A parametric face: coefficients to vertices, colours, normals, landmarks; and the files that hold one.

    shape  S = mean + B_id z_id + B_exp z_exp        (method, section 3)
    albedo T = tex_mean + B_tex tex
    pose   p' = p R + trans                          R = (Rz Ry Rx)^T, points as rows

Everything is in **model units**, those of Deep3DFaceRecon: the face lies within about +-1, y is up, z points
to the camera. World units are ``0.1 * model + world_offset``. Two files load into the same class: the open
face model, built from CC0 data by scripts/build_face_model.py, and the user's own ``BFM_model_front.mat``.
"""

import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
import platformdirs
import scipy.io
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.spatial import ConvexHull
from torch import Tensor, nn

from anifacegan.atomic_files import file_sha256
from anifacegan.cameras import euler_rotation
from anifacegan.coefficients import BFM, OPEN_FACE_MODEL, ExpressionBasis
from anifacegan.errors import InputError
from anifacegan.file_arrays import Expected, check_arrays
from anifacegan.mesh_normals import vertex_normals
from anifacegan.shapes import EXP_DIM, ID_DIM, TEX_DIM

OPEN_FACE_FILE = "face_model.npz"
BUILD_COMMAND = "python scripts/build_face_model.py"

WORLD_PER_MODEL_UNIT = 0.1
OPEN_FACE_WORLD_OFFSET = (0.0, 0.0, 0.0)
BFM_WORLD_OFFSET = (0.0, 0.0, -0.027)
"""Puts BFM's face where the open model's is; its origin lies about 0.27 further back (estimated)."""

ALIGNMENT_LANDMARKS = ((36, 39), (42, 45), (30,), (48,), (54,))
"""Landmarks whose means are Deep3DFaceRecon's 5 alignment points: two eyes, nose tip, two mouth corners."""


@dataclass(frozen=True)
class FaceBases:
    """What a morphable model is made of; see :class:`MorphableModel`."""

    name: str
    mean: Float[Tensor, "vertex 3"]
    id_basis: Float[Tensor, "vertex 3 id_dim"]
    exp_basis: Float[Tensor, "vertex 3 exp_dim"]
    tex_mean: Float[Tensor, "vertex 3"]
    """RGB in [0, 1]."""
    tex_basis: Float[Tensor, "vertex 3 tex_dim"]
    triangles: Int[Tensor, "triangle 3"]
    """Counter-clockwise seen from outside."""
    landmark_vertices: Int[Tensor, "68"]
    world_offset: tuple[float, float, float]
    normal_weighting: Literal["area", "equal"] = "area"
    """How the triangles around a vertex share in its normal: by area, or equally as Deep3DFaceRecon's do."""


class MorphableModel(nn.Module):
    """A linear face model, differentiable in its coefficients. It has buffers only and nothing to train."""

    mean: Tensor
    id_basis: Tensor
    exp_basis: Tensor
    tex_mean: Tensor
    tex_basis: Tensor
    triangles: Tensor
    landmark_vertices: Tensor
    alignment_weights: Tensor
    world_offset: Tensor

    def __init__(self, bases: FaceBases) -> None:
        super().__init__()
        self.name = bases.name
        self.normal_weighting = bases.normal_weighting
        for field in fields(bases):
            value = getattr(bases, field.name)
            if isinstance(value, Tensor):
                self.register_buffer(field.name, value)
        self.register_buffer("alignment_weights", alignment_weights().to(bases.mean))
        self.register_buffer("world_offset", bases.mean.new_tensor(bases.world_offset))

    def shape(
        self, z_id: Float[Tensor, "batch id_dim"], z_exp: Float[Tensor, "batch exp_dim"]
    ) -> Float[Tensor, "batch vertex 3"]:
        """Unposed vertices in model units; zero expression is the neutral face."""
        offset = _expand(self.id_basis, z_id) + _expand(self.exp_basis, z_exp)
        return self.mean + offset

    def albedo(self, tex: Float[Tensor, "batch tex_dim"]) -> Float[Tensor, "batch vertex 3"]:
        """Colours of the vertices, 1 is white. Large coefficients leave [0, 1]: clamp before drawing."""
        return self.tex_mean + _expand(self.tex_basis, tex)

    def normals(self, vertices: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch vertex 3"]:
        """Unit normals pointing outward: the mean of the normals of the triangles around each vertex."""
        return vertex_normals(vertices, self.triangles, equal=self.normal_weighting == "equal")

    def landmarks(self, vertices: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch 68 3"]:
        """The 68 landmarks (iBUG order: the first of the jaw is at the viewer's left, at -x)."""
        return vertices[:, self.landmark_vertices]

    def alignment_points(self, vertices: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch 5 3"]:
        """Deep3DFaceRecon's five: eye at -x, eye at +x, nose tip, mouth corner at -x, mouth corner at +x."""
        return self.alignment_weights @ self.landmarks(vertices)

    def to_world(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Model units to world units."""
        return WORLD_PER_MODEL_UNIT * points + self.world_offset

    def pose(
        self,
        points: Float[Tensor, "batch point 3"],
        angle: Float[Tensor, "batch 3"],
        trans: Float[Tensor, "batch 3"],
    ) -> Float[Tensor, "batch point 3"]:
        """Deep3DFaceRecon's pose in model units: rotate by (pitch, yaw, roll) about the origin, then move."""
        return points @ euler_rotation(angle) + trans[:, None]


def _expand(
    basis: Float[Tensor, "vertex 3 dim"], coefficients: Float[Tensor, "batch dim"]
) -> Float[Tensor, "batch vertex 3"]:
    flat = coefficients @ basis.reshape(-1, basis.shape[-1]).T  # (B, 3V): one matrix product
    return flat.reshape(-1, *basis.shape[:2])


def alignment_weights() -> Float[Tensor, "5 68"]:
    """Weights of the landmarks in the alignment points."""
    weights = torch.zeros(len(ALIGNMENT_LANDMARKS), 68)
    for point, landmarks in enumerate(ALIGNMENT_LANDMARKS):
        weights[point, list(landmarks)] = 1 / len(landmarks)
    return weights


# ------------------------------------------------------- the open face model
@dataclass(frozen=True)
class HeadParts:
    """The rest of the open model's file: what dresses a head, and the people and expressions behind it.

    V vertices, P people, E expressions, U expression units, S hair styles. Lengths are in model units. Signed
    distances are measured on the surface of the head, positive inside the region.
    """

    part: np.ndarray
    """(V,) 0 skin, 1 eye at +x, 2 eye at -x, 3 tongue, 4 upper teeth, 5 lower teeth."""
    uv: np.ndarray
    """(V, 2) MakeHuman's texture coordinates (one of them where a seam has several)."""
    au_names: np.ndarray
    """(U,) names of the expression units."""
    au2exp: np.ndarray
    """(64, U) unit strengths to expression coefficients."""
    au_bank: np.ndarray
    """(E, U) plausible strengths, to draw expressions from."""
    bank_id: np.ndarray
    """(P, 80) identity coefficients of the sampled people; the other banks describe the same people."""
    bank_tex: np.ndarray
    """(P, 80) texture coefficients."""
    bank_hair_rgb: np.ndarray
    """(P, 3)."""
    bank_gender: np.ndarray
    """(P,) 0 female to 1 male."""
    bank_age: np.ndarray
    """(P,) years."""
    bank_race: np.ndarray
    """(P, 3) shares of MakeHuman's african, asian and caucasian shapes."""
    bank_bald: np.ndarray
    """(P,) bool."""
    hair_names: np.ndarray
    """(S,) names of the hair styles."""
    hair_disp: np.ndarray
    """(S, V) thickness of the hair."""
    hair_sd: np.ndarray
    """(S, V) signed distance to the hair line."""
    hair_dir: np.ndarray
    """(V, 3) unit direction in which hair and clothes stand off."""
    lid_l: np.ndarray
    """Vertices of the lids that must stay outside the eyeball at +x."""
    lid_r: np.ndarray
    """The same for the eyeball at -x."""
    curtain_anchor: np.ndarray
    """(C,) skin vertex that each vertex of the curtain of long hair hangs from."""
    curtain_off: np.ndarray
    """(C, 3) offset from the anchor."""
    curtain_tri: np.ndarray
    """(T, 3) triangles between curtain vertices."""
    cloth_sd: np.ndarray
    """(V,) signed distance to the collar."""
    gloss: np.ndarray
    """(V,) strength of the highlight."""
    front_mask: np.ndarray
    """(V,) 1 on the front of the head."""
    face_mask: np.ndarray
    """(V,) 1 on the face."""
    lips_mask: np.ndarray
    """(V,) 1 on the lips."""

    def expression_basis(self) -> ExpressionBasis:
        """The units by name: ``from_strengths({"mouthSmile": 0.7})`` gives expression coefficients."""
        return ExpressionBasis(tuple(str(name) for name in self.au_names), self.au2exp)


def _file_arrays(vertices: int) -> dict[str, Expected]:
    """Arrays of the open model's file, for a number of vertices; lengths of P people and so on as in the file."""
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
        "uv": Expected("f", (vertices, 2)),
        "au_names": Expected("U", ("units",)),
        "au2exp": Expected("f", (EXP_DIM, "units"), lengths),
        "au_bank": Expected("f", ("expressions", "units")),
        "bank_id": Expected("f", ("people", ID_DIM)),
        "bank_tex": Expected("f", ("people", TEX_DIM)),
        "bank_hair_rgb": Expected("f", ("people", 3)),
        "bank_gender": Expected("f", ("people",), units),
        "bank_age": Expected("f", ("people",)),
        "bank_race": Expected("f", ("people", 3), units),
        "bank_bald": Expected("b", ("people",)),
        "hair_names": Expected("U", ("styles",)),
        "hair_disp": Expected("f", ("styles", vertices), lengths),
        "hair_sd": Expected("f", ("styles", vertices), lengths),
        "hair_dir": Expected("f", (vertices, 3), (-1.01, 1.01)),
        "lid_l": Expected("iu", ("left lids",), index),
        "lid_r": Expected("iu", ("right lids",), index),
        "curtain_anchor": Expected("iu", ("curtain",), index),
        "curtain_off": Expected("f", ("curtain", 3), lengths),
        "curtain_tri": Expected("iu", ("curtain triangles", 3), (0, "curtain")),
        "cloth_sd": Expected("f", (vertices,), lengths),
        "gloss": Expected("f", (vertices,), lengths),
        "front_mask": Expected("f", (vertices,), units),
        "face_mask": Expected("f", (vertices,), units),
        "lips_mask": Expected("f", (vertices,), units),
    }


def face_model_path() -> Path:
    """Where the built open face model is kept: the platform's cache, or the folder in ANIFACEGAN_CACHE."""
    folder = os.environ.get("ANIFACEGAN_CACHE")
    return Path(folder or platformdirs.user_cache_path("anifacegan")) / OPEN_FACE_FILE


def face_model_sha256(path: Path | None = None) -> str:
    """Sum of a face model's file (None: the cached one), to tell it from others."""
    return file_sha256(path or face_model_path())


def load_open_face_model(path: Path | None = None) -> MorphableModel:
    """The open face model from its built file (None: the cached one).

    Raises:
        InputError: no such file, no face model, or an array of it is misshaped, not finite or out of range.
    """
    basis_keys = ("mean", "tri", "id_basis", "exp_basis", "tex_mean", "tex_basis", "landmarks68")
    arrays = _read_open_face_file(path, basis_keys)
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
        )
    )


def load_head_parts(path: Path | None = None) -> HeadParts:
    """Hair, clothes, lids, labels and banks of the open face model's file (None: the cached one).

    Raises:
        InputError: see :func:`load_open_face_model`.
    """
    names = tuple(field.name for field in fields(HeadParts))
    return HeadParts(**_read_open_face_file(path, names))


def _read_open_face_file(path: Path | None, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    path = path or face_model_path()
    rebuild = f"build it again with '{BUILD_COMMAND} --force'"
    if not path.exists():
        raise InputError(f"{path}: no face model here, build it with '{BUILD_COMMAND}'")
    try:
        with np.load(path, allow_pickle=False) as file:
            version = str(file["version"])
            arrays = {key: file[key] for key in ("mean", *keys) if version == OPEN_FACE_MODEL}
    except KeyError as error:
        raise InputError(f"{path}: {error.args[0]}; {rebuild}") from None
    except (zipfile.BadZipFile, ValueError, EOFError, AttributeError):
        raise InputError(f"{path}: not a face model file; {rebuild}") from None
    if version != OPEN_FACE_MODEL:
        raise InputError(f"{path}: holds face model '{version}', expected '{OPEN_FACE_MODEL}'; {rebuild}")
    expected = _file_arrays(vertices=arrays["mean"].size // 3)
    check_arrays(path, arrays, {key: expected[key] for key in ("mean", *keys)}, rebuild)
    return {key: arrays[key] for key in keys}


# ------------------------------------------------------- Deep3DFaceRecon's BFM
BFM_COLUMNS = {"idBase": ID_DIM, "exBase": EXP_DIM, "texBase": TEX_DIM}
_BFM_ADVICE = "it is no BFM_model_front.mat as Deep3DFaceRecon makes it"


def load_bfm(path: Path) -> MorphableModel:
    """Deep3DFaceRecon's ``BFM_model_front.mat``, which users bring: its licence forbids shipping it.

    Indices in the file start at 1, colours reach 255, and the mean face is moved so that its mean vertex is
    the origin. Of ``point_buf``, the triangles around each vertex, ``tri`` says the same: it is not read.

    Raises:
        InputError: no such file, no .mat, or a key is missing, misshaped, not finite or out of range.
    """
    arrays = _read_bfm(Path(path))
    mean = arrays["meanshape"].reshape(-1, 3)

    def basis(key: str) -> Tensor:
        return torch.from_numpy(arrays[key].astype(np.float32)).reshape(len(mean), 3, -1)

    return MorphableModel(
        FaceBases(
            name=BFM,
            mean=torch.from_numpy((mean - mean.mean(axis=0)).astype(np.float32)),
            id_basis=basis("idBase"),
            exp_basis=basis("exBase"),
            tex_mean=torch.from_numpy((arrays["meantex"] / 255).astype(np.float32)).reshape(-1, 3),
            tex_basis=basis("texBase") / 255,
            triangles=torch.from_numpy(arrays["tri"].astype(np.int64) - 1),
            landmark_vertices=torch.from_numpy(arrays["keypoints"].reshape(-1).astype(np.int64) - 1),
            world_offset=BFM_WORLD_OFFSET,
            normal_weighting="equal",
        )
    )


def _read_bfm(path: Path) -> dict[str, np.ndarray]:
    if not path.exists():
        raise InputError(f"{path}: no such file, expected Deep3DFaceRecon's BFM_model_front.mat")
    try:
        file = scipy.io.loadmat(path)
    except Exception:  # scipy raises many kinds for a file that is not its own
        raise InputError(f"{path}: not a .mat file, expected Deep3DFaceRecon's BFM_model_front.mat") from None
    coordinates = np.size(file.get("meanshape", ()))  # 3V
    expected: dict[str, tuple[int | None, int]] = {"meanshape": (1, coordinates), "meantex": (1, coordinates)}
    expected |= {key: (coordinates, columns) for key, columns in BFM_COLUMNS.items()}
    expected |= {"tri": (None, 3), "keypoints": (1, 68)}
    for key, shape in expected.items():
        if key not in file:
            raise InputError(
                f"{path}: key '{key}' is missing, expected Deep3DFaceRecon's BFM_model_front.mat"
            )
        found = np.shape(file[key])
        if len(found) != 2 or found[1] != shape[1] or shape[0] not in (None, found[0]) or coordinates % 3:
            raise InputError(f"{path}: key '{key}' has shape {found}, expected {_shape_text(key, shape)}")
    arrays = {key: np.asarray(file[key]) for key in expected}
    indices = ("tri", "keypoints")
    ranges = dict.fromkeys(expected, (-1e6, 1e6)) | dict.fromkeys(indices, (1, coordinates // 3))
    check_arrays(path, arrays, {key: Expected("fiu", arrays[key].shape, ranges[key]) for key in expected}, _BFM_ADVICE)
    for key in indices:
        if (arrays[key] % 1 != 0).any():
            raise InputError(f"{path}: key '{key}' holds fractions, expected whole numbers")
    return arrays


def _shape_text(key: str, shape: tuple[int | None, int]) -> str:
    if key == "meanshape":
        return "(1, 3 x vertices)"
    return f"({'triangles' if shape[0] is None else shape[0]}, {shape[1]})"


# ------------------------------------------------------- either
def is_bfm_file(path: Path | None) -> bool:
    """Whether a face model's file is BFM's: a .mat, where the open model's is an .npz or, for None, in the cache."""
    return path is not None and path.suffix.lower() == ".mat"


def load_face_model(path: Path | None = None) -> MorphableModel:
    """The open face model from its file (None: the cached one), or BFM from the user's .mat."""
    return load_bfm(path) if path is not None and is_bfm_file(path) else load_open_face_model(path)


# ------------------------------------------------------- a model for tests
def synthetic_face_model(rng: torch.Generator) -> MorphableModel:
    """A tiny random model for tests: an egg of 600 vertices, smooth random bases, face-like landmarks."""
    points, triangles = _ball(600)
    radii = torch.tensor([0.75, 0.95, 0.8])

    def random_basis(dim: int, scale: float) -> Tensor:
        """Random waves over the sphere, so that neighbours move alike and no triangle turns over."""
        directions = 1.5 * torch.randn(3, 3 * dim, generator=rng)
        phases = 6.28 * torch.rand(3 * dim, generator=rng)
        return scale * torch.sin(points @ directions + phases).reshape(-1, 3, dim)

    return MorphableModel(
        FaceBases(
            name="synthetic",
            mean=points * radii,
            id_basis=random_basis(ID_DIM, 0.01),
            exp_basis=random_basis(EXP_DIM, 0.01),
            tex_mean=torch.full_like(points, 0.5),
            tex_basis=random_basis(TEX_DIM, 0.02),
            triangles=triangles,
            landmark_vertices=_face_like_landmarks(points * radii),
            world_offset=OPEN_FACE_WORLD_OFFSET,
        )
    )


def _ball(count: int) -> tuple[Float[Tensor, "vertex 3"], Int[Tensor, "triangle 3"]]:
    """Unit sphere: points on a golden spiral, and the triangles of their convex hull seen from outside."""
    step = np.arange(count) + 0.5
    height, azimuth = 1 - 2 * step / count, np.pi * (1 + 5**0.5) * step
    radius = np.sqrt(1 - height**2)
    points = np.stack([radius * np.cos(azimuth), height, radius * np.sin(azimuth)], axis=-1)
    triangles = ConvexHull(points).simplices
    a, b, c = points[triangles].transpose(1, 0, 2)
    inward = np.einsum("fc,fc->f", np.cross(b - a, c - a), a) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    return torch.from_numpy(points).float(), torch.from_numpy(triangles).long()


FACE_ARCS = (
    # count, centre, radii, first angle and turn, both in units of pi: jaw, brows, nose, eyes, lips
    (17, (0.0, 0.0), (0.65, 0.8), 1.0, 1.0),
    (5, (-0.3, 0.35), (0.2, 0.1), 1.0, -1.0),
    (5, (0.3, 0.35), (0.2, 0.1), 1.0, -1.0),
    (4, (0.0, 0.15), (0.0, 0.15), 0.5, -1.0),
    (5, (0.0, -0.1), (0.15, 0.04), 1.0, 1.0),
    (6, (-0.3, 0.22), (0.12, 0.06), 1.0, -5 / 3),
    (6, (0.3, 0.22), (0.12, 0.06), 1.0, -5 / 3),
    (12, (0.0, -0.4), (0.25, 0.13), 1.0, -11 / 6),
    (8, (0.0, -0.4), (0.15, 0.05), 1.0, -7 / 4),
)


def _face_like_landmarks(vertices: Float[Tensor, "vertex 3"]) -> Int[Tensor, "68"]:
    """68 different front vertices, about where a face has its landmarks."""
    wanted = []
    for count, centre, radii, first, turn in FACE_ARCS:
        angle = np.pi * np.linspace(first, first + turn, count)
        wanted.append(np.array(centre) + np.array(radii) * np.stack([np.cos(angle), np.sin(angle)], axis=-1))
    front = np.flatnonzero(vertices[:, 2].numpy() > 0)
    distance = np.linalg.norm(np.concatenate(wanted)[:, None] - vertices[front, :2].numpy(), axis=-1)
    _, chosen = linear_sum_assignment(distance**2)  # one vertex each, closest in sum
    return torch.from_numpy(front[chosen])
