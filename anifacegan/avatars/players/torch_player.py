"""Draw a layered mesh in PyTorch, on a GPU: arrays and frames stay on the device.

The images are those of :mod:`anifacegan.avatars.players.numba_player`. First all layers are rasterized into maps
of the triangles through which rays enter and leave each layer. Then all layers are sampled and composited, some rows of
pixels at a time. nvdiffrast rasterizes where it works, else :mod:`anifacegan.geometry.rasterization.torch_backend`,
which gives the same pixels as the player on the CPU. nvdiffrast rounds corners to a sixteenth of a pixel and assigns
one pixel in a hundred to a neighbouring triangle.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.avatars.layered_mesh import LARGEST_SHADE, LayeredMesh
from anifacegan.avatars.players.numba_kernels import LEAST_TRANSMITTANCE
from anifacegan.avatars.players.view import View
from anifacegan.geometry.cameras import Camera
from anifacegan.geometry.config import Backend
from anifacegan.geometry.rasterization.rasterizer import (
    clip_positions,
    load_nvdiffrast,
    nvdiffrast_context,
    select_backend,
)
from anifacegan.geometry.rasterization.torch_backend import corner_shares, nearest_triangles
from anifacegan.geometry.resampling import read_pixels
from anifacegan.rendering.frame import RenderedImage
from anifacegan.rendering.sharp_edges import doubled, mean_weight, with_smooth_edges

MOST_LAYER_PIXELS = {"cpu": 2**20, "cuda": 2**24}
"""Device type -> largest product of pixels and layers that is composited at once, about 300 bytes for each of them."""


@dataclass(frozen=True)
class _Drawing:
    """Some rows of a view, before they are composited."""

    view: View
    """Camera of the view."""
    corners: Float[Tensor, "triangle 3 3"]
    """x, y (pixels, integers at pixel centres) and inverse depth of each triangle's corners."""
    texels: Float[Tensor, "triangle 3 2"]
    """Texture coordinates of the triangles' corners."""
    factors: Float[Tensor, "triangle 3"] | None
    """Factors on the colours at the triangles' corners; None: 1 everywhere."""
    maps: Int[Tensor, "2 layer rows size"]
    """Index of the triangle through which each pixel's ray enters (0) and leaves (1) each layer, or -1."""
    rows: slice
    """Rows of the image."""


class TorchPlayer:
    """Draws a baked person (textured layers with blendshapes) in PyTorch on one device."""

    def __init__(
        self, layered_mesh: LayeredMesh, device: torch.device | str, backend: Backend = "auto"
    ) -> None:
        """Copy the layered mesh to the device; ``backend`` names the rasterizer ("numba" means the same as "torch").

        Raises:
            InputError: nvdiffrast is requested and does not work here.
        """
        self.device, self.ray_sampling = torch.device(device), layered_mesh.ray_sampling
        self.backend = select_backend(backend, self.device)

        def on_device(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

        self.layered_mesh = layered_mesh
        self.vertices, self.texels = on_device(layered_mesh.vertices), on_device(layered_mesh.texels)
        self.blendshapes = on_device(layered_mesh.blendshapes).flatten(2).flatten(0, 1)  # (S * P, V * 3)
        self.texel_offsets = on_device(layered_mesh.texel_offsets).flatten(2).flatten(0, 1)
        shades = layered_mesh.shades
        self.shades = None if shades is None else on_device(shades).flatten(0, 1)  # (S * P, V)
        self.triangles = on_device(layered_mesh.triangles).long()
        counts = np.diff(layered_mesh.layer_starts)
        self.layer = on_device(np.repeat(np.arange(len(counts)), counts))
        starts = layered_mesh.layer_starts[:-1]
        starts = np.concatenate([starts, starts + len(layered_mesh.triangles)])
        self.ranges = torch.from_numpy(np.stack([starts, np.tile(counts, 2)], 1).astype(np.int32))
        self.textures = on_device(layered_mesh.textures).permute(0, 3, 1, 2).float() / 255  # (L, 4, h, w)
        self.background = on_device(layered_mesh.background).permute(2, 0, 1).float()[None] / 255

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
        view = {"yaw": np.array([yaw]), "pitch": np.array([pitch])}
        image = self.frames(z_exp[None], **view, size=size)[0]
        if antialias:
            fine = self.frames(z_exp[None], **view, size=doubled(size))[0]
            fine[:, ::2, ::2] = image
            image = with_smooth_edges(fine, mean_weight(image))
        return RenderedImage(rgb=image[:3], foreground=image[3:4], foreground_rgb=image[4:7], depth=image[7:])

    @torch.no_grad()
    def frames(
        self,
        z_exp: Float[np.ndarray, "frame 64"],
        *,
        yaw: Float[np.ndarray, "frame"],
        pitch: Float[np.ndarray, "frame"],
        size: int,
    ) -> Float[Tensor, "frame 8 size size"]:
        """Draw several square views, each with its own expression coefficients, yaw and pitch (radians from frontal).

        The eight channels are rgb (3), opacity of the head (1), premultiplied rgb of the head (3), and distance from
        the camera in world units (1).
        """
        vertex_weights, texel_weights = (
            torch.from_numpy(weights).flatten(1).to(self.vertices)
            for weights in self.layered_mesh.inbetween_weights(z_exp)
        )
        frames = torch.empty(len(z_exp), 8, size, size, device=self.device)
        for k, frame in enumerate(frames):
            vertices = self.vertices + (vertex_weights[k] @ self.blendshapes).view(-1, 3)
            offsets = (texel_weights[k] @ self.texel_offsets).view(-1, 2)
            fixed = len(vertices) - len(offsets)
            texels = self.texels + torch.nn.functional.pad(offsets, (0, 0, fixed, 0))
            view = View(
                yaw=float(yaw[k]), pitch=float(pitch[k]), size=size, fov_deg=self.ray_sampling.fov_deg
            )
            self._draw_frame(vertices, texels, self._factors(vertex_weights[k]), view, frame)
        return frames

    def _factors(self, weights: Float[Tensor, "weight"]) -> Float[Tensor, "vertex"] | None:
        """Return the factors on the colours at the vertices, for the weights of all in-between shapes."""
        if self.shades is None:
            return None
        return (weights @ self.shades).clamp(-LARGEST_SHADE, LARGEST_SHADE).exp()

    def _draw_frame(
        self,
        vertices: Float[Tensor, "vertex 3"],
        texels: Float[Tensor, "vertex 2"],
        factors: Float[Tensor, "vertex"] | None,
        view: View,
        frame: Float[Tensor, "8 size size"],
    ) -> None:
        """Rasterize the layers, and composite them into ``frame``, some rows at a time."""
        origin, axes = (torch.from_numpy(part).float() for part in view.origin_and_axes)
        focal = (view.size - 1) / 2 / view.tangent
        camera = Camera(
            axes[None].to(self.device),
            -(origin @ axes)[None].to(self.device),
            focal,
            (view.size - 1) / 2,
            view.size,
        )
        in_camera = camera.to_camera(vertices[None])  # (1, V, 3)
        pixels = torch.stack(camera.pixels(in_camera[0]), dim=-1)
        corners = pixels[self.triangles]  # (F, 3 corners, 3)
        a, b, c = corners[..., :2].unbind(1)
        area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
        rasterize = self._nvdiffrast_maps if self.backend == "nvdiffrast" else self._torch_maps
        maps = rasterize(pixels, in_camera, camera, area < 0)  # y runs down: these are seen from outside
        texels = texels[self.triangles]  # (F, 3, 2)
        factors = None if factors is None else factors[self.triangles]
        height = max(1, MOST_LAYER_PIXELS[self.device.type] // (len(self.textures) * view.size))
        for first in range(0, view.size, height):
            rows = slice(first, min(first + height, view.size))
            drawing = _Drawing(view, corners, texels, factors, maps[:, :, rows], rows)
            self._composite(drawing, frame[:, rows])

    # ------------------------------------------------------------------------------------------------- rasterization
    def _torch_maps(
        self, pixels: Tensor, in_camera: Tensor, camera: Camera, outside: Bool[Tensor, "triangle"]
    ) -> Int[Tensor, "2 layer size size"]:
        """Return the triangles through which rays enter and leave each layer, found by this project's rasterizer."""
        layers = len(self.textures)
        which = torch.where(outside, self.layer, layers + self.layer)
        maps = nearest_triangles(*pixels.unbind(-1), self.triangles, which, 2 * layers, camera.size)
        return maps.view(2, layers, camera.size, camera.size)

    def _nvdiffrast_maps(
        self, pixels: Tensor, in_camera: Tensor, camera: Camera, outside: Bool[Tensor, "triangle"]
    ) -> Int[Tensor, "2 layer size size"]:
        """Return the triangles through which rays enter and leave each layer, found by nvdiffrast.

        It draws two copies of the mesh; in one, triangles that face away from the camera are shrunk to points, in the
        other those that face it.
        """
        nvdiffrast = load_nvdiffrast(self.device)
        facing = torch.cat([outside, ~outside])[:, None]
        triangles = torch.where(facing, self.triangles.repeat(2, 1), 0).to(torch.int32)
        clip, resolution = clip_positions(in_camera, camera)[0], [camera.size, camera.size]
        out, _ = nvdiffrast.rasterize(
            nvdiffrast_context(self.device), clip, triangles, resolution, self.ranges
        )
        found = out[..., 3].long() - 1
        maps = torch.where(found < 0, found, found % len(self.triangles))
        return maps.view(2, -1, camera.size, camera.size)

    # --------------------------------------------------------------------------------------------------- compositing
    def _composite(self, drawing: _Drawing, frame: Float[Tensor, "8 rows size"]) -> None:
        """Composite the layers, the outermost first, and the background into some rows of a frame."""
        view, maps, ray_sampling = drawing.view, drawing.maps, self.ray_sampling
        origin, axes = (torch.from_numpy(part).float() for part in view.origin_and_axes)
        half = (view.size - 1) / 2
        column = torch.arange(view.size, device=self.device)
        row = column[drawing.rows, None]
        dx, dy = view.tangent * (column / half - 1), view.tangent * (1 - row / half)
        length = (dx * dx + dy * dy + 1).sqrt()  # of the ray between depths 0 and 1
        along = [dx * float(axis[0]) + dy * float(axis[1]) - float(axis[2]) for axis in axes]
        to_plane = (ray_sampling.background_z - float(origin[2])) / along[2]  # depth along the viewing axis

        entered, left = maps.clamp(min=0)
        weights, depth = corner_shares(drawing.corners[entered], column, row)  # (L, H, W, 3), (L, H, W)
        enters, leaves = depth * length, corner_shares(drawing.corners[left], column, row)[1] * length
        spacing = (ray_sampling.far - ray_sampling.near) / (ray_sampling.samples - 1)
        leaves_interval = ((leaves - ray_sampling.near) / spacing).floor()
        enters_interval = ((enters - ray_sampling.near) / spacing).floor()
        between_samples = (maps[1] >= 0) & (leaves > enters) & (leaves_interval == enters_interval)
        in_range = (enters >= ray_sampling.near) & (enters <= ray_sampling.far) & (depth <= to_plane)
        visible = (maps[0] >= 0) & in_range & ~between_samples

        texel = (drawing.texels[entered] * weights[..., None]).sum(-2)  # (L, H, W, 2)
        colours = read_pixels(self.textures, texel, "border") * visible[:, None]  # (L, 4, H, W)
        alpha = colours[:, 3]
        if drawing.factors is not None:
            factor = (drawing.factors[entered] * weights).sum(-1)[:, None]
            colours = torch.cat(
                [torch.minimum(factor * colours[:, :3], alpha[:, None]), alpha[:, None]], dim=1
            )
        transmittance = torch.cat([torch.ones_like(alpha[:1]), (1 - alpha).cumprod(0)[:-1]])
        transmittance = transmittance * (transmittance >= LEAST_TRANSMITTANCE)
        remaining = (1 - alpha * (transmittance > 0)).prod(0)

        head = (transmittance[:, None] * colours[:, :3]).sum(0)
        side = self.background.shape[-1] - 1
        x, y = (float(o) + to_plane * step for o, step in zip(origin[:2], along[:2], strict=True))
        reach = self.layered_mesh.background_reach
        positions = torch.stack([(x / reach + 1), (1 - y / reach)], dim=-1)[None] * side / 2
        behind = read_pixels(self.background, positions, "border")[0]
        frame[:3] = head + behind * (remaining * (remaining >= LEAST_TRANSMITTANCE))
        frame[3] = 1 - remaining
        frame[4:7] = head
        frame[7] = (transmittance * alpha * enters).sum(0) + remaining * to_plane * length
