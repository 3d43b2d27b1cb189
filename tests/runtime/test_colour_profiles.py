"""Images come as sRGB whatever colour profile they carry, and one that is damaged changes nothing."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from anifacegan.runtime import colour_profiles, image_files
from anifacegan.runtime.image_files import read_image, upright_rgb
from tests.fixtures.colour_profiles import DISPLAY_P3, SRGB, display_profile, grey_profile, press_profile
from tests.runtime.test_image_files import chunk, noise, saved

SKIN = (220, 170, 140)
OWN_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def rgb() -> np.ndarray:
    return noise(11, 5, 3).astype(np.uint8)


def light(levels: np.ndarray) -> np.ndarray:
    """The light of levels by sRGB's tone curve, which Display P3 has, too."""
    values = np.asarray(levels) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def from_display_p3(levels: np.ndarray) -> np.ndarray:
    """The levels in sRGB, by the definition of both spaces."""
    linear = light(levels) @ np.array(DISPLAY_P3) @ np.linalg.inv(np.array(SRGB))
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("ending", ["png", "tiff", "webp", "jpeg"])
def test_display_p3_becomes_srgb(ending: str) -> None:
    pixels = np.full((16, 16, 3), SKIN, np.uint8)
    options = {"webp": {"lossless": True}, "jpeg": {"quality": 100, "subsampling": 0}}.get(ending, {})
    content = saved(Image.fromarray(pixels), ending, icc_profile=display_profile(), **options)
    expected = from_display_p3(np.array(SKIN))
    assert np.abs(expected - SKIN).max() > 5
    rounding = 2.5 if ending == "jpeg" else 1.5  # of 8 bits, before and after
    for mode in ("RGB", None):
        assert np.abs(read_image(content, mode) - expected).max() < rounding
    assert np.abs(read_image(content, "L") - expected @ [0.299, 0.587, 0.114]).max() < rounding


def test_transparent_parts_stay_white_and_keep_their_alpha() -> None:
    image = Image.fromarray(np.dstack([rgb(), noise(11, 5)]).astype(np.uint8))
    content = saved(image, icc_profile=display_profile())
    stored = read_image(content)
    np.testing.assert_array_equal(stored[..., 3], np.asarray(image)[..., 3])
    colours = read_image(saved(image.convert("RGB"), icc_profile=display_profile()), "RGB")
    np.testing.assert_array_equal(stored[..., :3], colours)
    keyed = Image.new("RGB", (4, 4), SKIN)  # one colour is the transparent one
    assert set(read_image(saved(keyed, transparency=SKIN, icc_profile=display_profile()), "RGB").flat) == {
        255
    }


def test_palettes_are_converted() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *SKIN])
    came = read_image(saved(image, icc_profile=display_profile()), "RGB")
    assert np.abs(came - from_display_p3(np.array(SKIN))).max() < 1.5


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_profiles_are_of_grey_images(mode: str) -> None:
    image = Image.fromarray(np.full((4, 4), 257 * 55, np.uint16))
    if mode != "I;16":
        image = Image.new("L", (4, 4), 55).convert(mode)
    content = saved(image, icc_profile=grey_profile(gamma=1.0))
    level = 255 * (1.055 * (55 / 255) ** (1 / 2.4) - 0.055)
    assert np.abs(read_image(content, "L") - level).max() < 1.5
    assert np.abs(read_image(content, "RGB") - level).max() < 1.5
    if mode == "I;16":  # which stays as it is stored
        assert set(read_image(content).flat) == {257 * 55}


def test_colours_of_16_bits_are_converted() -> None:
    levels = np.full((4, 4, 3), SKIN, np.uint32) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    chunks = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)),
        chunk(b"iCCP", b"p3\0\0" + zlib.compress(display_profile())),
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    ]
    came = read_image(b"\x89PNG\r\n\x1a\n" + b"".join(chunks), "RGB")
    assert np.abs(came - from_display_p3(np.array(SKIN))).max() < 1.5


@pytest.mark.parametrize("ending", ["tiff", "jpeg"])
def test_profiles_of_presses_decide_the_colours_of_cmyk(ending: str) -> None:
    image = Image.new(
        "CMYK", (16, 16), (0, 255, 0, 0)
    )  # whose magenta is the paper's white by the test's profile
    assert set(read_image(saved(image, ending, icc_profile=press_profile()), "RGB").flat) <= {254, 255}
    assert read_image(saved(image, ending), "RGB")[0, 0, 1] < 5
    black = Image.new("CMYK", (16, 16), (255, 255, 255, 255))  # grey on that paper
    assert read_image(saved(black, ending, icc_profile=press_profile(darkest=20)), "RGB").max() < 5


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("profile", [OWN_SRGB, display_profile(SRGB)], ids=["lcms", "rounded"])
def test_srgb_changes_no_pixel(profile: bytes, mode: str) -> None:
    image = Image.fromarray(noise(64, 64, 3).astype(np.uint8)).convert(mode)
    for wanted in ("RGB", "L", None):
        plain = read_image(saved(image), wanted)
        np.testing.assert_array_equal(read_image(saved(image, icc_profile=profile), wanted), plain)


def without_white() -> bytes:
    return display_profile(((0, 0, 0), (0, 0, 0), (0, 0, 0)))


WRONG = {
    "byte": b"x",
    "text": b"x" * 3000,
    "cut": display_profile()[:200],
    "tail": display_profile()[:-30],
    "grey": grey_profile(),
    "press": press_profile(),
    "black": without_white(),
}


@pytest.mark.parametrize("profile", WRONG.values(), ids=WRONG)
def test_profiles_that_are_damaged_or_of_other_images_change_nothing(profile: bytes) -> None:
    for ending in ("png", "tiff"):
        content = saved(Image.fromarray(rgb()), ending, icc_profile=profile)
        np.testing.assert_array_equal(read_image(content, "RGB"), rgb())
    grey = rgb()[..., 0]
    content = saved(Image.fromarray(grey), icc_profile=display_profile())
    np.testing.assert_array_equal(read_image(content, "L"), grey)


def test_a_png_whose_profile_is_too_large_or_damaged_is_read_without(tmp_path: Path) -> None:
    plain = saved(Image.fromarray(rgb()))
    large = chunk(b"iCCP", b"p3\0\0" + zlib.compress(bytes(2**21)))
    unknown = chunk(b"iCCP", b"p3\0\7" + zlib.compress(display_profile()))
    wrong = bytearray(chunk(b"iCCP", b"p3\0\0" + zlib.compress(display_profile())))
    wrong[-1] ^= 255
    for part in (large, unknown, bytes(wrong)):
        content = plain[:33] + part + plain[33:]  # behind the header
        (tmp_path / "a.png").write_bytes(content)
        for source in (content, tmp_path / "a.png"):
            np.testing.assert_array_equal(read_image(source, "RGB"), rgb())


def test_a_profile_beyond_the_limit_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(Image.fromarray(rgb()), "tiff", icc_profile=display_profile())
    assert not np.array_equal(read_image(content, "RGB"), rgb())
    monkeypatch.setattr(colour_profiles, "LARGEST_PROFILE", 100)
    np.testing.assert_array_equal(read_image(content, "RGB"), rgb())


def test_mutated_profiles_crash_nothing() -> None:
    random = np.random.default_rng(0)
    kinds = [("RGB", display_profile()), ("L", grey_profile()), ("CMYK", press_profile())]
    for k in range(60):
        mode, profile = kinds[k % 3]
        changed = np.frombuffer(profile, np.uint8).copy()
        changed[random.integers(0, len(changed), 1 + k % 7)] = random.integers(0, 256, 1 + k % 7)
        image = Image.new(mode, (3, 3))
        image.info["icc_profile"] = changed.tobytes()
        assert upright_rgb(image).shape == (3, 3, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK"])
def test_images_with_profiles_are_converted_in_strips(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(rgb()).convert("LA" if mode == "LA" else "RGB").convert(mode)
    profile = {"L": grey_profile(), "LA": grey_profile(), "CMYK": press_profile()}.get(
        mode, display_profile()
    )
    content = saved(image, "tiff" if mode == "CMYK" else "png", icc_profile=profile)
    whole = [read_image(content, wanted) for wanted in ("RGB", "L", None)]
    monkeypatch.setattr(image_files, "_STRIP_PIXELS", 10)
    for pixels, wanted in zip(whole, ("RGB", "L", None), strict=True):
        came = read_image(content, wanted)
        np.testing.assert_array_equal(came, pixels)
        assert came.flags.writeable


def test_images_of_pillow_are_converted_and_stay_as_they_are() -> None:
    image = Image.fromarray(rgb())
    image.info["icc_profile"] = display_profile()
    assert not np.array_equal(upright_rgb(image), rgb())
    np.testing.assert_array_equal(np.asarray(image), rgb())
