"""Where expressions carry the vertices of a person's sheets: the geometry of blendshapes.

Template points that no target point shows with an expression, such as an eye behind its lid, are put aside; triangles
that would reach over to them show what is stretched there.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

from anifacegan.inverse_deformation import Condition, targets, volume_ratio
from anifacegan.shapes import EXP_DIM
from anifacegan.sheet_meshes import SheetMesh

HIDDEN = 2e-4
"""World units: template points that no target point comes nearer to are not seen with an expression."""
UNSTRETCHED = 0.75
"""Of the template's volume to the target's: less is skin that is stretched over something hidden."""
FILLED = 2.0
"""Triangles between stretched skin and hidden points that are so much longer than with a neutral face show the skin."""


@dataclass(frozen=True)
class Posed:
    """Where an expression carries the vertices of a mesh.

    Template points that no target point shows, such as an eye behind its lid, are put aside. Where they meet the rest
    of their sheet, on one side the skin is stretched over their place (the lid; the slit between lips that open) and
    on the other it is not: they lie down there. The triangles that reach over to the stretched side show what is
    stretched: the one texel of that side.
    """

    x: Float[np.ndarray, "vertex 3"]
    residual: Float[np.ndarray, "vertex"]
    """Before points were put aside."""
    stretched: Bool[np.ndarray, "vertex"]
    """At the edge of hidden points, on the stretched side."""

    def fills(
        self, triangles: Int[np.ndarray, "triangle 3"], neutral: Float[np.ndarray, "vertex 3"]
    ) -> Int[np.ndarray, "triangle"]:
        """Of the triangles between stretched skin and hidden points: the vertex whose texel they show; else -1."""
        reaching = (self.residual > HIDDEN)[triangles].any(1) & self.stretched[triangles].any(1)
        long, short = (np.linalg.norm(np.diff(x[triangles], axis=1), axis=2).max(1) for x in (self.x, neutral))
        corner = self.stretched[triangles].argmax(1)
        return np.where(reaching & (long > FILLED * short), triangles[np.arange(len(triangles)), corner], -1)


@dataclass(frozen=True)
class MovingMesh:
    """A mesh that follows expressions. Points are in target space, world units."""

    mesh: SheetMesh
    neutral: Float[np.ndarray, "vertex 3"]
    """Its vertices with a neutral face."""
    blendshapes: Float[np.ndarray, "shape vertex 3"]
    """Their steps with each expression."""
    residual: Float[np.ndarray, "shape"]
    """Of each expression: the distance between the template points that vertices should show and those they show, world
    units, of which 99 % of the vertices are below."""


def posed(condition: Condition, code: Float[np.ndarray, "64"], mesh: SheetMesh) -> Posed:
    """Find the target points of a mesh's template points, and put aside those that the expression hides."""
    person = condition(code)
    found, residual = targets(condition, code, torch.from_numpy(mesh.x_template).to(person.levels.device))
    x, hidden = found.cpu().numpy(), (residual > HIDDEN).cpu().numpy()
    stretched = np.zeros(len(hidden), bool)
    edges = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    edges = edges[hidden[edges[:, 1]]]                                 # into hidden points
    shore = np.unique(edges[~hidden[edges[:, 0]], 0])
    source = np.arange(len(x))
    if len(shore):
        stretched[shore] = (volume_ratio(person.offset, found[torch.from_numpy(shore)]) < UNSTRETCHED).cpu().numpy()
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


def moving_mesh(condition: Condition, codes: Float[np.ndarray, "shape 64"], mesh: SheetMesh) -> MovingMesh:
    """Carry a mesh along with the expressions; triangles that fill gaps get corners of their own."""
    neutral_code = np.zeros(EXP_DIM, np.float32)
    x_template = torch.from_numpy(mesh.x_template).to(condition(neutral_code).levels.device)
    neutral = targets(condition, neutral_code, x_template)[0].cpu().numpy()
    steps = np.zeros((len(codes), *neutral.shape), np.float32)
    residual = np.zeros(len(codes))
    filled_from = np.full(len(mesh.triangles), -1)
    for k, code in enumerate(tqdm(codes, desc="expressions", leave=False, disable=None)):
        pose = posed(condition, code, mesh)
        steps[k] = pose.x - neutral
        residual[k] = np.quantile(pose.residual, 0.99, method="higher")
        filled_from = np.where(filled_from < 0, pose.fills(mesh.triangles, neutral), filled_from)
    filling = np.flatnonzero(filled_from >= 0)
    corners = mesh.triangles[filling].ravel()
    triangles = mesh.triangles.copy()
    triangles[filling] = len(neutral) + np.arange(len(corners), dtype=np.int32).reshape(-1, 3)
    more = dataclasses.replace(
        mesh,
        x_template=np.concatenate([mesh.x_template, mesh.x_template[corners]]),
        texels=np.concatenate([mesh.texels, np.repeat(mesh.texels[filled_from[filling]], 3, axis=0)]),
        triangles=triangles,
    )
    return MovingMesh(
        mesh=more,
        neutral=np.concatenate([neutral, neutral[corners]]),
        blendshapes=np.concatenate([steps, steps[:, corners]], axis=1),
        residual=residual,
    )
