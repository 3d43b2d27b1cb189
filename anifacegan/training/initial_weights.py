"""The weights before the first step of a generator's run: those of a model, or random and fitted ones."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anifacegan.face_model.expressions import NEUTRAL
from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.models.checkpoints import Checkpoint, load_checkpoint
from anifacegan.models.config import GeneratorConfig, PriorKind
from anifacegan.models.generator import Generator
from anifacegan.models.prior_checkpoints import Prior
from anifacegan.runtime.errors import InputError, say
from anifacegan.training.alignment_fit import fit_alignment
from anifacegan.training.batches import Photographs
from anifacegan.training.config import TrainConfig
from anifacegan.training.crop_check import crop_check
from anifacegan.training.initialization import fit_chart, fit_manifolds, fit_prior
from anifacegan.training.paired import PairedData
from anifacegan.training.shading_fit import fit_shading
from anifacegan.training.sources import TrainingSource
from anifacegan.training.state import State

SEEN_IN = 512
"""Number of images, at most, from which it is estimated how often each vertex is visible."""
OFTEN_SEEN = 0.3
"""Share of the images in which a vertex must be visible to count as the head's surface, around which the manifolds are
laid: the insides of nostrils and mouth are seen more rarely."""


def initialize(
    state: State,
    config: TrainConfig,
    data: PairedData | Photographs,
    mesh: MeshSampler,
    source: TrainingSource,
    priors: dict[PriorKind, Prior],
) -> None:
    """Set the weights of a new state.

    They are the weights of the initial model or, without one, random weights with newly fitted priors and manifolds.
    Finished ``priors`` take the place of the initial model's or of newly fitted priors. ``state.facts`` records where
    the weights come from.
    """
    generator, facts = state.generator, state.facts
    if not source.synthetic:
        check = crop_check(source.mesh, source.latents, config.generator.ray_sampling.fov_deg)
        line = (
            "the images' crop is not checked: .mat files without landmarks" if check is None else check.line()
        )
        say(line)
        facts["crop_check"] = None if check is None else check.plain()
    if config.initial_model is not None:
        facts["initial_model"] = load_initial_model(
            generator, config.initial_model, source.mesh.name, config.schedule.seed
        )
    else:
        facts |= initialize_fresh(generator, config, data, mesh, source, priors)
    for name, prior in priors.items():
        generator.get_submodule(f"{name}_prior").load_state_dict(prior.vae.state_dict())
        facts[f"{name}_prior"] = dataclasses.asdict(prior.card)
    if generator.shading is not None:
        generator.shading.template_exp.copy_(mesh.template_exp)
        if isinstance(data, PairedData) and not generator.shading.head.weight.any():  # a new one
            rng = torch.Generator().manual_seed(config.schedule.seed)
            assert source.synthetic_renderer is not None  # paired data are its images
            facts["shading_init_error"] = fit_shading(
                generator, source.synthetic_renderer, data, config.shading_init, rng
            )
    state.average.load_state_dict(generator.state_dict())


def initialize_fresh(
    generator: Generator,
    config: TrainConfig,
    data: PairedData | Photographs,
    mesh: MeshSampler,
    source: TrainingSource,
    priors: dict[PriorKind, Prior],
) -> dict[str, Any]:
    """Initialize all weights, fit manifolds and alignment, and fit each prior that is not finished; return the errors
    by name.
    """
    facts: dict[str, Any] = {}
    rng = torch.Generator().manual_seed(config.schedule.seed)
    generator.initialize(rng)
    for name, vae, coefficients in (
        ("identity", generator.identity_prior, data.z_id[: data.count]),
        ("expression", generator.expression_prior, data.z_exp[: data.count]),
    ):
        if name not in priors:
            facts[f"{name}_prior"] = fit_prior(vae, coefficients, config.priors, rng, name)
    if isinstance(data, PairedData):
        generator.template.latent_scale.copy_(data.visible_scale())
    if generator.template.planes is not None:
        fit_chart(generator.template.planes, source.mean_surface())
    z_id = data.z_id[: data.count]
    seen = mesh.visible_share(np.arange(min(len(z_id), SEEN_IN)))
    if generator.alignment is not None:
        facts["alignment_init_error_world"] = fit_alignment(
            generator.alignment, source.mesh, seen, z_id, config.alignment_init, rng
        )
    if config.manifold_init.start == "mean_head":
        vertices, normals = source.mean_vertices(seen >= OFTEN_SEEN)
        facts["manifold_init_error_world"] = fit_manifolds(
            generator.manifolds, vertices, normals, config.manifold_init, rng
        )
    return facts


def fitting_checkpoint(networks: GeneratorConfig, folder: Path, face_model: str) -> Checkpoint:
    """Load the finished model that a generator of the configuration ``networks`` shall begin with.

    Raises:
        InputError: the model belongs to another face model, or its networks have other sizes.
    """
    initial = load_checkpoint(folder)
    if initial.card.face_model != face_model:
        raise InputError(
            f"initial_model: {folder} belongs to face model '{initial.card.face_model}', expected '{face_model}' as "
            f"the data"
        )
    if _networks(initial.generator.config) != _networks(networks, initial.generator.config):
        raise InputError(
            f"initial_model: {folder} holds other networks than 'generator' says, see its card.yaml"
        )
    return initial


def load_initial_model(generator: Generator, folder: Path, face_model: str, seed: int) -> dict[str, Any]:
    """Load a finished model's weights into a generator; return the model's path, licence and training record.

    A shading field that the model lacks begins without effect; ``seed`` is that of its weights.

    Raises:
        InputError: the model belongs to another face model, or its networks have other sizes.
    """
    initial = fitting_checkpoint(generator.config, folder, face_model)
    before, now = (networks.config.template_expression for networks in (initial.generator, generator))
    if before != now:
        say(f"initial_model: the template's expression changes from '{before}' to '{now}'")
    before, now = (str(networks.config.deformation.aligned) for networks in (initial.generator, generator))
    if before != now:
        say(f"initial_model: deformation.aligned changes from {before.lower()} to {now.lower()}")
    _load_with_new_shading(generator, initial.generator, seed)
    return {"path": str(folder), "licence": initial.card.licence} | initial.card.training


def _load_with_new_shading(generator: Generator, initial: Generator, seed: int) -> None:
    """Load the weights of ``initial``; a shading field that it lacks begins without effect, from ``seed``."""
    weights = initial.state_dict()
    if generator.shading is not None and initial.shading is None:
        say("initial_model: has no shading field; a new one begins, which changes no colour yet")
        generator.shading.initialize(torch.Generator().manual_seed(seed))
        weights |= {f"shading.{name}": value for name, value in generator.shading.state_dict().items()}
    generator.load_state_dict(weights)


def _networks(config: GeneratorConfig, initial: GeneratorConfig | None = None) -> GeneratorConfig:
    """Return the same configuration with defaults in place of the options that no weight depends on, and without a
    shading field that may be added to a model of the configuration ``initial``."""
    template = config.template
    if template.planes is not None:
        planes = dataclasses.replace(template.planes, finest_moves_points=False, half_precision=True)
        template = dataclasses.replace(template, planes=planes)
    return dataclasses.replace(
        config,
        template=template,
        shading=None if initial is not None and initial.shading is None else config.shading,
        deformation=dataclasses.replace(config.deformation, aligned=False),
        ray_sampling=RaySamplingConfig(),
        template_expression=NEUTRAL,
    )
