"""Main Python interface: load a model, make a face from a seed and an expression, render it from any side::

model = load_model("demo")
face = model.face(seed=7, expression="smile=0.7,blink=0.3")
image = face.render(yaw=0.35, pitch=0.0)                 # (3, 256, 256) in [0, 1]
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.face_model.coefficients import BFM
from anifacegan.face_model.expressions import ExpressionReader
from anifacegan.geometry.rays import image_rays
from anifacegan.models.checkpoints import Checkpoint, ModelCard, load_checkpoint
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields, Generator
from anifacegan.models.model_folder import CARD
from anifacegan.models.released import PITCH_OFFSET, is_released_folder, load_released
from anifacegan.rendering.adaptive import render_adaptive
from anifacegan.rendering.frame import RenderedImage, check_size
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.resources import located_model


@dataclass(frozen=True)
class Face:
    """One person with one expression, which can be rendered from any side."""

    fields: ConditionedFields
    """Generator fields with the latents of this face, as functions of points."""
    latents: Latents
    """Latents of the person and the expression, a batch of one."""

    @torch.inference_mode()
    def image(self, *, yaw: float = 0.0, pitch: float = 0.0, size: int = 256) -> RenderedImage:
        """Render colours, opacity and depth of a square image.

        Angles are radians from frontal: with positive yaw the face turns to the image's right, with positive pitch it
        looks down. ``size`` is in pixels.

        Raises:
            InputError: ``size`` is below 2.
        """
        check_size(size)
        device = self.latents.z_id.device
        angles = torch.tensor([[pitch, yaw]], dtype=torch.float32, device=device)
        rays = image_rays(
            yaw=angles[:, 1], pitch=angles[:, 0], size=size, fov_deg=self.fields.ray_sampling.fov_deg
        )
        image = render_adaptive(self.fields, rays, size)
        return RenderedImage(
            rgb=image[:3].clamp(0, 1),
            foreground=image[3:4].clamp(0, 1),
            foreground_rgb=image[4:7].clamp(0, 1),
            depth=image[7:],
        )

    def render(
        self, *, yaw: float = 0.0, pitch: float = 0.0, size: int = 256
    ) -> Float[Tensor, "3 size size"]:
        """Render the colours of a square image, in [0, 1]; see :meth:`image` for the arguments."""
        return self.image(yaw=yaw, pitch=pitch, size=size).rgb


@dataclass(frozen=True)
class Model:
    """A loaded generator: our own or the released one."""

    checkpoint: Checkpoint
    """The generator with its card and expression basis."""

    @property
    def generator(self) -> Generator:
        """The generator network."""
        return self.checkpoint.generator

    @property
    def card(self) -> ModelCard:
        """The model's card: name, face model, presets, licence."""
        return self.checkpoint.card

    @cached_property
    def expressions(self) -> ExpressionReader:
        """Converter of expression names and files to coefficients of this model's face model."""
        card, basis = self.card, self.checkpoint.basis
        return ExpressionReader(card.name, card.face_model, card.presets, basis, card.pitch_offset)

    @torch.inference_mode()
    def person(self, seed: int) -> tuple[Float[Tensor, "1 80"], Float[Tensor, "1 80"]]:
        """Sample z_id and z_noise of a random person; a seed gives the same person on every device."""
        return self.generator.sample_people([torch.Generator().manual_seed(seed)])

    def expression(self, expression: str | Path | Float[np.ndarray, "64"] | None) -> Float[Tensor, "1 64"]:
        """Read z_exp from a ``.mat`` file, from names with strengths (``"smile=0.7,blink=0.3"``) or from coefficients.

        None and ``"neutral"`` give the neutral face. Warns if a ``.mat`` file does not name its face model, unless the
        model's is the Basel Face Model, for which Deep3DFaceRecon writes such files.

        Raises:
            InputError: unknown name, unreadable file, or a file that belongs to another face model.
        """
        values = self.expressions.coefficients(expression)
        return torch.as_tensor(values[None], device=self.generator.device)

    @torch.inference_mode()
    def face(
        self,
        seed: int | None = None,
        expression: str | Path | Float[np.ndarray, "64"] | None = None,
        psi: float = 0.7,
        latents: tuple[Float[Tensor, "1 80"], Float[Tensor, "1 80"]] | None = None,
    ) -> Face:
        """Condition the generator on a person, given by a seed or by latents (z_id, z_noise), and an expression.

        ``psi`` is the truncation: 1 gives the full variety of appearances, smaller values move them toward the mean.

        Raises:
            InputError: not exactly one of ``seed`` and ``latents`` is given; or see :meth:`expression`.
        """
        if seed is not None and latents is None:
            latents = self.person(seed)
        elif seed is not None or latents is None:
            raise InputError("a face needs either a seed or latents (z_id, z_noise)")
        z_id, z_noise = latents
        device = self.generator.device
        face = Latents(z_id.to(device), self.expression(expression), z_noise.to(device))
        return Face(self.generator.condition(face, psi), face)


def load_model(path: str | Path, device: str = "cpu") -> Model:
    """Load a model folder, a shipped model by its name (``demo``), or a folder with AniFaceGAN's released files.

    Raises:
        InputError: the folder or a file in it is missing, or the contents do not fit together.
    """
    expected = f"a model ({CARD} and weights, or the released files)"
    folder = located_model(path, expected)
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file, expected {expected}")
    if is_released_folder(folder):
        card = ModelCard(name="AniFaceGAN (released)", face_model=BFM, pitch_offset=PITCH_OFFSET)
        checkpoint = Checkpoint(load_released(folder), card)
    else:
        checkpoint = load_checkpoint(folder)
    checkpoint.generator.eval().requires_grad_(False).to(device)
    return Model(checkpoint)
