"""The solid surface of a person: head with clothes and glasses, without hair."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from anifacegan.data.synthetic.looks.appearance import Appearance
from anifacegan.data.synthetic.surface.clothes import cloth_distance, cloth_thickness
from anifacegan.data.synthetic.surface.glasses import glasses_frame
from anifacegan.data.synthetic.surface.head import HeadGeometry
from anifacegan.data.synthetic.surface.head_fields import HeadFields
from anifacegan.data.synthetic.surface.vertex_table import FRAME
from anifacegan.face_model.face_mesh import bare_and_neutral_head
from anifacegan.geometry.normals import vertex_normals_numba


@dataclass(frozen=True)
class PersonSurface:
    """Solid surface of a person with an expression, without hair; model units, in the head's frame.

    Vertices and triangles of the face model come first, then those of the glasses. Of the face model's triangles there
    are only those that images can show.
    """

    bare: Float[np.ndarray, "head_vertex 3"]
    """Vertices of the head without clothes."""
    vertices: Float[np.ndarray, "vertex 3"]
    """Vertices with clothes and glasses."""
    normals: Float[np.ndarray, "vertex 3"]
    """Unit normals of ``vertices``."""
    triangles: Int[np.ndarray, "triangle 3"]
    """Vertex indices of the corners of the triangles."""
    kind: Int[np.ndarray, " triangle"]
    """Kind (skin, eye, teeth, tongue or glasses) of each triangle, see :mod:`.vertex_table`."""
    neutral: Float[np.ndarray, "head_vertex 3"]
    """Vertices of the head with clothes and without expression."""
    neutral_normals: Float[np.ndarray, "head_vertex 3"]
    """Unit normals of ``neutral``."""
    cloth_distance: Float[np.ndarray, " head_vertex"]
    """Signed distance of each vertex of the head to the collar, positive in the clothes."""
    landmarks: Float[np.ndarray, "68 3"]
    """Positions of the 68 facial landmarks, in iBUG order, on the skin."""


def person_surface(
    head: HeadGeometry,
    fields: HeadFields,
    z_id: Float[np.ndarray, "80"],
    z_exp: Float[np.ndarray, "64"],
    appearance: Appearance,
) -> PersonSurface:
    """Compute the solid surface of a person with an expression.

    Args:
        head, fields: the face model, and numbers at its vertices that are the same for everyone.
        z_id, z_exp: identity and expression coefficients.
        appearance: glasses and clothes of the person.
    """
    bare, bare_neutral = bare_and_neutral_head(head, z_id, z_exp)
    distance = cloth_distance(fields.collar, appearance.clothes.collar)
    raised = cloth_thickness(distance)[:, None] * head.cloth_direction
    vertices, neutral = bare + raised, bare_neutral + raised
    normals = vertex_normals_numba(vertices, head.triangles)
    surface = PersonSurface(
        bare=bare,
        vertices=vertices,
        normals=normals,
        triangles=fields.triangles,
        kind=fields.kind,
        neutral=neutral,
        neutral_normals=vertex_normals_numba(neutral, head.triangles)
        if bare is not bare_neutral
        else normals,
        cloth_distance=distance,
        landmarks=bare[head.landmark_vertices],
    )
    frame = glasses_frame(appearance.glasses, head, bare_neutral)
    if frame is None:
        return surface
    return replace(
        surface,
        vertices=np.concatenate([vertices, frame.vertices]),
        normals=np.concatenate([normals, frame.normals]),
        triangles=np.concatenate([fields.triangles, frame.triangles + np.int32(len(vertices))]),
        kind=np.concatenate([fields.kind, np.full(len(frame.triangles), FRAME, np.int32)]),
    )
