"""Files as expressions: one expression or a sequence, for the face model that the coefficients belong to."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from anifacegan.face_model.coefficients import (
    BFM,
    OPEN_FACE_MODEL,
    ExpressionBasis,
    read_coefficients,
    read_expression,
    read_expressions,
    read_poses,
)
from anifacegan.face_model.config import DriveConfig
from anifacegan.face_model.expressions import ExpressionReader, is_expression_file
from anifacegan.face_model.trajectories import planned_trajectory, requested_expressions
from anifacegan.runtime.errors import say_once
from tests.fixtures.mat73 import save_mat73
from tests.fixtures.one_line import assert_one_line

COLUMNS = {"id": 80, "exp": 64, "tex": 80, "angle": 3, "gamma": 27, "trans": 3}
UNITS = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight")


def reader(face_model: str = OPEN_FACE_MODEL) -> ExpressionReader:
    rng = np.random.default_rng(5)
    basis = ExpressionBasis(UNITS, rng.normal(size=(64, 3)).astype(np.float32))
    return ExpressionReader("small", face_model, {}, None if face_model == BFM else basis, 0.1)


def rows(count: int, width: int = 64) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, width)).astype(np.float32) / 10


def save(path: Path, **arrays: object) -> Path:
    scipy.io.savemat(path, arrays, appendmat=False)
    return path


# ------------------------------------------------------------------ layouts
@pytest.mark.parametrize("name", ["coeff", "coeff_3dmm"])
def test_one_variable_of_257_columns_is_split_as_deep3dfacerecon_joins_it(name: str, tmp_path: Path) -> None:
    joint = rows(5, 257)
    path = save(tmp_path / "a.mat", **{name: joint})
    exp, owner = read_expressions(path)
    assert np.array_equal(exp, joint[:, 80:144]) and owner == BFM
    assert np.allclose(read_poses(path, 0.1), joint[:, 224:226] - [0.1, 0])
    face = read_coefficients(save(tmp_path / "b.mat", **{name: joint[:1]}))
    start = 0
    for key, width in COLUMNS.items():
        assert np.array_equal(getattr(face, key), joint[0, start : start + width]), key
        start += width
    assert face.lm68 is None and face.face_model is None


def test_other_numbers_of_columns_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", coeff=rows(2, 258))
    assert_one_line(
        lambda: read_expressions(path), "'coeff' has shape (2, 258)", "(1, 257)", "(N, 257) of N frames"
    )


@pytest.mark.parametrize("shape", [(64,), (1, 64), (64, 1), (1, 64, 1), (1, 1, 64)])
def test_rows_columns_and_flat_arrays_are_one_expression(shape: tuple[int, ...], tmp_path: Path) -> None:
    exp = rows(1)
    for kind in (np.float64, np.float32):
        came, _ = read_expression(save(tmp_path / "a.mat", exp=exp.reshape(shape).astype(kind)))
        assert np.array_equal(came, exp[0])


@pytest.mark.parametrize("shape", [(5, 64), (5, 1, 64), (64, 64)])
def test_several_rows_are_a_sequence(shape: tuple[int, ...], tmp_path: Path) -> None:
    exp = rows(shape[0])
    path = save(tmp_path / "a.mat", exp=exp.reshape(shape))
    assert np.array_equal(read_expressions(path)[0], exp)
    assert_one_line(lambda: read_expression(path), f"a.mat: holds {shape[0]} expressions")
    assert_one_line(lambda: reader().coefficients(path), f"a.mat: holds {shape[0]} frames, expected one")


def test_a_sequence_of_columns_is_not_taken_for_rows(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", exp=rows(5).T)
    assert_one_line(lambda: read_expressions(path), "'exp' has shape (64, 5)", "(N, 64) of N frames")


def test_a_face_is_one_row_and_keys_have_equally_many(tmp_path: Path) -> None:
    arrays = {key: rows(3, width) for key, width in COLUMNS.items()} | {"lm68": np.ones((3, 68, 2))}
    path = save(tmp_path / "a.mat", **arrays)
    assert_one_line(lambda: read_coefficients(path), "a.mat: holds 3 faces")
    save(path, **arrays | {"id": rows(2, 80)})
    assert_one_line(lambda: read_coefficients(path), "different numbers of rows", "'id' 2, 'exp' 3")


def test_a_matlab_7_3_file_gives_the_same_expression(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    exp = rows(4)
    path = save_mat73(tmp_path / "a.mat", exp=exp, face_model=OPEN_FACE_MODEL)
    came, owner = read_expressions(path)
    assert np.array_equal(came, exp) and owner == OPEN_FACE_MODEL


# ------------------------------------------------------------------ which face model
def deep3d(path: Path, **others: object) -> Path:
    arrays = {key: rows(1, width) for key, width in COLUMNS.items()}
    return save(path, **arrays | {"lm68": np.ones((1, 68, 2))} | others)


def test_deep3dfacerecon_s_files_are_refused_by_the_open_model_and_taken_by_bfm(tmp_path: Path) -> None:
    for path in (deep3d(tmp_path / "a.mat"), save(tmp_path / "b.mat", coeff=rows(1, 257))):
        assert_one_line(
            lambda path=path: reader().coefficients(path),
            f"{path}: is for face model '{BFM}', but model 'small' takes '{OPEN_FACE_MODEL}'",
        )
        assert reader(BFM).coefficients(path).shape == (64,)


def test_the_open_model_s_files_are_refused_by_bfm(tmp_path: Path) -> None:
    path = deep3d(tmp_path / "a.mat", face_model=OPEN_FACE_MODEL)
    assert reader().coefficients(path).shape == (64,)
    assert_one_line(
        lambda: reader(BFM).coefficients(path), f"is for face model '{OPEN_FACE_MODEL}'", "takes 'bfm09'"
    )


def test_a_file_that_cannot_be_told_causes_a_warning_for_the_open_model(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", exp=rows(1))
    with pytest.warns(UserWarning, match="a.mat: does not say which face model it is for"):
        reader().coefficients(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reader(BFM).coefficients(path)


def test_expressions_of_the_open_model_s_last_version_go_on(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", exp=rows(1), face_model="anifacegan-open-3")
    assert np.array_equal(reader().coefficients(path), rows(1)[0])
    save(path, exp=rows(1), face_model="anifacegan-open-2")
    assert_one_line(lambda: reader().coefficients(path), "is for face model 'anifacegan-open-2'")


# ------------------------------------------------------------------ sequences
def requested(expression: str | tuple[str, ...], **options: object) -> tuple:
    drive = DriveConfig(expression=expression, **options)
    return drive, *requested_expressions(drive, reader())


def test_frames_of_a_folder_are_in_numeric_order_in_any_case(tmp_path: Path) -> None:
    for k in (1, 2, 7, 10, 11):
        save(
            tmp_path / (f"{k}.MAT" if k == 7 else f"{k}.mat"),
            exp=np.full((1, 64), k),
            face_model=OPEN_FACE_MODEL,
        )
    (tmp_path / "._1.mat").write_bytes(b"\0\x05\x16\x07")
    _, expressions, is_sequence = requested(str(tmp_path))
    assert is_sequence and [e.label for e in expressions] == ["1", "2", "7", "10", "11"]
    assert [e.z_exp[0] for e in expressions] == [1, 2, 7, 10, 11]


def test_the_rows_of_one_file_are_the_frames_with_their_poses(tmp_path: Path) -> None:
    exp, angle = rows(12), rows(12, 3)
    path = save(tmp_path / "take.mat", exp=exp, angle=angle, face_model=OPEN_FACE_MODEL)
    drive, expressions, is_sequence = requested(str(path), pose_from_mat=True)
    trajectory = planned_trajectory(drive, reader(), expressions, is_sequence)
    assert np.array_equal(trajectory.z_exp, exp) and trajectory.labels[10] == "take_10"
    assert np.allclose(trajectory.pitch, angle[:, 0] - 0.1) and np.allclose(trajectory.yaw, angle[:, 1])
    save(path, exp=exp, angle=angle[:3], face_model=OPEN_FACE_MODEL)
    assert_one_line(
        lambda: planned_trajectory(drive, reader(), expressions, is_sequence),
        "take.mat: has poses of 3 frames",
    )


def test_recorded_blendshapes_drive_the_open_model_only(tmp_path: Path) -> None:
    path = tmp_path / "take.csv"
    path.write_text("Timecode,JawOpen,EyeBlinkLeft\n0,0.5,0\n1,0.25,1\n")
    (tmp_path / "take.json").write_text('[{"jawOpen": 0.5}, {"jawOpen": 0.25, "eyeBlinkLeft": 1}]')
    basis = reader().basis
    assert basis is not None
    expected = [
        basis.from_strengths({"jawOpen": 0.5}),
        basis.from_strengths({"jawOpen": 0.25, "eyeBlinkLeft": 1}),
    ]
    for name in ("take.csv", "take.json"):
        _, expressions, is_sequence = requested(str(tmp_path / name))
        assert is_sequence and np.allclose([e.z_exp for e in expressions], expected, atol=1e-6)
    assert_one_line(
        lambda: reader(BFM).sequence(path), f"{path}: blendshapes are strengths", "bring a Deep3DFaceRecon"
    )
    drive, expressions, is_sequence = requested(str(path), pose_from_mat=True)
    assert_one_line(
        lambda: planned_trajectory(drive, reader(), expressions, is_sequence),
        "pose_from_mat needs .mat files",
    )


def test_a_sequence_is_the_only_expression(tmp_path: Path) -> None:
    path = save(tmp_path / "take.mat", exp=rows(3), face_model=OPEN_FACE_MODEL)
    message = "take.mat: holds 3 frames, expected one: a sequence has to be the only expression"
    assert_one_line(lambda: requested(("jawOpen", str(path))), message)
    assert_one_line(lambda: requested(str(tmp_path)), message)
    path.unlink()
    assert_one_line(lambda: requested(str(tmp_path)), "holds no .mat file")


def test_names_are_not_taken_for_files() -> None:
    assert is_expression_file("a/B.MAT") and is_expression_file("take.CSV") and is_expression_file("x.json")
    assert not is_expression_file("jawOpen=0.5") and not is_expression_file("neutral")


@pytest.fixture
def folders_called_as_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: in it a sequence ``jawOpen``, results in ``eyeBlink`` and ``neutral``, and a file."""
    monkeypatch.chdir(tmp_path)
    say_once.cache_clear()
    for name in ("jawOpen", "eyeBlink", "neutral", "take"):
        (tmp_path / name).mkdir()
    for name in ("jawOpen", "take"):
        for k in range(2):
            save(tmp_path / name / f"{k}.mat", exp=rows(1), face_model=OPEN_FACE_MODEL)
    (tmp_path / "eyeBlink" / "seed0.png").touch()
    (tmp_path / "eyeBlinkLeft").touch()
    save(tmp_path / "eyeBlinkLeft.mat", exp=rows(1), face_model=OPEN_FACE_MODEL)
    return tmp_path


@pytest.mark.parametrize("name", ["jawOpen", "eyeBlink", "eyeBlinkLeft", "neutral"])
def test_a_known_name_is_meant_whatever_is_called_so(name: str, folders_called_as_names: Path) -> None:
    _, expressions, is_sequence = requested(name)
    assert not is_sequence and [e.label for e in expressions] == [name] and expressions[0].path is None
    assert np.array_equal(expressions[0].z_exp, reader().coefficients(name))
    _, expressions, is_sequence = requested(("jawOpen=0.5,eyeBlink", name))
    assert not is_sequence and len(expressions) == 2


def test_where_a_name_and_files_meet_one_line_says_how_to_name_them(
    folders_called_as_names: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("jawOpen", "eyeBlinkLeft", "jawOpen", "eyeBlink", "neutral", "jawOpen=" + "0" * 300):
        requested(name)
    assert capsys.readouterr().err.splitlines() == [
        "'jawOpen' is the expression of that name; what lies here is ./jawOpen",
        "'eyeBlinkLeft' is the expression of that name; what lies here is eyeBlinkLeft.mat",
    ]


@pytest.mark.parametrize("path", ["./jawOpen", "jawOpen/", "take"])
def test_a_path_is_what_has_a_separator_or_no_known_name(path: str, folders_called_as_names: Path) -> None:
    _, expressions, is_sequence = requested(path)
    assert is_sequence and [e.label for e in expressions] == ["0", "1"]
    _, expressions, is_sequence = requested("eyeBlinkLeft.mat")
    assert not is_sequence and np.array_equal(expressions[0].z_exp, rows(1)[0])
    assert_one_line(lambda: requested("./eyeBlink"), "eyeBlink: holds no .mat file")
    assert_one_line(lambda: requested("./eyeBlinkLeft"), "./eyeBlinkLeft: no .mat file and no folder")
    assert_one_line(
        lambda: reader().coefficients("./jawOpen"), "./jawOpen: no .mat file, expected one, a .csv"
    )


def test_a_model_without_names_plays_the_folder(folders_called_as_names: Path) -> None:
    (folders_called_as_names / "jawOpen" / "0.mat").unlink()
    save(folders_called_as_names / "jawOpen" / "1.mat", exp=rows(1), face_model=BFM)
    assert requested_expressions(DriveConfig(expression="jawOpen"), reader(BFM))[1]


def test_a_dictionary_has_one_name_for_each_strength() -> None:
    """Its names are taken as they are: no comma, equals sign or blank in one makes several of it."""
    one = reader().coefficients({"jawOpen": 0.5, "eyeBlink": 1.0})
    assert np.array_equal(one, reader().coefficients("jawOpen=0.5,eyeBlink"))
    assert not reader().coefficients({}).any() and not reader(BFM).coefficients({}).any()
    for name in (
        "jawOpen,eyeBlink",
        "jawOpen=0.2,eyeBlink",
        "jawOpen=0.2",
        " jawOpen",
        "",
        "neutral",
        "a.mat",
    ):
        assert_one_line(
            lambda name=name: reader().coefficients({name: 0.5}), f"'{name}' is not known", "jawOpen"
        )
    assert_one_line(lambda: reader().coefficients({"jawOpen": 1e4}), "'jawOpen' is 10000.0", "up to 1000")
    assert_one_line(lambda: reader(BFM).coefficients({"jawOpen": 1.0}), "'jawOpen'", "no named expressions")


def test_a_file_may_be_named_by_a_text(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mat", exp=rows(2), face_model=OPEN_FACE_MODEL)
    assert np.array_equal(reader().sequence(str(path)), rows(2))
