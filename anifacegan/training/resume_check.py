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
    "view",
    "schedule.left_out_limit",
    "adversarial.split",
)
"""Options that may change when a run is resumed: paths, device, number of threads, reports and the like. Files are
compared by checksum, not by path."""
FIXED_REPORTING = ("reporting.held_out",)
"""Options inside the groups of MAY_CHANGE that must not change: held_out decides which images are trained on."""
CHECKSUMS = {
    "latents_sha256": "data.path",
    "images_sha256": "data.path",
    "contents_sha256": "data.path",
    "coefficients_sha256": "face_model",
    "real_sha256": "real.path",
    "real_contents_sha256": "real.path",
    "reconstruction_sha256": "reconstruction",
}
"""Maps the name of a checksum to the option that names the data; a run has some of these checksums."""


def fixed_values(config: object, checksums: dict[str, Any]) -> dict[str, Any]:
    """Return the options that must not change when a run is resumed, together with the given checksums.

    The options are plain values by dotted key, such as schedule.batch.
    """
    values = _flat(plain(config))
    may_change = tuple(f"{name}." for name in MAY_CHANGE)
    fixed = {
        key: value
        for key, value in values.items()
        if not f"{key}.".startswith(may_change) or key in FIXED_REPORTING
    }
    return fixed | {name: checksums[name] for name in CHECKSUMS if name in checksums}


def refuse_changes(
    out: Path, before: dict[str, Any], now: dict[str, Any], advice: str = "take another --out for a new run"
) -> None:
    """Refuse to resume a run, or to export its model, with other options or data.

    ``before`` are the options and checksums in a snapshot of the run in the folder ``out``; ``now`` are those of the
    run that resumes from the snapshot, or of its config.yaml. Both are from :func:`fixed_values`. Options that only one
    of the two has are not compared, because a version of this package has added or removed them. ``advice`` ends the
    message.

    Raises:
        InputError: a value differs; the message names the option and both values.
    """
    for key in now:
        if key in before and now[key] != before[key]:
            option, given, expected = CHECKSUMS.get(key, key), _text(key, now[key]), _text(key, before[key])
            raise InputError(
                f"{option} is {given}, expected {expected} as in the snapshots of {out}; {advice}"
            )


def require_within_schedule(out: Path, step: int, steps: int) -> None:
    """Require that a snapshot's step is one of the run in the folder ``out``, which has ``steps``.

    Raises:
        InputError: it lies behind the last.
    """
    if step > steps:
        raise InputError(f"{out}: its snapshot is of step {step}, expected at most {steps}, the run's last")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted key; the key of a group itself is included too, and tells that the group is not
    null.
    """
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
