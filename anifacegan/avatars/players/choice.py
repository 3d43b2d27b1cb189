"""Choose the player of a layered mesh: numba on a CPU, PyTorch on a GPU."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.avatars.players.numba_player import play
from anifacegan.avatars.players.torch_player import TorchPlayer
from anifacegan.rendering.frame import RenderedImage


@dataclass(frozen=True)
class NumbaPlayer:
    """Draws a baked person (textured layers with blendshapes) on all cores of a CPU."""

    layered_mesh: LayeredMesh
    """The mesh to draw."""

    def image(
        self,
        z_exp: Float[np.ndarray, "64"],
        *,
        yaw: float,
        pitch: float,
        size: int,
        antialias: bool = False,
    ) -> RenderedImage:
        """Draw one square view of ``size`` pixels with the expression of the coefficients ``z_exp``.

        Angles are radians from frontal; at positive yaw the face turns to the image's right, at positive pitch it looks
        down. With ``antialias``, outlines are smooth; otherwise a pixel is one ray.
        """
        pose = self.layered_mesh.posed(z_exp)
        return play(self.layered_mesh, pose, yaw=yaw, pitch=pitch, size=size, antialias=antialias)


def player_on(device: torch.device | str, layered_mesh: LayeredMesh) -> NumbaPlayer | TorchPlayer:
    """Return the fastest program that draws a baked person on a device; its images lie on this device."""
    if torch.device(device).type == "cpu":
        return NumbaPlayer(layered_mesh)
    return TorchPlayer(layered_mesh, device)
