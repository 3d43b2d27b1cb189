"""Arrays of the open face model's file; their keys and shapes are those that ``open_model`` reads."""

from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from anifacegan.face_model.build.albedo import AlbedoSampler
from anifacegan.face_model.build.bank import Bank
from anifacegan.face_model.build.control_mesh import ControlMesh
from anifacegan.face_model.build.expression_basis import ExpressionSpace, ExpressionUnits
from anifacegan.face_model.build.hair import (
    HAIR_LINES,
    cloth_signed_distance,
    signed_distance,
    standing_direction,
)
from anifacegan.face_model.build.head_view import HeadView
from anifacegan.face_model.build.identity import IdentitySpace, MakeHumanPerson
from anifacegan.face_model.build.landmarks import landmark_vertices, lid_vertices
from anifacegan.face_model.build.pca import fix_signs, principal_components
from anifacegan.face_model.build.topology import Topology
from anifacegan.face_model.expressions import ACTIONS
from anifacegan.face_model.morphable import alignment_weights
from anifacegan.face_model.parts import EYE_LEFT, EYE_RIGHT, LOWER_TEETH, TONGUE, UPPER_TEETH
from anifacegan.geometry.conventions import TEX_DIM

TEETH_FIT = {UPPER_TEETH: (-0.06, -0.058, 0.038), LOWER_TEETH: (-0.14, 0.012, -0.005)}
"""For each row of teeth, by its label: relative widening (negative narrows), and shift up and forward in decimetres,
which keep MakeHuman's teeth inside the cheeks and behind the lips."""

SHOULDERS_BELOW = 5.9
"""Height, in MakeHuman's decimetres, below which vertices (shoulders) have little weight in the texture basis."""


def shape_arrays(
    topology: Topology,
    control: ControlMesh,
    identity: IdentitySpace,
    bank: Bank,
    units: ExpressionUnits,
    expressions: ExpressionSpace,
) -> dict[str, np.ndarray]:
    """Collect the arrays of shape, by key: mean, triangles, part labels, identity and expression bases, identity
    coefficients of the bank (the file's example people), and names and coefficients of the action units."""
    mean = control.dense(identity.mean)
    for part, (narrowing, upward, forward) in TEETH_FIT.items():
        row = topology.part == part
        mean[row] += np.stack(
            [narrowing * mean[row, 0], *np.full((2, row.sum()), [[upward], [forward]])], axis=1
        )

    def dense_basis(basis: np.ndarray) -> np.ndarray:
        """Interpolate a basis of control vertices, (3N, K), to dense vertices, (3V, K)."""
        columns = basis.shape[-1]
        return control.dense(basis.reshape(-1, 3, columns)).reshape(-1, columns).astype(np.float32)

    id_basis, bank_id = fix_signs(dense_basis(identity.basis), bank.coefficients)
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
        "id_basis": id_basis,
        "bank_id": bank_id.astype(np.float16),
        "exp_basis": exp_basis,
        "au_names": np.array(units.names),
        "au2exp": from_units.T.astype(np.float32),
    }


def albedo_arrays(
    view: HeadView,
    painter: AlbedoSampler,
    people: list[MakeHumanPerson],
    rng: np.random.Generator,
    log: Callable[[str], None],
) -> dict[str, np.ndarray]:
    """Draw random colours of people and compute the texture basis from them; return the arrays by key.

    Args:
        view: the average head.
        painter: draws the colours of a person.
        people: the file's example people, whose texture coefficients and melanin are returned as well.
        rng: random generator.
        log: called with a line of text about the basis.
    """
    colours = np.empty((len(people), view.points.size), np.float32)
    melanin = np.empty(len(people), np.float16)
    for row, person in enumerate(tqdm(people, desc="painting", disable=None)):
        drawn = painter.draw(person, rng)
        colours[row] = drawn.colours.reshape(-1)
        melanin[row] = drawn.melanin
    mean = colours.mean(axis=0)
    colours -= mean
    found = principal_components(colours, np.repeat(_texture_weights(view), 3), TEX_DIM)
    log(f"{TEX_DIM} texture components keep {found.explained:.4f} of the variance")
    basis, bank = fix_signs(found.basis, found.coefficients)
    return {
        "tex_mean": mean.reshape(-1, 3).astype(np.float32),
        "tex_basis": basis,
        "bank_tex": bank.astype(np.float16),
        "bank_melanin": melanin,
    }


def _texture_weights(view: HeadView) -> np.ndarray:
    """Return the weight (V,) of each vertex in the texture basis: the face most, then eyes, teeth, back of the head,
    shoulders."""
    weights = np.where(view.skin, 0.25 + 0.75 * view.front, 0.6)
    weights[view.teeth | (view.part == TONGUE)] = 0.3
    weights[view.y < SHOULDERS_BELOW] = 0.05
    return weights


def people_arrays(bank: Bank) -> dict[str, np.ndarray]:
    """Collect what the face model's file tells about its example people, by key.

    Each array has a row for a person: ``bank_group`` as in :func:`anifacegan.face_model.people.groups_of`,
    ``bank_gender`` 0 (female) to 1 (male), ``bank_age`` in years, and ``bank_race`` with the share of each descent.
    """
    return {
        "bank_group": bank.groups.astype(np.uint8),
        "bank_gender": np.array([person.gender for person in bank.people], np.float16),
        "bank_age": np.array([person.age for person in bank.people], np.float16),
        "bank_race": np.array([person.race for person in bank.people], np.float16),
    }


def landmark_arrays(view: HeadView) -> dict[str, np.ndarray]:
    """Collect, by key, vertex indices of landmarks and eyelids, and masks of the head's front, face and lips."""
    return {
        "landmarks68": landmark_vertices(view).astype(np.int32),
        "align5_from68": alignment_weights().numpy(),
        "lid_l": lid_vertices(view, EYE_LEFT).astype(np.int32),
        "lid_r": lid_vertices(view, EYE_RIGHT).astype(np.int32),
        "front_mask": view.front.astype(np.float16),
        "face_mask": view.masks["face"].astype(np.float16),
        "lips_mask": view.masks["lips"].astype(np.float16),
    }


def region_arrays(view: HeadView, painter: AlbedoSampler) -> dict[str, np.ndarray]:
    """Collect, by key, the polar coordinates of the eyeballs' vertices, and the masks for drawing skin and hair."""
    skin = painter.skin
    masks = {
        "lids": view.lids,
        "ears": view.ears,
        "mouth": view.mouth_inside,
        "beard": skin.beard,
        "goatee": skin.goatee,
        "moustache": skin.moustache,
        "cheek": skin.cheek,
        "nose": skin.nose,
        "forehead": skin.forehead,
    }
    return {
        "eye_polar": view.topology.eye_polar.astype(np.float32),
        "eye_azimuth": view.topology.eye_azimuth.astype(np.float32),
    } | {f"{name}_mask": mask.astype(np.float16) for name, mask in masks.items()}


def hair_and_cloth_arrays(view: HeadView) -> dict[str, np.ndarray]:
    """Compute, by key, the vertices' signed distances to hair lines and collar, and the direction in which clothes are
    offset from the skin."""
    distances = [signed_distance(view, line) for line in HAIR_LINES.values()]
    return {
        "hair_names": np.array(list(HAIR_LINES)),
        "hair_sd": np.stack(distances).astype(np.float16),
        "hair_dir": standing_direction(view).astype(np.float16),
        "cloth_sd": cloth_signed_distance(view).astype(np.float16),
    }
