"""Models small enough to render in a test, with random weights: a cloud of colours where a head would be."""

from pathlib import Path

import numpy as np
import torch

from anifacegan.checkpoints import Checkpoint, ModelCard, save_checkpoint
from anifacegan.coefficients import OPEN_FACE_MODEL, ExpressionBasis
from anifacegan.march import MarchConfig
from anifacegan.models.deformation import DeformationConfig
from anifacegan.models.generator import Generator, GeneratorConfig
from anifacegan.models.latents import CoefficientVAEConfig
from anifacegan.models.manifolds import ManifoldConfig
from anifacegan.models.template import TemplateConfig

SMALL = GeneratorConfig(
    template=TemplateConfig(hidden_dim=8, layers=3, mapping_dim=8, sigma_gain=300.0),
    deformation=DeformationConfig(hidden_dim=8, mapping_dim=8),
    manifolds=ManifoldConfig(hidden_dim=16, count=6),
    march=MarchConfig(samples=12),
    identity_prior=CoefficientVAEConfig(hidden_dim=16, layers=2, latent_dim=8),
    expression_prior=CoefficientVAEConfig(hidden_dim=16, layers=2, latent_dim=8),
)
UNITS = ("jawOpen", "mouthSmileLeft", "mouthSmileRight")


def small_generator(config: GeneratorConfig = SMALL) -> Generator:
    """Random weights, the deformation's head included, so that expressions change the picture."""
    rng = torch.Generator().manual_seed(0)
    generator = Generator(config).initialise(rng)
    with torch.no_grad():
        generator.deformation.head.weight.normal_(0, 0.02, generator=rng)
        for head in generator.template.rgb_heads:
            head.weight.mul_(8.0)                                      # vivid colours
    generator.set_truncation_mean(rng, count=64)
    return generator


def small_checkpoint(face_model: str = OPEN_FACE_MODEL) -> Checkpoint:
    units_to_exp = np.random.default_rng(0).standard_normal((64, len(UNITS))).astype(np.float32)
    card = ModelCard(
        name="small", face_model=face_model, expression_units=UNITS, presets={"smile": {"mouthSmile": 0.8}}
    )
    return Checkpoint(small_generator(), card, ExpressionBasis(UNITS, units_to_exp))


def write_small_model(folder: Path, face_model: str = OPEN_FACE_MODEL) -> Path:
    """A model folder for the front door and render.py."""
    save_checkpoint(folder, small_checkpoint(face_model))
    return folder
