"""Figure of the radiance manifolds where planes through the face cut them (slices), before and after deformation."""

import torch

from anifacegan.evaluation.figures.config import ManifoldsConfig, selected_seeds
from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer, image_bytes
from anifacegan.evaluation.figures.settings import load_figure_model, neutral_expression, selected_expressions
from anifacegan.evaluation.figures.slices import Slice, manifold_lines
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.runtime.typed_config import as_tuple


@torch.inference_mode()
def draw(config: ManifoldsConfig) -> Drawing:
    """Draw the radiance manifolds as lines where they cut planes through the head, for the first person of ``config``.

    There is a column for each plane. The three rows show the manifolds in the template (without deformation), in the
    neutral face, and in the face with the first expression of ``config``.
    """
    sections = [
        *(Slice("yz", at) for at in as_tuple(config.x)),
        *(Slice("xz", at) for at in as_tuple(config.y)),
    ]
    model = load_figure_model(config)
    renderer, seed = FaceRenderer(model, config), selected_seeds(config)[0]
    neutral, expression = neutral_expression(model), selected_expressions(model, config)[0]
    faces = {
        "template": (neutral, True),
        f"{neutral.label}\nface": (neutral, False),
        expression.label: (expression, False),
    }
    rows = []
    for label, (face_expression, in_template) in faces.items():
        fields = renderer.face(seed, face_expression.z_exp).fields
        cells = [
            image_bytes(manifold_lines(fields, section, config.size, in_template)) for section in sections
        ]
        rows.append(SheetRow(label, cells))
    return Drawing(
        contact_sheet([f"{section.plane}, {section.label}" for section in sections], rows),
        {
            "model": model_record(model),
            "seed": seed,
            "expression": expression.label,
            "slices": [{"plane": section.plane, "at": section.at} for section in sections],
            "levels": [round(level, 4) for level in model.generator.manifolds.levels.tolist()],
        },
    )


FIGURE = FigureKind(
    "manifolds",
    "Radiance manifolds",
    "Slices through the manifolds: sagittal (yz, the camera is to the right) and horizontal (xz, the camera is below). "
    "A line has the manifold's colour where it is opaque and is grey where it is transparent. In the template the "
    "manifolds are the same for all people or, if they are aligned, follow each head; the deformation field maps the "
    "points of the face to them.",
    draw,
)
