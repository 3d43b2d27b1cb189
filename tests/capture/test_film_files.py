"""All frames of a film are read with their own times."""

import re
import socket
import subprocess
from pathlib import Path

import imageio.v3 as imageio
import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from anifacegan.capture import film_ends, film_files, gif_files
from anifacegan.capture.film_files import Film, is_film, open_film
from anifacegan.rendering.video import write_video
from anifacegan.runtime.errors import InputError
from tests.fixtures.one_line import assert_one_line


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames that grow brighter, 48 x 32 pixels."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, (np.full((32, 48, 3), 20 * k, np.uint8) for k in range(10)), fps=25)
    return path


def converted(film: Path, name: str, before: list[str], after: list[str]) -> Path:
    """The film after a pass through ffmpeg with further options."""
    path = film.with_name(name)
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, "-v", "error", "-y", *before, "-i", str(film), *after, str(path)], check=True)
    return path


def test_frames_and_times(film: Path) -> None:
    found = open_film(film)
    np.testing.assert_allclose(found.times, np.arange(10) / 25, atol=1e-4)
    brightness = [float(frame.mean()) for frame in found.frames()]
    assert len(brightness) == 10 and (np.diff(brightness) > 10).all()
    assert found.frames_per_second == pytest.approx(25)


def test_uneven_frame_rates_keep_every_frame_and_its_time(film: Path) -> None:
    uneven = ["-vf", "setpts='if(lt(N,5),N*0.04,0.2+(N-5)*0.1)/TB'", "-fps_mode", "passthrough"]
    found = open_film(converted(film, "uneven.mp4", [], [*uneven, "-enc_time_base", "1:90000"]))
    np.testing.assert_allclose(found.times, [*np.arange(5) * 0.04, *(0.2 + np.arange(5) * 0.1)], atol=1e-3)
    assert sum(1 for _ in found.frames()) == 10


def test_a_turned_film_is_upright(film: Path) -> None:
    turned = converted(film, "turned.mp4", ["-display_rotation", "90"], ["-c", "copy"])
    assert next(iter(open_film(turned).frames())).shape == (48, 32, 3)


SOURCE = ["-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=1"]
"""Words of ffmpeg for a film of 25 frames that change."""


def drawn(path: Path, *words: str) -> Path:
    """A film that ffmpeg draws with further options."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, "-v", "error", "-y", "-nostdin", *words, str(path)], check=True)
    return path


KINDS = [
    ("a.mp4", ["-movflags", "+faststart"]), ("a.mkv", []), ("a.avi", []), ("a.avi", ["-c:v", "mjpeg"]), ("a.webm", []),
    ("a.mpg", []), ("a.gif", []), ("a.mp4", ["-movflags", "frag_keyframe+empty_moov", "-g", "5"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "words"), KINDS)
def test_truncated_and_damaged_films_are_refused(tmp_path: Path, name: str, words: list[str]) -> None:
    path = drawn(tmp_path / name, *SOURCE, *words)
    assert len(list(open_film(path).frames())) == 25
    content = path.read_bytes()
    noise = np.random.default_rng(0).bytes(len(content) // 5)
    start = 2 * len(content) // 5
    for damaged in (
        content[: 3 * len(content) // 5],
        content[:start] + noise + content[start + len(noise) :],
    ):
        path.write_bytes(damaged)
        with pytest.raises(
            InputError, match=rf"{name}: is damaged or incomplete \(ffmpeg: .*expected a film"
        ):
            open_film(path)


BETWEEN = [
    ("a.wmv", [], 3200, r"it announces \d+ bytes and has \d+"),  # the size of ffmpeg's packets
    ("a.avi", [], None, r"it announces \d+ bytes and has \d+"),
    ("a.gif", [], None, "its last byte is not that of a GIF"),
]


@pytest.mark.parametrize(("name", "words", "packet", "reason"), BETWEEN)
def test_films_that_are_cut_between_two_packets_are_refused(
    tmp_path: Path, name: str, words: list[str], packet: int | None, reason: str
) -> None:
    """ffmpeg reads them as shorter films without a word."""
    path = drawn(tmp_path / name, *SOURCE, *words)
    content = path.read_bytes()
    assert film_ends.missing_end(path) is None and len(open_film(path)) == 25
    if packet is not None:
        data = int.from_bytes(content[16:24], "little") + 50  # after the header and that of the data
        borders = list(range(data, len(content), packet))
    else:
        start = b"00dc" if name == "a.avi" else b"\x21\xf9\x04"
        borders = [found.start() for found in re.finditer(re.escape(start), content)]
        borders = borders[: len(borders) // 2] if name == "a.avi" else borders  # the rest is its index
    for border in (borders[len(borders) // 2], borders[-1]):
        path.write_bytes(content[:border])
        with pytest.raises(InputError, match=rf"{name}: is damaged or incomplete \({reason}\), expected a"):
            open_film(path)


def test_films_that_announce_nothing_of_their_end_are_read(tmp_path: Path) -> None:
    """Streams have no size; a size of 0 is none, and more bytes are no fault."""
    streamed = drawn(tmp_path / "a.wmv", *SOURCE)
    content = bytearray(streamed.read_bytes())
    del content[int.from_bytes(content[16:24], "little") + 50 + 3 * 3200 :]  # but for three packets
    content[content.index(film_ends.ASF_PROPERTIES) + film_ends.ASF_FLAGS.start] |= 1
    streamed.write_bytes(content)
    assert 0 < len(open_film(streamed)) < 25
    avi = drawn(tmp_path / "a.avi", *SOURCE)
    content = avi.read_bytes()
    for changed in (content[:4] + bytes(4) + content[8:], content + bytes(100)):
        avi.write_bytes(changed)
        assert len(open_film(avi)) == 25
    gif = drawn(tmp_path / "a.gif", *SOURCE)
    gif.write_bytes(gif.read_bytes() + bytes(3))
    assert len(open_film(gif)) == 25


GIF_TIME = re.compile(rb"\x21\xf9\x04.{4}\0", re.DOTALL)
"""The block of a GIF that says how long the next picture is shown."""
GIF_LOOP = re.compile(rb"\x21\xff\x0bNETSCAPE2.0\x03.{3}\0", re.DOTALL)
"""The block of a GIF that says how often it is shown; ffmpeg finds all pictures of a file with it."""


def opaque_gif(path: Path) -> bytes:
    """A GIF of 25 pictures, each for 0.04 s, of which none has transparent pixels."""
    return drawn(path, *SOURCE, "-gifflags", "-offsetting-transdiff").read_bytes()


def without_blocks(content: bytes) -> bytes:
    """A GIF of the first version, which has pictures only."""
    return GIF_LOOP.sub(b"", GIF_TIME.sub(b"", content.replace(b"GIF89a", b"GIF87a")))


def test_every_picture_of_a_gif_without_times_is_read(tmp_path: Path) -> None:
    """Browsers show ten pictures a second."""
    path = tmp_path / "a.gif"
    content, expected = opaque_gif(path), list(open_film(path).frames())
    assert len(GIF_TIME.findall(content)) == len(expected) == 25
    path.write_bytes(without_blocks(content))
    found = open_film(path)
    np.testing.assert_allclose(found.times, np.arange(25) / 10, atol=1e-6)
    np.testing.assert_array_equal(list(found.frames()), expected)


def test_a_gif_as_pillow_and_imageio_write_it_without_a_time(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(256, size=(6, 96, 64, 3)).astype(np.uint8)
    first, *others = map(Image.fromarray, pictures)
    first.save(tmp_path / "pillow.gif", save_all=True, append_images=others)
    imageio.imwrite(tmp_path / "imageio.gif", pictures)
    for name in ("pillow.gif", "imageio.gif"):
        np.testing.assert_allclose(open_film(tmp_path / name).times, np.arange(6) / 10, atol=1e-6)


def test_times_of_a_gif_are_kept_beside_pictures_without_any(tmp_path: Path) -> None:
    """A comment may stand between a time and its picture; the third picture has no time."""
    path = tmp_path / "a.gif"
    content, expected = opaque_gif(path), list(open_film(path).frames())
    times = list(GIF_TIME.finditer(content))
    comment = b"\x21\xfe\x03abc\0"
    path.write_bytes(
        content[: times[1].end()]
        + comment
        + content[times[1].end() : times[2].start()]
        + content[times[2].end() :]
    )
    found = open_film(path)
    np.testing.assert_allclose(found.times[:5], [0, 0.04, 0.08, 0.18, 0.22], atol=1e-6)
    np.testing.assert_array_equal(list(found.frames()), expected)


def test_a_gif_of_which_ffmpeg_reads_fewer_pictures_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(without_blocks(opaque_gif(path)))
    monkeypatch.setattr(gif_files, "TIME_UNKNOWN", b"")
    with pytest.raises(InputError, match=r"a\.gif: is damaged or incomplete \(1 of its 25 pictures can be"):
        open_film(path)


def test_a_film_whose_index_is_cut_off_is_refused(film: Path) -> None:
    path = film.with_name("cut.mp4")
    whole = converted(film, "index_at_its_end.mp4", [], ["-c", "copy"]).read_bytes()
    path.write_bytes(whole[: whole.index(b"moov") - 4])
    with pytest.raises(InputError, match=r"cut\.mp4: no frames \(.*moov.*\), expected a film"):
        open_film(path)


WHOLE = [
    ("deep.mkv", [*SOURCE, "-pix_fmt", "yuv420p10le"], 25),
    ("one.mp4", [*SOURCE, "-frames:v", "1"], 1),
    (
        "odd.mkv",
        ["-f", "lavfi", "-i", "testsrc2=size=97x65:rate=1000:duration=0.1", "-pix_fmt", "yuv444p"],
        100,
    ),
    ("sound.mov", [*SOURCE, "-f", "lavfi", "-i", "sine=duration=2"], 25),
    ("late.mp4", ["-f", "lavfi", "-i", "sine=duration=2", "-itsoffset", "1", *SOURCE], 25),
]


@pytest.mark.parametrize(("name", "words", "frames"), WHOLE)
def test_whole_films_of_other_kinds_are_read(
    tmp_path: Path, name: str, words: list[str], frames: int
) -> None:
    found = open_film(drawn(tmp_path / name, *words))
    assert len(found) == sum(1 for _ in found.frames()) == frames


def test_a_film_that_was_cut_without_encoding_is_read(tmp_path: Path) -> None:
    """It begins amid a group of pictures of which ffmpeg shows what can be shown."""
    whole = drawn(tmp_path / "whole.mpg", *SOURCE, "-c:v", "libx264", "-g", "5", "-f", "mpegts")
    (tmp_path / "cut.mpg").write_bytes(whole.read_bytes()[188 * 40 :])
    assert 0 < len(open_film(tmp_path / "cut.mpg")) < 25


def test_a_film_that_has_become_shorter_is_refused(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(film.read_bytes())
    found = open_film(path)
    converted(film, "short.mp4", [], ["-frames:v", "4"]).rename(path)
    with pytest.raises(InputError, match=r"film\.mp4: cannot be read to its end"):
        list(found.frames())


def test_a_film_that_was_removed_after_it_was_opened_is_refused(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(film.read_bytes())
    found = open_film(path)
    path.unlink()
    with pytest.raises(InputError, match=r"film\.mp4: cannot be read \(No such file.*expected a film"):
        next(found.frames())


@pytest.mark.parametrize(
    ("aspect", "shape"), [("16:15", (64, 102, 3)), ("4:5", (80, 96, 3)), ("0:1", (64, 96, 3))]
)
def test_pixels_become_square(tmp_path: Path, aspect: str, shape: tuple[int, ...]) -> None:
    filters = ["-vf", f"setsar={aspect.replace(':', '/')}", "-frames:v", "2"]
    for name in ("a.mp4", "a.avi", "a.mkv"):
        frames = list(open_film(drawn(tmp_path / name, *SOURCE, *filters)).frames())
        assert [frame.shape for frame in frames] == [shape] * 2
    turned = converted(tmp_path / "a.mp4", "b.mp4", ["-display_rotation", "90"], ["-c", "copy"])
    assert next(open_film(turned).frames()).shape == (shape[1], shape[0], 3)


def test_square_pixels_stay_as_they_are(film: Path) -> None:
    reader = imageio_ffmpeg.read_frames(str(film))
    next(reader)
    for frame, plain in zip(open_film(film).frames(), reader, strict=True):
        assert frame.tobytes() == plain


def test_frames_of_too_many_pixels_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drawn(tmp_path / "a.mkv", *SOURCE, "-vf", "setsar=2/1")
    monkeypatch.setattr(film_files, "MOST_PIXELS", 2 * 96 * 64)
    assert len(open_film(path)) == 25
    monkeypatch.setattr(film_files, "MOST_PIXELS", 2 * 96 * 64 - 1)
    message = r"a\.mkv: cannot be read \(its header announces more than 12287 pixels\), expected a film"
    with pytest.raises(InputError, match=message):
        open_film(path)


def test_a_film_of_sound_only_is_refused(tmp_path: Path) -> None:
    sound = drawn(tmp_path / "a.mp4", "-f", "lavfi", "-i", "sine=duration=1")
    cover = drawn(tmp_path / "cover.png", *SOURCE, "-frames:v", "1")
    words = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v:0", "attached_pic"]
    with_cover = drawn(tmp_path / "b.mp4", "-i", str(sound), "-i", str(cover), *words)
    for path in (sound, with_cover):
        with pytest.raises(InputError, match=rf"{path.name}: has sound only, expected a film"):
            open_film(path)


def test_at_a_constant_rate_every_frame_is_seen_at_its_time() -> None:
    even = Film(Path("a.mp4"), np.arange(9) / 29.97 + np.array([0, 0.004, 0] * 3))
    rate, seen = even.at_constant_rate()
    assert rate == pytest.approx(29.97, rel=0.01) and seen.tolist() == list(range(9))
    uneven = Film(Path("b.mp4"), np.array([0, 0.04, 0.08, 0.12, 0.2, 0.3, 0.4, 1.0]))
    rate, seen = uneven.at_constant_rate()
    assert rate == 25 and len(seen) == 26
    for frame, time in enumerate(uneven.times):
        assert abs(seen.tolist().index(frame) / rate - time) <= 0.03
    slow = Film(Path("c.mp4"), np.array([0.0, 30.0]))
    rate, seen = slow.at_constant_rate()
    assert rate == 1 and seen.tolist() == [0] * 30 + [1]
    assert Film(Path("d.mp4"), np.zeros(1)).at_constant_rate()[1].tolist() == [0]


def test_a_picture_that_begins_after_its_sound(tmp_path: Path) -> None:
    sound = ["-f", "lavfi", "-i", "sine=duration=2"]
    for name in ("a.mp4", "a.mkv"):
        late = drawn(tmp_path / name, *sound, "-itsoffset", "1", *SOURCE, "-map", "0:a", "-map", "1:v")
        assert open_film(late).start_s == pytest.approx(1.0, abs=0.03)
    assert open_film(drawn(tmp_path / "b.mp4", *SOURCE)).start_s == 0


def test_milliseconds_rise_strictly() -> None:
    film = Film(Path("fast.mp4"), np.array([0.0, 0.0002, 0.0004, 0.01]))
    assert film.milliseconds.tolist() == [0, 1, 2, 10]


def test_a_film_may_be_named_by_a_text(film: Path) -> None:
    assert len(open_film(str(film))) == 10
    with pytest.raises(InputError, match="an empty text is no path"):
        open_film("")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(
        InputError, match=r"text\.mp4: is a text, perhaps a playlist, expected a film"
    ) as caught:
        open_film(tmp_path / "text.mp4")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        open_film(tmp_path / "nothing.mp4")
    assert is_film(Path("A.MOV")) and not is_film(Path("a.png"))


def test_a_name_that_looks_like_an_address_or_an_option_is_a_file(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("http:film.mp4", "-i.mp4"):
        Path(name).write_bytes(film.read_bytes())
        assert len(list(open_film(Path(name)).frames())) == 10


def test_a_playlist_in_place_of_a_film_fetches_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n"
        (tmp_path / "a.mp4").write_text(playlist)
        with pytest.raises(InputError, match="is a text"):
            open_film(tmp_path / "a.mp4")
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_film_with_endless_breaks_is_not_shown_at_a_constant_rate() -> None:
    """Three frames of 40 ms and one after 30 years are a file of some kilobytes, and 25 billion frames at 25 a
    second."""
    broken = Film(Path("broken.mp4"), np.array([0.0, 0.04, 0.08, 1e9]))
    assert_one_line(
        lambda: broken.at_constant_rate(), "broken.mp4", "4 frames last 1000000000 s", "at most 100000"
    )
    steps = np.tile([0.08, 0.02, 0.02], 50_000)  # of a film of an hour and more, as phones make it
    assert Film(Path("hours.mp4"), np.cumsum(steps) - steps[0]).at_constant_rate()[0] == 50
