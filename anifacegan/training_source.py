"""Whose faces a generator's run learns: the face model, the data set of its coefficients, and what is known of them.

There are two kinds. Synthetic pictures of the open face model hold appearance codes (``noise``): each can be drawn
again, so its surface and the vertices that it shows are known exactly, and a generator can learn pixel by pixel.
Photographs have coefficients alone, of BFM (the user's ``BFM_model_front.mat``) or of the open face model: the
deformation learns from the mesh of their codes, everything else from the adversarial game.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from anifacegan.atomic_files import sha256
from anifacegan.coefficients import ExpressionBasis
from anifacegan.data import CoefficientTable, DataConfig, FaceDataset
from anifacegan.distribution import Workers
from anifacegan.expressions import PRESETS
from anifacegan.face_mesh import FaceMesh, face_mesh
from anifacegan.imitation_points import MeshSampler
from anifacegan.morphable import WORLD_PER_MODEL_UNIT, face_model_sha256, is_bfm_file, load_face_model
from anifacegan.paired_data import PairedData
from anifacegan.seen_vertices import DrawnVertices
from anifacegan.shapes import EXP_DIM
from anifacegan.surfaces import describe, load_surfaces
from anifacegan.synthetic import Studio, load_studio
from anifacegan.training_faces import Photographs

SHOWN_EXPRESSIONS = 6
"""Held-out expressions on the sheets of a face model that has no named ones."""


@dataclass(frozen=True)
class TrainingSource:
    """A data set with its face model."""

    dataset: FaceDataset
    codes: CoefficientTable
    face_model: Path | None
    """File of the face model; None is the open one in the cache."""
    mesh: FaceMesh
    studio: Studio | None
    """What synthetic pictures are made with; None for BFM, of which none are."""

    @property
    def synthetic(self) -> bool:
        """Whether the pictures can be drawn again."""
        return self.studio is not None and self.codes.noise is not None

    def sums(self) -> dict[str, Any]:
        """Compute what tells data and face model from others."""
        if self.synthetic:
            return describe(self.codes, self.dataset.config.size, self.face_model)
        columns = (self.codes.id, self.codes.exp, self.codes.pose)
        return {
            "codes_sha256": sha256(column.numpy().tobytes() for column in columns),
            "face_model_sha256": face_model_sha256(self.face_model),
        }

    def load(
        self, surfaces_folder: Path, fov_deg: float, held_out: int, workers: Workers
    ) -> tuple[PairedData | Photographs, MeshSampler]:
        """Load what the steps draw from, without the last ``held_out`` pictures.

        Of synthetic pictures the surfaces are drawn first, where ``surfaces_folder`` does not hold them.
        ``fov_deg`` is the generator's.
        """
        if not self.synthetic:
            faces = Photographs(self.dataset, self.codes, fov_deg, held_out)
            seen = DrawnVertices(self.mesh, self.codes.id, self.codes.exp, self.codes.pose)
            return faces, MeshSampler(self.mesh, seen)
        with workers.first_alone():
            surfaces = load_surfaces(surfaces_folder, self.codes, self.dataset.config.size, self.face_model)
        data = PairedData(self.dataset.load_images(), self.codes, surfaces, fov_deg, held_out)
        return data, MeshSampler(self.mesh, surfaces.visible)

    def skin(self) -> Float[np.ndarray, "vertex 3"]:
        """Vertices of the mean head's skin, world units: no eyes, teeth or tongue."""
        assert self.studio is not None, "a face without a head has no shells"
        head = self.studio.head
        vertices = head.mean.reshape(-1, 3)[head.parts.part == 0]
        return (vertices * WORLD_PER_MODEL_UNIT + head.world_offset).astype(np.float64)

    def units(self) -> ExpressionBasis | None:
        """The face model's named expressions; BFM has none."""
        return None if self.studio is None else self.studio.head.parts.expression_basis()

    def expressions(self, held_out: int) -> dict[str, Float[np.ndarray, "64"]]:
        """What sheets show: the presets, or some of the data's last ``held_out`` expressions; the neutral one first."""
        units = self.units()
        if units is None:
            shown = self.codes.exp[len(self.codes.exp) - held_out :][:SHOWN_EXPRESSIONS].numpy()
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
        mesh, studio = face_mesh(load_face_model(face_model)), None
    else:
        studio = load_studio(face_model)
        mesh = studio.head
    dataset.require_owner(mesh.name)
    return TrainingSource(dataset, dataset.load_coefficients(), face_model, mesh, studio)
