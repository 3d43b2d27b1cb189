"""Whose faces a generator's run learns: the face model, the data set of its coefficients, and what is known of them.

There are two kinds. Synthetic images of the open face model hold appearance codes (``noise``): each can be drawn
again, so its surface and the vertices that it shows are known exactly, and a generator can learn pixel by pixel.
Photographs have coefficients alone, of BFM (the user's ``BFM_model_front.mat``) or of the open face model: the
deformation learns from the mesh of their codes, everything else from adversarial training.

Faces that the priors draw, behind those of the data set: the mesh of both teaches the deformation.

Adversarial training asks for people and expressions of the priors, and the imitation terms are on the mesh of the very codes that
the generator gets (method, section 4). A prior's expressions differ from the data's: what a code means there has to be
learnt there. So a pool of such faces is drawn once, before cameras of the data set. It depends on the priors, which do
not learn any more, on the data's poses and on the seed: a run that goes on has the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from anifacegan.data.dataset import CoefficientTable, DataConfig, FaceDataset
from anifacegan.data.synthetic.geometry_buffers import geometry_description, load_geometry_buffers
from anifacegan.data.synthetic.renderer import SyntheticRenderer, load_synthetic_renderer
from anifacegan.data.visibility import RasterizedVisibility
from anifacegan.face_model.bfm import is_bfm_file
from anifacegan.face_model.coefficients import ExpressionBasis
from anifacegan.face_model.expressions import PRESETS
from anifacegan.face_model.face_mesh import FaceMesh, face_mesh
from anifacegan.face_model.load import load_face_model
from anifacegan.face_model.open_model import face_model_sha256
from anifacegan.geometry.conventions import EXP_DIM, WORLD_PER_MODEL_UNIT
from anifacegan.losses.imitation_points import MeshSampler, VertexVisibility
from anifacegan.models.generator import Generator
from anifacegan.models.sampling import (
    PosedLatents,
    ViewSamplingConfig,
    sample_generators,
    sample_posed_latents,
)
from anifacegan.runtime.distributed import Workers
from anifacegan.runtime.files import sha256
from anifacegan.training.batches import Photographs, TrainingFaces
from anifacegan.training.paired import PairedData

SHOWN_EXPRESSIONS = 6
"""Held-out expressions on the sheets of a face model that has no named ones."""


@dataclass(frozen=True)
class TrainingSource:
    """A data set with its face model."""

    dataset: FaceDataset
    latents: CoefficientTable
    face_model: Path | None
    """File of the face model; None is the open one in the cache."""
    mesh: FaceMesh
    synthetic_renderer: SyntheticRenderer | None
    """What synthetic images are made with; None for BFM, of which none are."""

    @property
    def synthetic(self) -> bool:
        """Whether the images can be drawn again."""
        return self.synthetic_renderer is not None and self.latents.noise is not None

    def checksums(self) -> dict[str, Any]:
        """Compute what tells data and face model from others."""
        if self.synthetic:
            return geometry_description(self.latents, self.dataset.config.size, self.face_model)
        columns = (self.latents.id, self.latents.exp, self.latents.pose)
        return {
            "codes_sha256": sha256(column.numpy().tobytes() for column in columns),
            "face_model_sha256": face_model_sha256(self.face_model),
        }

    def load(
        self, surfaces_folder: Path, fov_deg: float, held_out: int, workers: Workers
    ) -> tuple[PairedData | Photographs, MeshSampler]:
        """Load what the steps draw from, without the last ``held_out`` images.

        Of synthetic images the surfaces are drawn first, where ``surfaces_folder`` does not hold them.
        ``fov_deg`` is the generator's.
        """
        if not self.synthetic:
            faces = Photographs(self.dataset, self.latents, fov_deg, held_out)
            seen = RasterizedVisibility(self.mesh, self.latents.id, self.latents.exp, self.latents.pose)
            return faces, MeshSampler(self.mesh, seen)
        with workers.rank_zero_first():
            surfaces = load_geometry_buffers(
                surfaces_folder, self.latents, self.dataset.config.size, self.face_model
            )
        data = PairedData(self.dataset.load_images(), self.latents, surfaces, fov_deg, held_out)
        return data, MeshSampler(self.mesh, surfaces.visible)

    def skin(self) -> Float[np.ndarray, "vertex 3"]:
        """Vertices of the mean head's skin, world units: no eyes, teeth or tongue."""
        assert self.synthetic_renderer is not None, "a face without a head has no initial manifolds"
        head = self.synthetic_renderer.head
        vertices = head.mean.reshape(-1, 3)[head.parts.part == 0]
        return (vertices * WORLD_PER_MODEL_UNIT + head.world_offset).astype(np.float64)

    def units(self) -> ExpressionBasis | None:
        """The face model's named expressions; BFM has none."""
        return (
            None if self.synthetic_renderer is None else self.synthetic_renderer.head.parts.expression_basis()
        )

    def expressions(self, held_out: int) -> dict[str, Float[np.ndarray, "64"]]:
        """What sheets show: the presets, or some of the data's last ``held_out`` expressions; the neutral one first."""
        units = self.units()
        if units is None:
            shown = self.latents.exp[len(self.latents.exp) - held_out :][:SHOWN_EXPRESSIONS].numpy()
            named = {f"data {number + 1}": z_exp for number, z_exp in enumerate(shown)}
        else:
            named = {name: units.from_strengths(strengths) for name, strengths in PRESETS.items()}
        return {"neutral": np.zeros(EXP_DIM, np.float32)} | named


def load_source(data: DataConfig, face_model: Path | None) -> TrainingSource:
    """Read the coefficients of a data set and its face model; None is the open one in the cache.

    Raises:
        InputError: bad files, or data of another face model.
    """
    dataset = FaceDataset(data)
    if is_bfm_file(face_model):
        mesh, synthetic_renderer = face_mesh(load_face_model(face_model)), None
    else:
        synthetic_renderer = load_synthetic_renderer(face_model)
        mesh = synthetic_renderer.head
    dataset.require_face_model(mesh.name)
    return TrainingSource(dataset, dataset.load_coefficients(), face_model, mesh, synthetic_renderer)


POOL = 51
"""Purpose of the pool's random generators, apart from those of adversarial training's views."""


class JoinedVertices:
    """Which vertices items show, and others that are counted on behind them."""

    def __init__(self, first: VertexVisibility, count: int, others: VertexVisibility) -> None:
        self.first, self.count, self.others = first, count, others

    def __getitem__(self, items: Int[np.ndarray, " batch"]) -> np.ndarray:
        """(batch, vertex / 8) bits of some items."""
        rows = [
            self.first[items[k : k + 1]] if item < self.count else self.others[items[k : k + 1] - self.count]
            for k, item in enumerate(items)
        ]
        return np.concatenate(rows)


def draw_prior_faces(generator: Generator, faces: TrainingFaces, count: int, seed: int) -> PosedLatents:
    """People and expressions of the generator's priors, none of them neutral, in poses of the faces to learn from."""
    rngs = sample_generators(seed, 0, POOL, range(count))
    return sample_posed_latents(
        generator, faces.pose[: faces.count], ViewSamplingConfig(neutral_ratio=0.0), rngs
    )


def add_prior_faces(
    faces: TrainingFaces, sampler: MeshSampler, mesh: FaceMesh, pool: PosedLatents, share: float, size: int
) -> None:
    """From now on about so large a share of the faces to imitate are of the ``pool``; ``sampler`` is of the same faces.

    What a face of the pool shows is found when it is first needed, by drawing its bare mesh at ``size`` pixels: some
    hundredths of a second. A larger image shows more vertices, so the size should be that of the data's.
    """
    z_id, z_exp = pool.latents.z_id, pool.latents.z_exp
    seen = RasterizedVisibility(mesh, z_id, z_exp, pool.pose, size)
    sampler.visible = JoinedVertices(sampler.visible, faces.add_of_priors(z_id, z_exp, share), seen)
