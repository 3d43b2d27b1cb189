"""What must stay as it was when a run goes on from a snapshot: otherwise it would be no run that can be repeated.

A snapshot holds these values, and the sums of the data that it was trained on, as plain values.
"""

from pathlib import Path
from typing import Any

from anifacegan.command_line import plain
from anifacegan.errors import InputError

FREE = ("out", "face_model", "reporting", "threads", "device", "compile", "name", "task", "data.path",
        "data.skip_bad", "real.path", "real.skip_bad", "reconstruction", "rasterizer")
"""Options that say where things are and what is reported. Data, face model and network R are known by their sums."""
FIXED_WITHIN = ("reporting.held_out",)
"""But this one says which pictures are trained on."""
SUMS = {"codes_sha256": "data.path", "face_model_sha256": "face_model", "real_sha256": "real.path",
        "reconstruction_sha256": "reconstruction"}
"""Sum of the data -> option that names what it is of; a run has some of them."""


def fixed_values(config: object, sums: dict[str, Any]) -> dict[str, Any]:
    """Option -> plain value of everything in a run's configuration that must not change; ``sums`` are of the data."""
    values = _flat(plain(config))
    free = tuple(f"{name}." for name in FREE)
    kept = {key: value for key, value in values.items() if not f"{key}.".startswith(free) or key in FIXED_WITHIN}
    return kept | {name: sums[name] for name in SUMS if name in sums}


def refuse_changes(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Compare :func:`fixed_values` of a snapshot with those of the run that wants to go on.

    An option that only one of them knows came or went with a version: it is passed over.

    Raises:
        InputError: a value differs; the line names the option and both values.
    """
    for key in now:
        if key in before and now[key] != before[key]:
            came = f"{SUMS.get(key, key)} is {_shown(key, now[key])}, expected {_shown(key, before[key])}"
            raise InputError(f"{came} as in the snapshots of {out}; take another --out for a new run")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted keys; a nested group is also there itself, as whether it is given."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{prefix}{key}": "keys and values"} | _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shown(key: str, value: Any) -> str:
    if key in SUMS:
        return f"of SHA-256 {str(value)[:12]}..."
    return "null" if value is None else str(value)
