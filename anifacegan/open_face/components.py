"""Principal components of sampled shapes and colours, with reproducible signs."""

import numpy as np


def fix_signs(basis: np.ndarray, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flip components so that the entry of largest absolute value of each basis column is positive.

    An eigenvector's sign is a matter of chance; a coefficient file must not be.

    Args:
        basis: (N, K), a component in each column.
        coefficients: (M, K); flipped alike, so that ``coefficients @ basis.T`` stays the same.

    Returns:
        Basis and coefficients, same shapes and types.
    """
    largest = np.abs(basis).argmax(axis=0)                              # (K,)
    signs = np.where(basis[largest, np.arange(basis.shape[1])] < 0, -1, 1)
    return basis * signs.astype(basis.dtype), coefficients * signs.astype(coefficients.dtype)
