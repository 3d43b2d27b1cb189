"""Where expressions carry the vertices of a person's sheets: the geometry of blendshapes.

Template points that no target point shows with an expression, such as an eye behind its lid, are put aside. Triangles
that reach over to them, or are torn apart as between lips that open, show what the networks show at their place.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from anifacegan.avatars.baking.charts import ask
from anifacegan.avatars.baking.inverse_warp import Condition, targets, volume_ratio
from anifacegan.avatars.baking.layers import LayerMesh
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.models.generator import ConditionedFields

HIDDEN = 2e-4
"""World units: template points that no target point comes nearer to are not seen with an expression."""
UNSTRETCHED = 0.75
"""Of the template's volume to the target's: less is skin that is stretched over something hidden."""
TORN, TORN_LENGTH = 6.0, 0.004
"""A triangle that is so many times longer than with a neutral face, and so long in world units, is torn apart."""
TORN_BESIDE_HIDDEN = 2.0
"""The same, of triangles between stretched skin and hidden points."""
LOOKED_THROUGH = (-0.01, 0.05, 0.001)
"""From where to where, and how often, a manifold is looked for at a torn triangle, world units."""
INWARDS = 0.8
"""How far from its corners to its middle a torn triangle is looked at: corners lie on what is beside it."""

TexelsOf = Callable[[Int[np.ndarray, "point"], Float[np.ndarray, "point 3"]], Float[np.ndarray, "point 2"]]
"""Levels and template points -> texels, see :meth:`anifacegan.sheets.Sheets.texels`."""


@dataclass(frozen=True)
class Posed:
    """Where an expression carries the vertices of a mesh.

    Template points that no target point shows, such as an eye behind its lid, are put aside. Where they meet the rest
    of their sheet, on one side the skin is stretched over their place (the lid; the slit between lips that open) and
    on the other it is not: they lie down there, and triangles reach over to the stretched side.
    """

    x: Float[np.ndarray, "vertex 3"]
    residual: Float[np.ndarray, "vertex"]
    """Before points were put aside."""
    stretched: Bool[np.ndarray, "vertex"]
    """At the edge of hidden points, on the stretched side."""

    def torn(
        self, triangles: Int[np.ndarray, "triangle 3"], neutral: Float[np.ndarray, "vertex 3"]
    ) -> Bool[np.ndarray, "triangle"]:
        """Triangles that reach over hidden points or are torn apart."""
        reaching = (self.residual > HIDDEN)[triangles].any(1) & self.stretched[triangles].any(1)
        long, short = (
            np.linalg.norm(np.diff(x[triangles], axis=1), axis=2).max(1) for x in (self.x, neutral)
        )
        longer = long / np.maximum(short, np.finfo(np.float32).tiny)
        return (reaching & (longer > TORN_BESIDE_HIDDEN)) | ((longer > TORN) & (long > TORN_LENGTH))


@dataclass(frozen=True)
class MovingMesh:
    """A mesh that follows expressions. Points are in target space, world units."""

    mesh: LayerMesh
    neutral: Float[np.ndarray, "vertex 3"]
    """Its vertices with a neutral face."""
    blendshapes: Float[np.ndarray, "shape in-between shape vertex 3"]
    """Their steps at every in-between shape of each expression."""
    torn: Int[np.ndarray, "torn"]
    """Triangles with corners and texels of their own, which are the last vertices: what they show with an expression is
    not what is beside them on their sheet."""
    texel_steps: Float[np.ndarray, "shape in-between shape torn*3 2"]
    """Steps of the texels of these corners."""
    residual: Float[np.ndarray, "shape"]
    """Of each expression, at the worst in-between shape: the distance between the template points that vertices should show and
    those they show, world units, of which 99 % of the vertices are below."""


def posed(condition: Condition, code: Float[np.ndarray, "64"], mesh: LayerMesh) -> Posed:
    """Find the target points of a mesh's template points, and put aside those that the expression hides."""
    person = condition(code)
    found, residual = targets(condition, code, torch.from_numpy(mesh.x_template).to(person.levels.device))
    x, hidden = found.cpu().numpy(), (residual > HIDDEN).cpu().numpy()
    stretched = np.zeros(len(hidden), bool)
    edges = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    edges = edges[hidden[edges[:, 1]]]  # into hidden points
    shore = np.unique(edges[~hidden[edges[:, 0]], 0])
    source = np.arange(len(x))
    if len(shore):
        stretched[shore] = (
            (volume_ratio(person.offset, found[torch.from_numpy(shore)]) < UNSTRETCHED).cpu().numpy()
        )
        source[hidden] = -1
        lying = shore[~stretched[shore]]
        reached = np.zeros(len(x), bool)
        reached[lying] = True
        while True:
            arriving = edges[reached[edges[:, 0]] & (source[edges[:, 1]] < 0)]
            if not len(arriving):
                break
            source[arriving[:, 1]] = source[arriving[:, 0]]
            reached[arriving[:, 1]] = True
        source = np.where(source < 0, np.arange(len(x)), source)
    return Posed(x[source], residual.cpu().numpy(), stretched)


def seen_through(
    person: ConditionedFields, x: Float[Tensor, "point 3"], level: Int[Tensor, "point"]
) -> tuple[Float[Tensor, "point 3"], Bool[Tensor, "point"]]:
    """Template points of the manifolds of ``level`` that a frontal camera sees at x; and whether it sees one.

    In a mouth they lie far behind the triangles that span it.
    """
    way = torch.nn.functional.normalize(x - x.new_tensor([0.0, 0.0, 1.0]), dim=-1)
    steps = torch.arange(*LOOKED_THROUGH, device=x.device)
    along = x[:, None] + steps[:, None] * way[:, None]  # (P, K, 3)
    template = along + ask(person.offset, along)
    s = ask(person.level, template) - person.levels[level][:, None]
    falls = (s[:, :-1] >= 0) & (s[:, 1:] < 0)
    k, point = falls.to(torch.uint8).argmax(1), torch.arange(len(x), device=x.device)
    share = s[point, k] / (s[point, k] - s[point, k + 1])
    return torch.lerp(template[point, k], template[point, k + 1], share[:, None]), falls.any(1)


def moving_mesh(
    condition: Condition,
    latents: Float[np.ndarray, "shape 64"],
    inbetweens: int,
    mesh: LayerMesh,
    texels_of: TexelsOf,
) -> MovingMesh:
    """Carry a mesh along with the expressions, to so many in-between shapes from neutral to each.

    A triangle that is torn apart at some in-between shape gets corners of its own. It shows there what the networks show at its
    place, and where they show nothing of its sheet, it shrinks away.
    """
    neutral_code = np.zeros(EXP_DIM, np.float32)
    x_template = torch.from_numpy(mesh.x_template).to(condition(neutral_code).levels.device)
    neutral = targets(condition, neutral_code, x_template)[0].cpu().numpy()
    on_the_way = (
        latents[:, None] * (np.arange(1, inbetweens + 1, dtype=np.float32) / inbetweens)[:, None]
    )  # (S, P, 64)
    steps = np.zeros((*on_the_way.shape[:2], *neutral.shape), np.float32)
    residual = np.zeros(len(latents))
    is_torn = np.zeros((*on_the_way.shape[:2], len(mesh.triangles)), bool)
    places = list(np.ndindex(*on_the_way.shape[:2]))
    for place in tqdm(places, desc="expressions", leave=False, disable=None):
        pose = posed(condition, on_the_way[place], mesh)
        steps[place] = pose.x - neutral
        is_torn[place] = pose.torn(mesh.triangles, neutral)
        residual[place[0]] = max(residual[place[0]], np.quantile(pose.residual, 0.99, method="higher"))
    torn = np.flatnonzero(is_torn.any((0, 1)))
    corners = mesh.triangles[torn]
    triangles = mesh.triangles.copy()
    triangles[torn] = len(neutral) + np.arange(corners.size, dtype=np.int32).reshape(-1, 3)
    level, texels = mesh.level(torn), mesh.texels[corners]  # (T,), (T, 3, 2)
    own_steps = steps[:, :, corners]  # (S, P, T, 3, 3)
    texel_steps = np.zeros((*own_steps.shape[:-1], 2), np.float32)
    for place in places:
        here = np.flatnonzero(is_torn[place][torn])
        person = condition(on_the_way[place])
        x = (neutral + steps[place])[corners[here]]  # (T', 3 corners, 3)
        middle = x.mean(1, keepdims=True)
        points = torch.from_numpy((x + INWARDS * (middle - x)).reshape(-1, 3)).to(person.levels.device)
        levels = np.repeat(level[here], 3)
        shown, found = seen_through(person, points, torch.from_numpy(levels).to(points.device))
        there = found.cpu().numpy().reshape(-1, 3).all(1)
        seen = texels_of(levels, shown.cpu().numpy()).reshape(-1, 3, 2)
        texel_steps[place][here[there]] = (seen - texels[here])[there]
        gone = here[~there]
        own_steps[place][gone] = (middle - neutral[corners[here]])[~there]
        if place[1] > 0:  # it shows until then what it has shown
            texel_steps[place][gone] = texel_steps[place[0], place[1] - 1][gone]
    more = dataclasses.replace(
        mesh,
        x_template=np.concatenate([mesh.x_template, mesh.x_template[corners.ravel()]]),
        texels=np.concatenate([mesh.texels, texels.reshape(-1, 2)]),
        triangles=triangles,
    )
    return MovingMesh(
        mesh=more,
        neutral=np.concatenate([neutral, neutral[corners.ravel()]]),
        blendshapes=np.concatenate([steps, own_steps.reshape(*steps.shape[:2], corners.size, 3)], axis=2),
        torn=torn,
        texel_steps=texel_steps.reshape(*steps.shape[:2], corners.size, 2),
        residual=residual,
    )
