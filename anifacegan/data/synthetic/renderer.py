"""Renderer of synthetic faces: latents and a camera pose become an image with exact coefficients.

Images use the generator's camera, :func:`anifacegan.geometry.cameras.orbit_camera`. Light and highlights are fixed to
the head, and the background is painted on the world plane z = -0.12. So a point has the same colour in all views of a
person. The plane hides everything behind it. An image of a synthetic data set depends only on the seed of the data set
and on the image's index.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from anifacegan.data.rasterized_mesh import RasterizedMesh, rasterize_mesh, world_rays
from anifacegan.data.synthetic.looks.appearance import Appearance
from anifacegan.data.synthetic.looks.appearance_prior import AppearancePrior, texture_metric
from anifacegan.data.synthetic.looks.light import sample_light
from anifacegan.data.synthetic.sampling import SyntheticPerson, sample_item
from anifacegan.data.synthetic.shading.background import background_image
from anifacegan.data.synthetic.shading.development import develop, exposure_of
from anifacegan.data.synthetic.shading.shading import highlights, looks, shade
from anifacegan.data.synthetic.shading.surface_colours import scattered, vertex_colours, vertex_table
from anifacegan.data.synthetic.strands.drawing import draw_strands
from anifacegan.data.synthetic.strands.lighting import strand_light
from anifacegan.data.synthetic.strands.plan import StrandPlan, grow_strands, plan_strands, skin_under_hair
from anifacegan.data.synthetic.strands.strands import Strands
from anifacegan.data.synthetic.surface.head import HeadGeometry, head_geometry
from anifacegan.data.synthetic.surface.head_fields import HeadFields, head_detail, head_fields
from anifacegan.data.synthetic.surface.person_surface import PersonSurface, person_surface
from anifacegan.data.synthetic.surface.shadow_maps import ShadowMaps, shadow_maps, vertex_light
from anifacegan.data.synthetic.surface.skin_detail import SkinDetail
from anifacegan.face_model.coefficients import FaceCoefficients
from anifacegan.face_model.open_model import load_head_parts, load_open_face_model
from anifacegan.geometry.cameras import Camera, euler_from_rotation, orbit_camera, to_lm68
from anifacegan.geometry.conventions import BACKGROUND_Z, WORLD_PER_MODEL_UNIT
from anifacegan.geometry.rasterization.rasterizer import supersampled
from anifacegan.runtime.cpu import one_blas_thread

FACTOR = 3
"""Supersampling: number of samples along each side of a pixel."""


@dataclass(frozen=True)
class SyntheticRenderer:
    """Everything that synthetic images are rendered from: the geometry of the head, and the map from latents to
    appearances.
    """

    head: HeadGeometry
    """Geometry of the open face model."""
    prior: AppearancePrior
    """Map from identity and appearance latents to everything of an image that is neither shape nor expression."""

    @cached_property
    def fields(self) -> HeadFields:
        """Numbers at the head's vertices and triangles, such as regions of the skin, which are the same for everyone.

        The numbers are computed at first use.
        """
        return head_fields(self.head)

    @cached_property
    def strand_plan(self) -> StrandPlan:
        """Places on the head where strands of hair, brows, lashes and beard can grow; the same for everyone.

        The places are laid out at first use.
        """
        return plan_strands(self.head)

    @cached_property
    def detail(self) -> SkinDetail:
        """Texture map of the skin's detail (pores, freckles), drawn at first use; only colours need it."""
        return head_detail(self.head, self.fields)

    def prepare(self, *, colours: bool = True) -> None:
        """Compute what is otherwise computed at the first image, which takes some seconds.

        Without ``colours``, only what distance maps and visible vertices need is computed.
        """
        _ = self.fields, self.strand_plan
        if colours:
            _ = self.detail


def load_synthetic_renderer(path: Path | None = None) -> SyntheticRenderer:
    """Load the open face model, and fit the appearance prior to the example people in its file.

    Args:
        path: file of the open face model; None for the file in the user's cache.

    Raises:
        InputError: the file is missing or is no open face model.
    """
    with one_blas_thread():  # more threads sum in another order: the prior's last bits would differ
        model, parts = load_open_face_model(path), load_head_parts(path)
        return SyntheticRenderer(
            head_geometry(model, parts), AppearancePrior.fit(parts, texture_metric(model, parts))
        )


def render_item(
    renderer: SyntheticRenderer, seed: int, index: int, size: int, factor: int = FACTOR
) -> tuple[UInt8[np.ndarray, "size size 3"], FaceCoefficients]:
    """Render image number ``index`` of the synthetic data set of a seed; equal arguments always give equal bytes.

    Args:
        renderer: the head's geometry and the appearance prior.
        seed: seed of the data set.
        index: number of the image, from 0.
        size: height and width of the image in pixels.
        factor: supersampling; every pixel averages factor x factor samples.

    Returns:
        The image, RGB, and its exact coefficients, see :func:`render_person`.
    """
    person, (pitch, yaw) = sample_item(renderer.head.parts, seed, index)
    return render_person(renderer, person, yaw=yaw, pitch=pitch, size=size, factor=factor)


def render_person(
    renderer: SyntheticRenderer,
    person: SyntheticPerson,
    *,
    yaw: float,
    pitch: float,
    size: int,
    factor: int = FACTOR,
) -> tuple[UInt8[np.ndarray, "size size 3"], FaceCoefficients]:
    """Render a synthetic person from one camera pose.

    Args:
        renderer: the head's geometry and the appearance prior.
        person: identity, expression and appearance latents.
        yaw, pitch: camera pose in radians, relative to frontal.
        size: height and width of the image in pixels.
        factor: supersampling; every pixel averages factor x factor samples.

    Returns:
        The image, RGB, and its exact coefficients: ``pose`` is (pitch, yaw) of the generator's camera; ``angle`` and
        ``trans`` are the same pose in Deep3DFaceRecon's convention; ``noise`` is ``z_noise``.
    """
    with one_blas_thread():  # equal arguments give equal bytes, whatever the number of threads
        appearance = renderer.prior.appearance(person.z_id, person.z_noise)
        camera = orbit_camera(
            yaw=torch.tensor([yaw], dtype=torch.float64),
            pitch=torch.tensor([pitch], dtype=torch.float64),
            size=size,
        )
        image, surface = render_appearance(renderer, person, appearance, camera, factor)
        return image, _coefficients(renderer, person, appearance, surface.landmarks, camera, (pitch, yaw))


def render_appearance(
    renderer: SyntheticRenderer,
    person: SyntheticPerson,
    appearance: Appearance,
    camera: Camera,
    factor: int = FACTOR,
) -> tuple[UInt8[np.ndarray, "size size 3"], PersonSurface]:
    """Render a person's shape and expression with an appearance that need not be the person's own.

    Args:
        renderer: the head's geometry and the appearance prior.
        person: identity and expression latents; the appearance latents are not used.
        appearance: skin, hair, clothes, light, background and so on.
        camera: one camera (batch size 1) of the image.
        factor: supersampling; every pixel averages factor x factor samples.

    Returns:
        The image, RGB, and the person's solid surface (everything but hair).
    """
    head, fields = renderer.head, renderer.fields
    surface = person_surface(head, fields, person.z_id, person.z_exp, appearance)
    strands = person_strands(renderer, surface, appearance)
    shadows = _shadows(fields, surface, strands, appearance)
    under_hair = skin_under_hair(renderer.strand_plan, appearance)
    colours = vertex_colours(head, fields, appearance, under_hair)
    seen = np.ones(len(surface.vertices), bool)
    seen[: len(fields.seen)] = fields.seen
    arriving = vertex_light(shadows, surface.vertices, surface.normals, seen)
    light = scattered(arriving, fields, appearance.skin.melanin)
    table = vertex_table(head, fields, surface, colours, light, appearance, under_hair.scalp)
    samples_camera = supersampled(camera, factor)
    rasterized = rasterize_surface(surface, head.world_offset, samples_camera)
    hair = draw_strands(
        strands,
        strand_light(shadows, appearance.light),
        samples_camera,
        head.world_offset,
        rasterized.nearest,
    )
    picture = shade(
        rasterized, hair.through, surface, table, renderer.detail,
        looks(appearance), highlights(appearance.light), factor,
    )  # fmt: skip
    exposure = face_exposure(fields, surface, shadows, colours, appearance)
    image = develop(picture, rasterized, hair, background_image(appearance.background, camera), exposure)
    return image, surface


def person_strands(
    renderer: SyntheticRenderer, surface: PersonSurface, appearance: Appearance
) -> list[Strands]:
    """Grow the hair of the head, brows, lashes and beard that ``appearance`` describes on a person's surface."""
    count = len(surface.neutral)
    return grow_strands(
        renderer.strand_plan, appearance, surface.neutral, surface.neutral_normals,
        surface.vertices[:count], surface.normals[:count],
    )  # fmt: skip


def _shadows(
    fields: HeadFields, surface: PersonSurface, strands: list[Strands], appearance: Appearance
) -> ShadowMaps:
    """Draw the depth maps of a person. Glasses cast no shadows: their wire is thinner than a pixel of the maps."""
    points = np.concatenate([np.zeros((0, 3), np.float32), *(kind.casting for kind in strands)])
    solid = fields.occluders
    return shadow_maps(
        sample_light(appearance.light), surface.vertices[solid.vertices], solid.corners, points
    )


def face_exposure(
    fields: HeadFields,
    surface: PersonSurface,
    shadows: ShadowMaps,
    colours: Float[np.ndarray, "vertex 3"],
    appearance: Appearance,
) -> float:
    """Compute the camera's exposure, a factor on linear light, from cheeks and forehead of the neutral face.

    Hair shades these; shadows of the head itself are left out.

    Args:
        fields: says which vertices are measured.
        surface: the person's surface.
        shadows: depth maps of the hair from the directions of the light.
        colours: linear colours of the vertices without light.
        appearance: its light has the factor of the automatic exposure.
    """
    face = fields.measured
    if len(face) == 0:
        return appearance.light.exposure
    light = vertex_light(shadows, surface.neutral[face], surface.neutral_normals[face], solid=False)
    return exposure_of(float(light.irradiance.mean()), float(colours[face].mean()), appearance.light.exposure)


def rasterize_surface(
    surface: PersonSurface, world_offset: Float[np.ndarray, "3"], camera: Camera
) -> RasterizedMesh:
    """Rasterize a person's surface from one camera, with the background plane, which hides what is behind it.

    ``world_offset`` is the position of the face model's origin, world units. Pixels that show the plane have no
    triangle (-1), and the inverse depth of the plane.
    """
    return rasterize_mesh(
        surface.vertices, surface.triangles, world_offset, camera, behind=background_inverse_depth(camera)
    )


def background_inverse_depth(camera: Camera) -> Float[np.ndarray, "size size"]:
    """Return the inverse depth of the background plane at every pixel of a camera, 1 / world units.

    It is 0 where the pixel's ray does not meet the plane.
    """
    origin, (_, _, fall) = world_rays(camera)
    return np.maximum(fall / (BACKGROUND_Z - origin[2]), 0).astype(np.float32)


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
        tex=appearance.skin.tex,
        angle=euler_from_rotation(rotation)[0].numpy().astype(np.float32),
        gamma=appearance.gamma,
        trans=(offset @ rotation[0] / WORLD_PER_MODEL_UNIT).numpy().astype(np.float32),
        lm68=to_lm68(camera, world[None])[0].numpy().astype(np.float32),
        pose=np.array(pose, np.float32),
        noise=person.z_noise,
        face_model=renderer.head.name,
    )
