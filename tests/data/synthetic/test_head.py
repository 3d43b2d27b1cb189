"""The head: its mesh, its lids and its face."""

import dataclasses
import math

import numpy as np
import torch

from anifacegan.data.synthetic.geometry_buffers import render_geometry
from anifacegan.data.synthetic.head import eyes_of
from anifacegan.data.synthetic.renderer import (
    SyntheticRenderer,
)
from anifacegan.data.synthetic.sampling import SyntheticPerson, sample_item
from anifacegan.data.visibility import visible_vertices
from anifacegan.face_model.face_mesh import bare_head, clear_lids
from anifacegan.face_model.morphable import MorphableModel
from tests.fixtures.tiny_head import tiny_parts


def test_lids_inside_the_eyeball_are_pushed_just_outside_and_others_stay(model: MorphableModel) -> None:
    parts = tiny_parts(model)
    rng = np.random.default_rng(0)
    vertices = torch.from_numpy(rng.normal(size=(2, len(parts.part), 3)))
    centre, radius = torch.tensor([0.3, 0.2, 0.1]), 0.4
    for label in (1, 2):
        ball = torch.from_numpy(np.flatnonzero(parts.part == label))
        direction = torch.nn.functional.normalize(
            torch.from_numpy(rng.normal(size=(2, len(ball), 3))), dim=-1
        )
        vertices[:, ball] = centre + radius * direction
    inside, outside = parts.lid_l[0], parts.lid_l[1]
    vertices[:, inside] = centre + torch.tensor([0.0, 0.0, 0.3])
    vertices[:, outside] = centre + torch.tensor([0.0, 0.9, 0.0])
    cleared = clear_lids(vertices, eyes_of(parts))
    expected = (centre + torch.tensor([0.0, 0.0, 1.012 * radius])).double()
    assert torch.allclose(cleared[:, inside], expected.expand(2, 3))
    assert torch.allclose(cleared[:, outside], vertices[:, outside])
    still = np.setdiff1d(np.arange(len(parts.part)), np.concatenate([parts.lid_l, parts.lid_r]))
    assert torch.equal(cleared[:, still], vertices[:, still])
    assert torch.equal(clear_lids(vertices[1:], eyes_of(parts))[0], cleared[1])


def test_the_lid_clean_up_is_differentiable(model: MorphableModel) -> None:
    parts = tiny_parts(model)
    offsets = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    base = model.mean.double()[None]

    def moved(offset: torch.Tensor) -> torch.Tensor:
        lids = torch.zeros_like(base).index_fill(1, torch.from_numpy(parts.lid_l.astype(np.int64)), 1.0)
        return clear_lids(base + lids * (offset - 0.03), eyes_of(parts))[:, parts.lid_l]

    assert torch.autograd.gradcheck(moved, (offsets,))


def test_the_bare_head_is_the_morphable_model(
    renderer: SyntheticRenderer, model: MorphableModel, person: SyntheticPerson
) -> None:
    z_id, z_exp = torch.from_numpy(person.z_id)[None], torch.from_numpy(person.z_exp)[None]
    expected = clear_lids(model.shape(z_id, z_exp), renderer.head.eyes)[0].numpy()
    assert np.allclose(bare_head(renderer.head, person.z_id, person.z_exp), expected, atol=1e-5)


def test_lids_of_a_real_blink_stay_outside_the_eyeballs(real_renderer: SyntheticRenderer) -> None:
    renderer = real_renderer
    basis = renderer.head.parts.expression_basis()
    for strength in (0.4, 0.7, 1.0):
        vertices = bare_head(
            renderer.head, np.zeros(80, np.float32), basis.from_strengths({"eyeBlink": strength})
        )
        for label, lids in (
            (1, renderer.head.parts.lid_l),
            (2, renderer.head.parts.lid_r),
        ):
            ball = vertices[renderer.head.parts.part == label]
            fit = np.linalg.lstsq(
                np.concatenate([2 * ball, np.ones((len(ball), 1))], axis=1), (ball**2).sum(1), rcond=None
            )[0]
            size = math.sqrt(fit[3] + fit[:3] @ fit[:3])
            assert np.linalg.norm(vertices[lids] - fit[:3], axis=1).min() >= size * 1.0115


def hidden_and_seen(renderer: SyntheticRenderer, person: SyntheticPerson) -> tuple[np.ndarray, np.ndarray]:
    """Which vertices a frontal camera sees without and with hair."""
    neutral = dataclasses.replace(person, z_exp=np.zeros(64, np.float32))
    pose = np.zeros(2, np.float32)
    bare = visible_vertices(renderer.head, neutral.z_id, neutral.z_exp, pose, size=160)
    return bare, render_geometry(renderer, neutral, pose, 160)[1]


def test_little_hair_covers_the_face(real_renderer: SyntheticRenderer) -> None:
    """In frontal images of many people a few hundredths of the face are hidden by strands, fringes and beards among
    them, and much more of the skin around."""
    renderer = real_renderer
    face = renderer.head.face
    seen, hidden = np.zeros(len(face)), np.zeros(len(face))
    for index in range(12):
        person, _ = sample_item(renderer.head.parts, 3, index)
        bare, haired = hidden_and_seen(renderer, person)
        seen, hidden = seen + bare, hidden + (bare & ~haired)
    often = seen >= 6
    share = hidden[often & face].sum() / seen[often & face].sum()
    outside = often & ~face & (renderer.head.parts.part == 0)
    assert share < 0.04 < hidden[outside].sum() / seen[outside].sum()
