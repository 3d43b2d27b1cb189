"""The rig: parts, pivots, units' displacements and texture layout of the face model's file."""

from pathlib import Path

import numpy as np
import torch

from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import load_head_parts
from anifacegan.face_model.rig import load_face_rig
from tests.fixtures.tiny_head import write_tiny_file


def test_the_rig_of_a_file_has_what_the_file_has(tmp_path: Path) -> None:
    write_tiny_file(tmp_path / "face_model.npz")
    rig = load_face_rig(tmp_path / "face_model.npz")
    with np.load(tmp_path / "face_model.npz") as file:
        assert np.array_equal(rig.unit_displacements, file["unit_displacements"])
        assert rig.unit_names == tuple(file["au_names"]) and np.array_equal(rig.part, file["part"])
        assert np.array_equal(rig.texture_triangles, file["texture_tri"])
        z_id = np.random.default_rng(0).normal(size=80)
        expected = file["pivots"] + np.einsum("pck,k->pc", file["pivot_id_basis"], z_id)
    np.testing.assert_allclose(rig.pivots_of(z_id), expected, rtol=1e-6)
    assert rig.pivot_names == ("left_eye", "right_eye", "jaw")


def test_the_eyes_of_real_people_turn_about_their_pivots(face_model: MorphableModel) -> None:
    """The distances of an eyeball's vertices from its pivot differ by at most an eighth: eyeballs are nearly spheres,
    and identity coefficients make them a little long or flat (largest difference in the bank: 0.122)."""
    rig, bank = load_face_rig(), load_head_parts().bank_id[:9].astype(np.float32)
    zero = torch.zeros(len(bank), 64)
    for vertices, z_id in zip(face_model.shape(torch.from_numpy(bank), zero).numpy(), bank, strict=True):
        for name, label in (("left_eye", 1), ("right_eye", 2)):
            pivot = rig.pivots_of(z_id)[rig.pivot_names.index(name)]
            distance = np.linalg.norm(vertices[rig.part == label] - pivot, axis=1)
            assert rig.part_names[label] == name and np.ptp(distance) < 0.125 * distance.mean()


def test_the_jaw_of_the_open_model_turns_about_its_pivot(face_model: MorphableModel) -> None:
    """The pivot lies below and behind the teeth's row near the ears, and lower teeth keep their distance from it."""
    rig = load_face_rig()
    jaw = rig.pivots[rig.pivot_names.index("jaw")]
    ears = face_model.mean[face_model.landmark_vertices[[0, 16]]].numpy()
    assert np.linalg.norm(jaw[1:] - ears[:, 1:].mean(axis=0)) < 0.5  # 5 cm
    teeth = rig.part == rig.part_names.index("lower_teeth")
    opened = rig.unit_displacements[rig.unit_names.index("jawOpen")][teeth].astype(np.float32)
    before = np.linalg.norm((face_model.mean.numpy()[teeth] - jaw)[:, 1:], axis=1)
    after = np.linalg.norm((face_model.mean.numpy()[teeth] + opened - jaw)[:, 1:], axis=1)
    assert np.abs(opened[:, 1]).max() > 0.1 and np.abs(after - before).max() < 0.02


def test_the_units_of_the_open_model_move_alone(face_model: MorphableModel) -> None:
    """Looking aside with one eye leaves the other, which expression coefficients cannot."""
    rig = load_face_rig()
    moved = np.linalg.norm(
        rig.unit_displacements[rig.unit_names.index("eyeLookOutLeft")].astype(float), axis=1
    )
    assert moved[rig.part == 1].max() > 0.02 and moved[rig.part == 2].max() == 0
    units = load_head_parts().expression_basis()
    smile = face_model.exp_basis.numpy() @ units.from_strengths({"mouthSmileLeft": 1.0})
    own = rig.unit_displacements[rig.unit_names.index("mouthSmileLeft")]
    assert np.linalg.norm(smile - own, axis=1).max() < 0.03  # what 64 coefficients lose


def test_the_texture_of_the_open_model_has_one_place_for_each_triangle(face_model: MorphableModel) -> None:
    rig = load_face_rig()
    a, b, c = rig.texture_uv[rig.texture_triangles].astype(np.float64).transpose(1, 0, 2)
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert (area < 0).all() or (area > 0).all()  # none is mirrored or without size
    assert 0.5 < np.abs(area).sum() < 1
    assert len(rig.texture_triangles) == len(face_model.triangles)
