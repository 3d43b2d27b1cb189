"""Prints the seeds of the people that ./render.sh shows: the first seed of each sex, descent and age in turn.

    python scripts/draw_seeds.py --model checkpoints/demo

Seeds are tried from 1 on; person k gets the first unused one whose identity is most like the people of the k-th group
of :func:`anifacegan.face_model.people.group_by_turns`. Nobody picks the people by their looks.
"""

import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, whichever is installed

import numpy as np

from anifacegan.face_model.open_model import HeadParts, load_head_parts
from anifacegan.face_model.people import (
    AGE_BANDS,
    DESCENTS,
    SEXES,
    group_by_turns,
    group_parts,
    nearest_groups,
)
from anifacegan.rendering.model import Model, load_model
from anifacegan.runtime.errors import exit_on_input_error
from anifacegan.runtime.typed_config import read_config


@dataclass(frozen=True)
class SeedsConfig:
    """Print seeds of people whose sexes, descents and ages take turns."""

    model: Path = Path("checkpoints/demo")
    """Model folder of the people."""
    people: int = 5
    """Number of people."""
    face_model: Path | None = None
    """File of the open face model, which has example people of every group. null: the cached file."""


def first_seeds(model: Model, parts: HeadParts, people: int) -> list[int]:
    """Return the first seed from 1 on, not used before, of each group of the line-up."""
    seeds: list[int] = []
    groups: list[int] = []  # of seeds 1, 2, ...
    bank = parts.bank_id.astype(np.float64)
    for person in range(people):
        for seed in count(1):
            if seed > len(groups):
                z_id = model.person(seed)[0].detach().cpu().double().numpy()
                groups.append(int(nearest_groups(z_id, bank, parts.bank_group.astype(np.int64))[0]))
            if groups[seed - 1] == group_by_turns(person) and seed not in seeds:
                seeds.append(seed)
                break
    return seeds


def main(arguments: list[str] | None = None) -> None:
    """Parse the options and print a line for each person: the seed, a tab, and the group.

    Raises:
        SystemExit: with code 2 for a wrong option or file.
    """
    with exit_on_input_error():
        config = read_config(SeedsConfig, sys.argv[1:] if arguments is None else arguments, "draw_seeds.py")
        parts = load_head_parts(config.face_model)
        for person, seed in enumerate(first_seeds(load_model(config.model), parts, config.people)):
            sex, descent, band = group_parts(group_by_turns(person))
            ages = "{:.0f} to {:.0f}".format(*AGE_BANDS[band])
            print(f"{seed}\t{SEXES[sex]}, {DESCENTS[descent]}, {ages}")


if __name__ == "__main__":
    main()
