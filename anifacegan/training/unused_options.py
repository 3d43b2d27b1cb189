"""Options of a training run that have no effect beside others, and are refused on the command line.

A YAML file may hold them: one file serves several runs, as ``--schedule.adversarial 0`` makes of it one without a
discriminator. Who types an option expects that it does something.
"""

from collections.abc import Iterable, Iterator
from functools import reduce

from anifacegan.runtime.errors import ConfigError
from anifacegan.training.config import PriorRun, TrainConfig
from anifacegan.training.regressor.config import ReconstructionRun

Run = TrainConfig | ReconstructionRun | PriorRun
"""Configuration of a training run of any kind."""

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
_OF_SHARE = {
    "jitter_share": ("shift", "roll_deg", "zoom"),
    "gain_share": ("gain",),
    "blur_share": ("blur",),
    "noise_share": ("noise",),
    "jpeg_share": ("jpeg_quality",),
}
"""Strengths of the augmentations that each share of images has."""
_OF_MEAN_HEAD = tuple(f"manifold_init.{name}" for name in ("level_at_skin", "reach", "steps", "batch", "lr"))


def require_effects(config: Run, given: Iterable[str]) -> None:
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


def _without_effect(config: Run) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield groups of options that have no effect, with the reason: options, or the names before their dots."""
    if isinstance(config, PriorRun):
        yield "with --task prior, which uses no poses", ("data.pitch_offset",)
    elif isinstance(config, ReconstructionRun):
        yield from _without_effect_on_regressor(config)
    else:
        yield from _without_effect_on_generator(config)


def _without_effect_on_regressor(config: ReconstructionRun) -> Iterator[tuple[str, tuple[str, ...]]]:
    weights = config.weights
    for share, strengths in _OF_SHARE.items():
        if not getattr(config.augmentation, share):
            yield f"with --augmentation.{share} 0", tuple(f"augmentation.{name}" for name in strengths)
    if not (weights.id or weights.exp or weights.tex):
        yield "with --weights.id 0, --weights.exp 0 and --weights.tex 0", ("weights.effect_exponent",)


def _without_effect_on_generator(config: TrainConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
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
