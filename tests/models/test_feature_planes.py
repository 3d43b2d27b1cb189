"""Feature planes: the chart, the tables and the mix against their formulas, computed point by point."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.models.config import TemplateConfig
from anifacegan.models.feature_planes import FeaturePlanes, corners
from anifacegan.models.planes_config import FeaturePlanesConfig
from anifacegan.models.siren import FiLMParameters
from anifacegan.models.template import TemplateField
from anifacegan.runtime.errors import ConfigError

SMALL = FeaturePlanesConfig(
    resolutions=(3, 5),
    channels=2,
    coarse_planes=1,
    grid_resolution=4,
    grid_depths=3,
    grid_channels=2,
    mixed=3,
    fade_z=(-0.3, -0.25),  # behind all points
)
MAPPING = 5
CENTRE = np.array(SMALL.centre)
CENTRING = 1e-6
"""The centre is stored in float32, off by 4e-9: at 7 cm it moves a point by 6e-8 on the chart, or 0.15e-6 cells of the
finest plane, between which features differ by up to 5."""


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def planes(config: FeaturePlanesConfig = SMALL) -> FeaturePlanes:
    """Float64 planes with large features and an uneven surface."""
    made = FeaturePlanes(config, MAPPING)
    made.initialize(torch.Generator().manual_seed(0))
    made.double()
    with torch.no_grad():
        for k, tensor in enumerate([made.planes, made.grid, made.skip, made.person.bias]):
            tensor.copy_(draw(*tensor.shape, seed=k))
        made.radius.add_(0.01 * draw(*made.radius.shape, seed=9))
    return made


def points(count: int, seed: int = 1) -> Tensor:
    """In front of the chart's centre and around it, 7 to 15 cm away."""
    direction = draw(count, 3, seed=seed)
    direction[:, 2] = direction[:, 2].abs() - 0.3
    distance = 0.07 + 0.08 * torch.rand(count, generator=torch.Generator().manual_seed(seed)).double()
    return torch.from_numpy(CENTRE) + distance[:, None] * torch.nn.functional.normalize(direction, dim=1)


def slow_interpolation(table: np.ndarray, positions: tuple[float, ...]) -> np.ndarray:
    """Linear interpolation of an array (n, m, ..., channel) at positions along its axes, clamped at its ends."""
    position, *others = positions
    position = min(max(position, 0.0), len(table) - 1.0)
    first = min(int(position), len(table) - 2)
    near, far = table[first], table[first + 1]
    if others:
        near, far = (slow_interpolation(part, tuple(others)) for part in (near, far))
    return near + (position - first) * (far - near)


def slow_features(made: FeaturePlanes, x: np.ndarray) -> np.ndarray:
    """(K,) features of one point, by angles: a point at the angle t from the front lies at sin(t / 2) on the chart."""
    config = made.config
    away = x - np.array(config.centre)
    length = np.linalg.norm(away)
    polar, azimuth = math.acos(away[2] / length), math.atan2(away[1], away[0])
    u, v = math.sin(polar / 2) * np.array([math.cos(azimuth), math.sin(azimuth)])

    def place(resolution: int) -> tuple[float, float]:
        return (v + 1) / 2 * resolution - 0.5, (u + 1) / 2 * resolution - 0.5  # row, column

    side, depths = config.grid_resolution, config.grid_depths
    surface = slow_interpolation(made.radius.numpy(), place(side))
    near, far = config.depth_range
    layer = (length - surface - near) / (far - near) * (depths - 1)
    grid = made.grid.detach().numpy().reshape(side, side, depths, -1)
    read = [slow_interpolation(grid, (*place(side), layer))]
    tables = made.planes.detach().split([resolution**2 for resolution in config.resolutions])
    for resolution, table in zip(config.resolutions, tables, strict=True):
        read.append(slow_interpolation(table.numpy().reshape(resolution, resolution, -1), place(resolution)))
    return np.concatenate(read)


def test_features_are_interpolated_at_the_place_on_the_chart() -> None:
    made, x = planes(), points(40)
    found = made.read(x.reshape(2, 20, 3)).reshape(40, -1)
    assert found.shape[1] == SMALL.features == 2 + 2 * 2
    for n in range(40):
        np.testing.assert_allclose(found[n].detach(), slow_features(made, x[n].numpy()), atol=CENTRING)


def test_features_fade_out_before_the_background_plane() -> None:
    """At z = -0.118 and behind, a quarter of the way to -0.1, and from there on."""
    made = planes(dataclasses.replace(SMALL, fade_z=(-0.118, -0.1)))
    x = points(4)
    x[:, 2] = torch.tensor([-0.13, -0.118, -0.1135, -0.09])
    strength = torch.tensor([0, 0, 0.25, 1.0]).to(x)
    expected = strength[:, None] * planes().read(x[None])[0]
    torch.testing.assert_close(made.read(x[None])[0], expected, atol=CENTRING, rtol=0)


def test_directions_are_those_of_the_cells_of_the_grid() -> None:
    """A point in such a direction reads its own cell alone, at whatever depth."""
    made = planes()
    directions = made.directions()
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-12)
    inside = np.flatnonzero(directions[:, 2] > -1)
    assert len(inside) >= 12  # of 16 cells, the corners lie outside of the disc
    x = torch.from_numpy(CENTRE + (0.05 + made.config.depth_range[0]) * directions[inside])
    made.radius.fill_(0.05)
    expected = made.grid.detach().reshape(16, 3, 2)[inside, 0]
    torch.testing.assert_close(made.read(x[None])[0, :, :2].detach(), expected, atol=1e-6, rtol=0)


def test_a_texel_is_read_at_its_centre_and_the_border_beyond_it() -> None:
    centres = torch.tensor([[-0.75, -0.25], [0.75, 0.75], [2.0, -9.0], [math.nan, 0.0]])
    index, weight = corners(centres, 4)
    picked = [dict(zip(i, w, strict=True)) for i, w in zip(index.tolist(), weight.tolist(), strict=True)]
    for number, texel in enumerate((4, 15, 3)):  # row * 4 + column
        assert picked[number][texel] == pytest.approx(1, abs=1e-6)
    assert (
        index.min() >= 0 and index.max() < 16
    )  # also of a place that is not a number, which shows in the weights
    assert weight[3].isnan().any() and not weight[:3].isnan().any()


@pytest.mark.parametrize("moves", [False, True])
def test_gradients_of_tables_and_points(moves: bool) -> None:
    made, x = planes(dataclasses.replace(SMALL, finest_moves_points=moves)), points(6)[None]
    assert torch.autograd.gradcheck(lambda *_: made.read(x), (made.planes, made.grid))
    if moves:
        assert torch.autograd.gradcheck(made.read, x.requires_grad_())
        return
    with torch.no_grad():
        made.planes[: 3**2] = 0
        made.grid.zero_()  # which leaves the finest plane
    made.read(x.requires_grad_()).sum().backward()
    assert not x.grad.any() and made.planes.grad[3**2 :].any()


@torch.no_grad()
def test_gradients_stay_finite_at_the_centre_and_behind_it() -> None:
    made = planes(dataclasses.replace(SMALL, finest_moves_points=True))
    ahead, behind = torch.tensor([0.0, 0.0, 0.1]), torch.tensor([0.0, 0.0, -0.1])
    x = (torch.from_numpy(CENTRE) + torch.stack([0 * ahead, ahead, behind])).requires_grad_()
    with torch.enable_grad():
        made.read(x[None]).square().sum().backward()
    assert x.grad.isfinite().all()


def slow_radiance(
    template: TemplateField, film: FiLMParameters, latent: Tensor, x: Tensor
) -> tuple[np.ndarray, float]:
    """rgb and sigma of one point of one person, before their activations."""
    made, width = template.planes, template.config.hidden_dim
    h_of_z = latent
    for layer in template.mapping.hidden:
        h_of_z = torch.nn.functional.leaky_relu(layer(h_of_z), 0.2)
    own = (made.person.weight @ h_of_z + made.person.bias).reshape(SMALL.features, SMALL.mixed + 3)
    matrix = made.mix + 2 / math.sqrt(SMALL.features) * own[:, : SMALL.mixed]
    f = torch.from_numpy(slow_features(made, x.numpy()))
    of_density = f.clone()
    of_density[4:] = 0  # the finest plane

    def sine(layer: torch.nn.Module, block: int, h: Tensor) -> Tensor:
        units = slice(block * width, (block + 1) * width)
        linear = layer.linear.weight @ h + layer.linear.bias
        return (film.frequencies[0, units] * linear + film.phases[0, units]).sin()

    h = sine(template.layers[0], 0, x / 0.12)
    sigma, rgb = 0.0, f @ (made.skip + own[:, SMALL.mixed :])
    last = len(template.layers) - 1
    for k in range(1, last + 1):
        h = sine(template.layers[k], k, torch.cat([h, of_density @ matrix]) if k == 1 else h)
        sigma += (template.sigma_heads[k - 1].weight @ h + template.sigma_heads[k - 1].bias).item()
        seen = h
        if k == last:
            direction = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)
            seen = sine(template.colour_layer, last + 1, torch.cat([direction, h, f @ matrix]))
        rgb = rgb + template.rgb_heads[k - 1].weight @ seen + template.rgb_heads[k - 1].bias
    return rgb.numpy(), sigma


def field(layers: int = 3) -> TemplateField:
    """A template whose planes, heads and mix show."""
    template = TemplateField(TemplateConfig(6, layers, MAPPING, 2, planes=SMALL)).double()
    template.initialize(torch.Generator().manual_seed(0))
    template.planes.load_state_dict(planes().state_dict())
    with torch.no_grad():
        for k, head in enumerate([*template.sigma_heads, *template.rgb_heads]):
            head.weight.copy_(draw(*head.weight.shape, seed=10 + k))
    return template


@torch.no_grad()
@pytest.mark.parametrize("layers", [2, 4])
def test_the_template_reads_coarse_features_for_its_density_and_all_for_its_colour(layers: int) -> None:
    template = field(layers)
    z_id, z_noise, x = draw(2, 80, seed=1), draw(2, 80, seed=2), points(14).reshape(2, 7, 3)
    film = template.film_parameters(z_id, z_noise)
    rgb, alpha = template.bind(film)(x)
    for b in range(2):
        person = FiLMParameters(film.frequencies[b : b + 1], film.phases[b : b + 1])
        latent = torch.cat([z_id[b], z_noise[b]])
        for n in range(7):
            slow_rgb, sigma = slow_radiance(template, person, latent, x[b, n])
            colour = 1 / (1 + np.exp(-slow_rgb)) * (1 + 2e-3) - 1e-3
            opacity = 1 - math.exp(-0.04 * math.log1p(math.exp(sigma)))
            # features are off by up to 1e-6, and sines of frequency 30 multiply that by up to 10
            np.testing.assert_allclose(rgb[b, n], colour, atol=1e-5)
            assert alpha[b, n].item() == pytest.approx(opacity, abs=1e-5)


@torch.no_grad()
def test_the_finest_plane_changes_colours_but_no_opacity() -> None:
    template, x = field(), points(50)[None]
    film = template.film_parameters(draw(1, 80, seed=1), draw(1, 80, seed=2))
    rgb, alpha = template.bind(film)(x)
    template.planes.planes[3**2 :] += 1
    other_rgb, other_alpha = template.bind(film)(x)
    assert torch.equal(alpha, other_alpha) and (rgb - other_rgb).abs().max() > 0.01
    template.planes.planes[: 3**2] += 1
    assert (template.bind(film)(x)[1] - alpha).abs().max() > 1e-4


@torch.no_grad()
def test_truncation_moves_the_mix_to_the_mean_of_people() -> None:
    film = field().film_parameters(draw(3, 80, seed=1), draw(3, 80, seed=2))
    mean = FiLMParameters(*(values.mean(0, keepdim=True) for values in vars(film).values()))
    assert torch.equal(film.truncated(mean, 0.0).mix, mean.mix.expand(3, -1))
    torch.testing.assert_close(film.truncated(mean, 0.25).mix, 0.75 * mean.mix + 0.25 * film.mix)


def test_fresh_planes_depend_on_their_generator_alone() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(states))
        made = FeaturePlanes(SMALL, MAPPING)
        made.initialize(torch.Generator().manual_seed(seed))
        states.append(made.state_dict())
    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["planes"], other["planes"])
    assert first["planes"].abs().max() <= 0.1 and not first["skip"].any()


def test_variation_is_the_mean_squared_difference_of_neighbours() -> None:
    """A ramp of 2 a texel along u and 3 along v in one plane, and a constant one."""
    made = planes()
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(5.0), indexing="ij")
    ramp = (2 * columns + 3 * rows).flatten()[:, None].expand(-1, 2)
    with torch.no_grad():
        made.planes.copy_(torch.cat([torch.ones(9, 2), ramp]))
    variation = made.variation(20, torch.Generator().manual_seed(0))
    assert variation.item() == pytest.approx(4 + 9)
    variation.backward()
    assert made.planes.grad is not None and made.grid.grad is None


def test_a_paper_template_has_neither_planes_nor_a_mix() -> None:
    bare = TemplateField(TemplateConfig(6, 3, 5, 2))
    assert not any("planes" in name for name in bare.state_dict())
    assert bare.film_parameters(torch.ones(1, 80), torch.ones(1, 80)).mix is None


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"resolutions": ()}, "resolutions"),
        ({"resolutions": (4, 4)}, "resolutions"),
        ({"resolutions": (1, 4)}, "resolutions"),
        ({"coarse_planes": 3}, "coarse_planes"),
        ({"coarse_planes": -1}, "coarse_planes"),
        ({"grid_depths": 1}, "grid_depths"),
        ({"depth_range": (0.02, 0.02)}, "depth_range"),
        ({"depth_range": (0.0, math.inf)}, "depth_range"),
        ({"centre": (0.0, math.nan, 0.0)}, "centre"),
        ({"mixed": 0}, "mixed"),
    ],
)
def test_sizes_that_make_no_planes_are_refused(change: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} is "):
        dataclasses.replace(SMALL, **change)
