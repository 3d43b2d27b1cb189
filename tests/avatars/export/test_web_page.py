"""A page is complete, the same every time, asks for nothing outside, and says what it cannot hold."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from anifacegan.avatars.export import web_textures
from anifacegan.avatars.export.config import WebConfig
from anifacegan.avatars.export.web_page import SCRIPTS, Sequence, require_room_for_page, web_page
from anifacegan.runtime.errors import ConfigError, InputError
from anifacegan.runtime.files import write_complete
from tests.fixtures.ball_avatars import ball_avatar


def header_of(page: str) -> dict:
    (text,) = re.findall('<script type="application/json" id="header">(.*?)</script>', page)
    return json.loads(text)


@pytest.fixture(scope="module")
def page() -> str:
    return web_page(ball_avatar(), WebConfig())


def test_the_page_is_filled_in_and_names_the_avatar(page: str) -> None:
    assert "@@" not in page and "<title>a &lt;ball&gt;</title>" in page
    header = header_of(page)
    assert header["name"] == "a <ball>" and header["expressions"] == ["shift", "stretch"]
    assert header["widest"] == 0.6 and header["sequence"] is None
    assert len(header["lengths"]) == 1 + 2 * len(ball_avatar().layered_mesh.textures) + 1


def test_the_page_has_no_address_to_load(page: str) -> None:
    own = page.partition('id="data"')[0] + page.partition("</script>\n<script>\n")[2]
    assert not re.search(r"https?:|src=|href=|import\s*\(|fetch\(|XMLHttpRequest", own)
    assert "default-src 'none'" in page


def test_the_page_is_the_same_every_time(page: str) -> None:
    assert web_page(ball_avatar(), WebConfig()) == page


def test_a_page_is_replaced_until_somebody_has_edited_it(page: str, tmp_path: Path) -> None:
    out = tmp_path / "me.html"
    require_room_for_page(out)
    write_complete(out, page)
    require_room_for_page(out)
    for old, new in (
        ("<title>", "<title>my "),
        ("</html>\n", "</html>\n\n"),
        ("<html", "<!-- mine --><html"),
    ):
        edited = page.replace(old, new)
        assert edited != page
        write_complete(out, edited)
        with pytest.raises(
            InputError, match="is in the way and a page of ours that somebody has edited, expected"
        ):
            require_room_for_page(out)
        require_room_for_page(out, overwrite=True)


def test_a_page_of_an_earlier_version_which_has_no_checksum_is_replaced(page: str, tmp_path: Path) -> None:
    earlier = re.sub(' data-rest="[^"]*"', "", page)
    assert earlier != page
    write_complete(tmp_path / "me.html", earlier)
    require_room_for_page(tmp_path / "me.html")


def test_the_page_turns_as_far_as_the_avatar_was_baked_and_no_farther() -> None:
    whole = ball_avatar()
    narrow = dataclasses.replace(
        whole, layered_mesh=dataclasses.replace(whole.layered_mesh, widest_rad=0.4321)
    )
    assert header_of(web_page(narrow, WebConfig()))["widest"] == 0.4321
    with pytest.raises(ConfigError, match="web.widest_rad is 0.433, expected at most 0.4321, the angle for"):
        web_page(narrow, WebConfig(widest_rad=0.433))


def test_every_script_is_part_of_the_page(page: str) -> None:
    from importlib import resources

    folder = resources.files("anifacegan.avatars.export") / "page"
    assert {entry.name for entry in folder.iterdir()} == {*SCRIPTS, "page.html", "style.css"}


def test_a_sequence_is_kept() -> None:
    rows = np.zeros((3, 64), np.float32)
    header = header_of(web_page(ball_avatar(), WebConfig(), Sequence(rows, 25.0)))
    assert header["sequence"] == {"fps": 25.0, "loop": False} and header["streams"]["sequence"][1] == 3 * 64


def test_an_avatar_with_too_large_blendshapes_is_refused_by_name() -> None:
    avatar = ball_avatar()
    wide = dataclasses.replace(avatar.layered_mesh, blendshapes=1e3 * avatar.layered_mesh.blendshapes)
    with pytest.raises(InputError, match="avatar 'a <ball>': has blendshapes too large"):
        web_page(dataclasses.replace(avatar, layered_mesh=wide), WebConfig())


def test_a_pillow_without_avif_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_textures.features, "check", lambda name: False)
    with pytest.raises(InputError, match="pip install 'pillow>=11.3'"):
        web_page(ball_avatar(), WebConfig())


@pytest.mark.parametrize(
    "changes",
    [{"quality": 0}, {"quality": 101}, {"precision_mm": 0.0}, {"widest_rad": 0.0}, {"widest_rad": 5.0}],
)
def test_options_out_of_range_are_refused(changes: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        WebConfig(**changes)
