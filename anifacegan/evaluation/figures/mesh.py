"""Figure of a head as a triangle mesh with vertex colours, with the files mesh.ply and mesh.obj."""

from itertools import product
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.evaluation.figures.config import MeshConfig, selected_seeds
from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer, Pixels, image_bytes
from anifacegan.evaluation.figures.settings import load_figure_model, selected_angles, selected_expressions
from anifacegan.evaluation.figures.surface_mesh import SurfaceMesh, SurfaceView, extract_mesh, optional_module
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.normals import vertex_normals
from anifacegan.geometry.rasterization.rasterizer import interpolate, rasterize, supersampled
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.rendering.images import straight_alpha
from anifacegan.rendering.surface import visible_surface

SAMPLES = 3
"""Number of samples along each side of a pixel in the images of the mesh."""


def draw(config: MeshConfig) -> Drawing:
    """Extract a triangle mesh of a head from rendered views, and draw it from several sides: in its colours, and in
    shaded grey.
    """
    views = list(product(selected_angles(config.yaw), selected_angles(config.pitch)))
    image_yaws = selected_angles(config.show_yaw)
    trimesh = optional_module("trimesh", "trimesh")
    optional_module("skimage.measure", "scikit-image")
    model = load_figure_model(config)
    renderer, seed = FaceRenderer(model, config), selected_seeds(config)[0]
    expression = selected_expressions(model, config)[0]
    mesh = extract_mesh(surface_views(renderer, seed, expression.z_exp, views), config.resolution)
    fov_deg = model.generator.config.ray_sampling.fov_deg
    images = [mesh_images(mesh, yaw, config.size, fov_deg) for yaw in image_yaws]
    rows = [SheetRow(label, [pair[k] for pair in images]) for k, label in enumerate(("colours", "shape"))]

    def write(kind: str, path: Path) -> None:
        rgb = np.rint(mesh.rgb * 255).astype(np.uint8)
        solid = trimesh.Trimesh(mesh.vertices, mesh.triangles, vertex_colors=rgb, process=False)
        content = solid.export(file_type=kind)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return Drawing(
        contact_sheet([f"yaw {yaw:+.2f}" for yaw in image_yaws], rows),
        {
            "model": model_record(model),
            "seed": seed,
            "expression": expression.label,
            "vertices": len(mesh.vertices),
            "triangles": len(mesh.triangles),
            "unit": "world: y up, the face looks along +z, the camera orbits at distance 1",
        },
        {f".{kind}": lambda path, kind=kind: write(kind, path) for kind in ("ply", "obj")},
    )


def surface_views(
    renderer: FaceRenderer, seed: int, z_exp: Float[np.ndarray, "64"], views: list[tuple[float, float]]
) -> list[SurfaceView]:
    """Render the visible surface of one person from several views.

    ``seed`` gives the person, ``z_exp`` the expression; ``views`` are (yaw, pitch) in radians from frontal.
    """
    face, ray_sampling = renderer.face(seed, z_exp), renderer.model.generator.config.ray_sampling
    seen = []
    for yaw, pitch in views:
        image = renderer.image(face, yaw=yaw, pitch=pitch)
        rgb = straight_alpha(image.foreground_rgb, image.foreground)[:3]
        seen.append(
            SurfaceView(
                yaw=yaw,
                pitch=pitch,
                surface=visible_surface(image, yaw=yaw, pitch=pitch, ray_sampling=ray_sampling),
                rgb=rgb,
                fov_deg=ray_sampling.fov_deg,
            )
        )
    return seen


def mesh_images(mesh: SurfaceMesh, yaw: float, size: int, fov_deg: float) -> tuple[Pixels, Pixels]:
    """Render a mesh on white, and return two square images: in its colours, and in grey with diffuse light from the
    camera's side.

    ``yaw`` is radians from frontal, ``size`` pixels, ``fov_deg`` the field of view in degrees.
    """
    vertices, triangles = torch.from_numpy(mesh.vertices)[None], torch.from_numpy(mesh.triangles)
    angle = torch.tensor([yaw])
    camera = supersampled(orbit_camera(yaw=angle, pitch=torch.zeros(1), size=size, fov_deg=fov_deg), SAMPLES)
    fragments = rasterize(vertices, triangles, camera)
    normals = vertex_normals(camera.to_camera(vertices), triangles)[0]
    light = torch.nn.functional.normalize(torch.tensor([0.4, 0.5, 1.0]), dim=0)
    facing = normals @ light
    grey = (0.2 + 0.7 * facing.clamp(min=0))[:, None].expand(-1, 3)
    both = torch.cat([torch.from_numpy(mesh.rgb), grey], dim=-1)[None]
    image = interpolate(both, triangles, fragments)[0]  # (H, W, 6)
    image = torch.where(fragments.mask[0, ..., None], image, 1.0)
    image = _averaged(image, SAMPLES)
    return image_bytes(image[..., :3]), image_bytes(image[..., 3:])


def _averaged(
    image: Float[Tensor, "height width channel"], samples: int
) -> Float[Tensor, "rows columns channel"]:
    return torch.nn.functional.avg_pool2d(image.permute(2, 0, 1), samples).permute(1, 2, 0)


FIGURE = FigureKind(
    "mesh",
    "Mesh",
    "The head as a mesh, by marching cubes in the signed distances to the rendered depth of several views; open at "
    "the back, which no view shows. mesh.ply and mesh.obj hold it with vertex colours.",
    draw,
)
