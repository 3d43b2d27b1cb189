"""The head with hair and clothes: lids, normals and layers."""

import dataclasses
import math

import numpy as np
import torch

from anifacegan.data.synthetic.head import dressed_head, eyes_of
from anifacegan.data.synthetic.renderer import (
    SyntheticRenderer,
    load_synthetic_renderer,
)
from anifacegan.data.synthetic.sampling import (
    SyntheticPerson,
)
from anifacegan.face_model.face_mesh import bare_head, clear_lids
from anifacegan.face_model.morphable import MorphableModel
from tests.fixtures.synthetic_faces import without_hair_and_shine
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


def test_normals_of_the_drawn_surface_are_those_of_the_model(
    renderer: SyntheticRenderer, model: MorphableModel, person: SyntheticPerson
) -> None:
    looks = without_hair_and_shine(renderer.prior.appearance(person.z_id, person.z_noise))
    surface = dressed_head(renderer.head, person.z_id, person.z_exp, looks)
    expected = model.normals(torch.from_numpy(surface.vertices)[None])[0].numpy()
    assert np.allclose(surface.normals, expected, atol=1e-5)
    assert np.array_equal(
        surface.landmarks,
        bare_head(renderer.head, person.z_id, person.z_exp)[model.landmark_vertices],
    )


def test_hair_and_clothes_stand_off_the_head_and_long_hair_adds_the_curtain(
    renderer: SyntheticRenderer, person: SyntheticPerson
) -> None:
    looks = renderer.prior.appearance(person.z_id, person.z_noise)
    bald, short, long = (
        dressed_head(renderer.head, person.z_id, person.z_exp, dataclasses.replace(looks, hair_style=style))
        for style in (None, "short", "long")
    )
    lift = np.linalg.norm(short.vertices - bald.vertices, axis=1)
    hair, cloth = renderer.head.hair_thickness[1] > 0, renderer.head.cloth_distance > 0
    assert (lift[hair] > 0).all() and (lift[~hair] == 0).all()
    assert len(long.vertices) == len(bald.vertices) + 4 and len(long.triangles) == len(bald.triangles) + 2
    assert np.array_equal(long.albedo[-4:], np.tile(looks.hair_rgb, (4, 1)))
    assert (long.hair_distance[-4:] > 0).all() and (long.cloth_distance[-4:] < 0).all()
    assert (bald.hair_distance < -0.12).all()  # too far for a strand
    raised = np.linalg.norm(bald.vertices - bare_head(renderer.head, person.z_id, person.z_exp), axis=1)
    assert (raised[cloth] > 0).all() and (raised[~cloth] == 0).all()


def test_lids_of_a_real_blink_stay_outside_the_eyeballs(face_model: MorphableModel) -> None:
    renderer = load_synthetic_renderer()
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
