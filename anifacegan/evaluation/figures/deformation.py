"""Figure of the deformation field: template, deformed face, length of the offset, and arrows in two planes through the
head.
"""

import torch

from anifacegan.evaluation.figures.config import DeformationConfig, selected_seeds
from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer, Pixels, image_bytes
from anifacegan.evaluation.figures.settings import load_figure_model, neutral_expression, selected_expressions
from anifacegan.evaluation.figures.slices import Slice, manifold_lines, with_arrows
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.rendering.deformation_maps import WHITE_HOT, heat_colours, render_deformation


def draw(config: DeformationConfig) -> Drawing:
    """Draw the deformation of one person's face: a row for the neutral face, and one for each expression of ``config``.

    The columns are the template (the face without deformation), the deformed face, the length of the deformation, and
    its offsets as arrows in two planes through the head.
    """
    model = load_figure_model(config)
    renderer, seed = FaceRenderer(model, config), selected_seeds(config)[0]
    sections = Slice("yz", config.x), Slice("xz", config.y)
    rows, longest = [], {}
    for expression in [neutral_expression(model), *selected_expressions(model, config)]:
        fields = renderer.face(seed, expression.z_exp).fields
        cells, longest[expression.label] = _row(fields, sections, config)
        renderer.progress.update()
        rows.append(SheetRow(expression.label, cells))
    columns = ["template", "deformed", "length", *(f"arrows at {section.label}" for section in sections)]
    return Drawing(
        contact_sheet(columns, rows),
        {
            "model": model_record(model),
            "seed": seed,
            "expressions": list(longest),
            "longest_visible_step_mm": {label: round(1000 * length, 3) for label, length in longest.items()},
            "length": {"black": 0.0, "white": WHITE_HOT, "unit": "world (1 = about a metre)"},
        },
    )


@torch.inference_mode()
def _row(
    fields: ConditionedFields, sections: tuple[Slice, ...], config: DeformationConfig
) -> tuple[list[Pixels], float]:
    """Return the images of one expression, and the length of the longest visible deformation offset, world units."""
    template = fields.without_deformation()
    undeformed, deformed = (render_deformation(face, 0.0, config.size) for face in (template, fields))
    cells = [
        image_bytes(image)
        for image in (undeformed.rgb, deformed.rgb, heat_colours(deformed.step / WHITE_HOT))
    ]
    for section in sections:
        lines = manifold_lines(fields, section, config.size)
        cells.append(with_arrows(lines, fields, section, config.arrow_scale))
    return cells, float(deformed.step.max())


FIGURE = FigureKind(
    "deformation",
    "Template and deformation",
    "The template (no deformation), the deformed face, the length of the deformation's offset (black 0, red 10, yellow "
    "20, white 30 mm), and the offsets from the face to the template as arrows in a sagittal and a horizontal slice. "
    "Thin lines are the manifolds in the space of the camera, the red curve is the surface.",
    draw,
)
