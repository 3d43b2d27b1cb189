"""Figure of many expressions on one person: the named expressions, then samples of the model's expression prior."""

from anifacegan.evaluation.figures.config import ExpressionsConfig, selected_seeds
from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer, captioned_grid
from anifacegan.evaluation.figures.settings import (
    load_figure_model,
    neutral_expression,
    prior_expression,
    selected_expressions,
)


def draw(config: ExpressionsConfig) -> Drawing:
    """Draw a grid of images of one person with many expressions: named ones, then samples of the expression prior."""
    model = load_figure_model(config)
    renderer, seed = FaceRenderer(model, config), selected_seeds(config)[0]
    drawn = [prior_expression(model, config.first_drawn + k) for k in range(config.drawn)]
    expressions = [neutral_expression(model), *selected_expressions(model, config), *drawn]
    cells = [(expression.label, renderer.pixels(seed, expression.z_exp)) for expression in expressions]
    return Drawing(
        captioned_grid(cells, config.columns),
        {"model": model_record(model), "seed": seed, "expressions": [label for label, _ in cells]},
    )


FIGURE = FigureKind(
    "expressions",
    "Many expressions, one person",
    "The named expressions on one person, and samples of the model's expression prior (drawn:SEED).",
    draw,
)
