"""Versions of installed packages and plain values, for the JSON files that record how results came about."""

import math
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("anifacegan", "torch", "numpy", "torch-fidelity", "onnxruntime", "dlib-bin")


def without_nan(value: Any) -> Any:
    """Return nested dictionaries and lists with every number that is not finite replaced by None: JSON has no nan."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
