"""Selects the renderer of a person's images: the networks (adaptive), or an avatar that is baked first (baked).

Baking takes as long as about five images, and its images are approximate. So ``auto`` bakes only people with many
frames, compares some of these frames with the adaptive renderer, and uses the adaptive renderer if the PSNR is too low.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.baking.bake import bake
from anifacegan.avatars.baking.charts import ManifoldCharts
from anifacegan.avatars.baking.from_model import model_charts, person_condition
from anifacegan.avatars.baking.key_expressions import key_expressions, probe_frames
from anifacegan.avatars.baking.still import bake_still
from anifacegan.avatars.config import BakeConfig
from anifacegan.avatars.players.choice import NumbaPlayer, player_on
from anifacegan.avatars.players.torch_player import TorchPlayer
from anifacegan.cli.render.config import Renderer
from anifacegan.face_model.trajectories import Trajectory
from anifacegan.geometry.cameras import from_frontal
from anifacegan.rendering.frame import FrameRenderer, RenderedImage, decibels
from anifacegan.rendering.model import Face, Model
from anifacegan.runtime.errors import InputError, say

LEAST_PIXELS = 24 * 256**2
"""Smallest number of pixels, in all frames of a person together, for which ``auto`` bakes."""
TEXELS_PER_PIXEL = 2.0
"""Width of the texture of each layer of a baked avatar (one for each radiance manifold), divided by the width of a
frame."""
LARGEST_TEXTURE = 1024
"""Largest width of a baked avatar's textures, texels."""
MOST_SHAPES = 32
"""Largest number of blendshapes of a baked avatar."""

LEAST_PSNR = 36.0
"""Lowest PSNR between baked and adaptive frames, in dB, with which ``auto`` uses the baked avatar."""
PROBE_SIZE = 96
"""Largest height and width, pixels, of the frames that both renderers draw to be compared."""
MARGIN_RAD, WIDEST_BAKE_RAD = 0.05, 1.2
"""Angles from frontal, radians: the margin that is added to the widest view of the frames when an avatar is baked, and
the widest view that can be baked."""


@dataclass(frozen=True)
class AdaptiveRenderer:
    """Renders one person by evaluating the networks."""

    face: Callable[[Float[np.ndarray, "64"]], Face]
    """Function from expression coefficients to the person's face with this expression."""
    antialias: bool
    """Whether outlines are smooth."""

    def image(self, z_exp: Float[np.ndarray, "64"], *, yaw: float, pitch: float, size: int) -> RenderedImage:
        return self.face(z_exp).image(yaw=yaw, pitch=pitch, size=size, antialias=self.antialias)


@dataclass(frozen=True)
class AvatarRenderer:
    """Renders an avatar file; an expression or view that the avatar was not baked for raises InputError."""

    avatar: Avatar
    antialias: bool
    """Whether outlines are smooth."""

    def image(self, z_exp: Float[np.ndarray, "64"], *, yaw: float, pitch: float, size: int) -> RenderedImage:
        return self.avatar.image(yaw=yaw, pitch=pitch, size=size, expression=z_exp, antialias=self.antialias)


@dataclass(frozen=True)
class BakedRenderer:
    """Renders one person who was baked for the requested frames."""

    player: NumbaPlayer | TorchPlayer
    """Draws the baked person."""
    antialias: bool
    """Whether outlines are smooth."""

    def image(self, z_exp: Float[np.ndarray, "64"], *, yaw: float, pitch: float, size: int) -> RenderedImage:
        return self.player.image(z_exp, yaw=yaw, pitch=pitch, size=size, antialias=self.antialias)


@dataclass(frozen=True)
class VideoRequest:
    """Frames that are requested of one person."""

    trajectory: Trajectory
    """Pose and expression of every frame."""
    size: int
    """Height and width of the frames, pixels."""

    @property
    def pixels(self) -> int:
        """Number of pixels in all frames together."""
        return len(self.trajectory) * self.size**2

    @property
    def has_one_expression(self) -> bool:
        """Whether all frames have the same expression, so that only the pose changes."""
        return bool((self.trajectory.z_exp == self.trajectory.z_exp[:1]).all())

    @property
    def widest_rad(self) -> float:
        """Largest angle of a view from frontal, radians."""
        return float(from_frontal(yaw=self.trajectory.yaw, pitch=self.trajectory.pitch).max())


@dataclass(frozen=True)
class RendererChoice:
    """Selects the renderer of each person of a model; what baking needs of the model is computed once for all
    people.
    """

    model: Model
    renderer: Renderer
    """Value of the option ``renderer``."""
    antialias: bool = True
    """Whether outlines are smooth."""

    @cached_property
    def charts(self) -> ManifoldCharts:
        """The model's radiance manifolds, each flattened to a square and sampled on a grid, for baking; computed
        once.
        """
        return model_charts(self.model, BakeConfig().grid)

    def adaptive(self, latents: tuple, psi: float) -> AdaptiveRenderer:
        """Return the renderer that evaluates the networks, only at points that may be visible, for one person.

        ``latents`` are z_id and z_noise, (1, 80) each; ``psi`` is the truncation of the appearance.
        """
        return AdaptiveRenderer(
            lambda z_exp: self.model.face(latents=latents, expression=z_exp, psi=psi), self.antialias
        )

    def select(
        self, name: str, latents: tuple, psi: float, target: VideoRequest
    ) -> tuple[FrameRenderer, dict[str, object]]:
        """Select how a person's requested frames are rendered: with the networks, or by baking an avatar first.

        Args:
            name: name of the person, for messages.
            latents: the person's z_id and z_noise, (1, 80) each.
            psi: truncation of the appearance.
            target: the requested frames.

        Returns:
            The renderer, and what the manifest records of the choice.

        Raises:
            InputError: the option ``renderer`` is baked, and the model, the expressions or the views cannot be baked.
        """
        adaptive = self.adaptive(latents, psi)
        reason = self._reason_against(target)
        if reason is not None and self.renderer == "baked":
            raise InputError(f"renderer is baked, but {reason}; expected auto or adaptive")
        if reason is not None or self.renderer == "adaptive":
            return adaptive, {"renderer": "adaptive"} | ({"why": reason} if self.renderer == "auto" else {})
        try:
            baked, facts = self._bake(latents, psi, target)
        except InputError as error:
            if self.renderer == "baked":
                raise InputError(f"{name}: {error}") from None
            return self._stays_adaptive(name, adaptive, str(error))
        probes = probe_frames(target.trajectory.z_exp, BakeConfig().inbetweens)
        one_ray = [replace(renderer, antialias=False) for renderer in (baked, adaptive)]
        lowest = min(self._psnr(*one_ray, target, k) for k in probes)
        facts["psnr_to_adaptive_db"] = round(lowest, 1)
        if self.renderer == "auto" and lowest < LEAST_PSNR:
            return self._stays_adaptive(name, adaptive, f"the PSNR of baked frames would be {lowest:.1f} dB")
        how = (
            "" if self.renderer == "baked" else "; --renderer adaptive evaluates the networks for every image"
        )
        say(f"{name}: baked, PSNR to adaptive frames at least {lowest:.1f} dB{how}")
        return baked, {"renderer": "baked"} | facts

    @staticmethod
    def _stays_adaptive(
        name: str, adaptive: AdaptiveRenderer, why: str
    ) -> tuple[FrameRenderer, dict[str, object]]:
        say(f"{name}: rendered by the networks, {why}")
        return adaptive, {"renderer": "adaptive", "why": why}

    @property
    def _is_still(self) -> bool:
        """Whether the model's colours depend on the expression, so that they are baked for one expression only."""
        return self.model.generator.config.radiance_offset_gain != 1

    def _reason_against(self, target: VideoRequest) -> str | None:
        """Return why a person cannot be baked, or why ``auto`` does not bake; None if nothing speaks against baking."""
        if self._is_still and not target.has_one_expression:
            gain = self.model.generator.config.radiance_offset_gain
            return (
                f"this model reads its colours beside the manifolds (radiance_offset_gain {gain:.3g}), and the "
                "expression changes"
            )
        if target.widest_rad + MARGIN_RAD > WIDEST_BAKE_RAD:
            return f"a view {target.widest_rad:.2f} radians from frontal is too far aside to be baked"
        if self.renderer == "auto" and target.pixels < LEAST_PIXELS:
            return "there are too few images for baking to pay"
        if len(key_expressions(target.trajectory.z_exp)) > MOST_SHAPES:
            return f"its expressions need more than {MOST_SHAPES} blendshapes"
        return None

    def _bake(
        self, latents: tuple, psi: float, target: VideoRequest
    ) -> tuple[BakedRenderer, dict[str, object]]:
        texture = min(LARGEST_TEXTURE, max(128, round(TEXELS_PER_PIXEL * target.size)))
        config = BakeConfig(texture=texture, widest_rad=target.widest_rad + MARGIN_RAD)
        z_exp = target.trajectory.z_exp
        condition = person_condition(self.model, latents, psi)
        keys = [] if self._is_still else key_expressions(z_exp)
        if self._is_still:
            layered_mesh, report = bake_still(condition, z_exp[0], self.charts, config)
        else:
            layered_mesh, report = bake(condition, z_exp[keys], self.charts, config)
        residual = float(report.residual.max()) if len(report.residual) else 0.0
        baked = BakedRenderer(player_on(self.model.generator.device, layered_mesh), self.antialias)
        facts = {"blendshapes": len(keys), "inbetweens": config.inbetweens} if keys else {"blendshapes": 0}
        return baked, facts | {"texture": texture, "residual_world": residual}

    @staticmethod
    def _psnr(one: FrameRenderer, other: FrameRenderer, target: VideoRequest, k: int) -> float:
        """Return the PSNR between two renderers on frame ``k``, in dB, rendered at no more than PROBE_SIZE pixels: with
        one ray a pixel, these are some of the rays of a larger frame."""
        video = target.trajectory
        yaw, pitch, size = float(video.yaw[k]), float(video.pitch[k]), min(target.size, PROBE_SIZE)
        first, second = (
            renderer.image(video.z_exp[k], yaw=yaw, pitch=pitch, size=size).rgb for renderer in (one, other)
        )
        error = first - second
        return decibels(error.square().mean().item())


def image_renderer(
    video: FrameRenderer,
    adaptive: AdaptiveRenderer,
    z_exp: Float[np.ndarray, "64"],
    *,
    yaw: float,
    pitch: float,
) -> FrameRenderer:
    """Return the renderer for a further image of a person: the one of the frames, ``video``, if it is an avatar that
    was baked for this expression and view; otherwise ``adaptive``, which evaluates the networks.

    ``yaw`` and ``pitch`` are radians from frontal.
    """
    if isinstance(video, BakedRenderer) and video.player.layered_mesh.was_baked_for(
        z_exp, yaw=yaw, pitch=pitch
    ):
        return video
    return adaptive
