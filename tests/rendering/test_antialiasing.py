"""Anti-aliasing brings outlines closer to the mean over each pixel's area, and leaves all other pixels alone."""

import dataclasses

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.conventions import FOV_DEG
from anifacegan.geometry.rays import image_rays, pixel_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering import adaptive_tracing, sharp_edges
from anifacegan.rendering.adaptive import render_adaptive
from anifacegan.rendering.antialiasing import OFFSETS_PX, render_antialiased
from anifacegan.rendering.model import Face, Model
from anifacegan.rendering.sharp_edges import MAX_SHARE, MIN_CONTRAST, contrast, mean_weight
from anifacegan.runtime.cpu import torch_threads
from benchmarks.brute_force_renderer import brute_force_colours
from tests.fixtures.closed_forms import bumpy_fields, camera_rays, numbers, spheres
from tests.fixtures.small_models import small_checkpoint
from tests.rendering.test_adaptive import ROUNDING

SIZE, YAW, PITCH = 48, 0.3, 0.1


def opaque_ball(radius: float = 0.022, dark: float = 0.2) -> ConditionedFields:
    """A ball whose brightness rises evenly to the right, before a bright background."""

    def radiance(x: Tensor) -> tuple[Tensor, Tensor]:
        wall = x[..., 2:] < -0.119
        return torch.where(wall, 0.9, dark + x[..., :1]).expand_as(x), torch.ones_like(x[..., 0])

    return spheres(radius, radiance=radiance)


def one_ray(fields: ConditionedFields, size: int = SIZE, stride: int | None = None) -> Tensor:
    return render_adaptive(fields, camera_rays(yaw=YAW, pitch=PITCH, size=size), size, stride)


def antialiased(fields: ConditionedFields, size: int = SIZE, stride: int | None = None) -> Tensor:
    return render_antialiased(fields, yaw=numbers(YAW), pitch=numbers(PITCH), size=size, stride=stride)


@pytest.fixture(scope="module")
def supersampled() -> Tensor:
    """The mean of 4 x 4 brute-force rays in each pixel."""
    place = (torch.arange(4 * SIZE, dtype=torch.float64) - 1.5) / 4
    y_px, x_px = (axis.reshape(1, -1) for axis in torch.meshgrid(place, place, indexing="ij"))
    rays = pixel_rays(yaw=numbers(YAW), pitch=numbers(PITCH), x_px=x_px, y_px=y_px, size=SIZE)
    image = brute_force_colours(opaque_ball(), rays).T.reshape(1, 8, 4 * SIZE, 4 * SIZE)
    return torch.nn.functional.avg_pool2d(image, 4)[0]


@pytest.mark.parametrize("stride", [1, 3])
def test_an_outline_comes_closer_to_the_mean_over_the_pixels(supersampled: Tensor, stride: int) -> None:
    fields, expected = opaque_ball(), supersampled
    plain, smooth = one_ray(fields), antialiased(fields, stride=stride)
    edge = (expected[3] > 0.02) & (expected[3] < 0.98)
    assert 20 < edge.sum() < 60
    for channels in (slice(0, 3), slice(3, 4), slice(4, 7)):
        before, after = ((image - expected)[channels, edge].abs().mean() for image in (plain, smooth))
        assert after < 0.4 * before
    assert len(smooth[3].round(decimals=4).unique()) >= 6  # 0, 1/5 .. 1, where one ray gives 0 and 1


def test_other_pixels_and_depth_stay_bit_for_bit() -> None:
    fields = opaque_ball()
    plain, smooth = one_ray(fields), antialiased(fields)
    moved = mean_weight(plain) > 0
    assert 0.01 < moved.double().mean() < MAX_SHARE
    assert torch.equal(smooth[:, ~moved], plain[:, ~moved])
    assert torch.equal(smooth[7], plain[7])
    assert (smooth[3, moved] != plain[3, moved]).double().mean() > 0.4


def test_an_outline_of_the_background_s_colour_is_found_by_its_opacity() -> None:
    fields = dataclasses.replace(
        opaque_ball(), radiance=lambda x: (torch.full_like(x, 0.5), torch.ones_like(x[..., 0]))
    )
    smooth = antialiased(fields)
    torch.testing.assert_close(smooth[:3], torch.full_like(smooth[:3], 0.5))
    assert ((smooth[3] > 0.1) & (smooth[3] < 0.9)).sum() > 10


def test_a_faint_outline_without_opacity_costs_nothing() -> None:
    """A disc on the background whose colour differs by less than the least contrast."""

    def radiance(x: Tensor) -> tuple[Tensor, Tensor]:
        disc = x[..., :2].norm(dim=-1, keepdim=True) < 0.05
        return torch.where(disc, 0.5, 0.5 + 0.24 * MIN_CONTRAST).expand_as(x), torch.ones_like(x[..., 0])

    fields = spheres(1e-9, radiance=radiance)
    assert torch.equal(antialiased(fields), one_ray(fields))


def test_contrast_is_zero_where_colours_change_evenly() -> None:
    row = torch.arange(9.0)
    ramp = (0.1 * row[:, None] + 0.05 * row).expand(3, 9, 9)
    assert contrast(ramp)[1:-1, 1:-1].abs().max() < 1e-6
    ramp = ramp.clone()
    ramp[1, 4, 4] += 0.1
    torch.testing.assert_close(contrast(ramp)[4, 4], torch.tensor(0.4))


def test_an_image_full_of_detail_has_further_rays_where_contrast_is_largest() -> None:
    image = torch.rand(8, 64, 64, generator=torch.Generator().manual_seed(0))
    weight = mean_weight(image)
    assert 0.8 * MAX_SHARE < (weight > 0).double().mean() <= MAX_SHARE
    seen = torch.maximum(contrast(image[:3]), sharp_edges.OPACITY_WEIGHT * contrast(image[3:4]))
    assert seen[weight > 0].min() > seen[weight == 0].max() - 1e-6
    assert 0 < weight[weight > 0].min() and 0.5 < weight.max() <= 1


def test_the_rays_of_a_pixel_are_spread_evenly() -> None:
    places = numbers(*(0.0, 0.0), *(value for place in OFFSETS_PX for value in place)).reshape(-1, 2)
    assert not places.sum(dim=0).abs().max() > 1e-12
    for axis in places.T:
        torch.testing.assert_close(axis.sort().values, numbers(-0.4, -0.2, 0, 0.2, 0.4))


@pytest.mark.parametrize("stride", [2, 3, 5])
def test_guided_rays_show_what_rays_on_their_own_show(stride: int) -> None:
    """Over folds as well, and on rays beyond the outermost pixel centres."""
    fields = bumpy_fields(0.09, 0.04, 0.0, -0.06)
    expected = antialiased(fields, 61, 1)
    torch.testing.assert_close(antialiased(fields, 61, stride), expected, atol=2 / 255, rtol=0)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_small_images(size: int) -> None:
    assert antialiased(opaque_ball(0.09), size).isfinite().all()


@pytest.fixture(scope="module")
def small() -> Face:
    return Model(small_checkpoint()).face(seed=1, expression="smile")


def test_without_it_a_face_is_one_ray_a_pixel(small: Face) -> None:
    rays = image_rays(yaw=torch.tensor([0.2]), pitch=torch.tensor([0.1]), size=65, fov_deg=FOV_DEG)
    expected = render_adaptive(small.fields, rays, 65)
    image = small.image(yaw=0.2, pitch=0.1, size=65, antialias=False)
    for part, channels in (("rgb", expected[:3]), ("foreground", expected[3:4]), ("depth", expected[7:])):
        found = getattr(image, part)
        assert torch.equal(found, channels if part == "depth" else channels.clamp(0, 1))
    smooth = small.image(yaw=0.2, pitch=0.1, size=65)
    assert torch.equal(smooth.depth, image.depth)
    assert 0 < (smooth.rgb != image.rgb).any(dim=0).double().mean() <= MAX_SHARE


def test_threads_and_slices_give_the_same_image(small: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    images = []
    for count in (1, 2, 5):
        with torch_threads(count):
            images.append(small.image(yaw=0.2, pitch=0.1, size=130))
    monkeypatch.setattr(adaptive_tracing, "SLICE_SAMPLES", 12 * 1000)
    images.append(small.image(yaw=0.2, pitch=0.1, size=130))
    for image in images[1:]:
        for field in dataclasses.fields(image):
            one, other = getattr(images[0], field.name), getattr(image, field.name)
            torch.testing.assert_close(other, one, atol=ROUNDING, rtol=0)
