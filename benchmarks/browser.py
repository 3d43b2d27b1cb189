"""Time that web pages take in a Chromium without a window: an exported page's first frame, and the viewer's frames.

Processor time is that of all processes of the browser, and of the viewer's server: other programs of the machine
disturb it less than the clock. Pages take turns, and the median counts.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from anifacegan.runtime.errors import ConfigError, InputError, require_at_least
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.markdown import markdown_table
from benchmarks.training_pairs import REPOSITORY

NAMES = ("chromium", "chromium-browser", "google-chrome")
SOFTWARE_WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""Options of a Chromium that draws WebGL on the processor."""
NO_WEBGL = ("--disable-gpu",)
"""Options of a Chromium that puts its pages together without WebGL."""
SETTLE_MS = 1500
"""Time that a browser gets to finish its start before it is measured, milliseconds."""
STILL = "window.requestAnimationFrame = () => 0; window.requestIdleCallback = () => 0;"
"""Script that keeps an exported page from doing anything after its first frame."""
MOVES = """async (shares) => {
  const slider = document.querySelector("#named input[type=range], #units input[type=range]");
  if (!slider) throw new Error("the viewer has no slider of an expression");
  const facts = document.getElementById("facts"), found = [];
  for (const share of shares) {
    const before = viewer.newest.id, begun = performance.now();
    const drawn = new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("no frame came in a minute")), 60_000);
      new MutationObserver((_, observer) => {
        if (!viewer.newest || viewer.newest.id === before) return;
        observer.disconnect();
        clearTimeout(late);
        resolve();
      }).observe(facts, { childList: true });
    });
    slider.value = +slider.min + share * (slider.max - slider.min);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await drawn;
    found.push(performance.now() - begun);
  }
  return found;
}"""
"""Script that moves the viewer's first slider, to each share of its range when the frame before is drawn."""


@contextmanager
def chromium(*options: str) -> Iterator[Any]:
    """Start Chromium without a window, as playwright's browser.

    Raises:
        InputError: playwright or Chromium is missing.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise InputError("playwright is not installed, expected it: pip install playwright") from None
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        raise InputError(
            f"no {' or '.join(NAMES)} is on PATH, expected one (on Debian: apt-get install chromium)"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *options])
        try:
            yield browser
        finally:
            browser.close()


def _evaluated(page: Any, script: str, argument: object, subject: Path) -> Any:
    """Return what a script gives in the page of an avatar.

    Raises:
        InputError: the script fails, because the page shows no avatar.
    """
    from playwright.sync_api import Error

    try:
        return page.evaluate(script, argument)
    except Error as error:
        cause = str(error).splitlines()[0].removeprefix("Page.evaluate: ")
        raise InputError(f"{subject}: {cause}, expected an avatar that its page shows") from error


def processor_seconds(browser: Any) -> dict[str, float]:
    """Return the processor time of a browser's processes until now, seconds, by their kind: "renderer" for its pages,
    "GPU" for WebGL, "browser" for all others."""
    session = browser.new_browser_cdp_session()
    found: dict[str, float] = {"renderer": 0.0, "GPU": 0.0, "browser": 0.0}
    for process in session.send("SystemInfo.getProcessInfo")["processInfo"]:
        kind = process["type"] if process["type"] in found else "browser"
        found[kind] += process_seconds(process["id"])
    session.detach()
    return found


def process_seconds(number: int) -> float:
    """Return the processor time of all threads of another process until now, seconds.

    Raises:
        InputError: this system is not Linux.
    """
    if sys.platform != "linux":
        raise InputError(
            f"the system is {sys.platform}, expected linux: only there is a process's time known"
        )
    return time.clock_gettime(~number << 3 | 2)  # as clock_getcpuclockid of the C library counts clocks


# --------------------------------------------------------------------------------------------------- an exported page
@dataclass(frozen=True)
class PageBenchmark:
    """Measure the processor time from opening exported pages to their first frames, in a Chromium without a window that
    draws WebGL on the processor."""

    pages: tuple[Path, ...]
    """Pages, as 'anifacegan export web' writes them; of several, each is compared with the first."""
    size: int = 400
    """Height and width of the window, pixels."""
    rounds: int = 7
    """Number of times that each page is opened, each time in a new browser."""
    json: Path | None = None
    """JSON file to write all numbers to. null: none."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "size", "rounds")
        for page in self.pages:
            if not page.is_file():
                raise ConfigError("pages", page, "an exported page, which 'anifacegan export web' writes")


@dataclass(frozen=True)
class FirstFrame:
    """Cost of a page's first frame; medians over the rounds."""

    page: str
    cpu_s: float
    """Processor time of all processes of the browser, seconds."""
    parts_s: dict[str, float]
    """The same by the kind of process."""
    clock_ms: float
    """Milliseconds on the clock, as the page itself counts them."""
    ratio: float
    """Processor time, in parts of the first page's in the same round."""


def measure_pages(config: PageBenchmark) -> list[FirstFrame]:
    """Open the pages in turns.

    Raises:
        InputError: playwright or Chromium is missing, or a file shows no avatar.
    """
    opened: list[list[tuple[dict[str, float], float]]] = [[] for _ in config.pages]
    for number in range(config.rounds):
        turns = range(len(config.pages))
        for k in turns if number % 2 == 0 else reversed(turns):
            opened[k].append(_opened(config.pages[k], config.size))
    return [
        _first_frame(str(page), rounds, opened[0]) for page, rounds in zip(config.pages, opened, strict=True)
    ]


def _opened(path: Path, size: int) -> tuple[dict[str, float], float]:
    """Processor seconds by kind, and the page's own milliseconds, of a page that a new browser opens."""
    with chromium(*SOFTWARE_WEBGL) as browser:
        page = browser.new_page(viewport={"width": size, "height": size})
        page.add_init_script(STILL)
        page.goto("about:blank")
        page.wait_for_timeout(SETTLE_MS)
        before = processor_seconds(browser)
        page.goto(path.resolve().as_uri())
        clock_ms = _evaluated(page, "avatar.ready.then((found) => found.milliseconds.all)", None, path)
        after = processor_seconds(browser)
    return {kind: after[kind] - before[kind] for kind in after}, clock_ms


def _first_frame(
    page: str, rounds: list[tuple[dict[str, float], float]], first: list[tuple[dict[str, float], float]]
) -> FirstFrame:
    totals, firsts = ([sum(parts.values()) for parts, _ in each] for each in (rounds, first))
    return FirstFrame(
        page,
        statistics.median(totals),
        {kind: statistics.median(parts[kind] for parts, _ in rounds) for kind in rounds[0][0]},
        statistics.median(clock_ms for _, clock_ms in rounds),
        statistics.median(own / other for own, other in zip(totals, firsts, strict=True)),
    )


def pages_table(found: list[FirstFrame]) -> str:
    """Format the first frames as a Markdown table."""
    head = ["page", "CPU s", "page's process", "WebGL's", "others", "ms (clock)", "CPU s / the first page's"]
    rows = []
    for frame in found:
        parts = [f"{frame.parts_s[kind]:.2f}" for kind in ("renderer", "GPU", "browser")]
        rows.append([frame.page, f"{frame.cpu_s:.2f}", *parts, f"{frame.clock_ms:.0f}", f"{frame.ratio:.3f}"])
    return markdown_table(head, rows, aligned=True)


def write_pages_json(path: Path, config: PageBenchmark, found: list[FirstFrame]) -> None:
    """Write the first frames as JSON."""
    content = {"size": config.size, "rounds": config.rounds, "pages": [asdict(frame) for frame in found]}
    write_complete(path, json.dumps(content, indent=2) + "\n")


# --------------------------------------------------------------------------------------------------------- the viewer
@dataclass(frozen=True)
class ViewerBenchmark:
    """Measure the way from a slider of the viewer to the drawn frame of an avatar, in a Chromium without a window."""

    avatar: Path
    """Avatar file, as 'anifacegan bake' writes it."""
    rounds: int = 60
    """Number of moves of the slider."""
    json: Path | None = None
    """JSON file to write all numbers to. null: none."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "rounds")
        if not self.avatar.is_file():
            raise ConfigError("avatar", self.avatar, "an avatar file, which 'anifacegan bake' writes")


@dataclass(frozen=True)
class RoundTrip:
    """Cost of a round trip: a slider is moved, the server draws, and the page shows the frame."""

    size: int
    """Height and width of the frame, pixels."""
    clock_ms: float
    """Median milliseconds on the clock."""
    lowest_ms: float
    """Fewest milliseconds on the clock."""
    server_cpu_ms: float
    """Mean milliseconds of processor time of the server."""
    browser_cpu_ms: float
    """Mean milliseconds of processor time of all processes of the browser."""


def measure_viewer(config: ViewerBenchmark, folder: Path) -> RoundTrip:
    """Move the slider; ``folder`` is for what the viewer saves.

    Raises:
        InputError: playwright or Chromium is missing, or the viewer cannot show the avatar.
    """
    with chromium(*NO_WEBGL) as browser, _served(config.avatar.resolve(), folder) as (server, address):
        page = browser.new_page(viewport={"width": 1100, "height": 800})
        page.goto(address)
        page.evaluate(
            "new Promise((done) => { const look = () => viewer.newest ? done() : setTimeout(look, 50); look(); })"
        )
        shares = [0.3 + 0.4 * (0.618 * k % 1) for k in range(config.rounds)]
        _evaluated(page, MOVES, [0.9, 0.1] * 4, config.avatar)  # compiles, and fills caches
        before = process_seconds(server), sum(processor_seconds(browser).values())
        clock_ms = _evaluated(page, MOVES, shares, config.avatar)
        after = process_seconds(server), sum(processor_seconds(browser).values())
        size = page.evaluate("viewer.newest.size")
    server_ms, browser_ms = (1000 * (b - a) / config.rounds for a, b in zip(before, after, strict=True))
    return RoundTrip(size, statistics.median(clock_ms), min(clock_ms), server_ms, browser_ms)


@contextmanager
def _served(avatar: Path, folder: Path) -> Iterator[tuple[int, str]]:
    """Start the viewer's server; yield the number of its process and the address of its page."""
    process = subprocess.Popen(
        [sys.executable, "-m", "anifacegan.cli", "view", str(avatar), "--port", "0", "--out", str(folder)],
        cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            said = ""
            for said in process.stdout:
                if said.startswith("open "):
                    break
            else:
                raise InputError(f"the viewer has ended: {said.strip().removeprefix('error: ')}")
            yield process.pid, said.split()[1]
        finally:
            process.kill()


def viewer_table(found: RoundTrip) -> str:
    """Format the round trip as a Markdown table."""
    head = ["px", "ms (clock)", "lowest", "CPU ms server", "CPU ms browser"]
    numbers = (found.clock_ms, found.lowest_ms, found.server_cpu_ms, found.browser_cpu_ms)
    return markdown_table(head, [[str(found.size), *(f"{ms:.1f}" for ms in numbers)]], aligned=True)


def write_viewer_json(path: Path, config: ViewerBenchmark, found: RoundTrip) -> None:
    """Write the round trip as JSON."""
    write_complete(path, json.dumps({"rounds": config.rounds, **asdict(found)}, indent=2) + "\n")
