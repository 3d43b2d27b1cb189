"""Radiance manifolds in cuts: as the template has them, and where an expression carries them."""

from dataclasses import dataclass

import torch

from anifacegan.evaluation.figures.command import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer, image_bytes
from anifacegan.evaluation.figures.settings import (
    FigureConfig,
    load_figure_model,
    neutral_expression,
    selected_expressions,
    selected_seeds,
)
from anifacegan.evaluation.figures.slices import Slice, manifold_lines
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.runtime.typed_config import as_tuple


@dataclass(frozen=True)
class ManifoldsConfig(FigureConfig):
    """Draw the manifolds in cuts through the face."""

    x: float | tuple[float, ...] = (0.0, 0.03)
    """Upright cuts (yz), world units from the middle of the face."""
    y: float | tuple[float, ...] = (0.027, -0.045)
    """Level cuts (xz), world units from the origin: about the eyes, and the mouth."""

    def __post_init__(self) -> None:
        super().__post_init__()
        cuts = [*as_tuple(self.x), *as_tuple(self.y)]
        if not cuts or not all(-1 <= at <= 1 for at in cuts):
            raise ValueError(f"x is {self.x} and y is {self.y}, expected one cut or more, each from -1 to 1")


@torch.inference_mode()
def draw(config: ManifoldsConfig) -> Drawing:
    """Rows: the template, the neutral face, the first expression; columns: cuts."""
    cuts = [*(Slice("yz", at) for at in as_tuple(config.x)), *(Slice("xz", at) for at in as_tuple(config.y))]
    model = load_figure_model(config)
    renderer, seed = FaceRenderer(model, config), selected_seeds(config)[0]
    neutral, expression = neutral_expression(model), selected_expressions(model, config)[0]
    faces = {
        "template": (neutral, True),
        f"{neutral.label}\nface": (neutral, False),
        expression.label: (expression, False),
    }
    rows = []
    for label, (shown, in_template) in faces.items():
        fields = renderer.face(seed, shown.z_exp).fields
        cells = [image_bytes(manifold_lines(fields, cut, config.size, in_template)) for cut in cuts]
        rows.append(SheetRow(label, cells))
    return Drawing(
        contact_sheet([f"{cut.plane}, {cut.label}" for cut in cuts], rows),
        {
            "model": model_record(model),
            "seed": seed,
            "expression": expression.label,
            "cuts": [{"plane": cut.plane, "at": cut.at} for cut in cuts],
            "levels": [round(level, 4) for level in model.generator.manifolds.levels.tolist()],
        },
    )


FIGURE = FigureKind(
    "manifolds",
    "Radiance manifolds",
    "Cuts through the manifolds: upright (yz, the camera is to the right) and level (xz, the camera is below). A line "
    "is in its own colour where the manifold is opaque and grey where it is clear. In the template the manifolds are "
    "the same for everybody; the deformation field carries them to the face that the camera sees.",
    ManifoldsConfig,
    draw,
)
