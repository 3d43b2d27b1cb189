"""Figure of the truncation psi: from the average appearance (0) to the full variety of people (1) and beyond."""

from anifacegan.evaluation.figures.config import TruncationConfig, selected_seeds
from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer
from anifacegan.evaluation.figures.settings import load_figure_model, selected_expressions
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.runtime.typed_config import as_tuple


def draw(config: TruncationConfig) -> Drawing:
    """Draw a row of images for each person, one image for each value of the truncation psi of the appearance."""
    model = load_figure_model(config)
    renderer, seeds, psis = FaceRenderer(model, config), selected_seeds(config), as_tuple(config.psis)
    expression = selected_expressions(model, config)[0]
    rows = [
        SheetRow(f"seed {seed}", [renderer.pixels(seed, expression.z_exp, psi=psi) for psi in psis])
        for seed in seeds
    ]
    return Drawing(
        contact_sheet([f"psi {psi:g}" for psi in psis], rows),
        {
            "model": model_record(model),
            "seeds": list(seeds),
            "expression": expression.label,
            "psi": list(psis),
        },
    )


FIGURE = FigureKind(
    "truncation",
    "Truncation",
    "Each row is one person. A smaller psi moves the appearance toward the average; the shape, which identity and "
    "expression determine through the deformation field, does not change.",
    draw,
)
