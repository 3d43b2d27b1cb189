"""Coefficient files in Deep3DFaceRecon's layout: round trips, and how bad files are refused."""

import dataclasses
import io
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from anifacegan.face_model.coefficients import (
    ExpressionBasis,
    FaceCoefficients,
    camera_angles,
    read_coefficients,
    read_expression,
    read_poses,
    write_coefficients,
)
from tests.fixtures.one_line import assert_one_line

SIZES = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
NAMES = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "eyeBlinkLeft", "eyeBlinkRight")


def random_face(seed: int = 0, **others: object) -> FaceCoefficients:
    rng = np.random.default_rng(seed)
    vectors = {key: rng.normal(size=size).astype(np.float32) for key, size in SIZES.items()}
    return FaceCoefficients(**vectors, lm68=rng.uniform(0, 223, (68, 2)).astype(np.float32), **others)


def complete_face() -> FaceCoefficients:
    rng = np.random.default_rng(1)
    pose, noise = rng.normal(size=2).astype(np.float32), rng.normal(size=80).astype(np.float32)
    return random_face(pose=pose, noise=noise, face_model="anifacegan-open-4")


def random_basis() -> ExpressionBasis:
    return ExpressionBasis(NAMES, np.random.default_rng(2).normal(size=(64, len(NAMES))).astype(np.float32))


def save_raw(path: Path, **changes: object) -> Path:
    """A .mat as Deep3DFaceRecon writes it, with some keys changed, or left out where the change is None."""
    face = random_face()
    arrays: dict[str, object] = {key: getattr(face, key)[None] for key in [*SIZES, "lm68"]}
    scipy.io.savemat(path, {key: value for key, value in (arrays | changes).items() if value is not None})
    return path


def assert_same(a: FaceCoefficients, b: FaceCoefficients) -> None:
    for field in dataclasses.fields(FaceCoefficients):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if isinstance(one, np.ndarray):
            assert other.dtype == np.float32 and other.shape == one.shape, field.name
            np.testing.assert_array_equal(one, other, err_msg=field.name)
        else:
            assert one == other, field.name


@pytest.mark.parametrize(
    "face", [random_face(), complete_face()], ids=["plain", "with pose, noise and face model"]
)
def test_a_written_file_is_read_back(face: FaceCoefficients, tmp_path: Path) -> None:
    write_coefficients(tmp_path / "face.mat", face)
    assert_same(read_coefficients(tmp_path / "face.mat"), face)
    assert [path.name for path in tmp_path.iterdir()] == ["face.mat"]


def test_a_file_has_deep3dfacerecon_s_keys_and_shapes(tmp_path: Path) -> None:
    write_coefficients(tmp_path / "face.mat", random_face())
    content = scipy.io.loadmat(tmp_path / "face.mat")
    shapes = {key: value.shape for key, value in content.items() if not key.startswith("_")}
    assert shapes == {key: (1, size) for key, size in SIZES.items()} | {"lm68": (1, 68, 2)}


def test_a_file_is_read_from_an_open_archive_as_well(tmp_path: Path) -> None:
    write_coefficients(tmp_path / "face.mat", complete_face())
    entry = io.BytesIO((tmp_path / "face.mat").read_bytes())
    assert_same(read_coefficients(Path("faces.zip/face.mat"), entry), complete_face())


def test_files_do_not_depend_on_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_coefficients(tmp_path / "now.mat", complete_face())
    monkeypatch.setattr(time, "asctime", lambda *_: "Mon Jan  1 00:00:00 2040")
    write_coefficients(tmp_path / "later.mat", complete_face())
    assert (tmp_path / "now.mat").read_bytes() == (tmp_path / "later.mat").read_bytes()


def test_other_number_types_and_keys_are_accepted(tmp_path: Path) -> None:
    path = save_raw(
        tmp_path / "face.mat", exp=np.arange(64, dtype=np.int64), id=np.ones((80, 1)), note="by hand"
    )
    face = read_coefficients(path)
    np.testing.assert_array_equal(face.exp, np.arange(64, dtype=np.float32))
    np.testing.assert_array_equal(face.id, np.ones(80, np.float32))


@pytest.mark.parametrize("key", [*SIZES, "lm68"])
def test_a_missing_key_is_named(key: str, tmp_path: Path) -> None:
    path = save_raw(tmp_path / "face.mat", **{key: None})
    assert_one_line(lambda: read_coefficients(path), str(path), f"'{key}'")


BROKEN = {
    "short": np.zeros((1, 63)),
    "long": np.zeros((1, 65)),
    "empty": np.zeros((0, 64)),
    "text": "neutral",
    "complex": np.zeros((1, 64), np.complex64),
    "nan": np.full((1, 64), np.nan),
    "infinite": np.full((1, 64), -np.inf),
    "too large for float32": np.full((1, 64), 1e300),
    "too large for a coefficient": np.full((1, 64), 1e30),
}


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.filterwarnings("error")
def test_a_broken_array_is_named(value: object, tmp_path: Path) -> None:
    path = save_raw(tmp_path / "face.mat", exp=value)
    assert_one_line(lambda: read_coefficients(path), str(path), "'exp'")
    assert_one_line(lambda: read_expression(path), str(path), "'exp'")


def test_a_wrong_shape_says_what_came_and_what_is_expected(tmp_path: Path) -> None:
    path = save_raw(tmp_path / "face.mat", exp=np.zeros((1, 79)))
    assert_one_line(lambda: read_coefficients(path), "(1, 79)", "(1, 64)")


@pytest.mark.parametrize("key", ["pose", "noise"])
def test_a_broken_optional_array_is_named(key: str, tmp_path: Path) -> None:
    path = save_raw(tmp_path / "face.mat", **{key: np.zeros((1, 5))})
    assert_one_line(lambda: read_coefficients(path), str(path), f"'{key}'", "(1, 5)")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (read_coefficients, read_expression, lambda path: read_poses(path, 0.1)):
        assert_one_line(lambda read=read: read(tmp_path / "none.mat"), "none.mat", "no such file")


@pytest.mark.parametrize("length", [0, 4, 100, 127, 130, 200, 700])
def test_a_truncated_file_is_named(length: int, tmp_path: Path) -> None:
    path = save_raw(tmp_path / "face.mat")
    path.write_bytes(path.read_bytes()[:length])
    assert_one_line(lambda: read_coefficients(path), str(path))


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_text("id exp tex\nangle gamma\n" * 50)
    (tmp_path / "hdf.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400))
    for name in ("text.mat", "hdf.mat"):
        assert_one_line(lambda name=name: read_coefficients(tmp_path / name), name)


def test_an_expression_needs_no_other_key(tmp_path: Path) -> None:
    exp = np.linspace(-1, 1, 64, dtype=np.float32)
    scipy.io.savemat(tmp_path / "plain.mat", {"exp": exp[None]})
    scipy.io.savemat(tmp_path / "ours.mat", {"exp": exp[None], "face_model": "anifacegan-open-4"})
    for name, owner in (("plain.mat", None), ("ours.mat", "anifacegan-open-4")):
        values, face_model = read_expression(tmp_path / name)
        np.testing.assert_array_equal(values, exp)
        assert face_model == owner


def test_the_pose_of_a_file_is_its_angle_minus_the_pitch_offset(tmp_path: Path) -> None:
    face = dataclasses.replace(random_face(), angle=np.array([0.25, -0.5, 0.125], np.float32))
    write_coefficients(tmp_path / "face.mat", face)
    np.testing.assert_allclose(camera_angles(face, 0.1), [0.15, -0.5], atol=1e-6)
    np.testing.assert_array_equal(read_poses(tmp_path / "face.mat", 0.1)[0], camera_angles(face, 0.1))


def test_the_exact_pose_has_precedence_over_the_angle(tmp_path: Path) -> None:
    face = dataclasses.replace(complete_face(), pose=np.array([0.25, -0.5], np.float32))
    write_coefficients(tmp_path / "face.mat", face)
    np.testing.assert_array_equal(camera_angles(face, 0.1), [0.25, -0.5])
    np.testing.assert_array_equal(read_poses(tmp_path / "face.mat", 0.1)[0], [0.25, -0.5])


def test_a_real_deep3dfacerecon_file_is_read(official: Path, tmp_path: Path) -> None:
    path = official / "01626.mat"
    face, raw = read_coefficients(path), scipy.io.loadmat(path)
    for key in [*SIZES, "lm68"]:
        np.testing.assert_array_equal(getattr(face, key), raw[key][0], err_msg=key)
    assert (face.pose, face.noise, face.face_model) == (None, None, None)
    np.testing.assert_allclose(read_poses(path, 0.1)[0], raw["angle"][0, :2] - [0.1, 0.0], atol=1e-6)
    write_coefficients(tmp_path / "copy.mat", face)
    assert_same(read_coefficients(tmp_path / "copy.mat"), face)


def test_landmarks_of_a_real_deep3dfacerecon_file_have_y_down(official: Path) -> None:
    """As in an image: brows at y = 83, then eyes, tip of the nose and lips, and the chin at y = 205."""
    y = read_coefficients(official / "01626.mat").lm68[:, 1]
    assert y[17:27].mean() == pytest.approx(82.6, abs=0.1) and y[8] == pytest.approx(205.4, abs=0.1)
    assert y[17:27].mean() < y[36:48].mean() < y[30] < y[48:60].mean() < y[8]


def test_a_name_without_side_moves_both_sides() -> None:
    basis = random_basis()
    expected = 0.7 * (basis.units_to_exp[:, 1] + basis.units_to_exp[:, 2])
    np.testing.assert_allclose(basis.from_strengths({"mouthSmile": 0.7}), expected, atol=1e-6)


def test_strengths_add_up_linearly() -> None:
    basis = random_basis()
    expected = basis.units_to_exp @ np.array([0.5, 0, -0.2, 1, 0])
    came = basis.from_strengths({"jawOpen": 0.5, "mouthSmileRight": -0.2, "eyeBlinkLeft": 1.0})
    np.testing.assert_allclose(came, expected, atol=1e-6)
    assert came.dtype == np.float32


def test_both_sides_and_one_side_add_up_in_any_order() -> None:
    basis = random_basis()
    expected = basis.units_to_exp @ np.array([0, 0.7 + 0.2, 0.7, 0, 0])
    for strengths in ({"mouthSmile": 0.7, "mouthSmileLeft": 0.2}, {"mouthSmileLeft": 0.2, "mouthSmile": 0.7}):
        np.testing.assert_allclose(basis.from_strengths(strengths), expected, atol=1e-6)


def test_without_strengths_the_expression_is_neutral() -> None:
    assert not random_basis().from_strengths({}).any()


def test_an_unknown_name_lists_the_known_ones() -> None:
    assert_one_line(
        lambda: random_basis().from_strengths({"smirk": 1.0}), "'smirk'", "eyeBlink, jawOpen, mouthSmile"
    )
