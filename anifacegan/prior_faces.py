"""Faces that the priors draw, behind those of the data set: the mesh of both teaches the deformation.

The game asks for people and expressions of the priors, and the imitation terms are on the mesh of the very codes that
the generator gets (method, section 4). A prior's expressions differ from the data's: what a code means there has to be
learnt there. So a pool of such faces is drawn once, before cameras of the data set. It depends on the priors, which do
not learn any more, on the data's poses and on the seed: a run that goes on has the same.
"""

import numpy as np
from jaxtyping import Int

from anifacegan.face_mesh import FaceMesh
from anifacegan.imitation_points import MeshSampler, SeenVertices
from anifacegan.models.generator import Generator
from anifacegan.seen_vertices import DrawnVertices
from anifacegan.training_faces import TrainingFaces
from anifacegan.views import ViewConfig, Views, draw_views, sample_generators

POOL = 51
"""Purpose of the pool's random generators, apart from those of the game's views."""


class JoinedVertices:
    """Which vertices items show, and others that are counted on behind them."""

    def __init__(self, first: SeenVertices, count: int, others: SeenVertices) -> None:
        self.first, self.count, self.others = first, count, others

    def __getitem__(self, items: Int[np.ndarray, " batch"]) -> np.ndarray:
        """(batch, vertex / 8) bits of some items."""
        rows = [
            self.first[items[k : k + 1]] if item < self.count else self.others[items[k : k + 1] - self.count]
            for k, item in enumerate(items)
        ]
        return np.concatenate(rows)


def draw_prior_faces(generator: Generator, faces: TrainingFaces, count: int, seed: int) -> Views:
    """People and expressions of the generator's priors, none of them neutral, in poses of the faces to learn from."""
    rngs = sample_generators(seed, 0, POOL, range(count))
    return draw_views(generator, faces.pose[: faces.count], ViewConfig(neutral_ratio=0.0), rngs)


def add_prior_faces(
    faces: TrainingFaces, sampler: MeshSampler, mesh: FaceMesh, pool: Views, share: float, size: int
) -> None:
    """From now on about so large a share of the faces to imitate are of the ``pool``; ``sampler`` is of the same faces.

    What a face of the pool shows is found when it is first needed, by drawing its bare mesh at ``size`` pixels: some
    hundredths of a second. A larger picture shows more vertices, so the size should be that of the data's.
    """
    z_id, z_exp = pool.latents.z_id, pool.latents.z_exp
    seen = DrawnVertices(mesh, z_id, z_exp, pool.pose, size)
    sampler.visible = JoinedVertices(sampler.visible, faces.add_of_priors(z_id, z_exp, share), seen)
