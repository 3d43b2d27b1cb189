"""Figure of one expression on many people."""

from dataclasses import dataclass

from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer, captioned_grid
from anifacegan.evaluation.figures.settings import (
    FigureConfig,
    load_figure_model,
    selected_angles,
    selected_expressions,
    selected_seeds,
)
from anifacegan.runtime.errors import require_at_least


@dataclass(frozen=True)
class IdentitiesConfig(FigureConfig):
    """Draw one expression on many people."""

    count: int = 18
    """Number of people: the people of --seeds, then people whose seeds follow the largest of them."""
    columns: int = 6
    """Number of people in a row."""
    yaw_turn: float = 0.2
    """Yaw of the views, radians: of three people, one is turned by this angle to one side, one is frontal, and one is
    turned by this angle to the other side."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "count", "columns")


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
    IdentitiesConfig,
    draw,
)
