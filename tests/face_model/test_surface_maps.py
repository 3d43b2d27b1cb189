"""Position maps of a mesh, and the surface error of generated images against them."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.data.synthetic.surface.head import HeadGeometry, head_geometry
from anifacegan.face_model.face_mesh import bare_head
from anifacegan.face_model.surface_maps import FaceSurfaces, SurfaceMap
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.geometry.rays import Rays
from anifacegan.losses.imitation import surface_loss
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.rendering.compositing import RayColours
from tests.fixtures.closed_forms import draw, numbers
from tests.fixtures.tiny_head import tiny_model, tiny_parts
from tests.fixtures.traced_mesh import seen_points, solid, trace

SIZE, BATCH, FOV = 20, 3, 12.0
OFFSET = (0.006, -0.004, 0.01)
"""Origin of the face model in world units."""


@pytest.fixture(scope="module")
def head() -> HeadGeometry:
    model = tiny_model()
    model.world_offset.copy_(torch.tensor(OFFSET))
    return head_geometry(model, tiny_parts(model))


@pytest.fixture(scope="module")
def surfaces(head: HeadGeometry) -> FaceSurfaces:
    return FaceSurfaces(head, FOV).double()


def views() -> PosedLatents:
    pose = torch.stack([numbers(0.1, -0.2, 0.3), numbers(0.5, -0.3, 0.2)], dim=1)
    return PosedLatents(
        Latents(draw(BATCH, 80, seed=0), draw(BATCH, 64, seed=1), draw(BATCH, 80, seed=2)), pose
    )


def drawn_map(surfaces: FaceSurfaces, posed: PosedLatents) -> SurfaceMap:
    return surfaces(posed.latents.z_id, posed.latents.z_exp, posed.pose, SIZE)


def vertices(head: HeadGeometry, posed: PosedLatents) -> Tensor:
    """Vertices in world units, from the function that synthetic images are rendered with."""
    latents = zip(posed.latents.z_id.float().numpy(), posed.latents.z_exp.float().numpy(), strict=True)
    shape = np.stack([bare_head(head, *pair) for pair in latents])
    return WORLD_PER_MODEL_UNIT * torch.from_numpy(shape).double() + numbers(*OFFSET)


def traced_image(rays: Rays, shape: Tensor, head: HeadGeometry) -> RayColours:
    """The image of a mesh by ray tracing."""
    t, _ = trace(rays, shape, torch.from_numpy(head.triangles))
    return solid(rays, torch.from_numpy(t))


def error(image: RayColours, mesh: SurfaceMap) -> float:
    """Mean surface error of the images."""
    return surface_loss(image.surface_point(), image.foreground, mesh.x_mesh, mesh.share).item() / BATCH


# ------------------------------------------------------------------------------------------------------------ the maps
def test_the_map_has_the_intersections_of_rays_and_the_synthetic_images_mesh(
    head: HeadGeometry, backend: tuple[str, str]
) -> None:
    name, device = backend
    posed = views()
    drawn = FaceSurfaces(head, FOV, name).double().to(device)
    latents = Latents(
        posed.latents.z_id.to(device), posed.latents.z_exp.to(device), posed.latents.z_noise.to(device)
    )
    mesh = drawn_map(drawn, PosedLatents(latents, posed.pose.to(device)))
    rays = posed.rays(SIZE, FOV)
    t, triangle = trace(rays, vertices(head, posed), torch.from_numpy(head.triangles))
    face = head.face[head.triangles].all(axis=1)[triangle] & np.isfinite(t)
    x = rays.at(torch.from_numpy(np.where(face, t, 0))[..., None])[:, :, 0]
    share = mesh.share.cpu()
    agrees = (share > 0).numpy() == face
    assert face.mean() > 0.15 and agrees.mean() > 0.99  # rays that meet an edge may go either way
    both = torch.from_numpy(face & agrees)
    distance = (mesh.x_mesh.cpu() - x)[both].norm(dim=-1)
    assert distance.max() < 1e-3 and distance.median() < 1e-7


def test_shares_are_the_weights_of_a_mean_over_the_face(surfaces: FaceSurfaces) -> None:
    mesh = drawn_map(surfaces, views())
    assert torch.allclose(mesh.share.sum(1), numbers(1, 1, 1))
    for share in mesh.share:
        (value,) = share[share > 0].unique()
        assert value.item() == pytest.approx(1 / int((share > 0).sum()))
    assert not mesh.x_mesh.requires_grad


def test_the_face_is_skin_without_hair_and_eyeballs(head: HeadGeometry) -> None:
    face = head.face
    points = head.mean.reshape(-1, 3)
    assert not face[points[:, 2] < -0.1].any()  # tiny_parts: the front is the face
    assert not face[points[:, 1] > 0.7].any()  # and the top is hair
    assert face[np.isin(head.parts.part, (1, 2))].all()
    bald = dataclasses.replace(head, hair_distance=np.full_like(head.hair_distance, -1))
    middle = np.abs(points[:, 0]) < 0.5  # long hair hangs beside the face
    assert bald.face[(points[:, 1] > 0.7) & (points[:, 2] > 0.01) & middle].all()
    assert not bald.face[np.abs(points[:, 0]) > 0.55].any()


# ----------------------------------------------------------------------------------------------------------- the error
def test_a_perfect_image_of_the_mesh_has_no_error(surfaces: FaceSurfaces, head: HeadGeometry) -> None:
    posed = views()
    image = traced_image(posed.rays(SIZE, FOV), vertices(head, posed), head)
    assert error(image, drawn_map(surfaces, posed)) < 1e-6


@pytest.mark.parametrize("shift", [(0.0, 0.0, 1e-3), (0.0, 0.0, -1e-3), (5e-4, -5e-4, 5e-4)])
def test_the_error_of_a_shifted_head_is_the_shift_along_the_rays(
    surfaces: FaceSurfaces, head: HeadGeometry, shift: tuple[float, float, float]
) -> None:
    """Where a ray d meets a plane of normal n that moves by e, it moves by e.n / d.n along the ray."""
    posed = views()
    rays, mesh, where = posed.rays(SIZE, FOV), drawn_map(surfaces, posed), vertices(head, posed)
    image = traced_image(rays, where + numbers(*shift), head)
    _, triangle = trace(rays, where, torch.from_numpy(head.triangles))
    a, b, c = (
        where[torch.arange(BATCH)[:, None], torch.from_numpy(head.triangles[triangle][..., k]).long()]
        for k in range(3)
    )
    normal = torch.linalg.cross(b - a, c - a)
    step = (normal * numbers(*shift)).sum(-1) / (normal * rays.directions).sum(-1)
    expected = (mesh.share * step.abs() * rays.directions.abs().sum(-1)).sum() / BATCH
    assert error(image, mesh) == pytest.approx(expected.item(), rel=0.05)
    assert expected > 1e-4


@pytest.mark.parametrize("sign", [(1.0, -1.0), (-1.0, 1.0)], ids=["yaw", "pitch"])
def test_an_angle_of_the_wrong_sign_costs_millimetres(
    surfaces: FaceSurfaces, head: HeadGeometry, sign: tuple[float, float]
) -> None:
    """The head is nearly round, so the error of a wrong pose is small."""
    posed = views()
    wrong = dataclasses.replace(posed, pose=posed.pose * numbers(*sign))
    where, mesh = vertices(head, posed), drawn_map(surfaces, posed)
    assert error(traced_image(wrong.rays(SIZE, FOV), where, head), mesh) > 1e-3
    assert error(traced_image(posed.rays(SIZE, FOV), where, head), drawn_map(surfaces, wrong)) > 1e-3


def test_an_upside_down_image_costs_millimetres(surfaces: FaceSurfaces, head: HeadGeometry) -> None:
    posed = views()
    rays = posed.rays(SIZE, FOV)
    rows = torch.arange(SIZE**2).reshape(SIZE, SIZE).flip(0).flatten()
    turned = Rays(rays.origins[:, rows], rays.directions[:, rows])
    assert error(traced_image(turned, vertices(head, posed), head), drawn_map(surfaces, posed)) > 1e-3


def test_latents_of_other_faces_have_a_larger_error(surfaces: FaceSurfaces, head: HeadGeometry) -> None:
    """Identity and expression of every image matter."""
    posed = views()
    image = traced_image(posed.rays(SIZE, FOV), vertices(head, posed), head)
    for name in ("z_id", "z_exp"):
        for item in range(BATCH):
            changed = getattr(posed.latents, name).clone()
            changed[item] += 1
            other = dataclasses.replace(posed, latents=dataclasses.replace(posed.latents, **{name: changed}))
            assert error(image, drawn_map(surfaces, other)) > 1e-4, (name, item)


def points_on_a_ray(weights: Tensor) -> RayColours:
    """One ray down -z: manifolds at z = 0.04 and 0, the background at -0.12."""
    rays = Rays(numbers(0, 0, 1).reshape(1, 1, 3), numbers(0, 0, -1).reshape(1, 1, 3))
    return seen_points(rays, numbers(0.96, 1.0, 1.12).reshape(1, 1, 3), weights.reshape(1, 1, 3))


def ray_error(weights: Tensor) -> Tensor:
    """Error of such a ray against a mesh that it meets at the origin."""
    image = points_on_a_ray(weights)
    at_origin, one = torch.zeros(1, 1, 3, dtype=torch.float64), numbers(1).reshape(1, 1)
    return surface_loss(image.surface_point(), image.foreground, at_origin, one)


def test_the_surface_is_the_mean_of_the_manifolds_without_the_background() -> None:
    for weights, expected in (((0.5, 0.5, 0.0), 0.02), ((0.45, 0.15, 0.4), 0.03), ((0.0, 0.5, 0.5), 0.0)):
        found = ray_error(numbers(*weights)) / sum(weights[:2])  # a ray counts as much as it is opaque
        assert found.item() == pytest.approx(expected, abs=1e-12)


def test_a_ray_counts_as_much_as_it_is_opaque_and_an_almost_transparent_one_not_at_all() -> None:
    for weights, expected in (
        ((0.49, 0.0, 0.51), 0.49 * 0.04),
        ((0.009, 0.0, 0.991), 0),
        ((0.0, 0.0, 1.0), 0),
    ):
        assert ray_error(numbers(*weights)).item() == pytest.approx(expected, abs=1e-12)


def test_a_ray_without_any_foreground_has_no_gradient_rather_than_nan() -> None:
    for least in (0.0, 1e-45, 1e-20):
        weights = torch.tensor([least, 0.0, 1.0], dtype=torch.float32, requires_grad=True)
        ray_error(weights).backward()
        assert weights.grad is not None and (weights.grad == 0).all(), least


def test_opacity_learns_which_manifold_lies_on_the_mesh() -> None:
    """The gradient is that of finite differences at a fixed weight of the ray, and more weight on the nearer manifold
    means more distance."""
    weights = numbers(0.45, 0.3, 0.25).requires_grad_()
    (gradient,) = torch.autograd.grad(ray_error(weights), weights)
    assert gradient[0] > 0 > gradient[1] and gradient[2] == 0

    def distance(weights: Tensor) -> float:
        return (ray_error(weights) / weights[:2].sum()).item()

    for k, step in enumerate(1e-6 * torch.eye(3, dtype=torch.float64)):
        slope = (distance(weights.detach() + step) - distance(weights.detach() - step)) / 2e-6
        assert gradient[k].item() == pytest.approx(0.75 * slope, abs=1e-8)  # 0.75 of the ray is opaque
