"""Plays a layered avatar in PyTorch, on a GPU: what it needs lies there, and so do the frames.

Step by step as :mod:`anifacegan.playback` does it on a CPU: sheets are drawn into maps of the triangles that rays enter
and leave by, then all sheets are read at once, for some rows of pixels, and blended. The maps are drawn by nvdiffrast
where it works, else by :mod:`anifacegan.torch_rasterizer`, which draws the very pixels of the CPU's player; nvdiffrast
rounds corners to a sixteenth of a pixel, and gives one pixel in a hundred to a neighbouring triangle.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.avatars.players.numba_player import DARK, View
from anifacegan.geometry.cameras import Camera
from anifacegan.geometry.rasterization.rasterizer import (
    Backend,
    clip_positions,
    load_nvdiffrast,
    nvdiffrast_context,
    select_backend,
)
from anifacegan.geometry.rasterization.torch_backend import corner_shares, nearest_triangles
from anifacegan.geometry.resampling import read_pixels
from anifacegan.rendering.frame import RenderedImage

BLENDED = {"cpu": 2**20, "cuda": 2**24}
"""Pixels of sheets that are blended at once, by device; each takes about 300 bytes."""


class TorchPlayer:
    """One avatar on one device."""

    def __init__(self, avatar: LayeredMesh, device: torch.device | str, backend: Backend = "auto") -> None:
        """``backend`` draws the maps, see :func:`anifacegan.rasterizer.select_backend`; numba's are torch's here.

        Raises:
            InputError: nvdiffrast is asked for and does not work here.
        """
        self.device, self.ray_sampling = torch.device(device), avatar.ray_sampling
        self.backend = select_backend(backend, self.device)

        def here(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

        self.avatar = avatar
        self.vertices, self.texels = here(avatar.vertices), here(avatar.texels)
        self.blendshapes = here(avatar.blendshapes).flatten(2).flatten(0, 1)  # (S * P, V * 3)
        self.texel_steps = here(avatar.texel_steps).flatten(2).flatten(0, 1)
        self.triangles = here(avatar.triangles).long()
        counts = np.diff(avatar.starts)
        self.layer = here(np.repeat(np.arange(len(counts)), counts))
        starts = np.concatenate([avatar.starts[:-1], avatar.starts[:-1] + len(avatar.triangles)])
        self.ranges = torch.from_numpy(np.stack([starts, np.tile(counts, 2)], 1).astype(np.int32))
        self.textures = here(avatar.textures).permute(0, 3, 1, 2).float() / 255  # (L, 4, h, w)
        self.background = here(avatar.background).permute(2, 0, 1).float()[None] / 255  # (1, 3, b, b)

    def image(self, z_exp: Float[np.ndarray, "64"], *, yaw: float, pitch: float, size: int) -> RenderedImage:
        """One view; angles as those of :meth:`anifacegan.library.Face.image`."""
        image = self.frames(z_exp[None], yaw=np.array([yaw]), pitch=np.array([pitch]), size=size)[0]
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
        """Views on the device: rgb, opacity of the head, its premultiplied rgb, and distance."""
        shares, glides = (
            torch.from_numpy(found).flatten(1).to(self.vertices) for found in self.avatar.shares(z_exp)
        )
        frames = torch.empty(len(z_exp), 8, size, size, device=self.device)
        for k, (frame, share, glide) in enumerate(zip(frames, shares, glides, strict=True)):
            vertices = self.vertices + (share @ self.blendshapes).view(-1, 3)
            steps = (glide @ self.texel_steps).view(-1, 2)
            texels = self.texels + torch.nn.functional.pad(steps, (0, 0, len(vertices) - len(steps), 0))
            view = View(
                yaw=float(yaw[k]), pitch=float(pitch[k]), size=size, fov_deg=self.ray_sampling.fov_deg
            )
            self._frame(vertices, texels, view, frame)
        return frames

    def _frame(
        self,
        vertices: Float[Tensor, "vertex 3"],
        texels: Float[Tensor, "vertex 2"],
        view: View,
        frame: Float[Tensor, "8 size size"],
    ) -> None:
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
        places = torch.stack(camera.pixels(in_camera[0]), dim=-1)
        corners = places[self.triangles]  # (F, 3 corners, 3)
        a, b, c = corners[..., :2].unbind(1)
        area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
        draw = self._drawn_by_nvdiffrast if self.backend == "nvdiffrast" else self._drawn_by_torch
        maps = draw(places, in_camera, camera, area < 0)  # y runs down: these are seen from outside
        texels = texels[self.triangles]  # (F, 3, 2)
        some = max(1, BLENDED[self.device.type] // (len(self.textures) * view.size))
        for first in range(0, view.size, some):
            rows = slice(first, min(first + some, view.size))
            self._blend(corners, texels, maps[:, :, rows], rows, origin, axes, view, frame[:, rows])

    # ------------------------------------------------------------------------------------------------------- drawing
    def _drawn_by_torch(
        self, places: Tensor, in_camera: Tensor, camera: Camera, outside: Bool[Tensor, "triangle"]
    ) -> Int[Tensor, "2 layer size size"]:
        layers = len(self.textures)
        which = torch.where(outside, self.layer, layers + self.layer)
        maps = nearest_triangles(*places.unbind(-1), self.triangles, which, 2 * layers, camera.size)
        return maps.view(2, layers, camera.size, camera.size)

    def _drawn_by_nvdiffrast(
        self, places: Tensor, in_camera: Tensor, camera: Camera, outside: Bool[Tensor, "triangle"]
    ) -> Int[Tensor, "2 layer size size"]:
        """In two copies of the triangles, those of the other way are points."""
        nvdiffrast = load_nvdiffrast(self.device)
        ways = torch.cat([outside, ~outside])[:, None]
        triangles = torch.where(ways, self.triangles.repeat(2, 1), 0).to(torch.int32)
        clip, resolution = clip_positions(in_camera, camera)[0], [camera.size, camera.size]
        out, _ = nvdiffrast.rasterize(
            nvdiffrast_context(self.device), clip, triangles, resolution, self.ranges
        )
        found = out[..., 3].long() - 1
        maps = torch.where(found < 0, found, found % len(self.triangles))
        return maps.view(2, -1, camera.size, camera.size)

    # ------------------------------------------------------------------------------------------------------ blending
    def _blend(
        self,
        corners: Float[Tensor, "triangle 3 3"],
        texels: Float[Tensor, "triangle 3 2"],
        maps: Int[Tensor, "2 layer rows size"],
        rows: slice,
        origin: Float[Tensor, "3"],
        axes: Float[Tensor, "3 3"],
        view: View,
        frame: Float[Tensor, "8 rows size"],
    ) -> None:
        ray_sampling, half = self.ray_sampling, (view.size - 1) / 2
        column = torch.arange(view.size, device=self.device)
        row = column[rows, None]
        dx, dy = view.tangent * (column / half - 1), view.tangent * (1 - row / half)
        length = (dx * dx + dy * dy + 1).sqrt()  # of the ray between depths 0 and 1
        along = [dx * float(axis[0]) + dy * float(axis[1]) - float(axis[2]) for axis in axes]
        to_plane = (ray_sampling.background_z - float(origin[2])) / along[2]  # depth along the viewing axis

        enters_by, leaves_by = maps.clamp(min=0)
        shares, depth = corner_shares(corners[enters_by], column, row)  # (L, H, W, 3), (L, H, W)
        enters, leaves = depth * length, corner_shares(corners[leaves_by], column, row)[1] * length
        spacing = (ray_sampling.far - ray_sampling.near) / (ray_sampling.samples - 1)
        between_samples = ((leaves - ray_sampling.near) / spacing).floor() == (
            (enters - ray_sampling.near) / spacing
        ).floor()
        missed = (maps[1] >= 0) & (leaves > enters) & between_samples
        seen = (
            (maps[0] >= 0)
            & (enters >= ray_sampling.near)
            & (enters <= ray_sampling.far)
            & (depth <= to_plane)
            & ~missed
        )

        place = (texels[enters_by] * shares[..., None]).sum(-2)  # (L, H, W, 2)
        colours = read_pixels(self.textures, place, "border") * seen[:, None]  # (L, 4, H, W)
        alpha = colours[:, 3]
        before = torch.cat([torch.ones_like(alpha[:1]), (1 - alpha).cumprod(0)[:-1]])
        before = before * (before >= DARK)
        light = (1 - alpha * (before > 0)).prod(0)

        head = (before[:, None] * colours[:, :3]).sum(0)
        side = self.background.shape[-1] - 1
        x, y = (float(o) + to_plane * step for o, step in zip(origin[:2], along[:2], strict=True))
        reach = self.avatar.background_reach
        places = torch.stack([(x / reach + 1), (1 - y / reach)], dim=-1)[None] * side / 2
        behind = read_pixels(self.background, places, "border")[0]
        frame[:3] = head + behind * (light * (light >= DARK))
        frame[3] = 1 - light
        frame[4:7] = head
        frame[7] = (before * alpha * enters).sum(0) + light * to_plane * length
