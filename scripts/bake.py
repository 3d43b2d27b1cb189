#!/usr/bin/env python3
"""Bake one person of a model into a file that plays without the networks.

    python scripts/bake.py --model checkpoints/demo --seed 7 --out seed7.safetensors
    python scripts/bake.py --seed 7 --expressions smile=1,jaw_open=0.5 mat/frown.mat --out seed7.safetensors
    python render.py --model seed7.safetensors --expression smile=0.7 --frames 100

The avatar can make what the given expressions, weighted and added, make.
"""

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from anifacegan.avatars.avatar import SUFFIX, Avatar, AvatarCard, save_avatar
from anifacegan.avatars.baking.bake import BakeConfig, bake, model_charts, person_condition
from anifacegan.models.latent_files import read_people
from anifacegan.rendering.model import load_model
from anifacegan.runtime.cpu import keep_freed_memory
from anifacegan.runtime.devices import Device, select_device
from anifacegan.runtime.errors import InputError, exit_on_input_error, warnings_in_one_line
from anifacegan.runtime.typed_config import read_config


@dataclass(frozen=True)
class BakeCommand:
    """Bake one person of a model into a file that plays without the networks."""

    out: Path
    """File to write, NAME.safetensors."""
    model: Path = Path("checkpoints/demo")
    """Model folder, or the name of a shipped model."""
    seed: int = 1
    """Which person."""
    latents: Path | None = None
    """An .npz with z_id and z_noise of one person instead of the seed."""
    expressions: str | tuple[str, ...] | None = None
    """What the avatar can do: .mat files, or names such as smile=0.7,blink=0.3. null: every preset of the model."""
    psi: float = 0.7
    """Variety of people: 1 is all of it, smaller is closer to the average appearance."""
    bake: BakeConfig = field(default_factory=BakeConfig)
    device: Device = "auto"
    """auto: the GPU where PyTorch sees one."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The expressions that were asked for."""
        requested = self.expressions or ()
        return (requested,) if isinstance(requested, str) else requested

    def __post_init__(self) -> None:
        if self.out.suffix != SUFFIX:
            raise ValueError(f"out is {self.out}, expected NAME{SUFFIX}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}, expected a whole number from 0")
        if not np.isfinite(self.psi):
            raise ValueError(f"psi is {self.psi}, expected a finite number")


def main() -> None:
    keep_freed_memory()
    with exit_on_input_error():
        config = read_config(BakeCommand, sys.argv[1:], "bake.py")
        if config.out.is_dir() or not config.out.parent.is_dir():
            raise InputError(f"out is {config.out}, expected a file in a folder that exists")
        model = load_model(config.model, select_device(config.device))
        labels = config.labels or tuple(model.card.presets)
        with warnings_in_one_line():
            found = [model.expressions.coefficients(label) for label in labels]
        if not found:
            raise InputError(
                f"expressions: model '{model.card.name}' has no presets, name some or bring .mat files"
            )
        person = model.person(config.seed)
        if config.latents is not None:
            z_id, z_noise = person = read_people(config.latents)
            if len(z_id) != 1:
                raise InputError(f"latents: {config.latents} holds {len(z_id)} people, expected one")
        charts = model_charts(model, config.bake.grid)
        avatar, report = bake(
            person_condition(model, person, config.psi), np.stack(found), charts, config.bake
        )
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
                "residual_world": dict(zip(labels, report.residual.tolist(), strict=True)),
                "met_twice": report.twice,
            },
        )
        save_avatar(config.out, Avatar(avatar, card, model.checkpoint.basis))
        size = config.out.stat().st_size / 1e6
        print(f"{config.out}: {len(labels)} expressions, {len(avatar.triangles)} triangles, {size:.1f} MB")


if __name__ == "__main__":
    main()
