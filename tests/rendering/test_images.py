"""Images on disk hold what they were given."""

import os
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from anifacegan.rendering import images
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.rendering.images import depth_levels, over_white, straight_alpha, to_bytes, write_png
from anifacegan.rendering.video import write_video
from anifacegan.runtime.files import encoded_image, image_size, read_image


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def decoded(path: Path) -> tuple[dict, list[np.ndarray]]:
    """The video's stream description and its frames, as a player decodes them."""
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    width, height = about["size"]
    return about, [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]


def test_bytes_are_the_nearest_levels() -> None:
    levels = torch.tensor([[[0.0, 1.0, 0.5 / 255 - 1e-4, 0.5 / 255 + 1e-4, -0.2, 1.3]]])
    assert to_bytes(levels)[0, :, 0].tolist() == [0, 255, 0, 1, 0, 255]


def test_channels_come_last() -> None:
    image = torch.rand(3, 4, 5)
    assert np.array_equal(to_bytes(image)[2, 3], (image[:, 2, 3] * 255).round().numpy().astype(np.uint8))


@pytest.mark.parametrize("channels", [3, 4])
def test_png_is_lossless(tmp_path: Path, channels: int) -> None:
    pixels = noise(7, 9, channels)
    write_png(tmp_path / "a.png", pixels)
    assert np.array_equal(read_image(tmp_path / "a.png"), pixels)


def test_straight_alpha_over_the_background_is_the_image() -> None:
    rng = torch.Generator().manual_seed(0)
    foreground = torch.rand(1, 6, 6, generator=rng)
    head, background = torch.rand(3, 6, 6, generator=rng), torch.rand(3, 6, 6, generator=rng)
    premultiplied = foreground * head
    rgba = straight_alpha(premultiplied, foreground)
    blended = rgba[3:] * rgba[:3] + (1 - rgba[3:]) * background
    assert torch.allclose(blended, premultiplied + (1 - foreground) * background, atol=1e-6)
    assert torch.allclose(rgba[:3], head, atol=1e-5)  # not darkened by its opacity


def test_zero_opacity_gives_transparent_black() -> None:
    assert straight_alpha(torch.zeros(3, 2, 2), torch.zeros(1, 2, 2)).count_nonzero() == 0


def test_over_white_mixes_by_opacity() -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [100, 100, 100, 51]]], np.uint8)
    assert over_white(rgba).tolist() == [[[10, 20, 30], [255, 255, 255], [224, 224, 224]]]


def test_depth_survives_the_file(tmp_path: Path) -> None:
    depth = torch.linspace(0.88, 1.2, 64).reshape(1, 8, 8)
    write_png(tmp_path / "depth.png", depth_levels(depth, 0.88, 1.2))
    with Image.open(tmp_path / "depth.png") as image:
        levels = np.asarray(image).astype(np.float64)
    assert np.abs(0.88 + levels / 65535 * 0.32 - depth[0].numpy()).max() < 5e-6


def test_depth_beyond_the_range_is_clipped() -> None:
    assert depth_levels(torch.tensor([[[0.1, 0.88, 9.0]]]), 0.88, 1.2).tolist() == [[0, 0, 65535]]


@pytest.mark.parametrize(("size", "video_size"), [(32, 32), (25, 26), (8, 8)])
def test_video_is_h264_in_yuv420p_with_every_frame(tmp_path: Path, size: int, video_size: int) -> None:
    greys = [20, 90, 160, 230]
    write_video(tmp_path / "a.mp4", (np.full((size, size, 3), grey, np.uint8) for grey in greys), fps=4)
    about, frames = decoded(tmp_path / "a.mp4")
    assert about["codec"] == "h264" and about["pix_fmt"].startswith("yuv420p")
    assert about["fps"] == 4 and about["size"] == (video_size, video_size)
    assert [round(float(frame.mean())) for frame in frames] == pytest.approx(greys, abs=3)


def test_video_keeps_colours_upright(tmp_path: Path) -> None:
    frame = np.zeros((32, 32, 3), np.uint8)
    frame[:16, :, 0], frame[16:, :16, 1], frame[16:, 16:, 2] = 200, 200, 200
    write_video(tmp_path / "a.mp4", [frame] * 3, fps=25)
    seen = decoded(tmp_path / "a.mp4")[1][-1].astype(int)
    for y, x in ((5, 5), (5, 25), (25, 5), (25, 25)):
        assert np.abs(seen[y, x] - frame[y, x]).max() < 40  # 4:2:0 and BT.601 round, channels do not swap


def test_a_video_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.mp4: the video encoder failed \("):
        write_video(tmp_path / "missing" / "a.mp4", [noise(16, 16, 3)] * 200, fps=25)


def test_an_error_among_the_frames_stops_the_video(tmp_path: Path) -> None:
    def frames():
        yield noise(16, 16, 3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "a.mp4", frames(), fps=25)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"^a\.mp4: the video encoder failed \([^\n]*\)$"):
        write_video(tmp_path / "a.mp4", [noise(64, 64, 3, seed=seed) for seed in range(60)], fps=25)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kept", [0.98, 0.5])
def test_a_video_that_ends_early_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: float
) -> None:
    """The encoder's exit status is unknown, so the file's frames are counted."""
    check = images._check_frame_count

    def check_of_cut(path: Path, count: int) -> None:
        os.truncate(path, int(kept * path.stat().st_size))
        check(path, count)

    monkeypatch.setattr(images, "_check_frame_count", check_of_cut)
    with pytest.raises(OSError, match="video encoder failed"):
        write_video(tmp_path / "a.mp4", [noise(32, 32, 3, seed=seed) for seed in range(60)], fps=25)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.9])
def test_a_broken_image_is_an_error_of_one_line(share: float) -> None:
    content = encoded_image(noise(40, 40, 3))
    with pytest.raises(OSError, match=r"^.+$"):
        read_image(content[: int(share * len(content))])


def test_images_are_converted_but_not_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # Orientation: a quarter turn
    Image.fromarray(noise(8, 16, 3)).save(tmp_path / "a.jpg", exif=exif)
    Image.fromarray(noise(8, 16, 3)).quantize(8).save(tmp_path / "a.png")
    for name in ("a.jpg", "a.png"):
        assert image_size(tmp_path / name) == (16, 8)
        for mode in ("RGB", "L"):
            with Image.open(tmp_path / name) as image:
                assert np.array_equal(read_image(tmp_path / name, mode), np.asarray(image.convert(mode)))


def test_sheet_holds_every_cell_once_in_its_row_and_column() -> None:
    cells = [[noise(20, 20, 3, seed=10 * row + column) for column in range(3)] for row in range(4)]
    rows = [SheetRow(f"person {k // 2}\nyaw", cells[k], starts_group=k % 2 == 0) for k in range(4)]
    sheet = contact_sheet(["neutral", "smile", "blink"], rows)
    places = np.array([[found_at(sheet, cell) for cell in row] for row in cells])  # (row, column, (y, x))
    assert (places[:, :, 0] == places[:, :1, 0]).all()  # one row, one height
    assert (places[:, :, 1] == places[:1, :, 1]).all()
    assert (np.diff(places[0, :, 1]) == 20).all()
    gaps = np.diff(places[:, 0, 0]) - 20
    assert gaps[0] == gaps[2] == 0 and gaps[1] > 0  # people stand apart


def found_at(sheet: np.ndarray, cell: np.ndarray) -> tuple[int, int]:
    windows = np.lib.stride_tricks.sliding_window_view(sheet, cell.shape)[:, :, 0]
    found = np.argwhere((windows == cell).all(axis=(2, 3, 4)))
    assert len(found) == 1
    return tuple(found[0])


def test_labels_are_left_of_and_above_the_cells() -> None:
    blank = np.full((40, 40, 3), 255, np.uint8)
    sheet = contact_sheet(
        ["a very long name of an expression", "smile"], [SheetRow("seed7\nyaw +0.35", [blank] * 2)]
    )
    inked = np.argwhere(sheet.min(axis=2) < 128)
    top, left = sheet.shape[0] - 40 - 8, sheet.shape[1] - 2 * 40 - 8
    above, beside = inked[inked[:, 0] < top], inked[inked[:, 1] < left]
    assert len(above) > 20 and len(beside) > 50
    assert len(above) + len(beside) >= len(inked)  # nothing is drawn over a cell
    assert above[:, 1].min() >= left
    first_label = above[above[:, 1] < left + 40]
    assert first_label[:, 1].max() < left + 39  # shortened to its column
