"""Options and data that must not change when a run is resumed from a snapshot.

A run resumed with other values could not be repeated. Each snapshot stores these values, and checksums of the
data, as plain values; the resumed run compares them with its own.
"""

from pathlib import Path
from typing import Any

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.typed_config import plain

MAY_CHANGE = (
    "out",
    "face_model",
    "reporting",
    "threads",
    "device",
    "compile",
    "name",
    "task",
    "data.path",
    "data.skip_bad",
    "real.path",
    "real.skip_bad",
    "reconstruction",
    "rasterizer",
)
"""Options that may change, each with all options below it.

They say where files lie (``out``, ``face_model``, ``data.path``, ``real.path``, ``reconstruction``), whether damaged
images are left out (``data.skip_bad``, ``real.skip_bad``), what is reported (``reporting``), how the machine computes
(``threads``, ``device``, ``compile``, ``rasterizer``), and what the run is called (``name``, ``task``). The files'
contents must stay the same: they are compared by checksum.
"""
FIXED_REPORTING = ("reporting.held_out",)
"""Options below those of MAY_CHANGE that are fixed all the same: held_out decides which images are trained on."""
CHECKSUMS = {
    "latents_sha256": "data.path",
    "face_model_sha256": "face_model",
    "real_sha256": "real.path",
    "reconstruction_sha256": "reconstruction",
}
"""Name of a checksum -> option that names its data; a run has some of them."""


def fixed_values(config: object, checksums: dict[str, Any]) -> dict[str, Any]:
    """Return the fixed options of a configuration by dotted key, as plain values, with the given checksums."""
    values = _flat(plain(config))
    may_change = tuple(f"{name}." for name in MAY_CHANGE)
    fixed = {
        key: value
        for key, value in values.items()
        if not f"{key}.".startswith(may_change) or key in FIXED_REPORTING
    }
    return fixed | {name: checksums[name] for name in CHECKSUMS if name in checksums}


def refuse_changes(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Compare the :func:`fixed_values` of a snapshot in ``out`` with those of the run that resumes it.

    Options that only one of the two knows are not compared: they came or went with a version of this package.

    Raises:
        InputError: a value differs; the message names the option and both values.
    """
    for key in now:
        if key in before and now[key] != before[key]:
            option, given, expected = CHECKSUMS.get(key, key), _text(key, now[key]), _text(key, before[key])
            raise InputError(
                f"{option} is {given}, expected {expected} as in the snapshots of {out}; take another --out for a "
                f"new run"
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted keys; the key of a nested group says whether the group is given."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{prefix}{key}": "keys and values"} | _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _text(key: str, value: Any) -> str:
    if key in CHECKSUMS:
        return f"of SHA-256 {str(value)[:12]}..."
    return "null" if value is None else str(value)
