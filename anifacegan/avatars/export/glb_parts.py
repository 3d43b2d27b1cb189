"""What a binary glTF file holds: nodes, meshes with morph targets, materials and one animation."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class GlbMaterial:
    """A material of thin things that are seen from both sides."""

    name: str
    colour: Float[np.ndarray, "3"]
    """Colour, linear light in [0, 1]."""
    texture: bytes | None = None
    """Factors of colour and opacity, a PNG file of four channels; None: one everywhere."""
    cutoff: float | None = None
    """Opacity below which nothing is drawn; None: the material is opaque."""


@dataclass(frozen=True)
class GlbMesh:
    """A mesh with its material; points are relative to its node."""

    points: Float[np.ndarray, "vertex 3"]
    uv: Float[np.ndarray, "vertex 2"] | None
    """Texture coordinates in [0, 1], v down; None where the material has no texture."""
    triangles: Int[np.ndarray, "triangle 3"]
    targets: dict[str, Float[np.ndarray, "vertex 3"]]
    """Name of each morph target -> what it adds to the points at weight 1."""
    normals: Float[np.ndarray, "vertex 3"] | None = None
    """Unit normals; None where the material needs none."""
    head_weight: Float[np.ndarray, "vertex"] | None = None
    """How far each vertex turns with the file's turning node, 0 to 1; None: the mesh belongs to its node alone."""
    colours: Float[np.ndarray, "vertex 3"] | None = None
    """Factors of the material's colour, linear light in [0, 1]; None: one everywhere."""
    shades: dict[str, Float[np.ndarray, "vertex 3"]] = field(default_factory=dict)
    """Name of each morph target that shades -> what it adds to these factors at weight 1."""
    material: GlbMaterial | None = None
    """None: the person's, which has the scene's texture."""


@dataclass(frozen=True)
class GlbNode:
    """A named node with a pivot."""

    name: str
    pivot: Float[np.ndarray, "3"]
    """Its place relative to its parent, metres."""
    mesh: GlbMesh | None = None
    children: tuple["GlbNode", ...] = ()


@dataclass(frozen=True)
class GlbAnimation:
    """One animation of all morph targets, and of the turning node's rotation."""

    name: str
    times: Float[np.ndarray, "frame"]
    """Seconds from the start."""
    weights: dict[str, Float[np.ndarray, "frame"]]
    """Name of each morph target that moves -> its weight in each frame."""
    rotation: Float[np.ndarray, "frame 4"] | None
    """Rotation of the turning node in each frame, as a quaternion x, y, z, w; None: it does not turn."""


@dataclass(frozen=True)
class GlbScene:
    """What a file holds."""

    nodes: tuple[GlbNode, ...]
    """The scene's roots. The turning node is the first child of the first root; a mesh with ``head_weight`` is moved
    by these two nodes."""
    texture: bytes
    """The texture of all meshes without a material of their own, a JPEG file."""
    unlit: bool
    """Whether all materials are shown as they are, without light."""
    copyright: str
    extras: dict[str, Any] = field(default_factory=dict)
    """Further facts, at the file's ``asset``."""
    animation: GlbAnimation | None = None
