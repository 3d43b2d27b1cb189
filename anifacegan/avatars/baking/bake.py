"""Baking: the networks' person becomes a layered avatar (:mod:`anifacegan.layered`), which plays without them.

What a person looks like does not depend on the expression: it is a function of template points. So each manifold's
colours become one texture (:mod:`anifacegan.sheet_textures`). An expression is geometry: it moves the vertices of the
manifolds' meshes to where their template points are (:mod:`anifacegan.posed_vertices`). Where an expression stretches
the skin, meshes and textures are finer (:mod:`anifacegan.skin_stretch`).

Textures are baked coarsely first. Views from many sides, with every expression, tell what is ever seen; only that stays
a mesh, and only there is the texture baked finely (:mod:`anifacegan.seen_cells`).
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float

from anifacegan.avatars.baking.blendshapes import moving_mesh
from anifacegan.avatars.baking.charts import ManifoldCharts, chart_manifolds
from anifacegan.avatars.baking.inverse_warp import Condition
from anifacegan.avatars.baking.layers import RIM, grown, mesh_of, restricted
from anifacegan.avatars.baking.refinement import stretched_layers
from anifacegan.avatars.baking.textures import (
    COARSE,
    background_texture,
    coarse_textures,
    fine_textures,
    to_bytes,
)
from anifacegan.avatars.baking.visibility import cells_before, seen_cells
from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.numba_fields import with_numba_fields
from anifacegan.rendering.model import Model
from anifacegan.runtime.errors import ConfigError, InputError, require_at_least

TRANSPARENT = 1 / 512
"""Opacity below which a texel is not there."""


@dataclass(frozen=True)
class BakeConfig:
    """How finely a person is baked."""

    texture: int = 512
    """Height and width of each sheet's texture, without what is added where the skin stretches."""
    grid: int = 128
    """Vertices along a side of each sheet, without what is added where the skin stretches."""
    widest_rad: float = 0.9
    """How far from frontal a view of the avatar may be."""
    inbetweens: int = 2
    """On the way from neutral to each expression; the last is the expression. Between them everything moves along
    straight lines."""

    def __post_init__(self) -> None:
        require_at_least(self, 4 * COARSE, "texture")
        require_at_least(self, 8, "grid")
        require_at_least(self, 1, "inbetweens")
        if not 0 < self.widest_rad <= 1.2:
            raise ConfigError("widest_rad", self.widest_rad, "more than 0, at most 1.2")


@dataclass(frozen=True)
class BakeReport:
    """What baking could not do exactly."""

    residual: Float[np.ndarray, "shape"]
    """Of each expression, at the worst in-between shape: the distance between the template point that a vertex should show and
    the one it shows, world units, of which 99 % of the vertices are below."""
    twice: float
    """Share of the manifolds' chart points that are met more than once, of which the outermost is baked."""
    evaluated: int
    """Points that the template was asked at."""


@torch.inference_mode()
def bake(
    condition: Condition, latents: Float[np.ndarray, "shape 64"], charts: ManifoldCharts, config: BakeConfig
) -> tuple[LayeredMesh, BakeReport]:
    """Bake a person with a blendshape for each of the expressions ``codes``.

    Raises:
        InputError: the model reads its colours off the manifolds, nothing of the person can be seen, or weights are
            broken.
    """
    latents = latents.astype(np.float32)
    person = condition(np.zeros(EXP_DIM, np.float32))
    if person.radiance_offset_gain != 1:
        raise InputError(
            f"radiance_offset_gain is {person.radiance_offset_gain:.3g}: this model reads its colours beside the "
            "manifolds, in another place for each expression; it cannot be baked"
        )
    layers = stretched_layers(condition, latents, person, charts, config.texture)
    coarse = coarse_textures(person, layers)
    if not np.isfinite(coarse).all():
        raise InputError("this person has colours that are not finite; weights or codes are broken")
    ray_sampling = person.ray_sampling
    complete = layers.complete_cells()
    cells = grown(layers.cells(coarse[..., 3] > TRANSPARENT), RIM) & complete
    if not cells.any():
        raise InputError("nothing of this person can be seen: every manifold is transparent")
    before = (
        cells_before(cells, mesh_of(complete, layers), ray_sampling.fov_deg, config.widest_rad) & complete
    )
    cells |= before
    moving = moving_mesh(condition, latents, config.inbetweens, mesh_of(cells, layers), layers.texels)
    if not (np.isfinite(moving.residual).all() and np.isfinite(moving.neutral).all()):
        raise InputError("this person's deformation is not finite; weights or codes are broken")
    mesh = moving.mesh
    reach = _background_reach(ray_sampling.background_z, config.widest_rad, ray_sampling.fov_deg)
    shrunk = np.divide((coarse.shape[2] - 1, coarse.shape[1] - 1), (layers.width - 1, layers.height - 1))
    rough = LayeredMesh(
        vertices=moving.neutral,
        texels=(mesh.texels * shrunk).astype(np.float32),
        triangles=mesh.triangles,
        starts=mesh.starts,
        textures=to_bytes(coarse),
        background=background_texture(person, reach),
        background_reach=reach,
        blendshapes=moving.blendshapes,
        texel_steps=(moving.texel_steps * shrunk).astype(np.float32),
        latents=latents,
        ray_sampling=ray_sampling,
        widest_rad=config.widest_rad,
    )
    shown, needed = seen_cells(rough, mesh, cells)
    needed.reshape(-1)[mesh.cell[moving.torn]] = True  # seen, perhaps, on the way to an expression
    corners = mesh.triangles[moving.torn].ravel()
    levels = np.repeat(mesh.level(moving.torn), 3)
    for place in np.ndindex(*moving.texel_steps.shape[:2]):
        shown |= layers.cells_at(levels, mesh.texels[corners] + moving.texel_steps[place])
    textures, fine_count = fine_textures(person, layers, coarse, shown)
    kept = restricted(mesh, needed | before)
    used = np.unique(kept.triangles)
    first_gliding = len(mesh.texels) - corners.size
    number = np.full(len(mesh.texels), -1, np.int32)
    number[used] = np.arange(len(used), dtype=np.int32)
    avatar = dataclasses.replace(
        rough,
        vertices=moving.neutral[used],
        texels=mesh.texels[used],
        triangles=number[kept.triangles],
        starts=kept.starts,
        textures=textures,
        blendshapes=moving.blendshapes[:, :, used],
        texel_steps=moving.texel_steps[:, :, used[used >= first_gliding] - first_gliding],
    )
    return avatar, BakeReport(moving.residual, charts.twice, fine_count + coarse[..., 0].size)


def _background_reach(plane_z: float, widest_rad: float, fov_deg: float) -> float:
    """How far from the axis the plane is seen from a camera so far from frontal."""
    edge = min(widest_rad + np.sqrt(2) * np.radians(fov_deg / 2), 1.4)
    return float(max(abs((np.cos(widest_rad) - plane_z) * np.tan(edge) - np.sin(widest_rad)), 0.05))


NEGLIGIBLE = 0.02
"""Part of the longest expression of a film that no blendshape needs to show."""
PROBED_SHAPES = 4
"""Blendshapes, the strongest, of which a film is probed."""


@torch.inference_mode()
def model_charts(model: Model, side: int) -> ManifoldCharts:
    """Of a model's manifolds, on grids of ``side`` x ``side``, as :func:`anifacegan.baking.bake` wants them."""
    generator = model.generator
    return chart_manifolds(
        generator.manifolds, generator.manifolds.levels, generator.config.ray_sampling, side
    )


def person_condition(model: Model, latents: tuple, psi: float) -> Condition:
    """A person of a model as :func:`anifacegan.baking.bake` wants it."""
    device = model.generator.device
    z_id, z_noise = (code.to(device) for code in latents)

    def condition(z_exp: Float[np.ndarray, "64"]):
        face_latents = Latents(z_id, torch.as_tensor(z_exp[None], device=device), z_noise)
        return with_numba_fields(model.generator.condition(face_latents, psi))

    return condition


def key_expressions(z_exp: Float[np.ndarray, "image 64"]) -> list[int]:
    """Images whose expressions, weighted and added, make all others: rows picked by QR with pivoting."""
    length = np.linalg.norm(z_exp, axis=1).max()
    if length == 0:
        return []
    triangular, order = scipy.linalg.qr(z_exp.T.astype(np.float64), mode="r", pivoting=True)
    diagonal = np.abs(np.diag(triangular))
    return [int(k) for k in order[: int((diagonal > NEGLIGIBLE * length).sum())]]


def probe_frames(z_exp: Float[np.ndarray, "image 64"], inbetweens: int) -> list[int]:
    """Images in which blendshapes are least likely to do: those that show a key expression, and those half-way there
    from the in-between shape before.

    What a face does between no expression and all of it is not a straight line. Without expressions: the middle.
    """
    keys = key_expressions(z_exp)[:PROBED_SHAPES]
    if not keys:
        return [len(z_exp) // 2]
    weights = z_exp @ np.linalg.pinv(z_exp[keys])  # (T, K)
    middle = (inbetweens - 0.5) / inbetweens
    return sorted({*keys, *(int(k) for k in abs(weights - middle).argmin(axis=0))})
