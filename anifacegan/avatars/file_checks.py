"""Checks of an avatar file's content; they are needed because the compiled code that draws it checks no bounds."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.tensor_files import check_ordinary

UNITS = "expression.units_to_exp"
ARRAYS = {
    "vertices": ("float32", (None, 3)),
    "texels": ("float32", (None, 2)),
    "triangles": ("int32", (None, 3)),
    "layer_starts": ("int32", (None,)),
    "textures": ("uint8", (None, None, None, 4)),
    "background": ("uint8", (None, None, 3)),
    "blendshapes": ("float16", (None, None, None, 3)),
    "texel_offsets": ("float32", (None, None, None, 2)),
    "z_exp": ("float32", (None, 64)),
}
"""Name of each array in the file -> its data type and its shape; None stands for any length."""
SHADES = "shades"
OPTIONAL_ARRAYS = {SHADES: ("float16", (None, None, None))}
"""The same of arrays that a file may lack: where no expression changes a colour."""
_LARGEST = {
    "vertices": 100.0,
    "blendshapes": 100.0,
    "texels": 1e6,
    "texel_offsets": 1e6,
    "z_exp": 1e6,
    UNITS: 1e6,
    SHADES: 100.0,
}
"""Largest absolute value that is accepted in each array, far beyond the values of any real avatar.

The units are world units for points and blendshapes, texels for texture coordinates, and none for coefficients and
logarithms.
"""
LEAST_STEP = 1e-6
"""Smallest distance between two samples of a ray, world units; for smaller ones float32, in which the compiled player
computes, is not exact enough."""


def avatar_arrays(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Return the arrays of the avatar file ``path``, checked but for their numbers.

    Raises:
        InputError: a tensor is not one of an avatar's, or of a kind of numbers that NumPy does not have.
    """
    known = (*ARRAYS, *OPTIONAL_ARRAYS, UNITS)
    for name, tensor in tensors.items():
        if name not in known:
            raise InputError(
                f"{path}: has a tensor '{name}', expected those of an avatar: {', '.join(known)}"
            )
        check_ordinary(path, name, tensor)
        if tensor.dtype == torch.bfloat16:
            raise InputError(f"{path}: tensor '{name}' is of {tensor.dtype}, which no tensor of an avatar is")
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def check_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Check the data types, shapes, indices and ranges of all arrays of the avatar file ``path``.

    Raises:
        InputError: an array is missing or invalid; the message names the file and the array.
    """
    _check_types(path, arrays)
    _check_consistency(path, arrays)
    _check_ranges(path, arrays)


def check_ray_sampling(path: Path, ray_sampling: RaySamplingConfig, widest_rad: float) -> None:
    """Refuse an avatar file with ray sampling that float32 cannot represent, or with views in which some ray misses the
    background plane.

    ``widest_rad`` is the largest angle of a view from frontal, radians.

    Raises:
        InputError: the values are refused; the message names the file and the values.
    """
    step = (ray_sampling.far - ray_sampling.near) / (ray_sampling.samples - 1)
    if not (
        ray_sampling.far <= 100
        and step >= LEAST_STEP
        and abs(ray_sampling.background_z) <= 100
        and ray_sampling.fov_deg >= 0.01
    ):
        raise InputError(
            f"{path}: {ray_sampling} is out of range, expected far up to 100, steps of at least {LEAST_STEP}, "
            "background_z within 100 and fov_deg of at least 0.01"
        )
    corner = math.atan(math.sqrt(2) * math.tan(math.radians(ray_sampling.fov_deg / 2)))
    if not widest_rad + corner < math.pi / 2:
        raise InputError(
            f"{path}: views up to widest_rad {widest_rad:.3g} see beside the background's plane with fov_deg "
            f"{ray_sampling.fov_deg:.3g}, expected less than 90 degrees for widest_rad and half the image's diagonal"
        )


def _check_types(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Refuse a file in which an array is missing, or has another data type or shape than expected."""
    for name, (kind, shape) in (ARRAYS | OPTIONAL_ARRAYS).items():
        if name not in arrays:
            if name in OPTIONAL_ARRAYS:
                continue
            raise InputError(f"{path}: tensor '{name}' is missing")
        array = arrays[name]
        fits = array.dtype == kind and array.ndim == len(shape)
        if not fits or any(size not in (None, got) for size, got in zip(shape, array.shape, strict=True)):
            expected = tuple("N" if size is None else size for size in shape)
            raise InputError(
                f"{path}: tensor '{name}' is {array.dtype}{array.shape}, expected {kind}{expected}"
            )


def _check_consistency(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Refuse arrays whose lengths do not fit together, and indices out of range."""
    vertices, triangles = len(arrays["vertices"]), arrays["triangles"]
    starts, layers = arrays["layer_starts"], len(arrays["textures"])
    blendshapes, texel_offsets = arrays["blendshapes"], arrays["texel_offsets"]
    consistent = (
        len(arrays["texels"]) == vertices == blendshapes.shape[2]
        and texel_offsets.shape[2] <= vertices
        and texel_offsets.shape[:2] == blendshapes.shape[:2]
        and blendshapes.shape[1] >= 1
        and len(arrays["z_exp"]) == len(blendshapes)
        and (SHADES not in arrays or arrays[SHADES].shape == blendshapes.shape[:3])
        and len(starts) == layers + 1
        and starts[0] == 0
        and starts[-1] == len(triangles)
        and bool((np.diff(starts) >= 0).all())
        and bool(((triangles >= 0) & (triangles < vertices)).all())
        and min(*arrays["textures"].shape[1:3], *arrays["background"].shape[:2]) >= 2
        and arrays["background"].shape[0] == arrays["background"].shape[1]
    )
    if not consistent:
        raise InputError(f"{path}: its tensors do not belong together; the file is damaged")


def _check_ranges(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Refuse numbers that are not finite or far too large."""
    for name in _LARGEST.keys() & arrays.keys():
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            raise InputError(f"{path}: tensor '{name}' has values that are not finite; the file is damaged")
        largest = np.abs(arrays[name]).max(initial=0)
        if largest > _LARGEST[name]:
            raise InputError(
                f"{path}: tensor '{name}' has a value of size {largest:.3g}, expected at most {_LARGEST[name]:g}; the "
                "file is damaged"
            )
