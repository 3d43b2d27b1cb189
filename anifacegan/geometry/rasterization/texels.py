"""The texels of a texture: which triangle each belongs to, and where in the triangle it lies."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from anifacegan.geometry.rasterization.numba_kernels import draw_triangles


@dataclass(frozen=True)
class TexelOwners:
    """The triangle that each texel of a layer belongs to, and the texel's place in it."""

    flat: Int[np.ndarray, "texel"]
    """Flat indices of the texels in the texture."""
    corners: Int[np.ndarray, "texel 3"]
    """Vertex indices of their triangles."""
    shares: Float[np.ndarray, "texel 3"]
    """Weights of the corners."""

    def interpolated(self, values: Float[np.ndarray, "vertex channel"]) -> Float[np.ndarray, "texel channel"]:
        """Interpolate values at vertices at the texels."""
        return (values[self.corners] * self.shares[..., None]).sum(axis=1)

    def summed(
        self, values: Float[np.ndarray, "texel channel"], count: int, power: int = 1
    ) -> tuple[Float[np.ndarray, "vertex channel"], Float[np.ndarray, "vertex"]]:
        """Return for each of ``count`` vertices the sum of the texels around it, weighted by this power of their
        shares, and the sum of the weights; 0 where there are none."""
        sums, weights = np.zeros((count, values.shape[1])), np.zeros(count)
        for vertex, share in zip(self.corners.T, self.shares.T**power, strict=True):
            for channel in range(values.shape[1]):
                sums[:, channel] += np.bincount(vertex, share * values[:, channel], count)
            weights += np.bincount(vertex, share, count)
        return sums, weights


def texel_owners(
    texels: Float[np.ndarray, "vertex 2"],
    triangles: Int[np.ndarray, "triangle 3"],
    priority: Float[np.ndarray, "vertex"],
    size: int,
) -> TexelOwners:
    """Find the triangle of each texel; where several overlap, the one whose ``priority`` is largest there."""
    x, y = (np.ascontiguousarray(axis, np.float32) for axis in texels.T)
    owner = np.full((size, size), -1, np.int32)
    draw_triangles(
        x, y, np.ascontiguousarray(priority, np.float32), np.ascontiguousarray(triangles, np.int32), owner,
        np.zeros((size, size), np.float32),
    )  # fmt: skip
    row, column = (owner >= 0).nonzero()
    corners = triangles[owner[row, column]]
    shares = _barycentric(texels[corners].astype(np.float64), np.stack([column, row], axis=-1))
    return TexelOwners(row * size + column, corners, shares)


def _barycentric(corners: Float[np.ndarray, "point 3 2"], at: np.ndarray) -> Float[np.ndarray, "point 3"]:
    a, b, c = corners.transpose(1, 0, 2)
    (abx, aby), (acx, acy), (apx, apy) = ((p - a).T for p in (b, c, at))
    area = abx * acy - aby * acx
    area = np.where(np.abs(area) < 1e-12, 1e-12, area)
    to_b, to_c = (apx * acy - apy * acx) / area, (abx * apy - aby * apx) / area
    shares = np.stack([1 - to_b - to_c, to_b, to_c], axis=-1).clip(0, 1)
    return shares / shares.sum(axis=-1, keepdims=True)
