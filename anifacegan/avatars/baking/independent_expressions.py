"""Selects the expressions that a person is baked with, so that each is shown by its own blendshape.

The weights of blendshapes are linear in the coefficients. If an expression is a mixture of others, no linear weights
give each of them its own shape alone; so the mixture is left out, and made of the others.
"""

import numpy as np
from jaxtyping import Float
from scipy.optimize import lsq_linear

NEGLIGIBLE = 1e-3
"""Share of an expression's length that may be missing where it counts as a mixture of others."""


def independent_expressions(z_exp: Float[np.ndarray, "expression 64"]) -> list[int]:
    """Return the indices of the expressions (rows of coefficients) that are no mixtures of the others kept.

    Mixtures of others at strengths from 0 to 1 are left out first: a wink of each eye stays, and a blink of both goes.
    Then go those that others make at any strength. Of equal ones the first stays. A neutral expression stays.
    """
    kept = list(range(len(z_exp)))
    for bounds in ((0.0, 1.0), (-np.inf, np.inf)):
        for row in reversed(range(len(z_exp))):
            others = [other for other in kept if other != row]
            if row in kept and others and _is_mixture(z_exp[row], z_exp[others], bounds):
                kept = others
    return kept


def _is_mixture(
    wanted: Float[np.ndarray, "64"], others: Float[np.ndarray, "other 64"], bounds: tuple[float, float]
) -> bool:
    """Return whether an expression other than the neutral one is a sum of others, each times a strength within the
    bounds."""
    length = float(np.linalg.norm(wanted))
    if length == 0:
        return False
    others = others.T.astype(np.float64) / length
    wanted = wanted.astype(np.float64) / length
    if np.isinf(bounds).all():
        strengths = np.linalg.lstsq(others, wanted, rcond=NEGLIGIBLE)[0]
    else:
        strengths = lsq_linear(others, wanted, bounds, method="bvls").x
    return bool(np.linalg.norm(others @ strengths - wanted) < NEGLIGIBLE)
