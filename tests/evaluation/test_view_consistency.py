"""One view warped into another: a ball whose depth and colours are known in closed form."""

import math

import pytest
import torch
from torch import Tensor

from anifacegan.evaluation.view_consistency import (
    DepthView,
    FaceViews,
    ViewConsistency,
    consistency_items,
    depth_errors,
    warp,
)
from anifacegan.face_model.surface_maps import SurfaceMap
from anifacegan.geometry.rays import image_rays
from tests.fixtures.closed_forms import numbers

SIZE, RADIUS = 96, 0.07


def ball(yaw: float, shift: float = 0.0, tint: float = 0.0) -> DepthView:
    """A ball about the origin, coloured by position; ``shift`` is added to the depth, ``tint`` to the colours."""
    pose = numbers(0.1, yaw)[None]  # pitch, yaw
    rays = image_rays(yaw=pose[:, 1], pitch=pose[:, 0], size=SIZE)
    along = -(rays.origins * rays.directions).sum(-1)[0]  # (R,) distance of the foot of the centre
    square = RADIUS**2 - (rays.origins[0].square().sum(-1) - along**2)
    hit = square > 0
    depth = torch.where(hit, along - square.clamp(min=0).sqrt(), 1.1)
    x = rays.at(depth[None, :, None])[0, :, 0]
    rgb = torch.where(hit[:, None], 0.5 + 3 * x + tint, torch.ones_like(x))
    image = rgb.T.reshape(3, SIZE, SIZE)
    return DepthView(image, hit.to(image).reshape(1, SIZE, SIZE), depth.reshape(1, SIZE, SIZE) + shift, pose)


def view_consistency(
    pairs: list[tuple[DepthView, DepthView]], meshes: list[tuple[DepthView, SurfaceMap]]
) -> ViewConsistency:
    return consistency_items([FaceViews(pairs, meshes)]).report()


def psnr(source: DepthView, target: DepthView) -> float:
    return view_consistency([(source, target)], []).psnr_db


def test_a_ball_is_the_same_ball_in_every_view() -> None:
    """But for the bilinear reading of its colours and depths, which are smooth."""
    report = view_consistency([(ball(0.0), ball(0.3)), (ball(0.0), ball(-0.3))], [])
    assert report.psnr_db > 55 and report.pairs == 2 and math.isnan(report.depth_mm)
    assert 0.75 < report.visible_share < 0.97  # a side of the ball is seen in one view only


def test_a_view_warped_into_itself_is_itself() -> None:
    view = ball(0.2)
    warped, seen = warp(view, view)
    assert torch.equal(seen, view.foreground[0] > 0.99)
    torch.testing.assert_close(warped[:, seen], view.rgb[:, seen], atol=1e-9, rtol=0)


def test_colours_that_change_with_the_view_are_the_psnr() -> None:
    assert psnr(ball(0.0), ball(0.3, tint=0.1)) == pytest.approx(20, abs=0.1)
    assert psnr(ball(0.0), ball(0.3, tint=0.01)) == pytest.approx(40, abs=0.3)


def test_a_wrong_depth_shows() -> None:
    wrong = psnr(ball(0.0, shift=0.003), ball(0.3, shift=0.003))
    assert wrong < psnr(ball(0.0), ball(0.3)) - 12


def test_nothing_is_visible_at_another_depth() -> None:
    report = view_consistency([(ball(0.0, shift=0.02), ball(0.1))], [])
    assert report.visible_share == 0 and math.isnan(report.psnr_db)


def mesh_of(view: DepthView, share: Tensor) -> SurfaceMap:
    pitch, yaw = view.pose.unbind(-1)
    rays = image_rays(yaw=yaw, pitch=pitch, size=SIZE)
    return SurfaceMap(rays.at(view.depth.reshape(1, -1, 1))[:, :, 0], share)


def test_depth_is_compared_with_the_mesh_on_the_face_only() -> None:
    view = ball(0.2)
    face = (view.foreground.reshape(1, -1) > 0) & (torch.arange(SIZE**2) % 3 == 0)
    mesh = mesh_of(view, face.double() / face.sum())
    assert depth_errors(view, mesh).abs().max() < 1e-9 and len(depth_errors(view, mesh)) == face.sum()
    behind = view_consistency([], [(ball(0.2, shift=0.002), mesh), (ball(0.2, shift=-0.001), mesh)])
    assert behind.depth_mm == pytest.approx(1.5, rel=1e-5) and behind.depth_bias_mm == pytest.approx(
        0.5, rel=1e-5
    )
