"""The pictures of a page have the colours of the textures, on average more exactly than the encoder makes them."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from anifacegan.avatars.export.web_textures import pictures
from tests.fixtures.flat_avatars import layered_mesh_of, square

pytest.importorskip("PIL._avif", reason="needs a Pillow that writes AVIF")


def test_pictures_have_no_cast_and_black_stays_black() -> None:
    """Without the remedy red, green and blue are off by -0.5, 0.5 and -0.7 of 255, a green cast."""
    row, column = np.mgrid[:160, :160]
    background = np.stack([60 + column, 200 - row // 2, 90 + (row + column) // 4], axis=-1).astype(np.uint8)
    mesh = layered_mesh_of(square(0.05, rgba=(0, 0, 0, 0)))
    content = pictures(dataclasses.replace(mesh, background=background), 92)
    colours, _, shown = (
        np.asarray(Image.open(io.BytesIO(part)).convert("RGB")).astype(int) for part in content
    )
    assert (np.abs((shown - background).mean(axis=(0, 1))) < 0.4).all()
    assert colours.max() == 0


def test_a_layer_without_triangles_has_no_picture() -> None:
    mesh = layered_mesh_of(square(0.05), square(0.0))
    thinned = dataclasses.replace(
        mesh, triangles=mesh.triangles[2:], layer_starts=np.array([0, 0, 2], np.int32)
    )
    lengths = [len(part) for part in pictures(thinned, 92)]
    assert [length > 0 for length in lengths] == [False, True, False, True, True]
