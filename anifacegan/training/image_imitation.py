"""The imitation terms that look at generated images: landmarks through a network R, and the surface (section 4).

    landmarks   L_lm = mean over 68 landmarks of |landmark(z_id, z_exp) - landmark(R(image))|^2
    geometry    L_Ch = mean over the face's pixels of |x_seen - x_mesh|_1

Both compare with the mesh of the very codes that the image was asked for. Landmarks are those of the unposed face,
all 68, in world units: how the head is turned is the business of the discriminator's pose head. R is frozen; the
gradient goes through it into the image.

A term of weight 0 is not computed: no mesh is drawn, no network is loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.face_model.face_mesh import FaceMesh
from anifacegan.face_model.load import load_face_model
from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.face_model.surface_maps import FaceSurfaces
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.geometry.rasterization.rasterizer import Backend, select_backend
from anifacegan.losses.imitation import landmark_loss, surface_loss
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.models.sampling import PosedLatents
from anifacegan.rendering.compositing import RayColours
from anifacegan.runtime.errors import InputError, require_at_least
from anifacegan.training.optim import Precision, matrix_precision
from anifacegan.training.patch_gradients import ImageTerms, RayTerms


@dataclass(frozen=True)
class ImitationTerms:
    """Weighted terms that do not come from the discriminator, by what they look at."""

    of_images: ImageTerms | None = None
    of_rays: RayTerms | None = None
    beside: dict[str, Tensor] = field(default_factory=dict)
    """Terms of points, or of other images: whatever has its own graph."""


@dataclass(frozen=True)
class ImageWeights:
    """Factors of the terms that look at generated images; 0 switches one off."""

    geometry: float = 1e2
    """Mean distance of the generated surface from the mesh on the face's pixels, world units (L_Ch)."""
    landmarks: float = 0.0
    """Mean squared distance of the 68 landmarks that a face reconstruction network finds, world units (L_lm)."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, *vars(self))


class ImageLandmarks(nn.Module):
    """Landmarks of the faces in images and of latents: unposed, world units. Nothing here learns."""

    def __init__(self, network: FaceRegressor, landmarks: FaceLandmarks) -> None:
        super().__init__()
        self.network, self.of_face_model = network, landmarks
        self.requires_grad_(False).eval()

    def found(
        self, image: Float[Tensor, "batch 3 size size"], precision: Precision = "float32"
    ) -> Float[Tensor, "batch 68 3"]:
        """What the network sees in images in [-1, 1], with convolutions of this precision; differentiable in the
        images."""
        with matrix_precision(precision, image.device):
            face = self.network((image + 1) / 2)
        return WORLD_PER_MODEL_UNIT * self.of_face_model.unposed(face.id, face.exp)

    def target(self, views: PosedLatents) -> Float[Tensor, "batch 68 3"]:
        """What the codes of views ask for."""
        return WORLD_PER_MODEL_UNIT * self.of_face_model.unposed(views.latents.z_id, views.latents.z_exp)


class ImageImitation(nn.Module):
    """What generated images are compared with. A part that is None, and its term, are off."""

    def __init__(
        self, weights: ImageWeights, surfaces: FaceSurfaces | None, landmarks: ImageLandmarks | None
    ) -> None:
        super().__init__()
        self.weights = weights
        self.surfaces, self.landmarks = surfaces, landmarks

    def terms(self, views: PosedLatents, size: int, precision: Precision = "float32") -> ImitationTerms:
        """The weighted terms of a batch of views that is rendered at ``size`` pixels, in whatever parts. ``precision``
        is that of R's convolutions."""
        return ImitationTerms(
            of_images=None if self.landmarks is None else self._landmarks(self.landmarks, views, precision),
            of_rays=None if self.surfaces is None else self._geometry(self.surfaces, views, size),
        )

    def _landmarks(
        self, landmarks: ImageLandmarks, views: PosedLatents, precision: Precision
    ) -> Callable[[Tensor, slice], dict[str, Tensor]]:
        target = landmarks.target(views)

        def of_images(image: Tensor, part: slice) -> dict[str, Tensor]:
            share = len(image) / len(views)
            error = landmark_loss(landmarks.found(image, precision), target[part])
            return {"landmarks": share * self.weights.landmarks * error}

        return of_images

    def _geometry(
        self, surfaces: FaceSurfaces, views: PosedLatents, size: int
    ) -> Callable[[RayColours, slice, slice], dict[str, Tensor]]:
        mesh = surfaces(views.latents.z_id, views.latents.z_exp, views.pose, size)

        def of_rays(seen: RayColours, part: slice, rays: slice) -> dict[str, Tensor]:
            error = surface_loss(
                seen.surface_point(), seen.foreground, mesh.x_mesh[part, rays], mesh.share[part, rays]
            )
            return {"geometry": self.weights.geometry / len(views) * error}

        return of_rays


@dataclass(frozen=True)
class ImitationFiles:
    """What the terms read from disk, and what draws the mesh."""

    face_model: Path | None
    reconstruction: Path | None
    rasterizer: Backend = "auto"


def load_image_imitation(
    weights: ImageWeights, files: ImitationFiles, mesh: FaceMesh, fov_deg: float, device: torch.device
) -> ImageImitation | None:
    """What the weights ask for, on the CPU, to be moved to ``device``; None where they ask for nothing.

    Raises:
        InputError: landmarks have a weight and no network, or one of another face model; or the rasteriser does not
            work on the device.
    """
    surfaces = landmarks = None
    if weights.geometry:
        select_backend(files.rasterizer, device)
        surfaces = FaceSurfaces(mesh, fov_deg, files.rasterizer)
    if weights.landmarks:
        landmarks = load_landmarks(weights, files, mesh.name)
    return None if surfaces is None and landmarks is None else ImageImitation(weights, surfaces, landmarks)


def load_landmarks(weights: ImageWeights, files: ImitationFiles, face_model: str) -> ImageLandmarks:
    """The network, and the landmarks of the generator's face model."""
    require_network(weights, files.reconstruction)
    assert files.reconstruction is not None
    network, card = load_face_regressor(files.reconstruction)
    if card.face_model != face_model:
        raise InputError(
            f"reconstruction: {files.reconstruction} belongs to face model '{card.face_model}', expected "
            f"'{face_model}', the generator's"
        )
    landmarks = FaceLandmarks(load_face_model(files.face_model), network.config.camera)
    return ImageLandmarks(network, landmarks)


def require_network(weights: ImageWeights, reconstruction: Path | None) -> None:
    """Refuse landmarks without a network.

    Raises:
        InputError: names both options.
    """
    if weights.landmarks and reconstruction is None:
        raise InputError(
            f"weights.landmarks is {weights.landmarks}, expected 0 while 'reconstruction' is empty: the term needs a "
            f"face reconstruction network"
        )
