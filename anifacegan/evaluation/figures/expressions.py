"""Figure of many expressions on one person: the named expressions, then samples of the model's expression prior."""

from dataclasses import dataclass

from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer, captioned_grid
from anifacegan.evaluation.figures.settings import (
    FigureConfig,
    load_figure_model,
    neutral_expression,
    prior_expression,
    selected_expressions,
    selected_seeds,
)
from anifacegan.runtime.errors import require_at_least


@dataclass(frozen=True)
class ExpressionsConfig(FigureConfig):
    """Draw many expressions on one person."""

    drawn: int = 11
    """Number of expressions that are sampled from the model's expression prior, shown after the neutral and the named
    expressions."""
    first_drawn: int = 101
    """Random seed of the first sampled expression; the next ones have this seed plus 1, 2, ..."""
    columns: int = 6
    """Number of expressions in a row."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "columns")
        require_at_least(self, 0, "drawn", "first_drawn")


def draw(config: ExpressionsConfig) -> Drawing:
    """Draw a grid of one person's expressions."""
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
    ExpressionsConfig,
    draw,
)
