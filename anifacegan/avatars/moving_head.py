"""An avatar's head that moves in the image, before a background that stays where it is.

A camera that turns about a head turns the background with it. In a film of a person the head turns, tilts and moves
before a still wall: so the head is drawn alone, by a camera that sees some more, moved in the image, and laid over the
background of one view.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.avatars.avatar import Avatar
from anifacegan.geometry.cameras import widened_fov
from anifacegan.geometry.resampling import read_pixels


class MovingHead:
    """Draws frames of an avatar whose head is moved in the image.

    Args:
        avatar: the avatar.
        size: height and width of the frames, pixels.
        yaw: yaw of the view whose background stays, radians from frontal.
        pitch: pitch of that view.
        reach: side of what is drawn of the head, in sides of a frame; what is moved into a frame from beyond that is
            the outermost pixels.
    """

    def __init__(self, avatar: Avatar, size: int, *, yaw: float, pitch: float, reach: float) -> None:
        mesh = avatar.layered_mesh
        sampling = replace(mesh.ray_sampling, fov_deg=widened_fov(mesh.ray_sampling.fov_deg, reach))
        self._wide = replace(avatar, layered_mesh=replace(mesh, ray_sampling=sampling))
        self._wide_size = round(reach * (size - 1)) + 1
        self._reach = (self._wide_size - 1) / (size - 1)
        nothing = np.zeros((0, 3), mesh.triangles.dtype)
        wall = replace(mesh, triangles=nothing, layer_starts=np.zeros_like(mesh.layer_starts))
        self._background = replace(avatar, layered_mesh=wall).render(yaw=yaw, pitch=pitch, size=size)

    def frame(
        self,
        z_exp: Float[np.ndarray, "64"],
        places: Float[np.ndarray, "size size 2"],
        *,
        yaw: float,
        pitch: float,
    ) -> Float[torch.Tensor, "3 size size"]:
        """Draw one frame; colours are in [0, 1].

        Args:
            z_exp: expression.
            places: for each pixel of the frame, the point of the head's own view that it shows: x (right) and y (down)
                in sides of the view, from its middle.
            yaw: yaw of the head, radians from frontal.
            pitch: pitch of the head.
        """
        view = {"yaw": yaw, "pitch": pitch, "size": self._wide_size}
        image = self._wide.image(expression=z_exp, **view)
        head = torch.cat([image.foreground_rgb, image.foreground])[None]
        pixels = (places / self._reach + 0.5) * (self._wide_size - 1)
        moved = read_pixels(head, torch.from_numpy(pixels).float()[None], beyond="border")[0]
        return moved[:3] + (1 - moved[3:]) * self._background
