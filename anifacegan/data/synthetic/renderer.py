"""Renderer of synthetic faces: latents and a camera pose become an image with exact coefficients.

Images use the generator's camera, :func:`anifacegan.geometry.cameras.orbit_camera`. The light is fixed to the head and
the background is painted on the world plane z = -0.12, so all views of a person are consistent. An image of a synthetic
data set depends only on the seed of the data set and on the image's index.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from anifacegan.data.rasterized_mesh import RasterizedMesh, camera_frame_rays, rasterize_mesh
from anifacegan.data.synthetic.appearance import Appearance, Background
from anifacegan.data.synthetic.appearance_prior import AppearancePrior, texture_metric
from anifacegan.data.synthetic.head import HeadGeometry, HeadSurface, dressed_head, head_geometry
from anifacegan.data.synthetic.sampling import SyntheticPerson, sample_person, sample_pose
from anifacegan.data.synthetic.shading import shade
from anifacegan.face_model.coefficients import FaceCoefficients
from anifacegan.face_model.open_model import load_head_parts, load_open_face_model
from anifacegan.geometry.cameras import Camera, euler_from_rotation, orbit_camera, to_lm68
from anifacegan.geometry.conventions import BACKGROUND_Z, WORLD_PER_MODEL_UNIT
from anifacegan.geometry.rasterization.rasterizer import supersampled

GRADIENT_WIDTH = 0.16
"""Width of the transition between the two background colours, in world units."""


@dataclass(frozen=True)
class SyntheticRenderer:
    """Everything that synthetic images are rendered from."""

    head: HeadGeometry
    """Geometry of the open face model with hair and clothes."""
    prior: AppearancePrior
    """Map from latents to skin and hair colours, light, hair style, clothes and background."""


def load_synthetic_renderer(path: Path | None = None) -> SyntheticRenderer:
    """Load the open face model and fit the appearance prior to its bank of people.

    Args:
        path: file of the open face model; None for the file in the user's cache.

    Raises:
        InputError: the file is missing or is no open face model.
    """
    model, parts = load_open_face_model(path), load_head_parts(path)
    return SyntheticRenderer(
        head_geometry(model, parts), AppearancePrior.fit(parts, texture_metric(model, parts))
    )


def render_item(
    renderer: SyntheticRenderer, seed: int, index: int, size: int, factor: int = 2
) -> tuple[UInt8[np.ndarray, "size size 3"], FaceCoefficients]:
    """Render the image with an index of the synthetic data set with a seed; equal arguments always give equal bytes.

    Returns:
        The image and its coefficients, as :func:`render_person` returns them.
    """
    rng = np.random.default_rng([seed, index])
    person = sample_person(renderer.head.parts, rng)
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
    """Render a synthetic person from one camera pose.

    Args:
        renderer: the head's geometry and the appearance prior.
        person: identity, expression and appearance latents.
        yaw, pitch: camera pose in radians, relative to frontal.
        size: height and width of the image in pixels.
        factor: supersampling; every pixel averages factor x factor samples.

    Returns:
        The image, and its exact coefficients: ``pose`` is (pitch, yaw) of the generator's camera; ``angle`` and
        ``trans`` are the same pose in Deep3DFaceRecon's convention; ``noise`` is ``z_noise``.
    """
    appearance = renderer.prior.appearance(person.z_id, person.z_noise)
    surface = dressed_head(renderer.head, person.z_id, person.z_exp, appearance)
    camera = orbit_camera(
        yaw=torch.tensor([yaw], dtype=torch.float64),
        pitch=torch.tensor([pitch], dtype=torch.float64),
        size=size,
    )
    samples_camera = supersampled(camera, factor)
    rasterized = rasterize_surface(surface, renderer.head.world_offset, samples_camera)
    collar_edge = (
        1.5 / samples_camera.focal_px / WORLD_PER_MODEL_UNIT
    )  # one and a half samples, in model units
    background = background_image(appearance.background, camera)
    image = shade(rasterized, surface, appearance, background, factor=factor, collar_edge=collar_edge)
    return image, _coefficients(renderer, person, appearance, surface.landmarks, camera, (pitch, yaw))


def rasterize_surface(
    surface: HeadSurface, world_offset: Float[np.ndarray, "3"], camera: Camera
) -> RasterizedMesh:
    """Rasterize a head surface whose origin lies at ``world_offset`` (world units) from one camera."""
    return rasterize_mesh(surface.vertices, surface.triangles, world_offset, camera)


def background_image(background: Background, camera: Camera) -> Float[np.ndarray, "size size 3"]:
    """Render the background, a colour gradient on the world plane z = -0.12, without the head; colours in [0, 1]."""
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
