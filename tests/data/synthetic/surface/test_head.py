"""The head: its mesh, its lids and its face."""

import dataclasses
import hashlib

import numpy as np
import torch

from anifacegan.data.synthetic.geometry_buffers import render_geometry
from anifacegan.data.synthetic.renderer import (
    SyntheticRenderer,
)
from anifacegan.data.synthetic.sampling import SyntheticPerson, sample_item
from anifacegan.data.visibility import visible_vertices
from anifacegan.face_model.face_mesh import bare_and_neutral_head, bare_head
from anifacegan.face_model.morphable import MorphableModel


def test_the_bare_head_is_the_morphable_model(
    renderer: SyntheticRenderer, model: MorphableModel, person: SyntheticPerson
) -> None:
    z_id, z_exp = torch.from_numpy(person.z_id)[None], torch.from_numpy(person.z_exp)[None]
    expected = model.shape(z_id, z_exp)[0].numpy()
    assert np.allclose(bare_head(renderer.head, person.z_id, person.z_exp), expected, atol=1e-5)


def test_the_neutral_head_beside_an_expression_is_the_same_as_alone(
    renderer: SyntheticRenderer, person: SyntheticPerson
) -> None:
    both = bare_and_neutral_head(renderer.head, person.z_id, person.z_exp)
    for vertices, z_exp in zip(both, (person.z_exp, np.zeros(64, np.float32)), strict=True):
        assert np.allclose(vertices, bare_head(renderer.head, person.z_id, z_exp), atol=1e-6)
    bare, neutral = bare_and_neutral_head(renderer.head, person.z_id, np.zeros(64, np.float32))
    assert bare is neutral


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


def test_the_checksum_of_textures_is_that_of_the_arrays_that_they_depend_on(
    renderer: SyntheticRenderer, model: MorphableModel
) -> None:
    head = renderer.head
    arrays = (values.numpy().tobytes() for values in (model.tex_mean, model.tex_basis))
    assert head.texture_sha256() == hashlib.sha256(b"".join(arrays)).hexdigest()
    assert dataclasses.replace(head, mean=2 * head.mean).texture_sha256() == head.texture_sha256()
    for name in ("tex_mean", "tex_basis"):
        changed = dataclasses.replace(head, **{name: 2 * getattr(head, name)})
        assert changed.texture_sha256() != head.texture_sha256()
