"""Slices of spheres: manifold lines, surface curves and arrows."""

import numpy as np
import pytest
import torch

from anifacegan.evaluation.figures import slices
from anifacegan.evaluation.figures.slices import REACH, Slice, manifold_lines, surface_curves, with_arrows
from tests.fixtures.closed_forms import constant_step, distance_to, numbers
from tests.fixtures.sphere_views import RADIUS, ball

SAGITTAL, HORIZONTAL = Slice("yz", 0.0), Slice("xz", 0.0)


@pytest.mark.parametrize(
    "section", [SAGITTAL, HORIZONTAL, Slice("yz", 0.02)], ids=lambda section: section.label
)
def test_a_manifold_is_a_line_where_its_level_is(section: Slice) -> None:
    size = 61
    inked = (manifold_lines(ball(), section, size)[1:-1, 1:-1] < 0.5).any(dim=-1)  # within the frame
    x = torch.linspace(-1, 1, size, dtype=torch.float64)
    down, across = torch.meshgrid(x, x, indexing="ij")
    off = (section.points(across, down).norm(dim=-1) - RADIUS).abs()[1:-1, 1:-1] / (2 * REACH / (size - 1))
    assert inked[off < 0.5].all() and not inked[off > 1.5].any()


def test_a_slice_of_a_moved_face_is_moved_and_that_of_the_template_is_not() -> None:
    moved = ball(offset=constant_step(0.0, -0.02, 0.0))  # the face is 20 mm above its template
    still = manifold_lines(ball(), SAGITTAL, 91)
    assert torch.equal(manifold_lines(moved, SAGITTAL, 91, in_template=True), still)
    rows = round(0.02 / (2 * REACH / 90))
    torch.testing.assert_close(
        manifold_lines(moved, SAGITTAL, 91)[1 : 90 - rows, 1:-1],
        still[1 + rows : 90, 1:-1],
        atol=0.02,
        rtol=0,
    )


@pytest.mark.parametrize("section", [SAGITTAL, HORIZONTAL], ids=lambda section: section.plane)
def test_the_surface_curve_is_the_front_of_the_sphere(section: Slice) -> None:
    (curve,) = surface_curves(ball(), section, 91)
    along = torch.linspace(-0.05, 0.05, 21, dtype=torch.float64)
    front, zero = (RADIUS**2 - along**2).sqrt(), torch.zeros_like(along)
    points = torch.stack([zero, along, front] if section is SAGITTAL else [along, zero, front], dim=-1)
    gaps = np.linalg.norm(curve[None] - section.project(points, 91)[:, None], axis=-1).min(axis=1)
    assert gaps.max() < 1.5


def test_projection_inverts_points() -> None:
    for section in (Slice("yz", 0.01), Slice("xz", -0.03)):
        across, down = numbers(-1, 0.2, 1), numbers(1, -0.4, -1)
        pixels = (torch.stack([across, down], dim=-1) + 1) / 2 * 90
        np.testing.assert_allclose(
            section.project(section.points(across, down), 91), pixels.numpy(), atol=1e-9
        )


def arrows(step: float, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Where one arrow from the middle of a slice is drawn, for a step up; no manifold is near."""
    monkeypatch.setattr(slices, "ARROWS", 1)
    fields = ball(offset=constant_step(0.0, step, 0.0), scalar=distance_to(9, 9, 9))
    return (with_arrows(torch.ones(90, 90, 3), fields, SAGITTAL, 1.0) < 250).any(axis=-1)


@pytest.mark.parametrize("step", [0.03, -0.03])
def test_an_arrow_leads_from_the_face_to_the_template(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.flatnonzero(arrows(step, monkeypatch).any(axis=1))
    length = round(0.03 / (2 * REACH) * 89)
    tail, head = (rows[-1], rows[0]) if step > 0 else (rows[0], rows[-1])
    assert abs(tail - 44.5) <= 1.5 and abs(abs(head - tail) - length) <= 2
    widths = arrows(step, monkeypatch).sum(axis=1)
    assert widths[min(tail, head) : max(tail, head)].max() == max(widths[head - 4 : head + 5]) > widths[tail]


def test_a_face_that_hardly_moves_has_no_arrows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not arrows(0.0005, monkeypatch).any()
