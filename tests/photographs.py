"""A folder as users bring it: pictures with Deep3DFaceRecon coefficients, of whose appearance nothing is known."""

from pathlib import Path

import numpy as np
from PIL import Image

from anifacegan.coefficients import FaceCoefficients, write_coefficients


def write_photographs(folder: Path, count: int, size: int) -> None:
    """Discs of random colours before random colours, and random coefficients."""
    rng = np.random.default_rng(0)
    across = np.linspace(-1, 1, size)
    inside = np.hypot(across[:, None], across) < 0.7

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    folder.mkdir(parents=True, exist_ok=True)
    for item in range(count):
        colours = rng.integers(0, 256, (2, 3), dtype=np.uint8)
        Image.fromarray(np.where(inside[..., None], *colours)).save(folder / f"{item:05d}.png")
        face = FaceCoefficients(
            id=draw(80),
            exp=draw(64),
            tex=draw(80),
            angle=0.2 * draw(3),
            gamma=draw(27),
            trans=draw(3),
            lm68=100 + 20 * draw(68, 2),
        )
        write_coefficients(folder / f"{item:05d}.mat", face)
