"""Building blocks of figures: rendered faces as 8-bit images, and captioned grids of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from tqdm import tqdm

from anifacegan.evaluation.figures.config import FigureConfig
from anifacegan.rendering.contact_sheet import FONT_PX, GAP_PX, shortened
from anifacegan.rendering.frame import RenderedImage
from anifacegan.rendering.images import INK, WHITE, to_bytes
from anifacegan.rendering.model import Face, Model
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.tensor_records import moved

LatentRows = tuple[Float[Tensor, "1 80"], Float[Tensor, "1 80"]]
"""Identity latent z_id and appearance latent z_noise of a person."""
Pixels = UInt8[np.ndarray, "height width 3"]
"""An 8-bit image."""


@dataclass(frozen=True)
class FaceRenderer:
    """Renders a model's faces at the size and truncation of a figure, with a progress bar on stderr."""

    model: Model
    config: FigureConfig
    progress: tqdm = field(default_factory=lambda: tqdm(unit="image", disable=None, leave=False))

    def face(
        self, person: int | LatentRows, z_exp: Float[np.ndarray, "64"], psi: float | None = None
    ) -> Face:
        """Return a person, given by a random seed or by latents, with an expression.

        ``psi`` is the truncation of the appearance (1: full variety, 0: the mean); None uses that of the figure.
        """
        latents = self.model.person(person) if isinstance(person, int) else person
        return self.model.face(latents=latents, expression=z_exp, psi=self.config.psi if psi is None else psi)

    def image(
        self, face: Face, *, yaw: float = 0.0, pitch: float = 0.0, antialias: bool = False
    ) -> RenderedImage:
        """Render a view of a face; the images lie on the CPU.

        Angles are radians from frontal; at positive yaw the face turns to the image's right, at positive pitch it looks
        down.

        Surfaces are read from images without anti-aliasing: depth and opacity of a pixel are of one ray then.

        Raises:
            InputError: the colours are not finite.
        """
        seen = face.image(yaw=yaw, pitch=pitch, size=self.config.size, antialias=antialias)
        image = moved(seen, torch.device("cpu"))
        if not image.rgb.isfinite().all():
            raise InputError(f"{self.config.model}: colours are not finite; weights or latents are broken")
        self.progress.update()
        return image

    def pixels(
        self,
        person: int | LatentRows,
        z_exp: Float[np.ndarray, "64"],
        *,
        yaw: float = 0.0,
        pitch: float = 0.0,
        psi: float | None = None,
    ) -> Pixels:
        """Render a person, given by a random seed or by latents, with an expression to an 8-bit image with smooth
        outlines.

        ``yaw`` and ``pitch`` are radians from frontal; ``psi`` is the truncation of the appearance (1: full variety, 0:
        the mean), None that of the figure.
        """
        face = self.face(person, z_exp, psi)
        return to_bytes(self.image(face, yaw=yaw, pitch=pitch, antialias=True).rgb)


def image_bytes(image: Float[Tensor, "height width 3"]) -> Pixels:
    """Convert colours in [0, 1], channels last, to an 8-bit image."""
    return to_bytes(image.permute(2, 0, 1))


def interpolate_people(first: LatentRows, last: LatentRows, share: float) -> LatentRows:
    """Interpolate linearly between two people's latents; share 0 gives the first person, share 1 the last one."""
    z_id, z_noise = (torch.lerp(a, b, share) for a, b in zip(first, last, strict=True))
    return z_id, z_noise


def captioned_grid(
    cells: Sequence[tuple[str, Pixels]], columns: int
) -> UInt8[np.ndarray, "all_rows all_columns 3"]:
    """Arrange images of one size in a grid of ``columns`` columns, row by row, each with its caption below; a single
    image gets no border.

    ``cells`` are pairs of a caption and an image.
    """
    from torchvision.utils import make_grid  # takes two seconds to import, needed here only

    font = ImageFont.load_default(FONT_PX)
    tiles = np.stack([_captioned(caption, pixels, font) for caption, pixels in cells])
    grid = make_grid(torch.from_numpy(tiles).permute(0, 3, 1, 2), nrow=columns, padding=GAP_PX, pad_value=255)
    return grid.permute(1, 2, 0).contiguous().numpy()


def _captioned(
    caption: str, pixels: Pixels, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> UInt8[np.ndarray, "tile_height width 3"]:
    height, width = pixels.shape[:2]
    tile = Image.new("RGB", (width, height + FONT_PX + GAP_PX), WHITE)
    tile.paste(Image.fromarray(pixels))
    middle = (width / 2, height + GAP_PX)
    ImageDraw.Draw(tile).text(middle, shortened(caption, font, width), INK, font, anchor="mm")
    return np.asarray(tile)
