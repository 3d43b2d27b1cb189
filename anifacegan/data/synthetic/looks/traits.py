"""Traits of a person on which the appearance depends: smooth functions of the identity coefficients."""

from dataclasses import dataclass

from anifacegan.geometry.resampling import smooth_share


@dataclass(frozen=True)
class Traits:
    """Sex, age, descent and melanin of one person; shares are from 0 to 1."""

    male: float
    """Sex, 0 (female) to 1 (male)."""
    age_years: float
    """Age in years, 18 to 80."""
    african: float
    """Share of African descent; nearly 0 or 1 for most people, as for ``asian``."""
    asian: float
    """Share of Asian descent; with ``african`` at most 1."""
    melanin: float
    """Melanin of the skin, 0 (fair) to 1 (dark)."""

    @property
    def old(self) -> float:
        """How much a person counts as old, rising smoothly from 0 at 42 years to 1 at 70."""
        return smooth_share(42.0, 70.0, self.age_years)
