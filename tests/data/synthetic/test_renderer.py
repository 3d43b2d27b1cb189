"""Synthetic images: coefficients, backgrounds, and items by seed and index."""

import numpy as np
import pytest
import torch

from anifacegan.data.synthetic.renderer import (
    SyntheticRenderer,
    render_item,
    render_person,
)
from anifacegan.data.synthetic.sampling import (
    SyntheticPerson,
)
from anifacegan.face_model.face_mesh import bare_head
from anifacegan.geometry.cameras import euler_rotation
from tests.fixtures.synthetic_faces import one_camera


def test_more_samples_only_soften_edges(renderer: SyntheticRenderer, person: SyntheticPerson) -> None:
    coarse, fine = (
        render_person(renderer, person, yaw=0.2, pitch=0.1, size=48, factor=factor)[0].astype(int)
        for factor in (1, 4)
    )
    difference = np.abs(coarse - fine).max(axis=2)
    assert np.median(difference) <= 2 and (difference > 30).mean() < 0.1
    assert (difference > 0).any()


@pytest.mark.parametrize("pitch, yaw", [(0.0, 0.0), (0.3, -0.7), (-0.2, 0.5)])
def test_angle_and_trans_are_the_pose_in_the_reconstruction_convention(
    renderer: SyntheticRenderer, person: SyntheticPerson, pitch: float, yaw: float
) -> None:
    _, face = render_person(renderer, person, yaw=yaw, pitch=pitch, size=16)
    points = torch.randn(1, 10, 3, dtype=torch.float64)
    rotation = euler_rotation(torch.from_numpy(face.angle)[None].double())
    posed = points @ rotation + torch.from_numpy(face.trans).double()
    camera = one_camera(yaw=yaw, pitch=pitch, size=16)
    world = 0.1 * points + torch.from_numpy(renderer.head.world_offset).double()
    assert torch.allclose(posed, 10 * (world @ camera.rotation), atol=1e-5)
    assert face.pose is not None and np.allclose(face.pose, [pitch, yaw], atol=1e-6)
    if pitch == 0:
        assert np.allclose(face.angle, [0, yaw, 0], atol=1e-6)


def test_landmarks_in_the_file_are_where_the_camera_sees_them(
    renderer: SyntheticRenderer, person: SyntheticPerson
) -> None:
    _, face = render_person(renderer, person, yaw=0.3, pitch=0.1, size=100)
    bare = bare_head(renderer.head, person.z_id, person.z_exp)[renderer.head.landmark_vertices]
    world = torch.from_numpy(0.1 * bare + renderer.head.world_offset).double()[None]
    pixels = one_camera(yaw=0.3, pitch=0.1, size=100).project(world)[0].numpy()
    from_file = face.lm68 / 223 * 99
    assert np.allclose(
        from_file, pixels, atol=1e-3
    )  # float32 in the file: 1e-5 px; the tiny head's lids move less


def test_an_item_is_a_function_of_seed_and_index(renderer: SyntheticRenderer) -> None:
    image, face = render_item(renderer, 3, 7, 24)
    render_item(renderer, 3, 8, 24)
    again, same = render_item(renderer, 3, 7, 24)
    assert np.array_equal(image, again) and np.array_equal(face.id, same.id)
    assert face.noise is not None and face.face_model == renderer.head.name
    for seed, index in ((3, 8), (4, 7)):
        assert not np.array_equal(render_item(renderer, seed, index, 24)[1].id, face.id)


def test_the_codes_do_not_depend_on_the_size(renderer: SyntheticRenderer) -> None:
    small, large = render_item(renderer, 1, 0, 16)[1], render_item(renderer, 1, 0, 48)[1]
    assert np.array_equal(small.exp, large.exp) and np.array_equal(small.pose, large.pose)
    assert np.allclose(small.lm68, large.lm68, atol=1e-3)


def test_a_real_image_shows_both_eyes_and_a_face_in_the_middle(real_renderer: SyntheticRenderer) -> None:
    image, face = render_item(real_renderer, 1, 0, 64)
    assert image.std() > 20
    inside = (face.lm68 > 0) & (face.lm68 < 223)
    assert inside.all()


def test_landmarks_of_an_item_run_down_from_the_brows_to_the_chin(real_renderer: SyntheticRenderer) -> None:
    """y of lm68 grows downward; no pose of the data set turns a face far enough to change this order."""
    for index in range(4):
        y = render_item(real_renderer, 1, index, 16, factor=1)[1].lm68[:, 1]
        assert y[17:27].mean() < y[36:48].mean() < y[30] < y[48:60].mean() < y[8]
