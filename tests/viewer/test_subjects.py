"""Models and avatars draw what is asked, and say what they cannot."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from anifacegan.avatars.avatar import save_avatar
from anifacegan.avatars.config import BakeConfig
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.model import Model
from anifacegan.runtime.errors import InputError
from anifacegan.viewer import baking
from anifacegan.viewer.baking import BEYOND
from anifacegan.viewer.requests import View
from anifacegan.viewer.subjects import AvatarSubject, ModelSubject, open_subject
from tests.fixtures.ball_avatars import ball_avatar
from tests.fixtures.small_models import small_checkpoint, write_small_model

BAKE = BakeConfig(texture=64, grid=16, widest_rad=0.5, inbetweens=1)


@pytest.fixture(scope="module")
def model() -> Model:
    checkpoint = small_checkpoint()
    checkpoint.generator.eval().requires_grad_(False)
    return Model(checkpoint)


@pytest.fixture
def subject(model: Model, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelSubject]:
    monkeypatch.setattr(baking, "SETTLE_S", 0.01)
    baked = threading.Event()
    made = ModelSubject(model, BAKE, baked.set)
    made.baked = baked  # type: ignore[attr-defined]
    yield made
    made.close()


def wait_for_bake(subject: ModelSubject) -> None:
    assert subject.baked.wait(600)  # type: ignore[attr-defined]
    subject.baked.clear()  # type: ignore[attr-defined]


def test_the_networks_draw_what_the_model_draws(model: Model, subject: ModelSubject) -> None:
    view = View(seed=3, psi=0.5, strengths={"smile": 0.5, "jawOpen": 0.2}, coefficients=(0.1, -0.2), yaw=0.2,
                pitch=-0.1, size=32, source="networks")  # fmt: skip
    frame = subject.draw(view)
    z_exp = model.expressions.coefficients("smile=0.5,jawOpen=0.2")
    z_exp[:2] += np.float32([0.1, -0.2])
    expected = model.face(3, z_exp, psi=0.5).render(yaw=0.2, pitch=-0.1, size=32, antialias=False)
    np.testing.assert_array_equal(frame.pixels, to_bytes(expected))
    assert (frame.source, frame.note) == ("networks", "")
    smooth = model.face(3, z_exp, psi=0.5).render(yaw=0.2, pitch=-0.1, size=32)
    np.testing.assert_array_equal(subject.draw(view, antialias=True).pixels, to_bytes(smooth))


def test_a_person_is_baked_beside_the_frames_and_then_played(subject: ModelSubject) -> None:
    view = View(seed=3, size=32, strengths={"smile": 0.4})
    first = subject.draw(view)
    assert first.source == "networks" and first.note == "baking this person"
    wait_for_bake(subject)
    second = subject.draw(view)
    assert (second.source, second.note) == ("baked", "")
    assert np.abs(second.pixels.astype(int) - first.pixels).mean() < 25  # the same person
    other = subject.draw(View(seed=4, size=32))
    assert other.source == "networks"


def test_a_person_is_baked_again_with_what_a_view_adds(subject: ModelSubject) -> None:
    subject.draw(View(size=32))
    wait_for_bake(subject)
    assert subject.draw(View(size=32)).source == "baked"
    for added in (View(size=32, strengths={"jawOpen": 0.5}), View(size=32, coefficients=(0.0, 1.0))):
        assert subject.draw(added).source == "networks"
        wait_for_bake(subject)
        assert subject.draw(added).source == "baked"
    assert subject.draw(View(size=32)).source == "baked"


def test_what_people_are_not_baked_for_is_drawn_by_the_networks_and_said(subject: ModelSubject) -> None:
    subject.draw(View(size=32))
    wait_for_bake(subject)
    wide = subject.draw(View(size=32, yaw=0.6))
    assert wide.source == "networks" and "radians from frontal" in wide.note
    strong = View(size=32, strengths={"smile": 5.0})
    subject.draw(strong)
    frame = subject.draw(strong)
    assert frame.source == "networks" and frame.note == BEYOND
    assert not subject.baked.wait(0.2)  # type: ignore[attr-defined]


def test_a_person_who_cannot_be_baked_is_said_once(
    subject: ModelSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fails(*given: object) -> None:
        calls.append(given)
        raise InputError("nothing of this person can be seen")

    monkeypatch.setattr(baking, "bake", fails)
    subject.draw(View(size=32))
    wait_for_bake(subject)
    for _ in range(3):
        frame = subject.draw(View(size=32))
        assert frame.note == "cannot be baked: nothing of this person can be seen"
    assert len(calls) == 1


def test_depth_normals_and_slices_are_pictures(subject: ModelSubject) -> None:
    seen = [
        subject.draw(View(size=32, source="networks", shown=shown)).pixels
        for shown in ("colour", "depth", "normals", "slice")
    ]
    assert all(image.shape == (32, 32, 3) for image in seen)
    assert (seen[1][..., 0] == seen[1][..., 1]).all()
    assert len({image.tobytes() for image in seen}) == 4
    above = subject.draw(View(size=32, shown="slice", plane="xz", at=0.01)).pixels
    assert above.tobytes() != seen[3].tobytes()


def test_an_unknown_name_is_refused(subject: ModelSubject) -> None:
    with pytest.raises(InputError, match="expression 'smirk' is not known"):
        subject.draw(View(strengths={"smirk": 1.0}))


def test_an_avatar_draws_its_own_names_and_units() -> None:
    avatar = ball_avatar()
    subject = AvatarSubject(avatar)
    about = subject.description()
    assert about["expressions"] == ["shift", "stretch"] and about["units"] == ["halfLeft", "halfRight"]
    assert about["sources"] == ["baked"] and "slice" not in about["shown"] and about["coefficients"] == []
    z_exp = np.zeros(64, np.float32)
    z_exp[:2] = 0.5, 0.25
    for strengths in ({"shift": 0.5, "halfRight": 0.5}, {"shift": 0.5, "stretch": 0.25}):
        frame = subject.draw(View(size=48, yaw=0.2, strengths=strengths))
        expected = avatar.render(size=48, yaw=0.2, expression=z_exp, antialias=False)
        np.testing.assert_array_equal(frame.pixels, to_bytes(expected))
    coefficients = subject.draw(View(size=48, yaw=0.2, coefficients=(0.5, 0.25)))
    np.testing.assert_array_equal(coefficients.pixels, frame.pixels)


@pytest.mark.parametrize(
    ("view", "part"),
    [
        (View(shown="slice"), "an avatar has no manifolds"),
        (View(source="networks"), "an avatar has none"),
        (View(yaw=0.7), "was baked for views up to 0.60"),
        (View(strengths={"other": 1.0}), "cannot be made of what avatar"),
        (View(strengths={"smirk": 1.0}), "expression 'smirk' is not known"),
    ],
)
def test_an_avatar_says_what_it_cannot_show(view: View, part: str) -> None:
    with pytest.raises(InputError, match=part):
        AvatarSubject(ball_avatar()).draw(view)


def test_an_avatar_has_no_latents() -> None:
    with pytest.raises(InputError, match="has no latents"):
        AvatarSubject(ball_avatar()).latents(View())


def test_paths_tell_models_from_avatars(tmp_path: Path) -> None:
    save_avatar(tmp_path / "ball.safetensors", ball_avatar())
    write_small_model(tmp_path / "model")
    assert (
        open_subject(tmp_path / "ball.safetensors", BAKE, "cpu", lambda: None).description()["kind"]
        == "avatar"
    )
    assert open_subject(tmp_path / "model", BAKE, "cpu", lambda: None).description()["kind"] == "model"
    with pytest.raises(InputError, match="no such file"):
        open_subject(tmp_path / "nothing", BAKE, "cpu", lambda: None)
