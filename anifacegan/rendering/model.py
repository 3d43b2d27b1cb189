"""Main Python interface: load a model, make a face from a seed and an expression, render it from any side::

model = load_model("demo")
face = model.face(seed=7, expression="smile=0.7,blink=0.3")
image = face.render(yaw=0.35, pitch=0.0)                 # (3, 256, 256) in [0, 1]
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.face_model.coefficients import BFM
from anifacegan.face_model.expressions import ExpressionInput, ExpressionReader
from anifacegan.face_model.trajectories import check_views
from anifacegan.geometry.conventions import ID_DIM, NOISE_DIM
from anifacegan.geometry.rays import image_rays
from anifacegan.models.checkpoints import Checkpoint, ModelCard, load_checkpoint
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields, Generator
from anifacegan.models.model_folder import CARD, TENSORS
from anifacegan.models.released import PITCH_OFFSET, load_released, released_folder
from anifacegan.rendering.adaptive import render_adaptive
from anifacegan.rendering.antialiasing import render_antialiased
from anifacegan.rendering.frame import RenderedImage, checked_size
from anifacegan.runtime.arguments import array, number, switch, whole_number
from anifacegan.runtime.caller_settings import without_caller_settings
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.limits import LARGEST_PSI, LARGEST_SEED
from anifacegan.runtime.resources import located_model


@dataclass(frozen=True, eq=False)
class Face:
    """One person with one expression, which can be rendered from any side by :meth:`render`."""

    fields: ConditionedFields
    """Generator fields with the latents of this face, as functions of points."""
    latents: Latents
    """Latents of the person and the expression, a batch of one."""

    def image(
        self, *, yaw: float = 0.0, pitch: float = 0.0, size: int = 256, antialias: bool = True
    ) -> RenderedImage:
        """Render a square view of the face: colours, opacity and depth of each pixel.

        Args:
            yaw: radians from frontal; positive yaw turns the face to the image's right.
            pitch: radians from frontal; at positive pitch the face looks down.
            size: height and width of the image, pixels.
            antialias: make outlines smooth: pixels on sharp edges are the mean of several rays
                (:mod:`anifacegan.rendering.antialiasing`). Otherwise, and for depth always, a pixel is one ray through
                its centre.

        Raises:
            InputError: a number is none, not finite or out of range; or the model gives colours that are not finite.
        """
        size, yaw, pitch = checked_size(size), number("yaw", yaw), number("pitch", pitch)
        check_views(yaw=np.array([yaw]), pitch=np.array([pitch]), place="")
        with without_caller_settings():
            drawn = self._drawn(yaw, pitch, size, switch("antialias", antialias))
        image = drawn.clone()  # a tensor like any other, which may be changed
        if not image.isfinite().all():
            raise InputError("the model gives colours that are not finite; its weights or latents are broken")
        return RenderedImage(
            rgb=image[:3].clamp(0, 1),
            foreground=image[3:4].clamp(0, 1),
            foreground_rgb=image[4:7].clamp(0, 1),
            depth=image[7:],
        )

    def _drawn(self, yaw: float, pitch: float, size: int, antialias: bool) -> Float[Tensor, "8 size size"]:
        """Render colours, opacity, colours of the foreground alone, and depth."""
        angles = torch.tensor([[pitch, yaw]], dtype=torch.float32, device=self.latents.z_id.device)
        pitches, yaws = angles.T
        if antialias:
            return render_antialiased(self.fields, yaw=yaws, pitch=pitches, size=size)
        rays = image_rays(yaw=yaws, pitch=pitches, size=size, fov_deg=self.fields.ray_sampling.fov_deg)
        return render_adaptive(self.fields, rays, size)

    def render(
        self, *, yaw: float = 0.0, pitch: float = 0.0, size: int = 256, antialias: bool = True
    ) -> Float[Tensor, "3 size size"]:
        """Render a square view of the face and return its colours, RGB in [0, 1], background included.

        Args:
            yaw: radians from frontal; positive yaw turns the face to the image's right.
            pitch: radians from frontal; at positive pitch the face looks down.
            size: height and width of the image, pixels.
            antialias: make outlines smooth: pixels on sharp edges are the mean of several rays
                (:mod:`anifacegan.rendering.antialiasing`). Otherwise a pixel is one ray through its centre.

        Raises:
            InputError: a number is none, not finite or out of range; or the model gives colours that are not finite.
        """
        return self.image(yaw=yaw, pitch=pitch, size=size, antialias=antialias).rgb


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded generator: our own or the one that AniFaceGAN's authors released."""

    checkpoint: Checkpoint
    """The generator with the facts of its card.yaml, and the coefficients of its named expressions."""

    @property
    def generator(self) -> Generator:
        """The generator network."""
        return self.checkpoint.generator

    @property
    def card(self) -> ModelCard:
        """Facts about the model, from card.yaml in its folder: name, face model, predefined expressions, licence."""
        return self.checkpoint.card

    @cached_property
    def expressions(self) -> ExpressionReader:
        """Converter of expression names and .mat files to expression coefficients of this model's face model."""
        card, basis = self.card, self.checkpoint.basis
        return ExpressionReader(card.name, card.face_model, card.presets, basis, card.pitch_offset)

    def person(self, seed: int) -> tuple[Float[Tensor, "1 80"], Float[Tensor, "1 80"]]:
        """Sample the identity and appearance latents, z_id and z_noise, of a random person.

        ``seed`` is a whole number from 0 to 2**63 - 1, as for the commands; it gives the same person on every device.

        Raises:
            InputError: it is none. PyTorch takes others, too, but as one of these.
        """
        seed = whole_number("seed", seed, 0, LARGEST_SEED)
        with without_caller_settings():
            z_id, z_noise = self.generator.sample_people([torch.Generator().manual_seed(seed)])
        return z_id.clone(), z_noise.clone()

    def expression(self, expression: ExpressionInput) -> Float[Tensor, "1 64"]:
        """Convert an expression to the coefficients z_exp of this model's face model.

        ``expression`` is the path of a .mat file; names with strengths, as in ``"smile=0.7,blink=0.3"`` (1: full
        strength), or a dictionary of them; 64 coefficients; or None or ``"neutral"``, the neutral face. Warns if
        nothing tells the face model of a .mat file, unless the model's is the Basel Face Model.

        Raises:
            InputError: unknown name, unreadable file, or a file that belongs to another face model.
        """
        values = self.expressions.coefficients(expression)
        return torch.as_tensor(values[None], device=self.generator.device)

    def face(
        self,
        seed: int | None = None,
        expression: ExpressionInput = None,
        psi: float = 0.7,
        latents: tuple[Tensor | np.ndarray, Tensor | np.ndarray] | None = None,
    ) -> Face:
        """Make the face of a person, given by a seed or by latents, with an expression.

        Args:
            seed: random seed of the person; the same seed gives the same person.
            expression: names with strengths, as in ``"smile=0.7,blink=0.3"`` (1: full strength); the path of a .mat
                file; 64 expression coefficients of the model's face model; or None, the neutral face.
            psi: truncation: 1 gives the full variety of appearances, smaller values move them toward the mean, which is
                0.
            latents: z_id and z_noise of the person, used instead of a seed.

        Raises:
            InputError: not exactly one of ``seed`` and ``latents`` is given, or one of another kind; or see
                :meth:`expression`.
        """
        if seed is not None and latents is None:
            latents = self.person(seed)
        elif seed is not None or latents is None:
            raise InputError("a face needs either a seed or latents (z_id, z_noise)")
        z_id, z_noise = self._checked(latents)
        face = Latents(z_id, self.expression(expression), z_noise)
        with without_caller_settings():
            return Face(self.generator.condition(face, number("psi", psi, LARGEST_PSI)), face)

    def _checked(self, latents: Any) -> tuple[Float[Tensor, "1 80"], Float[Tensor, "1 80"]]:
        """Return identity and appearance latents as tensors on the model's device.

        Raises:
            InputError: they are not two arrays or tensors of 80 finite numbers.
        """
        if not isinstance(latents, (tuple, list)) or len(latents) != 2:
            raise InputError("latents are expected as two arrays of 80 numbers, z_id and z_noise")
        rows = zip(("z_id", "z_noise"), latents, (ID_DIM, NOISE_DIM), strict=True)
        arrays = [torch.from_numpy(array(*row))[None].to(self.generator.device) for row in rows]
        return arrays[0], arrays[1]


def load_model(path: str | Path, device: str | torch.device = "cpu") -> Model:
    """Load a model, to render faces with it.

    Args:
        path: model folder, name of a shipped model (``demo``), or folder with AniFaceGAN's released files; where there
            are both, model.safetensors is read.
        device: where the networks compute and images lie: "cpu", "cuda", or "auto", a GPU if there is one.

    Raises:
        InputError: the folder or a file in it is missing, or the contents do not fit together.
    """
    device = select_device(device)
    if not isinstance(path, (str, Path)):
        raise InputError(
            f"path is {path!r}, expected a text or Path: a model folder, or a name such as 'demo'"
        )
    expected = f"a model ({CARD} and weights, or the released files)"
    folder = located_model(path, expected)
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file, expected {expected}")
    ours = (folder / TENSORS).is_file()  # where there are both, ours is read
    released = None if ours else released_folder(folder)
    with without_caller_settings(), torch.inference_mode(False):
        checkpoint = load_checkpoint(folder) if released is None else released_checkpoint(released)
        checkpoint.generator.eval().requires_grad_(False).to(device)
    return Model(checkpoint)


def released_checkpoint(folder: Path) -> Checkpoint:
    """Load the model that AniFaceGAN's authors released from the folder of its ``generator.pth``.

    Raises:
        InputError: a file is missing or unreadable, or a tensor is missing or does not fit.
    """
    card = ModelCard(name="AniFaceGAN (released)", face_model=BFM, pitch_offset=PITCH_OFFSET)
    return Checkpoint(load_released(folder), card)
