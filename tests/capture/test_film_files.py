"""All frames of a film are read with their own times."""

import socket
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from anifacegan.capture.film_files import Film, is_film, open_film
from anifacegan.rendering.video import write_video
from anifacegan.runtime.errors import InputError


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


def test_milliseconds_rise_strictly() -> None:
    film = Film(Path("fast.mp4"), np.array([0.0, 0.0002, 0.0004, 0.01]))
    assert film.milliseconds.tolist() == [0, 1, 2, 10]


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
