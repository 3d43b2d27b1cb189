"""Options of data sets and of the augmentation of their images."""

import math
from dataclasses import dataclass

from anifacegan.runtime.errors import ConfigError, require_within
from anifacegan.runtime.output_places import ImageFolder


@dataclass(frozen=True)
class DataConfig:
    """Place of a data set, and how it is read."""

    path: ImageFolder
    """Folder or .zip of images (.png, .jpg, .jpeg, .webp, .bmp, .tif, .tiff) and .mat files. An image belongs to the
    .mat file of the same path without suffix, or else to the only .mat file of the same name."""
    size: int = 256
    """Height and width of the images, in pixels; an image of another size counts as damaged."""
    pitch_offset: float = 0.0
    """Pitch, in radians, that Deep3DFaceRecon reports for a frontal face. It is subtracted from the pitch in the .mat
    files; 0.1 is right for the released .mat files and those of FFHQ. Ignored for .mat files that store the exact pose
    (ours do)."""
    mirror: bool = False
    """Use the mirror image of every photograph as well, with mirrored coefficients. Only the open face model is
    symmetric, so that its coefficients can be mirrored. Held-out images are then mirror images of others, but not in
    task reconstruction."""
    skip_bad: bool = False
    """Skip damaged files instead of stopping. To find them, every image is decoded once at the start."""

    def __post_init__(self) -> None:
        require_within(self, 1, 8192, "size")
        if not math.isfinite(self.pitch_offset):
            raise ConfigError("pitch_offset", self.pitch_offset, "radians")


@dataclass(frozen=True)
class AugmentationConfig:
    """Frequency and strength of augmentations. Each strength is drawn uniformly between 0 and the value given here. For
    shift, roll_deg, zoom and gain it is drawn between the negative value and the value.
    """

    jitter_share: float = 0.7
    """Share of images whose crop is shifted, rolled and zoomed a little."""
    shift: float = 0.04
    """Largest shift of the crop in x and in y, as a share of the width."""
    roll_deg: float = 4.0
    """Largest roll of the crop in degrees."""
    zoom: float = 0.05
    """Largest change of the crop's scale, as a share: 0.05 scales by 0.95 to 1.05."""
    gain_share: float = 0.5
    """Share of images with changed brightness and tint."""
    gain: float = 0.2
    """Largest change of brightness, as a share. In addition, each colour channel changes by up to a quarter of it."""
    blur_share: float = 0.4
    """Share of blurred images."""
    blur: float = 0.016
    """Largest standard deviation of the blur, as a share of the width; 0.016 is 2 px at 128 px."""
    noise_share: float = 0.4
    """Share of images with noise."""
    noise: float = 0.06
    """Largest standard deviation of the noise, for colours in [0, 1]."""
    jpeg_share: float = 0.25
    """Share of JPEG-compressed images."""
    jpeg_quality: int = 30
    """Lowest JPEG quality; the highest is 95."""

    def __post_init__(self) -> None:
        limits = {name: 1.0 for name in vars(self) if name.endswith("_share")}
        limits |= {"shift": 0.25, "roll_deg": 45.0, "zoom": 0.5, "gain": 0.9, "blur": 0.05, "noise": 1.0}
        for name, high in limits.items():
            if not 0 <= getattr(self, name) <= high:
                raise ConfigError(name, getattr(self, name), f"0 to {high:g}")
        if not 1 <= self.jpeg_quality <= 95:
            raise ConfigError("jpeg_quality", self.jpeg_quality, "1 to 95")


NO_AUGMENTATION = AugmentationConfig(
    jitter_share=0.0, gain_share=0.0, blur_share=0.0, noise_share=0.0, jpeg_share=0.0
)
"""Configuration that leaves images as they are."""
