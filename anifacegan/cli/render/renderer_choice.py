"""Who draws the images of a film: the networks point by point (adaptive), or a baked avatar (baked).

Baking pays when a person is drawn often. It approximates: so ``auto`` bakes long films only, compares some frames with
the adaptive renderer, and stays with it where one differs too much.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.baking.bake import (
    BakeConfig,
    bake,
    key_expressions,
    model_charts,
    person_condition,
    probe_frames,
)
from anifacegan.avatars.baking.charts import ManifoldCharts
from anifacegan.avatars.baking.still import bake_still
from anifacegan.avatars.players.choice import NumbaPlayer, player_on
from anifacegan.avatars.players.torch_player import TorchPlayer
from anifacegan.cli.render.config import Renderer
from anifacegan.face_model.trajectories import Trajectory
from anifacegan.geometry.cameras import from_frontal
from anifacegan.rendering.frame import FrameRenderer, RenderedImage, decibels
from anifacegan.rendering.model import Face, Model
from anifacegan.runtime.errors import InputError

LEAST_PIXELS = 24 * 256**2
"""auto bakes a person who is drawn on as many pixels in all: baking takes about as long as five frames of 256 px."""
TEXELS_PER_PIXEL = 2.0
"""Texels along a side of the textures for each pixel along a side of the frames."""
LARGEST_TEXTURE = 1024
MOST_SHAPES = 32
"""Blendshapes of a film."""

LEAST_PSNR = 36.0
"""Decibels between baked and adaptive frames below which auto stays with the adaptive renderer."""
WIDER_RAD, WIDEST_BAKE_RAD = 0.05, 1.2
"""The avatar is baked for views so much farther aside than the film's, and for none farther than this."""


@dataclass(frozen=True)
class AdaptiveRenderer:
    """The networks, point by point."""

    face: Callable[[Float[np.ndarray, "64"]], Face]
    """Of one person, with an expression."""

    def image(self, z_exp: Float[np.ndarray, "64"], *, yaw: float, pitch: float, size: int) -> RenderedImage:
        return self.face(z_exp).image(yaw=yaw, pitch=pitch, size=size)


@dataclass(frozen=True)
class Played:
    """A finished avatar, which refuses what it was not baked for."""

    player: Avatar

    def image(self, z_exp: Float[np.ndarray, "64"], *, yaw: float, pitch: float, size: int) -> RenderedImage:
        return self.player.image(yaw=yaw, pitch=pitch, size=size, expression=z_exp)


@dataclass(frozen=True)
class VideoRequest:
    """What is to be drawn of a person: a film."""

    trajectory: Trajectory
    size: int
    """Of the frames, pixels."""

    @property
    def pixels(self) -> int:
        """Of all frames together."""
        return len(self.trajectory) * self.size**2

    @property
    def has_one_expression(self) -> bool:
        """The head turns, and nothing else."""
        return bool((self.trajectory.z_exp == self.trajectory.z_exp[:1]).all())

    @property
    def widest_rad(self) -> float:
        """The angle from frontal of the view farthest aside."""
        return float(from_frontal(yaw=self.trajectory.yaw, pitch=self.trajectory.pitch).max())


@dataclass(frozen=True)
class RendererChoice:
    """Decides for every person of a film; the manifolds are charted once."""

    model: Model
    renderer: Renderer

    @cached_property
    def charts(self) -> ManifoldCharts:
        """Of the model's manifolds, for the grid of :class:`BakeConfig`."""
        return model_charts(self.model, BakeConfig().grid)

    def adaptive(self, latents: tuple, psi: float) -> AdaptiveRenderer:
        """The networks of a person."""
        return AdaptiveRenderer(lambda z_exp: self.model.face(latents=latents, expression=z_exp, psi=psi))

    def of(
        self, name: str, latents: tuple, psi: float, target: VideoRequest
    ) -> tuple[FrameRenderer, dict[str, object]]:
        """The renderer of a person, and what the manifest says of the choice.

        Raises:
            InputError: baked is asked for, and the model or the views cannot be baked.
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
        lowest = min(self._psnr(baked, adaptive, target, k) for k in probes)
        facts["psnr_to_adaptive_db"] = round(lowest, 1)
        if self.renderer == "auto" and lowest < LEAST_PSNR:
            return self._stays_adaptive(
                name, adaptive, f"baked frames would be {lowest:.1f} dB from adaptive ones"
            )
        how = "" if self.renderer == "baked" else "; --renderer adaptive draws every image with the networks"
        print(f"{name}: baked, {lowest:.1f} dB from adaptive frames or better{how}", file=sys.stderr)
        return baked, {"renderer": "baked"} | facts

    @staticmethod
    def _stays_adaptive(
        name: str, adaptive: AdaptiveRenderer, why: str
    ) -> tuple[FrameRenderer, dict[str, object]]:
        print(f"{name}: stays adaptive, {why}", file=sys.stderr)
        return adaptive, {"renderer": "adaptive", "why": why}

    @property
    def _is_still(self) -> bool:
        """Colours are baked for one expression."""
        return self.model.generator.config.radiance_offset_gain != 1

    def _reason_against(self, target: VideoRequest) -> str | None:
        """Why a person is not baked; None where nothing speaks against it."""
        if self._is_still and not target.has_one_expression:
            gain = self.model.generator.config.radiance_offset_gain
            return (
                f"this model reads its colours beside the manifolds (radiance_offset_gain {gain:.3g}), and the "
                "expression changes"
            )
        if target.widest_rad + WIDER_RAD > WIDEST_BAKE_RAD:
            return f"a view {target.widest_rad:.2f} radians from frontal is too far aside to be baked"
        if self.renderer == "auto" and target.pixels < LEAST_PIXELS:
            return "there are too few images for baking to pay"
        if len(key_expressions(target.trajectory.z_exp)) > MOST_SHAPES:
            return f"its expressions need more than {MOST_SHAPES} blendshapes"
        return None

    def _bake(
        self, latents: tuple, psi: float, target: VideoRequest
    ) -> tuple[FrameRenderer, dict[str, object]]:
        texture = min(LARGEST_TEXTURE, max(128, round(TEXELS_PER_PIXEL * target.size)))
        config = BakeConfig(texture=texture, widest_rad=target.widest_rad + WIDER_RAD)
        z_exp = target.trajectory.z_exp
        condition = person_condition(self.model, latents, psi)
        keys = [] if self._is_still else key_expressions(z_exp)
        if self._is_still:
            avatar, report = bake_still(condition, z_exp[0], self.charts, config)
        else:
            avatar, report = bake(condition, z_exp[keys], self.charts, config)
        residual = float(report.residual.max()) if len(report.residual) else 0.0
        player = player_on(self.model.generator.device, avatar)
        facts = {"blendshapes": len(keys), "inbetweens": config.inbetweens} if keys else {"blendshapes": 0}
        return player, facts | {"texture": texture, "residual_world": residual}

    @staticmethod
    def _psnr(one: FrameRenderer, other: FrameRenderer, target: VideoRequest, k: int) -> float:
        """Decibels between two renderers on one image of the film, at no more than 256 px."""
        video = target.trajectory
        yaw, pitch, size = float(video.yaw[k]), float(video.pitch[k]), min(target.size, 256)
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
    """Who draws an image beside a film: the film's avatar, where it was baked for that; else the networks."""
    if isinstance(video, NumbaPlayer | TorchPlayer) and video.avatar.was_baked_for(
        z_exp, yaw=yaw, pitch=pitch
    ):
        return video
    return adaptive
