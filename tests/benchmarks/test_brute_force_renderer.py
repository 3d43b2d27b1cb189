"""The brute-force renderer gives the same images as the volume renderer, with which it shares no code."""

import dataclasses

import pytest
import torch

from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering.model import Face, Model
from anifacegan.rendering.volume import render_rays
from benchmarks import brute_force_renderer
from benchmarks.brute_force_renderer import brute_force_colours, brute_force_image
from tests.fixtures.closed_forms import bumpy_fields, camera_rays, numbers, parallel_rays, spheres
from tests.fixtures.small_models import small_checkpoint


@pytest.fixture(scope="module")
def face() -> Face:
    return Model(small_checkpoint()).face(seed=3, expression="smile")


def eight(fields: ConditionedFields, rays: Rays) -> torch.Tensor:
    """What render_rays sees, in the brute-force renderer's order."""
    seen = render_rays(fields, rays)
    parts = [seen.rgb, seen.foreground[..., None], seen.foreground_rgb, seen.depth[..., None]]
    return torch.cat(parts, dim=-1)[0]


@torch.no_grad()
@pytest.mark.parametrize("yaw", [-0.6, 0.0, 0.3])
def test_brute_force_equals_the_volume_renderer_on_networks(face: Face, yaw: float) -> None:
    rays = image_rays(yaw=torch.tensor([yaw]), pitch=torch.tensor([0.1]), size=24)
    seen = eight(face.fields, rays)
    assert 0.05 < seen[:, 3].mean() and seen[:, :3].std() > 0.05
    torch.testing.assert_close(brute_force_colours(face.fields, rays), seen, atol=5e-6, rtol=0)


@pytest.mark.parametrize("gain", [1.0, 2.5])
def test_brute_force_equals_the_volume_renderer_where_s_rises_and_falls(gain: float) -> None:
    fields = bumpy_fields(0.09, 0.04, 0.0, -0.06, radiance_offset_gain=gain)
    fields = dataclasses.replace(fields, align=lambda x: 0.02 * (30 * x).cos())
    rays = camera_rays(yaw=-0.4, pitch=0.2, size=13)
    hit = render_rays(fields, rays).hit[..., :-1]
    assert hit.any() and not hit.all()
    torch.testing.assert_close(brute_force_colours(fields, rays), eight(fields, rays), atol=1e-12, rtol=0)


def test_a_level_that_s_first_rises_through_is_missed() -> None:
    tent = spheres(scalar=lambda x: 10 - 100 * (x[..., 2] - 0.05).abs(), levels=numbers(5.0, 2.0))
    rays = parallel_rays((0.0, 0.0))
    assert brute_force_colours(tent, rays)[0, 3].item() == pytest.approx(0.5, abs=1e-8)
    torch.testing.assert_close(brute_force_colours(tent, rays), eight(tent, rays), atol=1e-12, rtol=0)


def test_a_brute_force_image_is_the_same_in_slices(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = brute_force_image(face, yaw=0.2, pitch=-0.1, size=15)
    monkeypatch.setattr(brute_force_renderer, "SLICE_SAMPLES", 12 * 50)
    parts = brute_force_image(face, yaw=0.2, pitch=-0.1, size=15)
    for name, channels in (("rgb", 3), ("foreground", 1), ("foreground_rgb", 3), ("depth", 1)):
        assert getattr(whole, name).shape == (channels, 15, 15)
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), atol=1e-6, rtol=0)


def test_every_sample_and_every_point_is_evaluated(face: Face) -> None:
    """Whatever is seen: 12 samples, 6 manifolds and the background of each ray."""
    requested: dict[str, int] = dict.fromkeys(("offset", "scalar", "radiance"), 0)

    def counted(name: str):
        def function(x: torch.Tensor):
            requested[name] += x.shape[1]
            return getattr(face.fields, name)(x)

        return function

    counting = dataclasses.replace(face.fields, **{name: counted(name) for name in requested})
    brute_force_image(dataclasses.replace(face, fields=counting), size=9)
    assert requested == {"offset": 12 * 81, "scalar": 12 * 81, "radiance": 7 * 81}
