"""Options that all figures share."""

from pathlib import Path

from anifacegan.evaluation.figures.config import FigureConfig
from anifacegan.evaluation.figures.settings import prior_expression, selected_expressions
from anifacegan.rendering.model import load_model


def test_a_sampled_expression_depends_on_its_seed(small: Path) -> None:
    model = load_model(small)
    (one,) = selected_expressions(model, FigureConfig(expressions="drawn:3"))
    assert (one.z_exp == prior_expression(model, 3).z_exp).all()
    assert (one.z_exp != prior_expression(model, 4).z_exp).any()
