"""A head that moves in the image before a background that stays."""

import numpy as np
import pytest
import torch

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.moving_head import MovingHead
from tests.fixtures.ball_avatars import ball_avatar

SIZE = 65
NEUTRAL = np.zeros(64, np.float32)


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return ball_avatar()


def places(shift: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """What each pixel shows of the head's view, moved by (right, down) in sides of the view."""
    unit = np.linspace(-0.5, 0.5, SIZE)
    return np.stack(np.meshgrid(unit, unit), axis=-1) - np.array(shift)


def test_a_head_that_does_not_move_is_the_avatars_own_view(avatar: Avatar) -> None:
    moving = MovingHead(avatar, SIZE, yaw=0.0, pitch=0.0, reach=1.25)
    drawn = moving.frame(NEUTRAL, places(), yaw=0.0, pitch=0.0)
    expected = avatar.render(size=SIZE)
    # which pixels count as edges depends on the others in the image, so a few differ
    assert (drawn - expected).abs().mean() < 2e-3
    assert (drawn - expected).abs().amax(dim=0).median() < 1e-4


def test_a_moved_head_takes_its_pixels_along_and_leaves_the_background(avatar: Avatar) -> None:
    moving = MovingHead(avatar, SIZE, yaw=0.0, pitch=0.0, reach=1.25)
    eight_right_four_down = (8 / (SIZE - 1), 4 / (SIZE - 1))
    still, moved = (
        moving.frame(NEUTRAL, places(shift), yaw=0.1, pitch=0.0)
        for shift in ((0.0, 0.0), eight_right_four_down)
    )
    opaque = avatar.image(yaw=0.1, size=SIZE).foreground[0] > 0.999
    here = opaque[4:-12, 8:-16]
    assert here.sum() > 200
    difference = (moved[:, 8:-8, 16:-8] - still[:, 4:-12, 8:-16])[:, here]
    assert (
        difference.abs().max() < 2e-3
    )  # places are float32, so a pixel is 1e-5 off, times the edges' contrast
    free = avatar.image(size=SIZE).foreground[0] == 0
    wall = avatar.render(size=SIZE)[:, free]
    alone = moving.frame(NEUTRAL, places((3.0, 0.0)), yaw=0.5, pitch=0.0)  # far outside of the image
    torch.testing.assert_close(alone[:, free], wall, atol=1e-4, rtol=0)
