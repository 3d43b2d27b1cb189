"""Points on the mesh: the step from each expressive vertex to its neutral place, and who sees it."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.data.synthetic.surface.head import HeadGeometry, head_geometry, load_head_geometry
from anifacegan.face_model.face_mesh import bare_head
from anifacegan.face_model.lids import place_lids
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.parts import EYE_LABELS, LOWER_TEETH, SKIN, TONGUE, UPPER_TEETH
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.geometry.normals import VertexTriangles
from anifacegan.losses.drawn_points import MeshPoints
from anifacegan.losses.mesh_points import MeshSampler
from tests.fixtures.tiny_head import tiny_model, tiny_parts
from tests.fixtures.tiny_training_set import packed

ITEMS = 5
MOUTH_PARTS = (TONGUE, UPPER_TEETH, LOWER_TEETH)
EYE_RADIUS = 0.3


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def head() -> HeadGeometry:
    """The tiny head with teeth and tongue, and eyeballs that are round, move as one piece, and reach out of some of the
    lids.
    """
    model = tiny_model()
    parts = tiny_parts(model)
    lids = np.concatenate([eye.lids for eye in model.eyes])
    parts.part[np.setdiff1d(np.flatnonzero(parts.part == SKIN), lids)[:9]] = np.repeat(MOUTH_PARTS, 3)
    model.world_offset.copy_(torch.tensor([0.01, -0.02, 0.03]))
    for label, eye in enumerate(model.eyes, start=1):
        ball = torch.from_numpy(eye.ball)
        directions = torch.nn.functional.normalize(torch.randn(len(ball), 3, generator=rng(label)), dim=-1)
        model.mean[ball] = model.mean[torch.from_numpy(eye.lids)].mean(0) + EYE_RADIUS * directions
        for basis in (model.id_basis, model.exp_basis):
            basis[ball] = basis[ball].mean(0)
    return head_geometry(model, parts)


@pytest.fixture(scope="module")
def seen(head: HeadGeometry) -> np.ndarray:
    """(item, vertex) which vertices are seen."""
    return np.random.default_rng(0).random((ITEMS, len(head.mean) // 3)) < 0.5


@pytest.fixture(scope="module")
def sampler(head: HeadGeometry, seen: np.ndarray) -> MeshSampler:
    return MeshSampler(head, packed(seen))


def latents(count: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 80, generator=rng(1)), torch.randn(count, 64, generator=rng(2))


def whole_mesh(head: HeadGeometry, z_id: Tensor, z_exp: Tensor) -> np.ndarray:
    """(B, V, 3) vertices as the images have them, in world units."""
    shapes = np.stack([bare_head(head, *pair) for pair in zip(z_id.numpy(), z_exp.numpy(), strict=True)])
    return WORLD_PER_MODEL_UNIT * shapes + head.world_offset


def test_points_are_on_the_mesh_that_is_drawn_and_steps_lead_to_its_neutral(
    head: HeadGeometry, sampler: MeshSampler
) -> None:
    """Lids included: clearing a subset of the vertices is clearing all of them, up to rounding."""
    z_id, z_exp = latents(3)
    points = sampler.points(np.array([0, 2, 4]), z_id, z_exp, 1500, rng(3))
    selected = sampler.vertices(1500, rng(3))
    expressive, neutral = whole_mesh(head, z_id, z_exp), whole_mesh(head, z_id, torch.zeros_like(z_exp))
    assert np.allclose(points.x_target, expressive[:, selected], atol=2e-6)
    assert np.allclose(points.x_target + points.delta, neutral[:, selected], atol=2e-6)
    lids = np.isin(selected, np.concatenate([eye.lids for eye in head.eyes]))
    raw = torch.from_numpy(head.mean.reshape(-1, 3))[None]
    pushed = (place_lids(raw, torch.zeros(1, 64), head.eyes) - raw)[0].norm(dim=-1) > 0.01
    assert pushed.numpy()[selected[lids]].any()  # else this test would show nothing of lids
    assert (np.abs(expressive - neutral)[:, selected].max(axis=(0, 2)) > 1e-3).mean() > 0.9


def test_a_neutral_face_needs_no_step(sampler: MeshSampler) -> None:
    z_id, _ = latents(2)
    points = sampler.points(np.array([0, 1]), z_id, torch.zeros(2, 64), 100, rng())
    assert (points.delta == 0).all()


def test_only_vertices_that_the_item_shows_have_confidence(sampler: MeshSampler, seen: np.ndarray) -> None:
    z_id, z_exp = latents(3)
    items = np.array([4, 0, 4])
    points = sampler.points(items, z_id, z_exp, 300, rng(5))
    expected = seen[items][:, sampler.vertices(300, rng(5))]
    assert np.array_equal(points.confidence.numpy(), expected.astype(np.float32))


def test_vertices_that_move_and_those_of_eyes_lids_lips_and_mouth_are_drawn_more_often(
    head: HeadGeometry, sampler: MeshSampler
) -> None:
    draws = 200_000
    counts = np.bincount(sampler.vertices(draws, rng()), minlength=len(head.parts.part))
    moving = np.sqrt((head.basis[:, 80:] ** 2).sum(1).reshape(-1, 3).sum(1))
    share = 0.05 + moving / moving.max() + 0.5 * np.isin(head.parts.part, EYE_LABELS)
    share[np.concatenate([eye.lids for eye in head.eyes])] += 1.0
    share[np.isin(head.parts.part, MOUTH_PARTS)] += 1.0
    mean = head.mean.reshape(-1, 3)
    contours = mean[head.landmark_vertices[60:68]]
    share[np.linalg.norm(mean[:, None] - contours, axis=2).min(axis=1) < 0.08] += 1.0  # 8 mm
    expected = draws * share / share.sum()
    assert len(counts) == len(share)
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()  # five deviations of a Poisson count


def test_draws_come_from_the_generator_alone(sampler: MeshSampler) -> None:
    z_id, z_exp = latents(1)
    first, same, other = (sampler.points(np.array([0]), z_id, z_exp, 50, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.x_target, same.x_target) and not torch.equal(first.x_target, other.x_target)


# ------------------------------------------------------------------------------------------- at seams of lids and lips
def at_lid_seams(head: HeadGeometry) -> np.ndarray:
    """The triangles with a corner on a margin of a lid."""
    margins = [part for eye in head.eyes for part in (eye.closing.upper, eye.closing.lower)]
    return head.triangles[np.isin(head.triangles, np.concatenate(margins)).any(axis=1)]


def at_lip_seam(head: HeadGeometry) -> np.ndarray:
    """The triangles with a corner, not of the teeth, within 2.5 mm of a dense line along an inner contour."""
    mean = 100 * head.mean.reshape(-1, 3)  # millimetres
    contours = (
        mean[head.landmark_vertices[[60, 61, 62, 63, 64]]],
        mean[head.landmark_vertices[[60, 67, 66, 65, 64]]],
    )
    line = np.concatenate([np.linspace(a, b, 17) for lip in contours for a, b in itertools.pairwise(lip)])
    near = np.linalg.norm(mean[:, None] - line, axis=2).min(axis=1) < 2.5
    return head.triangles[(near & ~np.isin(head.parts.part, MOUTH_PARTS))[head.triangles].any(axis=1)]


def test_points_at_seams_lie_in_triangles_there_and_lead_to_the_same_place_of_the_neutral_face(
    face_model: MorphableModel,
) -> None:
    """Half a blink of the open model, with a smile: every point is a mean of three corners, its goal the same mean."""
    head = load_head_geometry()
    strengths = {"eyeBlink": 0.5, "mouthSmile": 0.5}
    z_exp = torch.from_numpy(head.parts.expression_basis().from_strengths(strengths))[None]
    z_id = torch.randn(1, 80, generator=rng(1))
    everything = np.full((1, (len(head.mean) // 3 + 7) // 8), 255, np.uint8)
    points = MeshSampler(head, everything).seam_points(np.array([0]), z_id, z_exp, 800, rng(2))
    lids, lips = at_lid_seams(head), at_lip_seam(head)
    triangles = np.concatenate([lids, lips])
    shapes = (whole_mesh(head, z_id, exp)[0].astype(np.float64) for exp in (z_exp, torch.zeros_like(z_exp)))
    expressive, neutral = (shape[triangles] for shape in shapes)  # (triangle, corner, 3)
    x, goal = points.x_target[0].double().numpy(), (points.x_target + points.delta)[0].double().numpy()
    sums = np.ones((len(triangles), 1, 3))
    equations = np.concatenate([expressive.transpose(0, 2, 1), sums], axis=1)  # of the corners' shares
    solutions = np.linalg.pinv(equations)
    used = []
    for point, end in zip(x, goal, strict=True):
        shares = solutions @ [*point, 1.0]
        away = np.abs(equations @ shares[..., None] - np.array([*point, 1.0])[:, None]).max(axis=(1, 2))
        nearest = int(np.argmin(away + np.maximum(-shares, 0).sum(axis=1)))
        assert away[nearest] < 1e-4 and shares[nearest].min() > -0.1  # eyeballs of a few vertices
        assert np.abs(shares[nearest] @ neutral[nearest] - end).max() < 2e-4  # a fifth of a millimetre of 5
        used.append(nearest)
    assert np.mean(np.array(used) < len(lids)) == pytest.approx(0.5, abs=0.09)  # five deviations of 800 coins
    assert len(set(used)) > 0.3 * len(triangles)  # 264 of 448 and 345 of 1,324 are to be expected
    assert points.delta.norm(dim=-1).max() > 0.003 and (points.confidence == 2).all()


def test_a_point_at_a_seam_counts_if_all_corners_are_seen(head: HeadGeometry, seen: np.ndarray) -> None:
    hidden = np.ones_like(seen)
    hidden[2, np.concatenate([at_lid_seams(head), at_lip_seam(head)])[:, 0]] = False
    items = np.array([1, 2])
    confidence = MeshSampler(head, packed(hidden)).seam_points(items, *latents(2), 200, rng(1)).confidence
    assert (confidence[0] == 2).all() and (confidence[1] == 0).all()


def test_points_off_seams_lie_on_the_normals_of_triangles(sampler: MeshSampler) -> None:
    z_id, z_exp = latents(2)
    items, offset = np.array([0, 3]), 0.002
    there = sampler.seam_points(items, z_id, z_exp, 300, rng(4), offset)
    on_mesh = sampler.seam_points(items, z_id, z_exp, 300, rng(4))
    away = (there.x_target - on_mesh.x_target).norm(dim=-1)
    assert away.max() <= offset + 1e-6 and away.max() > 0.9 * offset
    assert torch.allclose(away[0], away[1], atol=1e-6) and torch.equal(there.delta, on_mesh.delta)


@pytest.mark.parametrize("offset", [0.0, 0.002])
def test_points_of_both_kinds_drawn_at_once_are_those_of_two_calls(
    sampler: MeshSampler, offset: float
) -> None:
    items, (z_id, z_exp), once, apart = np.array([0, 3]), latents(2), rng(4), rng(4)
    found = sampler.vertex_and_seam_points(items, z_id, z_exp, (70, 30), once, offset)
    on_mesh = sampler.points(items, z_id, z_exp, 70, apart, offset)
    at_seams = sampler.seam_points(items, z_id, z_exp, 30, apart, offset)
    expected = on_mesh.joined(at_seams)
    assert found.x_target.shape == (2, 100, 3) and torch.equal(found.confidence, expected.confidence)
    # World units up to 1; sums over 144 coefficients in single precision in another order.
    torch.testing.assert_close(found.x_target, expected.x_target, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.delta, expected.delta, atol=1e-6, rtol=0)
    assert torch.equal(torch.rand(3, generator=once), torch.rand(3, generator=apart))


def test_a_face_model_without_lids_has_a_seam_at_its_lips_alone(
    head: HeadGeometry, sampler: MeshSampler
) -> None:
    without = MeshSampler(replace(head, eyes=()), sampler.visible)
    lips = {tuple(corners) for corners in at_lip_seam(head).tolist()}
    assert {tuple(corners) for corners in without.seams.tolist()} == lips
    assert without.seam_chances[-1] == pytest.approx(1)
    points = without.points(np.array([0, 1]), *latents(2), 20, rng())
    at_seams = without.seam_points(np.array([0, 1]), *latents(2), 30, rng())
    joined = points.joined(at_seams)
    assert torch.equal(joined.x_target[:, :20], points.x_target)
    assert torch.equal(joined.delta[:, 20:], at_seams.delta) and joined.confidence.shape == (2, 50)


# -------------------------------------------------------------------------------------------------- points off the mesh
def slow_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Of one mesh, triangle by triangle."""
    total = np.zeros((len(vertices), 3))
    for a, b, c in triangles:
        area = np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
        for corner in (a, b, c):
            total[corner] += area
    return total / np.linalg.norm(total, axis=1, keepdims=True)


def test_normals_of_an_octahedron_are_its_axes() -> None:
    """Seen from outside its triangles go round against the clock. Vertices may repeat; one is in no triangle."""
    corners = np.concatenate([np.eye(3), -np.eye(3), np.full((1, 3), 9.0)])
    signs = [(x, y, z) for x in (0, 3) for y in (1, 4) for z in (2, 5)]
    triangles = np.array([one if (sum(k > 2 for k in one) % 2) == 0 else one[::-1] for one in signs])
    selected = np.array([5, 1, 6, 0, 1])
    rings = VertexTriangles(triangles, len(corners)).around(selected)
    normals = rings.normals(torch.from_numpy(corners[rings.vertices])[None])[0].numpy()
    expected = corners[selected] * (selected < 6)[:, None]
    assert np.allclose(normals, expected, atol=1e-12)


def test_points_off_the_mesh_lie_on_the_normals_of_the_expressive_face(
    head: HeadGeometry, sampler: MeshSampler
) -> None:
    """Against whole meshes, triangle by triangle, lids included; with the step of their vertex."""
    z_id, z_exp = latents(2)
    count, offset, items = 400, 0.002, np.array([0, 3])
    there = sampler.points(items, z_id, z_exp, count, rng(3), offset)
    on_mesh = sampler.points(items, z_id, z_exp, count, rng(3))
    source = rng(3)
    selected = sampler.vertices(count, source)
    u = offset * (2 * torch.rand(count, generator=source) - 1)
    assert u.min() < -0.9 * offset and u.max() > 0.9 * offset
    meshes = whole_mesh(head, z_id, z_exp).astype(np.float64)
    for mesh, found, vertex in zip(meshes, there.x_target.numpy(), on_mesh.x_target.numpy(), strict=True):
        normals = slow_normals(mesh, head.triangles)[selected]
        assert np.allclose(found, mesh[selected] + u[:, None].numpy() * normals, atol=3e-6)
        assert np.allclose(np.linalg.norm(found - vertex, axis=1), u.abs(), atol=1e-6)
    assert torch.allclose(there.delta, on_mesh.delta, atol=1e-6)
    assert torch.allclose(there.confidence, on_mesh.confidence * (1 - u**2 / 1e-5))


def test_points_off_a_ball_are_farther_from_its_middle_or_nearer_by_their_offset() -> None:
    """600 vertices a few degrees apart: the normals are off by 3 degrees at most, and the distances hardly."""
    model, count = tiny_model(), 600
    ball = 0.1 * torch.nn.functional.normalize(model.mean / torch.tensor([0.75, 0.95, 0.8]), dim=-1)[None]
    rings = VertexTriangles(model.triangles.numpy(), count).around(np.arange(count))
    normals = rings.normals(ball[:, torch.from_numpy(rings.vertices)])
    assert (normals * ball / 0.1).sum(dim=-1).min() > math.cos(math.radians(3))
    u = 0.006 * torch.rand(count, generator=rng()) - 0.003
    moved = MeshPoints(ball, torch.zeros_like(ball), torch.ones(1, count)).moved_along(normals, u)
    assert torch.allclose(moved.x_target.norm(dim=-1)[0], 0.1 + u, atol=1e-5)


def test_confidence_falls_to_nothing_at_the_reach_of_the_mesh() -> None:
    """On a plane, and half seen."""
    normal = torch.tensor([0.0, 0.0, 1.0])
    flat = MeshPoints(torch.zeros(1, 5, 3), torch.ones(1, 5, 3), torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.5]]))
    u = math.sqrt(1e-5) * torch.tensor([0.0, 0.5, -1.0, 2.0, -0.5])
    moved = flat.moved_along(normal.expand(1, 5, 3), u)
    assert moved.confidence[0].tolist() == pytest.approx([1.0, 0.75, 0.0, 0.0, 0.375], abs=1e-6)
    assert torch.equal(moved.x_target[0], u[:, None] * normal) and torch.equal(moved.delta, flat.delta)


def test_vertices_alone_draw_nothing_more(sampler: MeshSampler) -> None:
    one, other = rng(6), rng(6)
    sampler.points(np.array([0]), *latents(1), 30, one)
    sampler.vertices(30, other)
    assert torch.equal(one.get_state(), other.get_state())


def test_a_real_blink_is_cleared_alike_from_a_few_vertices_of_the_eyeballs(
    face_model: MorphableModel,
) -> None:
    """The open model's eyeballs are not quite spheres (corneas): a few of their vertices fit a slightly other one."""
    head = load_head_geometry()
    strengths = {"eyeBlink": 0.8, "mouthSmile": 0.5}
    z_exp = torch.from_numpy(head.parts.expression_basis().from_strengths(strengths)).float()[None]
    z_id = torch.randn(1, 80, generator=rng(1))
    everything = np.full((1, (len(head.mean) // 3 + 7) // 8), 255, np.uint8)
    sampler = MeshSampler(head, everything)
    selected = sampler.vertices(4000, rng(7))
    points = sampler.points(np.array([0]), z_id, z_exp, 4000, rng(7))
    lids = np.isin(selected, np.concatenate([eye.lids for eye in head.eyes]))
    error = np.abs(points.x_target.numpy() - whole_mesh(head, z_id, z_exp)[:, selected]).max(axis=(0, 2))
    assert lids.sum() > 50
    assert (
        error[~lids].max() < 1e-5
    )  # a hundredth of a millimetre: the skin around the lids turns about the sphere
    assert error[lids].max() < 1e-4  # a tenth of a millimetre; a blink moves 1 cm
    assert (points.confidence == 1).all()


def test_the_mouth_gap_spans_the_lips_and_leads_to_the_line_where_they_meet(
    face_model: MorphableModel,
) -> None:
    """With the jaw open the points fill the gap between the lips, before the teeth, and step onto the line of the
    closed mouth.
    """
    head = load_head_geometry()
    z_exp = torch.from_numpy(head.parts.expression_basis().from_strengths({"jawOpen": 1.0})).float()[None]
    z_id = torch.randn(1, 80, generator=rng(1))
    mouth_gap = MeshSampler(head, np.zeros((1, 1), np.uint8)).mouth_gap(z_id, z_exp, 2000, rng(2))
    landmarks = whole_mesh(head, z_id, z_exp)[0, head.landmark_vertices]
    closed = whole_mesh(head, z_id, torch.zeros_like(z_exp))[0, head.landmark_vertices]
    opening = landmarks[62, 1] - landmarks[66, 1]
    assert opening > 0.01  # a centimetre
    middle = np.abs(mouth_gap.x_target[0, :, 0].numpy() - landmarks[62, 0]) < 0.002
    height = (mouth_gap.x_target[0, middle, 1].numpy() - landmarks[66, 1]) / opening
    assert height.min() < 0.1 and height.max() > 0.9 and height.std() == pytest.approx(12**-0.5, abs=0.06)
    depth = mouth_gap.x_target[0, middle, 2].numpy() - np.interp(height, [0, 1], landmarks[[66, 62], 2])
    bend = 5e-4  # contours recede by that much within 2 mm of the middle
    assert depth.min() == pytest.approx(0.0005, abs=bend) and depth.max() == pytest.approx(0.004, abs=bend)
    landed = (mouth_gap.x_target + mouth_gap.delta)[0, middle, 1].numpy()
    assert landed == pytest.approx(closed[[66, 62], 1].mean(), abs=bend)
    assert abs(closed[62, 1] - closed[66, 1]) > 2 * bend  # this person's closed lips overlap by that much
    assert mouth_gap.confidence[0, torch.from_numpy(middle)].all()


LIPS_APART = {"mouthUpperUp": 0.35, "mouthLowerDown": 0.35}


def test_offsets_lead_to_the_templates_expression(face_model: MorphableModel) -> None:
    """Also from a neutral face, whose lips are apart in the template; the template itself does not move."""
    head = load_head_geometry()
    template_exp = head.parts.expression_basis().from_strengths(LIPS_APART)
    everything = np.full((1, (len(head.mean) // 3 + 7) // 8), 255, np.uint8)
    sampler = MeshSampler(head, everything, template_exp)
    z_id, of_template = torch.randn(1, 80, generator=rng(1)), torch.from_numpy(template_exp)[None]
    goal = whole_mesh(head, z_id, of_template)
    smile = torch.from_numpy(head.parts.expression_basis().from_strengths({"mouthSmile": 0.7}))[None]
    for z_exp in (torch.zeros_like(of_template), smile, of_template):
        selected = sampler.vertices(3000, rng(3))
        points = sampler.points(np.array([0]), z_id, z_exp, 3000, rng(3))
        lids = np.isin(selected, np.concatenate([eye.lids for eye in head.eyes]))
        error = np.abs((points.x_target + points.delta).numpy() - goal[:, selected])[:, ~lids]
        assert error.max() < 1e-5
        moved = float(points.delta.norm(dim=-1).max())
        assert moved < 1e-5 if z_exp is of_template else moved > 1e-3


def test_the_mouth_gap_leads_to_the_gap_of_a_template_with_lips_apart(face_model: MorphableModel) -> None:
    """A point that is twice as near to the upper lip stays so."""
    head = load_head_geometry()
    basis = head.parts.expression_basis()
    template_exp = basis.from_strengths(LIPS_APART)
    z_exp = torch.from_numpy(basis.from_strengths({"jawOpen": 1.0}))[None]
    z_id = torch.randn(1, 80, generator=rng(1))
    gap = MeshSampler(head, np.zeros((1, 1), np.uint8), template_exp).mouth_gap(z_id, z_exp, 2000, rng(2))
    opened, apart = (
        whole_mesh(head, z_id, exp)[0, head.landmark_vertices]
        for exp in (z_exp, torch.from_numpy(template_exp)[None])
    )
    width = apart[62, 1] - apart[66, 1]
    assert 0.0008 < width < 0.003  # one to three millimetres
    middle = np.abs(gap.x_target[0, :, 0].numpy() - opened[62, 0]) < 0.002
    before = (gap.x_target[0, middle, 1].numpy() - opened[66, 1]) / (opened[62, 1] - opened[66, 1])
    after = ((gap.x_target + gap.delta)[0, middle, 1].numpy() - apart[66, 1]) / width
    assert np.corrcoef(before, after)[0, 1] > 0.95 and after.min() < 0.25 and after.max() > 0.75


def test_lips_that_touch_have_no_mouth_gap(head: HeadGeometry, sampler: MeshSampler) -> None:
    """The tiny head, and the same with all landmarks on one vertex."""
    assert sampler.mouth_gap(*latents(2), 50, rng()).confidence.mean() > 0.8  # they meet in the corners
    touching = MeshSampler(replace(head, landmark_vertices=np.full(68, 7)), sampler.visible)
    assert not touching.mouth_gap(*latents(2), 50, rng()).confidence.any()


def test_lips_that_are_pressed_together_have_no_mouth_gap(face_model: MorphableModel) -> None:
    """The neutral face's inner contours overlap: the upper lip's is a millimetre below the lower lip's."""
    sampler = MeshSampler(load_head_geometry(), np.zeros((1, 1), np.uint8))
    gap = sampler.mouth_gap(torch.zeros(1, 80), torch.zeros(1, 64), 500, rng(1))
    assert not gap.confidence.any()
