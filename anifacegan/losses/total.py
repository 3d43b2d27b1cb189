"""The sum of the terms of a step, or which of them is no number."""

import torch
from torch import Tensor


def finite_total(step: int, terms: dict[str, Tensor]) -> Tensor:
    """Sum of weighted terms, a scalar.

    Raises:
        FloatingPointError: names the step and the terms that are not finite, or says that their sum is not.
    """
    total = sum(terms.values(), start=torch.zeros(()))
    if not torch.isfinite(total):
        broken = [name for name, value in terms.items() if not torch.isfinite(value)] or ["the sum"]
        named = ", ".join(f"{name} {value.item():.4g}" for name, value in terms.items())
        raise FloatingPointError(f"step {step}: {' and '.join(broken)} not finite ({named})")
    return total
