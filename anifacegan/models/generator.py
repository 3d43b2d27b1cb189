"""AniFaceGAN's generator: template radiance, deformation and manifold fields with the priors of the latents.

A target point x_target of the expressive face is deformed to the template, where the radiance manifolds and the colours
are defined (Wu et al. 2022)::

    x_template = x_target + D(x_target; z_id, z_exp)         deformation field
    s          = M(x_template)                               manifold predictor, shared by all people
    rgb, alpha = T(x_template; z_id, z_noise)                template radiance field

With an alignment field A (ours, :mod:`anifacegan.models.alignment`), colours are read at x_template + A(x_template;
z_id), a point of the mean head; with ``alignment.manifolds``, M is evaluated there as well. With a shading field (ours,
:mod:`anifacegan.models.shading`), colours are multiplied by a factor that depends on the expression.

``generator.condition(latents)`` evaluates the mapping networks once and returns :class:`ConditionedFields`, plain
functions of points. :func:`anifacegan.rendering.volume.render_rays` renders these fields. The renderer depends on no
network, so tests can give it spheres in place of a face.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.conventions import EXP_DIM, ID_DIM, NOISE_DIM
from anifacegan.models.alignment import AlignmentField, BoundAlignment
from anifacegan.models.coefficient_vae import CoefficientVAE, Latents, sample_people
from anifacegan.models.config import (
    GeneratorConfig,
)
from anifacegan.models.deformation import DeformationField
from anifacegan.models.manifolds import ManifoldField
from anifacegan.models.shading import BoundShading, ShadedRadiance, ShadingField
from anifacegan.models.siren import FiLMParameters
from anifacegan.models.template import TemplateField


@runtime_checkable
class Alignment(Protocol):
    """Alignment field of a batch of people (:class:`anifacegan.models.alignment.BoundAlignment`)."""

    def __call__(self, x_template: Tensor, /) -> Tensor:
        """Return the offsets of points (B, N, 3) of the template to the mean head."""
        ...

    def template_points(self, x: Tensor) -> Tensor:
        """Return the points of the template that correspond to points (B, N, 3) of the mean head."""
        ...


@dataclass(frozen=True)
class DeformationAfterAlignment:
    """Deformation field whose network reads aligned points: offsets from points of a person's expressive face to the
    template, as without alignment."""

    deform: Callable[[Tensor], Tensor]
    """The network: offsets to the person's template as a function of points of the mean head."""
    align: Callable[[Tensor], Tensor]
    """Alignment field: offsets from points of the person to points of the mean head."""

    def __call__(self, x: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        return self.deform(x + self.align(x))


@dataclass(frozen=True)
class AlignedOffsets:
    """Deformation and alignment one after the other: offsets from points of a person's expressive face to the
    corresponding points of the mean head."""

    deform: Callable[[Tensor], Tensor]
    """Deformation field: offsets to the template."""
    align: Callable[[Tensor], Tensor]
    """Alignment field: offsets from the template to the mean head; an :class:`Alignment`, but for compiled ones."""

    def __call__(self, x: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        delta = self.deform(x)
        return delta + self.align(x + delta)


@dataclass(frozen=True)
class ConditionedFields:
    """Generator fields conditioned on the latents of a batch of faces: functions of points in world units."""

    offset: Callable[[Tensor], Tensor]
    """Maps points of the expressive face (B, N, 3) to their offsets delta (B, N, 3) to the points where the manifolds
    and the colours are: by the deformation field to the template, the face without deformation; if the manifolds are
    aligned, on to the mean head (:class:`AlignedOffsets`), which then stands wherever the template is spoken of."""
    scalar: Callable[[Tensor], Tensor]
    """Manifold predictor: maps template points (B, N, 3), points of the face without deformation, to the scalar s (B,
    N)."""
    radiance: Callable[..., tuple[Tensor, Tensor]]
    """Template radiance: maps points of the template (the face without deformation) (B, N, 3) to colours (B, N, 3) in
    [-0.001, 1.001] and opacities (B, N)."""
    levels: Float[Tensor, "level"]
    """Values of s on the manifolds, in falling order."""
    ray_sampling: RaySamplingConfig
    """Positions of the samples along a ray, field of view of the camera, and position of the background plane."""
    radiance_offset_gain: float = 1.0
    """Factor g on the offset delta where colours are looked up: the radiance is evaluated at x_target + g delta."""
    align: Callable[[Tensor], Tensor] | None = None
    """Alignment field: maps points of the template (the face without deformation) (B, N, 3) to their offsets (B, N, 3)
    to the mean head; None if the generator has no alignment field."""
    view_dependent: bool = False
    """Whether ``radiance`` takes the unit directions (B, N, 3) in which the camera sees the points as a second
    argument. Otherwise colours are those of the frontal view."""

    @property
    def deformation(self) -> Callable[[Tensor], Tensor]:
        """The deformation field alone: offsets from the expressive face to the template."""
        return self.offset.deform if isinstance(self.offset, AlignedOffsets) else self.offset

    def template_points(self, x: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        """Return the points of the template that correspond to points x of the space of the manifolds: x itself, unless
        the manifolds are aligned."""
        if not isinstance(self.offset, AlignedOffsets):
            return x
        assert isinstance(
            self.offset.align, Alignment
        )  # compiled fields are for training, which inverts nothing
        return self.offset.align.template_points(x)

    @property
    def shading(self) -> Callable[[Tensor], Tensor] | None:
        """The factors (B, N, 1) of the expression on the colours, as a function of the points at which ``radiance`` is
        evaluated; None if no expression changes a colour."""
        return self.radiance.shading if isinstance(self.radiance, ShadedRadiance) else None

    def with_shading(self, shading: Callable[[Tensor], Tensor]) -> "ConditionedFields":
        """Return the same fields with the factors of another expression on the colours."""
        assert isinstance(self.radiance, ShadedRadiance)  # others have no factors to replace
        return replace(self, radiance=replace(self.radiance, shading=shading))

    def radiance_points(self, x_template: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        """Return the points at which ``radiance`` is evaluated for points of the template: themselves, or the points of
        the mean head to which an alignment field carries them."""
        align = self.offset.align if isinstance(self.offset, AlignedOffsets) else self.align
        return x_template if align is None else x_template + align(x_template)

    def without_deformation(self) -> "ConditionedFields":
        """Return the fields of the face without deformation."""
        return self.with_deformation(torch.zeros_like)

    def with_deformation(self, deform: Callable[[Tensor], Tensor]) -> "ConditionedFields":
        """Return the fields of the same person with another deformation field, which maps points (B, N, 3) to offsets
        (B, N, 3), both in world units."""
        if isinstance(self.offset, AlignedOffsets):
            return replace(self, offset=replace(self.offset, deform=deform))
        return replace(self, offset=deform)


@dataclass(frozen=True)
class FrozenField:
    """Field that is evaluated without gradients, so that training does not change it."""

    field: Callable[[Tensor], Tensor]
    """The field as a function of points."""

    @torch.no_grad()
    def __call__(self, x: Float[Tensor, "batch point 3"]) -> Tensor:
        return self.field(x)


class Generator(nn.Module):
    """Template, deformation and manifold fields, priors of the latents, and mean FiLM parameters for truncation."""

    mean_frequencies: Tensor
    """(1, units) FiLM frequencies of the template's sine units, averaged over random people; truncation moves a
    person's frequencies toward these means."""
    mean_phases: Tensor
    """(1, units) FiLM phases of the template's sine units, averaged over random people; truncation moves a person's
    phases toward these means."""
    mean_mix: Tensor | None
    """(1, mix_units) weights of the feature planes, averaged over random people; None without planes."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.template = TemplateField(config.template)
        self.deformation = DeformationField(config.deformation)
        self.alignment = None if config.alignment is None else AlignmentField(config.alignment)
        self.manifolds = ManifoldField(config.manifolds)
        self.shading = None if config.shading is None else ShadingField(config.shading)
        self.identity_prior = CoefficientVAE(ID_DIM, config.identity_prior)
        self.expression_prior = CoefficientVAE(EXP_DIM, config.expression_prior)
        self.register_buffer("mean_frequencies", torch.zeros(1, config.template.units))
        self.register_buffer("mean_phases", torch.zeros(1, config.template.units))
        planes = config.template.planes
        self.register_buffer("mean_mix", None if planes is None else torch.zeros(1, planes.person_units))

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.mean_phases.device

    def initialize(self, rng: torch.Generator) -> "Generator":
        """Draw fresh weights of all networks from the given random generator; return the generator network itself.

        The alignment, which is no network, is left as it is: at first it moves nothing.
        """
        for part in (
            self.template,
            self.deformation,
            self.manifolds,
            self.identity_prior,
            self.expression_prior,
            *([] if self.shading is None else [self.shading]),
        ):
            part.initialize(rng)
        return self

    def sample_people(
        self, rngs: list[torch.Generator]
    ) -> tuple[Float[Tensor, "batch 80"], Float[Tensor, "batch 80"]]:
        """Sample one random person with each of the given CPU random generators; return z_id and z_noise of these
        people.

        A person does not depend on the other people of the batch.
        """
        return sample_people(self.identity_prior, rngs)

    @torch.no_grad()
    def set_truncation_mean(self, rng: torch.Generator, count: int = 10_000) -> None:
        """Set the mean appearance, toward which truncation moves people: the FiLM parameters of the template averaged
        over ``count`` random people.
        """
        normal = torch.randn(count, self.config.identity_prior.latent_dim, generator=rng).to(self.device)
        z_noise = torch.randn(count, NOISE_DIM, generator=rng).to(self.device)
        film = self.template.film_parameters(self.identity_prior.decode(normal), z_noise)
        self.mean_frequencies.copy_(film.frequencies.mean(0, keepdim=True))
        self.mean_phases.copy_(film.phases.mean(0, keepdim=True))
        if self.mean_mix is not None:
            self.mean_mix.copy_(film.mix.mean(0, keepdim=True))

    def bind_deformation(
        self,
        z_id: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
        align: BoundAlignment | None = None,
    ) -> Callable[[Tensor], Tensor]:
        """Fix the latents of a batch of faces; return their deformation field, from points (B, N, 3) to offsets to the
        template (B, N, 3), world units.

        ``align`` is the alignment field of these people where it is bound already; None: bound here, if it is needed.
        """
        deform = self.deformation.bind(z_id, z_exp)
        if not self.config.deformation.aligned:
            return deform
        align = align or self.alignment_of_deformation(z_id)
        assert align is not None  # the configuration says so
        return DeformationAfterAlignment(deform, align.in_one_round())

    def alignment_of_deformation(self, z_id: Float[Tensor, "batch 80"]) -> BoundAlignment | None:
        """Fix the identities of a batch of people; return the alignment field that the deformation reads its points
        with, None where it reads the points themselves."""
        if self.alignment is None or not self.config.deformation.aligned:
            return None
        return self.alignment.bind(z_id)

    def bind_shading(
        self,
        z_id: Float[Tensor, "batch 80"],
        z_noise: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
    ) -> BoundShading | None:
        """Fix the latents of a batch of faces; return the factors on their colours as a function of points, None
        without a shading field."""
        if self.shading is None:
            return None
        return self.shading.bind(self.template.scaled(z_id, z_noise), z_exp)

    def condition(self, latents: Latents, psi: float = 1.0) -> ConditionedFields:
        """Fix the latents of a batch of faces; return the fields (deformation, manifolds, radiance) as functions of
        points only.

        ``psi`` is the truncation: 1 leaves the appearance as it is, smaller values move it toward the mean over people,
        0 is the mean.
        """
        film = self.template.film_parameters(latents.z_id, latents.z_noise)
        if psi != 1.0:
            mean = FiLMParameters(self.mean_frequencies, self.mean_phases, self.mean_mix)
            film = film.truncated(mean, psi)
        radiance: Callable[..., tuple[Tensor, Tensor]] = self.template.bind(film)
        shading = self.bind_shading(latents.z_id, latents.z_noise, latents.z_exp)
        if shading is not None:
            radiance = ShadedRadiance(radiance, shading)
        align = None if self.alignment is None else self.alignment.bind(latents.z_id)
        offset = self.bind_deformation(latents.z_id, latents.z_exp, align)
        if align is not None and align.config.manifolds:
            offset, align = AlignedOffsets(offset, align), None
        return ConditionedFields(
            offset=offset,
            scalar=self.manifolds,
            radiance=radiance,
            levels=self.manifolds.levels,
            ray_sampling=self.config.ray_sampling,
            radiance_offset_gain=self.config.radiance_offset_gain,
            align=align,
        )
