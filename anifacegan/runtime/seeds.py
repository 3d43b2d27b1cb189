"""Random seeds that users write as numbers, ranges and lists."""

import re

from anifacegan.runtime.typed_config import as_tuple

MOST_SEEDS = 1_000_000
"""Largest number of seeds in one range."""


def expanded_seeds(seeds: int | str | tuple[int | str, ...]) -> tuple[int, ...]:
    """Return the seeds with ranges such as "3-7", and lists such as "1,3-7", written out.

    Raises:
        ValueError: a text is no range of up to a million seeds.
    """
    found: list[int] = []
    for text in (part.strip() for item in as_tuple(seeds) for part in str(item).split(",")):
        match = re.fullmatch("(-?[0-9]{1,19})(?:-([0-9]{1,19}))?", text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not 0 <= last - first < MOST_SEEDS:
            raise ValueError(
                f"seeds has '{text}', expected a whole number, or a range of at most {MOST_SEEDS} such as 0-999"
            )
        found += range(first, last + 1)
    return tuple(found)
