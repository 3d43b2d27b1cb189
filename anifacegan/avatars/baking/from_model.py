"""What baking needs of a model: the charts of its manifolds, and a person's fields for any expression."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.avatars.baking.charts import ManifoldCharts, chart_manifolds
from anifacegan.avatars.baking.inverse_warp import Condition
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.numba_fields import numba_version, with_numba_fields
from anifacegan.rendering.model import Model
from anifacegan.runtime.cpu import jobs_only


@torch.inference_mode()
@jobs_only()
def model_charts(model: Model, side: int) -> ManifoldCharts:
    """Sample the radiance manifolds of a model along ``side`` x ``side`` directions from a centre behind the head.

    All people of the model have the same manifolds.
    """
    generator = model.generator
    scalar_field = numba_version(generator.manifolds)
    return chart_manifolds(scalar_field, generator.manifolds.levels, generator.config.ray_sampling, side)


@torch.inference_mode()
def person_condition(model: Model, latents: tuple[Tensor, Tensor], psi: float) -> Condition:
    """Return a function from expression coefficients to the fields of one person with this expression: deformation,
    manifold scalar and radiance.

    ``latents`` are the person's z_id and z_noise, (1, 80) each. ``psi`` is the truncation of z_noise: 1 leaves z_noise
    unchanged, 0 gives the average appearance.
    """
    device = model.generator.device
    z_id, z_noise = (latent.to(device) for latent in latents)
    neutral = Latents(z_id, torch.zeros(1, EXP_DIM, device=device), z_noise)
    person = with_numba_fields(model.generator.condition(neutral, psi))

    def condition(z_exp: Float[np.ndarray, "64"]) -> ConditionedFields:
        coefficients = torch.as_tensor(z_exp[None], device=device)
        deformation = model.generator.bind_deformation(z_id, coefficients)
        fields = person.with_deformation(deformation)
        shading = model.generator.bind_shading(z_id, z_noise, coefficients)
        return with_numba_fields(fields if shading is None else fields.with_shading(shading))

    return condition
