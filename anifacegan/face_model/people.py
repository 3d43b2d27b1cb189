"""Groups of people by sex, descent and age.

The people sampled for the open face model's file, and those of synthetic data sets, are as many in every group.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

SEXES = ("female", "male")
DESCENTS = ("african", "asian", "caucasian")
"""MakeHuman's names of its three shapes, in the order of the columns of ``HeadParts.bank_race``."""
AGE_BANDS = ((18.0, 35.0), (35.0, 55.0), (55.0, 80.0))
"""Youngest and oldest age of each band, in years."""
GROUPS = len(SEXES) * len(DESCENTS) * len(AGE_BANDS)
"""Number of groups: each is a sex, a descent and an age band."""


WITHIN_FLOOR = 1e-5
"""Share of the total variance that :func:`nearest_groups` adds to every direction."""


def group_parts(group: int | np.integer) -> tuple[int, int, int]:
    """Return the indices, in SEXES, DESCENTS and AGE_BANDS, of the sex, descent and age band of a group (0 to 17)."""
    return int(group % 2), int(group // 2 % 3), int(group // 6)


def groups_of(
    gender: Float[np.ndarray, " person"],
    age: Float[np.ndarray, " person"],
    race: Float[np.ndarray, "person 3"],
) -> Int[np.ndarray, " person"]:
    """Return the group of each person, 0 to 17: sex + 2 * descent + 6 * age band.

    The sex is the nearer one, the descent the one with the largest share: indices of ``SEXES`` and ``DESCENTS``.

    Args:
        gender: 0 (female) to 1 (male).
        age: age in years; ages outside of all ``AGE_BANDS`` belong to the nearest one.
        race: share of each of ``DESCENTS``.
    """
    band = np.searchsorted([start for start, _ in AGE_BANDS[1:]], age, side="right")
    return (gender > 0.5) + 2 * race.argmax(axis=1) + 6 * band


def nearest_groups(
    z_id: Float[np.ndarray, "person 80"],
    bank_id: Float[np.ndarray, "member 80"],
    bank_group: Int[np.ndarray, " member"],
) -> Int[np.ndarray, " person"]:
    """Return the group, 0 to 17, whose people each identity is most like.

    It is the group with the nearest mean, measured by the covariance of people within groups (linear discriminant
    analysis). ``bank_id`` and ``bank_group`` are example people of every group and their groups.
    """
    means = np.stack([bank_id[bank_group == group].mean(axis=0) for group in range(GROUPS)])
    within = np.cov((bank_id - means[bank_group]).T)
    root = np.linalg.cholesky(np.linalg.inv(within + WITHIN_FLOOR * np.trace(within) * np.eye(len(within))))
    apart = (z_id[:, None] - means) @ root  # (person, group, 80)
    return np.square(apart).sum(axis=2).argmin(axis=1)


def group_by_turns(person: int) -> int:
    """Return the group of person number ``person`` of a line-up in which sexes, descents and age bands take turns.

    The six first people have six different groups; two neighbours have nothing in common.
    """
    return person % 2 + 2 * ((person + person // 3) % 3) + 6 * (person % 3)


def proportions(groups: Int[np.ndarray, " person"]) -> str:
    """Return one line of text with the share of each sex, age band and descent among people of the given groups
    (:func:`groups_of`)."""
    sexes, descents, bands = np.array([group_parts(group) for group in range(GROUPS)])[groups].T
    return "; ".join(
        (
            f"sexes: {_shares(sexes, SEXES)}",
            f"ages: {_shares(bands, [f'{start:.0f} to {end:.0f}' for start, end in AGE_BANDS])}",
            f"descents: {_shares(descents, DESCENTS)}",
        )
    )


def _shares(values: np.ndarray, names: Sequence[str]) -> str:
    shares = np.bincount(values, minlength=len(names)) / max(len(values), 1)
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in zip(names, shares, strict=True))
