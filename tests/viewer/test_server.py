"""The server as a page sees it, through a WebSocket in the same process."""

import asyncio
import gc
import socket
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anifacegan.models.latent_files import read_people
from anifacegan.rendering.images import to_bytes
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.image_files import encoded_image, read_image
from anifacegan.runtime.output_folders import own_files
from anifacegan.viewer import recording, saved_files, server
from anifacegan.viewer.requests import View
from anifacegan.viewer.saved_files import SavedFiles
from anifacegan.viewer.server import Address, Viewer, ready_lines
from anifacegan.viewer.stage import Stage
from anifacegan.viewer.subjects import AvatarSubject, Frame, Subject, open_subject
from tests.fixtures.ball_avatars import ball_avatar
from tests.fixtures.small_models import write_small_model
from tests.fixtures.viewer_client import Client, connect, with_server
from tests.viewer.test_subjects import BAKE

pytest.importorskip("websockets", reason="pip install websockets")


class SlowSubject(AvatarSubject):
    """A ball whose frames wait until they may be drawn."""

    def __init__(self) -> None:
        super().__init__(ball_avatar())
        self.may_draw, self.drawn = threading.Event(), []

    def draw(self, view: View, antialias: bool = False) -> Frame:
        self.may_draw.wait(30)
        self.drawn.append(view.yaw)
        return super().draw(view, antialias)


class Smiles:
    """A driver that sees a smile where a picture is bright, and no face where it is black."""

    def strengths(self, picture: np.ndarray) -> dict[str, float] | None:
        return {"halfLeft": round(float(picture.mean()) / 255, 2)} if picture.any() else None

    def close(self) -> None:
        pass


def viewer_of(subject: Subject | None, out: Path, **given: Any) -> Viewer:
    webcam, host = given.pop("webcam", None), given.pop("host", "127.0.0.1")
    stage = Stage(lambda path: open_subject(path, BAKE, "cpu", lambda: None), SavedFiles(out), webcam)
    if subject is not None:
        stage.show(subject)
    return Viewer(stage, host, 0, **given)


@pytest.fixture
def viewer(tmp_path: Path) -> Viewer:
    return viewer_of(AvatarSubject(ball_avatar()), tmp_path / "out")


def test_a_page_is_told_what_is_on_view_and_gets_its_frames(viewer: Viewer) -> None:
    async def test(address: Address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            hello = await page.next("hello")
            assert hello["name"] == "a <ball>" and hello["expressions"] == ["shift", "stretch"]
            frame = await page.frame(7, yaw=0.2, size=64, strengths={"shift": 0.5})
            assert (frame["id"], frame["size"], frame["source"], frame["note"]) == (7, 64, "baked", "")
            z_exp = 0.5 * np.eye(1, 64, dtype=np.float32)[0]
            expected = to_bytes(ball_avatar().render(size=64, yaw=0.2, expression=z_exp, antialias=False))
            error = read_image(frame["jpeg"], "RGB").astype(float) - expected
            assert np.abs(error).mean() < 4  # of JPEG

    with_server(viewer, test)


def test_the_newest_request_wins(tmp_path: Path) -> None:
    subject = SlowSubject()

    async def test(address: Address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            await page.tell("draw", id=0, view={"size": 32})
            await asyncio.sleep(0.2)  # it is being drawn
            for k in range(1, 40):
                await page.tell("draw", id=k, view={"size": 32, "yaw": k / 100})
            await asyncio.sleep(0.2)
            subject.may_draw.set()
            frames = [await page.next("frame"), await page.next("frame")]
            assert [frame["id"] for frame in frames] == [0, 39]
            assert frames[1]["dropped"] == 38 and subject.drawn == [0.0, 0.39]

    with_server(viewer_of(subject, tmp_path / "out"), test)


def test_a_closed_tab_changes_nothing_and_a_new_one_goes_on_where_it_was(tmp_path: Path) -> None:
    subject = SlowSubject()
    viewer = viewer_of(subject, tmp_path / "out")

    async def test(address: Address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            await page.tell("draw", id=1, view={"size": 32, "yaw": 0.25, "strengths": {"shift": 0.5}})
            await asyncio.sleep(0.1)
            socket.transport.abort()  # while a frame is being drawn
        subject.may_draw.set()
        for _ in range(2):
            async with connect(address) as socket:
                page = Client(socket)
                await asyncio.sleep(0.1)
                assert (await page.frame(2, size=32))["type"] == "frame"
        assert len(viewer._pages) <= 1

    with_server(viewer, test)
    assert subject.drawn[0] == 0.25

    async def again(address: Address) -> None:
        async with connect(address) as socket:
            hello = await Client(socket).next("hello")
            assert hello["view"]["yaw"] == 0.4 and hello["view"]["strengths"] == {"stretch": 1.0}

    second = viewer_of(AvatarSubject(ball_avatar()), tmp_path / "out")
    second.stage.draw(View(size=32, yaw=0.4, strengths={"stretch": 1.0}))
    with_server(second, again)


@pytest.mark.parametrize(
    ("message", "part"),
    [
        ("no json", "not a JSON file"),
        ('{"type": "draw", "view": {"yaw": 9}}', "yaw is 9.0, expected"),
        ('{"type": "draw", "view": {"yaw": 0.8}}', "baked for views up to 0.60"),
        ('{"type": "person", "view": {}}', "has no latents"),
        ('{"type": "load", "path": "/nowhere"}', "no such file or folder"),
        ('{"type": "load", "path": "a\\u0000b"}', "null character"),
        ('{"type": "record", "on": false}', "nothing is being recorded"),
        ('{"type": "webcam", "on": true}', "not started with it"),
        (b"\xff\xd8\xff", "expected 'webcam' to be on"),
    ],
)
def test_what_is_wrong_comes_back_as_one_line(viewer: Viewer, message: str | bytes, part: str) -> None:
    async def test(address: Address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            await page.socket.send(message)
            error = await page.next("error")
            assert part in error["line"] and "\n" not in error["line"] and "Traceback" not in error["line"]
            assert (await page.frame(1, size=32))["type"] == "frame"

    with_server(viewer, test)


def test_a_mistake_of_the_program_comes_back_as_one_line(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Frame:
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.delenv("ANIFACEGAN_DEBUG", raising=False)
    monkeypatch.setattr(viewer.stage.subject, "draw", fails)

    async def test(address: Address) -> None:
        async with connect(address) as socket:
            error = await Client(socket).frame(5, size=32)
            assert (error["type"], error["id"]) == ("error", 5)
            assert error["line"] == "unexpected ZeroDivisionError (first line); --debug shows where"

    with_server(viewer, test)


def test_large_messages_end_the_connection_and_nothing_else(viewer: Viewer) -> None:
    from websockets.exceptions import ConnectionClosed

    async def test(address: Address) -> None:
        async with connect(address) as socket:
            await socket.send("x" * (server.MOST_BYTES + 1))
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await asyncio.wait_for(socket.recv(), 10)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
        async with connect(address) as socket:
            assert (await Client(socket).frame(1, size=32))["type"] == "frame"

    with_server(viewer, test)


@pytest.mark.parametrize(
    "changes",
    [
        {"origin": "http://evil.example"},
        {"origin": None},
        {"origin": "http://127.0.0.1:1"},
        {"additional_headers": {"Host": "evil.example"}, "origin": "http://evil.example"},
    ],
)
def test_foreign_pages_are_refused(viewer: Viewer, changes: dict[str, Any]) -> None:
    from websockets.exceptions import InvalidMessage, InvalidStatus

    async def test(address: Address) -> None:
        with pytest.raises((InvalidStatus, InvalidMessage)) as caught:
            await connect(address, **changes)
        if isinstance(caught.value, InvalidStatus):
            assert caught.value.response.status_code == 403

    with_server(viewer, test)


async def asked(address: Address, target: str, method: str = "GET", host: str | None = None) -> str:
    """The answer of the server to one HTTP request, with its headers."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(
        f"{method} {target} HTTP/1.1\r\nHost: {host or f'{address.host}:{address.port}'}\r\n\r\n".encode()
    )
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer.decode()


def test_the_page_is_sent_to_who_knows_its_address(viewer: Viewer) -> None:
    async def test(address: Address) -> None:
        page = await asked(address, f"/?token={address.token}")
        assert page.startswith("HTTP/1.1 200") and page.rstrip().endswith("</html>")
        assert "connect-src 'self'" in page and "frame-ancestors 'none'" in page
        for target in ("/", "/?token=x", "/socket"):
            assert (await asked(address, target)).startswith("HTTP/1.1 403"), target
        assert (await asked(address, f"/?token={address.token}", host="evil.example")).startswith(
            "HTTP/1.1 403"
        )
        assert (await asked(address, f"/etc/passwd?token={address.token}")).startswith("HTTP/1.1 404")

    with_server(viewer, test)


@pytest.mark.parametrize(
    "content", [b"\x16\x03\x01\x02nonsense\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n", b"GET /" + b"x" * 10**5]
)
def test_what_is_no_request_is_dropped_without_a_word(
    viewer: Viewer, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async def test(address: Address) -> None:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(content)
        with suppress(ConnectionError):
            await writer.drain()
            await asyncio.wait_for(reader.read(), 30)
        writer.close()
        async with connect(address) as socket:
            assert (await Client(socket).frame(1, size=32))["type"] == "frame"

    with_server(viewer, test)
    assert capfd.readouterr() == ("", "")


def test_too_many_pages_are_refused(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    from websockets.exceptions import InvalidStatus

    monkeypatch.setattr(server, "MOST_PAGES", 1)

    async def test(address: Address) -> None:
        async with connect(address) as socket:
            await Client(socket).next("hello")
            with pytest.raises(InvalidStatus) as caught:
                await connect(address)
            assert caught.value.response.status_code == 503

    with_server(viewer, test)


def test_images_people_and_films_go_into_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, given = tmp_path / "out", tmp_path / "model"
    write_small_model(given)
    viewer = viewer_of(open_subject(given, BAKE, "cpu", lambda: None), out)
    out.mkdir()
    (out / "view_0001.png").write_bytes(b"somebody's")
    view = {"size": 32, "seed": 5, "source": "networks"}

    async def test(address: Address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            await page.tell("screenshot", view=view)
            assert (await page.next("said"))["line"] == f"wrote {out / 'view_0002.png'}"
            await page.tell("person", view=view)
            assert (await page.next("said"))["line"] == f"wrote {out / 'person_0001.npz'}"
            await page.tell("record", on=True)
            assert (await page.next("recording"))["on"]
            for k in range(3):
                await page.frame(k, **view | {"yaw": 0.1 * k, "size": 32 + 16 * k})
                await asyncio.sleep(0.1)
            await page.tell("record", on=False)
            assert not (await page.next("recording"))["on"]
            assert (await page.next("said"))["line"] == f"wrote {out / 'clip_0001.mp4'}"

    with_server(viewer, test)
    assert own_files(out) == {"view_0002.png", "person_0001.npz", "clip_0001.mp4"}
    assert (out / "view_0001.png").read_bytes() == b"somebody's"
    assert read_image(out / "view_0002.png").shape == (32, 32, 3)
    assert b"Synthetic image" in (out / "view_0002.png").read_bytes()
    z_id, z_noise = read_people(out / "person_0001.npz")
    subject = open_subject(given, BAKE, "cpu", lambda: None)
    for ours, theirs in zip((z_id, z_noise), subject.latents(View(seed=5)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    import imageio.v3 as iio

    film = iio.imread(out / "clip_0001.mp4", plugin="FFMPEG")
    assert film.shape[1:] == (64, 64, 3) and len(film) >= 5


def test_a_long_recording_is_written_by_itself(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(recording, "MOST_S", 0.3)

    async def test(address: Address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            await page.tell("record", on=True)
            await page.frame(1, size=32)
            await asyncio.sleep(0.4)
            await page.frame(2, size=32)
            assert "clip_0001.mp4" in (await page.next("said"))["line"]

    with_server(viewer, test)


@pytest.mark.parametrize("by_itself", [False, True])
def test_frames_are_drawn_while_a_film_is_written(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch, by_itself: bool
) -> None:
    may_write = threading.Event()

    def film(frames: list[bytes], fps: int) -> Path:
        assert may_write.wait(30)
        return Path("film")

    monkeypatch.setattr(viewer.stage.files, "film", film)
    monkeypatch.setattr(recording, "MOST_S", 0.1 if by_itself else 60.0)

    async def test(address: Address) -> None:
        async with connect(address) as one, connect(address) as other:
            page, beside = Client(one), Client(other)
            await page.tell("record", on=True)
            assert (await page.next("recording"))["most_mb"] == recording.MOST_MB
            await page.frame(1, size=32)
            await asyncio.sleep(0.2)
            await page.frame(2, size=32)
            if not by_itself:
                await page.tell("record", on=False)
            assert (await page.next("recording"))["full"] == by_itself
            for client in (page, beside):
                assert (await asyncio.wait_for(client.frame(3, size=32), 20))["type"] == "frame"
            may_write.set()
            assert (await page.next("said"))["line"] == "wrote film"

    with_server(viewer, test)


@pytest.mark.parametrize("stays", [True, False])
def test_of_a_film_that_cannot_be_written_only_its_line_is_said(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stays: bool
) -> None:
    """Also where the page is closed while it waits: asyncio reports nothing that was not looked at."""
    may_write = threading.Event()

    def film(frames: list[bytes], fps: int) -> Path:
        assert may_write.wait(30)
        raise InputError("clip_0001.mp4: cannot be written (No space left on device)")

    monkeypatch.setattr(viewer.stage.files, "film", film)

    async def test(address: Address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            await page.tell("record", on=True)
            await page.frame(1, size=32)
            await page.tell("record", on=False)
            assert (await page.next("recording"))["on"]
            assert not (await page.next("recording"))["on"]
            if stays:
                may_write.set()
                assert "No space left" in (await page.next("error"))["line"]
        while viewer._pages:
            await asyncio.sleep(0.01)
        may_write.set()
        while not stays and not viewer._unheard:
            await asyncio.sleep(0.01)
        gc.collect()

    with_server(viewer, test)
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_a_second_start_of_a_recording_is_refused_and_the_first_goes_on(viewer: Viewer) -> None:
    async def test(address: Address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            await page.tell("record", on=True)
            assert (await page.next("recording"))["on"]
            await page.frame(1, size=32)
            await page.tell("record", on=True)
            assert "a recording is running, expected it to be ended" in (await page.next("error"))["line"]
            await page.tell("record", on=False)  # without another frame
            assert "clip_0001.mp4" in (await page.next("said"))["line"]

    with_server(viewer, test)


@pytest.mark.parametrize("ordered", [False, True])
def test_what_a_closed_page_has_recorded_is_written_and_the_next_page_is_told(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch, ordered: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also where another film has to be written first."""
    may_write, written = threading.Event(), []

    def film(frames: list[bytes], fps: int) -> Path:
        assert may_write.wait(30)
        written.append(set(frames))
        return Path(f"film {len(written)}")

    monkeypatch.setattr(viewer.stage.files, "film", film)

    async def test(address: Address) -> None:
        shown = []
        for stops in (True, ordered):
            async with connect(address) as socket:
                page = Client(socket)
                await page.tell("record", on=True)
                await page.next("recording")
                shown.append({(await page.frame(1, size=32 + 32 * len(shown)))["jpeg"]})
                if stops:
                    await page.tell("record", on=False)
                    await page.next("recording")
        while viewer._pages:
            await asyncio.sleep(0.01)
        may_write.set()
        while len(viewer._unheard) < 2:
            await asyncio.sleep(0.01)
        whose = "" if ordered else ", of a page that was closed while it recorded"
        async with connect(address) as socket:
            assert (await Client(socket).next("said"))["line"] == f"wrote film 1; wrote film 2{whose}"
        assert written == shown

    with_server(viewer, test)
    assert capfd.readouterr().err.startswith("wrote film 1\nwrote film 2")


def test_what_is_recorded_when_the_server_ends_is_written(
    viewer: Viewer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def test(address: Address) -> None:
        pages = [Client(await connect(address)) for _ in range(2)]
        for page in pages:
            await page.tell("record", on=True)
            await page.frame(1, size=32)

    with_server(viewer, test)
    assert own_files(tmp_path / "out") == {"clip_0001.mp4", "clip_0002.mp4"}
    assert capfd.readouterr().err.count("of a page that was closed while it recorded") == 2


def test_a_film_is_decoded_one_frame_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, written = [], []

    def read(content: bytes, mode: str) -> np.ndarray:
        decoded.append(content)
        return read_image(content, mode)

    def write(path: Path, frames: Any, *_: object) -> None:
        for frame in frames:
            written.append((frame.shape, len(decoded)))
        path.write_bytes(b"film")

    monkeypatch.setattr(saved_files, "read_image", read)
    monkeypatch.setattr(saved_files, "write_video", write)
    small, large = (encoded_image(np.full((n, n, 3), 9, np.uint8), ".jpg") for n in (16, 32))
    path = SavedFiles(tmp_path / "out").film([small, small, large, small], 25)
    assert written == [((32, 32, 3), count) for count in (1, 1, 2, 3)] and path.read_bytes() == b"film"


def test_a_film_whose_folder_is_gone_is_kept_for_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_files, "write_video", lambda path, *_: path.write_bytes(b"film"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    files = SavedFiles(tmp_path / "out")
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match=r"out: .*; the film is kept as (.*/clip\.mp4)$") as caught:
        files.film([encoded_image(np.full((16, 16, 3), 9, np.uint8), ".jpg")], 25)
    assert Path(str(caught.value).rsplit(" ", 1)[1]).read_bytes() == b"film"


def test_a_long_path_is_said_in_a_short_line(viewer: Viewer) -> None:
    async def test(address: Address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            await page.tell("load", path="x" * 5000)
            assert len((await page.next("said"))["line"]) == 300

    with_server(viewer, test)


def test_another_model_is_shown_to_every_page(viewer: Viewer, tmp_path: Path) -> None:
    write_small_model(tmp_path / "model")

    async def test(address: Address) -> None:
        async with connect(address) as one, connect(address) as other:
            pages = [Client(one), Client(other)]
            for page in pages:
                assert (await page.next("hello"))["kind"] == "avatar"
            await pages[0].frame(1, size=32, strengths={"shift": 1.0})
            await pages[0].tell("load", path=str(tmp_path / "model"))
            for page in pages:
                hello = await page.next("hello")
                assert (hello["kind"], hello["name"], hello["view"]["strengths"]) == ("model", "small", {})
            assert (await pages[1].frame(2, size=32, source="networks"))["source"] == "networks"

    with_server(viewer, test)


def test_a_watched_subject_is_shown_when_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "WATCH_S", 0.05)
    looks: list[Any] = [InputError("snapshot: damaged"), None, AvatarSubject(ball_avatar())]

    may_look = threading.Event()

    def newer() -> Subject | None:
        may_look.wait(30)
        found = looks.pop(0) if looks else None
        if isinstance(found, Exception):
            raise found
        return found

    viewer = viewer_of(None, tmp_path / "out", watch=newer)
    viewer.stage.waits_for = "Waiting for the first snapshot"

    async def test(address: Address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            assert (await page.next("hello"))["name"] == "Waiting for the first snapshot"
            may_look.set()
            assert (await page.next("error"))["line"] == "snapshot: damaged"
            assert (await page.next("hello"))["kind"] == "avatar"
            assert (await page.frame(1, size=32))["type"] == "frame"

    with_server(viewer, test)


def test_without_a_subject_frames_say_what_is_waited_for(tmp_path: Path) -> None:
    viewer = viewer_of(None, tmp_path / "out")
    viewer.stage.waits_for = "Waiting for the first snapshot"

    async def test(address: Address) -> None:
        async with connect(address) as socket:
            assert (await Client(socket).frame(1))["line"] == "Waiting for the first snapshot"

    with_server(viewer, test)


def test_pages_are_told_when_a_person_is_baked(viewer: Viewer) -> None:
    async def test(address: Address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            await page.next("hello")
            await asyncio.to_thread(viewer.redraw)
            assert await page.next("redraw") == {"type": "redraw"}

    with_server(viewer, test)


def test_a_cameras_pictures_become_strengths(tmp_path: Path) -> None:
    viewer = viewer_of(AvatarSubject(ball_avatar()), tmp_path / "out", webcam=Smiles())
    bright, black = np.full((24, 32, 3), 128, np.uint8), np.zeros((24, 32, 3), np.uint8)

    async def test(address: Address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            assert (await page.next("hello"))["webcam"]
            await page.tell("webcam", on=True)
            for picture, expected in ((bright, {"halfLeft": 0.5}), (black, None)):
                await socket.send(encoded_image(picture, ".jpg"))
                assert (await page.next("strengths"))["strengths"] == expected
            for content, part in (
                (b"nothing", "cannot be read"),
                (encoded_image(np.zeros((8, 2000, 3), np.uint8), ".jpg"), "larger than 640"),
            ):
                await socket.send(content)
                assert part in (await page.next("error"))["line"]

    with_server(viewer, test)


def test_a_taken_port_is_said(viewer: Viewer, tmp_path: Path) -> None:
    other = viewer_of(None, tmp_path / "out")

    async def test(address: Address) -> None:
        other._port = address.port
        with pytest.raises(InputError, match=f"port {address.port} of 127.0.0.1 cannot be opened"):
            await other.serve(lambda _: None)

    with_server(viewer, test)
    other.stage.close()


def test_the_printed_lines_have_the_address_and_the_way_from_elsewhere() -> None:
    lines = ready_lines(Address("127.0.0.1", 8765, "abc"))
    assert "http://127.0.0.1:8765/?token=abc" in lines and "ssh -N -L 8765:127.0.0.1:8765" in lines
    assert "warning: 0.0.0.0 is open to other machines" in ready_lines(Address("0.0.0.0", 8765, "abc"))


def can_bind(host: str) -> bool:
    try:
        with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(
    ("host", "shown", "warns"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.2", "127.0.0.2", False),
        ("127.1", "127.0.0.1", False),
        ("0.0.0.0", "127.0.0.1", True),
        ("::1", "[::1]", False),
        ("::", "[::1]", True),
        ("*", None, True),
        ("", None, True),
        ("localhost", None, False),
    ],
)
def test_the_printed_address_works(host: str, shown: str | None, warns: bool, tmp_path: Path) -> None:
    if host and host in ("127.0.0.2", "::1", "::") and not can_bind(host):
        pytest.skip(f"this machine cannot bind {host}")

    async def test(address: Address) -> None:
        assert shown in (None, address.shown) and address.url.startswith(f"http://{address.shown}:")
        assert ("warning: " in ready_lines(address)) is warns
        page = await asyncio.to_thread(urllib.request.urlopen, address.url, timeout=30)
        assert page.status == 200 and b"<html" in page.read().lower()
        async with connect(address) as opened:
            assert (await Client(opened).next("hello"))["name"] == "a <ball>"

    with_server(viewer_of(AvatarSubject(ball_avatar()), tmp_path / "out", host=host), test)


def test_another_machine_forwards_to_the_bound_address() -> None:
    assert "ssh -N -L [::1]:80:[::1]:80 " in ready_lines(Address("::1", 80, "abc"))
    assert "ssh -N -L 127.0.0.2:80:127.0.0.2:80 " in ready_lines(Address("127.0.0.2", 80, "abc"))


def test_of_several_addresses_the_most_open_one_is_printed() -> None:
    places = [("127.0.0.1", 1), ("192.168.0.7", 2), ("::1", 3)]
    assert server.most_open(places) == ("192.168.0.7", 2) and server.most_open(places[::2]) == (
        "127.0.0.1",
        1,
    )
