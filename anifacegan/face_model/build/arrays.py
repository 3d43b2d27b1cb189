"""Arrays of the open face model's file; their keys and shapes are those that ``open_model`` reads."""

from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from anifacegan.face_model.build.albedo import AlbedoSampler
from anifacegan.face_model.build.albedo_fields import SkinNoise
from anifacegan.face_model.build.control_mesh import ControlMesh
from anifacegan.face_model.build.expression_basis import ExpressionSpace, ExpressionUnits
from anifacegan.face_model.build.hair import cloth_signed_distance, curtain, hair_styles, standing_direction
from anifacegan.face_model.build.head_view import HeadView
from anifacegan.face_model.build.identity import IdentitySpace, MakeHumanPerson
from anifacegan.face_model.build.landmarks import landmark_vertices, lid_vertices
from anifacegan.face_model.build.pca import fix_signs, principal_components
from anifacegan.face_model.build.topology import (
    EYE_LEFT,
    EYE_RIGHT,
    LOWER_TEETH,
    TONGUE,
    UPPER_TEETH,
    Topology,
)
from anifacegan.face_model.expressions import ACTIONS
from anifacegan.face_model.morphable import alignment_weights
from anifacegan.geometry.conventions import TEX_DIM

TEETH_FIT = {UPPER_TEETH: (-0.06, -0.058, 0.038), LOWER_TEETH: (-0.14, 0.012, -0.005)}
"""Relative widening and shift (up, forward) of each row of teeth, which keep MakeHuman's teeth inside the cheeks and
behind the lips."""

SHOULDERS_BELOW = 5.9
"""Height, in MakeHuman's decimetres, below which vertices have little weight in the texture basis."""


def shape_arrays(
    topology: Topology,
    control: ControlMesh,
    identity: IdentitySpace,
    units: ExpressionUnits,
    expressions: ExpressionSpace,
) -> dict[str, np.ndarray]:
    """Collect mean, identity and expression bases, the sampled people's identity coefficients, the action units,
    triangles, part labels and texture coordinates."""
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


def albedo_arrays(
    view: HeadView,
    painter: AlbedoSampler,
    people: list[MakeHumanPerson],
    rng: np.random.Generator,
    log: Callable[[str], None],
) -> dict[str, np.ndarray]:
    """Paint people and compute the texture basis; return it with the people's texture coefficients and hair colours."""
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
    log(f"{TEX_DIM} texture components keep {found.explained:.4f} of the variance")
    basis, bank = fix_signs(found.basis, found.coefficients)
    return {
        "tex_mean": mean.reshape(-1, 3).astype(np.float32),
        "tex_basis": basis,
        "bank_tex": bank.astype(np.float16),
        "bank_hair_rgb": np.array(hair, np.float16),
        "bank_bald": np.array(bald),
    }


def _texture_weights(view: HeadView) -> np.ndarray:
    """Return the weight (V,) of each vertex in the texture basis: the face most, then eyes, teeth, back of the head,
    shoulders."""
    weights = np.where(view.skin, 0.25 + 0.75 * view.front, 0.6)
    weights[view.teeth | (view.part == TONGUE)] = 0.3
    weights[view.y < SHOULDERS_BELOW] = 0.05
    return weights


def people_arrays(people: list[MakeHumanPerson]) -> dict[str, np.ndarray]:
    """Collect gender, age and race of the sampled people."""
    return {
        "bank_gender": np.array([person.gender for person in people], np.float16),
        "bank_age": np.array([person.age for person in people], np.float16),
        "bank_race": np.array([person.race for person in people], np.float16),
    }


def landmark_arrays(view: HeadView) -> dict[str, np.ndarray]:
    """Collect landmarks, eyelid vertices, and masks of the front of the head, the face and the lips."""
    return {
        "landmarks68": landmark_vertices(view).astype(np.int32),
        "align5_from68": alignment_weights().numpy(),
        "lid_l": lid_vertices(view, EYE_LEFT).astype(np.int32),
        "lid_r": lid_vertices(view, EYE_RIGHT).astype(np.int32),
        "front_mask": view.front.astype(np.float16),
        "face_mask": view.masks["face"].astype(np.float16),
        "lips_mask": view.masks["lips"].astype(np.float16),
    }


def hair_and_cloth_arrays(view: HeadView, noise: SkinNoise) -> dict[str, np.ndarray]:
    """Compute thickness, signed distances and directions of hair and clothes, and the mesh of long hair."""
    styles, long_hair = hair_styles(view, noise), curtain(view)
    return {
        "hair_names": np.array(styles.names),
        "hair_disp": styles.thickness.astype(np.float16),
        "hair_sd": styles.signed_distance.astype(np.float16),
        "hair_dir": standing_direction(view).astype(np.float16),
        "curtain_anchor": long_hair.anchors.astype(np.int32),
        "curtain_off": long_hair.offsets.astype(np.float32),
        "curtain_tri": long_hair.triangles.astype(np.int32),
        "cloth_sd": cloth_signed_distance(view).astype(np.float16),
    }
