"""The generator: codes in, a person out; rays in, colours out (method, section 1).

``generator.condition(latents)`` binds the codes once and returns an :class:`Avatar`; ``render_rays(fields, rays)`` is
the exact renderer. It knows callables, not networks, so a test can hand it spheres.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.geometry.conventions import EXP_DIM, ID_DIM, NOISE_DIM
from anifacegan.geometry.rays import RaySamplingConfig
from anifacegan.models.alignment import AlignmentConfig, AlignmentField
from anifacegan.models.coefficient_vae import CoefficientVAE, CoefficientVAEConfig, Latents
from anifacegan.models.deformation import DeformationConfig, DeformationField
from anifacegan.models.manifolds import ManifoldConfig, ManifoldField
from anifacegan.models.siren import FiLMParameters
from anifacegan.models.template import TemplateConfig, TemplateField


@dataclass(frozen=True)
class GeneratorConfig:
    template: TemplateConfig = field(default_factory=TemplateConfig)
    deformation: DeformationConfig = field(default_factory=DeformationConfig)
    alignment: AlignmentConfig | None = None
    """A field that carries a template point to the same place of the mean head before its colour is read: eyes and
    lips are then where the template expects them, whoever it is, and stay sharp. None, as in the paper, is without."""
    manifolds: ManifoldConfig = field(default_factory=ManifoldConfig)
    ray_sampling: RaySamplingConfig = field(default_factory=RaySamplingConfig)
    identity_prior: CoefficientVAEConfig = field(default_factory=CoefficientVAEConfig)
    expression_prior: CoefficientVAEConfig = field(default_factory=CoefficientVAEConfig)
    radiance_offset_gain: float = 1.0
    """The template colour is read at x + gain * delta, the manifolds at x + delta. 1 for our own models; 1 / 0.12 for
    the released weights, which move the two by different lengths (method, section 2)."""


@dataclass(frozen=True)
class ConditionedFields:
    """A batch of faces whose codes are bound: closed functions of points in world units."""

    offset: Callable[[Tensor], Tensor]
    """(B, N, 3) target points -> (B, N, 3) steps delta to the template."""
    level: Callable[[Tensor], Tensor]
    """(B, N, 3) template points -> (B, N) manifold scalar s."""
    radiance: Callable[[Tensor], tuple[Tensor, Tensor]]
    """(B, N, 3) template points -> (B, N, 3) rgb and (B, N) alpha, post-activation."""
    levels: Float[Tensor, "level"]
    """Values of s on the manifolds, falling."""
    ray_sampling: RaySamplingConfig
    radiance_offset_gain: float = 1.0
    align: Callable[[Tensor], Tensor] | None = None
    """(B, N, 3) template points -> (B, N, 3) steps to the mean head, where the radiance is read; None: no step."""


class Generator(nn.Module):
    """The three fields, the priors of the codes, and the mean film that truncation pulls toward."""

    mean_frequencies: Tensor
    mean_phases: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.template = TemplateField(config.template)
        self.deformation = DeformationField(config.deformation)
        self.alignment = None if config.alignment is None else AlignmentField(config.alignment)
        self.manifolds = ManifoldField(config.manifolds)
        self.identity_prior = CoefficientVAE(ID_DIM, config.identity_prior)
        self.expression_prior = CoefficientVAE(EXP_DIM, config.expression_prior)
        self.register_buffer("mean_frequencies", torch.zeros(1, config.template.units))
        self.register_buffer("mean_phases", torch.zeros(1, config.template.units))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.mean_phases.device

    def initialise(self, rng: torch.Generator) -> "Generator":
        """Fresh weights, all drawn from the given generator."""
        parts = [self.template, self.deformation, self.manifolds, self.identity_prior, self.expression_prior]
        for part in parts if self.alignment is None else [*parts, self.alignment]:
            part.initialise(rng)
        return self

    def sample_people(
        self, rngs: list[torch.Generator]
    ) -> tuple[Float[Tensor, "batch 80"], Float[Tensor, "batch 80"]]:
        """z_id and z_noise of new people, one CPU generator each: alone or in a batch, a person is the same."""
        latent_dim = self.config.identity_prior.latent_dim
        normal = torch.stack([torch.randn(latent_dim + NOISE_DIM, generator=rng) for rng in rngs]).to(
            self.device
        )
        # One person at a time: a matrix product may round differently in a larger batch.
        z_id = torch.cat([self.identity_prior.decode(code[None]) for code in normal[:, :latent_dim]])
        return z_id, normal[:, latent_dim:]

    @torch.no_grad()
    def set_truncation_mean(self, rng: torch.Generator, count: int = 10_000) -> None:
        """Mean film over random people; stored with the weights."""
        code = torch.randn(count, self.config.identity_prior.latent_dim, generator=rng).to(self.device)
        z_noise = torch.randn(count, NOISE_DIM, generator=rng).to(self.device)
        film = self.template.film_parameters(self.identity_prior.decode(code), z_noise)
        self.mean_frequencies.copy_(film.frequencies.mean(0, keepdim=True))
        self.mean_phases.copy_(film.phases.mean(0, keepdim=True))

    def condition(self, latents: Latents, psi: float = 1.0) -> ConditionedFields:
        """Bind the latents. psi < 1 pulls the appearance toward the mean person."""
        film = self.template.film_parameters(latents.z_id, latents.z_noise)
        if psi != 1.0:
            film = film.truncated(FiLMParameters(self.mean_frequencies, self.mean_phases), psi)
        return ConditionedFields(
            offset=self.deformation.bind(latents.z_id, latents.z_exp),
            level=self.manifolds,
            radiance=self.template.bind(film),
            levels=self.manifolds.levels,
            ray_sampling=self.config.ray_sampling,
            radiance_offset_gain=self.config.radiance_offset_gain,
            align=None if self.alignment is None else self.alignment.bind(latents.z_id),
        )
