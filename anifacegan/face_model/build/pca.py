"""Principal components of sampled shapes and colours, with reproducible signs."""

from dataclasses import dataclass

import numpy as np

BLOCK = 12_000
"""Number of coordinates of all samples that are processed at a time, which bounds the memory."""


@dataclass(frozen=True)
class Components:
    """Principal components of S samples with D coordinates: ``samples ~ coefficients @ basis.T``.

    The K coefficients have unit variance.
    """

    basis: np.ndarray
    """(D, K) float32 principal components."""
    coefficients: np.ndarray
    """(S, K) float32 coefficients of the samples."""
    explained: float
    """Share of the weighted variance that the K components explain."""


def principal_components(samples: np.ndarray, weights: np.ndarray, count: int) -> Components:
    """Compute the ``count`` principal components of samples, those of largest variance first.

    The eigenvectors are those of the samples' (S, S) products, as there are far more coordinates than samples.

    Args:
        samples: (S, D) float32, centred.
        weights: (D,) weight of each squared coordinate.
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
    explained = float(variances[::-1][:count].sum() / variances.sum())
    return Components(basis, coefficients, explained)


def fix_signs(basis: np.ndarray, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flip components so that the entry of largest absolute value of each basis column is positive.

    The sign of an eigenvector is arbitrary; this makes the meaning of coefficients reproducible.

    Args:
        basis: (N, K), one component a column.
        coefficients: (M, K); flipped alike, so that ``coefficients @ basis.T`` does not change.

    Returns:
        Basis and coefficients, same shapes and types.
    """
    largest = np.abs(basis).argmax(axis=0)  # (K,)
    signs = np.where(basis[largest, np.arange(basis.shape[1])] < 0, -1, 1)
    return basis * signs.astype(basis.dtype), coefficients * signs.astype(coefficients.dtype)
