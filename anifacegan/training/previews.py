"""Preview images of a training run: held-out faces, and sampled people in several expressions and views.

All are rendered with the averaged weights, by the brute-force renderer.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.geometry.rays import Rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields, Generator
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.rendering.deformation_maps import (
    SLICE_RAYS,
    WHITE_HOT,
    DeformationImage,
    heat_colours,
    image_bytes,
    render_deformation,
)
from anifacegan.rendering.frame import decibels
from anifacegan.rendering.volume import in_slices, render_rays
from anifacegan.runtime.tensor_records import moved
from anifacegan.training.batches import HeldOutViews

MOST_HELD_OUT = 6
"""Largest number of held-out faces in the preview."""
MOST_MEASURED, MEASURED_PIXELS = 64, 256
"""Largest number of held-out faces whose error is measured, and number of pixels of each. Six whole faces would say
less: their mean error once grew by a quarter while that of 24 others fell."""
PEOPLE = (1, 2, 3)
"""Seeds of the people on the contact sheets; the same people are shown at every step."""
YAW = (-0.5, -0.25, 0.0, 0.25, 0.5)
"""Yaw angles of the views on the contact sheets, radians from frontal."""


@torch.no_grad()
def held_out_faces(
    generator: Generator, data: HeldOutViews, count: int, size: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Render faces that training never uses, and show them in three rows, one column for each face.

    The rows are the images of the data set, renderings of the same faces, and renderings of the same faces with a
    neutral expression. ``count`` is the number of faces, ``size`` the height of each in pixels. Returns the (H, W, 3)
    image of all rows.
    """
    columns = []
    for index in range(min(MOST_HELD_OUT, count)):
        latents, rays, truth = data.held_out_view(index, size)
        neutral = Latents(latents.z_id, torch.zeros_like(latents.z_exp), latents.z_noise)
        images = [_colours(generator, face, rays).reshape(size, size, 3) for face in (latents, neutral)]
        columns.append(torch.cat([truth, *images], dim=0))
    return image_bytes(torch.cat(columns, dim=1))


@torch.no_grad()
def held_out_psnr(generator: Generator, data: HeldOutViews, count: int, size: int) -> float:
    """Measure the PSNR, in dB, of renderings of faces that training never uses against the images of the data set.

    ``count`` is the number of faces, ``size`` the height of the images in pixels. At most MOST_MEASURED faces are
    rendered, each at MEASURED_PIXELS random pixels, which are the same at every step. The PSNR is that of the mean
    error.
    """
    errors = []
    for index in range(min(MOST_MEASURED, count)):
        latents, rays, truth = data.held_out_view(index, size)
        pixels = torch.randperm(size * size, generator=torch.Generator().manual_seed(index))[:MEASURED_PIXELS]
        some = Rays(rays.origins[:, pixels], rays.directions[:, pixels])
        errors.append(
            float((_colours(generator, latents, some) - truth.reshape(-1, 3)[pixels]).square().mean())
        )
    return float(decibels(np.mean(errors)))


def _colours(generator: Generator, latents: Latents, rays: Rays) -> Float[Tensor, "ray 3"]:
    """Render the rays of one face; the colours lie on the CPU."""
    fields, rays = generator.condition(moved(latents, generator.device)), moved(rays, generator.device)
    rgb = torch.cat([render_rays(fields, part).rgb for part in in_slices(rays, SLICE_RAYS)], dim=1)
    return rgb[0].cpu()


@torch.no_grad()
def sheets(
    generator: Generator, expressions: Mapping[str, Float[np.ndarray, "64"]], size: int
) -> dict[str, UInt8[np.ndarray, "height width 3"]]:
    """Render labelled contact sheets of a few people, sampled from the priors; return (H, W, 3) images by name.

    ``expressions`` are coefficients by name, ``size`` is the height of each face in pixels. There are four sheets, with
    a row for each person. ``expressions`` shows colours, with a column for each expression. ``deformation`` shows the
    length of the deformation, with the same columns (0 black, 10 mm red, 20 mm yellow, 30 mm white). ``yaw`` shows
    colours, with a column for each view. ``depth`` shows the distance from the camera, with the same columns.
    """
    faces: dict[str, list[DeformationImage]] = {}
    turned: dict[str, list[DeformationImage]] = {}
    for seed in PEOPLE:
        person = generator.sample_people([torch.Generator().manual_seed(seed)])
        name = f"person {seed}"
        faces[name] = [
            render_deformation(_conditioned(generator, person, z_exp), 0.0, size)
            for z_exp in expressions.values()
        ]
        neutral = _conditioned(generator, person, np.zeros(EXP_DIM, np.float32))
        turned[name] = [render_deformation(neutral, yaw, size) for yaw in YAW]
    views = [f"yaw {yaw:+.2f}" for yaw in YAW]
    return {
        "expressions": _sheet(list(expressions), faces, lambda v: v.rgb),
        "deformation": _sheet(list(expressions), faces, lambda v: heat_colours(v.step / WHITE_HOT)),
        "yaw": _sheet(views, turned, lambda v: v.rgb),
        "depth": _sheet(views, turned, lambda v: v.depth[..., None].expand(-1, -1, 3)),
    }


def _conditioned(
    generator: Generator, person: tuple[Tensor, Tensor], z_exp: Float[np.ndarray, "64"]
) -> ConditionedFields:
    z_id, z_noise = person
    return generator.condition(Latents(z_id, torch.from_numpy(z_exp)[None].to(z_id), z_noise))


def _sheet(
    labels: list[str], rows: dict[str, list[DeformationImage]], colours: Callable[[DeformationImage], Tensor]
) -> UInt8[np.ndarray, "height width 3"]:
    return contact_sheet(
        labels, [SheetRow(name, [image_bytes(colours(v)) for v in row]) for name, row in rows.items()]
    )
