"""Eyelids: closing by the blink, clearing of the eyeballs, on all vertices of a mesh and on some."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.face_model.build.topology import fit_sphere
from anifacegan.face_model.face_mesh import bare_head, face_mesh
from anifacegan.face_model.lids import Eye, LidClosing, blink_strength, place_lids, subset_with_lids
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import load_head_parts
from tests.fixtures.tiny_head import tiny_model

BALL_RADIUS = 0.4
CENTRE = torch.tensor([0.3, 0.2, 0.1], dtype=torch.float64)
BALL, UPPER, LOWER, FOLLOWER, FAR = np.arange(40), np.arange(40, 45), np.array([40, 45, 46, 47, 44]), 48, 49
"""Vertices of a made eye: the ball, margins that share their corners, one that follows half, one elsewhere."""


def made_eye() -> Eye:
    """An eye whose blink is read from the first expression coefficient, and whose linear blink moves nothing."""
    read_out = np.zeros(64, np.float32)
    read_out[0] = 1
    closing = LidClosing(
        upper=UPPER,
        lower=LOWER,
        below=np.arange(5, dtype=np.float32),
        followers=np.array([41, 42, 43, FOLLOWER]),
        columns=np.array([[1, 2], [2, 1], [3, 1], [2, 1]]),
        shares=np.array([[1, 0], [1, 0], [1, 0], [0.5, 0]], np.float32),
        blink_upper=np.zeros((5, 3), np.float32),
        blink_lower=np.zeros((5, 3), np.float32),
        blink_ball=np.zeros(3, np.float32),
        read_out=read_out,
    )
    return Eye(BALL, np.array([41, 42, 43, FOLLOWER]), closing)


def made_face(batch: int = 1) -> Tensor:
    """(B, 50, 3) vertices of :func:`made_eye`: margins on a sphere around the ball, 0.5 rad apart in the middle."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(batch, 40, 3, generator=generator, dtype=torch.float64)
    vertices = torch.zeros(batch, 50, 3, dtype=torch.float64)
    vertices[:, BALL] = CENTRE + BALL_RADIUS * torch.nn.functional.normalize(directions, dim=-1)
    x = torch.linspace(-0.2, 0.2, 5, dtype=torch.float64)
    for rows, height in ((UPPER, 0.3), (LOWER, -0.2)):
        vertices[:, rows] = CENTRE + on_lid(x, height * (1 - (x / 0.2).square()))
    vertices[:, FOLLOWER] = CENTRE + on_lid(torch.zeros(1, dtype=torch.float64), torch.tensor([0.6]))[0]
    vertices[:, FAR] = CENTRE + torch.tensor([0.0, 0.0, 0.1])  # in the ball, but no lid
    return vertices


def on_lid(x: Tensor, angle: Tensor) -> Tensor:
    return 1.1 * BALL_RADIUS * torch.stack([x, angle.sin(), angle.cos()], dim=-1)


def expression(strength: float, batch: int = 1) -> Tensor:
    z_exp = torch.zeros(batch, 64, dtype=torch.float64)
    z_exp[:, 0] = strength
    return z_exp


def angles(points: Tensor) -> Tensor:
    return torch.atan2(points[..., 1] - CENTRE[1], points[..., 2] - CENTRE[2])


# ------------------------------------------------------------------------------------------------------------- closing
@pytest.mark.parametrize("strength", [0.0, 0.3, 0.5, 0.8, 1.0, 1.4])
def test_a_blink_leaves_its_share_of_the_opening_in_every_column(strength: float) -> None:
    face, eye = made_face(), made_eye()
    left = 1 - blink_strength(expression(strength), eye.closing)
    placed = place_lids(face, expression(strength), (eye,))
    opening = angles(placed[:, UPPER]) - angles(placed[:, LOWER])
    torch.testing.assert_close(opening, left * (angles(face[:, UPPER]) - angles(face[:, LOWER])))
    turn = angles(placed[:, UPPER[2]]) - angles(face[:, UPPER[2]])
    torch.testing.assert_close(angles(placed[:, FOLLOWER]) - angles(face[:, FOLLOWER]), 0.5 * turn)
    assert torch.equal(placed[:, [*BALL, *LOWER, FAR]], face[:, [*BALL, *LOWER, FAR]])


def test_the_opening_is_measured_without_the_linear_models_blink() -> None:
    """Moving a lid with the blink by the linear model as well changes nothing of where its margin ends up."""
    face, eye = made_face(), made_eye()
    step = np.zeros((5, 3), np.float32)
    step[1:-1, 1] = -0.05, -0.125, -0.0625  # exact in binary
    moved = dataclasses.replace(eye, closing=dataclasses.replace(eye.closing, blink_upper=step))
    for strength in (0.5, 1.0):
        pushed = face.clone()
        pushed[:, UPPER] += blink_strength(expression(strength), eye.closing) * torch.from_numpy(step)
        placed = place_lids(pushed, expression(strength), (moved,))
        expected = place_lids(face, expression(strength), (eye,))
        torch.testing.assert_close(angles(placed[:, UPPER]), angles(expected[:, UPPER]))


def test_closed_margins_meet_in_space() -> None:
    face, eye = made_face(), made_eye()
    face[:, UPPER[1:-1]] += torch.tensor([0.01, 0.02, 0.03])
    placed = place_lids(face, expression(1.0), (eye,))
    torch.testing.assert_close(placed[:, UPPER], placed[:, LOWER])


def test_strengths_are_clipped_smoothly_to_0_and_1() -> None:
    eye = made_eye()
    readings = torch.linspace(-0.5, 1.5, 2001, dtype=torch.float64)
    z_exp = torch.zeros(2001, 64, dtype=torch.float64)
    z_exp[:, 0] = readings
    strength = blink_strength(z_exp, eye.closing)
    assert (strength[readings <= 0] == 0).all() and (strength[readings >= 1] == 1).all()
    assert strength[1000].item() == pytest.approx(0.5) and (strength.diff() >= 0).all()
    slope = strength.diff() / readings.diff()
    assert (
        slope.diff().abs().max() < 0.02 and slope.max() < 1.12
    )  # no corner: a slope jumps by 1 at a hard clip
    assert strength[readings < 0.02].max() < 0.0025  # small errors of the read-out close nothing


# ------------------------------------------------------------------------------------------------------------ clearing
def test_lids_inside_the_eyeball_are_pushed_just_outside_and_others_stay() -> None:
    face, eye = made_face(batch=2), made_eye()
    face[:, UPPER[2]] = CENTRE + torch.tensor([0.0, 0.0, 0.3])
    placed = place_lids(face, expression(0.0, batch=2), (eye,))
    expected = CENTRE + torch.tensor([0.0, 0.0, 1.012 * BALL_RADIUS], dtype=torch.float64)
    torch.testing.assert_close(placed[:, UPPER[2]], expected.expand(2, 3))
    others = np.setdiff1d(np.arange(50), UPPER[2])
    assert torch.equal(placed[:, others], face[:, others])
    assert torch.equal(place_lids(face[1:], expression(0.0), (eye,))[0], placed[1])


# ----------------------------------------------------------------------------------------------- gradients and subsets
def test_placing_lids_is_differentiable_in_shape_and_expression() -> None:
    face, eye = made_face(), made_eye()
    rows = torch.tensor([*UPPER, *LOWER[1:-1], FOLLOWER])

    def placed(points: Tensor, reading: Tensor) -> Tensor:
        z_exp = torch.cat([reading[None, None], torch.zeros(1, 63, dtype=torch.float64)], dim=1)
        return place_lids(face.index_copy(1, rows, points), z_exp, (eye,))[:, rows]

    for reading in (0.05, 0.4, 0.97):
        inputs = (
            face[:, rows].clone().requires_grad_(),
            torch.tensor(reading, dtype=torch.float64, requires_grad=True),
        )
        assert torch.autograd.gradcheck(placed, inputs)


@pytest.mark.parametrize("strength", [0.0, -0.3])
def test_without_a_blink_closing_changes_no_bit(strength: float) -> None:
    face, eye = made_face().float(), made_eye()
    still = dataclasses.replace(eye, closing=_nothing(eye.closing))
    z_exp = expression(strength).float()
    assert torch.equal(place_lids(face, z_exp, (eye,)), place_lids(face, z_exp, (still,)))
    assert torch.equal(place_lids(face, z_exp, (eye,)), place_lids(face, None, (eye,)))


def test_constants_are_tensors_once_for_each_type_and_are_not_pickled() -> None:
    face, eye = made_face(), made_eye()
    double = place_lids(face, expression(0.7), (eye,))
    ball = eye.tensor("ball", face)
    assert eye.tensor("ball", face) is ball is eye.tensor("ball", face.float()) and ball.tolist() == list(
        BALL
    )
    shares = eye.closing.tensor("shares", face)
    assert eye.closing.tensor("shares", face) is shares and shares.dtype == torch.float64
    single = place_lids(face.float(), expression(0.7).float(), (eye,))
    torch.testing.assert_close(single, double.float())
    copy = pickle.loads(pickle.dumps(eye))
    assert vars(copy).keys() == {"ball", "lids", "closing"} and "_tensors" not in vars(copy.closing)
    assert torch.equal(place_lids(face, expression(0.7), (copy,)), double)


def test_constants_that_were_first_used_for_inference_have_gradients_later() -> None:
    face, eye = made_face(), made_eye()
    with torch.inference_mode():
        place_lids(face, expression(0.5), (eye,))
    z_exp = expression(0.5).requires_grad_()
    place_lids(face, z_exp, (eye,)).sum().backward()
    assert z_exp.grad is not None and z_exp.grad[0, 0] != 0


def test_some_vertices_are_placed_like_all() -> None:
    model, rng = tiny_model(), torch.Generator().manual_seed(3)
    z_id, z_exp = torch.randn(4, 80, generator=rng), torch.randn(4, 64, generator=rng)
    whole = model.shape(z_id, z_exp)
    drawn = torch.randint(600, (900,), generator=rng).numpy()  # many of them twice
    vertices, eyes = subset_with_lids(drawn, model.eyes)
    assert np.array_equal(vertices[:900], drawn)
    linear = dataclasses.replace(face_mesh(model), eyes=())
    shapes = torch.from_numpy(
        np.stack([bare_head(linear, *pair) for pair in zip(z_id.numpy(), z_exp.numpy(), strict=True)])
    )
    assert (whole - shapes).abs().max() > 0.01  # lids have moved
    torch.testing.assert_close(
        place_lids(shapes[:, vertices], z_exp, eyes)[:, :900], whole[:, drawn], atol=1e-5, rtol=0
    )


# ------------------------------------------------------------------------------------------------------ the open model
@pytest.fixture(scope="module")
def people(face_model: MorphableModel) -> Tensor:
    """The mean face and the first 20 people of the bank."""
    bank = load_head_parts().bank_id[:20].astype(np.float32)
    return torch.from_numpy(np.concatenate([np.zeros((1, 80), np.float32), bank]))


def shapes(model: MorphableModel, people: Tensor, **strengths: float) -> Tensor:
    z_exp = torch.from_numpy(load_head_parts().expression_basis().from_strengths(strengths))
    return model.shape(people, z_exp.expand(len(people), -1))


def openings_deg(vertices: Tensor, eye: Eye) -> np.ndarray:
    """(B, C) angle between the margins at the x of each vertex of the upper one, seen from the middle of the ball."""
    ball = vertices[:, eye.ball].double().numpy()
    found = []
    for points, sphere in zip(vertices.double().numpy(), ball, strict=True):
        centre, _ = fit_sphere(sphere)
        upper, lower = points[eye.closing.upper] - centre, points[eye.closing.lower] - centre
        above, below = (np.arctan2(margin[:, 1], margin[:, 2]) for margin in (upper, lower))
        order = np.argsort(lower[:, 0])
        found.append(np.degrees(above - np.interp(upper[:, 0], lower[order, 0], below[order])))
    return np.array(found)


def test_closed_lids_of_real_people_meet(face_model: MorphableModel, people: Tensor) -> None:
    closed = shapes(face_model, people, eyeBlink=1.0)
    for eye in face_model.eyes:
        assert np.abs(openings_deg(closed, eye)).max() < 0.5


def test_half_a_blink_leaves_half_of_a_persons_own_opening(
    face_model: MorphableModel, people: Tensor
) -> None:
    neutral, half = shapes(face_model, people), shapes(face_model, people, eyeBlink=0.5)
    for eye in face_model.eyes:
        middle = slice(9, 20)
        share = openings_deg(half, eye)[:, middle] / openings_deg(neutral, eye)[:, middle]
        assert 0.45 < share.mean(axis=1).min() and share.mean(axis=1).max() < 0.55
        assert (
            0.35 < share.min() and share.max() < 0.6
        )  # in narrow eyes the ball keeps lids apart near the corners


def test_lids_of_a_real_blink_stay_outside_the_eyeballs(face_model: MorphableModel, people: Tensor) -> None:
    for strength in (0.4, 0.7, 1.0):
        vertices = shapes(face_model, people, eyeBlink=strength)
        for eye in face_model.eyes:
            centre, radius = fit_sphere(vertices[0, eye.ball].double().numpy())
            assert np.linalg.norm(vertices[0, eye.lids].numpy() - centre, axis=1).min() >= 1.0115 * radius


def test_only_blinks_close_the_eyes_of_the_open_model(face_model: MorphableModel) -> None:
    parts = load_head_parts()
    basis = parts.expression_basis()
    for name in ("mouthSmile", "cheekSquint", "eyeSquint", "eyeWide", "browDown", "jawOpen", "noseSneer"):
        z_exp = torch.from_numpy(basis.from_strengths({name: 1.0}))[None]
        for eye in face_model.eyes:
            assert blink_strength(z_exp, eye.closing) < 0.01, name
    bank = parts.au_bank.astype(np.float32)
    z_exp = torch.from_numpy(bank @ basis.units_to_exp.T)
    for eye, name in zip(face_model.eyes, ("eyeBlinkLeft", "eyeBlinkRight"), strict=True):
        reading = (z_exp @ torch.from_numpy(eye.closing.read_out)).numpy()
        assert np.abs(reading - bank[:, basis.names.index(name)]).max() < 0.05


def test_without_a_blink_the_lids_of_an_expression_are_nearly_the_linear_models(
    face_model: MorphableModel, people: Tensor
) -> None:
    """A wink leaves the other eye to the linear model; random open-eyed expressions move lids by a tenth of a mm."""
    linear = dataclasses.replace(face_mesh(face_model), eyes=())
    parts = load_head_parts()
    wink = parts.expression_basis().from_strengths({"eyeBlinkLeft": 1.0})
    left, right = (eye.closing.followers for eye in face_model.eyes)
    placed, straight = (
        shapes(face_model, people, eyeBlinkLeft=1.0)[3],
        bare_head(linear, people[3].numpy(), wink),
    )
    outside = np.setdiff1d(right, face_model.eyes[1].lids)  # others may be pushed out of the eyeball
    assert np.abs(placed.numpy() - straight)[outside].max() < 1e-5
    assert np.abs(placed.numpy() - straight)[left].max() > 0.01
    blinks = [list(parts.au_names).index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    opened = parts.au_bank[(parts.au_bank[:, blinks] == 0).all(axis=1)][:100].astype(np.float32)
    z_exp = torch.from_numpy(opened @ parts.au2exp.T)
    z_id = people[:1].expand(len(z_exp), -1)
    still = tuple(dataclasses.replace(eye, closing=_nothing(eye.closing)) for eye in face_model.eyes)
    found = face_model.shape(z_id, z_exp)
    assert (found - place_lids(_linear(face_model, z_id, z_exp), z_exp, still)).abs().max() < 0.002


def _linear(model: MorphableModel, z_id: Tensor, z_exp: Tensor) -> Tensor:
    basis = torch.cat([model.id_basis, model.exp_basis], dim=-1)
    return model.mean + torch.einsum("vck,bk->bvc", basis, torch.cat([z_id, z_exp], dim=1))


def _nothing(closing: LidClosing) -> LidClosing:
    """A closing that turns no vertex."""
    return dataclasses.replace(
        closing, followers=np.empty(0, np.int64), columns=np.empty((0, 2), np.int64), shares=np.empty((0, 2))
    )
