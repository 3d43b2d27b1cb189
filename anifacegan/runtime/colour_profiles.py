"""Colour profiles (ICC) embedded in images of Pillow: pixels become sRGB, in which everything here computes.

The intent is relative colorimetric with black point compensation: white and black stay white and black, colours that
sRGB has (skin among them) come exactly, and only the few that it lacks are clipped. The perceptual intent would change
all colours by tables that each maker of profiles chooses, and matrix profiles (Display P3, Adobe RGB) have none.

As in browsers, a profile that is damaged, or not one of the image's colour space, is ignored. A profile that is sRGB
itself, judged by what it does to colours and not by its name, changes no pixel.
"""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

LARGEST_PROFILE = 2**24
"""Largest size in bytes of a profile that is looked at; those of printing presses have up to 3 million."""
_SRGB_LEVELS = 2
"""Largest difference, in levels of 255, between sRGB profiles of different makers; other spaces make larger ones."""
_DARKEST_WHITE = 128
"""Smallest level, in sRGB, of a profile's white: below it, its numbers are rubbish."""
_GREY_MODES = ("L", "LA")
"""Pillow's modes of grey images."""
_SPACES = {"RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK", "L": b"GRAY", "LA": b"GRAY"}
"""Names that profiles have, at their byte 16, for the colour spaces of Pillow's modes."""

Conversion = Callable[[Image.Image], Image.Image]


def conversion_to_srgb(image: Image.Image) -> Conversion | None:
    """Return what converts the pixels of an image, or of parts of it, from its embedded profile to sRGB.

    The conversion takes images of the same mode, grey of 16 bits as 8 bits, and returns RGB, RGBA, L or LA. It is None
    if the pixels stay as they are: there is no profile, none that fits, or it is sRGB.
    """
    content = image.info.get("icc_profile")
    if not isinstance(content, bytes) or not 0 < len(content) <= LARGEST_PROFILE:
        return None
    mode = _converted_mode(image)
    if mode is None or content[16:20] != _SPACES[mode]:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(content))
        if mode in _GREY_MODES:
            return _grey_conversion(profile)
        return _colour_conversion(profile, mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None  # damaged


def _converted_mode(image: Image.Image) -> str | None:
    """Return the mode in which an image is converted; None of those without colour profiles."""
    if image.mode in ("L", "LA") or image.mode.startswith("I;16") or image.mode == "I":
        return "LA" if image.has_transparency_data else "L"
    if image.mode == "CMYK":
        return "CMYK"
    if image.mode in ("P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"):
        return "RGBA" if image.has_transparency_data else "RGB"
    return None


def _transform(profile: ImageCms.ImageCmsProfile, mode: str, converted: str) -> ImageCms.ImageCmsTransform:
    """Return the transform of a profile to sRGB, from pixels of one mode to those of another."""
    return ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        converted,
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _grey_conversion(profile: ImageCms.ImageCmsProfile) -> Conversion | None:
    """Return the conversion of grey images, a table of the 256 levels."""
    levels = np.arange(256, dtype=np.uint8)[None]
    converted = _transform(profile, "L", "RGB").apply(Image.fromarray(levels)).convert("L")
    if _is_srgb(levels, np.asarray(converted)) or np.asarray(converted)[0, -1] < _DARKEST_WHITE:
        return None
    table = np.asarray(converted)[0].tolist()

    def convert(image: Image.Image) -> Image.Image:
        if not image.has_transparency_data:
            return image.point(table)
        grey, alpha = image.convert("LA").split()
        return Image.merge("LA", (grey.point(table), alpha))

    return convert


def _colour_conversion(profile: ImageCms.ImageCmsProfile, mode: str) -> Conversion | None:
    """Return the conversion of images that have, or become, the mode "RGB", "RGBA" or "CMYK"."""
    converted = "RGB" if mode == "CMYK" else mode
    transform = _transform(profile, mode, converted)
    white = transform.apply(Image.new(mode, (1, 1), 0 if mode == "CMYK" else "white")).convert("RGB")
    if np.asarray(white).min() < _DARKEST_WHITE:
        return None
    if mode != "CMYK":
        lattice = _lattice()
        probe = transform.apply(Image.fromarray(lattice).convert(mode)).convert("RGB")
        if _is_srgb(lattice, np.asarray(probe)):
            return None

    def convert(image: Image.Image) -> Image.Image:
        return transform.apply(image if image.mode == mode else image.convert(mode))

    return convert


def _lattice() -> UInt8[np.ndarray, "height width 3"]:
    """Return 16 levels of each channel in all combinations, from 0 to 255."""
    levels = np.linspace(0, 255, 16).astype(np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(64, 64, 3)


def _is_srgb(before: UInt8[np.ndarray, "*pixel"], after: UInt8[np.ndarray, "*pixel"]) -> bool:
    """Return whether a profile has left the levels of all pixels as they are, but for its rounding."""
    return int(np.abs(before.astype(int) - after).max()) <= _SRGB_LEVELS
