"""Figure of the truncation psi: from the average appearance (0) to the full variety of people (1) and beyond."""

import math
from dataclasses import dataclass

from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer
from anifacegan.evaluation.figures.settings import (
    FigureConfig,
    load_figure_model,
    selected_expressions,
    selected_seeds,
)
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.runtime.errors import ConfigError
from anifacegan.runtime.typed_config import as_tuple


@dataclass(frozen=True)
class TruncationConfig(FigureConfig):
    """Draw people at several values of the truncation psi. The option --psi is not used; --psis replaces it."""

    psis: float | tuple[float, ...] = (0.0, 0.3, 0.5, 0.7, 0.85, 1.0, 1.2)
    """Values of psi, one for each column: 1 shows the full variety of people, 0 the average appearance for everyone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not as_tuple(self.psis) or not all(map(math.isfinite, as_tuple(self.psis))):
            raise ConfigError("psis", self.psis, "one finite number or more")


def draw(config: TruncationConfig) -> Drawing:
    """Draw a row of images for each person, one image for each value of psi."""
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
    TruncationConfig,
    draw,
)
