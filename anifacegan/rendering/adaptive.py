"""The exact renderer for inference: the reference's image, from the few points that decide it.

What an image needs of a ray is its visible crossings. Three things keep the others from being evaluated:

1. Light. Along a ray the manifolds come in the order of their levels: s has to fall through a higher level before a
   lower one. So each is shaded before the next is looked for, and a ray ends where less than 1/4096 of its light is
   left; its last point then counts as opaque.
2. Neighbours. Every k-th ray of every k-th row is walked from end to end. These rays cut the image into cells of
   about 0.0028 world units. A sheet that none of the 16 rays about a cell sees (alpha below 1e-7, or not there) is left
   out inside, unless it ends, folds or is steep there; of the others, four corners say between which samples to look,
   and the samples there are evaluated and must enclose the level.
3. Doubt. Where a ray's corners miss a sheet or see a fold, or where the samples do not enclose the level, all samples
   of the ray are evaluated, and tell where its sheets are from there on.

What can be lost is a speck on one sheet that is smaller than a cell and that no ray around it touches. Points are in
world units; the method is section 1 of the paper's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.geometry.rays import Rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.numba_fields import with_numba_fields
from anifacegan.runtime.cpu import on_all_cores, one_blas_thread

OPAQUE = 1 / 4096
"""A ray with less light than this ends."""
CLEAR = 1e-7
"""A sheet with less opacity than this is not seen. Densities are smooth, so a speck has a faint surrounding: at 1/8192
the rays about a cell overlook one in every twenty images of the demo; at this they notice it."""
CELL = 0.0028
"""Distance of the rays that are walked from end to end, world units, rounded to pixels: 3 of 256, 2 of 128, 1 of 64. A
head is 0.15 wide, an iris 0.01."""
FOLD = 0.008
"""Corners of a cell whose crossings of one sheet lie farther apart than this do not say where it is, world units."""
STEEP = 0.006
"""Corners that lie farther apart than this say where the sheet is, but between them it may be seen for a pixel."""
STEPS = 4
"""Samples are looked for this often around the expected crossing."""
CHUNKS = 8
"""A ray that may end is marched in so many parts."""
SLICE_SAMPLES = {"cpu": 2**18, "cuda": 2**22}
"""Samples of the march that are in memory at once, by device; on a CPU, of each core."""
FEW_RAYS = 64
"""A core is not asked for fewer."""


@torch.inference_mode()
@one_blas_thread()
def render_adaptive(
    fields: ConditionedFields, rays: Rays, size: int, stride: int | None = None
) -> Float[Tensor, "8 size size"]:
    """rgb, opacity of the head, its premultiplied rgb, and expected distance, of a square image's rays.

    For a single avatar whose levels fall. Every ``stride``-th ray is walked from end to end; null chooses by ``CELL``,
    1 walks all of them and guesses nothing.
    """
    scene = _Scene(with_numba_fields(fields), rays)
    if stride is None:
        pixel = 2 * math.tan(math.radians(fields.ray_sampling.fov_deg / 2)) / max(size - 1, 1)
        stride = max(1, round(CELL / pixel))
    everything = torch.arange(size * size, device=rays.origins.device)
    if stride == 1 or size <= stride:
        return scene.walk(everything).values.T.reshape(8, size, size)
    cells = _Cells.between(scene, size, stride)
    values = rays.origins.new_empty(size * size, 8)
    values[cells.pixels] = cells.corners.values
    inside = torch.ones_like(everything, dtype=torch.bool)
    inside[cells.pixels] = False
    between = everything[inside]

    def look(some: slice) -> None:
        values[between[some]] = _look_between(scene, cells, between[some])

    scene.in_slices(len(between), look)
    return values.T.reshape(8, size, size)


@dataclass(frozen=True)
class _Walk:
    """What rays saw that were walked."""

    values: Float[Tensor, "ray 8"]
    place: Float[Tensor, "ray level"]
    """Distance of the crossings; 0 where there is none, or behind the end of the light."""
    hit: Bool[Tensor, "ray level"]
    clear: Bool[Tensor, "ray level"]
    """The sheet is known not to be seen here: transparent, not there, or behind the background."""


class _Light:
    """Front-to-back blending of rays: what they have seen, and the light that is left."""

    def __init__(self, like: Float[Tensor, "ray 3"]) -> None:
        self.left = like.new_ones(len(like))
        self.checksums = like.new_zeros(len(like), 4)  # rgb and distance

    def meet(self, ray: Int[Tensor, "point"], rgb: Tensor, alpha: Tensor, t: Tensor) -> None:
        """One point each of some rays, (P, 3), (P,), (P,). Where hardly any light is left behind it, it is opaque."""
        light = self.left[ray]
        left = light * (1 - alpha)
        ends = left < OPAQUE
        self.left[ray] = left.masked_fill(ends, 0.0)
        weight = torch.where(ends, light, light * alpha)
        self.checksums[ray] += weight[:, None] * torch.cat([rgb, t[:, None]], dim=1)


class _Scene:
    """One avatar and the rays of one image."""

    def __init__(self, fields: ConditionedFields, rays: Rays) -> None:
        self.fields, ray_sampling = fields, fields.ray_sampling
        self.origins, self.directions = rays.origins[0], rays.directions[0]
        self.t = torch.linspace(
            ray_sampling.near, ray_sampling.far, ray_sampling.samples, dtype=self.origins.dtype
        ).to(self.origins)
        self.plane = (ray_sampling.background_z - self.origins[:, 2]) / self.directions[:, 2]
        self.levels = fields.levels.tolist()

    def in_slices(self, rays: int, work: Callable[[slice], None]) -> None:
        """So many rays, some at a time; on a CPU each of its cores has some."""
        device = self.origins.device.type
        size = max(1, SLICE_SAMPLES[device] // len(self.t))
        if device == "cpu":
            size = min(size, max(FEW_RAYS, -(-rays // torch.get_num_threads())))
        slices = [slice(start, start + size) for start in range(0, rays, size)]
        if device == "cpu":
            on_all_cores(slices, work)
        else:
            for some in slices:
                work(some)

    def sample(self, ray: Tensor, t: Tensor) -> tuple[Float[Tensor, "point"], Float[Tensor, "point 3"]]:
        """Manifold scalar and step to the template, of one distance on each ray."""
        x = self.origins[ray] + t[:, None] * self.directions[ray]
        delta = self.fields.offset(x[None])
        return self.fields.level(x[None] + delta)[0], delta[0]

    def shade(self, ray: Tensor, t: Tensor, delta: Float[Tensor, "point 3"]) -> tuple[Tensor, Tensor]:
        """rgb (P, 3) and alpha (P,) of crossings."""
        x = self.origins[ray] + t[:, None] * self.directions[ray] + self.fields.radiance_offset_gain * delta
        x = x[None] if self.fields.align is None else x[None] + self.fields.align(x[None])
        rgb, alpha = self.fields.radiance(x)
        return rgb[0], alpha[0]

    def finish(self, pixels: Int[Tensor, "ray"], light: _Light) -> Float[Tensor, "ray 8"]:
        """The background takes what light is left; it is read where it is, not moved by any field."""
        head, opacity = light.checksums[:, :3].clone(), 1 - light.left
        ray = light.left.nonzero()[:, 0]
        t = self.plane[pixels[ray]]
        x = self.origins[pixels[ray]] + t[:, None] * self.directions[pixels[ray]]
        rgb, _ = self.fields.radiance(x[None])
        light.meet(ray, rgb[0], torch.ones_like(t), t)
        return torch.cat([light.checksums[:, :3], opacity[:, None], head, light.checksums[:, 3:]], dim=1)

    def walk(self, pixels: Int[Tensor, "ray"], whole: bool = False) -> _Walk:
        """Rays on their own: the first crossing of every level, shaded while there is light.

        ``whole`` goes on to the end of the march where the light has ended, for the places of all crossings.
        """
        parts: dict[int, _Walk] = {}

        def walk(some: slice) -> None:
            parts[some.start] = self._walk(pixels[some], whole)

        self.in_slices(len(pixels), walk)
        names = ("values", "place", "hit", "clear")
        return _Walk(
            **{name: torch.cat([getattr(part, name) for _, part in sorted(parts.items())]) for name in names}
        )

    def _walk(self, pixels: Tensor, whole: bool) -> _Walk:
        count, levels = len(pixels), self.fields.levels
        light = _Light(self.origins[pixels])
        place = self.origins.new_zeros(count, len(levels))
        hit = torch.zeros_like(place, dtype=torch.bool)
        clear, decided = hit.clone(), hit.clone()
        s_last, delta_last = place.new_empty(count, 1), place.new_empty(count, 1, 3)
        size = len(self.t) if whole else -(-len(self.t) // CHUNKS)
        for first in range(0, len(self.t), size):
            ray = torch.arange(count, device=place.device) if whole else light.left.nonzero()[:, 0]
            t = self.t[first : first + size]
            s, delta = self.sample(pixels[ray].repeat_interleave(len(t)), t.repeat(len(ray)))
            s, delta = s.reshape(-1, len(t)), delta.reshape(-1, len(t), 3)
            if first:  # and the last sample of the part before
                s, delta = torch.cat([s_last[ray], s], 1), torch.cat([delta_last[ray], delta], 1)
                t = self.t[first - 1 : first + size]
            s_last[ray], delta_last[ray] = s[:, -1:], delta[:, -1:]

            change, falls, interval = _first_change(s[:, None], levels[:, None])  # (R, L)
            new = change & ~decided[ray]
            met = new & falls
            decided[ray] |= new
            for k, level in enumerate(self.levels):
                row = met[:, k].nonzero()[:, 0]
                if not len(row):
                    continue
                i = interval[row, k]
                fraction = (s[row, i] - level) / (s[row, i] - s[row, i + 1])
                distance = torch.lerp(t[i], t[i + 1], fraction)
                one = ray[row]
                place[one, k], hit[one, k] = distance, True
                before = distance <= self.plane[pixels[one]]
                clear[one[~before], k] = True
                seen = before & (light.left[one] > 0)
                row, i, one, distance = row[seen], i[seen], one[seen], distance[seen]
                step = torch.lerp(delta[row, i], delta[row, i + 1], fraction[seen, None])
                rgb, alpha = self.shade(pixels[one], distance, step)
                light.meet(one, rgb, alpha, distance)
                clear[one, k] = alpha < CLEAR
        return _Walk(self.finish(pixels, light), place, hit, clear | ~hit)


def _first_change(
    s: Float[Tensor, "... sample"], level: Float[Tensor, "... 1"]
) -> tuple[Bool[Tensor, "..."], Bool[Tensor, "..."], Int[Tensor, "..."]]:
    """Whether s changes sides of a level, whether it is above until then, so that the level is met there, and the last
    sample before.
    """
    above = s >= level
    changes = above[..., 1:] != above[..., :-1]
    return changes.any(dim=-1), above[..., 0], changes.to(torch.uint8).argmax(dim=-1)


@dataclass(frozen=True)
class _Cells:
    """An image cut by rays that were walked: C x C of them, and (C - 1) x (C - 1) cells."""

    size: int
    lines: Int[Tensor, "line"]
    """Rows, and columns, of the image that have such rays; the first and the last are among them."""
    pixels: Int[Tensor, "corner"]
    corners: _Walk
    target: Bool[Tensor, "cell level"]
    """Some ray about the cell sees the sheet, or does not know."""
    doubtful: Bool[Tensor, "cell level"]
    """The corners do not say where the sheet is inside."""

    @classmethod
    def between(cls, scene: _Scene, size: int, stride: int) -> "_Cells":
        lines = torch.arange(0, size, stride, device=scene.t.device)
        if lines[-1] < size - 1:
            lines = torch.cat([lines, lines.new_tensor([size - 1])])
        pixels = (lines[:, None] * size + lines).flatten()
        walk = scene.walk(pixels, whole=True)

        def largest(values: Tensor, about: int) -> Tensor:
            """Of the corners of each cell, and of ``about`` more lines around it: (cells, L)."""
            grid = values.T.reshape(1, -1, len(lines), len(lines))
            grid = torch.nn.functional.pad(grid, (about,) * 4, value=-torch.inf)
            return torch.nn.functional.max_pool2d(grid, 2 + 2 * about, 1)[0].flatten(1).T

        def any_of(values: Tensor, about: int) -> Tensor:
            return largest(values.to(walk.place.dtype), about) > 0

        front = any_of(walk.hit & (walk.place <= scene.plane[pixels, None]), 0)
        spread = largest(walk.place, 0) + largest(-walk.place, 0)
        torn = any_of(~walk.hit, 0) | (spread > FOLD)
        target = any_of(~walk.clear, 1) | (front & (torn | (spread > STEEP)))
        return cls(size, lines, pixels, walk, target, torn)

    def of(self, pixels: Int[Tensor, "ray"]) -> tuple[Tensor, Tensor, Tensor]:
        """(R,) cell, and (R, 4) corners of it and their weights, bilinear."""
        last = len(self.lines) - 2
        low, share = [], []
        for index in (pixels // self.size, pixels % self.size):  # row, column
            line = (torch.searchsorted(self.lines, index, right=True) - 1).clamp(max=last)
            low.append(line)
            near, far = self.lines[line], self.lines[line + 1]
            share.append((index - near).to(self.corners.place) / (far - near))
        (row, column), (down, right) = low, share
        corner = row * (last + 2) + column
        corners = torch.stack([corner, corner + 1, corner + last + 2, corner + last + 3], dim=1)
        weights = torch.stack(
            [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], dim=1
        )
        return row * (last + 1) + column, corners, weights


class _Samples:
    """The samples of the march on some rays; each is evaluated when it is first asked for."""

    def __init__(self, scene: _Scene, pixels: Int[Tensor, "ray"]) -> None:
        self.scene, self.pixels, self.count = scene, pixels, len(scene.t)
        self.s = scene.origins.new_full((len(pixels) * self.count,), torch.nan)
        self.delta = scene.origins.new_empty(len(pixels) * self.count, 3)
        self.every = torch.arange(self.count, device=pixels.device)
        self.all_known = torch.zeros_like(pixels, dtype=torch.bool)

    def at(self, index: Int[Tensor, "ray k"]) -> Float[Tensor, "ray k"]:
        """s of samples; ray r has those from r * count on."""
        new = index[self.s[index].isnan()]
        if len(new):
            t = self.scene.t[new % self.count]
            self.s[new], self.delta[new] = self.scene.sample(self.pixels[new // self.count], t)
        return self.s[index]

    def all_of(self, ray: Int[Tensor, "one"]) -> Float[Tensor, "one count"]:
        """s of all samples of some rays."""
        new = ray[~self.all_known[ray]]
        self.at(new[:, None] * self.count + self.every)
        self.all_known[new] = True
        return self.s.view(-1, self.count)[ray]

    def near(
        self, ray: Int[Tensor, "one"], expected: Float[Tensor, "one"], level: float
    ) -> tuple[Bool[Tensor, "one"], Int[Tensor, "one"]]:
        """Whether s falls through a level near an expected distance, and the last sample before."""
        first, last = self.scene.t[0], self.scene.t[-1]
        i = ((expected - first) / (last - first) * (self.count - 1)).long().clamp(0, self.count - 2)
        for _ in range(STEPS):
            above = self.at((ray * self.count + i)[:, None] + self.every[:2]) >= level
            found = above[:, 0] & ~above[:, 1]
            move = torch.where(found, 0, torch.where(above[:, 0], 1, -1))
            if not move.any():
                break
            i = (i + move).clamp(0, self.count - 2)
        return found, i

    def first(self, ray: Int[Tensor, "one"], level: float) -> tuple[Bool[Tensor, "one"], Int[Tensor, "one"]]:
        """Whether a level is met, by all samples, and the last one before."""
        change, falls, i = _first_change(self.all_of(ray), self.s.new_full((1, 1), level))
        return change & falls, i


def _look_between(scene: _Scene, cells: _Cells, pixels: Int[Tensor, "ray"]) -> Float[Tensor, "ray 8"]:
    """Values of rays inside cells."""
    cell, corners, weights = cells.of(pixels)
    light = _Light(scene.origins[pixels])
    samples = _Samples(scene, pixels)
    for k, level in enumerate(scene.levels):
        seen = cells.target[cell, k] & (light.left > 0)
        doubtful = cells.doubtful[cell, k] | samples.all_known
        ray = (seen & ~doubtful).nonzero()[:, 0]
        met, i = samples.near(ray, (cells.corners.place[corners[ray], k] * weights[ray]).sum(dim=1), level)
        alone = torch.cat([(seen & doubtful).nonzero()[:, 0], ray[~met]])
        met_alone, i_alone = samples.first(alone, level)
        ray = torch.cat([ray[met], alone[met_alone]])
        if not len(ray):
            continue
        i = torch.cat([i[met], i_alone[met_alone]])
        near = ray * samples.count + i
        s, delta = samples.s, samples.delta
        fraction = (s[near] - level) / (s[near] - s[near + 1])
        t = torch.lerp(scene.t[i], scene.t[i + 1], fraction)
        before = t <= scene.plane[pixels[ray]]
        ray, near, fraction, t = (values[before] for values in (ray, near, fraction, t))
        rgb, alpha = scene.shade(pixels[ray], t, torch.lerp(delta[near], delta[near + 1], fraction[:, None]))
        light.meet(ray, rgb, alpha, t)
    return scene.finish(pixels, light)
