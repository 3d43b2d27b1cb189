"""Configuration keys and options by their former names, so that an old one is refused with its new name."""

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
    "trunk": "backbone",
}
"""Former name -> present name, of single keys without the groups they belong to."""


def present_name(key: str) -> str:
    """Return a dotted key with every former name in it replaced by the present one."""
    return ".".join(RENAMED.get(part, part) for part in key.split("."))
