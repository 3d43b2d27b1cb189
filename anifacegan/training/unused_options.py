"""Options of a generator's training run that have no effect beside others, and are refused on the command line.

A YAML file may hold them: one file serves several runs, as ``--schedule.adversarial 0`` makes of it one without a
discriminator. Who types an option expects that it does something.
"""

from collections.abc import Iterable, Iterator
from functools import reduce

from anifacegan.runtime.errors import ConfigError
from anifacegan.training.config import TrainConfig

_OF_ADVERSARIAL = (
    "real",
    "reconstruction",
    "rasterizer",
    "discriminator",
    "adversarial",
    "adversarial_weights",
    "weights.geometry",
    "weights.landmarks",
)
_OF_FIRST_WEIGHTS = ("priors", "manifold_init", "alignment_init")
_OF_MEAN_HEAD = tuple(f"manifold_init.{name}" for name in ("level_at_skin", "reach", "steps", "batch", "lr"))


def require_effects(config: TrainConfig, given: Iterable[str]) -> None:
    """Require that the options ``given`` on the command line, by dotted key, have an effect in a run. One that switches
    off (0, false, null) what is off may be given.

    Raises:
        ConfigError: one has none; the message names it and the option that leaves it without effect.
    """
    unused = tuple(_without_effect(config))
    for key in given:
        value = reduce(lambda part, name: getattr(part, name, None), key.split("."), config)
        why = next(
            (why for why, names in unused if f"{key}.".startswith(tuple(f"{name}." for name in names))), None
        )
        if why is not None and value:
            raise ConfigError(key, value, f"no --{key} {why}")


def _without_effect(config: TrainConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield groups of options that have no effect, with the reason: options, or the names before their dots."""
    schedule, generator = config.schedule, config.generator
    paired_in_adversarial = schedule.adversarial and config.adversarial.paired_rays
    if not schedule.adversarial:
        yield "with --schedule.adversarial 0", _OF_ADVERSARIAL
    if not config.weights.landmarks:
        yield "with --weights.landmarks 0", ("reconstruction",)
    if config.initial_model is not None:
        yield "with --initial_model", _OF_FIRST_WEIGHTS
    if config.manifold_init.start == "spheres":
        yield "with --manifold_init.start spheres", _OF_MEAN_HEAD
    if generator.template.planes is None:
        yield "without generator.template.planes", ("schedule.lr_planes", "adversarial.lr_planes")
    if generator.alignment is None:
        yield "without generator.alignment", ("alignment_init",)
    if generator.shading is None:
        yield "without generator.shading", ("shading_init", "schedule.lr_shading")
    if not schedule.prior_faces:
        yield "with --schedule.prior_faces 0", ("schedule.prior_share",)
    if not (schedule.near_surface or schedule.complete or paired_in_adversarial):
        yield "without steps on paired images", ("schedule.batch", "schedule.rays")
    if not schedule.complete:
        yield "with --schedule.complete 0", ("schedule.lr_manifolds",)
