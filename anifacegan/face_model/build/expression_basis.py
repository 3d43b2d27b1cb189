"""Expression basis of the open face model, computed from action units (named elementary movements of the face).

The units are the 52 ARKit shapes of the Face Units pack and MakeHuman's own mouth, nose and neck units. The first
coefficients are named actions (:data:`anifacegan.face_model.expressions.ACTIONS`); the others are principal components
of what the actions do not explain of random expressions. Components are computed about the neutral face, not about the
mean expression, so coefficients of zero are the neutral face.
"""

from dataclasses import dataclass

import numpy as np

from anifacegan.face_model.build.makehuman import MakeHuman
from anifacegan.face_model.build.topology import EYE_GROUPS, MOUTH_GROUPS
from anifacegan.face_model.expressions import ACTIONS
from anifacegan.face_model.parts import EYE_LEFT, EYE_RIGHT, TONGUE
from anifacegan.face_model.people import DESCENTS

MAKEHUMAN_UNITS = ("mouth", "nose", "neck")
"""Prefixes of MakeHuman's expression units that are used in addition to the Face Units."""

EYE_PUSH = -0.014
"""Displacement of the eyeball along z in a blink, decimetres, so that it does not show through half-closed lids."""
LEAST_MOMENT = 1e-12
"""Share of the largest second moment of a principal component below which components are rounding errors."""


@dataclass(frozen=True)
class ExpressionUnits:
    """Displacements of N vertices of MakeHuman's mesh by U action units at full strength, decimetres."""

    names: tuple[str, ...]
    """Names of the U action units."""
    shapes: np.ndarray
    """(N, 3, U) float32 displacement of each vertex by each action unit at strength 1."""


def expression_units(makehuman: MakeHuman, average: np.ndarray) -> ExpressionUnits:
    """Assemble the displacements of MakeHuman's base mesh by all action units.

    Some are corrected so that the tongue stays in the mouth and the eyes behind the lids. ``average`` has the (N, 3)
    vertices of a face on which the tongue is measured, decimetres.
    """
    targets = makehuman.targets
    face_units = sorted(name.removeprefix("fu/") for name in targets if name.startswith("fu/"))
    prefix = f"expr/{DESCENTS[1]}/"
    own_units = sorted(
        name.removeprefix(prefix)
        for name in targets
        if name.startswith(prefix) and name.removeprefix(prefix).partition("-")[0] in MAKEHUMAN_UNITS
    )
    shapes = {name: targets[f"fu/{name}"].copy() for name in face_units}
    shapes |= {
        name: np.mean([targets[f"expr/{race}/{name}"] for race in DESCENTS], axis=0) for name in own_units
    }
    tongue = makehuman.base.vertices_of(MOUTH_GROUPS[TONGUE][0])
    shapes["jawOpen"][tongue] = _tongue_of_open_jaw(shapes["jawOpen"][tongue], average[tongue])
    for side, eye in (("Left", EYE_LEFT), ("Right", EYE_RIGHT)):
        shapes[f"eyeBlink{side}"][makehuman.base.vertices_of(EYE_GROUPS[eye]), 2] += np.float32(EYE_PUSH)
    return ExpressionUnits(tuple(shapes), np.stack(list(shapes.values()), axis=-1).astype(np.float32))


def _tongue_of_open_jaw(displacement: np.ndarray, tongue: np.ndarray) -> np.ndarray:
    """Lower the tongue more than the jaw, and make it thinner and shorter, so that it lies flat on the jaw."""
    above, before = (tongue[:, axis] - tongue[:, axis].min() for axis in (1, 2))
    return displacement * 1.15 + np.stack([0 * above, -0.45 * above, -0.12 * before], axis=1)


@dataclass(frozen=True)
class ExpressionSpace:
    """Linear maps between K expression coefficients ``exp`` and the strengths of U action units.

    The displacement of the vertices is ``units.shapes @ to_units @ exp``, see :class:`ExpressionUnits`.
    """

    to_units: np.ndarray
    """(U, K) strengths of the action units for each coefficient at value 1."""
    from_units: np.ndarray
    """(K, U) coefficients whose displacement is nearest to that of each action unit at strength 1."""
    report: str
    """Line of text with the number of components and the largest coefficient, for the log."""


def action_strengths(names: tuple[str, ...]) -> np.ndarray:
    """Return the strengths (U, A) of the U named action units in each of the A named movements in ``ACTIONS``.

    Raises:
        ValueError: an action uses an unknown unit.
    """
    unknown = {unit for action in ACTIONS.values() for unit in action} - set(names)
    if unknown:
        raise ValueError(f"actions are made of {sorted(unknown)}, which are no units")
    return np.array([[action.get(name, 0.0) for action in ACTIONS.values()] for name in names])


def vertex_areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Compute the area (V,) that belongs to each vertex: a third of the area of the triangles around it."""
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    return np.bincount(triangles.ravel(), np.repeat(areas, 3), len(vertices))


def displacement_products(shapes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the (U, U) inner products of U displacements of a mesh, (V, 3, U), with vertex weights (V,)."""
    axes = shapes.astype(np.float64).transpose(1, 0, 2)
    return np.sum([along.T @ (weights[:, None] * along) for along in axes], axis=0)


def expression_space(
    metric: np.ndarray, bank: np.ndarray, actions: np.ndarray, count: int
) -> ExpressionSpace:
    """Compute the meaning of expression coefficients: named movements, then principal components of what they leave.

    All coefficients have unit second moment over the bank. The actions' coefficients are their joint least-squares fit.
    Components are eigenvectors of sqrt(M) C sqrt(M), with M the metric and C the second moment of the fit's residual.

    Args:
        metric: (U, U) inner products of the action units' displacements, weighted over the head.
        bank: (E, U) strengths of the action units in random expressions.
        actions: (U, A) strengths of the action units in each of the named movements (actions).
        count: number K of coefficients; 64 lose almost nothing of 72 units.

    Raises:
        ValueError: there are more actions than coefficients, or the bank has too few components.
    """
    fit = np.linalg.solve(actions.T @ metric @ actions, actions.T @ metric)  # (A, U)
    spread = np.sqrt(np.mean((bank @ fit.T) ** 2, axis=0))
    actions, fit = actions * spread, fit / spread[:, None]

    remainder = np.eye(len(metric)) - actions @ fit  # of each unit
    root, inverse_root = _roots(metric)
    moments, directions = np.linalg.eigh(root @ remainder @ (bank.T @ bank / len(bank)) @ remainder.T @ root)
    target, there = count - actions.shape[1], np.count_nonzero(moments > LEAST_MOMENT * moments[-1])
    if not 0 <= target <= there:
        raise ValueError(
            f"{count} coefficients, expected {actions.shape[1]} of actions and at most {there} others"
        )
    deviations, directions = np.sqrt(moments[::-1][:target]), directions[:, ::-1][:, :target]  # largest first
    to_units = np.concatenate([actions, inverse_root @ directions * deviations], axis=1)
    from_units = np.concatenate([fit, (directions / deviations).T @ root @ remainder])
    largest = np.abs(bank @ from_units.T).max()
    report = f"{actions.shape[1]} actions, {target} components; largest coefficient of the bank {largest:.1f}"
    return ExpressionSpace(to_units, from_units, report)


def _roots(metric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the symmetric square root of a metric and the root's inverse, without directions that hardly move
    anything."""
    values, vectors = np.linalg.eigh(metric)
    values = np.maximum(values, 0)
    inverse = np.where(values > 1e-6 * values[-1], 1 / np.sqrt(np.maximum(values, 1e-12)), 0)
    return (vectors * np.sqrt(values)) @ vectors.T, (vectors * inverse) @ vectors.T
