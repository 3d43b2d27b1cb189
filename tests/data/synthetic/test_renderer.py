import dataclasses
import math

import numpy as np
import pytest
import torch

from anifacegan.data.synthetic.appearance import Appearance, Background
from anifacegan.data.synthetic.appearance_prior import AppearancePrior
from anifacegan.data.synthetic.head import dressed_head, eyes_of, head_geometry
from anifacegan.data.synthetic.renderer import (
    SyntheticRenderer,
    background_image,
    load_synthetic_renderer,
    render_item,
    render_person,
)
from anifacegan.data.synthetic.sampling import (
    PITCH_LIMIT,
    YAW_LIMIT,
    SyntheticPerson,
    sample_person,
    sample_pose,
)
from anifacegan.data.synthetic.shading import half_vector, light_matrix, strand_pattern
from anifacegan.face_model.face_mesh import bare_head, clear_lids
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.geometry.cameras import Camera, euler_rotation, orbit_camera
from anifacegan.geometry.conventions import WORLD_PER_NETWORK_UNIT
from anifacegan.geometry.rasterization.rasterizer import interpolate, rasterize
from anifacegan.geometry.spherical_harmonics import shade
from tests.fixtures.tiny_head import tiny_model, tiny_parts


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return tiny_model()


@pytest.fixture(scope="module")
def renderer(model: MorphableModel) -> SyntheticRenderer:
    parts = tiny_parts(model)
    head = dataclasses.replace(head_geometry(model, parts), world_offset=np.float32([0.004, 0.02, -0.01]))
    return SyntheticRenderer(head, AppearancePrior.fit(parts, np.eye(80) / 80))


@pytest.fixture(scope="module")
def person(renderer: SyntheticRenderer) -> SyntheticPerson:
    return sample_person(renderer.head.parts, np.random.default_rng(5))


def plain_looks(looks: Appearance) -> Appearance:
    return dataclasses.replace(looks, hair_style=None, shine=0.0)


def one_look(prior: AppearancePrior, looks: Appearance) -> AppearancePrior:
    """A prior of one appearance."""

    class OneLook(AppearancePrior):
        def appearance(self, z_id: np.ndarray, z_noise: np.ndarray) -> Appearance:
            return looks

    return OneLook(**vars(prior))


def one_camera(*, yaw: float, pitch: float, size: int) -> Camera:
    return orbit_camera(
        yaw=torch.tensor([yaw], dtype=torch.float64),
        pitch=torch.tensor([pitch], dtype=torch.float64),
        size=size,
    )


# ------------------------------------------------------------------------------------------------------------ geometry
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
    looks = plain_looks(renderer.prior.appearance(person.z_id, person.z_noise))
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


# ------------------------------------------------------------------------------------------------------------- images
def test_the_kernel_shades_as_the_differentiable_renderer_does(
    renderer: SyntheticRenderer, person: SyntheticPerson
) -> None:
    """Without hair, clothes and highlights an image is rasterize + interpolate + spherical harmonics."""
    head = dataclasses.replace(renderer.head, cloth_distance=np.full_like(renderer.head.cloth_distance, -1.0))
    looks = dataclasses.replace(
        plain_looks(renderer.prior.appearance(person.z_id, person.z_noise)),
        tex=np.zeros(80, np.float32),
        background=Background(np.zeros(3, np.float32), np.zeros(3, np.float32), 0.0),
    )

    size = 64
    bare = SyntheticRenderer(head, one_look(renderer.prior, looks))
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
        SyntheticRenderer(renderer.head, one_look(renderer.prior, looks)),
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


def test_more_samples_only_soften_edges(renderer: SyntheticRenderer, person: SyntheticPerson) -> None:
    coarse, fine = (
        render_person(renderer, person, yaw=0.2, pitch=0.1, size=48, factor=factor)[0].astype(int)
        for factor in (1, 4)
    )
    difference = np.abs(coarse - fine).max(axis=2)
    assert np.median(difference) <= 2 and (difference > 30).mean() < 0.1
    assert (difference > 0).any()


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


def test_a_background_point_has_one_colour_from_every_view() -> None:
    ground = Background(np.float32([0.1, 0.5, 0.9]), np.float32([0.8, 0.2, 0.3]), 0.7)
    size = 257
    points = torch.tensor(
        [[[0.02, 0.03, -WORLD_PER_NETWORK_UNIT], [-0.05, 0.01, -WORLD_PER_NETWORK_UNIT]]], dtype=torch.float64
    )
    colours = []
    for pitch, yaw in ((0.0, 0.0), (0.2, -0.5), (-0.3, 0.3)):
        camera = one_camera(yaw=yaw, pitch=pitch, size=size)
        columns, rows = camera.project(points)[0].round().long().T
        colours.append(background_image(ground, camera)[rows, columns])
    assert np.allclose(colours[0], colours[1], atol=0.01) and np.allclose(colours[0], colours[2], atol=0.01)
    assert np.abs(colours[0][0] - colours[0][1]).max() > 0.1


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


# --------------------------------------------------------------------------------------------------------- coefficients
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
    assert np.allclose(from_file[:, 0], pixels[:, 0], atol=1e-3)
    assert np.allclose(99 - from_file[:, 1], pixels[:, 1], atol=1e-3)


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


def test_poses_are_normal_and_clamped() -> None:
    rng = np.random.default_rng(0)
    poses = np.array([sample_pose(rng) for _ in range(4000)])
    assert np.abs(poses).max(axis=0) == pytest.approx([PITCH_LIMIT, YAW_LIMIT])
    assert poses.std(axis=0) == pytest.approx([0.154, 0.347], abs=0.01)


# ------------------------------------------------------------------------------------------------------- the real model
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


def test_a_real_image_shows_both_eyes_and_a_face_in_the_middle(face_model: MorphableModel) -> None:
    renderer = load_synthetic_renderer()
    image, face = render_item(renderer, 1, 0, 64)
    assert image.std() > 20
    inside = (face.lm68 > 0) & (face.lm68 < 223)
    assert inside.all()
