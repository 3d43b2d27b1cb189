"""TODO docstring of anifacegan.runtime.provenance."""

import math
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = ("anifacegan", "torch", "numpy", "torch-fidelity", "onnxruntime", "dlib-bin")


def without_nan(value: Any) -> Any:
    """Plain values; what is not a finite number is null: JSON has no nan."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def installed_versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
