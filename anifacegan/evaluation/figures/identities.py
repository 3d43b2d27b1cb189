"""Figure of one expression on many people."""

from anifacegan.evaluation.figures.config import IdentitiesConfig, selected_seeds
from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer, captioned_grid
from anifacegan.evaluation.figures.settings import load_figure_model, selected_angles, selected_expressions


def draw(config: IdentitiesConfig) -> Drawing:
    """Draw a grid of people with the same expression."""
    turns = selected_angles((-config.yaw_turn, 0.0, config.yaw_turn))
    model = load_figure_model(config)
    renderer, seeds = FaceRenderer(model, config), list(selected_seeds(config))
    seeds += [max(seeds) + 1 + k for k in range(config.count - len(seeds))]
    expression = selected_expressions(model, config)[0]
    cells = [
        (f"seed {seed}", renderer.pixels(seed, expression.z_exp, yaw=turns[k % 3]))
        for k, seed in enumerate(seeds)
    ]
    return Drawing(
        captioned_grid(cells, config.columns),
        {"model": model_record(model), "expression": expression.label, "seeds": seeds},
    )


FIGURE = FigureKind(
    "identities",
    "One expression, many people",
    "The same expression on many people.",
    draw,
)
