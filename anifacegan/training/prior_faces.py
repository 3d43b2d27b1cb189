"""Faces sampled from the priors, whose meshes the deformation imitates in addition to those of the data set.

Adversarial training generates people and expressions of the priors, and compares them with the mesh of their latents
(Wu et al. 2022). A prior's expressions differ from the data's, so the deformation has to learn from them, too. A
pool of such faces is sampled once, with poses of the data set. It depends only on the fitted priors, the data's poses
and the seed, so a resumed run has the same pool.
"""

import numpy as np
from jaxtyping import Int

from anifacegan.losses.mesh_points import MeshSampler, VertexVisibility
from anifacegan.models.config import ViewSamplingConfig
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import PosedLatents, Purpose, sample_generators, sample_posed_latents
from anifacegan.training.batches import TrainingFaces

PRIOR_FACES = "prior_faces"
"""Name of the file of the visible vertices of the pool's faces, without its suffix."""


class JoinedVertices:
    """Joins two tables of the visible vertices of faces to one.

    Numbers 0 to count - 1 are the faces of the first table, count and above those of the second.
    """

    def __init__(self, first: VertexVisibility, count: int, second: VertexVisibility) -> None:
        """Join two tables of visible vertices; ``count`` is the number of faces in ``first``."""
        self.first, self.count, self.second = first, count, second

    def __getitem__(self, items: Int[np.ndarray, " batch"]) -> np.ndarray:
        """Return the packed visibility bits, (batch, ceil(vertex / 8)), of the faces with the numbers ``items``."""
        rows = [
            self.first[items[k : k + 1]] if item < self.count else self.second[items[k : k + 1] - self.count]
            for k, item in enumerate(items)
        ]
        return np.concatenate(rows)


def sample_prior_faces(generator: Generator, faces: TrainingFaces, count: int, seed: int) -> PosedLatents:
    """Sample ``count`` people with expressions from the priors, and take their poses from the training faces.

    No expression is neutral.
    """
    rngs = sample_generators(seed, 0, Purpose.PRIOR_FACES, range(count))
    return sample_posed_latents(
        generator, faces.pose[: faces.count], ViewSamplingConfig(neutral_ratio=0.0), rngs
    )


def add_prior_faces(
    faces: TrainingFaces, sampler: MeshSampler, pool: PosedLatents, visible: VertexVisibility, share: float
) -> None:
    """Add faces that were sampled from the priors to the faces whose meshes the deformation learns to imitate.

    Args:
        faces: latents of the data set; the latents of the sampled faces are appended.
        sampler: samples points of the faces' meshes; the visible vertices of the sampled faces are added.
        pool: latents and camera poses of the sampled faces.
        visible: table of the visible vertices of the sampled faces, in images of the size of the data's.
        share: probability with which a drawn face is a sampled one.
    """
    first = faces.add_prior_faces(pool.latents.z_id, pool.latents.z_exp, share)
    sampler.visible = JoinedVertices(sampler.visible, first, visible)
