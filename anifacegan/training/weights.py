"""Factors of the loss terms of a generator's training; a term with factor 0 is switched off."""

from dataclasses import dataclass
from pathlib import Path

from anifacegan.runtime.errors import InputError, require_at_least


@dataclass(frozen=True)
class ImageWeights:
    """Factors of the losses that compare generated images with the face model; 0 switches a loss off."""

    geometry: float = 1e2
    """Factor of the loss L_Ch: L1 distance (world units) between two points on a camera ray, one on the surface of the
    generated face and one on the face model's mesh; averaged over the face's pixels."""
    landmarks: float = 0.0
    """Factor of the loss L_lm: mean squared distance (world units squared) between two sets of the face model's 68
    landmarks in 3D. One set belongs to the coefficients that an image was generated with. The other belongs to the
    coefficients that the network of the option 'reconstruction' estimates in the image."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, *vars(self))


@dataclass(frozen=True)
class LossWeights(ImageWeights):
    """Factors of the losses; 0 switches a loss off. Losses on paired images (renders with known latents and surface):
    colour, silhouette, free_space, plane_variation. Imitation losses make faces follow the face model. On generated
    images, in adversarial training only: geometry, landmarks. On points, in all stages: deformation, mouth_gap,
    roughness, minimal, neutral.
    """

    colour: float = 1.0
    """Factor of the mean absolute error of the colours, in [0, 1], on rays of paired images."""
    silhouette: float = 0.1
    """Factor of the mean absolute error of the head's opacity on rays of paired images."""
    free_space: float = 0.1
    """Factor of the mean optical depth, -ln(1 - alpha), of points in front of the known surface, on rays of paired
    images; the opacity alpha should be 0 there."""
    deformation: float = 3e4
    """Factor of the loss L_3DMM: mean squared error (world units squared) of the deformation field's offsets at points
    of the face model's mesh."""
    mouth_gap: float = 3e3
    """Factor of the mean squared error (world units squared) of the deformation field's offsets at points between open
    lips, where the mesh has no vertices. The offsets lead to the line where the template's lips meet, or
    to the gap between them. Without this loss, the lips' colours would be stretched across the opening."""
    roughness: float = 3e3
    """Factor of the mean squared difference between the deformation field's offsets at two points about 1 mm apart. The
    loss keeps the field smooth."""
    minimal: float = 1e2
    """Factor of the mean squared length of the deformation field's offsets at random points around the head; they
    should be short."""
    neutral: float = 1e4
    """Factor of the mean squared length of the deformation field's offsets for the template's expression (neutral);
    they should be 0."""
    plane_variation: float = 0.0
    """Factor of the total variation of the feature planes: the mean squared difference of neighbouring texels. Each
    step on paired images takes a random sample of texels. Texels that images rarely show become like their neighbours.
    Needs generator.template.planes."""


@dataclass(frozen=True)
class AdversarialWeights:
    """Factors of the losses of generator and discriminator in adversarial training; 0 switches a loss off."""

    generator_fake: float = 1.0
    """Factor, in the generator's loss, of the non-saturating loss -log p(real) of generated images."""
    generator_pose: float = 15.0
    """Factor, in the generator's loss, of the squared error of the pose that the discriminator estimates in generated
    images."""
    discriminator_real: float = 1.0
    """Factor, in the discriminator's loss, of -log p(real) of real images."""
    discriminator_fake: float = 1.0
    """Factor, in the discriminator's loss, of -log p(generated) of generated images."""
    discriminator_r1: float = 0.5
    """Factor, in the discriminator's loss, of the R1 penalty: the squared norm of the gradient of the logit with
    respect to real images. The default is gamma / 2 with gamma = 1."""
    discriminator_pose_real: float = 15.0
    """Factor, in the discriminator's loss, of the squared error of the pose that the discriminator estimates in real
    images."""
    discriminator_pose_fake: float = 15.0
    """Factor, in the discriminator's loss, of the squared error of the pose that the discriminator estimates in
    generated images."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, *vars(self))


def require_network(weights: ImageWeights, reconstruction: Path | None) -> None:
    """Require a face reconstruction network if the factor of the loss 'landmarks' is not 0.

    Raises:
        InputError: there is none; the message names both options.
    """
    if weights.landmarks and reconstruction is None:
        raise InputError(
            f"weights.landmarks is {weights.landmarks}, expected 0 while 'reconstruction' is empty: the term needs a "
            f"face reconstruction network"
        )
