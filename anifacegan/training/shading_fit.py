"""Fit of the shading field to the light on synthetic people, before training.

For some people the renderer's light is computed at the vertices of their heads, with the template's expression and with
another (:mod:`anifacegan.data.synthetic.light_change`). The field learns the logarithm of their ratio at the places of
these vertices in the mean head; only vertices that the face's camera sees count. Images teach the same far more slowly:
a factor of some per cent is less than what people's colours differ from what the template field has learned of them.
"""

import sys
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from anifacegan.data.synthetic.light_change import light_change
from anifacegan.data.synthetic.renderer import SyntheticRenderer
from anifacegan.data.synthetic.sampling import SyntheticPerson
from anifacegan.data.visibility import visible_vertices
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import Generator
from anifacegan.runtime.processes import map_in_processes
from anifacegan.training.init_config import ShadingInitConfig
from anifacegan.training.optim import cosine_decay
from anifacegan.training.paired import PairedData

OFF_SKIN = 0.0015
"""Standard deviation of the distance of points from their vertex, world units: manifolds lie on both sides of the skin.
"""
RISE, FLOOR = 100, 0.03
"""Number of steps in which the learning rate rises, and the share of it that is left at the end."""
LEAST_CHANCE = 0.3
"""Chance to draw a vertex whose light never changes, divided by the mean over the vertices."""
HELD_OUT = 10
"""One face of so many is held out."""
POOL_FACES = 64
"""Smallest number of faces for which several processes are started."""
SLICE_FACES = 16
"""Number of faces that are compared at a time."""


@dataclass(frozen=True)
class Lights:
    """Faces with the change of light at the vertices that images can show."""

    latents: Latents
    """Latents of the faces."""
    x: Float[Tensor, "vertex 3"]
    """Places of the vertices in the mean head, world units."""
    change: Float[Tensor, "face vertex"]
    """Logarithm of the factor on the colours, float16."""
    visible: Bool[Tensor, "face vertex"]
    """Whether the face's camera sees the vertex with the expression; others teach nothing."""


def fit_shading(
    generator: Generator,
    renderer: SyntheticRenderer,
    data: PairedData,
    config: ShadingInitConfig,
    rng: torch.Generator,
) -> float:
    """Fit the shading field to the light on synthetic people.

    Args:
        generator: its shading field learns; its template's expression is set, and its expression prior is fitted.
        renderer: the renderer of the people.
        data: latents and poses of the people; expressions of the prior take the place of theirs in every second face.
        config: number of faces, steps and points.
        rng: source of all random numbers.

    Returns:
        The mean squared error over the held-out faces, divided by that of a field that changes nothing.
    """
    lights = drawn_lights(generator, renderer, data, config.faces, rng)
    held_out = len(lights.change) // HELD_OUT
    count = len(lights.change) - held_out
    weights = list(generator.shading.parameters())
    optimizer = torch.optim.Adam(weights, lr=config.lr, betas=(0.9, 0.99))
    spread = (lights.change[:count].float().square() * lights.visible[:count]).mean(dim=0).sqrt()
    chances = spread / spread.mean().clamp(min=1e-9) + LEAST_CHANCE
    for step in tqdm(range(config.steps), desc="shading_init", disable=not sys.stderr.isatty()):
        rate = config.lr * min(1.0, (step + 1) / RISE) * cosine_decay(step / config.steps, FLOOR)
        for group in optimizer.param_groups:
            group["lr"] = rate
        faces = torch.randint(count, (config.batch,), generator=rng)
        points = torch.multinomial(chances, config.points, replacement=True, generator=rng)
        beside = OFF_SKIN * torch.randn(config.points, 3, generator=rng)
        found = logarithm(generator, lights, faces, lights.x[points] + beside)
        error = (found - lights.change[faces][:, points].to(found)).square()
        loss = (error * lights.visible[faces][:, points]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
    return held_out_error(generator, lights, torch.arange(count, len(lights.change)))


@torch.no_grad()
def held_out_error(generator: Generator, lights: Lights, faces: Tensor) -> float:
    """Return the mean squared error at faces' visible vertices, divided by that of a field that changes nothing."""
    errors, nothing = 0.0, 0.0
    for part in faces.split(SLICE_FACES):
        expected, seen = lights.change[part].float(), lights.visible[part]
        errors += float(((logarithm(generator, lights, part, lights.x) - expected).square() * seen).sum())
        nothing += float((expected.square() * seen).sum())
    return errors / nothing if nothing else 0.0


def logarithm(
    generator: Generator, lights: Lights, faces: Tensor, x: Float[Tensor, "point 3"]
) -> Float[Tensor, "face point"]:
    """Return the logarithm of the field's factors for some faces at points of the mean head, world units."""
    of = lights.latents
    shading = generator.bind_shading(of.z_id[faces], of.z_noise[faces], of.z_exp[faces])
    assert shading is not None  # of the generator whose shading is fitted
    return shading(x.expand(len(faces), -1, -1)).log()[..., 0]


@torch.no_grad()
def drawn_lights(
    generator: Generator, renderer: SyntheticRenderer, data: PairedData, count: int, rng: torch.Generator
) -> Lights:
    """Compute the change of light of ``count`` faces, on all cores; every second one has an expression of the prior."""
    items = torch.arange(count) % data.count
    z_id, z_exp, z_noise = (rows[items] for rows in (data.z_id, data.z_exp, data.z_noise))
    normal = torch.randn(len(items[1::2]), generator.config.expression_prior.latent_dim, generator=rng)
    z_exp[1::2] = generator.expression_prior.decode(normal)
    renderer.prepare(colours=False)
    shown = shown_vertices(renderer)
    jobs = list(zip(*(rows.numpy() for rows in (z_id, z_exp, z_noise, data.pose[items])), strict=True))
    task = partial(_light_of, generator.shading.template_exp.numpy(), shown)
    found = map_in_processes(task, renderer, jobs, None if count >= POOL_FACES else 1)
    found = tqdm(found, total=count, desc="light", disable=not sys.stderr.isatty())
    change, visible = (torch.from_numpy(np.stack(rows)) for rows in zip(*found, strict=True))
    mean = WORLD_PER_MODEL_UNIT * renderer.head.mean.reshape(-1, 3) + renderer.head.world_offset
    x = torch.from_numpy(mean[shown].astype(np.float32))
    return Lights(Latents(z_id, z_exp, z_noise), x, change, visible)


def shown_vertices(renderer: SyntheticRenderer) -> Bool[np.ndarray, "head_vertex"]:
    """Mark the vertices of the face that images can show."""
    on_face = np.zeros(len(renderer.fields.seen), bool)
    on_face[renderer.head.face] = True
    return on_face & renderer.fields.seen


def _light_of(
    template_exp: np.ndarray,
    shown: np.ndarray,
    renderer: SyntheticRenderer,
    face: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> tuple[Float[np.ndarray, "vertex"], Bool[np.ndarray, "vertex"]]:
    z_id, z_exp, z_noise, pose = face
    change = light_change(renderer, SyntheticPerson(z_id, z_exp, z_noise), template_exp)
    visible = visible_vertices(renderer.head, z_id, z_exp, pose)
    return change[shown].astype(np.float16), visible[shown]
