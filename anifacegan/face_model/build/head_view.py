"""The average head with closed and with open mouth, on which colours, hair and landmarks are placed.

Positions of brows, wrinkles, hair lines and landmarks were chosen by eye on this head, in MakeHuman's decimetres: the
eyes are at a height of 7.33, the tip of the nose at z = 1.64, the vertical axis of the head at z = 0.35.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from anifacegan.face_model.build.fields import SurfaceSmoother
from anifacegan.face_model.build.topology import Topology
from anifacegan.face_model.parts import EYE_LEFT, EYE_RIGHT, LOWER_TEETH, SKIN, UPPER_TEETH
from anifacegan.geometry.normals import vertex_normals_numpy
from anifacegan.geometry.resampling import smoothstep

AXIS_Z = 0.35
"""Coordinate z of the head's vertical axis, about which azimuths are measured."""


@dataclass(frozen=True)
class HeadView:
    """The average adult's head on the V vertices of the face model's mesh, in MakeHuman's decimetres."""

    topology: Topology
    """Mesh of the face model."""
    points: np.ndarray
    """(V, 3) vertex positions with closed lips."""
    points_open: np.ndarray
    """(V, 3) vertex positions with an open mouth."""
    masks: dict[str, np.ndarray]
    """(V,) weight of each vertex, 0 to 1, in each region of ``makehuman.MASKS``, by its name; zero outside the skin."""

    @property
    def triangles(self) -> np.ndarray:
        """(F, 3) vertex indices of the triangles' corners."""
        return self.topology.triangles

    @property
    def part(self) -> np.ndarray:
        """(V,) label of the part that each vertex belongs to, see :mod:`anifacegan.face_model.parts`."""
        return self.topology.part

    @property
    def x(self) -> np.ndarray:
        """(V,) coordinate of each vertex toward the person's left."""
        return self.points[:, 0]

    @property
    def y(self) -> np.ndarray:
        """(V,) height of each vertex."""
        return self.points[:, 1]

    @property
    def z(self) -> np.ndarray:
        """(V,) coordinate of each vertex toward the front."""
        return self.points[:, 2]

    @cached_property
    def side(self) -> np.ndarray:
        """(V,) distance of each vertex from the plane of symmetry."""
        return np.abs(self.x)

    @cached_property
    def normals(self) -> np.ndarray:
        """(V, 3) unit normals of the vertices with closed lips."""
        return vertex_normals_numpy(self.points, self.triangles)

    @cached_property
    def normals_open(self) -> np.ndarray:
        """(V, 3) unit normals of the vertices with an open mouth."""
        return vertex_normals_numpy(self.points_open, self.triangles)

    @cached_property
    def smooth(self) -> SurfaceSmoother:
        """Function that smooths numbers at the vertices along the head's surface."""
        return SurfaceSmoother(self.triangles, len(self.points))

    @cached_property
    def skin(self) -> np.ndarray:
        """(V,) whether a vertex is skin."""
        return self.part == SKIN

    @cached_property
    def eyes(self) -> np.ndarray:
        """(V,) whether a vertex is on an eyeball."""
        return np.isin(self.part, [EYE_LEFT, EYE_RIGHT])

    @cached_property
    def teeth(self) -> np.ndarray:
        """(V,) whether a vertex is on a tooth."""
        return np.isin(self.part, [UPPER_TEETH, LOWER_TEETH])

    @cached_property
    def lips(self) -> np.ndarray:
        """(V,) weight of each vertex as part of the lips, 0 to 1, smoothed."""
        return self.smooth(self.masks["lips"]) * self.skin

    @property
    def lids(self) -> np.ndarray:
        """(V,) weight of each vertex as part of the eyelids, 0 to 1."""
        return self.masks["eyelids"]

    @property
    def ears(self) -> np.ndarray:
        """(V,) weight of each vertex as part of the ears, 0 to 1."""
        return self.masks["ears"]

    @property
    def mouth_inside(self) -> np.ndarray:
        """(V,) weight of each vertex as part of the inside of the mouth, 0 to 1."""
        return self.masks["inside-mouth"]

    @cached_property
    def front(self) -> np.ndarray:
        """(V,) weight of each skin vertex as part of the front of the head, 0 to 1; 0 on other parts."""
        return smoothstep(0.45, 0.75, self.z) * self.skin

    @cached_property
    def azimuth_deg(self) -> np.ndarray:
        """(V,) azimuth of each vertex about the head's axis in degrees: 0 in front, 90 at the ears, 180 behind."""
        return np.degrees(np.arctan2(self.side, self.z - AXIS_Z))
