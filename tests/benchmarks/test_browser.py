"""The benchmarks in a browser: what they compare and report, not how fast pages are. They skip without a browser."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from anifacegan.avatars.avatar import save_avatar
from anifacegan.avatars.export.config import WebConfig
from anifacegan.avatars.export.web_page import web_page
from anifacegan.runtime.errors import ConfigError, InputError
from benchmarks import __main__ as benchmark_command
from benchmarks import browser
from benchmarks.browser import PageBenchmark, ViewerBenchmark, _first_frame, measure_pages, measure_viewer
from tests.fixtures.ball_avatars import ball_avatar
from tests.fixtures.browsers import chromium


def columns(table: str) -> list[list[str]]:
    """Cells of a Markdown table's rows, without its head."""
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]


def test_a_pages_ratio_is_the_median_over_the_rounds_of_a_drifting_machine() -> None:
    first = [({"renderer": slow, "GPU": slow}, 10.0) for slow in (1.0, 5.0, 2.0)]
    other = [
        ({"renderer": 2.0, "GPU": total - 2.0}, 30.0) for total in (6.0, 10.0, 20.0)
    ]  # 3, 1 and 5 times the first
    found = _first_frame("other.html", other, first)
    assert found.ratio == 3 and found.cpu_s == 10 and found.clock_ms == 30
    assert found.parts_s == {"renderer": 2, "GPU": 8}


@pytest.mark.slow  # starts browsers
def test_pages_are_opened_in_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chromium():
        pass  # skips where there is none
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    for page in pages:
        page.write_text(web_page(ball_avatar(), WebConfig()))
    words = ["--rounds", "2", "--size", "64", "--json", str(tmp_path / "a.json")]
    benchmark_command.main(["page", *map(str, pages), *words])
    rows = columns(capsys.readouterr().out)
    assert [row[0] for row in rows] == [str(page) for page in pages] and rows[0][-1] == "1.000"
    found = json.loads((tmp_path / "a.json").read_text())
    for page in found["pages"]:
        assert all(0 < page["parts_s"][kind] < page["cpu_s"] < 60 for kind in ("renderer", "GPU", "browser"))
        assert page["cpu_s"] == pytest.approx(
            sum(page["parts_s"].values()), rel=0.5
        )  # medians of two rounds each
    strange = tmp_path / "strange.html"
    strange.write_text("<p>no avatar</p>")
    with pytest.raises(
        InputError, match=r"strange.html: ReferenceError.*expected an avatar that its page shows"
    ):
        measure_pages(PageBenchmark(pages=(strange,), rounds=1))


@pytest.mark.slow  # starts a server and browsers
def test_every_move_of_the_slider_is_answered_by_a_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("websockets", reason="pip install websockets")
    with chromium():
        pass  # skips where there is none
    save_avatar(tmp_path / "ball.safetensors", ball_avatar())
    words = ["--rounds", "5", "--json", str(tmp_path / "a.json")]
    benchmark_command.main(["viewer", str(tmp_path / "ball.safetensors"), *words])
    assert columns(capsys.readouterr().out)[0][0] == "256"
    found = json.loads((tmp_path / "a.json").read_text())
    assert 0 < found["lowest_ms"] <= found["clock_ms"]
    assert found["server_cpu_ms"] > 0 and found["browser_cpu_ms"] > 0
    (tmp_path / "no.safetensors").write_bytes(b"no avatar")
    with pytest.raises(InputError, match=r"the viewer has ended: .*no.safetensors"):
        measure_viewer(ViewerBenchmark(tmp_path / "no.safetensors"), tmp_path / "view")


def test_other_files_and_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected an exported page"):
        PageBenchmark(pages=(tmp_path / "absent.html",))
    with pytest.raises(ConfigError, match="expected an avatar file"):
        ViewerBenchmark(avatar=tmp_path)
    with pytest.raises(ConfigError, match="rounds is 0"):
        PageBenchmark(pages=(), rounds=0)


def test_a_missing_playwright_or_chromium_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(InputError, match="playwright is not installed"), browser.chromium():
        pass
    monkeypatch.setitem(sys.modules, "playwright.sync_api", sys)  # any module; it is not used
    monkeypatch.setattr(sys, "sync_playwright", None, raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="apt-get install chromium"), browser.chromium():
        pass
