"""The textures of an avatar as pictures that every browser decodes.

Colours and opacities are apart, as opaque pictures, because browsers may multiply colours by opacity, or drop the
colours of transparent pixels. AVIF without chroma subsampling takes half the bytes of WebP for the same error.
"""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, features

from anifacegan.avatars.export.visible_part import covered_texels
from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.runtime.errors import InputError

ENCODER_SPEED = 6
"""From 0, slow and small, to 10."""


def require_avif() -> None:
    """Require that pictures can be written as AVIF.

    Raises:
        InputError: Pillow cannot; the message says what to install.
    """
    if not features.check("avif"):
        raise InputError(
            "a web page needs AVIF pictures, which this Pillow cannot write: pip install 'pillow>=11.3'"
        )


def pictures(layered_mesh: LayeredMesh, quality: int) -> list[bytes]:
    """Encode the layers' colours, premultiplied by opacity, then their opacities, then the background, as AVIF files.

    Texels that no triangle shows are black. ``quality`` is from 1 to 100.
    """
    textures = layered_mesh.textures * covered_texels(layered_mesh)[..., None]
    colours = [_avif(texture[..., :3], quality) for texture in textures]
    opacities = [_avif(texture[..., 3], quality) for texture in textures]
    return [*colours, *opacities, _avif(layered_mesh.background, quality)]


def _avif(pixels: UInt8[np.ndarray, "height width *channels"], quality: int) -> bytes:
    content = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(content, "AVIF", quality=quality, subsampling="4:4:4", speed=ENCODER_SPEED)
    return content.getvalue()
