"""The open face model: how a bad file is refused, and whether its face and expressions are those of a person."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.face_model.expressions import ACTIONS
from anifacegan.face_model.face_mesh import face_mesh
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import (
    BUILD_COMMAND,
    face_model_path,
    load_head_parts,
    load_open_face_model,
)
from anifacegan.face_model.rig import load_face_rig
from anifacegan.runtime.errors import InputError
from tests.fixtures.tiny_head import write_tiny_file

ZERO_ID, ZERO_EXP = torch.zeros(1, 80), torch.zeros(1, 64)

MIRRORED_LANDMARKS = [
    *range(16, -1, -1),  # jaw
    *range(26, 16, -1),  # brows
    *range(27, 31),  # bridge of the nose
    *range(35, 30, -1),  # nostrils
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # outer lips
    *(64, 63, 62, 61, 60, 67, 66, 65),  # inner lips
]


def test_a_missing_face_model_says_how_to_build_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIFACEGAN_CACHE", str(tmp_path))
    assert face_model_path().parent == tmp_path
    with pytest.raises(InputError, match=BUILD_COMMAND):
        load_open_face_model()
    with pytest.raises(InputError, match=BUILD_COMMAND):
        load_head_parts()


def test_an_unusable_face_model_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "face_model.npz"
    path.write_bytes(b"not an archive")
    with pytest.raises(InputError, match="face_model.npz: not a readable .npz"):
        load_open_face_model(path)
    np.savez(path, version=np.array("anifacegan-open-0"), mean=np.zeros((4, 3)))
    with pytest.raises(InputError, match="anifacegan-open-0"):
        load_open_face_model(path)
    np.savez(path, version=np.array("anifacegan-open-4"), mean=np.zeros((4, 3)))
    with pytest.raises(InputError, match="tri"):
        load_open_face_model(path)


@pytest.fixture(scope="module")
def tiny_arrays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """All arrays of a small face model's file."""
    path = tmp_path_factory.mktemp("tiny") / "face_model.npz"
    write_tiny_file(path)
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def read_all(path: Path) -> None:
    load_open_face_model(path)
    load_head_parts(path)
    load_face_rig(path)


def test_every_array_of_the_file_is_checked(tiny_arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Complex numbers, another axis, and a NaN among floats are each refused in one line."""
    path = tmp_path / "face_model.npz"
    for name in tiny_arrays.keys() - {"version"}:
        array = tiny_arrays[name]
        for changed in damaged_copies(array):
            np.savez(path, **tiny_arrays | {name: changed})
            with pytest.raises(
                InputError, match=rf"face_model\.npz: key '{name}' .*build it again"
            ) as caught:
                read_all(path)
            assert "\n" not in str(caught.value)


def damaged_copies(array: np.ndarray) -> list[np.ndarray]:
    changes = [np.zeros(array.shape, np.complex64), array[None]]
    if array.dtype.kind == "f":
        damaged = array.copy()
        damaged.flat[-1] = np.nan
        changes.append(damaged)
    return changes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tri", 600), ("tri", -1), ("landmarks68", 600), ("landmarks68", -1), ("part", 6), ("lid_l", 600),
        ("lid_r", -1), ("bank_group", 18), ("beard_mask", 1.5), ("bank_melanin", -0.5), ("mean", 1e30),
        ("exp_basis", -1e30), ("tex_basis", np.inf), ("hair_dir", 2.0),
        ("lid_upper", 600), ("lid_below", 5.0), ("lid_columns_l", 5), ("lid_shares_r", 2.0), ("texture_uv", 1.5),
        ("texture_tri", -1),
    ],
)  # fmt: skip
def test_an_index_or_a_value_out_of_range_is_refused(
    tiny_arrays: dict[str, np.ndarray], tmp_path: Path, name: str, value: float
) -> None:
    damaged = tiny_arrays[name].copy()
    damaged.flat[0] = value
    np.savez(tmp_path / "face_model.npz", **tiny_arrays | {name: damaged})
    with pytest.raises(
        InputError, match=rf"face_model\.npz: key '{name}' (holds|has values that are not finite)"
    ):
        read_all(tmp_path / "face_model.npz")


def test_arrays_of_other_vertices_or_floating_triangles_are_refused(
    tiny_arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "face_model.npz"
    for name in ("id_basis", "tex_mean", "cloth_sd", "hair_dir", "bank_tex", "au_bank"):
        np.savez(
            path,
            **tiny_arrays | {name: tiny_arrays[name][:-3, ...] if name != "au_bank" else np.zeros((5, 2))},
        )
        with pytest.raises(InputError, match=rf"key '{name}' is .*, expected floats of shape \("):
            read_all(path)
    np.savez(path, **tiny_arrays | {"tri": tiny_arrays["tri"].astype(np.float32)})
    with pytest.raises(InputError, match=r"key 'tri' is float32\(\d+, 3\), expected whole numbers of shape"):
        read_all(path)


def landmarks_of(model: MorphableModel, **strengths: float) -> Tensor:
    """(68, 3) landmarks of the average face with an expression."""
    z_exp = load_head_parts().expression_basis().from_strengths(strengths)
    return model.landmarks(model.shape(ZERO_ID, torch.from_numpy(z_exp)[None]))[0]


def test_the_open_model_has_deep3dfacerecons_sizes(face_model: MorphableModel) -> None:
    vertices = len(face_model.mean)
    assert face_model.name == "anifacegan-open-4"
    assert face_model.id_basis.shape == (vertices, 3, 80)
    assert face_model.exp_basis.shape == (vertices, 3, 64)
    assert face_model.tex_basis.shape == (vertices, 3, 80)
    assert face_model.alignment_points(face_model.mean[None]).shape == (1, 5, 3)
    assert len(set(face_model.landmark_vertices.tolist())) == 68
    with np.load(face_model_path()) as file:
        np.testing.assert_array_equal(face_model.alignment_weights.numpy(), file["align5_from68"])


def test_the_open_model_is_neutral_at_zero_expression(face_model: MorphableModel) -> None:
    """Apart from lids inside the eyeballs, which are pushed out of them."""
    neutral = face_model.shape(ZERO_ID, ZERO_EXP)[0]
    lids = torch.from_numpy(np.concatenate([eye.lids for eye in face_model.eyes]))
    others = torch.ones(len(neutral), dtype=torch.bool).index_fill(0, lids, False)
    assert torch.equal(neutral[others], face_model.mean[others])
    assert (neutral - face_model.mean).abs().max() < 0.005  # half a millimetre


def test_the_open_models_landmarks_are_symmetric(face_model: MorphableModel) -> None:
    marks = face_model.landmarks(face_model.mean[None])[0]
    mirrored = marks[MIRRORED_LANDMARKS] * torch.tensor([-1.0, 1.0, 1.0])
    assert (marks - mirrored).abs().max() < 0.005  # half a millimetre
    assert marks[:17, 0].diff().min() > 0  # the jaw runs from -x to +x


def test_the_open_models_face_looks_at_the_camera(face_model: MorphableModel) -> None:
    marks = face_model.landmarks(face_model.mean[None])[0]
    normals = face_model.normals(face_model.mean[None])[0]
    assert marks[:, 2].argmax() == 30  # the tip of the nose is in front
    assert normals[face_model.landmark_vertices[30], 2] > 0.9
    assert marks[:, :2].abs().max() < 1
    assert marks[[37, 38, 43, 44], 1].min() > marks[30, 1] > marks[51, 1] > marks[8, 1]


def test_neighbouring_triangles_of_the_open_model_have_the_same_orientation(
    face_model: MorphableModel,
) -> None:
    triangles = face_model.triangles
    sides = torch.cat([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    assert len(torch.unique(sides, dim=0)) == len(sides)  # neighbours run along a side in opposite ways


def test_an_open_jaw_lowers_the_chin(face_model: MorphableModel) -> None:
    rest, opened = landmarks_of(face_model), landmarks_of(face_model, jawOpen=1.0)
    assert rest[8, 1] - opened[8, 1] > 0.1
    assert opened[62, 1] - opened[66, 1] > rest[62, 1] - rest[66, 1] + 0.1


def test_a_smile_raises_and_parts_the_corners_of_the_mouth(face_model: MorphableModel) -> None:
    def lift(marks: Tensor) -> Tensor:
        return marks[[48, 54], 1].mean() - marks[[51, 57], 1].mean()

    rest, smile = landmarks_of(face_model), landmarks_of(face_model, mouthSmile=1.0)
    frown = landmarks_of(face_model, mouthFrown=1.0)
    assert lift(smile) > lift(rest) + 0.03 and lift(frown) < lift(rest) - 0.02
    assert smile[54, 0] - smile[48, 0] > rest[54, 0] - rest[48, 0] + 0.03


def test_a_blink_closes_the_lids(face_model: MorphableModel) -> None:
    def opening(marks: Tensor) -> Tensor:
        return (marks[[37, 38, 43, 44], 1] - marks[[41, 40, 47, 46], 1]).mean()

    rest, blink = landmarks_of(face_model), landmarks_of(face_model, eyeBlink=1.0)
    assert opening(blink) < 0.1 * opening(rest)
    wink = landmarks_of(face_model, eyeBlinkLeft=1.0)  # the person's left eye is at +x
    assert wink[43, 1] < rest[43, 1] - 0.02 and (wink[37, 1] - rest[37, 1]).abs() < 0.005


def test_the_open_models_first_expression_coefficients_are_actions(face_model: MorphableModel) -> None:
    basis = load_head_parts().expression_basis()
    for number, action in enumerate(ACTIONS.values()):
        z_exp = basis.from_strengths(action)
        assert z_exp[number] > 1.5  # far from the mean, and the sign of the strength
        assert np.abs(np.delete(z_exp, number)).max() < 1e-3 * z_exp[number]


def test_the_open_models_people_and_expressions_have_unit_spread(face_model: MorphableModel) -> None:
    parts = load_head_parts()
    expressions = parts.au_bank.astype(np.float32) @ parts.au2exp.T
    for bank, most in ((parts.bank_id, 2.2), (parts.bank_tex, 1.1), (expressions, 1.1)):
        moment = np.sqrt((bank.astype(np.float32) ** 2).mean(axis=0))
        assert 0.9 < moment.min() and moment.max() < most  # the bank is wider than the people of the basis
    assert len(parts.bank_id) == len(parts.bank_tex) == len(parts.bank_melanin) == len(parts.bank_age)
    assert len(parts.part) == len(face_model.mean) == len(parts.beard_mask)


# ----------------------------------------------------------------------------------------------------------- checksums
def test_the_checksum_is_that_of_the_arrays_that_coefficients_depend_on(
    tiny_arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "face_model.npz"

    def checksum(**changed: np.ndarray) -> str:
        np.savez(path, **tiny_arrays | changed)
        return face_mesh(load_open_face_model(path)).coefficients_sha256()

    before = checksum()
    bases = (tiny_arrays[name].astype(np.float32).tobytes() for name in ("mean", "id_basis", "exp_basis"))
    assert before == hashlib.sha256(b"".join(bases)).hexdigest()
    assert checksum(tex_mean=0.5 * tiny_arrays["tex_mean"], tri=tiny_arrays["tri"][:-1]) == before
    for name in ("mean", "id_basis", "exp_basis"):
        assert checksum(**{name: 1.5 * tiny_arrays[name]}) != before
