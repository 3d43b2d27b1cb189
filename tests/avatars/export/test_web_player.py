"""The page in a real browser: it draws what the avatar draws, and obeys sliders, keys, calls and a lost card."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anifacegan.avatars.export.config import WebConfig
from anifacegan.avatars.export.web_page import Sequence, web_page
from anifacegan.rendering.frame import decibels
from tests.fixtures.ball_avatars import ball_avatar, shuffled
from tests.fixtures.browsers import chromium
from tests.fixtures.firefox import firefox

SIZE = 128
EXPRESSION = "expected {name: strength} or 64 coefficients"
SIDE, SWITCH, FPS = (
    "expected a whole number from 2 to 8192",
    "expected true or false",
    "expected a number from 0.01 to 1000",
)
STRENGTH, NUMBER = "expected a finite number up to 1000", "expected a finite number"
VIEW, FRAMES = "expected an object with yaw, pitch, zoom", "expected an array of one expression or more"
KNOWN = "known are shift, stretch, both, halfLeft, halfRight, other"
REFUSED = {
    "setExpression({constructor: 1})": f"unknown expression constructor; {KNOWN}",
    "setExpression({smirk: 1})": f"unknown expression smirk; {KNOWN}",
    "setExpression()": f"expression is undefined, {EXPRESSION}",
    "setExpression(null)": f"expression is null, {EXPRESSION}",
    "setExpression(5)": f"expression is 5, {EXPRESSION}",
    "setExpression('')": f'expression is "", {EXPRESSION}',
    "setExpression(new Map([['shift', 1]]))": f"expression is [object Map], {EXPRESSION}",
    "setExpression(new Set())": f"expression is [object Set], {EXPRESSION}",
    "setExpression(Object.create({shift: 1}))": f"expression is [object Object], {EXPRESSION}",
    "setExpression([1, 2])": f"expression is an array of length 2, {EXPRESSION}",
    "setExpression(new DataView(new ArrayBuffer(64)))": f"expression is [object DataView], {EXPRESSION}",
    "setExpression(Array(64).fill('1'))": f'expression[0] is "1", {NUMBER} up to 1000000',
    "setExpression(new Float64Array(64).fill(1e300))": f"expression[0] is 1e+300, {NUMBER} up to 1000000",
    "setExpression({shift: NaN})": f"shift is NaN, {STRENGTH}",
    "setExpression({shift: true})": f"shift is true, {STRENGTH}",
    "setExpression({shift: '0.5'})": f'shift is "0.5", {STRENGTH}',
    "setExpression({shift: 1e308})": f"shift is 1e+308, {STRENGTH}",
    "setView()": f"view is undefined, {VIEW}",
    "setView(5)": f"view is 5, {VIEW}",
    "setView([])": f"view is an array of length 0, {VIEW}",
    "setView({roll: 1})": "setView was given roll, expected only yaw, pitch, zoom",
    "setView({toString: 5})": "setView was given toString, expected only yaw, pitch, zoom",
    "setView({yaw: undefined})": f"yaw is undefined, {NUMBER}",
    "setView({yaw: '1'})": f'yaw is "1", {NUMBER}',
    "setView({zoom: Infinity})": f"zoom is Infinity, {NUMBER}",
    "setIdle('false')": f'idle is "false", {SWITCH}',
    "setIdle()": f"idle is undefined, {SWITCH}",
    "play()": f"frames is undefined, {FRAMES}",
    "play([])": f"frames is an array of length 0, {FRAMES}",
    "play('abc')": f'frames is "abc", {FRAMES}',
    "play([{}, 5])": f"frames[1] is 5, {EXPRESSION}",
    "play(Array(2))": f"frames[0] is undefined, {EXPRESSION}",
    "play([{}, {}], {fps: 1e308, loop: true})": f"fps is 1e+308, {FPS}",
    "play([{}, {}], {fps: Infinity})": f"fps is Infinity, {FPS}",
    "play([{}, {}], {fps: 0})": f"fps is 0, {FPS}",
    "play([{}, {}], {fps: '30'})": f'fps is "30", {FPS}',
    "play([{}, {}], {loop: 'no'})": f'loop is "no", {SWITCH}',
    "play([{}, {}], {speed: 2})": "play was given speed, expected only fps, loop",
    "play([{}, {}], 30)": "what play was given is 30, expected an object with fps, loop",
    "image({size: 8193})": f"size is 8193, {SIDE}",
    "image({size: 0})": f"size is 0, {SIDE}",
    "image({size: NaN})": f"size is NaN, {SIDE}",
    "image({size: -5})": f"size is -5, {SIDE}",
    "image({size: 64.5})": f"size is 64.5, {SIDE}",
    "image({size: '64'})": f'size is "64", {SIDE}',
    "image({antialias: 'no'})": f'antialias is "no", {SWITCH}',
    "image({width: 64})": "image was given width, expected only size, antialias",
    "image(64)": "what image was given is 64, expected an object with size, antialias",
    "image(null)": "what image was given is null, expected an object with size, antialias",
    "bench({frames: 0})": "frames is 0, expected a whole number from 1 to 1000",
    "bench({size: 5})": "bench was given size, expected only frames",
}
"""Calls that are refused, and what the refusal says. The card of the tests draws 8192 pixels a side."""
pytestmark = pytest.mark.slow  # WebGL by software


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "ball.html"
    rows = np.zeros((4, 64), np.float32)
    rows[:, 0] = (0, 1, 1, 0.25)
    path.write_text(web_page(ball_avatar(), WebConfig(), Sequence(rows, 60.0)))
    return path.as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 700, "height": 300})
    opened.goto(f"{address}?idle=0&quality=1")
    opened.evaluate("avatar.ready")
    yield opened
    opened.close()


def wait_until(page: Any, condition: str) -> None:
    """Wait for a condition in the page. (playwright's own way needs eval, which the page forbids.)"""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"not in a minute: {condition}")


def pixels(page: Any, antialias: bool = False) -> np.ndarray:
    found = page.evaluate(
        f"Array.from(avatar.image({{size: {SIZE}, antialias: {str(antialias).lower()}}}).data)"
    )
    return np.array(found, np.float64).reshape(SIZE, SIZE, 4)


def refused(page: Any, call: str) -> str | None:
    """The error of a call, thrown or at once of its promise; None where there is none."""
    return page.evaluate(
        f"(async () => {{ try {{ await Promise.race([avatar.{call}, new Promise((done) => setTimeout(done))]); "
        "return null; } catch (error) { return String(error); } })()"
    )


def refusals(page: Any) -> list[str | None]:
    return [refused(page, call) for call in REFUSED]


def psnr_to_player(image: np.ndarray, z_exp: np.ndarray, **view: object) -> float:
    expected = ball_avatar().render(expression=z_exp, size=SIZE, **view).numpy().transpose(1, 2, 0)
    return decibels(float(((image[..., :3] / 255 - expected) ** 2).mean()))


def test_firefox_draws_what_the_avatar_draws(address: str, tmp_path: Path) -> None:
    with firefox(tmp_path) as opened:
        opened.goto(f"{address}?idle=0&quality=1")
        assert opened.evaluate("avatar.ready")["milliseconds"]["all"] > 0
        for shift in (0.0, 0.6):
            opened.evaluate(
                "(shift) => { avatar.setView({yaw: 0.2, pitch: 0.1}); avatar.setExpression({shift}); }", shift
            )
            image, z_exp = pixels(opened), np.zeros(64, np.float32)
            z_exp[0] = shift
            assert psnr_to_player(image, z_exp, yaw=0.2, pitch=0.1, antialias=False) > 37  # as in Chromium
        assert psnr_to_player(image, 0 * z_exp, yaw=0.2, pitch=0.1, antialias=False) < 30
        assert refusals(opened) == [f"RangeError: {line}" for line in REFUSED.values()]
        np.testing.assert_array_equal(pixels(opened), image)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(
    ("yaw", "pitch", "strengths"),
    [
        (0.0, 0.0, {}),
        (0.4, 0.1, {"shift": 1.0}),
        (-0.3, -0.2, {"stretch": 1.0}),
        (0.2, 0.0, {"shift": 0.6, "stretch": 0.3}),
        (-0.55, 0.0, {"shift": -0.4}),
        (0.0, 0.3, {"both": 0.25}),
    ],
)
def test_the_page_draws_what_the_avatar_draws(
    page: Any, yaw: float, pitch: float, strengths: dict[str, float], antialias: bool
) -> None:
    page.evaluate("([view, names]) => { avatar.setView(view); avatar.setExpression(names); }",
                  [{"yaw": yaw, "pitch": pitch}, strengths])  # fmt: skip
    z_exp = np.zeros(64, np.float32)
    z_exp[:2] = [strengths.get(name, 0) + strengths.get("both", 0) for name in ("shift", "stretch")]
    view = {"yaw": yaw, "pitch": pitch, "antialias": antialias}
    image = pixels(page, antialias)
    assert (image[..., 3] == 255).all()
    assert (
        psnr_to_player(image, z_exp, **view) > 37
    )  # its edges and AVIF; a person's PSNR is measured by a script
    if strengths:
        assert psnr_to_player(image, 0 * z_exp, yaw=0.0, pitch=0.0) < 30


def test_a_mesh_without_rows_is_drawn_as_well(browser: Any, tmp_path: Path) -> None:
    """As those of avatars of photographs are."""
    baked = ball_avatar(own_corners=False)
    avatar = dataclasses.replace(baked, layered_mesh=shuffled(baked.layered_mesh))
    (tmp_path / "page.html").write_text(web_page(avatar, WebConfig()))
    opened = browser.new_page(viewport={"width": 700, "height": 300})
    opened.goto(f"{(tmp_path / 'page.html').as_uri()}?idle=0&quality=1")
    opened.evaluate("avatar.ready")
    opened.evaluate("() => { avatar.setView({yaw: 0.3, pitch: 0.1}); avatar.setExpression({stretch: 0.8}); }")
    z_exp = np.zeros(64, np.float32)
    z_exp[1] = 0.8
    view = {"yaw": 0.3, "pitch": 0.1, "size": SIZE, "antialias": False}
    expected = avatar.render(expression=z_exp, **view).numpy().transpose(1, 2, 0)
    assert decibels(float(((pixels(opened)[..., :3] / 255 - expected) ** 2).mean())) > 37
    opened.close()


def test_the_first_frame_waits_for_no_expression(browser: Any, address: str) -> None:
    """Two expressions with two in-between shapes are unpacked and copied to the graphics card after it, which then
    has not compiled the program that moves vertices.
    """
    opened = browser.new_page(viewport={"width": 700, "height": 300})
    opened.add_init_script(
        "window.copied = window.linked = 0;"
        "const { bufferData, linkProgram } = WebGL2RenderingContext.prototype;"
        "WebGL2RenderingContext.prototype.bufferData = function (...given) {"
        "  copied += given[1] instanceof Int16Array; return bufferData.apply(this, given); };"
        "WebGL2RenderingContext.prototype.linkProgram = function (program) {"
        "  linked++; return linkProgram.call(this, program); };"
        "document.addEventListener('DOMContentLoaded',"
        "  () => avatar.ready.then(() => { window.atFirst = [copied, linked]; }));"
    )
    opened.goto(f"{address}?idle=0&quality=1")
    wait_until(opened, "copied === 4")
    assert opened.evaluate("atFirst") == [0, 3]
    opened.evaluate("avatar.setExpression({shift: 0.5})")
    wait_until(opened, "linked === 4")
    opened.close()


def test_layers_without_triangles_take_no_picture(browser: Any, tmp_path: Path) -> None:
    """Such a layer, here the outermost, is neither stored nor copied, and the others keep their own pictures."""
    whole = ball_avatar(own_corners=False)
    mesh = whole.layered_mesh
    outermost = mesh.layer_starts[1]
    starts = (mesh.layer_starts - outermost).clip(min=0)
    thinned = dataclasses.replace(mesh, triangles=mesh.triangles[outermost:], layer_starts=starts)
    avatar = dataclasses.replace(whole, layered_mesh=thinned)
    (tmp_path / "page.html").write_text(web_page(avatar, WebConfig()))
    opened = browser.new_page(viewport={"width": 700, "height": 300})
    opened.goto(f"{(tmp_path / 'page.html').as_uri()}?idle=0&quality=1")
    opened.evaluate("avatar.ready")
    expected = avatar.render(size=SIZE, antialias=False).numpy().transpose(1, 2, 0)
    assert decibels(float(((pixels(opened)[..., :3] / 255 - expected) ** 2).mean())) > 37
    opened.close()


def test_the_canvas_follows_its_place_on_the_page(page: Any) -> None:
    """The first frame is smaller than the place may be; the next one, and one after a change, are not."""
    page.set_viewport_size({"width": 900, "height": 500})
    wait_until(page, "document.querySelector('canvas').width === 500")
    page.set_viewport_size({"width": 900, "height": 320})
    wait_until(page, "document.querySelector('canvas').width === 320")


def test_nothing_is_requested_but_the_page(browser: Any, address: str) -> None:
    opened = browser.new_page()
    requests: list[str] = []
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(address)
    opened.evaluate("avatar.ready")
    opened.close()
    assert requests == [address]


def test_a_slider_moves_the_face(page: Any) -> None:
    before = pixels(page)
    page.locator("input[name=shift]").fill("1")
    assert psnr_to_player(pixels(page), np.eye(1, 64, dtype=np.float32)[0], antialias=False) > 37
    assert np.abs(pixels(page) - before).max() > 50
    page.locator("button[type=reset]").click()
    np.testing.assert_array_equal(pixels(page), before)


def test_units_that_the_avatar_can_make_have_sliders(page: Any) -> None:
    assert page.locator("#units input").evaluate_all("all => all.map((one) => one.name)") == [
        "halfLeft",
        "halfRight",
    ]


def test_keys_wheel_and_pointer_turn_and_zoom_within_the_range(page: Any) -> None:
    page.locator("canvas").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("avatar.view.yaw") == pytest.approx(0.05)
    page.keyboard.press("+")
    assert page.evaluate("avatar.view.zoom") == pytest.approx(1.1)
    page.keyboard.press("0")
    assert page.evaluate("avatar.view") == {"yaw": 0, "pitch": 0, "zoom": 1}
    box = page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.wheel(0, -100)
    wait_until(page, "avatar.view.zoom > 1.05")
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 50)
    page.mouse.up()
    assert page.evaluate("avatar.view.yaw") > 0.05
    view = page.evaluate("avatar.setView({yaw: 3, pitch: -3, zoom: 100})")
    assert np.arccos(np.cos(view["yaw"]) * np.cos(view["pitch"])) <= 0.6 + 1e-9 and view["zoom"] == 4


def test_a_sequence_is_played_to_its_end(page: Any) -> None:
    rows = [[0.0] * 64, [1.0] + [0.0] * 63]
    missed = page.evaluate("(rows) => avatar.play(rows, {fps: 30})", rows)["missed"]
    assert missed == pytest.approx(0, abs=1e-6)
    assert psnr_to_player(pixels(page), np.eye(1, 64, dtype=np.float32)[0], antialias=False) > 37
    assert page.evaluate("avatar.play([{shift: 0}, {other: 1}], {fps: 30})")["missed"] == pytest.approx(1)
    page.locator("#play").click()  # the sequence in the page
    wait_until(page, "document.getElementById('play').textContent === 'Play'")
    quarter = 0.25 * np.eye(1, 64, dtype=np.float32)[0]
    assert psnr_to_player(pixels(page), quarter, antialias=False) > 37


def test_what_cannot_be_made_is_said(page: Any) -> None:
    result = page.evaluate("avatar.setExpression({other: 1, shift: 1})")
    assert result["missed"] == pytest.approx(np.sqrt(0.5)) and result["weights"][0] == pytest.approx(1)
    strong = page.evaluate("avatar.setExpression({shift: 6})")  # faces break beyond 1.5
    assert strong["weights"] == pytest.approx([1.5, 0]) and strong["missed"] == pytest.approx(4.5 / 6)
    assert page.evaluate("avatar.play([{shift: 0}, {shift: 6}], {fps: 1000})") == {"missed": strong["missed"]}


def test_wrong_arguments_are_refused_in_one_line_and_change_nothing(page: Any) -> None:
    page.evaluate("avatar.setView({yaw: 0.2}); avatar.setExpression({shift: 0.5})")
    before = pixels(page)
    assert refusals(page) == [f"RangeError: {line}" for line in REFUSED.values()]
    np.testing.assert_array_equal(pixels(page), before)
    assert page.evaluate("avatar.play([{}], {fps: undefined, loop: undefined})") == {"missed": 0}


def test_an_image_without_room_on_the_card_is_refused_and_leaves_nothing_there(page: Any) -> None:
    page.evaluate("""() => {
        window.kept = 0;
        const kind = WebGL2RenderingContext.prototype;
        for (const [name, step] of [["createFramebuffer", 1], ["deleteFramebuffer", -1],
            ["createRenderbuffer", 1], ["deleteRenderbuffer", -1]]) {
            const before = kind[name];
            kind[name] = function (...given) { kept += step; return before.apply(this, given); };
        }
        window.store = kind.renderbufferStorageMultisample;
    }""")
    pixels(page, antialias=True)
    assert page.evaluate("kept") == 0
    page.evaluate("WebGL2RenderingContext.prototype.renderbufferStorageMultisample = () => {}")
    for antialias in ("true", "false"):
        error = refused(page, f"image({{size: 64, antialias: {antialias}}})")
        assert (
            error
            == "Error: size is 64, which cannot be drawn: the graphics card has no room for 64 x 64 pixels"
        )
    page.evaluate("""() => {
        const kind = WebGL2RenderingContext.prototype;
        kind.renderbufferStorageMultisample = store;
        window.read = kind.readPixels;
        kind.readPixels = function (...given) { given[3] = -1; return read.apply(this, given); };
    }""")
    error = refused(page, "image({size: 64})")
    assert error == "Error: size is 64, which cannot be drawn: the graphics card reports error 1281"
    page.evaluate("() => { WebGL2RenderingContext.prototype.readPixels = read; }")
    assert page.evaluate("kept") == 0
    assert psnr_to_player(pixels(page), np.zeros(64, np.float32), antialias=False) > 37


def test_an_image_is_what_the_screen_shows(page: Any) -> None:
    """While expressions are played, and while the head sways."""
    page.evaluate("() => { avatar.play([{shift: 1}, {shift: 1}], {loop: true}); }")
    assert psnr_to_player(pixels(page), np.eye(1, 64, dtype=np.float32)[0], antialias=False) > 37
    page.evaluate(
        "() => { avatar.setExpression({}); performance.now = () => 850 * Math.PI; avatar.setIdle(true); }"
    )
    view = {"yaw": 0.06, "pitch": 0.025 * float(np.sin(850 * np.pi / 2300 + 1)), "antialias": False}
    assert psnr_to_player(pixels(page), np.zeros(64, np.float32), **view) > 37
    assert psnr_to_player(pixels(page), np.zeros(64, np.float32), antialias=False) < 34


def test_what_calls_return_is_the_callers_own(page: Any) -> None:
    page.evaluate("avatar.setView({yaw: 0.2}); avatar.setExpression({shift: 0.5})")
    before = pixels(page)
    page.evaluate("""async () => {
        avatar.setExpression({shift: 0.5}).weights.fill(0);
        avatar.setView({}).yaw = 0;
        avatar.view.yaw = 0;
        const facts = await avatar.ready;
        facts.expressions.reverse();
        facts.units.reverse();
        avatar.setExpression({shift: 0.5});
    }""")
    np.testing.assert_array_equal(pixels(page), before)


@pytest.mark.parametrize(
    ("address_has", "note"),
    [
        ("idle=false", "the address has idle=false, expected 0, 1"),
        ("controls=false", "the address has controls=false, expected 0, 1"),
        ("quality=abc", "the address has quality=abc, expected 0, 1, 2, 3, 4"),
        ("quality=-1", "the address has quality=-1, expected 0, 1, 2, 3, 4"),
        ("bench=no", "the address has bench=no, expected 0, 1"),
        ("idle=1&controls=1&quality=4&bench=0&of=another", ""),
    ],
)
def test_a_wrong_parameter_of_the_address_is_said(
    browser: Any, address: str, address_has: str, note: str
) -> None:
    opened = browser.new_page(viewport={"width": 300, "height": 200})
    warnings: list[str] = []
    opened.on("console", lambda line: warnings.append(line.text) if line.type == "warning" else None)
    opened.goto(f"{address}?{address_has}")
    opened.evaluate("avatar.ready")
    assert opened.locator("#note").text_content() == note
    assert [line for line in warnings if "the address" in line] == [note][: len(note)]
    opened.close()


def test_a_lost_card_comes_back_with_everything_as_it_was(page: Any) -> None:
    page.evaluate("avatar.setView({yaw: 0.3}); avatar.setExpression({shift: 0.8})")
    before = pixels(page)
    page.evaluate("""() => {
        window.lost = document.querySelector("canvas").getContext("webgl2").getExtension("WEBGL_lose_context");
        lost.loseContext();
    }""")
    wait_until(page, "document.getElementById('message').textContent.startsWith('Waiting')")
    page.evaluate("lost.restoreContext()")
    wait_until(page, "document.getElementById('message').textContent === ''")
    np.testing.assert_array_equal(pixels(page), before)


def test_a_slow_device_steps_down(browser: Any, address: str) -> None:
    opened = browser.new_page(viewport={"width": 900, "height": 800})
    opened.add_init_script("""
        const ask = window.requestAnimationFrame;
        window.requestAnimationFrame = (draw) => setTimeout(() => ask(draw), 60);
    """)
    opened.goto(address)
    opened.evaluate("avatar.ready")
    assert opened.evaluate("avatar.quality") == 0
    wait_until(opened, "avatar.quality >= 1")
    opened.close()


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("HTMLCanvasElement.prototype.getContext = () => null", "needs WebGL2"),
        ("delete window.DecompressionStream", "too old"),
    ],
)
def test_a_browser_that_cannot_show_it_says_so(browser: Any, address: str, script: str, text: str) -> None:
    opened = browser.new_page()
    opened.add_init_script(script)
    opened.goto(address)
    wait_until(opened, "document.getElementById('message').textContent !== 'Loading…'")
    assert text in opened.locator("#message").text_content()
    opened.close()


def test_the_bench_lists_every_quality(browser: Any, address: str) -> None:
    opened = browser.new_page(viewport={"width": 300, "height": 200})
    opened.goto(f"{address}?bench")
    wait_until(opened, "document.getElementById('bench').textContent.includes('without depth pass')")
    lines = opened.locator("#bench").text_content().splitlines()
    assert len(lines) == 4 and all(" ms" in line for line in lines[1:])
    opened.close()


def test_the_page_fits_a_frame_of_another_page(browser: Any, address: str, tmp_path: Path) -> None:
    (tmp_path / "outer.html").write_text(
        f'<iframe src="{address}?controls=0&idle=0" width="300" height="300"></iframe>'
    )
    opened = browser.new_page()
    opened.goto((tmp_path / "outer.html").as_uri())
    frame = opened.wait_for_selector("iframe").content_frame()
    wait_until(frame, "Boolean(window.avatar)")
    frame.evaluate("avatar.ready")
    assert frame.locator("#controls").is_hidden()
    opened.close()
