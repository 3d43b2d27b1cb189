"""Face regressor R: an image becomes the 3DMM coefficients, pose, light and position of the face in it.

    image -> id 80, exp 64, tex 80, angle 3, gamma 27, trans 3

R is used in the evaluation and in one of the imitation losses (losses that make generated faces follow the face model),
the loss of landmarks. The raw outputs of R's backbone are standardised coefficients: ``coefficient = mean + scale *
raw``, with the mean and standard deviation of the training data. With the ResNet-50 backbone, mean 0 and scale 1 it is
Deep3DFaceRecon's network (Deng et al. 2019).

The face is posed as ``p' = p R(angle) + trans`` in model units, and seen by a camera at (0, 0, 10). The generator's and
Deep3DFaceRecon's cameras differ in focal length only. For synthetic images ``trans`` is the face model's world offset
in camera axes; for the open face model it is 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.face_model.regressed import SCALE_FLOOR, Reconstruction
from anifacegan.geometry.resampling import resample
from anifacegan.models.config import FaceRegressorConfig
from anifacegan.models.regressor_backbones import (
    RAW_DIM,
    PlainBackbone,
    ResidualBackbone,
    ResNet50Backbone,
    initialize_backbone,
)


class FaceRegressor(nn.Module):
    """Regress 3DMM coefficients, pose, light and position of the face in an image."""

    mean: Tensor
    """(257,) mean of the training data's coefficients."""
    scale: Tensor
    """(257,) standard deviation of the training data's coefficients."""

    def __init__(self, config: FaceRegressorConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone: ResidualBackbone | PlainBackbone | ResNet50Backbone
        if config.backbone == "resnet50":
            self.backbone = ResNet50Backbone()
        else:
            kind = ResidualBackbone if config.backbone == "residual" else PlainBackbone
            self.backbone = kind(config.size, config.channels)
        self.register_buffer("mean", torch.zeros(RAW_DIM))
        self.register_buffer("scale", torch.ones(RAW_DIM))

    def initialize(self, rng: torch.Generator) -> None:
        """Draw fresh weights; the network then regresses the mean face for every image."""
        initialize_backbone(self.backbone, rng)

    def set_statistics(self, rows: Float[Tensor, "item 257"]) -> None:
        """Set the buffers ``mean`` and ``scale`` to the mean and standard deviation of the training data's
        coefficients, one row for each training image."""
        self.mean.copy_(rows.mean(dim=0))
        self.scale.copy_(rows.std(dim=0).clamp(min=SCALE_FLOOR))

    def features(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch feature"]:
        """Return the backbone's feature vector of each image; the images have values in [0, 1] and any size. Distances
        between feature vectors measure how different two faces are."""
        return self.backbone.features(self._cropped(image))

    def standardised(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 257"]:
        """Regress the standardised coefficients of the faces in images of any size with values in [0, 1].

        Standardised coefficients have zero mean and unit variance over the training data.
        """
        return self.backbone(self._cropped(image)).to(self.mean)  # from autocast's half precision

    def forward(self, image: Float[Tensor, "batch 3 side side"]) -> Reconstruction:
        """Regress the coefficients, pose, light and position of the faces in images of any size with values in [0, 1].

        Each image is resampled and its border cropped, as in training.
        """
        return self.to_coefficients(self.standardised(image))

    def _cropped(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 3 size size"]:
        framed, border = resample(image, self.config.frame), self.config.border
        return framed[..., border : border + self.config.size, border : border + self.config.size]

    def to_coefficients(self, standardised: Float[Tensor, "batch 257"]) -> Reconstruction:
        """Convert standardised coefficients to coefficients: multiply by ``scale`` and add ``mean``."""
        return Reconstruction.from_rows(self.mean + self.scale * standardised)
