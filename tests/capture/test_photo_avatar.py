"""From a photograph to an avatar, with MediaPipe where it is installed."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from anifacegan.avatars.avatar import load_avatar, save_avatar
from anifacegan.capture import photo_avatar
from anifacegan.capture.photo_avatar import PhotoAvatarMaker
from anifacegan.data.synthetic.sampling import sample_person
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import InputError

if TYPE_CHECKING:
    from anifacegan.data.synthetic.renderer import SyntheticRenderer


def test_the_room_gives_the_public_name() -> None:
    import anifacegan.capture

    assert anifacegan.capture.avatar_from_photo.__module__ == "anifacegan.capture.photo_avatar"
    with pytest.raises(AttributeError, match="has no attribute 'avatar'"):
        _ = anifacegan.capture.avatar


@pytest.fixture(scope="module")
def maker() -> Iterator[PhotoAvatarMaker]:
    """The whole chain, where MediaPipe and its files are there."""
    pytest.importorskip("mediapipe", reason="pip install 'anifacegan[photo]'")
    try:
        chain = PhotoAvatarMaker(load_model("demo"))
    except InputError as error:
        pytest.skip(str(error))
    with chain:
        yield chain


def test_networks_are_freed_where_the_next_one_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise MediaPipe prints a traceback of its own when the process ends."""
    freed: list[bool] = []

    class Segmenter(nullcontext[None]):
        def __exit__(self, *failure: object) -> None:
            freed.append(True)

    monkeypatch.setattr(photo_avatar, "PersonSegmenter", lambda path: Segmenter())
    with pytest.raises(InputError, match="nope"):
        PhotoAvatarMaker(load_model("demo"), face_model=Path("nope"))
    assert freed == [True]


def test_a_label_may_be_a_text_and_a_closed_maker_does_not_say_that_there_is_no_face(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    networks = SimpleNamespace(select=lambda photograph, label, number: label.stem / 0)
    monkeypatch.setattr(photo_avatar, "PersonSegmenter", lambda path: nullcontext())
    monkeypatch.setattr(photo_avatar, "FaceFitter", lambda *paths: nullcontext(networks))
    with PhotoAvatarMaker(load_model("demo")) as closed:
        with pytest.raises(
            TypeError, match="str"
        ):  # the pretended fitter divides a text, which is the label's stem
            closed.make(np.zeros((8, 8, 3), np.uint8), "wall.png")
    with pytest.raises(InputError, match=r"wall.png: the maker of avatars has been closed"):
        closed.make(np.zeros((8, 8, 3), np.uint8), "wall.png")


def test_a_wall_has_no_avatar(maker: PhotoAvatarMaker) -> None:
    with pytest.raises(InputError, match=r"wall.png: no face found"):
        maker.make(np.full((64, 64, 3), 90, np.uint8), Path("wall.png"))


@pytest.mark.slow
def test_a_portrait_becomes_an_avatar_that_looks_like_it(
    maker: PhotoAvatarMaker, real_renderer: "SyntheticRenderer", tmp_path: Path
) -> None:
    from anifacegan.data.synthetic.renderer import render_person

    person = sample_person(real_renderer.head.parts, np.random.default_rng(3))
    photograph, truth = render_person(real_renderer, person, yaw=0.1, pitch=0.0, size=256)
    made = maker.make(photograph, Path("portrait.png"))
    assert abs(made.face.fit.yaw - 0.1) < 0.12
    save_avatar(tmp_path / "a.safetensors", made.avatar)
    avatar = load_avatar(tmp_path / "a.safetensors")
    fit = made.face.fit
    own = avatar.render(yaw=fit.yaw, pitch=fit.pitch, size=128, expression=fit.z_exp.astype(np.float32))
    apart = 255 * own.permute(1, 2, 0).numpy() - made.crop(128)
    face = (slice(30, 100), slice(40, 88))
    assert 10 * np.log10(255**2 / np.square(apart[face]).mean()) > 28
    assert truth.exp.shape == (64,)
    eyes, mouth = (slice(44, 70), slice(40, 88)), (slice(75, 105), slice(40, 88))
    neutral = avatar.render(size=128)
    for name, moving, still in (("smile", mouth, None), ("blink", eyes, mouth), ("jaw_open", mouth, eyes)):
        changed = (avatar.render(size=128, expression=name) - neutral).abs().mean(dim=0)
        assert 0.015 < float(changed[moving].mean()) < 0.2
        assert still is None or float(changed[still].mean()) < 0.006
