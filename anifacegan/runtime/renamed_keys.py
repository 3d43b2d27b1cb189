"""Former names of configuration keys, options and their values: an old name is refused, and the error message gives the
new name."""

from collections.abc import Collection

RENAMED = {
    "augmentations": "augmentation",
    "codes": "latents",
    "curtain": "mouth_gap",
    "degradations": "augmentation",
    "discriminator_lead": "discriminator_warmup",
    "march": "ray_sampling",
    "picture_steps": "image_steps",
    "pictures": "images",
    "shells": "manifold_init",
    "stations": "inbetweens",
    "trunk": "backbone",
}
"""Maps former names to present names, of single keys without the groups that they belong to."""

RENAMED_VALUES = {"exact": "adaptive", "playback": "baked", "reference": "brute_force"}
"""Maps former values of options to present values; each applies to the options that accept the present value."""


def present_name(key: str) -> str:
    """Return a dotted key in which every former name is replaced by the present one."""
    return ".".join(RENAMED.get(part, part) for part in key.split("."))


def present_value(value: object, accepted: Collection[object]) -> str | None:
    """Return the present name of a value, or None if the value was not renamed to one of those that are accepted."""
    present = RENAMED_VALUES.get(value) if isinstance(value, str) else None
    return present if present in accepted else None
