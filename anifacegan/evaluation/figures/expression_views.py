"""Figure of expression and viewpoint control: one person, expressions in columns, views in rows."""

from anifacegan.evaluation.figures.config import ExpressionViewsConfig, selected_seeds
from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer
from anifacegan.evaluation.figures.settings import (
    load_figure_model,
    neutral_expression,
    selected_angles,
    selected_expressions,
)
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet


def draw(config: ExpressionViewsConfig) -> Drawing:
    """Draw one person: a row for each view, a column for each expression, the neutral face in the first column."""
    views = [(yaw, 0.0) for yaw in selected_angles(config.yaw)] + [
        (0.0, pitch) for pitch in selected_angles(config.pitch)
    ]
    model = load_figure_model(config)
    renderer, seed = FaceRenderer(model, config), selected_seeds(config)[0]
    expressions = [neutral_expression(model), *selected_expressions(model, config)]
    rows = []
    for yaw, pitch in views:
        cells = [renderer.pixels(seed, expression.z_exp, yaw=yaw, pitch=pitch) for expression in expressions]
        rows.append(SheetRow(f"yaw {yaw:+.2f}\npitch {pitch:+.2f}", cells))
    labels = [expression.label for expression in expressions]
    return Drawing(
        contact_sheet(labels, rows),
        {"model": model_record(model), "seed": seed, "expressions": labels, "yaw_pitch": views},
    )


FIGURE = FigureKind(
    "expression_views",
    "Expression and viewpoint",
    "One person: an expression in each column, a view in each row (radians from frontal).",
    draw,
)
