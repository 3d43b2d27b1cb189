"""Colours of whole images: one colour from every view, light, shadows and clothes."""

import dataclasses

import numpy as np
import pytest
import torch

from anifacegan.data.synthetic.looks.appearance import Appearance
from anifacegan.data.synthetic.renderer import (
    SyntheticRenderer,
    background_inverse_depth,
    render_appearance,
    render_person,
)
from anifacegan.data.synthetic.sampling import SyntheticPerson
from anifacegan.geometry.conventions import BACKGROUND_Z
from tests.fixtures.lights import even_sky
from tests.fixtures.synthetic_faces import constant_prior, one_camera, without_hair_and_glasses


@pytest.fixture(scope="module")
def plain(renderer: SyntheticRenderer, person: SyntheticPerson) -> Appearance:
    """A bald person in an even light, without anything that makes the skin uneven."""
    looks = without_hair_and_glasses(renderer.prior.appearance(person.z_id, person.z_noise))
    return dataclasses.replace(
        looks, light=even_sky(), skin=dataclasses.replace(looks.skin, gloss=0.0, tex=np.zeros(80, np.float32))
    )


def image_of(
    renderer: SyntheticRenderer, person: SyntheticPerson, looks: Appearance, yaw: float = 0.0, size: int = 64
) -> np.ndarray:
    camera = one_camera(yaw=yaw, pitch=0.0, size=size)
    return render_appearance(renderer, person, looks, camera)[0].astype(int)


def test_a_point_of_the_skin_has_one_colour_from_every_view(
    renderer: SyntheticRenderer, person: SyntheticPerson, plain: Appearance
) -> None:
    size = 192
    lit = dataclasses.replace(
        plain, light=even_sky(lamp=1.0), skin=dataclasses.replace(plain.skin, gloss=1.0)
    )
    part, triangles = renderer.head.parts.part, renderer.head.triangles
    near_others = np.unique(triangles[(part[triangles] != 0).any(axis=1)])  # where skin meets eyes or teeth
    skin = np.setdiff1d(np.flatnonzero(part == 0), near_others)
    colours = []
    for yaw in (-0.25, 0.0, 0.25):
        camera = one_camera(yaw=yaw, pitch=0.0, size=size)
        image, surface = render_appearance(renderer, person, lit, camera)
        front = surface.bare[skin[np.argsort(-surface.bare[skin, 2])[:24]]]
        world = torch.from_numpy(0.1 * front + renderer.head.world_offset).double()[None]
        columns, rows = camera.project(world)[0].round().long().T
        colours.append(image[rows, columns].astype(int))
    for turned in (colours[0], colours[2]):
        difference = np.abs(turned - colours[1]).max(axis=1)
        # some of these vertices lie between two colours, of which a pixel shows one or the other
        assert np.median(difference) <= 4 and (difference <= 20).mean() >= 0.7
    assert colours[1].max() > 40


def test_the_side_of_the_lamp_is_brighter(
    renderer: SyntheticRenderer, person: SyntheticPerson, plain: Appearance
) -> None:
    image = image_of(renderer, person, dataclasses.replace(plain, light=even_sky(lamp=2.0)))
    left, right = (
        image[20:40, 20:28].mean(),
        image[20:40, 36:44].mean(),
    )  # the lamp stands at +x, right in the image
    assert right > left + 15


def test_clothes_have_their_colour(
    renderer: SyntheticRenderer, person: SyntheticPerson, plain: Appearance
) -> None:
    blue = dataclasses.replace(
        plain, clothes=dataclasses.replace(plain.clothes, rgb=np.float32([0.02, 0.02, 0.4]), collar=0.0)
    )
    image = image_of(renderer, person, blue)
    shirt = image[46:52, 28:36].reshape(-1, 3).mean(axis=0)
    assert shirt[2] > 2 * shirt[0]


def test_the_exposure_does_not_depend_on_the_expression(
    renderer: SyntheticRenderer, person: SyntheticPerson, plain: Appearance
) -> None:
    bare = dataclasses.replace(renderer.head, basis=np.zeros_like(renderer.head.basis), eyes=())
    still = SyntheticRenderer(
        bare, renderer.prior
    )  # nothing moves, so only the exposure could change the image
    other = dataclasses.replace(person, z_exp=person.z_exp + 1)
    assert np.array_equal(image_of(still, person, plain), image_of(still, other, plain))


def test_surfaces_behind_the_background_plane_are_hidden(
    renderer: SyntheticRenderer, person: SyntheticPerson, plain: Appearance
) -> None:
    backwards = np.tile(np.float32([0, 0, 9]), len(renderer.head.mean) // 3)
    far = SyntheticRenderer(
        dataclasses.replace(renderer.head, mean=renderer.head.mean - backwards), renderer.prior
    )
    image = image_of(far, person, plain, size=32)
    dark = dataclasses.replace(plain, skin=dataclasses.replace(plain.skin, tex=np.full(80, 3, np.float32)))
    assert np.array_equal(image, image_of(far, person, dark, size=32))


def test_the_depth_of_the_background_plane_is_that_of_its_points() -> None:
    camera = one_camera(yaw=0.4, pitch=-0.2, size=65)
    inverse = background_inverse_depth(camera)
    points = torch.tensor([[[0.02, 0.03, BACKGROUND_Z], [-0.05, -0.04, BACKGROUND_Z]]], dtype=torch.float64)
    columns, rows = camera.project(points)[0].round().long().T
    depth = -camera.to_camera(points)[0, :, 2].numpy()
    assert np.allclose(
        1 / inverse[rows, columns], depth, atol=2e-3
    )  # a pixel is 0.003 wide, the plane slanted


def test_everything_depends_on_the_appearance_smoothly(
    renderer: SyntheticRenderer, person: SyntheticPerson
) -> None:
    noise = person.z_noise
    one, near = (
        render_person(renderer, dataclasses.replace(person, z_noise=z), yaw=0.0, pitch=0.0, size=48)[
            0
        ].astype(int)
        for z in (noise, noise + np.float32(1e-3))
    )
    assert np.abs(one - near).max() < 24 and np.abs(one - near).mean() < 0.5


def test_a_prior_may_be_constant(
    renderer: SyntheticRenderer, person: SyntheticPerson, plain: Appearance
) -> None:
    constant = SyntheticRenderer(renderer.head, constant_prior(renderer.prior, plain))
    image, coefficients = render_person(constant, person, yaw=0.0, pitch=0.0, size=64)
    assert np.array_equal(image, image_of(renderer, person, plain)) and not coefficients.tex.any()
