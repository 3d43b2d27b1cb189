"""Colours of the head: light, highlights, hair, clothes and background."""

import dataclasses
import math

import numpy as np
import torch

from anifacegan.data.synthetic.appearance import Background
from anifacegan.data.synthetic.head import dressed_head
from anifacegan.data.synthetic.renderer import (
    SyntheticRenderer,
    background_image,
    render_person,
)
from anifacegan.data.synthetic.sampling import (
    SyntheticPerson,
)
from anifacegan.data.synthetic.shading import half_vector, light_matrix, strand_pattern
from anifacegan.geometry.conventions import WORLD_PER_NETWORK_UNIT
from anifacegan.geometry.rasterization.rasterizer import interpolate, rasterize
from anifacegan.geometry.spherical_harmonics import shade
from tests.fixtures.synthetic_faces import constant_prior, one_camera, without_hair_and_shine


def test_the_kernel_shades_as_the_differentiable_renderer_does(
    renderer: SyntheticRenderer, person: SyntheticPerson
) -> None:
    """Without hair, clothes and highlights an image is rasterize + interpolate + spherical harmonics."""
    head = dataclasses.replace(renderer.head, cloth_distance=np.full_like(renderer.head.cloth_distance, -1.0))
    looks = dataclasses.replace(
        without_hair_and_shine(renderer.prior.appearance(person.z_id, person.z_noise)),
        tex=np.zeros(80, np.float32),
        background=Background(np.zeros(3, np.float32), np.zeros(3, np.float32), 0.0),
    )

    size = 64
    bare = SyntheticRenderer(head, constant_prior(renderer.prior, looks))
    image, _ = render_person(bare, person, yaw=0.4, pitch=0.2, size=size, factor=1)
    surface = dressed_head(head, person.z_id, person.z_exp, looks)
    camera = one_camera(yaw=0.4, pitch=0.2, size=size)
    world = torch.from_numpy(0.1 * surface.vertices + head.world_offset)[None].double()
    triangles = torch.from_numpy(surface.triangles).long()
    seen = rasterize(world, triangles, camera)
    attributes = np.concatenate([surface.albedo, surface.normals], axis=1)
    albedo, normals = interpolate(torch.from_numpy(attributes)[None].double(), triangles, seen).split(
        3, dim=-1
    )
    normals = torch.nn.functional.normalize(normals, dim=-1)
    gamma = torch.from_numpy(looks.gamma)[None].double()
    expected = (
        shade(albedo.reshape(1, -1, 3), normals.reshape(1, -1, 3), gamma).reshape(size, size, 3).clamp(0, 1)
    )
    in_front = interpolate(world, triangles, seen)[..., 2] > -WORLD_PER_NETWORK_UNIT + 1e-3
    both = (seen.mask & in_front)[0].numpy()
    error = np.abs(image / 255 - expected.numpy())[both]
    assert both.sum() > 500
    assert np.quantile(error, 0.99) < 0.004  # one grey level; few pixels lie on an edge
    assert (image[~seen.mask[0].numpy()] == 0).all()


def test_hair_clothes_and_background_have_their_colours(
    renderer: SyntheticRenderer, person: SyntheticPerson
) -> None:
    black = np.zeros(3, np.float32)
    looks = dataclasses.replace(
        renderer.prior.appearance(person.z_id, person.z_noise),
        tex=np.zeros(80, np.float32),  # the tiny head's skin is grey
        gamma=np.zeros(27, np.float32),
        shine=0.0,
        hair_style="short",
        hair_rgb=np.float32([0.8, 0, 0]),
        cloth_rgb=np.float32([0, 0, 0.8]),
        background=Background(black, black, 0.0),
    )
    image, _ = render_person(
        SyntheticRenderer(renderer.head, constant_prior(renderer.prior, looks)),
        person,
        yaw=0.0,
        pitch=0.0,
        size=64,
    )
    top, middle, bottom = (image[rows, 32].astype(int) for rows in (5, 32, 48))
    assert top[0] > 80 and top[1] == top[2] == 0
    assert middle[0] == middle[1] == middle[2] > 50
    assert bottom[2] > 80 and bottom[0] == bottom[1] == 0
    assert (image[:, 0] == 0).all()


def test_light_constants_agree_with_the_lighting_module(
    renderer: SyntheticRenderer, person: SyntheticPerson
) -> None:
    looks = renderer.prior.appearance(person.z_id, person.z_noise)
    normal = torch.nn.functional.normalize(torch.tensor([[[0.3, -0.5, 0.8]]]), dim=-1)
    x, y, z = normal[0, 0].tolist()
    monomials = np.array([1, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y])
    expected = shade(torch.ones(1, 1, 3), normal, torch.from_numpy(looks.gamma)[None])[0, 0].numpy()
    assert np.allclose(light_matrix(looks) @ monomials, expected, atol=1e-5)


def test_the_highlight_is_halfway_between_the_lamp_and_the_front(
    renderer: SyntheticRenderer, person: SyntheticPerson
) -> None:
    looks = renderer.prior.appearance(person.z_id, person.z_noise)
    gamma = np.zeros((3, 9), np.float32)
    gamma[:, 3] = -0.2  # lamp at +x
    lit = half_vector(dataclasses.replace(looks, gamma=gamma.reshape(27)))
    assert np.allclose(lit, [math.sqrt(0.5), 0, math.sqrt(0.5)], atol=1e-6)


def test_surfaces_behind_the_background_plane_are_hidden(
    renderer: SyntheticRenderer, person: SyntheticPerson
) -> None:
    backwards = np.tile(np.float32([0, 0, 9]), len(renderer.head.mean) // 3)
    far = dataclasses.replace(renderer.head, mean=renderer.head.mean - backwards)
    image, _ = render_person(SyntheticRenderer(far, renderer.prior), person, yaw=0.0, pitch=0.0, size=32)
    looks = renderer.prior.appearance(person.z_id, person.z_noise)
    empty = background_image(looks.background, one_camera(yaw=0.0, pitch=0.0, size=32))
    assert np.abs(image / 255 - empty).max() < 0.003


def test_the_strand_pattern_is_fixed() -> None:
    assert np.array_equal(strand_pattern(), strand_pattern()) and np.abs(strand_pattern()).max() < 3
