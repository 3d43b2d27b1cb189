"""Imitation terms of generated images: their landmarks and their surface against the face model's.

    landmarks   L_lm = mean over 68 landmarks of |landmark(z_id, z_exp) - landmark(R(image))|^2
    geometry    L_Ch = mean over the face's pixels of |x_rendered - x_mesh|_1

Both terms compare with the face model's mesh for the latents that the image was generated from. Landmarks are those of
the unposed face in world units; the discriminator supervises the head pose. R is a frozen face reconstruction network;
the gradient flows through it into the image. A term of weight 0 is not computed: its mesh is not drawn, and its network
is not loaded.
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
from anifacegan.geometry.config import Backend
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.geometry.rasterization.rasterizer import select_backend
from anifacegan.losses.imitation import landmark_loss, surface_loss
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.rendering.compositing import RayColours
from anifacegan.runtime.errors import InputError
from anifacegan.training.optim import matrix_precision
from anifacegan.training.patch_gradients import ImageTerms, RayTerms
from anifacegan.training.schedule import Precision
from anifacegan.training.weights import ImageWeights, require_network


@dataclass(frozen=True)
class ImitationTerms:
    """Weighted imitation losses of the generator, which make generated faces move as the face model's mesh does.

    ``image_terms`` is a function that computes losses by name from generated images in [-1, 1]; its second argument is
    the slice of the batch that the images are. ``ray_terms`` is a function that computes losses by name from rendered
    rays; its further arguments are the slice of the batch and the slice of an image's rays. None: no such losses.
    """

    image_terms: ImageTerms | None = None
    ray_terms: RayTerms | None = None
    other_terms: dict[str, Tensor] = field(default_factory=dict)
    """Losses that need no generated image: at mesh points, or on paired images. They are backpropagated separately."""


class ImageLandmarks(nn.Module):
    """Computes the 68 landmarks of faces without their head pose, in world units, from images and from latents.

    No part of it is trained.
    """

    def __init__(self, network: FaceRegressor, landmarks: FaceLandmarks) -> None:
        super().__init__()
        self.network, self.face_landmarks = network, landmarks
        self.requires_grad_(False).eval()

    def in_images(
        self, image: Float[Tensor, "batch 3 size size"], precision: Precision = "float32"
    ) -> Float[Tensor, "batch 68 3"]:
        """Estimate the landmarks of the faces in images in [-1, 1] with the reconstruction network, differentiably.

        ``precision`` is the precision of the network's convolutions.
        """
        with matrix_precision(precision, image.device):
            face = self.network((image + 1) / 2)
        return WORLD_PER_MODEL_UNIT * self.face_landmarks.unposed(face.id, face.exp)

    def of_latents(self, views: PosedLatents) -> Float[Tensor, "batch 68 3"]:
        """Compute the landmarks that the face model has for the identity and expression latents of ``views``."""
        return WORLD_PER_MODEL_UNIT * self.face_landmarks.unposed(views.latents.z_id, views.latents.z_exp)


class ImageImitation(nn.Module):
    """Two losses that compare generated faces with the face model.

    The loss 'geometry' compares the surface of a face with the face model's mesh, which ``surfaces`` rasterizes. The
    loss 'landmarks' compares landmarks, which ``landmarks`` computes. A loss is switched off if its part is None.
    """

    def __init__(
        self, weights: ImageWeights, surfaces: FaceSurfaces | None, landmarks: ImageLandmarks | None
    ) -> None:
        super().__init__()
        self.weights = weights
        self.surfaces, self.landmarks = surfaces, landmarks

    def terms(self, views: PosedLatents, size: int, precision: Precision = "float32") -> ImitationTerms:
        """Return two functions for the faces ``views``, which compute weighted losses.

        The first computes the loss 'landmarks' from generated images. The second computes the loss 'geometry' from
        rendered rays. Each function is called with a few images or rays at a time, and with their slices of the batch
        and of an image's rays. The results of all calls add up to the loss of the batch.

        Args:
            views: latents and camera poses of the faces.
            size: height and width of the rendered images, pixels.
            precision: precision of the convolutions that estimate landmarks in images.
        """
        return ImitationTerms(
            image_terms=None if self.landmarks is None else self._landmarks(self.landmarks, views, precision),
            ray_terms=None if self.surfaces is None else self._geometry(self.surfaces, views, size),
        )

    def _landmarks(
        self, landmarks: ImageLandmarks, views: PosedLatents, precision: Precision
    ) -> Callable[[Tensor, slice], dict[str, Tensor]]:
        target = landmarks.of_latents(views)

        def image_terms(image: Tensor, part: slice) -> dict[str, Tensor]:
            share = len(image) / len(views)
            error = landmark_loss(landmarks.in_images(image, precision), target[part])
            return {"landmarks": share * self.weights.landmarks * error}

        return image_terms

    def _geometry(
        self, surfaces: FaceSurfaces, views: PosedLatents, size: int
    ) -> Callable[[RayColours, slice, slice], dict[str, Tensor]]:
        mesh = surfaces(views.latents.z_id, views.latents.z_exp, views.pose, size)

        def ray_terms(rendered: RayColours, part: slice, rays: slice) -> dict[str, Tensor]:
            error = surface_loss(
                rendered.surface_point(), rendered.foreground, mesh.x_mesh[part, rays], mesh.share[part, rays]
            )
            return {"geometry": self.weights.geometry / len(views) * error}

        return ray_terms


@dataclass(frozen=True)
class ImitationFiles:
    """Files, and choice of rasterizer, for the imitation losses of generated images."""

    face_model: Path | None
    """File of the face model; None: the open face model in the cache."""
    reconstruction: Path | None
    """Folder or file of the face reconstruction network; None if the loss 'landmarks' is not used."""
    rasterizer: Backend = "auto"


def load_image_imitation(
    weights: ImageWeights, files: ImitationFiles, mesh: FaceMesh, fov_deg: float, device: torch.device
) -> ImageImitation | None:
    """Load networks and tables for the losses that compare generated images with the face model.

    Returns None if all weights are 0.

    Args:
        weights: factors of the losses.
        files: where the networks and the face model are.
        mesh: mesh of the face model.
        fov_deg: field of view of the generated images, degrees.
        device: where the losses will be computed; everything is loaded on the CPU.

    Raises:
        InputError: landmarks have a weight but no network, or one of another face model; or the rasterizer does not
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
    """Load the face reconstruction network and the landmarks of the generator's face model.

    Raises:
        InputError: there is no network, or it belongs to another face model.
    """
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
