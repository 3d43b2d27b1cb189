"""Cameras and points for tests that say where things are in pixels."""

import numpy as np
import torch

from anifacegan.cameras import Camera


def plain_camera(size: int, batch: int = 1, device: str = "cpu") -> Camera:
    """Looks along -z from the origin; at depth 1, x in -1 .. 1 spans the centres of the corner pixels."""
    eye = torch.eye(3, device=device).expand(batch, 3, 3)
    half = (size - 1) / 2
    return Camera(eye, torch.zeros(batch, 3, device=device), half, half, size)


def at_pixels(pixels: np.ndarray, depth: np.ndarray | float, size: int) -> torch.Tensor:
    """Points of the plain camera's frame that project to given pixels (N, 2) at given depths."""
    half = (size - 1) / 2
    depth = np.broadcast_to(depth, len(pixels))
    xy = (pixels - half) / half * [1, -1] * depth[:, None]
    return torch.from_numpy(np.concatenate([xy, -depth[:, None]], axis=1)).float()


def on(camera: Camera, device: str) -> Camera:
    return Camera(
        camera.rotation.to(device), camera.translation.to(device), camera.focal_px, camera.principal_px, camera.size
    )
