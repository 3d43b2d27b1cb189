"""The fitted head of a photograph as a layered mesh that is painted with the photograph.

Layers, from the outermost: the skin (:mod:`.skin`, :mod:`.eyelids`); eyes and mouth behind it (:mod:`.behind_skin`);
a relief of hair and shoulders (:mod:`.relief`). The background, filled in behind the person, is on the avatar's plane.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.capture.behind_skin import behind_skin_texture
from anifacegan.capture.crop import Crop, Photograph
from anifacegan.capture.eyelids import with_closed_lids
from anifacegan.capture.filling import push_pull_filled
from anifacegan.capture.fit import LandmarkFit
from anifacegan.capture.head_surface import (
    TEXTURE,
    HeadSurface,
    blendshapes,
    expression_directions,
    head_surface,
)
from anifacegan.capture.painting import SeenTexels, layer_depth, seen_texels
from anifacegan.capture.photo_parts import SIZE, PhotoParts, photo_parts
from anifacegan.capture.relief import beside_head, relief_mesh, relief_texture
from anifacegan.capture.skin import skin_texture, without_covered_sides
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import BLINK_UNITS, HeadParts
from anifacegan.geometry.cameras import Camera, half_angle_tangent, orbit_camera, widened_fov
from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.conventions import EXP_DIM, FOV_DEG
from anifacegan.geometry.rasterization.texels import TexelOwners, texel_owners
from anifacegan.geometry.resampling import read_pixels

REACH = 1.25
"""Side of the part of the photograph that is used, in sides of what the generator's camera sees: a turned head shows
more."""
WIDEST_RAD = 1.2
FACE_ROWS, FACE_COLUMNS = (0.34, 0.52), (0.3, 0.7)
"""Part of the skin's texture from the eyes to the mouth, as shares of its height and width."""
LEAST_FACING, LEAST_TEXELS = 0.4, 2000
"""Cosine between skin and viewing direction from which, and number of texels above which, that part says what colour
the skin has."""
OPEN_MOUTH = {"jawOpen": 0.5}
"""Expression in whose light the inside of the mouth is painted."""
BACKGROUND_SIDE, BACKGROUND_REACH = 1024, 0.5
"""Height and width of the background, texels, and half its side, world units."""
RAY_SAMPLING = RaySamplingConfig(near=0.8, far=1.2, samples=4096)
"""The layers have no thickness, so samples along a ray are a tenth of a millimetre apart."""


@dataclass(frozen=True)
class PhotoView:
    """The view of the photograph: the camera, and what it sees."""

    camera: Camera
    tangent: float
    """Tangent of half the view's angle."""
    parts: PhotoParts


@dataclass(frozen=True)
class _Shapes:
    """The vertices of a head with three expressions, world units."""

    posed: Float[np.ndarray, "vertex 3"]
    """That of the photograph."""
    closed: Float[np.ndarray, "vertex 3"]
    """Eyes closed."""
    opened: Float[np.ndarray, "vertex 3"]
    """Mouth open."""


def photo_view(
    photograph: Photograph, person: UInt8[np.ndarray, "height width"], fit: LandmarkFit
) -> PhotoView:
    """Cut out of a photograph what the camera of its fit sees, and a rim around it; ``person`` is the person's mask,
    0 to 255."""
    tangent = half_angle_tangent(FOV_DEG, REACH)
    size = round(SIZE * REACH)
    wide = Crop(fit.crop.x, fit.crop.y, REACH * fit.crop.side, fit.crop.roll)
    angles = {"yaw": torch.tensor([fit.yaw]).double(), "pitch": torch.tensor([fit.pitch]).double()}
    camera = orbit_camera(**angles, size=size, fov_deg=widened_fov(FOV_DEG, REACH))
    return PhotoView(camera, tangent, photo_parts(photograph, person, wide, size))


def painted_mesh(model: MorphableModel, parts: HeadParts, fit: LandmarkFit, view: PhotoView) -> LayeredMesh:
    """Paint the fitted head of the open face model with the photograph, and add relief and background."""
    surface = head_surface(model, parts, fit.z_id)
    directions, _ = expression_directions(model, parts)
    posed = surface.vertices(fit.z_exp)
    face, behind, back = np.split(surface.triangles, surface.layer_starts[1:-1])
    depth = _depth(posed, face, view.camera)
    closed = surface.vertices(directions[: len(BLINK_UNITS)].sum(axis=0))
    opened = surface.vertices(parts.expression_basis().from_strengths(OPEN_MOUTH))
    skin, inside = _head_textures(surface, _Shapes(posed, closed, opened), depth, view)
    origin, axes = view.camera.rotation[0, :, 2].numpy(), view.camera.rotation[0].numpy()
    relief, relief_texels, relief_triangles = relief_mesh(depth, origin, axes, view.tangent)
    beyond = relief_texture(view.parts.person, view.parts.share, depth, TEXTURE)
    shapes = blendshapes(surface, directions)
    still = np.zeros((*shapes.shape[:2], len(relief), 3), np.float32)
    neutral = surface.vertices(np.zeros(EXP_DIM, np.float32))
    layers = [face, behind, relief_triangles + len(neutral), back]
    return LayeredMesh(
        vertices=np.concatenate([neutral, relief]).astype(np.float32),
        texels=np.concatenate([surface.texels, relief_texels * (TEXTURE - 1)]).astype(np.float32),
        triangles=np.concatenate(layers).astype(np.int32),
        layer_starts=np.cumsum([0, *map(len, layers)]).astype(np.int32),
        textures=np.stack([_premultiplied(texture) for texture in (skin, inside, beyond, skin)]),
        background=_background(view),
        background_reach=BACKGROUND_REACH,
        blendshapes=np.concatenate([shapes, still], axis=2),
        texel_offsets=np.zeros((*shapes.shape[:2], 0, 2), np.float32),
        z_exp=directions,
        ray_sampling=RAY_SAMPLING,
        widest_rad=WIDEST_RAD,
    )


def _head_textures(
    surface: HeadSurface,
    shapes: _Shapes,
    depth: Float[np.ndarray, "size size"],
    view: PhotoView,
) -> tuple[Float[np.ndarray, "height width 4"], Float[np.ndarray, "height width 4"]]:
    """Paint the skin, and what is behind it; ``depth`` is that of the face's skin in the photograph's view."""
    face, behind, back = np.split(surface.triangles, surface.layer_starts[1:-1])
    owners, texels = [], []
    for triangles in (np.concatenate([face, back]), behind):
        owners.append(texel_owners(surface.texels, triangles, surface.priority, TEXTURE))
        texels.append(seen_texels(owners[-1], shapes.posed, triangles, view.camera, TEXTURE))
    moved = np.linalg.norm(shapes.closed - shapes.posed, axis=1)
    skin = skin_texture(texels[0], view.parts.person, view.parts.share, depth)
    skin = with_closed_lids(skin, surface, owners[0], texels[0], moved)
    skin_rgb = _median_skin(skin, texels[0])
    beside = beside_head(view.parts.share[..., None], depth)[..., 0]
    skin = without_covered_sides(skin, texels[0], beside, _texel_z(surface, owners[0]))
    unhidden = _unhidden(texels[1], depth)
    inside = behind_skin_texture(surface, owners[1], unhidden, view.parts.rgb, skin_rgb, shapes.opened)
    return skin, inside


def _median_skin(skin: Float[np.ndarray, "height width 4"], texels: SeenTexels) -> Float[np.ndarray, "3"]:
    """Return the median colour of the cheeks, nose and lips that face the camera; of whatever is seen, if none does."""
    rows, columns = (
        slice(round(low * TEXTURE), round(high * TEXTURE)) for low, high in (FACE_ROWS, FACE_COLUMNS)
    )
    part, seen, facing = (values[rows, columns] for values in (skin, texels.seen > 0, texels.facing))
    chosen = seen & (facing > LEAST_FACING)
    found = part[chosen] if np.count_nonzero(chosen) > LEAST_TEXELS else skin[texels.seen > 0]
    return np.median(found[:, :3], axis=0)


def _texel_z(surface: HeadSurface, owners: TexelOwners) -> Float[np.ndarray, "height width"]:
    """Return z of the texels in the neutral face, world units; 0 where a texel belongs to nothing."""
    z = np.zeros(TEXTURE * TEXTURE, np.float32)
    neutral = surface.vertices(np.zeros(EXP_DIM, np.float32))
    z[owners.flat] = (owners.shares * neutral[owners.corners, 2]).sum(axis=1)
    return z.reshape(TEXTURE, TEXTURE)


def _depth(vertices: np.ndarray, triangles: np.ndarray, camera: Camera) -> Float[np.ndarray, "size size"]:
    in_camera = camera.to_camera(torch.from_numpy(vertices).double()[None])[0]
    x, y, inverse = (axis.numpy() for axis in camera.pixels(in_camera))
    return layer_depth(x, y, inverse, triangles, camera.size)


def _unhidden(texels: SeenTexels, depth: Float[np.ndarray, "size size"]) -> SeenTexels:
    """Return the texels with those left out that the skin hides."""
    hidden = np.isfinite(depth).astype(np.float32)[..., None]
    covered = texels.read(hidden)[..., 0]
    return dataclasses.replace(texels, seen=texels.seen * (covered < 0.5))


def _premultiplied(texture: Float[np.ndarray, "height width 4"]) -> np.ndarray:
    alpha = texture[..., 3:]
    return np.rint(255 * np.concatenate([texture[..., :3] * alpha, alpha], axis=-1).clip(0, 1)).astype(
        np.uint8
    )


def _background(view: PhotoView) -> np.ndarray:
    """Read the background of the photograph's view at the points of the avatar's plane."""
    line = torch.linspace(-BACKGROUND_REACH, BACKGROUND_REACH, BACKGROUND_SIDE, dtype=torch.float64)
    y, x = torch.meshgrid(-line, line, indexing="ij")
    plane = torch.stack([x, y, torch.full_like(x, RAY_SAMPLING.background_z)], dim=-1)
    places = view.camera.project(plane.reshape(1, -1, 3)).reshape(1, *plane.shape[:2], 2).float()
    image = torch.from_numpy(view.parts.background).permute(2, 0, 1)[None].contiguous()
    read = read_pixels(image, places, beyond="border")[0].permute(1, 2, 0).numpy()
    size = view.camera.size
    inside = ((places[0] >= 0) & (places[0] <= size - 1)).all(dim=-1).numpy()
    return np.rint(255 * push_pull_filled(read, inside.astype(np.float32)).clip(0, 1)).astype(np.uint8)
