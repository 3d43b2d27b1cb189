"""Principal components of sampled shapes and colours, with reproducible signs."""

from dataclasses import dataclass

import numpy as np

BLOCK = 12_000
"""Coordinates that are handled at a time: keeps copies of the samples small."""


@dataclass(frozen=True)
class Components:
    """``samples ~ coefficients @ basis.T``; coefficients have unit variance."""

    basis: np.ndarray
    """(D, K) float32."""
    coefficients: np.ndarray
    """(S, K) float32, those of the samples."""
    kept: float
    """Share of the weighted variance that K components keep."""


def principal_components(samples: np.ndarray, weights: np.ndarray, count: int) -> Components:
    """The ``count`` directions in which centred samples vary most.

    Args:
        samples: (S, D) float32, centred. There are far more coordinates than samples, so the eigenvectors are those
            of the samples' (S, S) products.
        weights: (D,) how much the square of each coordinate counts.
        count: number of components, at most S.
    """
    sample_count, size = samples.shape
    products = np.zeros((sample_count, sample_count))
    root = np.sqrt(weights).astype(np.float32)
    for start in range(0, size, BLOCK):
        weighted = samples[:, start : start + BLOCK] * root[start : start + BLOCK]
        products += weighted @ weighted.T
    variances, vectors = np.linalg.eigh(products)
    selected = vectors[:, ::-1][:, :count]  # largest first
    basis = np.empty((size, count), np.float32)
    for start in range(0, size, BLOCK):
        basis[start : start + BLOCK] = samples[:, start : start + BLOCK].T @ selected / np.sqrt(sample_count)
    coefficients = (selected * np.sqrt(sample_count)).astype(np.float32)
    kept = float(variances[::-1][:count].sum() / variances.sum())
    return Components(basis, coefficients, kept)


def fix_signs(basis: np.ndarray, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flip components so that the entry of largest absolute value of each basis column is positive.

    An eigenvector's sign is a matter of chance; what a coefficient means must not be.

    Args:
        basis: (N, K), a component in each column.
        coefficients: (M, K); flipped alike, so that ``coefficients @ basis.T`` stays the same.

    Returns:
        Basis and coefficients, same shapes and types.
    """
    largest = np.abs(basis).argmax(axis=0)  # (K,)
    signs = np.where(basis[largest, np.arange(basis.shape[1])] < 0, -1, 1)
    return basis * signs.astype(basis.dtype), coefficients * signs.astype(coefficients.dtype)
