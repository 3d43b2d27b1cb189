"""The head with hair and clothes: normals and layers."""

import dataclasses

import numpy as np
import torch

from anifacegan.data.synthetic.head import dressed_head
from anifacegan.data.synthetic.renderer import SyntheticRenderer
from anifacegan.data.synthetic.sampling import (
    SyntheticPerson,
)
from anifacegan.face_model.face_mesh import bare_head
from anifacegan.face_model.morphable import MorphableModel
from tests.fixtures.synthetic_faces import without_hair_and_shine


def test_the_bare_head_is_the_morphable_model(
    renderer: SyntheticRenderer, model: MorphableModel, person: SyntheticPerson
) -> None:
    z_id, z_exp = torch.from_numpy(person.z_id)[None], torch.from_numpy(person.z_exp)[None]
    expected = model.shape(z_id, z_exp)[0].numpy()
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
