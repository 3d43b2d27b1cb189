"""The morphable model: closed forms on small models."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull
from torch import Tensor

from anifacegan.face_model.morphable import FaceBases, MorphableModel
from tests.fixtures.ball_face_model import ball_face_model

ZERO_ID, ZERO_EXP = torch.zeros(1, 80), torch.zeros(1, 64)


def random_model(seed: int = 0) -> MorphableModel:
    return ball_face_model(torch.Generator().manual_seed(seed))


def random_coefficients(batch: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, dim, generator=torch.Generator().manual_seed(seed))


def sphere_bases(points: int, **changes: object) -> FaceBases:
    """A unit sphere of random points whose bases are zero."""
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


def test_a_batch_equals_its_people_one_by_one() -> None:
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


def test_pose_is_the_product_of_three_rotations_and_a_translation() -> None:
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


def test_the_small_random_model_depends_on_its_generator_only() -> None:
    one, same, other = random_model(0), random_model(0), random_model(1)
    assert torch.equal(one.id_basis, same.id_basis) and torch.equal(
        one.landmark_vertices, same.landmark_vertices
    )
    assert not torch.equal(one.id_basis, other.id_basis)
    assert (one.id_basis.shape[-1], one.exp_basis.shape[-1], one.tex_basis.shape[-1]) == (80, 64, 80)


def test_the_small_random_model_has_a_face_in_front() -> None:
    model = random_model()
    marks = model.landmarks(model.mean[None])[0]
    assert len(set(model.landmark_vertices.tolist())) == 68
    assert (marks[:, 2] > 0).all()
    left_eye, right_eye, nose, left_corner, right_corner = model.alignment_points(model.mean[None])[0]
    assert left_eye[0] < nose[0] < right_eye[0] and left_corner[0] < right_corner[0]
    assert left_eye[1] > nose[1] > left_corner[1]
    vertices = model.shape(random_coefficients(4, 80), random_coefficients(4, 64))
    assert (model.normals(vertices) * model.mean).sum(-1).min() > 0  # no triangle is turned inside out
