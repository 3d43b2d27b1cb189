"""Factors of the loss terms of a generator's training; a term with factor 0 is switched off."""

from dataclasses import dataclass

from anifacegan.runtime.errors import require_at_least


@dataclass(frozen=True)
class ImageWeights:
    """Factors of the imitation terms that compare generated images with the face model; 0 switches a term off."""

    geometry: float = 1e2
    """Factor of L_Ch: mean L1 distance of the generated surface from the mesh over the face's pixels, world units."""
    landmarks: float = 0.0
    """Factor of L_lm: mean squared distance of the 68 landmarks that a face reconstruction network finds in generated
    images, world units. Needs the option reconstruction."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, *vars(self))


@dataclass(frozen=True)
class LossWeights(ImageWeights):
    """Factors of the photometric and imitation terms; 0 switches a term off. geometry and landmarks are used in
    adversarial training only.
    """

    colour: float = 1.0
    """Factor of the mean absolute colour error on rays of paired images; colours are in [0, 1]."""
    silhouette: float = 0.1
    """Factor of the mean absolute error of the head's opacity on rays of paired images."""
    free_space: float = 0.1
    """Factor of the mean opacity of points in front of the known surface."""
    deformation: float = 3e4
    """Factor of L_3DMM: mean squared error of the deformation on the face model's mesh, world units."""
    mouth_gap: float = 3e3
    """Factor of the squared error of the deformation at points between open lips, where the mesh has no vertex."""
    roughness: float = 3e3
    """Factor of the squared difference of the deformation between neighbouring points."""
    minimal: float = 1e2
    """Factor of the squared length of the deformation at random points of the volume."""
    neutral: float = 1e4
    """Factor of the squared length of the deformation on neutral faces, where it should be zero."""
    alignment: float = 3e4
    """Factor of the squared error of the alignment near neutral meshes, world units. Needs generator.alignment."""


@dataclass(frozen=True)
class AdversarialWeights:
    """Factors of the adversarial terms; 0 switches a term off."""

    generator_fake: float = 1.0
    """Factor of the generator's non-saturating loss, -log p(real) of generated images."""
    generator_pose: float = 15.0
    """Factor of the squared error of the pose that the discriminator finds in generated images, for the generator."""
    discriminator_real: float = 1.0
    """Factor of -log p(real) of real images, for the discriminator."""
    discriminator_fake: float = 1.0
    """Factor of -log p(generated) of generated images, for the discriminator."""
    discriminator_r1: float = 0.5
    """Factor of the R1 penalty, the squared gradient of the logit at real images: gamma / 2 with gamma 1."""
    discriminator_pose_real: float = 15.0
    """Factor of the squared error of the pose that the discriminator estimates in real images."""
    discriminator_pose_fake: float = 15.0
    """Factor of the squared error of the pose that the discriminator finds in generated images, for itself."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, *vars(self))
