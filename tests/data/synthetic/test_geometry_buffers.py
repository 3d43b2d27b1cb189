"""Distance maps and visible vertices, against planes and spheres; and the folder that stores them."""

import dataclasses
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.data.dataset import CoefficientTable
from anifacegan.data.rasterized_mesh import rasterize_mesh
from anifacegan.data.synthetic import geometry_buffers
from anifacegan.data.synthetic.geometry_buffers import (
    DEPTH_STEPS,
    distance_map,
    load_geometry_buffers,
    render_geometry,
    require_room_for_buffers,
)
from anifacegan.data.synthetic.renderer import (
    SyntheticRenderer,
    background_inverse_depth,
)
from anifacegan.data.synthetic.sampling import SyntheticPerson, sample_person
from anifacegan.data.synthetic.strands.strands import Strands
from anifacegan.data.synthetic.surface.head import head_geometry
from anifacegan.geometry.cameras import Camera, orbit_camera
from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.runtime.errors import InputError
from tests.fixtures.small_disk import files_of_at_most
from tests.fixtures.synthetic_faces import constant_prior, without_hair_and_glasses
from tests.fixtures.tiny_head import tiny_model, tiny_parts
from tests.fixtures.tiny_training_set import COUNT, SIZE, tiny_latents, tiny_renderer

HALF_A_STEP = 0.5 / DEPTH_STEPS
Z_BUFFER = 2e-6
"""The z-buffer rounds corners to 1/1024 pixel, and inverse depths to float32."""
OFFSET = np.array([0.004, -0.01, 0.002], np.float32)


def surface_of_squares(*squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squares, each given by four corners in world units, as vertices in model units and triangles."""
    corners = np.concatenate(squares)
    first = np.arange(0, len(corners), 4)[:, None, None]
    triangles = (first + [[0, 1, 2], [2, 1, 3]]).reshape(-1, 3).astype(np.int32)
    return ((corners - OFFSET) / 0.1).astype(np.float32), triangles


def square(
    half: float, centre: tuple[float, float, float], gradient: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    """Corners of a square about a point of the plane z = centre + gradient . (x, y)."""
    x, y = np.meshgrid([-half, half], [-half, half])
    z = gradient[0] * x + gradient[1] * y
    return np.stack([x, y, z], axis=-1).reshape(4, 3) + centre


def camera_and_rays(*, yaw: float, pitch: float, size: int) -> tuple[Camera, Rays]:
    angles = torch.tensor([[pitch], [yaw]], dtype=torch.float64)
    return orbit_camera(yaw=angles[1], pitch=angles[0], size=size), image_rays(
        yaw=angles[1], pitch=angles[0], size=size
    )


def distances(surface: tuple[np.ndarray, np.ndarray], *, yaw: float, pitch: float, size: int) -> np.ndarray:
    camera, _ = camera_and_rays(yaw=yaw, pitch=pitch, size=size)
    drawn = rasterize_mesh(*surface, OFFSET, camera, behind=background_inverse_depth(camera))
    return distance_map(np.where(drawn.triangle >= 0, drawn.nearest, 0), camera)


# ----------------------------------------------------------------------------------------------------------- distances
@pytest.mark.parametrize("pitch, yaw", [(0.0, 0.0), (0.3, -0.5)])
def test_the_distance_of_a_plane_is_that_along_the_generators_rays(pitch: float, yaw: float) -> None:
    gradient, height, size = (0.4, -0.2), 0.03, 33
    surface = surface_of_squares(square(0.4, (0.0, 0.0, height), gradient))
    _, rays = camera_and_rays(yaw=yaw, pitch=pitch, size=size)
    normal = torch.tensor([-gradient[0], -gradient[1], 1.0], dtype=torch.float64)
    exact = (height - rays.origins[0] @ normal) / (rays.directions[0] @ normal)
    found = distances(surface, yaw=yaw, pitch=pitch, size=size).reshape(-1)
    error = np.abs(found / DEPTH_STEPS - exact.numpy())
    assert (found > 0).all()
    assert error.max() <= HALF_A_STEP + Z_BUFFER
    assert error.max() > 0.8 * HALF_A_STEP  # rounded to the nearest step, no finer


def test_where_nothing_is_the_distance_is_zero() -> None:
    found = distances(surface_of_squares(square(0.05, (0.0, 0.0, 0.0))), yaw=0.0, pitch=0.0, size=65)
    inside = int(0.05 / np.tan(np.radians(6)) * 32)  # half of the square in pixels
    assert (found[32 - inside : 33 + inside, 32 - inside : 33 + inside] > 0).all()
    assert (found > 0).sum() == (2 * inside + 1) ** 2


def test_the_nearer_of_two_surfaces_is_seen() -> None:
    near, far = square(0.03, (0.0, 0.0, 0.1)), square(0.2, (0.0, 0.0, -0.05))
    for surface in (surface_of_squares(near, far), surface_of_squares(far, near)):
        found = distances(surface, yaw=0.0, pitch=0.0, size=33)
        assert found[16, 16] == round(0.9 * DEPTH_STEPS) and found[2, 16] > 1.05 * DEPTH_STEPS - 1


def test_the_background_plane_hides_what_is_behind_it() -> None:
    assert (
        distances(surface_of_squares(square(0.4, (0.0, 0.0, -0.121))), yaw=0.4, pitch=0.1, size=17) == 0
    ).all()
    assert (
        distances(surface_of_squares(square(0.4, (0.0, 0.0, -0.119))), yaw=0.4, pitch=0.1, size=17) > 0
    ).all()


# ---------------------------------------------------------------------------------------------------------------- heads
@pytest.fixture(scope="module")
def ball(renderer: SyntheticRenderer) -> SyntheticRenderer:
    """A bald head without clothes that is a ball of radius 0.07 world, whoever it is."""
    model = tiny_model()
    model.mean.copy_(0.7 * torch.nn.functional.normalize(model.mean, dim=-1))
    model.id_basis.zero_(), model.exp_basis.zero_()
    parts = tiny_parts(model)
    nothing = {"cloth_sd": np.full_like(parts.cloth_sd, -1)}
    parts = dataclasses.replace(parts, **nothing)
    model.eyes = ()  # no lids that move
    prior = renderer.prior
    nobody = sample_person(parts, np.random.default_rng(0))
    bald = without_hair_and_glasses(prior.appearance(nobody.z_id, nobody.z_noise))
    return SyntheticRenderer(head_geometry(model, parts), constant_prior(prior, bald))


@pytest.fixture(scope="module")
def person(ball: SyntheticRenderer) -> SyntheticPerson:
    return sample_person(ball.head.parts, np.random.default_rng(5))


@pytest.mark.parametrize("pitch, yaw", [(0.0, 0.0), (-0.3, 0.6)])
def test_the_distance_of_a_ball_is_that_of_a_sphere(
    ball: SyntheticRenderer, person: SyntheticPerson, pitch: float, yaw: float
) -> None:
    size = 64
    distance, _ = render_geometry(ball, person, np.array([pitch, yaw], np.float32), size)
    _, rays = camera_and_rays(yaw=float(np.float32(yaw)), pitch=float(np.float32(pitch)), size=size)
    centre = torch.from_numpy(ball.head.world_offset).double()
    along = -((rays.origins[0] - centre) * rays.directions[0]).sum(-1)
    inside = 0.07**2 - ((rays.origins[0] - centre).square().sum(-1) - along**2)
    exact = (along - inside.clamp(min=0).sqrt()).numpy()
    middle = inside.numpy() > 0.5 * 0.07**2  # not at the limb, where a facet is seen edge-on
    error = distance.reshape(-1)[middle] / DEPTH_STEPS - exact[middle]
    # 600 vertices are 0.011 world apart, their triangles' circumcentres up to 0.008 from the corners: facets lie up
    # to 0.008^2 / 0.07 / 2 = 4.6e-4 inside the sphere, and up to sqrt(2) of that along the ray.
    assert middle.sum() > 500
    assert error.min() > -HALF_A_STEP - Z_BUFFER and error.max() < 6.5e-4 + HALF_A_STEP
    assert (distance.reshape(-1)[inside.numpy() < -1e-4] == 0).all()


def test_vertices_that_face_the_camera_are_seen_and_those_behind_are_not(
    ball: SyntheticRenderer, person: SyntheticPerson
) -> None:
    pose = np.array([0.2, 0.5], np.float32)
    _, seen = render_geometry(ball, person, pose, 128)
    _, rays = camera_and_rays(yaw=0.5, pitch=0.2, size=3)
    vertices = ball.head.mean.reshape(-1, 3)
    to_camera = rays.origins[0, 0].numpy() - (0.1 * vertices + ball.head.world_offset)
    facing = (vertices / 0.7 * to_camera / np.linalg.norm(to_camera, axis=1, keepdims=True)).sum(1)
    assert seen.shape == (len(vertices),)
    assert seen[facing > 0.3].all() and not seen[facing < -0.3].any()  # a facet turns by about 0.17


def test_dense_strands_are_a_surface_that_hides_the_head_and_single_strands_are_not(
    ball: SyntheticRenderer, person: SyntheticPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    pose, size = np.zeros(2, np.float32), 64
    bare, seen = render_geometry(ball, person, pose, size)

    def curtain(count: int, cover: float) -> list[Strands]:
        """Upright strands in front of the right half of the ball, as seen."""
        x = np.linspace(0.0, 0.9, count)
        points = np.stack(np.broadcast_arrays(x[:, None], np.linspace(-1, 1, 8), 0.85), axis=-1)
        colours, covers = np.zeros((count, 3), np.float32), np.full(count, cover, np.float32)
        return [
            Strands(
                points.astype(np.float32), colours, covers, np.arange(count), 1.0, 5.0, 1.0, on_scalp=True
            )
        ]

    monkeypatch.setattr(geometry_buffers, "person_strands", lambda *_: curtain(400, 1.0))
    hidden, left = render_geometry(ball, person, pose, size)
    covered = np.zeros((size, size), bool)
    covered[12:-12, size // 2 + 1 : size // 2 + 24] = True
    plane = 1.0 - 0.085 - float(ball.head.world_offset[2])  # from the camera at z = 1 to the strands
    assert (
        np.abs(hidden[covered] / DEPTH_STEPS - plane).max() < 0.006
    )  # up to 0.0055 farther along slanted rays
    assert np.array_equal(hidden[:, : size // 2 - 1], bare[:, : size // 2 - 1])
    assert left.sum() < 0.65 * seen.sum()
    monkeypatch.setattr(geometry_buffers, "person_strands", lambda *_: curtain(400, 0.02))
    thin, still = render_geometry(ball, person, pose, size)
    assert np.array_equal(thin, bare) and np.array_equal(still, seen)


# --------------------------------------------------------------------------------------------------------- the folder
@pytest.fixture(scope="module")
def renderer() -> SyntheticRenderer:
    """That of the tiny set's people, with nothing prepared yet."""
    return dataclasses.replace(tiny_renderer())


@pytest.fixture(scope="module")
def latents(tiny: Path) -> CoefficientTable:
    return tiny_latents(tiny)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replaces the rendering by a count of the images so far; grows by the size of every rendered image."""
    sizes = []

    def counted(renderer: SyntheticRenderer, person: SyntheticPerson, pose: np.ndarray, size: int) -> tuple:
        sizes.append(size)
        visible = np.arange(len(renderer.head.parts.part)) < len(sizes)
        return np.full((size, size), len(sizes), np.uint16), visible

    monkeypatch.setattr(geometry_buffers, "render_geometry", counted)
    return sizes


def test_buffers_are_rendered_once_and_then_read(
    renderer: SyntheticRenderer, latents: CoefficientTable, drawn: list[int], tmp_path: Path
) -> None:
    first = load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    assert drawn == [SIZE] * COUNT
    again = load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    assert len(drawn) == COUNT
    assert np.array_equal(first.distance, again.distance) and np.array_equal(first.visible, again.visible)
    assert first.distance.shape == (COUNT, SIZE, SIZE) and first.distance.max() > 0
    vertices = len(renderer.head.parts.part)
    assert first.visible.shape == (COUNT, (vertices + 7) // 8)


def test_buffers_of_other_data_are_rendered_again(
    renderer: SyntheticRenderer, latents: CoefficientTable, drawn: list[int], tmp_path: Path
) -> None:
    load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    other_head = dataclasses.replace(renderer.head, mean=np.float32(1.01) * renderer.head.mean)
    other = dataclasses.replace(renderer, head=other_head)
    turned = dataclasses.replace(latents, pose=-latents.pose)
    for changed in ((turned, SIZE, renderer), (latents, SIZE + 1, renderer), (latents, SIZE, other)):
        load_geometry_buffers(tmp_path, latents, SIZE, renderer)
        drawn.clear()
        load_geometry_buffers(tmp_path, *changed)
        assert len(drawn) == COUNT


def test_a_folder_without_description_starts_over(
    renderer: SyntheticRenderer, latents: CoefficientTable, drawn: list[int], tmp_path: Path
) -> None:
    load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    (tmp_path / "surfaces.json").unlink()
    load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    assert len(drawn) == 2 * COUNT


@pytest.mark.parametrize("note", ['{"count": 8, "si', "[]", "{}"])
def test_a_description_of_others_is_kept(
    note: str, renderer: SyntheticRenderer, latents: CoefficientTable, tmp_path: Path
) -> None:
    load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    (tmp_path / "surfaces.json").write_text(note)
    for load in (
        lambda: require_room_for_buffers(tmp_path),
        lambda: load_geometry_buffers(tmp_path, latents, SIZE, renderer),
    ):
        with pytest.raises(InputError, match="surfaces.json: is in the way"):
            load()
    assert (tmp_path / "surfaces.json").read_text() == note


@pytest.mark.parametrize("name", ["distance.npy", "surfaces.json"])
def test_a_killed_rendering_starts_over_unless_others_took_a_name(
    name: str,
    renderer: SyntheticRenderer,
    latents: CoefficientTable,
    drawn: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def kill(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    for function in ("write_complete", "_render"):  # before, and after, the first file
        child = os.fork()
        if not child:
            monkeypatch.setattr(geometry_buffers, function, kill)
            load_geometry_buffers(tmp_path, latents, SIZE, renderer)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        if function == "write_complete":
            (tmp_path / name).write_text("mine")
            with pytest.raises(InputError, match=f"{name}: is in the way"):
                load_geometry_buffers(tmp_path, latents, SIZE, renderer)
            assert (tmp_path / name).read_text() == "mine"
            (tmp_path / name).unlink()
    load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    assert len(drawn) == COUNT


@pytest.mark.parametrize("name", ["distance.npy", "visible.npy"])
@pytest.mark.parametrize("content", [b"", b"damaged", b"\x93NUMPY\x01\x00v\x00{'descr': '<u2', "])
def test_a_damaged_file_is_reported_and_rendered_again(
    content: bytes,
    name: str,
    renderer: SyntheticRenderer,
    latents: CoefficientTable,
    drawn: list[int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    (tmp_path / name).write_bytes(content)
    load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    assert len(drawn) == 2 * COUNT and "rendered again" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["distance.npy", "visible.npy"])
def test_other_numbers_than_were_written_are_reported_and_rendered_again(
    name: str,
    renderer: SyntheticRenderer,
    latents: CoefficientTable,
    drawn: list[int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    array = np.load(tmp_path / name)
    array[-1] = 0
    np.save(tmp_path / name, array)
    again = load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    assert len(drawn) == 2 * COUNT and "damaged" in capsys.readouterr().err
    assert (
        again.distance[:, 0, 0] == np.arange(COUNT + 1, 2 * COUNT + 1)
    ).all()  # none of the first rendering's
    assert again.visible.any(axis=1).all()


def test_buffers_of_earlier_versions_without_checksums_are_read(
    renderer: SyntheticRenderer, latents: CoefficientTable, drawn: list[int], tmp_path: Path
) -> None:
    load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    note = json.loads((tmp_path / "surfaces.json").read_text())
    del note["crc32"]
    (tmp_path / "surfaces.json").write_text(json.dumps(note))
    load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    assert len(drawn) == COUNT


def test_files_of_others_are_not_replaced(
    renderer: SyntheticRenderer, latents: CoefficientTable, drawn: list[int], tmp_path: Path
) -> None:
    (tmp_path / "distance.npy").write_text("mine")
    with pytest.raises(InputError, match="distance.npy: is in the way"):
        load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    assert (tmp_path / "distance.npy").read_text() == "mine" and not drawn


def test_an_interrupted_rendering_leaves_no_description(
    renderer: SyntheticRenderer, latents: CoefficientTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> tuple:
        raise KeyboardInterrupt

    monkeypatch.setattr(geometry_buffers, "render_geometry", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    assert list(tmp_path.iterdir()) == []


def test_several_processes_render_the_same_buffers(
    renderer: SyntheticRenderer, latents: CoefficientTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = load_geometry_buffers(tmp_path / "alone", latents, SIZE, renderer)
    monkeypatch.setattr(geometry_buffers, "POOL_ITEMS", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    pooled = load_geometry_buffers(tmp_path / "pooled", latents, SIZE, renderer)
    assert np.array_equal(alone.distance, pooled.distance) and np.array_equal(alone.visible, pooled.visible)
    assert vars(renderer).keys() == {"head", "prior"}  # nothing that was computed stays in memory


def test_a_disk_without_room_is_one_line_and_leaves_no_distances(
    renderer: SyntheticRenderer, latents: CoefficientTable, tmp_path: Path
) -> None:
    with files_of_at_most(2000), pytest.raises(InputError, match="distance.npy: cannot be written"):
        load_geometry_buffers(tmp_path, latents, SIZE, renderer)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_photographs_are_refused(
    renderer: SyntheticRenderer, latents: CoefficientTable, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="'noise'"):
        load_geometry_buffers(tmp_path, dataclasses.replace(latents, noise=None), SIZE, renderer)
