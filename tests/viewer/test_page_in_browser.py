"""The page in a real browser: it shows frames, obeys sliders, pointer and keys, and comes back when the server does."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anifacegan.rendering.images import to_bytes
from anifacegan.viewer.requests import View
from anifacegan.viewer.saved_files import SavedFiles
from anifacegan.viewer.server import Address, Viewer
from anifacegan.viewer.stage import Stage
from anifacegan.viewer.subjects import AvatarSubject, open_subject
from tests.fixtures.ball_avatars import ball_avatar
from tests.fixtures.browsers import chromium
from tests.fixtures.small_models import write_small_model
from tests.viewer.test_subjects import BAKE

pytestmark = pytest.mark.slow
pytest.importorskip("websockets", reason="pip install websockets")


class Served:
    """A viewer that serves from a thread."""

    def __init__(self, out: Path, port: int = 0, token: str | None = None) -> None:
        stage = Stage(lambda path: open_subject(path, BAKE, "cpu", lambda: None), SavedFiles(out))
        stage.show(AvatarSubject(ball_avatar()))
        stage.newest = View(size=128)
        self.viewer, self._ready = Viewer(stage, "127.0.0.1", port), threading.Event()
        if token is not None:
            object.__setattr__(self.viewer.access, "token", token)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(60)

    def _serve(self) -> None:
        async def run() -> None:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
            await self.viewer.serve(self._note)

        try:
            asyncio.run(run())
        except asyncio.CancelledError:
            pass

    def _note(self, address: Address) -> None:
        self.address = address
        self._ready.set()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(30)
        self.viewer.stage.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    started = Served(tmp_path_factory.mktemp("saved") / "view")
    yield started
    started.stop()


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1100, "height": 800})
    opened.goto(served.address.url)
    wait_until(opened, "viewer.newest !== null")
    yield opened
    opened.close()


def wait_until(page: Any, condition: str, seconds: float = 60) -> None:
    """Wait for a condition in the page. (playwright's own way needs eval, which the page forbids.)"""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not in time: {condition}")


def settle(page: Any) -> None:
    """Wait until no newer frame comes."""
    before = -1
    while before != (now := page.evaluate("viewer.newest ? viewer.newest.id : -1")):
        before = now
        page.wait_for_timeout(600)


def error_to_player(page: Any, strengths: dict[str, float], **view: float) -> float:
    """Mean difference, in levels of 255, between the page's canvas and the avatar's own image."""
    data = page.evaluate("""() => { const c = document.querySelector("canvas");
        return [c.width, ...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]; }""")
    size = data[0]
    shown = np.array(data[1:], np.float64).reshape(size, size, 4)[..., :3]
    z_exp = np.zeros(64, np.float32)
    z_exp[:2] = strengths.get("shift", 0), strengths.get("stretch", 0)
    expected = to_bytes(ball_avatar().render(size=size, expression=z_exp, antialias=False, **view))
    return float(np.abs(shown - expected).mean())


def test_the_page_asks_for_nothing_but_itself_and_its_socket(browser: Any, served: Served) -> None:
    opened = browser.new_page()
    requests: list[str] = []
    errors: list[str] = []
    opened.on("request", lambda request: requests.append(request.url))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(served.address.url)
    wait_until(opened, "viewer.newest !== null")
    opened.close()
    assert [url for url in requests if not url.startswith(("ws:", "blob:"))] == [served.address.url]
    assert errors == []


def test_a_slider_the_pointer_and_keys_change_the_frame(page: Any) -> None:
    assert error_to_player(page, {}) < 4
    page.locator("#named input[name=stretch]").fill("1")
    settle(page)
    assert error_to_player(page, {"stretch": 1.0}) < 4 < error_to_player(page, {})
    page.locator("button[type=reset]").click()
    box = page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    for x in range(110, 200, 10):
        page.mouse.move(box["x"] + x, box["y"] + 100)
    page.mouse.up()
    settle(page)
    yaw = page.evaluate("viewer.view.yaw")
    assert yaw > 0.1 and error_to_player(page, {}, yaw=yaw) < 4
    page.locator("canvas").focus()
    page.keyboard.press("0")
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert page.evaluate("[viewer.view.yaw, viewer.view.pitch]") == [-0.05, 0]
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    assert page.evaluate("viewer.view.yaw") == pytest.approx(-0.6, abs=0.01)  # the widest that was baked


def test_the_panel_offers_what_the_avatar_has(page: Any) -> None:
    def names(of: str) -> list[str]:
        return page.locator(f"{of} input").evaluate_all("all => all.map((one) => one.name)")

    assert names("#named") == ["shift", "stretch"] and names("#units") == ["halfLeft", "halfRight"]
    assert page.locator("#name").text_content() == "a <ball>"
    assert page.locator("#person").is_hidden() and page.locator("#webcam").is_hidden()
    assert page.locator("#shown input").evaluate_all("all => all.map((one) => one.value)") == [
        "colour", "depth", "normals",
    ]  # fmt: skip
    page.locator("#shown label", has_text="Depth").click()
    settle(page)
    pixels = page.evaluate("""Array.from(
        document.querySelector("canvas").getContext("2d").getImageData(64, 64, 1, 1).data)""")
    assert max(pixels[:3]) - min(pixels[:3]) <= 3 and pixels[0] > 30


def test_files_and_errors_are_said_on_the_page(page: Any, served: Served) -> None:
    page.locator("#screenshot").click()
    wait_until(page, "document.getElementById('said').textContent.startsWith('wrote ')")
    assert page.locator("#said").text_content().endswith("view_0001.png")
    page.locator("#path").fill("/nowhere")
    page.locator("#load").click()
    wait_until(page, "document.getElementById('said').className === 'error'")
    said = page.locator("#said").text_content()
    assert "/nowhere: no such file or folder" in said and "Traceback" not in said
    page.locator("#record").click()
    wait_until(page, "document.getElementById('record').textContent === 'Stop'")
    page.locator("#named input[name=shift]").fill("1")
    settle(page)
    page.locator("#record").click()
    wait_until(page, "document.getElementById('said').textContent.endsWith('clip_0001.mp4')")


def running_out(page: Any) -> list[str]:
    """What lies outside of the panel's width, or is wider than its own box."""
    return page.evaluate("""() => {
        for (const box of document.querySelectorAll("details")) box.open = true;
        const panel = document.querySelector("#panel").getBoundingClientRect();
        return [...document.querySelectorAll("#panel *")].filter((part) => {
            const box = part.getBoundingClientRect();
            return box.width && (box.right > panel.right + 1 || box.left < panel.left - 1);
        }).map((part) => part.outerHTML.slice(0, 60));
    }""")


def test_nothing_overlaps_or_runs_out_of_the_page(page: Any) -> None:
    for width, height in ((1100, 800), (420, 800), (1600, 500)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        apart = page.evaluate("""() => {
            const [a, b] = ["#stage", "#panel"].map((name) => document.querySelector(name).getBoundingClientRect());
            return a.right <= b.left || a.bottom <= b.top || b.right <= a.left || b.bottom <= a.top;
        }""")
        assert apart and running_out(page) == [], width


def test_another_model_opens_while_the_page_runs(browser: Any, tmp_path: Path) -> None:
    write_small_model(tmp_path / "model")
    own = Served(tmp_path / "view")
    try:
        page = browser.new_page(viewport={"width": 1100, "height": 800})
        page.goto(own.address.url)
        wait_until(page, "viewer.newest !== null")
        page.locator("#path").fill(str(tmp_path / "model"))
        page.locator("#load").click()
        wait_until(page, "viewer.about.name === 'small'")
        wait_until(page, "viewer.newest !== null && viewer.newest.size === 128")
        assert page.locator("#person").is_visible()
        assert running_out(page) == []
        page.locator("#after").click()
        assert page.evaluate("viewer.view.seed") == 2
        page.locator("#shown label", has_text="Slices").click()
        settle(page)
        assert page.locator("#slice").is_visible()
        page.close()
    finally:
        own.stop()


def test_a_page_comes_back_when_the_server_does(browser: Any, tmp_path: Path) -> None:
    first = Served(tmp_path / "view")
    page = browser.new_page(viewport={"width": 1100, "height": 800})
    page.goto(first.address.url)
    wait_until(page, "viewer.newest !== null")
    page.locator("#named input[name=shift]").fill("0.5")
    settle(page)
    first.stop()
    wait_until(
        page, "document.getElementById('message').textContent.startsWith('The server does not answer')"
    )
    second = Served(tmp_path / "view", first.address.port, first.address.token)
    try:
        wait_until(page, "document.getElementById('message').textContent === ''")
        settle(page)
        assert error_to_player(page, {"shift": 0.5}) < 4
    finally:
        page.close()
        second.stop()


def test_a_page_on_which_nothing_moves_asks_its_browser_for_no_frames(page: Any) -> None:
    settle(page)
    asked = page.evaluate("""async () => {
        const ask = window.requestAnimationFrame;
        window.asked = 0;
        window.requestAnimationFrame = (call) => { asked++; return ask(call); };
        for (let k = 0; k < 5; k++) await new Promise(ask);
        return asked;
    }""")
    assert asked == 0
    before = page.evaluate("viewer.newest.id")
    page.locator("input[name=shift]").fill("0.5")
    wait_until(page, f"viewer.newest.id > {before} && asked > 0")
