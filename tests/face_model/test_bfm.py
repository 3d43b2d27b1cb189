"""Deep3DFaceRecon's BFM_model_front.mat: what its numbers mean, and how a bad file is refused."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from anifacegan.face_model.bfm import load_bfm
from anifacegan.runtime.errors import InputError

VERTICES = 70


def tiny_bfm() -> dict[str, np.ndarray]:
    """The keys of BFM_model_front.mat, for 70 vertices: indices start at 1, colours reach 255."""
    rng = np.random.default_rng(0)
    return {
        "meanshape": rng.normal(size=(1, 3 * VERTICES)) + 5,
        "idBase": rng.normal(size=(3 * VERTICES, 80)),
        "exBase": rng.normal(size=(3 * VERTICES, 64)),
        "meantex": rng.uniform(0, 255, (1, 3 * VERTICES)),
        "texBase": 20 * rng.normal(size=(3 * VERTICES, 80)),
        "tri": np.array([[1, 2, 3], [2, 4, 3], [68, 69, 70]]),
        "point_buf": np.full((VERTICES, 8), 4),
        "keypoints": np.arange(70, 2, -1)[None],
    }


def save_bfm(folder: Path, **changes: object) -> Path:
    path = folder / "BFM_model_front.mat"
    arrays = tiny_bfm() | changes
    scipy.io.savemat(path, {key: value for key, value in arrays.items() if value is not None})
    return path


def test_bfm_indices_start_at_one(tmp_path: Path) -> None:
    model = load_bfm(save_bfm(tmp_path))
    assert model.triangles.tolist() == [[0, 1, 2], [1, 3, 2], [67, 68, 69]]
    assert model.landmark_vertices.tolist() == list(range(69, 1, -1))
    assert model.name == "bfm09"


def test_bfm_is_centred_at_its_mean_vertex_and_its_colours_reach_one(tmp_path: Path) -> None:
    arrays, model = tiny_bfm(), load_bfm(save_bfm(tmp_path))
    mean = arrays["meanshape"].reshape(VERTICES, 3)
    np.testing.assert_allclose(model.mean.numpy(), mean - mean.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(
        model.tex_mean.numpy(), arrays["meantex"].reshape(VERTICES, 3) / 255, atol=1e-6
    )


def test_bfm_shapes_and_colours_are_deep3dfacerecons(tmp_path: Path) -> None:
    arrays, model = tiny_bfm(), load_bfm(save_bfm(tmp_path))
    rng = np.random.default_rng(1)
    z_id, z_exp, tex = rng.normal(size=80), rng.normal(size=64), rng.normal(size=80)
    flat = arrays["meanshape"][0] + arrays["idBase"] @ z_id + arrays["exBase"] @ z_exp
    expected = flat.reshape(VERTICES, 3) - arrays["meanshape"].reshape(VERTICES, 3).mean(axis=0)
    tensors = [torch.from_numpy(z[None]).float() for z in (z_id, z_exp, tex)]
    np.testing.assert_allclose(model.shape(*tensors[:2])[0].numpy(), expected, atol=1e-4)
    colours = (arrays["meantex"][0] + arrays["texBase"] @ tex).reshape(VERTICES, 3) / 255
    np.testing.assert_allclose(model.albedo(tensors[2])[0].numpy(), colours, atol=1e-4)


def test_bfm_normals_weight_triangles_equally(tmp_path: Path) -> None:
    """Vertex 2 belongs to two triangles of different areas; Deep3DFaceRecon sums their unit normals."""
    model = load_bfm(save_bfm(tmp_path))
    vertices = torch.from_numpy(np.random.default_rng(2).normal(size=(1, VERTICES, 3)))
    units = []
    for a, b, c in ([0, 1, 2], [1, 3, 2]):
        normal = torch.linalg.cross(vertices[0, b] - vertices[0, a], vertices[0, c] - vertices[0, a])
        units.append(normal / normal.norm())
    expected = (units[0] + units[1]) / (units[0] + units[1]).norm()
    torch.testing.assert_close(model.double().normals(vertices)[0, 1], expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exBase": None}, "key 'exBase' is missing"),
        ({"meanshape": None}, "key 'meanshape' is missing"),
        ({"keypoints": None}, "key 'keypoints' is missing"),
        ({"exBase": np.zeros((210, 79))}, r"key 'exBase' has shape \(210, 79\), expected \(210, 64\)"),
        ({"texBase": np.zeros((3, 80))}, r"key 'texBase' has shape \(3, 80\), expected \(210, 80\)"),
        (
            {"meanshape": np.zeros((1, 211))},
            r"key 'meanshape' has shape \(1, 211\), expected \(1, 3 x vertices\)",
        ),
        ({"keypoints": np.ones((1, 5))}, r"key 'keypoints' has shape \(1, 5\), expected \(1, 68\)"),
        ({"tri": np.array([[0, 1, 2]])}, "key 'tri' holds 0 to 2, expected 1 to 70"),
        ({"keypoints": np.full((1, 68), 71)}, "key 'keypoints' holds 71 to 71, expected 1 to 70"),
        ({"tri": np.array([[1, 2, 71]])}, "key 'tri' holds 1 to 71, expected 1 to 70"),
        ({"tri": np.array([[1, 2, -3]])}, "key 'tri' holds -3 to 2, expected 1 to 70"),
        ({"tri": np.array([[1, 2, 3.5]])}, "key 'tri' holds fractions, expected whole numbers"),
        ({"tri": np.array([[1, 2, np.nan]])}, "key 'tri' has values that are not finite"),
        ({"tri": np.array([["a", "b", "c"]])}, "key 'tri' is a MATLAB char, expected numbers"),
        ({"tri": np.array([[1, 2, 3j]])}, "key 'tri' is complex"),
        ({"meanshape": np.full((1, 210), np.nan)}, "key 'meanshape' has values that are not finite"),
        ({"meantex": np.full((1, 210), np.inf)}, "key 'meantex' has values that are not finite"),
        ({"idBase": np.full((210, 80), np.nan)}, "key 'idBase' has values that are not finite"),
        ({"exBase": np.full((210, 64), 1e30)}, "key 'exBase' holds 1e\\+30 to 1e\\+30"),
        ({"texBase": np.full((210, 80), np.nan)}, "key 'texBase' has values that are not finite"),
    ],
)
def test_a_bad_bfm_is_one_line_with_file_and_key(tmp_path: Path, changes: dict, message: str) -> None:
    path = save_bfm(tmp_path, **changes)
    with pytest.raises(InputError, match=message) as caught:
        load_bfm(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_bfm_that_is_no_mat_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bfm.mat"
    with pytest.raises(InputError, match="no such file"):
        load_bfm(path)
    path.write_text("hello")
    with pytest.raises(
        InputError,
        match=r"bfm\.mat: not a readable MATLAB file .* Deep3DFaceRecon's BFM_model_",
    ):
        load_bfm(path)
