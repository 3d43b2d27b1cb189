"""Former names of configuration keys and options: an old name is refused, and the error message gives the new name."""

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


def present_name(key: str) -> str:
    """Return a dotted key in which every former name is replaced by the present one."""
    return ".".join(RENAMED.get(part, part) for part in key.split("."))
