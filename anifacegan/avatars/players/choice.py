"""Who plays a layered avatar: numba on a CPU, PyTorch on a GPU."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.avatars.players.numba_player import play
from anifacegan.avatars.players.torch_player import TorchPlayer
from anifacegan.rendering.frame import FrameRenderer, RenderedImage


@dataclass(frozen=True)
class NumbaPlayer:
    """On all cores of a CPU."""

    avatar: LayeredMesh

    def image(self, z_exp: Float[np.ndarray, "64"], *, yaw: float, pitch: float, size: int) -> RenderedImage:
        return play(self.avatar, self.avatar.posed(z_exp), yaw=yaw, pitch=pitch, size=size)


def player_on(device: torch.device | str, avatar: LayeredMesh) -> FrameRenderer:
    """The fastest player of a device. Images lie on the device."""
    return NumbaPlayer(avatar) if torch.device(device).type == "cpu" else TorchPlayer(avatar, device)
