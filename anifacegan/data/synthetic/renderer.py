"""Synthetic images: a person, an expression and a pose become an image with exact coefficients.

One camera for generator and data: images are drawn with :func:`anifacegan.cameras.orbit_camera`. Light is fixed to
the head and the background is painted on the world plane z = -0.12, so views of one person agree. Item ``index`` of
the data set ``seed`` is a function of these two numbers alone.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from anifacegan.data.synthetic.appearance import (
    Appearance,
    AppearancePrior,
    Background,
    sample_expression,
    sample_identity,
    texture_metric,
)
from anifacegan.data.synthetic.head import HeadGeometry, HeadSurface, dressed_head, head_geometry
from anifacegan.data.synthetic.shading import (
    hair_shading,
    half_vector,
    light_matrix,
    shade_samples,
    strand_pattern,
    vertex_table,
)
from anifacegan.face_model.coefficients import FaceCoefficients
from anifacegan.face_model.open_model import load_head_parts, load_open_face_model
from anifacegan.geometry.cameras import Camera, euler_from_rotation, orbit_camera, to_lm68
from anifacegan.geometry.conventions import BACKGROUND_Z, NOISE_DIM, WORLD_PER_MODEL_UNIT
from anifacegan.geometry.rasterization.rasterizer import draw_triangles, supersampled

PITCH_SIGMA, PITCH_LIMIT = 0.155, 0.4
YAW_SIGMA, YAW_LIMIT = 0.35, 0.9
"""Poses are normal, clamped, in radians."""
GRADIENT_WIDTH = 0.16
"""World units over which the background goes from one colour to the other."""


@dataclass(frozen=True)
class SyntheticPerson:
    """The codes of one image."""

    z_id: Float[np.ndarray, "80"]
    z_exp: Float[np.ndarray, "64"]
    z_noise: Float[np.ndarray, "80"]


@dataclass(frozen=True)
class RasterizedMesh:
    """A surface as one camera sees it."""

    x_px: Float[np.ndarray, " vertex"]
    y_px: Float[np.ndarray, " vertex"]
    """Index pixels of the vertices."""
    inverse_depth: Float[np.ndarray, " vertex"]
    """1 / distance along the camera's axis, per world unit; positive in front of the camera."""
    triangle: Int[np.ndarray, "size size"]
    """The nearest triangle at every pixel, -1 where there is none."""
    nearest: Float[np.ndarray, "size size"]
    """Inverse depth of what is seen there, 0 where there is nothing."""


@dataclass(frozen=True)
class SyntheticRenderer:
    """What images are made with: the head's geometry and the prior of appearances."""

    head: HeadGeometry
    prior: AppearancePrior


def load_synthetic_renderer(path: Path | None = None) -> SyntheticRenderer:
    """Everything from the open face model's file (None: the cached one); the prior is fitted to its bank."""
    model, parts = load_open_face_model(path), load_head_parts(path)
    return SyntheticRenderer(
        head_geometry(model, parts), AppearancePrior.fit(parts, texture_metric(model, parts))
    )


def sample_person(renderer: SyntheticRenderer, rng: np.random.Generator) -> SyntheticPerson:
    """A person, an expression and an appearance as the data set has them."""
    parts = renderer.head.parts
    z_id, z_exp = sample_identity(parts, rng), sample_expression(parts, rng)
    return SyntheticPerson(z_id, z_exp, rng.standard_normal(NOISE_DIM).astype(np.float32))


def sample_pose(rng: np.random.Generator) -> tuple[float, float]:
    """(pitch, yaw) in radians, relative to frontal."""
    pitch, yaw = PITCH_SIGMA * rng.standard_normal(), YAW_SIGMA * rng.standard_normal()
    return float(np.clip(pitch, -PITCH_LIMIT, PITCH_LIMIT)), float(np.clip(yaw, -YAW_LIMIT, YAW_LIMIT))


def render_item(
    renderer: SyntheticRenderer, seed: int, index: int, size: int, factor: int = 2
) -> tuple[UInt8[np.ndarray, "size size 3"], FaceCoefficients]:
    """Image ``index`` of the data set ``seed``: the same bytes in whatever order and process it is made."""
    rng = np.random.default_rng([seed, index])
    person = sample_person(renderer, rng)
    pitch, yaw = sample_pose(rng)
    return render_person(renderer, person, yaw=yaw, pitch=pitch, size=size, factor=factor)


def render_person(
    renderer: SyntheticRenderer,
    person: SyntheticPerson,
    *,
    yaw: float,
    pitch: float,
    size: int,
    factor: int = 2,
) -> tuple[UInt8[np.ndarray, "size size 3"], FaceCoefficients]:
    """Draw a person with factor x factor samples a pixel, and say what was drawn.

    Returns the image (size, size, 3) and its coefficients: ``pose`` is exact, ``angle`` and ``trans`` are the same
    pose in Deep3DFaceRecon's convention (its camera differs, see method, section 3), ``noise`` is ``z_noise``.
    """
    appearance = renderer.prior.appearance(person.z_id, person.z_noise)
    surface = dressed_head(renderer.head, person.z_id, person.z_exp, appearance)
    camera = orbit_camera(
        yaw=torch.tensor([yaw], dtype=torch.float64),
        pitch=torch.tensor([pitch], dtype=torch.float64),
        size=size,
    )
    fine = supersampled(camera, factor)
    view = rasterize_surface(surface, renderer.head.world_offset, fine)

    hair = hair_shading(appearance.hair_style)
    image = np.empty((size, size, 3), np.uint8)
    shade_samples(
        view.triangle,
        surface.triangles,
        view.x_px,
        view.y_px,
        view.inverse_depth,
        vertex_table(surface),
        light_matrix(appearance),
        half_vector(appearance),
        appearance.shine,
        np.array([hair.width, hair.ragged, hair.opacity, hair.contrast], np.float32),
        appearance.hair_rgb,
        appearance.cloth_rgb,
        1.5 / fine.focal_px / WORLD_PER_MODEL_UNIT,  # one and a half samples, in model units
        strand_pattern(),
        background_image(appearance.background, camera),
        factor,
        image,
    )
    return image, _coefficients(renderer, person, appearance, surface.landmarks, camera, (pitch, yaw))


def rasterize_surface(
    surface: HeadSurface, world_offset: Float[np.ndarray, "3"], camera: Camera
) -> RasterizedMesh:
    """:func:`rasterize_mesh` of a surface."""
    return rasterize_mesh(surface.vertices, surface.triangles, world_offset, camera)


def rasterize_mesh(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    world_offset: Float[np.ndarray, "3"],
    camera: Camera,
) -> RasterizedMesh:
    """Project vertices, given in model units, and find the nearest triangle of every pixel."""
    rotation, translation = camera.rotation[0].numpy(), camera.translation[0].numpy()
    to_camera, origin = WORLD_PER_MODEL_UNIT * rotation, world_offset @ rotation + translation
    in_camera = vertices @ to_camera + origin  # (N, 3)
    x_px, y_px, inverse_depth = camera.pixels(in_camera)
    triangle = np.full((camera.size, camera.size), -1, np.int32)
    nearest = np.zeros((camera.size, camera.size), np.float32)
    draw_triangles(x_px, y_px, inverse_depth, triangles, triangle, nearest)
    return RasterizedMesh(x_px, y_px, inverse_depth, triangle, nearest)


def visible_corners(
    triangles: Int[np.ndarray, "triangle 3"], shown: Int[np.ndarray, " pixel"], count: int
) -> Bool[np.ndarray, " vertex"]:
    """Which of ``count`` vertices are corners of the triangles that these pixels show."""
    seen = np.zeros(count, bool)
    seen[triangles[np.unique(shown)].ravel()] = True
    return seen


def camera_frame_rays(camera: Camera) -> Float[np.ndarray, "size size 3"]:
    """Directions through all pixels in the camera's own frame, one unit long along its axis."""
    offsets = (np.arange(camera.size) - camera.principal_px) / camera.focal_px
    x, y = np.meshgrid(offsets, -offsets)
    return np.stack([x, y, -np.ones_like(x)], axis=-1)


def background_image(background: Background, camera: Camera) -> Float[np.ndarray, "size size 3"]:
    """Colours of the world plane z = -0.12 that each pixel's ray meets: a smooth step along one direction."""
    rotation, translation = camera.rotation[0].numpy(), camera.translation[0].numpy()
    origin = -rotation @ translation  # the camera, in world units
    rays = camera_frame_rays(camera) @ rotation.T  # (S, S, 3) world directions
    distance = (BACKGROUND_Z - origin[2]) / np.minimum(rays[..., 2], -1e-6)
    plane = origin[:2] + distance[..., None] * rays[..., :2]
    along = plane @ [math.cos(background.direction_rad), math.sin(background.direction_rad)]
    share = 0.5 + 0.5 * np.tanh(2 * along / GRADIENT_WIDTH)
    first, second = background.from_rgb.astype(np.float64), background.to_rgb.astype(np.float64)
    return first + share[..., None] * (second - first)


def _coefficients(
    renderer: SyntheticRenderer,
    person: SyntheticPerson,
    appearance: Appearance,
    landmarks: Float[np.ndarray, "68 3"],
    camera: Camera,
    pose: tuple[float, float],
) -> FaceCoefficients:
    rotation, offset = camera.rotation, torch.from_numpy(renderer.head.world_offset).double()
    world = WORLD_PER_MODEL_UNIT * torch.from_numpy(landmarks).double() + offset
    return FaceCoefficients(
        id=person.z_id,
        exp=person.z_exp,
        tex=appearance.tex,
        angle=euler_from_rotation(rotation)[0].numpy().astype(np.float32),
        gamma=appearance.gamma,
        trans=(offset @ rotation[0] / WORLD_PER_MODEL_UNIT).numpy().astype(np.float32),
        lm68=to_lm68(camera, world[None])[0].numpy().astype(np.float32),
        pose=np.array(pose, np.float32),
        noise=person.z_noise,
        face_model=renderer.head.name,
    )
