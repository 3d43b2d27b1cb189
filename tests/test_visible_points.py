"""Inference skips points that no light reaches; the picture must not show it."""

import torch

from anifacegan.march import MarchConfig
from anifacegan.models.generator import INVISIBLE, Avatar, render_rays
from anifacegan.rays import image_rays

MARCH = MarchConfig(near=0.8, far=1.2, samples=48)


def onion(opacity: float, counted: list[int]) -> Avatar:
    """Concentric spheres about the origin, all of one opacity, coloured by position."""

    def radiance(x):
        counted.append(x.shape[1])
        rgb = torch.sin(40 * x) * 0.5 + 0.5
        return rgb, torch.full(x.shape[:2], opacity)

    return Avatar(
        offset=torch.zeros_like,
        level=lambda x: x.norm(dim=-1),
        radiance=radiance,
        levels=torch.linspace(0.1, 0.01, 10),
        march=MARCH,
    )


def views(opacity: float):
    rays = image_rays(torch.tensor([0.1]), torch.tensor([-0.2]), 17)
    counts: tuple[list[int], list[int]] = ([], [])
    complete = render_rays(onion(opacity, counts[0]), rays)
    quick = render_rays(onion(opacity, counts[1]), rays, skip_invisible=True)
    return complete, quick, sum(counts[0]), sum(counts[1])


def test_skipping_changes_a_picture_by_less_than_the_lost_light():
    for opacity in (0.03, 0.5, 0.98, 1.0):
        complete, quick, _, _ = views(opacity)
        assert (complete.rgb - quick.rgb).abs().max() <= 1.1 * INVISIBLE, opacity
        assert (complete.foreground - quick.foreground).abs().max() <= 1.1 * INVISIBLE, opacity
        assert (complete.depth - quick.depth).abs().max() <= 1.1 * INVISIBLE, opacity


def test_transparent_sheets_are_all_shaded_where_they_exist():
    complete, quick, _, shaded = views(0.03)
    assert torch.equal(complete.hit, quick.hit)
    assert shaded == int(complete.hit.sum())
    torch.testing.assert_close(quick.rgb, complete.rgb)


def test_behind_an_opaque_sheet_nothing_is_shaded():
    complete, _, everything, shaded = views(1.0)
    foreground = complete.hit[0, :, :-1].any(dim=-1)
    assert shaded < everything / 2
    assert shaded <= 3 * int(foreground.sum()) + int((~foreground).sum())
