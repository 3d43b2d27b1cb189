"""Figure of the geometry: colours, depth and normals from several views."""

import torch

from anifacegan.evaluation.figures.config import DepthNormalsConfig, selected_seeds
from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer, image_bytes
from anifacegan.evaluation.figures.settings import load_figure_model, selected_angles, selected_expressions
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.surface import camera_normals, visible_surface


def draw(config: DepthNormalsConfig) -> Drawing:
    """Draw a row for each person, with three images for each view: colours, depth and normals."""
    yaws = selected_angles(config.yaw)
    model = load_figure_model(config)
    renderer, seeds = FaceRenderer(model, config), selected_seeds(config)
    expression, ray_sampling = selected_expressions(model, config)[0], model.generator.config.ray_sampling
    seen = {}
    for seed in seeds:
        face = renderer.face(seed, expression.z_exp)
        for yaw in yaws:
            image = renderer.image(face, yaw=yaw)
            seen[seed, yaw] = image.rgb, visible_surface(image, yaw=yaw, pitch=0.0, ray_sampling=ray_sampling)
    distances = [surface.distance[surface.mask] for _, surface in seen.values()]
    everything = torch.cat(distances)
    near, far = (
        everything.quantile(torch.tensor([0.01, 0.99])) if len(everything) else torch.zeros(2)
    ).tolist()
    rows = []
    for seed in seeds:
        cells = []
        for yaw in yaws:
            rgb, surface = seen[seed, yaw]
            grey = 1 - 0.85 * (surface.distance - near) / max(far - near, 1e-6)
            grey = torch.where(surface.mask, grey, 0.0)[..., None].expand(-1, -1, 3)
            normals = camera_normals(surface, yaw=yaw, pitch=0.0)
            normal_colours = torch.where(normals.any(dim=-1, keepdim=True), 0.5 + 0.5 * normals, 1.0)
            cells += [to_bytes(rgb), image_bytes(grey), image_bytes(normal_colours)]
        rows.append(SheetRow(f"seed {seed}", cells))
    columns = [text for yaw in yaws for text in (f"yaw {yaw:+.2f}", "depth", "normals")]
    return Drawing(
        contact_sheet(columns, rows),
        {
            "model": model_record(model),
            "seeds": list(seeds),
            "expression": expression.label,
            "yaw": list(yaws),
            "depth": {"white": near, "dark": far, "unit": "world, distance from the camera"},
        },
    )


FIGURE = FigureKind(
    "depth_normals",
    "Depth and normals",
    "Each view shows the colours, the distance (near is white, the background black), and the normals in camera "
    "coordinates (red: to the right, green: up, blue: toward the camera).",
    draw,
)
