"""One iteration of adversarial training: its numbers, and the faces and images that are drawn for it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from anifacegan.data.posed_images import PosedImages
from anifacegan.models.latent_sampling import PosedLatents, sample_generators
from anifacegan.training.schedule import Precision


@dataclass(frozen=True)
class DrawnFaces:
    """This process's random faces and real images of an iteration."""

    deformation: tuple[PosedLatents, ...]
    """Faces for those steps of the deformation that render images."""
    discriminator: PosedLatents
    """Faces for the discriminator's step."""
    real: PosedImages
    """Real images for the discriminator's step."""
    generator: PosedLatents
    """Faces for the generator's step."""
    shifts: tuple[Tensor, ...] = ()
    """With dual discrimination: shifts of the real and the generated images in the discriminator's step, and of those
    in the generator's step."""


@dataclass(frozen=True)
class Iteration:
    """One iteration of adversarial training: its numbers, the seed of its random draws, and its precision.

    An iteration takes optimizer steps of the deformation, the discriminator and the rest of the generator.
    """

    seed: int
    """Random seed of the run."""
    step: int
    """Number of the iteration among all steps of the run, counted from 0."""
    number: int
    """Number of the iteration, counted from 0 at the first step of adversarial training."""
    precision: Precision = "float32"
    """Precision of the fields and of the face reconstruction network while images are rendered and compared. The
    discriminator is always float32: its R1 penalty takes second derivatives."""
    drawn: DrawnFaces | None = None
    """The random faces and real images, on the networks' device, where they have been drawn before; None: each step
    draws the same ones itself."""

    def generators(self, purpose: int, images: range) -> list[torch.Generator]:
        """Return a random generator for each image of a batch.

        ``purpose`` is a number that says what is drawn, so that draws for different purposes are independent;
        ``images`` are indices into the joint batch of all processes.
        """
        return sample_generators(self.seed, self.step, purpose, images)
