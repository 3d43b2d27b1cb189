"""Bake a person into a layered mesh (:mod:`anifacegan.avatars.layered_mesh`), which is drawn without the networks.

A person's colours are a function of template points (points of the face without deformation) and do not depend on the
expression, but for the factor of a shading field, which each vertex keeps (:mod:`.shades`). So each radiance manifold
becomes a layer with one texture (:mod:`.textures`). The layer is flattened by the manifold's chart, a map from the
manifold to a square (:mod:`.charts`). Besides the factors, an expression only changes the geometry:
blendshapes move each vertex of a layer to its target point, the point of the deformed face that shows the vertex's
template point (:mod:`.blendshapes`). Where an expression stretches the skin, mesh and texture are finer
(:mod:`.refinement`).

A grid divides each layer into cells. Textures are first evaluated coarsely. The coarse layers are drawn from many sides
with every expression, to find the visible cells (:mod:`.visible_cells`). The textures are evaluated texel by texel in
visible cells only, and other cells are left out of the mesh if no ray needs them.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from anifacegan.avatars.baking.blendshapes import MovingMesh, moving_mesh
from anifacegan.avatars.baking.charts import ManifoldCharts
from anifacegan.avatars.baking.inverse_warp import Condition, on_template
from anifacegan.avatars.baking.layers import RIM, LayerMesh, Layers, LevelCells, cell_mesh, dilated, submesh
from anifacegan.avatars.baking.refinement import refined_layers
from anifacegan.avatars.baking.shades import expression_shades
from anifacegan.avatars.baking.textures import (
    TRANSPARENT,
    background_texture,
    coarse_textures,
    fine_textures,
    to_bytes,
)
from anifacegan.avatars.baking.visible_cells import occluding_cells, visible_cells
from anifacegan.avatars.config import BakeConfig
from anifacegan.avatars.layered_mesh import LayeredMesh, at_stored_strengths
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.models.generator import ConditionedFields
from anifacegan.runtime.cpu import jobs_only, one_blas_thread
from anifacegan.runtime.errors import InputError


@dataclass(frozen=True)
class BakeReport:
    """Approximation errors of a person baked into textured meshes, and the number of network evaluations."""

    residual: Float[np.ndarray, "shape"]
    """Error of each baked expression, world units. A vertex belongs to a point p of the template; the deformation field
    carries the vertex's baked position to a point p'. The error is |p - p'|: its 0.99 quantile over the vertices, at
    the stored strength of the expression where this is largest."""
    folded_share: float
    """Share of the visible directions, from the centre of the manifolds, along which a ray crosses a manifold more than
    once. Only the outermost crossing is baked."""
    evaluated: int
    """Number of points at which the template network was evaluated."""


@torch.inference_mode()
@jobs_only()
@one_blas_thread()
def bake(
    condition: Condition, z_exp: Float[np.ndarray, "shape 64"], charts: ManifoldCharts, config: BakeConfig
) -> tuple[LayeredMesh, BakeReport]:
    """Bake a person into textured meshes, one for each radiance manifold, which can be drawn without the networks.

    Args:
        condition: function from expression coefficients to the fields of the person with this expression (the networks
            with the person's latents fixed).
        z_exp: expression coefficients; each row gets a blendshape.
        charts: the model's radiance manifolds, each flattened to a square.
        config: resolution of textures and meshes, and the range of views.

    Returns:
        The meshes with textures and blendshapes, and the errors of this approximation.

    Raises:
        InputError: the model's radiance_offset_gain is not 1, as in the released model, so that the colours of a
            manifold depend on the expression; nothing of the person is visible; or a value is not finite.
    """
    z_exp = z_exp.astype(np.float32)
    fields = condition(np.zeros(EXP_DIM, np.float32))
    if fields.radiance_offset_gain != 1:
        raise InputError(
            f"radiance_offset_gain is {fields.radiance_offset_gain:.3g}: this model reads its colours beside the "
            "manifolds, in another place for each expression; it cannot be baked"
        )
    layers = refined_layers(condition, z_exp, fields, charts, config.texture)
    coarse = coarse_textures(fields, layers)
    if not np.isfinite(coarse).all():
        raise InputError("this person has colours that are not finite; weights or latents are broken")
    cells, occluding = _opaque_and_occluding_cells(fields, layers, coarse, config)
    mesh = cell_mesh(cells, layers)
    mesh = dataclasses.replace(mesh, x_template=on_template(fields, mesh.x_template))
    moving = moving_mesh(condition, z_exp, config.inbetweens, mesh, layers.texels)
    if not (np.isfinite(moving.residual).all() and np.isfinite(moving.neutral).all()):
        raise InputError("this person's deformation is not finite; weights or latents are broken")
    coarse_mesh = _coarsely_textured(fields, moving, z_exp, layers, coarse, config)
    textured, needed = visible_cells(coarse_mesh, moving.mesh, cells)
    needed.reshape(-1)[moving.mesh.cell[moving.spanning]] = (
        True  # visible, perhaps, on the way to an expression
    )
    textured |= _cells_of_openings(moving, layers)
    textures, evaluated = fine_textures(fields, layers, coarse, textured)
    part = submesh(moving.mesh, needed | occluding)
    layered_mesh = _finely_textured(coarse_mesh, moving, part, textures, condition)
    return layered_mesh, BakeReport(moving.residual, charts.folded_share, evaluated + coarse[..., 0].size)


def _opaque_and_occluding_cells(
    fields: ConditionedFields, layers: Layers, coarse: Float[np.ndarray, "level h w 4"], config: BakeConfig
) -> tuple[LevelCells, LevelCells]:
    """Select the grid cells of the layers that show something or hide something.

    Returns all these cells, and those of them that hide other cells of their layer.
    """
    complete = layers.complete_cells()
    cells = dilated(layers.cells_showing(coarse[..., 3] > TRANSPARENT), RIM) & complete
    if not cells.any():
        raise InputError("nothing of this person can be seen: every manifold is transparent")
    occluding = occluding_cells(
        cells,
        layers,
        lambda x: on_template(fields, x),
        fields.ray_sampling.fov_deg,
        config.widest_rad,
    )
    return cells | occluding, occluding


def _coarsely_textured(
    fields: ConditionedFields,
    moving: MovingMesh,
    z_exp: Float[np.ndarray, "shape 64"],
    layers: Layers,
    coarse: Float[np.ndarray, "level h w 4"],
    config: BakeConfig,
) -> LayeredMesh:
    """Return the layered mesh with all cells and the coarse textures."""
    ray_sampling = fields.ray_sampling
    reach = _background_reach(ray_sampling.background_z, config.widest_rad, ray_sampling.fov_deg)
    scale = np.divide((coarse.shape[2] - 1, coarse.shape[1] - 1), (layers.width - 1, layers.height - 1))
    return LayeredMesh(
        vertices=moving.neutral,
        texels=(moving.mesh.texels * scale).astype(np.float32),
        triangles=moving.mesh.triangles,
        layer_starts=moving.mesh.layer_starts,
        textures=to_bytes(coarse),
        background=background_texture(fields, reach),
        background_reach=reach,
        blendshapes=moving.blendshapes,
        texel_offsets=(moving.texel_offsets * scale).astype(np.float32),
        z_exp=z_exp,
        ray_sampling=ray_sampling,
        widest_rad=config.widest_rad,
    )


def _cells_of_openings(moving: MovingMesh, layers: Layers) -> LevelCells:
    """Select the cells whose texture is shown, at any in-between shape, by triangles that span an opening."""
    corners = moving.mesh.triangles[moving.spanning].ravel()
    levels = np.repeat(moving.mesh.level(moving.spanning), 3)
    visible = np.zeros_like(layers.complete_cells())
    for place in np.ndindex(*moving.texel_offsets.shape[:2]):
        visible |= layers.cells_at(levels, moving.mesh.texels[corners] + moving.texel_offsets[place])
    return visible


def _finely_textured(
    coarse_mesh: LayeredMesh,
    moving: MovingMesh,
    part: LayerMesh,
    textures: UInt8[np.ndarray, "level height width 4"],
    condition: Condition,
) -> LayeredMesh:
    """Return the layered mesh with the fine textures, and with only the triangles of ``part`` and their vertices, whose
    shades are those of the person of ``condition``."""
    z_exp = at_stored_strengths(coarse_mesh.z_exp, moving.blendshapes.shape[1])
    used = np.unique(part.triangles)
    first_moving = len(moving.mesh.texels) - moving.texel_offsets.shape[2]
    number = np.full(len(moving.mesh.texels), -1, np.int32)
    number[used] = np.arange(len(used), dtype=np.int32)
    return dataclasses.replace(
        coarse_mesh,
        vertices=moving.neutral[used],
        texels=moving.mesh.texels[used],
        triangles=number[part.triangles],
        layer_starts=part.layer_starts,
        textures=textures,
        blendshapes=moving.blendshapes[:, :, used],
        texel_offsets=moving.texel_offsets[:, :, used[used >= first_moving] - first_moving],
        shades=expression_shades(condition, z_exp, moving.mesh.x_template[used]),
    )


def _background_reach(plane_z: float, widest_rad: float, fov_deg: float) -> float:
    """Return the largest |x| or |y| of the background plane's points that any camera sees, world units.

    The plane is z = plane_z; the cameras are up to ``widest_rad`` from frontal.
    """
    edge = min(widest_rad + np.sqrt(2) * np.radians(fov_deg / 2), 1.4)
    return float(max(abs((np.cos(widest_rad) - plane_z) * np.tan(edge) - np.sin(widest_rad)), 0.05))
