"""Figure of linear interpolation in latent space, from person to person and from expression to expression."""

from itertools import pairwise

import numpy as np

from anifacegan.evaluation.figures.config import InterpolationConfig, selected_seeds
from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer, interpolate_people
from anifacegan.evaluation.figures.settings import (
    load_figure_model,
    neutral_expression,
    selected_expressions,
)
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet


def draw(config: InterpolationConfig) -> Drawing:
    """Draw faces between faces: a row of images from each person to the next, then a row from each expression to the
    next, of which the first is neutral.
    """
    seeds = selected_seeds(config)
    model = load_figure_model(config)
    renderer = FaceRenderer(model, config)
    expressions = [neutral_expression(model), *selected_expressions(model, config)]
    shares = np.linspace(0, 1, config.steps).tolist()
    rows = []
    for first, last in pairwise(seeds):
        ends = model.person(first), model.person(last)
        cells = [renderer.pixels(interpolate_people(*ends, share), expressions[1].z_exp) for share in shares]
        rows.append(SheetRow(f"seed {first}\nto seed {last}", cells))
    for k, (first, last) in enumerate(pairwise(expressions)):
        latents = [((1 - share) * first.z_exp + share * last.z_exp).astype(np.float32) for share in shares]
        cells = [renderer.pixels(seeds[0], z_exp) for z_exp in latents]
        rows.append(SheetRow(f"{first.label}\nto {last.label}", cells, starts_group=k == 0))
    return Drawing(
        contact_sheet([f"{share:.2f}" for share in shares], rows),
        {
            "model": model_record(model),
            "seeds": list(seeds),
            "expressions": [expression.label for expression in expressions],
            "shares": shares,
        },
    )


FIGURE = FigureKind(
    "interpolation",
    "Interpolation",
    "Above, identity and appearance latents are interpolated linearly from person to person with one expression; "
    "below, the expression coefficients of one person.",
    draw,
)
