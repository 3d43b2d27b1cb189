"""Truncation of the appearance latent."""

from pathlib import Path

import numpy as np
import torch

from anifacegan.evaluation.figures import (
    truncation,
)
from anifacegan.evaluation.figures.panels import FaceRenderer
from anifacegan.rendering.model import load_model
from tests.fixtures.small_figures import few_options


def test_at_psi_zero_all_people_have_the_same_colours(small: Path, tmp_path: Path) -> None:
    """The deformation still depends on the identity."""
    config = few_options(truncation.FIGURE, small, tmp_path)
    model = load_model(small)
    fields = [
        FaceRenderer(model, config).face(seed, np.zeros(64, np.float32), psi=0.0).fields for seed in (4, 5)
    ]
    x = torch.linspace(-0.1, 0.1, 30).reshape(1, 10, 3)
    torch.testing.assert_close(fields[0].radiance(x), fields[1].radiance(x))
