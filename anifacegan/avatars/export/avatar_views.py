"""Views of an avatar, and what they say about points of a mesh: whether they are seen, and in which colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from anifacegan.avatars.avatar import Avatar
from anifacegan.geometry.cameras import Camera, from_frontal, orbit_camera
from anifacegan.geometry.rasterization.rasterizer import rasterize
from anifacegan.geometry.resampling import read_pixels
from anifacegan.rendering.surface import visible_surface

OPAQUE = 0.95
"""Opacity from which a pixel shows the person alone."""
LEAST_FACING = 0.15
"""Smallest cosine of the angle between a surface and the viewing direction at which its colour is taken."""
SAME_SURFACE = 0.01
"""Largest distance along a ray between the neutral mesh and the avatar that counts as the same surface, world units."""
BEHIND = 2.5e-4
"""How far behind the mesh's nearest point a point may be that is still seen, world units, where the mesh faces us."""


@dataclass(frozen=True)
class SeenPoints:
    """What a view says about points of a mesh."""

    seen: Bool[np.ndarray, "point"]
    """Whether the view shows the point, and the avatar's surface is there."""
    facing: Float[np.ndarray, "point"]
    """Cosine of the angle between the surface and the viewing axis, at least 0."""
    rgb: Float[np.ndarray, "point 3"]
    """Colour of the point's pixel in [0, 1]."""


@dataclass(frozen=True)
class AvatarView:
    """One image of an avatar, with the camera."""

    camera: Camera
    rgb: Float[np.ndarray, "3 size size"]
    """Colours in [0, 1]."""
    opacity: Float[np.ndarray, "size size"]
    """Opacity of the person in front of the background."""
    distance: Float[np.ndarray, "size size"]
    """Distance of the person's surface from the camera along each pixel's ray, world units; infinite where none is."""

    @cached_property
    def origin(self) -> Float[np.ndarray, "3"]:
        """Position of the camera, world units."""
        return -(self.camera.rotation[0] @ self.camera.translation[0]).numpy()

    def pixels(self, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 2"]:
        """Project points to pixel coordinates."""
        return self.camera.project(torch.from_numpy(points).double()[None])[0].numpy()

    def surface_at(
        self, points: Float[np.ndarray, "point 3"]
    ) -> tuple[Bool[np.ndarray, "point"], Float[np.ndarray, "point"]]:
        """Return whether points lie in the image, and how far each is behind the surface that its pixel shows."""
        pixel = np.rint(self.pixels(points)).astype(int)
        inside = ((pixel >= 0) & (pixel < self.camera.size)).all(axis=1)
        column, row = pixel.clip(0, self.camera.size - 1).T
        return inside, np.linalg.norm(points - self.origin, axis=1) - self.distance[row, column]

    def may_show(
        self,
        points: Float[np.ndarray, "point 3"],
        normals: Float[np.ndarray, "point 3"],
        same_surface: float = SAME_SURFACE,
    ) -> Bool[np.ndarray, "point"]:
        """Return whether the view could show points of a surface at all: it faces the camera, near the avatar's."""
        inside, behind = self.surface_at(points)
        return (
            inside
            & (normals @ self.camera.rotation[0, :, 2].numpy() > 0)
            & (np.abs(behind) < 2 * same_surface)
        )

    def look_at(
        self,
        points: Float[np.ndarray, "point 3"],
        normals: Float[np.ndarray, "point 3"],
        mesh: tuple[Float[np.ndarray, "vertex 3"], Int[np.ndarray, "triangle 3"]],
        same_surface: float = SAME_SURFACE,
    ) -> SeenPoints:
        """Return what the view says about points of a mesh, which is posed as the avatar is.

        ``mesh`` are the vertices and triangles; the points' ``normals`` are unit vectors; ``same_surface`` is the
        largest distance from the avatar's surface, world units, of a point that is seen.
        """
        place = self.pixels(points)
        inside = ((place >= 1) & (place <= self.camera.size - 2)).all(axis=1)
        facing = (normals @ self.camera.rotation[0, :, 2].numpy()).clip(min=0)
        slack = BEHIND * (1 + 1 / np.maximum(facing, 0.1))
        near = self._depth(points) < self._nearest(mesh, place) + slack
        read = self._read(np.concatenate([self.rgb, self.opacity[None]]), place)
        behind = self.surface_at(points)[1]
        seen = (
            inside & near & (facing > LEAST_FACING) & (read[:, 3] > OPAQUE) & (np.abs(behind) < same_surface)
        )
        return SeenPoints(seen, facing, read[:, :3])

    def _depth(self, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point"]:
        return -self.camera.to_camera(torch.from_numpy(points).double()[None])[0, :, 2].numpy()

    def _nearest(
        self,
        mesh: tuple[Float[np.ndarray, "vertex 3"], Int[np.ndarray, "triangle 3"]],
        place: Float[np.ndarray, "point 2"],
    ) -> Float[np.ndarray, "point"]:
        """Return the depth of the mesh's nearest point at pixels; infinite where the mesh is not."""
        vertices, triangles = mesh
        fragments = rasterize(
            torch.from_numpy(vertices).double()[None], torch.from_numpy(triangles), self.camera
        )
        depth = torch.where(fragments.mask, fragments.depth, torch.inf)[0].numpy()
        column, row = np.rint(place).astype(int).clip(0, self.camera.size - 1).T
        return depth[row, column]

    @staticmethod
    def _read(
        image: Float[np.ndarray, "channel size size"], place: Float[np.ndarray, "point 2"]
    ) -> Float[np.ndarray, "point channel"]:
        source = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None]
        at = torch.from_numpy(place).float()[None, None]
        return read_pixels(source, at, beyond="border")[0, :, 0].T.numpy().astype(np.float64)


def avatar_view(
    avatar: Avatar, *, yaw: float, pitch: float, size: int, z_exp: Float[np.ndarray, "64"]
) -> AvatarView:
    """Draw one view of an avatar; ``yaw`` and ``pitch`` are radians from frontal."""
    image = avatar.image(yaw=yaw, pitch=pitch, size=size, expression=z_exp)
    sampling = avatar.layered_mesh.ray_sampling
    surface = visible_surface(image, yaw=yaw, pitch=pitch, ray_sampling=sampling)
    camera = orbit_camera(
        yaw=torch.tensor([yaw]).double(),
        pitch=torch.tensor([pitch]).double(),
        size=size,
        fov_deg=sampling.fov_deg,
    )
    distance = torch.where(surface.mask, surface.distance, torch.inf)
    return AvatarView(
        camera,
        image.rgb.cpu().numpy(),
        image.foreground[0].cpu().numpy(),
        distance.cpu().numpy().astype(np.float64),
    )


def within_reach(
    avatar: Avatar, directions: Sequence[tuple[float, float]]
) -> tuple[tuple[float, float], ...]:
    """Select the directions (yaw, pitch; radians from frontal) to which an avatar can be turned."""
    widest = avatar.layered_mesh.widest_rad
    return tuple((yaw, pitch) for yaw, pitch in directions if from_frontal(yaw=yaw, pitch=pitch) <= widest)
