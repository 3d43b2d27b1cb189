"""Small inputs that people reported, kept beside the checkout (shared/cases/public), behave as their notes ask."""

from pathlib import Path

import numpy as np
import pytest

from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.image_contents import dataset_image_size
from anifacegan.face_model.coefficients import BFM, OPEN_FACE_MODEL, ExpressionBasis, read_expressions
from anifacegan.face_model.config import DriveConfig
from anifacegan.face_model.expressions import ExpressionReader
from anifacegan.face_model.trajectories import requested_expressions
from tests.fixtures.one_line import assert_one_line


@pytest.fixture(scope="module")
def cases(shared_dir: Path) -> Path:
    folder = shared_dir / "cases" / "public"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: reported inputs are kept beside the checkout")
    return folder


def reader(face_model: str) -> ExpressionReader:
    basis = ExpressionBasis(("jawOpen",), np.ones((64, 1), np.float32))
    return ExpressionReader("small", face_model, {}, None if face_model == BFM else basis)


COUNTS = {
    "img_exif": 2,
    "img_modes": 6,
    "img_suffixes": 6,
    "img_webp_only": 4,
    "mac_zip": 4,
    "win_zip": 4,
    "names": 8,
    "nested": 3,
    "eg3d_labels": 4,
}


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_every_image_of_a_data_set_is_read(name: str, count: int, cases: Path) -> None:
    path = cases / name / "data"
    path = path / "set.zip" if (path / "set.zip").exists() else path
    data = FaceDataset(DataConfig(path, dataset_image_size(path)), poses_suffice=True)
    images = data.load_images().numpy()
    assert len(images) == count and all(20 < image.mean() < 235 for image in images)
    if name == "img_exif":
        assert np.abs(images[0].astype(float) - images[1]).mean() < 3  # the phone's image is upright


def test_images_alone_and_folders_of_frames(cases: Path) -> None:
    assert_one_line(
        lambda: FaceDataset(DataConfig(cases / "no_mats" / "data", 64)), "4 images and no .mat file"
    )
    for name, labels in (("unpadded_frames", [str(k) for k in range(1, 13)]), ("upper_folder", ["A", "b"])):
        drive = DriveConfig(expression=str(cases / name / "data"))
        expressions, is_sequence = requested_expressions(drive, reader(OPEN_FACE_MODEL))
        assert is_sequence and [expression.label for expression in expressions] == labels
        assert name == "upper_folder" or np.all(np.diff([abs(e.z_exp).max() for e in expressions]) > 0)


SHAPES = {
    "mat_coeff257/coeff": 1,
    "mat_coeff257/coeff_N": 5,
    "mat_coeff257/coeff_3dmm": 1,
    "mat_sequence_in_one_file/video": 5,
    **dict.fromkeys(
        [
            f"mat_shapes/{name}"
            for name in ("col64", "compressed", "exp3d", "extra", "f64", "oned_col", "row1d", "v4")
        ],
        1,
    ),
}


@pytest.mark.parametrize(("name", "count"), SHAPES.items())
def test_every_layout_of_a_mat_is_read(name: str, count: int, cases: Path) -> None:
    rows, owner = read_expressions(cases / f"{name}.mat")
    assert rows.shape == (count, 64) and np.isfinite(rows).all()
    assert (owner == BFM) == name.startswith("mat_coeff257")


REFUSED = {
    "mat_coeff257/coeff_258": "'coeff' has shape (1, 258)",
    "mat_shapes/complex": "expected real numbers",
    "mat_shapes/f16_as_f32_nan": "not finite",
    "mat_shapes/struct": "no 'exp' in the file (it holds coeffs)",
    "mat_shapes/upper": "no 'exp' in the file (it holds EXP)",
    "mat_v73/v73": "MATLAB",
    "not_mat/empty": "is empty",
    "not_mat/lfs": "is a Git LFS pointer",
    "not_mat/npy": "is a NumPy array",
}


@pytest.mark.parametrize(("name", "message"), REFUSED.items())
def test_what_cannot_be_read_is_one_line(name: str, message: str, cases: Path) -> None:
    assert_one_line(lambda: read_expressions(cases / f"{name}.mat"), f"{name}.mat", message)


def test_bfm_s_files_are_refused_by_the_open_model(cases: Path) -> None:
    for path in (cases / "mat_coeff257" / "coeff.mat", cases / "lm68_image_coords" / "data" / "000.mat"):
        assert reader(BFM).coefficients(path).shape == (64,)
        assert_one_line(lambda path=path: reader(OPEN_FACE_MODEL).coefficients(path), f"face model '{BFM}'")
