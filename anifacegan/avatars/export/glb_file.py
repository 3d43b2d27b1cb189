"""A binary glTF 2.0 file of textured meshes with morph targets, nodes and one animation, written by pygltflib.

Morph targets are sparse accessors: only the vertices that move are stored. Texture coordinates have 16 bits, colours
of vertices, and what targets add to them, 8. Everything is in one buffer.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from anifacegan.avatars.export.glb_checksum import (
    GENERATOR,
    KEY,
    NO_CHECKSUM,
    is_unedited_glb,
    with_checksum,
)
from anifacegan.avatars.export.glb_parts import GlbAnimation, GlbMaterial, GlbMesh, GlbNode, GlbScene
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.paths import exists, require_file

UNLIT = "KHR_materials_unlit"
FLOAT, BYTE, UNSIGNED_BYTE, UNSIGNED_SHORT, UNSIGNED_INT = 5126, 5120, 5121, 5123, 5125
VERTEX_BUFFER, INDEX_BUFFER = 34962, 34963
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071
"""Numbers of glTF for types, buffers and samplers."""


def glb_bytes(scene: GlbScene) -> bytes:
    """Return the content of the file.

    Raises:
        InputError: pygltflib is not installed.
    """
    return _Writer(_pygltflib()).written(scene)


def require_room_for_glb(path: Path, overwrite: bool = False) -> None:
    """Require that a file may be written: there is none yet, or one of this program that nobody has edited.

    Raises:
        InputError: another file is in the way, and ``overwrite`` is not set; or pygltflib is not installed.
    """
    _pygltflib()
    if overwrite or not exists(path):
        return
    require_file(path, "a head of ours, or another --out")
    if not is_unedited_glb(path):
        raise InputError(
            f"{path}: is in the way and no head as this program wrote it, expected another --out, or --overwrite true"
        )


def _pygltflib() -> Any:
    try:
        import pygltflib
    except ImportError:
        raise InputError(
            "pygltflib: not installed, needed for .glb files: pip install 'anifacegan[glb]'"
        ) from None
    return pygltflib


class _Writer:
    """Collects the parts of one file; ``gltf`` is the module pygltflib."""

    def __init__(self, gltf: Any) -> None:
        self.gltf = gltf
        self.blob = bytearray()
        self.document = gltf.GLTF2()
        self.joints: list[int] = []
        self.morphed: list[tuple[int, list[str]]] = []

    def written(self, scene: GlbScene) -> bytes:
        gltf, document = self.gltf, self.document
        document.asset = gltf.Asset(
            version="2.0",
            generator=GENERATOR,
            copyright=scene.copyright,
            extras={**scene.extras, KEY: NO_CHECKSUM},
        )
        self._person(scene)
        turned = scene.nodes[0].children[0] if scene.nodes[0].children else None
        roots = [self._node(node, (scene.nodes[0], turned)) for node in scene.nodes]
        self._skin(scene.nodes[0], turned)
        document.scene, document.scenes = 0, [gltf.Scene(nodes=roots)]
        if scene.animation is not None:
            self._animation(scene.animation)
        self._pad()
        document.buffers = [gltf.Buffer(byteLength=len(self.blob))]
        document.set_binary_blob(bytes(self.blob))
        return with_checksum(b"".join(document.save_to_bytes()))

    def _person(self, scene: GlbScene) -> None:
        """Add the material of the meshes without one of their own, which is number 0."""
        gltf, document = self.gltf, self.document
        document.samplers = [
            gltf.Sampler(
                magFilter=LINEAR, minFilter=LINEAR_MIPMAP_LINEAR, wrapS=CLAMP_TO_EDGE, wrapT=CLAMP_TO_EDGE
            )
        ]
        self.extensions: dict[str, Any] = {UNLIT: {}} if scene.unlit else {}
        document.extensionsUsed = list(self.extensions)
        base = self._texture(scene.texture, "image/jpeg")
        surface = gltf.PbrMetallicRoughness(baseColorTexture=base, metallicFactor=0.0, roughnessFactor=0.8)
        document.materials = [
            gltf.Material(
                name="person", pbrMetallicRoughness=surface, extensions=self.extensions, alphaCutoff=None
            )
        ]

    def _texture(self, content: bytes, kind: str) -> Any:
        """Add an image file as a texture; return the reference to it."""
        gltf, document = self.gltf, self.document
        document.images.append(gltf.Image(bufferView=self._view(content), mimeType=kind))
        document.textures.append(gltf.Texture(source=len(document.images) - 1, sampler=0))
        return gltf.TextureInfo(index=len(document.textures) - 1)

    def _material(self, material: GlbMaterial | None) -> int:
        """Add the material of a mesh, unless it is the person's; return its number."""
        if material is None:
            return 0
        gltf = self.gltf
        surface = gltf.PbrMetallicRoughness(
            baseColorFactor=[*material.colour.astype(np.float64).tolist(), 1.0],
            metallicFactor=0.0,
            roughnessFactor=0.6,
        )
        if material.texture is not None:
            surface.baseColorTexture = self._texture(material.texture, "image/png")
        entry = gltf.Material(
            name=material.name,
            pbrMetallicRoughness=surface,
            extensions=self.extensions,
            alphaMode="OPAQUE" if material.cutoff is None else "MASK",
            alphaCutoff=material.cutoff,
            doubleSided=True,
        )
        self.document.materials.append(entry)
        return len(self.document.materials) - 1

    def _node(self, node: GlbNode, joints: tuple[GlbNode, GlbNode | None]) -> int:
        """Add a node, its mesh and its children; return its number."""
        gltf, document = self.gltf, self.document
        number = len(document.nodes)
        entry = gltf.Node(name=node.name)
        document.nodes.append(entry)
        if any(node is joint for joint in joints):
            self.joints.append(number)
        if np.any(node.pivot):
            entry.translation = node.pivot.astype(np.float64).tolist()
        if node.mesh is not None:
            entry.mesh = self._mesh(node.name, node.mesh)
            if node.mesh.targets:
                self.morphed.append((number, list(node.mesh.targets)))
            if node.mesh.head_weight is not None:
                entry.skin = 0
        entry.children = [self._node(child, joints) for child in node.children]
        return number

    def _mesh(self, name: str, mesh: GlbMesh) -> int:
        gltf = self.gltf
        attributes = gltf.Attributes(
            POSITION=self._accessor(mesh.points.astype(np.float32), "VEC3", FLOAT, VERTEX_BUFFER, True)
        )
        if mesh.uv is not None:
            uv = np.rint((2**16 - 1) * mesh.uv.clip(0, 1)).astype(np.uint16)
            attributes.TEXCOORD_0 = self._accessor(uv, "VEC2", UNSIGNED_SHORT, VERTEX_BUFFER, normalized=True)
        colours = np.ones_like(mesh.points) if mesh.colours is None and mesh.shades else mesh.colours
        if colours is not None:
            opaque = np.concatenate([colours.clip(0, 1), np.ones((len(colours), 1))], axis=1)
            attributes.COLOR_0 = self._accessor(
                np.rint(255 * opaque).astype(np.uint8), "VEC4", UNSIGNED_BYTE, VERTEX_BUFFER, normalized=True
            )
        if mesh.normals is not None:
            attributes.NORMAL = self._accessor(mesh.normals.astype(np.float32), "VEC3", FLOAT, VERTEX_BUFFER)
        if mesh.head_weight is not None:
            joints, weights = _skin_weights(mesh.head_weight)
            attributes.JOINTS_0 = self._accessor(joints, "VEC4", UNSIGNED_BYTE, VERTEX_BUFFER)
            attributes.WEIGHTS_0 = self._accessor(
                weights, "VEC4", UNSIGNED_BYTE, VERTEX_BUFFER, normalized=True
            )
        primitive = gltf.Primitive(
            attributes=attributes,
            indices=self._accessor(*_indices(mesh.triangles.ravel(), len(mesh.points)), INDEX_BUFFER),
            material=self._material(mesh.material),
        )
        entry = gltf.Mesh(name=name, primitives=[primitive])
        if mesh.targets:
            primitive.targets = self._targets(mesh)
            entry.weights, entry.extras = [0.0] * len(mesh.targets), {"targetNames": list(mesh.targets)}
        self.document.meshes.append(entry)
        return len(self.document.meshes) - 1

    def _targets(self, mesh: GlbMesh) -> list[dict[str, int]]:
        """Add the morph targets of a mesh. If one has shades all have: three.js misreads those that have none."""
        found = [
            {"POSITION": self._sparse(moves.astype(np.float32), "VEC3", FLOAT)}
            for moves in mesh.targets.values()
        ]
        if mesh.shades:
            none = self._sparse(np.zeros((len(mesh.points), 4), np.int8), "VEC4", BYTE)
            for name, target in zip(mesh.targets, found, strict=True):
                target["COLOR_0"] = none
                if name in mesh.shades:
                    change = np.rint(127 * mesh.shades[name].clip(-1, 1)).astype(np.int8)
                    target["COLOR_0"] = self._sparse(np.pad(change, ((0, 0), (0, 1))), "VEC4", BYTE)
        return found

    def _sparse(self, changes: np.ndarray, kind: str, component: int) -> int:
        """Add an accessor that is zero but for the vertices that change; whole numbers are shares of the largest."""
        gltf = self.gltf
        changed = np.flatnonzero(np.any(changes != 0, axis=1))
        values = changes[changed]
        still = np.zeros((int(len(changed) < len(changes)), changes.shape[1]), changes.dtype)
        bounds = np.concatenate([values, still])
        entry = gltf.Accessor(
            componentType=component,
            normalized=component != FLOAT,
            byteOffset=None,
            count=len(changes),
            type=kind,
            min=bounds.min(axis=0).tolist(),
            max=bounds.max(axis=0).tolist(),
        )
        if len(changed):
            indices, _, index_kind = _indices(changed, len(changes))
            entry.sparse = gltf.Sparse(
                count=len(changed),
                indices=gltf.AccessorSparseIndices(
                    bufferView=self._view(indices.tobytes()), componentType=index_kind
                ),
                values=gltf.AccessorSparseValues(bufferView=self._view(values.tobytes())),
            )
        self.document.accessors.append(entry)
        return len(self.document.accessors) - 1

    def _skin(self, root: GlbNode, turned: GlbNode | None) -> None:
        """Add the skin of the meshes that two nodes move, if there are any."""
        if all(node.skin is None for node in self.document.nodes):
            return
        assert turned is not None and len(self.joints) == 2
        inverse = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
        inverse[0, 3, :3] = -root.pivot  # glTF stores matrices column by column
        inverse[1, 3, :3] = -(root.pivot + turned.pivot)
        matrices = self._accessor(inverse.reshape(2, 16), "MAT4", FLOAT)
        skin = self.gltf.Skin(joints=self.joints, inverseBindMatrices=matrices, skeleton=self.joints[0])
        self.document.skins = [skin]

    def _animation(self, animation: GlbAnimation) -> None:
        gltf = self.gltf
        entry = gltf.Animation(name=animation.name)
        times = self._accessor(animation.times.astype(np.float32)[:, None], "SCALAR", FLOAT, bounds=True)
        frames = len(animation.times)

        def add(node: int, path: str, values: np.ndarray, kind: str) -> None:
            sampler = gltf.AnimationSampler(input=times, output=self._accessor(values, kind, FLOAT))
            target = gltf.AnimationChannelTarget(node=node, path=path)
            entry.channels.append(gltf.AnimationChannel(sampler=len(entry.samplers), target=target))
            entry.samplers.append(sampler)

        still = np.zeros(frames)
        for node, names in self.morphed:
            rows = np.stack([animation.weights.get(name, still) for name in names], axis=1)
            if rows.any():
                add(node, "weights", rows.astype(np.float32).reshape(-1, 1), "SCALAR")
        if animation.rotation is not None:
            add(self.joints[1], "rotation", animation.rotation.astype(np.float32), "VEC4")
        if entry.channels:
            self.document.animations = [entry]

    def _accessor(
        self,
        values: np.ndarray,
        kind: str,
        component: int,
        target: int | None = None,
        bounds: bool = False,
        normalized: bool = False,
    ) -> int:
        entry = self.gltf.Accessor(
            bufferView=self._view(np.ascontiguousarray(values).tobytes(), target),
            componentType=component,
            normalized=normalized,
            count=len(values),
            type=kind,
        )
        if bounds:
            entry.min, entry.max = values.min(axis=0).tolist(), values.max(axis=0).tolist()
        self.document.accessors.append(entry)
        return len(self.document.accessors) - 1

    def _view(self, content: bytes, target: int | None = None) -> int:
        self._pad()
        view = self.gltf.BufferView(
            buffer=0, byteOffset=len(self.blob), byteLength=len(content), target=target
        )
        self.document.bufferViews.append(view)
        self.blob += content
        return len(self.document.bufferViews) - 1

    def _pad(self) -> None:
        """Let the next part begin at a multiple of four bytes."""
        self.blob += bytes(-len(self.blob) % 4)


def _indices(values: Int[np.ndarray, "index"], count: int) -> tuple[np.ndarray, str, int]:
    """Return indices of ``count`` vertices in the smallest type, with glTF's names of shape and type."""
    short = count <= 2**16 - 1
    return (
        values.astype(np.uint16 if short else np.uint32),
        "SCALAR",
        UNSIGNED_SHORT if short else UNSIGNED_INT,
    )


def _skin_weights(head: Float[np.ndarray, "vertex"]) -> tuple[np.ndarray, np.ndarray]:
    """Return joints and weights (sums are 255) of vertices that follow joint 1 by ``head`` and joint 0 by the rest."""
    share = np.rint(255 * head.clip(0, 1)).astype(np.uint8)
    joints, weights = (np.zeros((len(head), 4), np.uint8) for _ in range(2))
    weights[:, 0], weights[:, 1] = 255 - share, share
    joints[:, 1] = share > 0  # glTF wants joint 0 where a weight is 0
    return joints, weights
