"""Imitation terms on points: the deformation follows the face model's mesh (L_3DMM of Wu et al. 2022)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.geometry.conventions import WORLD_PER_NETWORK_UNIT
from anifacegan.losses.drawn_points import MeshPoints
from anifacegan.losses.imitation import (
    deformation_loss,
    neighbours,
    offset_loss,
    smoothness_loss,
)
from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.models.generator import Generator
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.tensor_records import moved
from anifacegan.training.batches import TrainingFaces
from anifacegan.training.optim import matrix_precision
from anifacegan.training.schedule import Precision, Schedule
from anifacegan.training.weights import LossWeights


@dataclass(frozen=True)
class ImitationBatch:
    """Faces of one training step, and the points at which their deformation is compared with the face model."""

    z_id: Float[Tensor, "batch 80"]
    z_exp: Float[Tensor, "batch 64"]
    template_exp: Float[Tensor, "batch 64"]
    """Expression coefficients of the template's faces, the same in every row."""
    mesh: MeshPoints
    """Points on the expressive mesh or near it; the last third are at the seams of lids and lips."""
    mouth_gap: MeshPoints
    """Points between the lips of open mouths."""
    volume: Float[Tensor, "batch few 3"]
    """Random points in the box that contains the head, world units."""
    jitter: Float[Tensor, "batch few 3"]
    """Uniform random numbers in [0, 1), from which the neighbours of mesh points are computed for the smoothness
    loss."""

    @property
    def few(self) -> int:
        """Number of points for the smoothness and offset losses, which need fewer points than the error on the mesh."""
        return self.volume.shape[1]


def draw_imitation_batch(
    data: TrainingFaces,
    mesh: MeshSampler,
    schedule: Schedule,
    rng: torch.Generator,
    device: torch.device,
    workers: Workers = SINGLE_PROCESS,
) -> ImitationBatch:
    """Draw schedule.mesh_faces faces with points of their meshes; return this process's share of the faces.

    At the points the deformation is compared with the face model. The same vertices are drawn for all faces of a step.
    ``workers`` are the processes that share the faces; ``device`` is where the result lies.
    """
    all_items = data.draw_imitated(schedule.mesh_faces, rng)
    items = workers.share(all_items)
    z_id, z_exp = data.z_id[items], data.z_exp[items]
    few = max(1, schedule.mesh_points // 4)
    counts = (schedule.mesh_points, 2 * few)
    points = mesh.vertex_and_seam_points(items.numpy(), z_id, z_exp, counts, rng, schedule.mesh_offset)
    gap_count = max(1, schedule.mesh_points // 8)
    mouth_gap = mesh.mouth_gap(data.z_id[all_items], data.z_exp[all_items], gap_count, rng)
    volume = WORLD_PER_NETWORK_UNIT * (2 * workers.draw(torch.rand, (len(items), few, 3), rng) - 1)
    batch = ImitationBatch(
        z_id=z_id,
        z_exp=z_exp,
        template_exp=mesh.template_exp.expand_as(z_exp),
        mesh=points,
        mouth_gap=workers.share(mouth_gap),
        volume=volume,
        jitter=workers.draw(torch.rand, (len(items), few, 3), rng),
    )
    return moved(batch, device)


def imitation_losses(
    generator: Generator,
    batch: ImitationBatch,
    weights: LossWeights,
    precision: Precision = "float32",
    workers: Workers = SINGLE_PROCESS,
) -> dict[str, Tensor]:
    """Compute the weighted losses that compare the deformation with the face model's mesh, by name.

    Losses of weight 0 are not computed. ``precision`` is the precision of the fields' matrix products. ``workers`` are
    the processes that share the batch; means over visible points are taken over the points of all processes.
    """
    align = generator.alignment_of_deformation(batch.z_id)
    offset = generator.bind_deformation(batch.z_id, batch.z_exp, align)
    offset_of_template = generator.bind_deformation(batch.z_id, batch.template_exp, align)
    regularised = batch.mesh.x_target[:, : batch.few]
    asked: dict[str, Tensor] = {}
    if weights.deformation or weights.roughness:
        asked["mesh"] = batch.mesh.x_target
    if weights.mouth_gap:
        asked["mouth_gap"] = batch.mouth_gap.x_target
    if weights.roughness:
        asked["neighbours"] = neighbours(regularised, batch.jitter)
    if weights.minimal:
        asked["volume"] = batch.volume
    losses: dict[str, Tensor] = {}
    with matrix_precision(precision, batch.volume.device):
        delta = offsets_of_all(offset, asked) if asked else {}
        if weights.deformation:
            losses["deformation"] = weights.deformation * mesh_error(delta["mesh"], batch.mesh, workers)
        if weights.mouth_gap:
            losses["mouth_gap"] = weights.mouth_gap * mesh_error(delta["mouth_gap"], batch.mouth_gap, workers)
        if weights.roughness:
            rough = smoothness_loss(delta["mesh"][:, : batch.few], delta["neighbours"])
            losses["roughness"] = weights.roughness * rough
        if weights.minimal:
            losses["minimal"] = weights.minimal * offset_loss(delta["volume"])
        if weights.neutral:
            losses["neutral"] = weights.neutral * offset_loss(offset_of_template(regularised))
    return losses


def offsets_of_all(offset: Callable[[Tensor], Tensor], points: dict[str, Tensor]) -> dict[str, Tensor]:
    """Evaluate a deformation at several named sets of points (B, N, 3) in one call; return the offsets by name.

    ``offset`` is the deformation field: a function from points (B, M, 3) to offsets (B, M, 3), world units. One call is
    faster than one for each set.
    """
    counts = [x.shape[1] for x in points.values()]
    return dict(
        zip(points, offset(torch.cat(list(points.values()), dim=1)).split(counts, dim=1), strict=True)
    )


def mesh_error(
    delta: Float[Tensor, "batch point 3"], points: MeshPoints, workers: Workers = SINGLE_PROCESS
) -> Float[Tensor, ""]:
    """Return the mean squared error of the deformation's offsets ``delta`` at ``points``, squared world units.

    The true offsets are those of the face model's mesh. The mean is weighted by the confidence of the points, and taken
    over the points of all ``workers``, the processes that share the batch.
    """
    return deformation_loss(delta, points.delta, points.confidence, workers)
