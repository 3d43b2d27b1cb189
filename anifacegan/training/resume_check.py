"""Options and data that must not change when a run is resumed from a snapshot, or repeated in the folder of a finished
one.

A run resumed with other values could not be repeated. Each snapshot stores these values, and checksums of the
data, as plain values; the resumed run compares them with its own. A run that begins anew in a folder would replace what
another one has made there; it is compared with the folder's config.yaml.
"""

from pathlib import Path
from typing import Any

from anifacegan.models.model_folder import CARD
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_folders import own_files
from anifacegan.runtime.paths import exists
from anifacegan.runtime.structured_text import read_yaml
from anifacegan.runtime.typed_config import plain
from anifacegan.training.snapshots import CONFIG, newest_step

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
FIXED_IN_A_FOLDER = ("task", "name", "face_model", "data.path", "real.path", "reconstruction")
"""Options of MAY_CHANGE that must not change when a run is repeated from its start, where no checksum is compared."""
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
_ANOTHER = "take another --out for a new run"
"""End of a message about a run folder that has other options."""


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
    out: Path, before: dict[str, Any], now: dict[str, Any], advice: str = _ANOTHER, place: str | None = None
) -> None:
    """Refuse to resume a run, to repeat it, or to export its model, with other options or data.

    ``before`` are the options and checksums in a snapshot of the run in the folder ``out``; ``now`` are those of the
    run that resumes from the snapshot, or of its config.yaml. Both are from :func:`fixed_values`. Options that only one
    of the two has are not compared, because a version of this package has added or removed them. ``advice`` ends the
    message; ``place`` says where ``before`` is read, if it is not a snapshot.

    Raises:
        InputError: a value differs; the message names the option and both values.
    """
    for key in now:
        if key in before and now[key] != before[key]:
            option, given, expected = CHECKSUMS.get(key, key), _text(key, now[key]), _text(key, before[key])
            raise InputError(
                f"{option} is {given}, expected {expected} as in {place or f'the snapshots of {out}'}; {advice}"
            )


def refuse_other_run(out: Path, config: object) -> None:
    """Refuse to begin a run in a folder in which another one, with other options, has left a model or snapshots.

    ``config`` is the configuration of the run that begins; the other one's is the folder's config.yaml.

    Raises:
        InputError: an option differs, or there is no config.yaml; the message names it and both values.
    """
    if CARD not in own_files(out / "model") and newest_step(out) is None:
        return  # files of others are refused by their names
    if not exists(out / CONFIG):
        raise InputError(f"{out / CONFIG}: is missing, expected the run that {out} has files of; {_ANOTHER}")
    before, now = _flat(read_yaml(out / CONFIG, "the options of a run")), _flat(plain(config))
    before.setdefault("task", "generator")
    places = {key: now[key] for key in FIXED_IN_A_FOLDER if key in now}
    refuse_changes(out, before, places | fixed_values(config, {}), place=str(out / CONFIG))


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
