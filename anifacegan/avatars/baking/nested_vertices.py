"""Target points of a mesh's vertices: the vertices on every second row and column first, then those between them.

An expression moves most of the skin smoothly. A vertex between two solved ones on a line of the grid is interpolated,
or solved for from there, which takes one step of the fixed-point iteration. The solved vertices that lie between solved
ones two lines away tell where interpolation is good enough: they are interpolated, too, and compared. At half the
distance the error of interpolation is a quarter.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from anifacegan.avatars.baking.inverse_warp import TOLERANCE, Condition, target_points
from anifacegan.avatars.baking.layers import LayerMesh

INTERPOLATED, STARTED = 5e-5, 1e-3
"""Largest expected errors of an interpolated vertex that stays there and of one from which the solution starts, world
units. Other solutions start at the template point."""


@dataclass(frozen=True)
class _Between:
    """Vertices of a mesh that have a neighbour on each side on a line of their layer's grid."""

    vertex: Int[np.ndarray, "some"]
    """Indices of the vertices."""
    sides: Int[np.ndarray, "2 some"]
    """Indices of the two neighbours."""
    share: Float[np.ndarray, "some 1"]
    """Distance from the first neighbour, divided by the distances from both, in template space."""

    def of(self, selected: Bool[np.ndarray, "vertex"]) -> "_Between":
        """Keep the selected vertices; ``selected`` marks vertices of the mesh."""
        kept = selected[self.vertex]
        return _Between(self.vertex[kept], self.sides[:, kept], self.share[kept])

    def spread(self, values: Float[np.ndarray, "vertex"]) -> None:
        """Give, in place, the vertices and their neighbours the largest of their three values."""
        largest = np.maximum(values[self.vertex], values[self.sides].max(axis=0))
        for index in (self.vertex, *self.sides):
            np.maximum.at(values, index, largest)


@dataclass(frozen=True)
class NestedVertices:
    """A mesh's vertices in the order in which they are solved for or interpolated."""

    mesh: LayerMesh
    """The mesh, in template space (the face without deformation), world units."""
    first: Int[np.ndarray, "some"]
    """Indices of the vertices that are always solved for."""
    probes: tuple[_Between, ...]
    """Some of them, between others of them."""
    between: tuple[_Between, ...]
    """The other vertices; neighbours of the second group may be in the first one."""

    @staticmethod
    def of(mesh: LayerMesh) -> "NestedVertices":
        """Order the vertices of a mesh by their rows and columns."""
        between = tuple(_between(mesh, 1))
        later = np.concatenate([part.vertex for part in between])
        first = np.delete(np.arange(len(mesh.place)), later)
        return NestedVertices(mesh, first, tuple(_between(mesh, 2)), between)

    def target_points(
        self, condition: Condition, z_exp: Float[np.ndarray, "64"]
    ) -> tuple[Float[np.ndarray, "vertex 3"], Float[np.ndarray, "vertex"]]:
        """Find the points of the deformed face that show the vertices' template points, and the residuals.

        As :func:`anifacegan.avatars.baking.inverse_warp.target_points`; an interpolated vertex has its expected error
        in place of the residual.
        """
        device, x_template = condition(z_exp).levels.device, self.mesh.x_template
        x, residual = x_template.copy(), np.zeros(len(x_template), np.float32)

        def solve(vertices: Int[np.ndarray, "some"], start: Float[np.ndarray, "vertex 3"] | None) -> None:
            goal = torch.from_numpy(x_template[vertices]).to(device)
            near = None if start is None else torch.from_numpy(start[vertices]).to(device)
            found, left = target_points(condition, z_exp, goal, near)
            x[vertices], residual[vertices] = found.cpu().numpy(), left.cpu().numpy()

        solve(self.first, None)
        error = self._errors(x, residual) / 4
        start = x.copy()
        for part in self.between:
            near = part.of(error <= STARTED)
            start[near.vertex] = self._interpolated(near, start)
        solve(np.concatenate([part.of(~(error <= INTERPOLATED)).vertex for part in self.between]), start)
        for part in self.between:
            smooth = part.of(error <= INTERPOLATED)
            x[smooth.vertex], residual[smooth.vertex] = self._interpolated(smooth, x), error[smooth.vertex]
        return x, residual

    def _interpolated(self, part: _Between, x: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "some 3"]:
        """Move the template points of the vertices of ``part`` as far as their neighbours are moved."""
        x_template = self.mesh.x_template
        first, last = (x[side] - x_template[side] for side in part.sides)
        return x_template[part.vertex] + first + part.share * (last - first)

    def _errors(
        self, x: Float[np.ndarray, "vertex 3"], residual: Float[np.ndarray, "vertex"]
    ) -> Float[np.ndarray, "vertex"]:
        """Return the largest error of interpolated probes near each vertex, world units; infinite where there is none,
        or where one was not solved for.

        ``x`` and ``residual`` are target points and residuals of the vertices that were solved for first.
        """
        error = np.full(len(residual), -1, np.float32)
        for probes in self.probes:
            missed = np.linalg.norm(self._interpolated(probes, x) - x[probes.vertex], axis=1)
            error[probes.vertex] = np.maximum(error[probes.vertex], missed)
        error[residual > TOLERANCE] = np.inf
        for probes in self.probes:
            probes.spread(error)
        error[error < 0] = np.inf
        for part in self.between:
            error[part.vertex] = error[part.sides].max(axis=0)
        return error


def _between(mesh: LayerMesh, step: int) -> Iterator[_Between]:
    """Yield the vertices between two others that are ``step`` lines away: in columns, then in rows.

    The others are on lines ``2 * step`` apart. In rows, vertices of the first group are others, too.
    """
    level, row, column = mesh.place.T
    number = np.full(mesh.place.max(axis=0, initial=0) + 1 + (0, step, step), -1, np.int64)
    number[level, row, column] = np.arange(len(level))
    known = np.zeros(len(level) + 1, bool)  # the last one is no vertex
    known[:-1] = (row % (2 * step) == 0) & (column % (2 * step) == 0)
    for down, right in ((step, 0), (0, step)):
        along, across = (row, column) if down else (column, row)
        inner = (along % (2 * step) == step) & (across % (2 * step if down else step) == 0)
        vertex = np.flatnonzero(inner)
        at = level[vertex], row[vertex], column[vertex]
        sides = np.stack([number[at[0], at[1] + sign * down, at[2] + sign * right] for sign in (-1, 1)])
        complete = known[sides].all(axis=0)
        vertex, sides = vertex[complete], sides[:, complete]
        known[vertex] = True
        first, last = (
            np.linalg.norm(mesh.x_template[side] - mesh.x_template[vertex], axis=1) for side in sides
        )
        share = first / np.maximum(first + last, np.finfo(np.float32).tiny)
        yield _Between(vertex, sides, share[:, None].astype(np.float32))
