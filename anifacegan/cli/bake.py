"""``anifacegan bake``: bake one person of a model into a file that plays without the networks."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anifacegan.avatars.avatar import SUFFIX, Avatar, AvatarCard, save_avatar
from anifacegan.avatars.baking.bake import BakeConfig
from anifacegan.rendering.model import Model
from anifacegan.runtime.devices import Device, select_device
from anifacegan.runtime.errors import ConfigError, InputError, warnings_in_one_line
from anifacegan.runtime.typed_config import as_tuple, read_config


@dataclass(frozen=True)
class BakeCommand:
    """Bake one person of a model into an avatar file (.safetensors), which 'anifacegan render --model FILE' draws in
    real time without the networks. The avatar can show the expressions that it was baked with, and mixtures of these.
    """

    out: Path
    """File to write; its name ends in .safetensors."""
    model: Path = Path("checkpoints/demo")
    """Model folder, or the name of a shipped model."""
    seed: int = 1
    """Random seed of the person's latents."""
    latents: Path | None = None
    """An .npz file with z_id and z_noise of one person, used instead of the seed. 'anifacegan render' writes such
    files. null: the seed."""
    expressions: str | tuple[str, ...] | None = None
    """Expressions that the avatar can show: .mat files, or names such as smile=0.7,blink=0.3. null: every named
    expression of the model."""
    psi: float = 0.7
    """Truncation psi of the appearance: 1 shows the full variety of people, 0 the average appearance for everyone."""
    bake: BakeConfig = field(default_factory=BakeConfig)
    """Size of the textures and meshes, and the range of views that the avatar can show."""
    device: Device = "auto"
    """Device that computes. auto: a GPU if PyTorch finds one, else the CPU."""

    def __post_init__(self) -> None:
        if self.out.suffix != SUFFIX:
            raise ConfigError("out", self.out, f"NAME{SUFFIX}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError("seed", self.seed, "a whole number from 0")
        if not math.isfinite(self.psi):
            raise ConfigError("psi", self.psi, "a finite number")


def main(arguments: Sequence[str]) -> None:
    """Run the subcommand.

    Raises:
        InputError: a wrong option, or a model or file that cannot be used.
    """
    config = read_config(BakeCommand, arguments, "anifacegan bake")
    if config.out.is_dir() or not config.out.parent.is_dir():
        raise InputError(f"out is {config.out}, expected a file in a folder that exists")
    from anifacegan.rendering.model import load_model
    from anifacegan.runtime.cpu import keep_freed_memory

    keep_freed_memory()
    avatar = baked_avatar(config, load_model(config.model, select_device(config.device)))
    save_avatar(config.out, avatar)
    size = config.out.stat().st_size / 1e6
    count, triangles = len(avatar.card.expressions), len(avatar.layered_mesh.triangles)
    print(f"{config.out}: {count} expressions, {triangles} triangles, {size:.1f} MB")


def baked_avatar(config: BakeCommand, model: Model) -> Avatar:
    """Bake the person with the expressions that the configuration names; return the avatar.

    Raises:
        InputError: no expression is given, the model does not know one of them, or there is not exactly one person.
    """
    import numpy as np

    from anifacegan.avatars.baking.bake import bake
    from anifacegan.avatars.baking.from_model import model_charts, person_condition

    labels = tuple(model.card.presets) if config.expressions is None else as_tuple(config.expressions)
    with warnings_in_one_line():
        z_exp = [model.expressions.coefficients(label) for label in labels]
    if not z_exp:
        raise InputError(
            f"expressions: model '{model.card.name}' has no named ones, expected names or .mat files"
        )
    condition = person_condition(model, person_latents(config, model), config.psi)
    charts = model_charts(model, config.bake.grid)
    layered_mesh, report = bake(condition, np.stack(z_exp), charts, config.bake)
    residuals = dict(zip(labels, report.residual.tolist(), strict=True))
    card = AvatarCard(
        name=config.out.stem,
        model=model.card.name,
        face_model=model.card.face_model,
        psi=config.psi,
        expressions=tuple(Path(label).stem if label.endswith(".mat") else label for label in labels),
        pitch_offset=model.card.pitch_offset,
        licence=model.card.licence,
        presets=model.card.presets,
        expression_units=model.card.expression_units,
        baking={
            "person": f"seed {config.seed}" if config.latents is None else config.latents.name,
            "settings": dataclasses.asdict(config.bake),
            "residual_world": residuals,
            "folded_share": report.folded_share,
        },
    )
    return Avatar(layered_mesh, card, model.checkpoint.basis)


def person_latents(config: BakeCommand, model: Model) -> tuple[Any, Any]:
    """Return the person's z_id and z_noise, each (1, 80), from the file or the seed.

    Raises:
        InputError: the file is not readable, or holds more than one person.
    """
    from anifacegan.models.latent_files import read_people

    if config.latents is None:
        return model.person(config.seed)
    z_id, z_noise = read_people(config.latents)
    if len(z_id) != 1:
        raise InputError(f"latents: {config.latents} holds {len(z_id)} people, expected one")
    return z_id, z_noise
