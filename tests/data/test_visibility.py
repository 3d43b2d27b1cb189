"""BFM's mesh for the imitation terms: where its points are, and which of them a photograph's camera sees."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from anifacegan.data import visibility
from anifacegan.data.dataset import CoefficientTable
from anifacegan.data.synthetic.surface.head import load_head_geometry
from anifacegan.data.visibility import (
    PosedFaces,
    drawn_visibility,
    stored_visibility,
    visible_vertices,
)
from anifacegan.face_model.bfm import load_bfm
from anifacegan.face_model.face_mesh import FaceMesh, bare_head, face_mesh
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.losses.mesh_points import OPEN_LIPS, MeshSampler
from anifacegan.runtime.errors import InputError
from tests.fixtures.tiny_bfm import write_tiny_bfm
from tests.fixtures.tiny_training_set import random_latents

ITEMS = 4


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bfm") / "BFM_model_front.mat"
    write_tiny_bfm(path)
    return path


@pytest.fixture(scope="module")
def mesh(file: Path) -> FaceMesh:
    return face_mesh(load_bfm(file))


@pytest.fixture(scope="module")
def latents() -> CoefficientTable:
    return random_latents(ITEMS)


def slow_vertices(file: Path, z_id: np.ndarray, z_exp: np.ndarray) -> np.ndarray:
    """(V, 3) world units, from the file's own arrays in float64."""
    arrays = scipy.io.loadmat(file)
    flat = arrays["meanshape"][0] + arrays["idBase"] @ z_id + arrays["exBase"] @ z_exp
    middle = arrays["meanshape"].reshape(-1, 3).mean(axis=0)
    return 0.1 * (flat.reshape(-1, 3) - middle) + np.array([0.0, 0.0, -0.027])


def slowly_seen(file: Path, z_id: np.ndarray, z_exp: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(V,) Whether a straight line from the camera to the vertex, all but its end, meets no triangle."""
    vertices = slow_vertices(file, z_id, z_exp)
    triangles = scipy.io.loadmat(file)["tri"] - 1
    pitch, yaw = torch.from_numpy(pose.astype(np.float64))[:, None]
    camera = orbit_camera(yaw=yaw, pitch=pitch, size=100)
    origin = -(camera.translation[0] @ camera.rotation[0].T).numpy()
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))  # (F, 3)
    seen = np.empty(len(vertices), bool)
    for index, vertex in enumerate(vertices):
        way = vertex - origin
        across = np.cross(way, c - a)
        size = (across * (b - a)).sum(-1)
        u = ((origin - a) * across).sum(-1) / size
        along = np.cross(origin - a, b - a)
        v = (along * way).sum(-1) / size
        share = (along * (c - a)).sum(-1) / size  # of the way to the vertex
        own = (triangles == index).any(axis=1)
        seen[index] = not ((u >= 0) & (v >= 0) & (u + v <= 1) & (share > 0) & (share < 1 - 1e-6) & ~own).any()
    return seen


def drawn_vertices(mesh: FaceMesh, latents: CoefficientTable) -> np.ndarray:
    return drawn_visibility(mesh, PosedFaces(latents.id, latents.exp, latents.pose))


def test_points_are_on_the_files_own_mesh_and_steps_lead_to_its_neutral(
    file: Path, mesh: FaceMesh, latents: CoefficientTable
) -> None:
    sampler = MeshSampler(mesh, drawn_vertices(mesh, latents))
    items = np.array([3, 0, 3])
    points = sampler.points(items, latents.id[items], latents.exp[items], 400, rng(5))
    selected = sampler.vertices(400, rng(5))
    for row, item in enumerate(items):
        z_id, z_exp = latents.id[item].double().numpy(), latents.exp[item].double().numpy()
        expressive, neutral = slow_vertices(file, z_id, z_exp), slow_vertices(file, z_id, 0 * z_exp)
        np.testing.assert_allclose(points.x_target[row], expressive[selected], atol=1e-6)
        np.testing.assert_allclose(points.delta[row], (neutral - expressive)[selected], atol=1e-6)
        assert np.abs(points.delta[row].numpy()).max() > 1e-3


def test_vertices_count_where_nothing_stands_between_them_and_the_camera(
    file: Path, mesh: FaceMesh, latents: CoefficientTable
) -> None:
    sampler = MeshSampler(mesh, drawn_vertices(mesh, latents))
    for item in range(ITEMS):
        items = np.array([item])
        counted = (
            sampler.points(items, latents.id[items], latents.exp[items], 3000, rng(6)).confidence[0].numpy()
            > 0
        )
        selected = sampler.vertices(3000, rng(6))
        z_id, z_exp, pose = (values[item].numpy() for values in (latents.id, latents.exp, latents.pose))
        expected = slowly_seen(file, z_id.astype(float), z_exp.astype(float), pose)
        assert 0.3 < expected.mean() < 0.7
        # At the silhouette a triangle may be thinner than a pixel, and a corner of one that is half seen counts.
        assert (counted != expected[selected]).mean() < 0.02
        finer = visible_vertices(mesh, z_id, z_exp, pose, size=1500)
        assert not (expected & ~finer).any() and (finer & ~expected).mean() < 0.02


def test_the_pose_decides_which_side_is_seen(mesh: FaceMesh) -> None:
    nobody = np.zeros(80, np.float32), np.zeros(64, np.float32)
    x = bare_head(mesh, *nobody)[:, 0]
    left, right = (visible_vertices(mesh, *nobody, np.array([0.0, yaw], np.float32)) for yaw in (-0.6, 0.6))
    assert x[left & ~right].min() > 0 > x[right & ~left].max()  # at positive yaw the face turns towards +x


def test_a_vertex_behind_a_closed_lid_does_not_count(face_model: MorphableModel) -> None:
    """Of the open face model, whose photographs are looked at alike."""
    head = load_head_geometry()
    blink = head.parts.expression_basis().from_strengths({"eyeBlink": 1.0}).astype(np.float32)
    nobody, frontal = np.zeros(80, np.float32), np.zeros(2, np.float32)
    shares = [
        visible_vertices(head, nobody, z_exp, frontal)[head.eyes[0].ball].mean()
        for z_exp in (0 * blink, blink)
    ]
    assert shares[0] > 0.1 and shares[1] < 0.25 * shares[0]


def posed(latents: CoefficientTable) -> PosedFaces:
    return PosedFaces(latents.id, latents.exp, latents.pose, 40)


def test_a_face_is_drawn_once_for_all_starts(
    mesh: FaceMesh, latents: CoefficientTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = drawn_visibility(mesh, posed(latents))
    assert np.array_equal(stored_visibility(tmp_path, "faces", mesh, posed(latents)), expected)

    def refused(*arguments: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(visibility, "visible_vertices", refused)
    again = stored_visibility(tmp_path, "faces", mesh, posed(latents))
    assert np.array_equal(again, expected) and isinstance(again, np.memmap)
    others = dataclasses.replace(posed(latents), size=41)
    with pytest.raises(AssertionError, match="drawn again"):
        stored_visibility(tmp_path, "faces", mesh, others)


def test_an_interrupted_drawing_goes_on_where_it_was(
    mesh: FaceMesh, latents: CoefficientTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[float] = []

    def recorded(mesh: FaceMesh, z_id: np.ndarray, *others: np.ndarray) -> np.ndarray:
        if len(drawn) == 3:
            drawn.append(np.nan)
            raise KeyboardInterrupt
        drawn.append(float(z_id[0]))
        return visible_vertices(mesh, z_id, *others)

    expected = drawn_visibility(mesh, posed(latents))
    monkeypatch.setattr(visibility, "visible_vertices", recorded)
    monkeypatch.setattr(visibility, "PART", 2)
    with pytest.raises(KeyboardInterrupt):
        stored_visibility(tmp_path, "faces", mesh, posed(latents))
    assert np.array_equal(stored_visibility(tmp_path, "faces", mesh, posed(latents)), expected)
    of = latents.id[:, 0].tolist()
    assert drawn[:3] == of[:3] and drawn[4:] == of[2:]  # the third was not noted as done


@pytest.mark.parametrize("damage", ["cut", "zeros", "other note", "no note"])
def test_a_damaged_file_is_drawn_again(
    damage: str, mesh: FaceMesh, latents: CoefficientTable, tmp_path: Path
) -> None:
    expected = np.array(stored_visibility(tmp_path, "faces", mesh, posed(latents)))
    if damage == "cut":
        (tmp_path / "faces.npy").write_bytes((tmp_path / "faces.npy").read_bytes()[:-20])
    elif damage == "zeros":  # of the right size
        content = (tmp_path / "faces.npy").read_bytes()
        (tmp_path / "faces.npy").write_bytes(content[:-200] + bytes(200))
        assert not np.array_equal(np.load(tmp_path / "faces.npy"), expected)
    elif damage == "no note":
        (tmp_path / "faces.json").unlink()
    else:
        (tmp_path / "faces.json").write_text('{"faces_sha256": "of others", "done": "all"}')
    assert np.array_equal(stored_visibility(tmp_path, "faces", mesh, posed(latents)), expected)


def test_files_of_others_are_not_replaced(mesh: FaceMesh, latents: CoefficientTable, tmp_path: Path) -> None:
    (tmp_path / "faces.npy").write_bytes(b"mine")
    with pytest.raises(InputError, match="faces.npy: is in the way"):
        stored_visibility(tmp_path, "faces", mesh, posed(latents))
    assert (tmp_path / "faces.npy").read_bytes() == b"mine"


def test_a_face_without_eyeballs_is_all_face_and_draws_what_moves_and_the_lips(
    mesh: FaceMesh, latents: CoefficientTable
) -> None:
    assert mesh.face.all() and mesh.eyes == ()
    draws = 100_000
    selected = MeshSampler(mesh, drawn_vertices(mesh, latents)).vertices(draws, rng())
    counts = np.bincount(selected, minlength=len(mesh.face))
    moving = np.sqrt((mesh.basis[:, 80:] ** 2).sum(1).reshape(-1, 3).sum(1))
    share = 0.05 + moving / moving.max()
    mean = mesh.mean.reshape(-1, 3)
    contours = mean[mesh.landmark_vertices[60:68]]
    share[np.linalg.norm(mean[:, None] - contours, axis=2).min(axis=1) < 0.08] += 1.0  # 8 mm
    expected = draws * share / share.sum()
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()  # five deviations of a Poisson count


def test_mouth_gap_points_lie_between_the_inner_lips_of_the_file(
    file: Path, mesh: FaceMesh, latents: CoefficientTable
) -> None:
    """Landmarks 60 to 67: every point lies between two points of the upper and the lower contour of its segment."""
    gap = MeshSampler(mesh, drawn_vertices(mesh, latents)).mouth_gap(latents.id, latents.exp, 300, rng(3))
    landmarks = scipy.io.loadmat(file)["keypoints"][0].astype(int) - 1
    for item in range(ITEMS):
        z_id, z_exp = latents.id[item].double().numpy(), latents.exp[item].double().numpy()
        upper, lower = (
            slow_vertices(file, z_id, z_exp)[landmarks[lips]]
            for lips in ([60, 61, 62, 63, 64], [60, 67, 66, 65, 64])
        )
        x, y = gap.x_target[item, :, :2].double().numpy().T
        edge = np.concatenate([upper, lower[::-1]])[:, :2]
        assert edge[:, 0].min() - 1e-6 <= x.min() and x.max() <= edge[:, 0].max() + 1e-6
        assert edge[:, 1].min() - 1e-6 <= y.min() and y.max() <= edge[:, 1].max() + 1e-6
        opening = np.linalg.norm(upper - lower, axis=-1).max()
        assert (gap.confidence[item].numpy().any()) == (opening > OPEN_LIPS)
