"""The player in PyTorch draws what the one in numba draws."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.avatars.players import torch_player
from anifacegan.avatars.players.numba_player import play
from anifacegan.avatars.players.torch_player import TorchPlayer
from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.rasterization import torch_backend
from anifacegan.runtime.errors import InputError
from tests.fixtures.flat_avatars import FINE, bumpy_layer, layered_mesh_of, square, together

VIEWS = [(0.0, 0.0, 8), (0.5, 0.1, 33), (-0.7, -0.3, 48)]
NEUTRAL = np.zeros(64, np.float32)
COARSE = 0.02
"""Share of the pixels that nvdiffrast, which rounds corners to 1/16 pixel, may give to other triangles."""


def bumpy_layered_mesh(
    seed: int, ray_sampling: RaySamplingConfig = FINE, alike: int = 3, shaded: bool = False
) -> LayeredMesh:
    """Make thin closed shapes with two expressions, before a background image."""
    rng = np.random.default_rng(seed)
    layers = []
    for z in np.linspace(0.07, 0.0, alike):
        front = bumpy_layer(z, rng, bump=0.012)
        back = replace(
            front, vertices=front.vertices - np.float32([0, 0, 0.012]), triangles=front.triangles[:, ::-1]
        )
        layers.append(together(front, back))
    layered_mesh = layered_mesh_of(
        *layers, ray_sampling=ray_sampling, background=rng.integers(0, 256, (5, 5, 3)).astype(np.uint8)
    )
    steps, z_exp = rng.normal(0, 0.01, (2, *layered_mesh.vertices.shape)), rng.normal(0, 1, (2, 64))
    halfway = 0.5 * steps + rng.normal(0, 0.001, steps.shape)
    return replace(
        layered_mesh,
        blendshapes=np.stack([halfway, steps], axis=1).astype(np.float32),
        texel_offsets=rng.normal(0, 1, (2, 2, 10, 2)).astype(np.float32),
        z_exp=z_exp.astype(np.float32),
        shades=rng.normal(0, 0.4, (2, 2, len(layered_mesh.vertices))).astype(np.float32) if shaded else None,
    )


@pytest.fixture
def drawing(backend: tuple[str, str]) -> tuple[str, str]:
    """A way to draw, and the device."""
    if backend[0] == "numba":
        pytest.skip("the others are compared with it")
    return backend


def assert_same_images(
    view: tuple[float, float, int],
    samples: int,
    drawing: tuple[str, str],
    share: float,
    shaded: bool = False,
) -> None:
    """Compare images except for a share of the pixels: where an edge meets a pixel's centre, or a ray sample meets a
    layer, rounding decides.
    """
    (yaw, pitch, size), (name, device) = view, drawing
    layered_mesh = bumpy_layered_mesh(size, RaySamplingConfig(samples=samples), shaded=shaded)
    player = TorchPlayer(layered_mesh, device, name)
    for z_exp in (NEUTRAL, layered_mesh.z_exp[0].astype(np.float64) - 0.5 * layered_mesh.z_exp[1]):
        expected = play(layered_mesh, layered_mesh.posed(z_exp), yaw=yaw, pitch=pitch, size=size)
        found = player.image(z_exp, yaw=yaw, pitch=pitch, size=size)
        assert 0.2 < (expected.foreground > 0.3).float().mean()
        for field in fields(expected):
            error = (getattr(found, field.name).cpu() - getattr(expected, field.name)).abs().amax(0)
            assert (error > 1e-4).sum() <= max(2, share * size**2), field.name


@pytest.mark.parametrize("shaded", [False, True])
@pytest.mark.parametrize("samples", [13, 400])
@pytest.mark.parametrize("view", VIEWS)
def test_both_players_draw_the_same(
    drawing: tuple[str, str], view: tuple[float, float, int], samples: int, shaded: bool
) -> None:
    assert_same_images(view, samples, drawing, COARSE if drawing[0] == "nvdiffrast" else 1e-3, shaded)


@pytest.mark.parametrize("view", VIEWS)
def test_corners_as_coarse_as_those_of_nvdiffrast_make_the_difference_that_is_allowed_for_it(
    view: tuple[float, float, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated, where there is no GPU."""
    monkeypatch.setattr(torch_backend, "SUBPIXEL", 16)
    assert_same_images(view, 13, ("torch", "cpu"), COARSE)
    if view[2] > 30:
        with pytest.raises(AssertionError):
            assert_same_images(view, 13, ("torch", "cpu"), 1e-3)


def test_an_opaque_layer_occludes_everything_behind_it_in_both(drawing: tuple[str, str]) -> None:
    """Behind an opaque layer neither the next layer nor the background is visible."""
    name, device = drawing
    layered_mesh = layered_mesh_of(square(0.05, (100, 0, 0, 255)), square(0.0, (0, 200, 0, 255)))
    expected = play(layered_mesh, layered_mesh.neutral, yaw=0.1, pitch=0.1, size=9)
    found = TorchPlayer(layered_mesh, device, name).image(NEUTRAL, yaw=0.1, pitch=0.1, size=9)
    assert found.foreground[0, 4, 4] == 1 and found.rgb[1, 4, 4] == 0
    for field in fields(expected):
        torch.testing.assert_close(
            getattr(found, field.name).cpu(), getattr(expected, field.name), atol=1e-5, rtol=0
        )


def test_several_frames_are_the_frames_one_by_one(drawing: tuple[str, str]) -> None:
    name, device = drawing
    layered_mesh = bumpy_layered_mesh(3)
    player = TorchPlayer(layered_mesh, device, name)
    z_exp, yaw, pitch = (
        layered_mesh.z_exp[[0, 1, 0]],
        np.array([0.1, -0.4, 0.0]),
        np.array([0.0, 0.2, -0.3]),
    )
    frames = player.frames(z_exp, yaw=yaw, pitch=pitch, size=20)
    assert frames.shape == (3, 8, 20, 20) and frames.device.type == device
    for k, frame in enumerate(frames):
        image = player.image(z_exp[k], yaw=yaw[k], pitch=pitch[k], size=20)
        one = torch.cat([getattr(image, field.name) for field in fields(image)])
        torch.testing.assert_close(frame, one, atol=5e-5, rtol=0)  # weights are one product, or several


def test_no_frames_and_one_frame() -> None:
    player = TorchPlayer(bumpy_layered_mesh(1), "cpu")
    assert player.frames(np.zeros((0, 64)), yaw=np.zeros(0), pitch=np.zeros(0), size=9).shape == (0, 8, 9, 9)
    assert not player.frames(np.zeros((1, 64)), yaw=np.zeros(1), pitch=np.zeros(1), size=9).is_inference()


def test_the_image_is_made_in_parts_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    layered_mesh = bumpy_layered_mesh(4)
    whole = TorchPlayer(layered_mesh, "cpu").image(NEUTRAL, yaw=0.2, pitch=0.1, size=24)
    monkeypatch.setattr(torch_backend, "MOST_TESTS", {"cpu": 50})
    monkeypatch.setattr(torch_player, "MOST_LAYER_PIXELS", {"cpu": 3 * 24 * 5})
    parts = TorchPlayer(layered_mesh, "cpu").image(NEUTRAL, yaw=0.2, pitch=0.1, size=24)
    assert torch.equal(whole.rgb, parts.rgb) and torch.equal(whole.depth, parts.depth)


def test_nvdiffrast_on_a_cpu_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="nvdiffrast") as caught:
        TorchPlayer(bumpy_layered_mesh(1), "cpu", "nvdiffrast")
    assert "\n" not in str(caught.value)
