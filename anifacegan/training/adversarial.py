"""Adversarial training: generator against discriminator, with the imitation terms (Wu et al. 2022)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from anifacegan.data.posed_images import PosedImages, RealImages
from anifacegan.face_model.mesh_images import FaceCodes, MeshImages
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import (
    PosedLatents,
    Purpose,
    priors_on_cpu,
    sample_posed_latents,
)
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.tensor_records import moved
from anifacegan.training.adversarial_gradients import (
    accumulate_gradients,
    condition_for_template,
    discriminator_gradients,
    frozen_template,
    generator_gradients,
    imitation_gradients,
)
from anifacegan.training.config import AdversarialConfig
from anifacegan.training.dual import ShownMeshes, codes_of, draw_shifts, shown_meshes
from anifacegan.training.image_imitation import ImageImitation, ImitationTerms
from anifacegan.training.iteration import DrawnFaces, Iteration
from anifacegan.training.optim import (
    DATA,
    OPTIMIZER,
    LeftOutSteps,
    adam,
    finite_total,
    learning_weights,
    take_step,
)
from anifacegan.training.patch_gradients import Conditioning, ImageRenderer
from anifacegan.training.weight_groups import PLANES, weight_groups
from anifacegan.training.weights import AdversarialWeights


class AdversarialTraining:
    """Generator, discriminator, their optimizers, and the real images; each process computes its share of a batch.

    Both optimizers are Adam with betas (0, 0.9). Losses at mesh points are used in the deformation's steps only. Losses
    of images (landmarks, geometry) are used in the deformation's and in the generator's steps, because an image depends
    on both: the deformation gives the shape of an expression, the template gives the neutral surface and the colours.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        real: RealImages,
        config: AdversarialConfig,
        weights: AdversarialWeights,
        imitation: ImageImitation | None = None,
        workers: Workers = SINGLE_PROCESS,
        meshes: MeshImages | None = None,
    ) -> None:
        """Create fresh optimizers. ``imitation`` computes the losses that compare generated images with the face model;
        None: there are no such losses. ``meshes`` draws what the discriminator sees beside images; None: nothing.
        """
        self.meshes = meshes
        self.generator, self.discriminator, self.real = generator, discriminator, real
        self.config, self.weights, self.imitation, self.workers = config, weights, imitation, workers
        groups = weight_groups(generator)
        rates = dict.fromkeys(groups, config.lr_generator) | {PLANES: config.lr_planes}
        self.generator_optimizer = _adam(groups, rates)
        of_discriminator = {"discriminator": list(discriminator.parameters())}
        self.discriminator_optimizer = _adam(of_discriminator, {"discriminator": config.lr_discriminator})
        self.priors = priors_on_cpu(generator)
        self.left_out = LeftOutSteps()
        self.learning: dict[str, float] = {}
        """Learning rate and gradient norm of every network in the last step in which it learnt."""

    def to(self, device: str) -> None:
        """Move the discriminator, the networks of the imitation losses and the optimizers' states to a device; the
        generator has to be there already.
        """
        self.discriminator.to(device)
        for module in (self.imitation, self.meshes):
            if module is not None:
                module.to(device)
        self.priors = priors_on_cpu(self.generator)
        for optimizer in (self.discriminator_optimizer, self.generator_optimizer):
            optimizer.load_state_dict(optimizer.state_dict())  # moves its moments to the weights' device

    # --------------------------------------------------------------------------------------------------------- draws
    def draw(self, iteration: Iteration) -> DrawnFaces:
        """Draw the random faces and real images of an iteration, on the CPU."""
        steps = range(self.config.deformation_steps)
        with_images = [k for k in steps if self._renders_images(k)]
        if iteration.number < self.config.discriminator_warmup:
            with_images = []
        with record_function(DATA):
            return DrawnFaces(
                tuple(self._draw_faces(iteration, Purpose.DEFORMATION + k) for k in with_images),
                self._draw_faces(iteration, Purpose.DISCRIMINATOR),
                self.real.draw(iteration.generators(Purpose.REAL_IMAGES, self._share())),
                self._draw_faces(iteration, Purpose.GENERATOR),
                () if self.meshes is None else self._draw_shifts(iteration),
            )

    def _draw_shifts(self, iteration: Iteration) -> tuple[Tensor, ...]:
        """Draw the shifts of real and generated images, see :class:`DrawnFaces`."""
        rngs = iteration.generators(Purpose.SHIFTS, self._share())
        size, share = self.discriminator.config.size, self.config.dual.shift
        return tuple(draw_shifts(rngs, size, share) for _ in range(3))

    def _shown(self, iteration: Iteration, faces: FaceCodes | None, use: int) -> ShownMeshes | None:
        """Draw what the discriminator sees beside images of faces; None without dual discrimination. ``use`` is the
        index of their shifts in :class:`DrawnFaces`."""
        if self.meshes is None:
            return None
        assert faces is not None, "dual discrimination needs the images' coefficients"
        shifts = self._draw_shifts(iteration) if iteration.drawn is None else iteration.drawn.shifts
        return shown_meshes(
            self.meshes, faces, self.discriminator.config.size, shifts[use].to(faces.pose.device)
        )

    def _renders_images(self, number: int) -> bool:
        """Return whether step ``number`` of the deformation renders images."""
        late = number >= self.config.deformation_steps - self.config.image_steps
        return late and self.imitation is not None

    # --------------------------------------------------------------------------------------------------------- steps
    def run_iteration(
        self,
        iteration: Iteration,
        imitation: Callable[[], dict[str, Tensor]],
        paired: Callable[[], dict[str, Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Take the steps of deformation, discriminator and generator, in this order; return the weighted losses by
        name.

        Every call of ``imitation`` draws new points of the face model's mesh and returns their weighted losses.
        ``paired`` returns weighted losses on paired images (renders whose latents, pose and surface are known) for the
        generator's step. In the first config.discriminator_warmup iterations only the discriminator learns.

        Raises:
            FloatingPointError: a loss or a gradient is not finite; the step that it belongs to has changed no weight.
        """
        if iteration.number < self.config.discriminator_warmup:
            return self.discriminator_step(iteration)
        steps = self.config.deformation_steps
        losses: dict[str, Tensor] = {}
        for k in range(steps):
            losses |= self.deformation_step(iteration, k, imitation(), self._renders_images(k))
        losses |= self.discriminator_step(iteration)
        paired_terms = {} if paired is None else paired()
        if steps:
            condition = condition_for_template(self.generator)
            return losses | self.generator_step(iteration, condition, paired_terms)
        return losses | self.generator_step(iteration, other_terms=imitation() | paired_terms)

    def deformation_step(
        self, iteration: Iteration, number: int, point_terms: dict[str, Tensor], with_images: bool
    ) -> dict[str, Tensor]:
        """Take one optimizer step of the deformation field; return the weighted losses by name.

        The losses compare how the field moves points with how the face model's mesh moves them.

        One iteration takes several such steps, and ``number`` counts them from 0. If ``with_images`` is true,
        the losses of generated images are added to ``point_terms``, the losses at mesh points.

        Raises:
            FloatingPointError: a term or a gradient is not finite; no weight has changed.
        """
        self.generator_optimizer.zero_grad()
        with frozen_template(self.generator):
            if with_images and self.imitation is not None:
                if iteration.drawn is None:
                    views = self._draw(iteration, Purpose.DEFORMATION + number)
                else:
                    views = iteration.drawn.deformation[number - self.config.deformation_steps]
                renderer = self._renderer(iteration, self.generator.condition)
                terms = imitation_gradients(renderer, views, self._imitation(iteration, views, point_terms))
            else:
                terms = accumulate_gradients(point_terms)
        return self._optimize(iteration, self.generator_optimizer, terms)

    def discriminator_step(self, iteration: Iteration) -> dict[str, Tensor]:
        """Take one step of the discriminator on real and generated images; return the weighted losses by name.

        Raises:
            FloatingPointError: a term or a gradient is not finite; no weight has changed.
        """
        config = self.config
        drawn = iteration.drawn
        views = self._draw(iteration, Purpose.DISCRIMINATOR) if drawn is None else drawn.discriminator
        fake = PosedImages(self._renderer(iteration, self.generator.condition).draw(views), views.pose)
        if drawn is None:
            with record_function(DATA):
                drawn_now = self.real.draw(iteration.generators(Purpose.REAL_IMAGES, self._share()))
                real = moved(drawn_now, fake.image.device)
        else:
            real = drawn.real
        real = replace(real, image=real.image.to(fake.image), pose=real.pose.to(fake.pose))
        for_real = self._shown(iteration, real.face, 0)
        for_fake = self._shown(iteration, codes_of(views), 1)
        if for_real is not None and for_fake is not None:
            real, fake = for_real.beside(real), for_fake.beside(fake)
        self.discriminator_optimizer.zero_grad()
        r1_factor = config.r1_factor(iteration.number)
        terms = discriminator_gradients(
            self.discriminator, real, fake, self.weights, r1_factor, config.split.images
        )
        return self._optimize(iteration, self.discriminator_optimizer, terms)

    def generator_step(
        self,
        iteration: Iteration,
        condition: Conditioning | None = None,
        other_terms: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Take one step of the generator on adversarial and imitation losses; return the weighted losses by name.

        Imitation losses make generated faces move as the face model's mesh does.

        Args:
            iteration: numbers of the iteration, and its precision.
            condition: function from latents to the fields with these latents. Fields that the function evaluates
                without gradients do not learn from the images. None: all fields learn.
            other_terms: further losses by name, which need no generated image.

        Raises:
            FloatingPointError: a term or a gradient is not finite; no weight has changed.
        """
        drawn = iteration.drawn
        views = self._draw(iteration, Purpose.GENERATOR) if drawn is None else drawn.generator
        renderer = self._renderer(iteration, condition or self.generator.condition)
        imitation = self._imitation(iteration, views, other_terms or {})
        self.generator_optimizer.zero_grad()
        shown = self._shown(iteration, codes_of(views), 2)
        terms = generator_gradients(renderer, self.discriminator, views, self.weights, imitation, shown)
        return self._optimize(iteration, self.generator_optimizer, terms)

    # ----------------------------------------------------------------------------------------------------- snapshots
    def state_dict(self) -> dict[str, Any]:
        """Return the states of the discriminator and of both optimizers; the generator is not included."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            RuntimeError, ValueError: the content belongs to other networks.
        """
        for name, part in self._parts().items():
            part.load_state_dict(content[name])

    def _parts(self) -> dict[str, Any]:
        names = ("discriminator", "discriminator_optimizer", "generator_optimizer")
        return {name: getattr(self, name) for name in names}

    # ------------------------------------------------------------------------------------------------------- helpers
    def _draw(self, iteration: Iteration, purpose: int) -> PosedLatents:
        return moved(self._draw_faces(iteration, purpose), self.generator.device)

    def _draw_faces(self, iteration: Iteration, purpose: int) -> PosedLatents:
        rngs = iteration.generators(purpose, self._share())
        return sample_posed_latents(self.priors, self.real.poses, self.config.views, rngs)

    def _share(self) -> range:
        """Indices of this worker's images in the batch of all workers together."""
        return range(self.config.batch)[self.workers.part(self.config.batch)]

    def _renderer(self, iteration: Iteration, condition: Conditioning) -> ImageRenderer:
        size, fov_deg = self.discriminator.config.size, self.generator.config.ray_sampling.fov_deg
        return ImageRenderer(
            condition,
            size,
            fov_deg,
            self.config.split,
            iteration.precision,
            self.config.skip_invisible,
            view_dependent=self.config.view_direction == "rays",
        )

    def _imitation(
        self, iteration: Iteration, views: PosedLatents, other_terms: dict[str, Tensor]
    ) -> ImitationTerms:
        if self.imitation is None:
            return ImitationTerms(other_terms=other_terms)
        terms = self.imitation.terms(views, self.discriminator.config.size, iteration.precision)
        return replace(terms, other_terms=other_terms)

    def _optimize(
        self, iteration: Iteration, optimizer: torch.optim.Optimizer, terms: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Average gradients over all processes and take one step of the optimizer; return the losses of the whole
        batch. A step whose numbers are not finite may be left out; it has no losses then.
        """
        terms = self.workers.mean(terms)
        self.workers.mean_gradients(learning_weights(optimizer))
        try:
            finite_total(iteration.step, terms)
            with record_function(OPTIMIZER):
                self.learning |= take_step(iteration.step, optimizer, self.config.gradient_limit)
            self.left_out.step_taken()
        except FloatingPointError as error:
            self.left_out.add(error, self.workers.first)
            terms = {}
        optimizer.zero_grad()
        return terms


def _adam(weights: dict[str, list[nn.Parameter]], rates: dict[str, float]) -> torch.optim.Adam:
    groups = [{"params": of_group, "field": name, "lr": rates[name]} for name, of_group in weights.items()]
    return adam(groups, betas=(0.0, 0.9))
