"""The data of a training run: the face model, the data set of its coefficients, and what is known of its images.

There are two kinds of data. Synthetic images of the open face model store their appearance latents (``noise``). Each
can be rendered again, so its surface and visible vertices are known exactly, and a generator can learn pixel by pixel.
Photographs have coefficients only, of the Basel Face Model (``BFM_model_front.mat``) or of the open face model. From
photographs, the deformation learns by the mesh of the coefficients, everything else by adversarial training.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import CoefficientTable, FaceDataset
from anifacegan.data.mirroring import mirroring_of
from anifacegan.data.synthetic.geometry_buffers import (
    geometry_description,
    load_geometry_buffers,
    require_room_for_buffers,
)
from anifacegan.data.synthetic.renderer import SyntheticRenderer, load_synthetic_renderer
from anifacegan.data.visibility import PosedFaces, require_room_for_visibility, stored_visibility
from anifacegan.face_model.bfm import is_bfm_file
from anifacegan.face_model.coefficients import ExpressionBasis
from anifacegan.face_model.expressions import PRESETS, named_coefficients
from anifacegan.face_model.face_mesh import FaceMesh, face_mesh
from anifacegan.face_model.load import load_face_model
from anifacegan.face_model.open_model import load_open_face_model
from anifacegan.geometry.conventions import EXP_DIM, WORLD_PER_MODEL_UNIT
from anifacegan.geometry.normals import vertex_normals_numpy
from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.runtime.distributed import Workers
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import sha256
from anifacegan.training.batches import Photographs
from anifacegan.training.paired import PairedData

PHOTOGRAPHS = "photographs"
"""Name of the file of the visible vertices of photographs, without its suffix."""
HELD_OUT_EXPRESSIONS = 6
"""Number of expressions, taken from held-out faces, on the preview sheets of a face model without named expressions."""


@dataclass(frozen=True)
class TrainingSource:
    """A training data set with its face model."""

    dataset: FaceDataset
    latents: CoefficientTable
    mesh: FaceMesh
    """Mesh of the face model."""
    synthetic_renderer: SyntheticRenderer | None
    """Renderer of synthetic images of the open face model; None for the Basel Face Model, which has no synthetic
    images."""

    @property
    def synthetic(self) -> bool:
        """Whether the images are synthetic, with known appearance latents."""
        return self.synthetic_renderer is not None and self.latents.noise is not None

    def checksums(self) -> dict[str, Any]:
        """Compute checksums of data and face model, by which a resumed run recognises the same data and face model."""
        if self.synthetic:
            return geometry_description(self.latents, self.dataset.config.size, self.mesh)
        columns = (self.latents.id, self.latents.exp, self.latents.pose)
        return {
            "latents_sha256": sha256(column.numpy().tobytes() for column in columns),
            "coefficients_sha256": self.mesh.coefficients_sha256(),
            "images_sha256": self.dataset.sizes_sha256(),
        }

    def require_room(self, surfaces_folder: Path) -> None:
        """Require that :meth:`load` may write into the folder of surfaces.

        Raises:
            InputError: a file that is not ours is in the way.
        """
        if self.synthetic:
            require_room_for_buffers(surfaces_folder)
        else:
            require_room_for_visibility(surfaces_folder, PHOTOGRAPHS)

    def load(
        self,
        surfaces_folder: Path,
        fov_deg: float,
        held_out: int,
        workers: Workers,
        template_exp: Float[np.ndarray, "64"] | None = None,
    ) -> tuple[PairedData | Photographs, MeshSampler]:
        """Load the faces to learn from, and a sampler of points on their meshes.

        Args:
            surfaces_folder: folder of what the camera sees of each face's mesh; of synthetic images also of the
                distance from the camera at each pixel. If the folder lacks them, they are rendered into it first.
            fov_deg: field of view of the generator's camera, degrees.
            held_out: number of images at the end of the data set that are not trained on.
            workers: processes that train together; the first one renders.
            template_exp: expression coefficients of the template's faces; None: neutral.
        """
        if self.synthetic_renderer is None or self.latents.noise is None:
            faces = Photographs(self.dataset, self.latents, fov_deg, held_out)
            posed = PosedFaces(self.latents.id, self.latents.exp, self.latents.pose)
            with workers.rank_zero_first():
                visible = stored_visibility(surfaces_folder, PHOTOGRAPHS, self.mesh, posed)
            return faces, MeshSampler(self.mesh, visible, template_exp)
        with workers.rank_zero_first():
            surfaces = load_geometry_buffers(
                surfaces_folder, self.latents, self.dataset.config.size, self.synthetic_renderer
            )
        data = PairedData(self.dataset.load_images(), self.latents, surfaces, fov_deg, held_out)
        return data, MeshSampler(self.mesh, surfaces.visible, template_exp)

    def mean_surface(self) -> Float[np.ndarray, "vertex 3"]:
        """Return the vertices of the mean face, world units.

        Of the open face model these are the vertices of the head's skin, without eyes, teeth and tongue. Of the Basel
        Face Model, which has no such parts, they are all vertices.
        """
        vertices = self._mean_in_world()
        if self.synthetic_renderer is not None:
            vertices = vertices[self.synthetic_renderer.head.parts.part == 0]
        return vertices

    def mean_vertices(
        self, selected: Bool[np.ndarray, "vertex"]
    ) -> tuple[Float[np.ndarray, "selected 3"], Float[np.ndarray, "selected 3"]]:
        """Return vertices of the mean face, world units, and their outward unit normals."""
        vertices = self._mean_in_world()
        normals = vertex_normals_numpy(vertices, self.mesh.triangles)
        return vertices[selected], normals[selected]

    def _mean_in_world(self) -> Float[np.ndarray, "vertex 3"]:
        """Return all vertices of the mean face, world units."""
        vertices = self.mesh.mean.reshape(-1, 3) * WORLD_PER_MODEL_UNIT + self.mesh.world_offset
        return vertices.astype(np.float64)

    def units(self) -> ExpressionBasis | None:
        """Return the expression coefficients of the face model's action units (elementary facial movements); None for
        the Basel Face Model, which has none.
        """
        return (
            None if self.synthetic_renderer is None else self.synthetic_renderer.head.parts.expression_basis()
        )

    def template_exp(self, expression: str) -> Float[np.ndarray, "64"]:
        """Return the coefficients of the template's expression, the option generator.template_expression.

        Raises:
            InputError: it has an unknown name, or is not neutral though the face model has no named action units.
        """
        try:
            return named_coefficients(expression, self.units())
        except InputError as error:
            raise InputError(f"generator.template_expression: {error}") from None

    def expressions(self, held_out: int) -> dict[str, Float[np.ndarray, "64"]]:
        """Return the coefficients, by name, of the expressions that preview images show.

        The first is neutral. Then come the named expressions of the open face model. The Basel Face Model has no named
        expressions; for it, expressions of the last ``held_out`` faces follow, which training never uses.
        """
        units = self.units()
        if units is None:
            some = self.latents.exp[len(self.latents.exp) - held_out :][:HELD_OUT_EXPRESSIONS].numpy()
            named = {f"data {number + 1}": z_exp for number, z_exp in enumerate(some)}
        else:
            named = {name: units.from_strengths(strengths) for name, strengths in PRESETS.items()}
        return {"neutral": np.zeros(EXP_DIM, np.float32)} | named


def load_source(data: DataConfig, face_model: Path | None) -> TrainingSource:
    """Read the coefficients of a data set and its face model; ``face_model`` None is the open face model in the cache.

    Raises:
        InputError: a file is bad, the data belong to another face model, or their coefficients cannot be mirrored.
    """
    mirroring = None
    if data.mirror and not is_bfm_file(face_model):
        mirroring = mirroring_of(load_open_face_model(face_model))
    dataset = FaceDataset(data, mirroring)
    if data.mirror and dataset.face(0).noise is not None:
        raise InputError(
            f"data.mirror is true, expected false: {data.path} holds synthetic images, whose appearance latents cannot "
            "be mirrored"
        )
    if is_bfm_file(face_model):
        mesh, synthetic_renderer = face_mesh(load_face_model(face_model)), None
    else:
        synthetic_renderer = load_synthetic_renderer(face_model)
        mesh = synthetic_renderer.head
    dataset.require_face_model(mesh.name)
    return TrainingSource(dataset, dataset.load_coefficients(), mesh, synthetic_renderer)
