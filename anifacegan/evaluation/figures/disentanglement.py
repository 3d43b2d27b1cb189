"""Figure of disentanglement: strips in which one latent or camera angle changes while the others are fixed."""

import numpy as np

from anifacegan.evaluation.figures.config import DisentanglementConfig, selected_seeds
from anifacegan.evaluation.figures.figure import Drawing, FigureKind, model_record
from anifacegan.evaluation.figures.panels import FaceRenderer, interpolate_people
from anifacegan.evaluation.figures.settings import (
    load_figure_model,
    selected_angles,
    selected_expressions,
)
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet


def draw(config: DisentanglementConfig) -> Drawing:
    """Draw strips of images of one person, in each of which one thing changes from left to right.

    These are the strength of the expression, the identity and the appearance (both toward a second person), the yaw and
    the pitch.
    """
    seeds = selected_seeds(config)[:2]
    yaws = selected_angles(tuple(np.linspace(-config.reach, config.reach, config.steps).tolist()))
    model = load_figure_model(config)
    renderer = FaceRenderer(model, config)
    here, there = (model.person(seed) for seed in seeds)
    expression = selected_expressions(model, config)[0]
    shares = np.linspace(0, 1, config.steps).tolist()
    moved = [interpolate_people(here, there, share) for share in shares]
    z_exp = expression.z_exp
    strips = {
        f"expression\n0 to {expression.label}": [
            renderer.pixels(here, np.float32(share) * z_exp) for share in shares
        ],
        "identity": [renderer.pixels((z_id, here[1]), z_exp) for z_id, _ in moved],
        "appearance\n(noise)": [renderer.pixels((here[0], z_noise), z_exp) for _, z_noise in moved],
        f"yaw\n{yaws[0]:+.2f} to {yaws[-1]:+.2f}": [renderer.pixels(here, z_exp, yaw=yaw) for yaw in yaws],
        f"pitch\n{yaws[0] / 2:+.2f} to {yaws[-1] / 2:+.2f}": [
            renderer.pixels(here, z_exp, pitch=yaw / 2) for yaw in yaws
        ],
    }
    columns = [f"{share:.2f}" for share in shares]
    return Drawing(
        contact_sheet(columns, [SheetRow(label, cells) for label, cells in strips.items()]),
        {
            "model": model_record(model),
            "seeds": list(seeds),
            "expression": expression.label,
            "shares": shares,
            "yaw": list(yaws),
            "pitch": [yaw / 2 for yaw in yaws],
        },
    )


FIGURE = FigureKind(
    "disentanglement",
    "Disentanglement",
    "In each strip one input changes and the others are fixed: the strength of the expression, the identity and the "
    "appearance latent interpolated linearly to another person's, yaw, pitch.",
    draw,
)
