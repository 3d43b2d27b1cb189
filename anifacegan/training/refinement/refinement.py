"""Finds a person's appearance latents, and fine-tunes the template field to the person (after NeRFInvertor, Yin et al.
2023).

The photograph's own view says what the person looks like; guiding images say what the other views and the other
expressions look like, so that the field does not explain the photograph by clouds in front of the camera or by colours
that another view shows elsewhere. Rays of both are compared inside and outside of the person's outline: the person's
colour times opacity, the opacity, and the background alone.
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.geometry.conventions import EXP_DIM, NOISE_DIM
from anifacegan.models.checkpoints import rounded_as_stored
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import Generator
from anifacegan.training.optim import cosine_decay, finite_total
from anifacegan.training.refinement.config import RefinementConfig
from anifacegan.training.refinement.target_rays import TargetRays

CANDIDATES = 32
"""Number of random appearances of which the nearest one starts the inversion."""
PRIOR_WEIGHT = 2e-4
"""Weight of the mean square of the appearance latents, whose distribution is N(0, I)."""
OPACITY_WEIGHT, BACKGROUND_WEIGHT = 0.5, 0.3
"""Weights of the differences in opacity and in the background's colour; that of the person's colour has 1."""
LARGEST_GRADIENT = 1.0
"""Norm to which the gradient of a group of weights is scaled down: rare rays with large gradients would move the
moments of Adam, and other views with them."""
Progress = Callable[[Iterable[int]], Iterable[int]]
"""Function that shows the progress of a loop, such as tqdm."""


def losses(generator: Generator, latents: Latents, rays: TargetRays) -> dict[str, Tensor]:
    """Compare a person with what rays should show; return the weighted losses by name."""
    rendered, background = rays.render(generator.condition(latents))
    person = (rendered.foreground_rgb[0] - rays.person).abs().mean(dim=-1) * rays.colour_weight
    behind = (background - rays.background).abs().mean(dim=-1) * rays.background_known
    return {
        "person": person.mean(),
        "opacity": OPACITY_WEIGHT * (rendered.foreground[0] - rays.opacity).abs().mean(),
        "background": BACKGROUND_WEIGHT * behind.mean(),
    }


def inverted_appearance(
    generator: Generator,
    z_id: Float[Tensor, "1 80"],
    own: TargetRays,
    config: RefinementConfig,
    rng: torch.Generator,
    progress: Progress = iter,
) -> Float[Tensor, "1 80"]:
    """Look for the appearance latents with which the generator resembles the photograph; its weights stay as they are.

    Args:
        generator: the generator; its weights need no gradients.
        z_id: the person's identity coefficients.
        own: rays of the photograph.
        config: numbers of steps and rays.
        rng: draws rays and candidates.
        progress: shows the progress.

    Raises:
        FloatingPointError: a loss is not finite.
    """
    few = own[torch.randint(len(own), (config.rays,), generator=rng)]
    candidates = [torch.zeros(1, NOISE_DIM)]
    candidates += [torch.randn(1, NOISE_DIM, generator=rng) for _ in range(CANDIDATES)]
    with torch.no_grad():
        apart = [sum(losses(generator, _person(z_id, z), few).values()) for z in candidates]
    z_noise = candidates[int(torch.stack(apart).argmin())].clone().requires_grad_()
    optimizer = torch.optim.Adam([z_noise], lr=config.lr_latents)
    for step in progress(range(config.inversion_steps)):
        rays = own[torch.randint(len(own), (config.rays,), generator=rng)]
        terms = losses(generator, _person(z_id, z_noise), rays)
        terms["prior"] = PRIOR_WEIGHT * z_noise.square().mean()
        optimizer.zero_grad()
        finite_total(step, terms).backward()
        optimizer.param_groups[0]["lr"] = config.lr_latents * cosine_decay(step / config.inversion_steps, 0.1)
        optimizer.step()
    return z_noise.detach()


def refine(
    generator: Generator,
    latents: tuple[Float[Tensor, "1 80"], Float[Tensor, "1 80"]],
    own: TargetRays,
    guide: TargetRays | None,
    config: RefinementConfig,
    rng: torch.Generator,
    progress: Progress = iter,
) -> list[float]:
    """Fine-tune the template field of a generator to a person; return the total loss of every step.

    The generator's weights are changed in place, and rounded as model folders store them. The mean appearance becomes
    the person's, so that truncation leaves the person as they are.

    Args:
        generator: the generator.
        latents: the person's z_id and z_noise.
        own: rays of the photograph.
        guide: rays of other views and expressions; None: none.
        config: numbers of steps and rays, learning rates.
        rng: draws rays.
        progress: shows the progress.

    Raises:
        FloatingPointError: a loss is not finite.
        InputError: a weight has grown beyond the range of float16.
    """
    person = _person(*latents)
    groups = learning_groups(generator, config)
    for group in groups:
        for weight in group["params"]:
            weight.requires_grad_(True)
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
    rates = [group["lr"] for group in optimizer.param_groups]
    guided = 0 if guide is None else round(config.guide_share * config.rays)
    history = []
    for step in progress(range(config.steps)):
        rays = own[torch.randint(len(own), (config.rays - guided,), generator=rng)]
        if guide is not None:
            rays = TargetRays.joined([rays, guide[torch.randint(len(guide), (guided,), generator=rng)]])
        total = finite_total(step, losses(generator, person, rays))
        optimizer.zero_grad()
        total.backward()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * cosine_decay(step / config.steps, 0.0)
            nn.utils.clip_grad_norm_(group["params"], LARGEST_GRADIENT)
        optimizer.step()
        history.append(float(total.detach()))
    generator.requires_grad_(False)
    rounded_as_stored(generator)
    make_mean_appearance(generator, latents)
    return history


def learning_groups(generator: Generator, config: RefinementConfig) -> list[dict]:
    """Return the weights that the refinement changes, with their learning rates: the template field's, without the
    hidden layers of its mapping network, whose last biases hold what is the person's own."""
    template = generator.template
    tables = [] if template.planes is None else template.planes.tables()
    among_tables = {id(table) for table in tables}
    mapping = {id(weight) for weight in template.mapping.parameters()} - {id(template.mapping.output.bias)}
    if template.planes is not None:
        mapping.add(id(template.planes.person.weight))
    weights = [w for w in template.parameters() if id(w) not in among_tables | mapping]
    groups = [{"params": weights, "lr": config.lr_template}]
    return groups + ([{"params": tables, "lr": config.lr_planes}] if tables else [])


@torch.no_grad()
def make_mean_appearance(generator: Generator, latents: tuple[Tensor, Tensor]) -> None:
    """Make a person's appearance the mean appearance, toward which truncation moves people."""
    film = generator.template.film_parameters(*latents)
    generator.mean_frequencies.copy_(film.frequencies)
    generator.mean_phases.copy_(film.phases)
    if generator.mean_mix is not None:
        generator.mean_mix.copy_(film.mix)


def _person(z_id: Tensor, z_noise: Tensor) -> Latents:
    return Latents(z_id, torch.zeros(1, EXP_DIM), z_noise)
