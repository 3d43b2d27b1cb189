"""Videos: codec, size, frames and colours, and failed writes."""

import os
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from anifacegan.rendering import video
from anifacegan.rendering.video import write_video
from anifacegan.runtime.errors import InputError


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def decoded(path: Path) -> tuple[dict, list[np.ndarray]]:
    """The video's stream description and its frames, as a player decodes them."""
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    width, height = about["size"]
    return about, [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]


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
        assert np.abs(seen[y, x] - frame[y, x]).max() < 40  # 4:2:0 rounds, channels do not swap


@pytest.mark.parametrize("size", [64, 1024])
def test_a_video_of_any_height_says_what_its_colours_mean(tmp_path: Path, size: int) -> None:
    """Players took untagged ones for BT.601 below 720 rows, and for BT.709 above."""
    frame = np.zeros((size, size, 3), np.uint8) + np.array([200, 120, 90], np.uint8)
    write_video(tmp_path / "a.mp4", [frame] * 3, fps=25)
    words = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(tmp_path / "a.mp4")]
    about = subprocess.run(
        words, capture_output=True, text=True, check=False
    ).stderr  # no output is asked for
    assert "yuv420p(tv, bt709, progressive)" in about
    seen = decoded(tmp_path / "a.mp4")[1][-1]
    assert np.abs(seen.astype(int) - frame).max() <= 3  # 8 bits of YUV


def test_a_video_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.mp4: the video encoder failed \("):
        write_video(tmp_path / "missing" / "a.mp4", [noise(16, 16, 3)] * 200, fps=25)


def test_an_ffmpeg_that_is_not_there_names_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/nonexistent")
    with pytest.raises(InputError, match="^IMAGEIO_FFMPEG_EXE is '/nonexistent', where no program is"):
        write_video(tmp_path / "a.mp4", [noise(16, 16, 3)], fps=25)
    assert not list(tmp_path.iterdir())


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


def test_a_program_that_is_no_encoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
    with pytest.raises(OSError, match=r"encoder failed \(.*\), which is IMAGEIO_FFMPEG_EXE='/bin/false'$"):
        write_video(tmp_path / "a.mp4", [noise(64, 64, 3, seed=seed) for seed in range(60)], fps=25)


@pytest.mark.parametrize("share", [0.98, 0.5])
def test_a_video_that_ends_early_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """The file's frames are counted."""
    check = video._check_frame_count

    def check_of_cut(path: Path, count: int) -> None:
        os.truncate(path, int(share * path.stat().st_size))
        check(path, count)

    monkeypatch.setattr(video, "_check_frame_count", check_of_cut)
    with pytest.raises(OSError, match="video encoder failed"):
        write_video(tmp_path / "a.mp4", [noise(32, 32, 3, seed=seed) for seed in range(60)], fps=25)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def film_with_sound(tmp_path: Path) -> Path:
    """A second of silence and a second of a tone."""
    path = tmp_path / "12:30.mp4"
    tone = "aevalsrc='if(gt(t,1),sin(2000*t),0)':duration=2"
    words = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=32x32:rate=10:duration=2",
        "-f",
        "lavfi",
        "-i",
        tone,
        f"file:{path}",
    ]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *words], check=True)
    return path


def loud(path: Path) -> np.ndarray:
    """Whether the sound is loud in each tenth of a second."""
    words = [
        "-i",
        f"file:{path}",
        "-map",
        "0:a:0",
        "-af",
        "aresample=8000:first_pts=0",
        "-ac",
        "1",
        "-f",
        "s16le",
        "-",
    ]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *words]
    samples = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, np.int16)
    return np.abs(samples[: len(samples) // 800 * 800].reshape(-1, 800).astype(float)).mean(axis=1) > 1000


@pytest.mark.parametrize(("start", "silent"), [(0.0, 10), (0.6, 4)])
def test_sound_is_taken_from_a_time_on_whatever_its_files_name(
    film_with_sound: Path, monkeypatch: pytest.MonkeyPatch, start: float, silent: int
) -> None:
    monkeypatch.chdir(film_with_sound.parent)
    out = Path("1:2.mp4")
    write_video(out, [noise(16, 16, 3)] * 14, 10, sound=Path(film_with_sound.name), sound_start_s=start)
    found = loud(out)
    assert abs(int(found.argmax()) - silent) <= 1 and found[silent + 2 : silent + 9].all()
