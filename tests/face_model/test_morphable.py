"""The morphable model: closed forms on small models, Deep3DFaceRecon's file, and sense in the open face model."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from scipy.spatial import ConvexHull
from torch import Tensor

from anifacegan.face_model.bfm import load_bfm
from anifacegan.face_model.expressions import ACTIONS
from anifacegan.face_model.morphable import FaceBases, MorphableModel
from anifacegan.face_model.open_model import (
    BUILD_COMMAND,
    face_model_path,
    load_head_parts,
    load_open_face_model,
)
from anifacegan.runtime.errors import InputError
from tests.fixtures.ball_face_model import synthetic_face_model
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


def random_model(seed: int = 0) -> MorphableModel:
    return synthetic_face_model(torch.Generator().manual_seed(seed))


def random_coefficients(batch: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, dim, generator=torch.Generator().manual_seed(seed))


def sphere_bases(points: int, **changes: object) -> FaceBases:
    """A unit sphere of random points, without any freedom."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(points, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    triangles = ConvexHull(directions).simplices
    a, b, c = directions[triangles].transpose(1, 0, 2)
    inward = np.einsum("fc,fc->f", np.cross(b - a, c - a), a + b + c) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    vertices = torch.from_numpy(directions)
    bases = FaceBases(
        name="sphere",
        mean=vertices,
        id_basis=torch.zeros(points, 3, 80).double(),
        exp_basis=torch.zeros(points, 3, 64).double(),
        tex_mean=vertices,
        tex_basis=torch.zeros(points, 3, 80).double(),
        triangles=torch.from_numpy(triangles.astype(np.int64)),
        landmark_vertices=torch.arange(68),
        world_offset=(0.0, 0.0, 0.0),
    )
    return dataclasses.replace(bases, **changes)


# --------------------------------------------------------------------------------------------- closed forms
def test_zero_coefficients_are_the_mean_face() -> None:
    model = random_model()
    assert torch.equal(model.shape(ZERO_ID, ZERO_EXP)[0], model.mean)
    assert torch.equal(model.albedo(torch.zeros(1, 80))[0], model.tex_mean)


def test_one_coefficient_adds_its_column() -> None:
    model = random_model()
    z_exp = torch.zeros(1, 64)
    z_exp[0, 5] = 2.0
    expected = model.mean + 2 * model.exp_basis[:, :, 5]
    torch.testing.assert_close(model.shape(ZERO_ID, z_exp)[0], expected)
    tex = torch.zeros(1, 80)
    tex[0, 7] = -3.0
    torch.testing.assert_close(model.albedo(tex)[0], model.tex_mean - 3 * model.tex_basis[:, :, 7])


def test_identity_and_expression_add_up() -> None:
    model = random_model()
    z_id, z_exp = random_coefficients(3, 80), random_coefficients(3, 64, seed=1)
    apart = model.shape(z_id, 0 * z_exp) + model.shape(0 * z_id, z_exp) - model.mean
    torch.testing.assert_close(model.shape(z_id, z_exp), apart)


def test_people_of_a_batch_do_not_mix() -> None:
    model = random_model()
    z_id, z_exp = random_coefficients(3, 80), random_coefficients(3, 64, seed=1)
    alone = torch.cat([model.shape(z_id[i : i + 1], z_exp[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(model.shape(z_id, z_exp), alone)


def test_normals_of_a_sphere_are_its_points() -> None:
    model = MorphableModel(sphere_bases(2000))
    normals = model.normals(model.mean[None])[0]
    assert (normals * model.mean).sum(-1).min() > 0.99  # random triangles of about 4 degrees
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(2000).double())


@pytest.mark.parametrize("weighting", ["area", "equal"])
def test_normals_match_a_slow_reference(weighting: str) -> None:
    model = MorphableModel(sphere_bases(60, normal_weighting=weighting))
    vertices = (model.mean * torch.tensor([1.0, 2.0, 0.5]).double())[None]
    expected = torch.zeros(60, 3).double()
    for triangle in model.triangles:
        a, b, c = vertices[0, triangle]
        normal = torch.linalg.cross(b - a, c - a)
        expected[triangle] += normal if weighting == "area" else normal / normal.norm()
    expected /= expected.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(model.normals(vertices)[0], expected)


def test_positive_yaw_turns_to_plus_x_and_positive_pitch_looks_down() -> None:
    model = random_model().double()
    nose = torch.tensor([[[0.0, 0.0, 1.0]]]).double()
    c, s = np.cos(0.3), np.sin(0.3)
    zero = torch.zeros(1, 3).double()

    def turned(*angle: float) -> list[float]:
        return model.pose(nose, torch.tensor([angle]).double(), zero)[0, 0].tolist()

    assert turned(0, 0.3, 0) == pytest.approx([s, 0, c])
    assert turned(0.3, 0, 0) == pytest.approx([0, -s, c])
    ear = torch.tensor([[[1.0, 0.0, 0.0]]]).double()
    rolled = model.pose(ear, torch.tensor([[0, 0, 0.3]]).double(), zero)[0, 0]
    assert rolled.tolist() == pytest.approx([c, s, 0])


def test_pose_is_the_product_of_the_three_written_out_matrices() -> None:
    x, y, z = 0.2, -0.5, 0.7
    rx = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    points = np.random.default_rng(0).normal(size=(1, 5, 3))
    expected = points @ (rz @ ry @ rx).T + [0.1, 0.2, 0.3]
    angle, trans = torch.tensor([[x, y, z]]).double(), torch.tensor([[0.1, 0.2, 0.3]]).double()
    posed = random_model().double().pose(torch.from_numpy(points), angle, trans)
    np.testing.assert_allclose(posed.numpy(), expected, atol=1e-12)


def test_alignment_points_are_eyes_nose_and_mouth_corners() -> None:
    model = random_model()
    vertices = model.shape(random_coefficients(2, 80), random_coefficients(2, 64))
    marks = model.landmarks(vertices)
    eyes = [(marks[:, 36] + marks[:, 39]) / 2, (marks[:, 42] + marks[:, 45]) / 2]
    expected = torch.stack([*eyes, marks[:, 30], marks[:, 48], marks[:, 54]], dim=1)
    torch.testing.assert_close(model.alignment_points(vertices), expected)


def test_a_model_unit_is_a_tenth_of_the_world() -> None:
    model = MorphableModel(sphere_bases(68, world_offset=(1.0, 2.0, 3.0)))
    points = random_coefficients(4, 3).double()
    torch.testing.assert_close(model.to_world(points), 0.1 * points + torch.tensor([1.0, 2.0, 3.0]).double())


def test_landmarks_are_differentiable_in_the_coefficients() -> None:
    model = random_model().double()

    def landmarks(z_id: Tensor, z_exp: Tensor) -> Tensor:
        return model.landmarks(model.shape(z_id, z_exp))[:, ::20]

    z_id = random_coefficients(1, 80).double().requires_grad_()
    z_exp = random_coefficients(1, 64).double().requires_grad_()
    assert torch.autograd.gradcheck(landmarks, (z_id, z_exp))


def test_normals_are_differentiable_in_the_vertices() -> None:
    model = MorphableModel(sphere_bases(68))
    vertices = model.mean[None].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: model.normals(v)[:, ::8], (vertices,))


def test_the_synthetic_model_depends_on_its_generator_alone() -> None:
    one, same, other = random_model(0), random_model(0), random_model(1)
    assert torch.equal(one.id_basis, same.id_basis) and torch.equal(
        one.landmark_vertices, same.landmark_vertices
    )
    assert not torch.equal(one.id_basis, other.id_basis)
    assert (one.id_basis.shape[-1], one.exp_basis.shape[-1], one.tex_basis.shape[-1]) == (80, 64, 80)


def test_the_synthetic_model_has_a_face_in_front() -> None:
    model = random_model()
    marks = model.landmarks(model.mean[None])[0]
    assert len(set(model.landmark_vertices.tolist())) == 68
    assert (marks[:, 2] > 0).all()
    left_eye, right_eye, nose, left_corner, right_corner = model.alignment_points(model.mean[None])[0]
    assert left_eye[0] < nose[0] < right_eye[0] and left_corner[0] < right_corner[0]
    assert left_eye[1] > nose[1] > left_corner[1]
    vertices = model.shape(random_coefficients(4, 80), random_coefficients(4, 64))
    assert (model.normals(vertices) * model.mean).sum(-1).min() > 0  # no triangle is turned inside out


# ------------------------------------------------------------------------------------------ Deep3DFaceRecon's file
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


def test_bfm_is_moved_to_its_mean_vertex_and_coloured_up_to_one(tmp_path: Path) -> None:
    arrays, model = tiny_bfm(), load_bfm(save_bfm(tmp_path))
    mean = arrays["meanshape"].reshape(VERTICES, 3)
    np.testing.assert_allclose(model.mean.numpy(), mean - mean.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(
        model.tex_mean.numpy(), arrays["meantex"].reshape(VERTICES, 3) / 255, atol=1e-6
    )


def test_bfm_coefficients_mean_what_they_mean_to_deep3dfacerecon(tmp_path: Path) -> None:
    arrays, model = tiny_bfm(), load_bfm(save_bfm(tmp_path))
    rng = np.random.default_rng(1)
    z_id, z_exp, tex = rng.normal(size=80), rng.normal(size=64), rng.normal(size=80)
    flat = arrays["meanshape"][0] + arrays["idBase"] @ z_id + arrays["exBase"] @ z_exp
    expected = flat.reshape(VERTICES, 3) - arrays["meanshape"].reshape(VERTICES, 3).mean(axis=0)
    tensors = [torch.from_numpy(z[None]).float() for z in (z_id, z_exp, tex)]
    np.testing.assert_allclose(model.shape(*tensors[:2])[0].numpy(), expected, atol=1e-4)
    colours = (arrays["meantex"][0] + arrays["texBase"] @ tex).reshape(VERTICES, 3) / 255
    np.testing.assert_allclose(model.albedo(tensors[2])[0].numpy(), colours, atol=1e-4)


def test_bfm_normals_weigh_triangles_equally(tmp_path: Path) -> None:
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
        ({"tri": np.array([["a", "b", "c"]])}, "key 'tri' is <U1"),
        ({"tri": np.array([[1, 2, 3j]])}, "key 'tri' is complex128"),
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
    with pytest.raises(InputError, match=r"bfm\.mat: not a \.mat file"):
        load_bfm(path)


# --------------------------------------------------------------------------------------- the open model's file
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
    with pytest.raises(InputError, match="face_model.npz: not a face model file"):
        load_open_face_model(path)
    np.savez(path, version=np.array("anifacegan-open-0"), mean=np.zeros((4, 3)))
    with pytest.raises(InputError, match="anifacegan-open-0"):
        load_open_face_model(path)
    np.savez(path, version=np.array("anifacegan-open-3"), mean=np.zeros((4, 3)))
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


def test_every_array_of_a_file_is_one_that_is_checked(
    tiny_arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """Each is refused in one line as complex numbers, with another axis, and, of floats, with a NaN."""
    path = tmp_path / "face_model.npz"
    for name in tiny_arrays.keys() - {"version"}:
        whole = tiny_arrays[name]
        for changed in changes_of(whole):
            np.savez(path, **tiny_arrays | {name: changed})
            with pytest.raises(
                InputError, match=rf"face_model\.npz: key '{name}' .*build it again"
            ) as caught:
                read_all(path)
            assert "\n" not in str(caught.value)


def changes_of(whole: np.ndarray) -> list[np.ndarray]:
    changes = [np.zeros(whole.shape, np.complex64), whole[None]]
    if whole.dtype.kind == "f":
        damaged = whole.copy()
        damaged.flat[-1] = np.nan
        changes.append(damaged)
    return changes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tri", 600), ("tri", -1), ("landmarks68", 600), ("landmarks68", -1), ("part", 6), ("lid_l", 600),
        ("lid_r", -1), ("curtain_anchor", 600), ("curtain_tri", 4), ("curtain_tri", -1), ("mean", 1e30),
        ("exp_basis", -1e30), ("tex_basis", np.inf), ("hair_dir", 2.0),
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
    for name in ("id_basis", "tex_mean", "gloss", "uv", "hair_dir", "bank_tex", "au_bank"):
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
    assert face_model.name == "anifacegan-open-3"
    assert face_model.id_basis.shape == (vertices, 3, 80)
    assert face_model.exp_basis.shape == (vertices, 3, 64)
    assert face_model.tex_basis.shape == (vertices, 3, 80)
    assert face_model.alignment_points(face_model.mean[None]).shape == (1, 5, 3)
    assert len(set(face_model.landmark_vertices.tolist())) == 68
    with np.load(face_model_path()) as file:
        np.testing.assert_array_equal(face_model.alignment_weights.numpy(), file["align5_from68"])


def test_the_open_model_is_neutral_at_zero_expression(face_model: MorphableModel) -> None:
    assert torch.equal(face_model.shape(ZERO_ID, ZERO_EXP)[0], face_model.mean)
    assert torch.equal(landmarks_of(face_model), face_model.landmarks(face_model.mean[None])[0])


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


def test_every_side_of_the_open_models_triangles_faces_outward_once(face_model: MorphableModel) -> None:
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
    assert opening(blink) < 0.35 * opening(rest)
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
    for bank in (parts.bank_id, parts.bank_tex, expressions):
        moment = np.sqrt((bank.astype(np.float32) ** 2).mean(axis=0))
        assert 0.9 < moment.min() and moment.max() < 1.1
    assert len(parts.bank_id) == len(parts.bank_tex) == len(parts.bank_hair_rgb) == len(parts.bank_age)
    assert len(parts.part) == len(face_model.mean) and parts.curtain_anchor.max() < len(parts.part)
