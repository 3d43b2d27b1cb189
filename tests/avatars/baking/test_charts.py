"""Charts of spheres, whose radius along a direction is known."""

import math

import pytest
import torch
from torch import Tensor

from anifacegan.avatars.baking import charts
from anifacegan.avatars.baking.charts import (
    LARGEST_RADIUS,
    ManifoldCharts,
    chart_direction,
    chart_manifolds,
    evaluate_in_slices,
    from_chart,
)
from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.conventions import SPHERE_CENTRE, WORLD_PER_NETWORK_UNIT
from anifacegan.geometry.rays import image_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.manifolds import INITIAL_GRADIENT
from anifacegan.rendering.volume import render_rays
from tests.fixtures.closed_forms import stay

RAY_SAMPLING = RaySamplingConfig()
OFF_CENTRE = (0.4, -0.3, -1.2)
"""Centre of spheres that are not about the charts' centre, network units."""


def spheres_about(centre: tuple[float, float, float]):
    """s = 10 |x / WORLD_PER_NETWORK_UNIT - centre|, as the manifold predictor starts."""
    return lambda x: INITIAL_GRADIENT * (x / WORLD_PER_NETWORK_UNIT - x.new_tensor(centre)).norm(dim=-1)


def world_radius(level: float) -> float:
    return level / INITIAL_GRADIENT * WORLD_PER_NETWORK_UNIT


@pytest.fixture(scope="module")
def off_centre() -> ManifoldCharts:
    return chart_manifolds(spheres_about(OFF_CENTRE), torch.tensor([20.0, 14.0]), RAY_SAMPLING, side=24)


def test_the_radius_of_a_sphere_about_the_centre_is_its_own() -> None:
    levels = torch.tensor([23.0, 15.0])
    charts = chart_manifolds(spheres_about(SPHERE_CENTRE), levels, RAY_SAMPLING, side=9)
    assert charts.radius.shape == (2, 9, 9) and charts.side == 9
    for radius, level in zip(charts.radius, levels.tolist(), strict=True):
        torch.testing.assert_close(radius, torch.full((9, 9), world_radius(level)), atol=1e-6, rtol=0)
    assert charts.folded_share == 0


def test_grid_points_of_another_sphere_lie_on_it(off_centre: ManifoldCharts) -> None:
    distance = (off_centre.vertices() - WORLD_PER_NETWORK_UNIT * torch.tensor(OFF_CENTRE)).norm(dim=-1)
    for found, level in zip(distance, (20.0, 14.0), strict=True):
        assert found.isfinite().float().mean() > 0.95  # but for corners beyond the search's directions
        there = found[found.isfinite()]
        torch.testing.assert_close(there, torch.full_like(there, world_radius(level)), atol=2e-6, rtol=0)


def test_points_between_grid_points_lie_near_it(off_centre: ManifoldCharts) -> None:
    """The radius is linear between them: wrong by an eighth of its second difference, here 5e-4 at most."""
    at = 23 * torch.rand(500, 2)
    x = off_centre.points(0, at)
    x = x[x.isfinite().all(-1)]
    assert len(x) > 450
    miss = (x - WORLD_PER_NETWORK_UNIT * torch.tensor(OFF_CENTRE)).norm(dim=-1) - world_radius(20)
    second = sum(off_centre.radius[0].diff(n=2, dim=k).nan_to_num().abs().max() for k in (0, 1))
    assert miss.abs().max() < second / 8 + 2e-6 < 5e-4


def test_points_at_whole_places_are_the_vertices(off_centre: ManifoldCharts) -> None:
    column, row = torch.tensor([0.0, 5, 23, 7]), torch.tensor([3.0, 0, 23, 8])
    places = torch.stack([column, row], dim=-1)
    expected = off_centre.vertices()[1, row.long(), column.long()]  # rows go along v, columns along u
    torch.testing.assert_close(off_centre.points(1, places), expected, atol=1e-7, rtol=0, equal_nan=True)


def test_the_chart_looks_out_of_the_face() -> None:
    uv = torch.tensor([[0.0, 0], [0.3, 0], [0, 0.3], [1, 0], [-0.7, 0.4]])
    d = chart_direction(uv)
    torch.testing.assert_close(d.norm(dim=-1), torch.ones(5))
    torch.testing.assert_close(d[0], torch.tensor([0.0, 0, 1]))
    assert d[1, 0] > 0 and d[1, 1] == 0 and d[2, 1] > 0 and d[2, 0] == 0
    assert math.degrees(math.acos(d[3, 2])) == pytest.approx(100, abs=1)
    torch.testing.assert_close(
        from_chart(uv[:1], torch.tensor([0.2])),
        torch.tensor([[0.0, 0, 0.2 + WORLD_PER_NETWORK_UNIT * SPHERE_CENTRE[2]]]),
    )


def test_the_middle_of_the_chart_is_finer() -> None:
    steps = chart_direction(torch.tensor([[0.0, 0], [0.01, 0], [0.9, 0], [0.91, 0]]))
    middle, edge = (steps[1] - steps[0]).norm(), (steps[3] - steps[2]).norm()
    assert edge > 2 * middle


def test_a_manifold_beyond_the_search_is_not_found() -> None:
    levels = torch.tensor([LARGEST_RADIUS / WORLD_PER_NETWORK_UNIT * INITIAL_GRADIENT * 1.5, 20.0])
    charts = chart_manifolds(spheres_about(SPHERE_CENTRE), levels, RAY_SAMPLING, side=5)
    assert charts.radius[0].isnan().all() and charts.radius[1].isfinite().all()
    assert charts.points(0, torch.tensor([[2.0, 2.5]])).isnan().all()


def test_a_hole_in_the_grid_affects_only_points_next_to_it() -> None:
    radius = torch.full((1, 4, 4), 0.2)
    radius[0, 1, 1] = torch.nan
    charts = ManifoldCharts(-torch.ones(1, 2), torch.ones(1, 2), radius, 0.0)
    at = torch.tensor([[1.0, 1], [1.5, 1.5], [0.5, 0.5], [2, 1], [2, 2.5], [0, 1.5]])
    found = charts.points(0, at).isfinite().all(-1)
    assert found.tolist() == [False, False, False, True, True, True]


def test_of_several_crossings_the_outermost_is_found_and_their_share_reported() -> None:
    """For x > 0 the scalar falls between two radii, so that rays cross each level there three times."""

    def folded(x: Tensor) -> Tensor:
        r = (x - WORLD_PER_NETWORK_UNIT * x.new_tensor(SPHERE_CENTRE)).norm(dim=-1)
        return r + torch.where(x[..., 0] > 0, -0.015 * (2 * math.pi * (r - 0.25) / 0.06).sin(), 0.0)

    level = 0.25
    charts = chart_manifolds(folded, torch.tensor([level]), RAY_SAMPLING, side=12)
    assert charts.folded_share == pytest.approx(0.5, abs=0.03)
    r = torch.linspace(0, LARGEST_RADIUS, 200_001)
    s = r - 0.015 * (2 * math.pi * (r - 0.25) / 0.06).sin()
    outermost = r[1:][(s[1:] >= level) & (s[:-1] < level)].max().item()
    assert outermost > 0.255  # not the middle one, which is at 0.25
    right = charts.vertices()[0, ..., 0] > 1e-3
    found = charts.radius[0][right]
    torch.testing.assert_close(found, torch.full_like(found, outermost), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("pitch", "yaw"), [(0.0, 0.0), (0.0, 0.9), (-0.5, -0.6)])
def test_what_a_camera_sees_is_on_the_charts(pitch: float, yaw: float) -> None:
    field, levels = spheres_about(OFF_CENTRE), torch.tensor([22.0, 17.0, 12.0])
    charts = chart_manifolds(field, levels, RAY_SAMPLING, side=6)
    fields = ConditionedFields(
        stay, field, lambda x: (x.float(), torch.ones_like(x[..., 0])), levels, RAY_SAMPLING
    )
    rays = image_rays(yaw=torch.tensor([yaw]), pitch=torch.tensor([pitch]), size=9)
    colours = render_rays(fields, rays)
    before = colours.hit & (colours.t < colours.t[..., -1:])  # what is behind the plane is not seen
    uv = torch.cartesian_prod(*2 * [torch.linspace(-1.02, 1.02, 120)])
    for level in range(3):
        x = colours.x_template[0, :, level][before[0, :, level]]
        assert len(x) > 5
        # The chart point of each by search: the direction that points there.
        d = torch.nn.functional.normalize(x - WORLD_PER_NETWORK_UNIT * torch.tensor(SPHERE_CENTRE), dim=-1)
        place = uv[(d @ chart_direction(uv).T).argmax(-1)]
        slack = 2 / 119
        assert (place >= charts.low[level] - slack).all() and (place <= charts.high[level] + slack).all()


def test_evaluating_in_slices_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(3, 7, 3)
    whole = evaluate_in_slices(spheres_about(OFF_CENTRE), x), evaluate_in_slices(lambda points: 2 * points, x)
    monkeypatch.setattr(charts, "SLICE_POINTS", 4)
    torch.testing.assert_close(evaluate_in_slices(spheres_about(OFF_CENTRE), x), whole[0])
    torch.testing.assert_close(evaluate_in_slices(lambda points: 2 * points, x), 2 * x)
    assert whole[0].shape == (3, 7)
