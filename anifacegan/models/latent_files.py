"""Files of latents (.npz): people as ``z_id`` and ``z_noise``, and mean FiLM parameters for truncation."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.geometry.conventions import ID_DIM, NOISE_DIM
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import complete_or_absent
from anifacegan.runtime.npz_files import read_npz
from anifacegan.runtime.paths import user_path

LARGEST_LATENT = 1e6
"""Largest absolute value in a file of latents; most are of the size of 1."""


def write_people(
    path: Path | str, z_id: Float[Tensor, "person 80"], z_noise: Float[Tensor, "person 80"]
) -> None:
    """Write the identity and appearance latents of people to an .npz file, which ``anifacegan render --latents FILE``
    reads.

    Raises:
        InputError: they are no latents of the same number of people, or the file cannot be written.
    """
    path = user_path(path)
    arrays = {"z_id": z_id.detach().cpu().numpy(), "z_noise": z_noise.detach().cpu().numpy()}
    _people(path, arrays)
    with complete_or_absent(path) as temporary, temporary.open("wb") as file:
        np.savez(file, z_id=arrays["z_id"], z_noise=arrays["z_noise"])


def read_people(path: Path) -> tuple[Float[Tensor, "person 80"], Float[Tensor, "person 80"]]:
    """Read z_id and z_noise of one or more people from an .npz file.

    Raises:
        InputError: the file is missing or no .npz, a key is missing, or an array is misshaped or not finite.
    """
    return _people(path, read_npz(user_path(path), "an .npz with z_id and z_noise"))


def _people(
    path: Path, arrays: dict[str, np.ndarray]
) -> tuple[Float[Tensor, "person 80"], Float[Tensor, "person 80"]]:
    """Check z_id and z_noise of one or more people, which are in the file ``path`` or will be."""
    z_id, z_noise = (
        _rows(path, arrays, name, dim) for name, dim in (("z_id", ID_DIM), ("z_noise", NOISE_DIM))
    )
    if len(z_id) != len(z_noise):
        raise InputError(
            f"{path}: z_id holds {len(z_id)} people and z_noise {len(z_noise)}, expected as many"
        )
    return z_id, z_noise


def read_mean_film_parameters(
    path: Path, units: int
) -> tuple[Float[Tensor, "1 units"], Float[Tensor, "1 units"]]:
    """Read the mean FiLM frequencies and phases of ``units`` sine units from the released model's ``averages.npz``;
    truncation moves people toward them.

    The keys are ``avg_frequencies`` and ``avg_phase_shifts``, or ``frequencies`` and ``phases``. The values are raw
    outputs of the mapping network, before ``frequency * 15 + 30``.

    Raises:
        InputError: the file is missing or no .npz, a key is missing, or an array is misshaped or not finite.
    """
    arrays = read_npz(path, "an .npz with mean FiLM parameters")
    names = [("avg_frequencies", "frequencies"), ("avg_phase_shifts", "phases")]
    found = [long if long in arrays else short for long, short in names]
    rows = [_rows(path, arrays, name, units) for name in found]
    for name, value in zip(found, rows, strict=True):
        if len(value) != 1:
            raise InputError(f"{path}: '{name}' has {len(value)} rows, expected 1")
    return rows[0], rows[1]


def _rows(path: Path, arrays: dict[str, np.ndarray], name: str, dim: int) -> Float[Tensor, "row dim"]:
    if name not in arrays:
        raise InputError(
            f"{path}: no '{name}' in the file (it holds {', '.join(sorted(arrays)) or 'nothing'})"
        )
    value = arrays[name]
    if value.dtype.kind not in "fiu" or value.ndim > 2 or value.size == 0 or value.shape[-1:] != (dim,):
        raise InputError(
            f"{path}: '{name}' has shape {value.shape} of {value.dtype}, expected (N, {dim}) numbers"
        )
    with np.errstate(over="ignore"):  # too large for float32: not finite, below
        value = np.asarray(value, np.float32)
    if not np.isfinite(value).all():
        raise InputError(f"{path}: '{name}' has values that are not finite")
    largest = np.abs(value).max()
    if largest > LARGEST_LATENT:
        raise InputError(
            f"{path}: '{name}' has a value of size {largest:.3g}, expected at most {LARGEST_LATENT:g}"
        )
    return torch.from_numpy(value.reshape(-1, dim))
