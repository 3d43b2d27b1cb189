"""The renderer of a video: adaptive, baked, or selected automatically; and videos of avatar files."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from anifacegan.avatars.avatar import load_avatar, save_avatar
from anifacegan.avatars.baking import visible_cells
from anifacegan.avatars.baking.key_expressions import NEGLIGIBLE, key_expressions, probe_frames
from anifacegan.avatars.card import SYNTHETIC
from anifacegan.avatars.config import BakeConfig
from anifacegan.cli.render import renderer_choice
from anifacegan.cli.render.config import RenderConfig
from anifacegan.cli.render.renderer_choice import (
    AdaptiveRenderer,
    BakedRenderer,
    RendererChoice,
    VideoRequest,
    image_renderer,
)
from anifacegan.cli.render.run import run
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.face_model.trajectories import Trajectory
from anifacegan.rendering.model import Model, load_model
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.image_files import read_image
from anifacegan.runtime.output_folders import MANIFEST
from tests.fixtures.ball_avatars import ball_avatar
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.small_models import small_checkpoint, write_small_model

GENTLE = 0.1
"""Strength of expressions: the small model's random weights would tear a face apart at 1."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load_model(folder)


@pytest.fixture(autouse=True)
def _coarse_bakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer_choice, "BakeConfig", functools.partial(BakeConfig, grid=24))
    monkeypatch.setattr(visible_cells, "VIEW_SIZE", 32)


def video(model: Model, frames: int = 4, strength: float = GENTLE, yaw: float = 0.3) -> Trajectory:
    share = np.linspace(0, strength, frames)
    z_exp = share[:, None] * model.expressions.coefficients("smile")
    return Trajectory(
        yaw=np.linspace(-yaw, yaw, frames),
        pitch=np.zeros(frames),
        z_exp=z_exp.astype(np.float32),
        strength=share,
        labels=("smile",) * frames,
    )


def target(model: Model, **changes: object) -> VideoRequest:
    return replace(VideoRequest(video(model), size=32), **changes)


# ------------------------------------------------------------------------------------------------------ the choice
def test_key_expressions_make_all_others() -> None:
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((3, 64))
    shares = rng.uniform(-1, 1, (40, 3))
    z_exp = (shares @ directions + 1e-4 * rng.standard_normal((40, 64))).astype(np.float32)
    keys = key_expressions(z_exp)
    assert len(keys) == 3
    span = z_exp[keys].T
    left = z_exp.T - span @ np.linalg.lstsq(span, z_exp.T, rcond=None)[0]
    assert np.linalg.norm(left, axis=0).max() < NEGLIGIBLE * np.linalg.norm(z_exp, axis=1).max()


def test_a_video_that_grows_into_one_expression_has_its_end_as_the_key(model: Model) -> None:
    assert key_expressions(video(model).z_exp) == [3]
    assert key_expressions(np.zeros((5, 64), np.float32)) == []


def test_a_video_is_probed_where_it_shows_all_of_an_expression_and_before_that() -> None:
    one, other = np.eye(2, 64, dtype=np.float32)
    there, back = np.linspace(0, 1, 11)[:, None], np.linspace(1, 0, 11)[1:, None]
    smile = (there * one).astype(np.float32)
    assert probe_frames(smile, 1) == [5, 10] and probe_frames(smile, 5) == [9, 10]
    two = np.concatenate([smile, (back * one + there[1:] * 1.1 * other).astype(np.float32)])
    assert set(probe_frames(two, 1)) >= {10, 20} and {5, 15} & set(probe_frames(two, 1))
    many = np.random.default_rng(0).standard_normal((40, 64)).astype(np.float32)
    assert len(probe_frames(many, 2)) <= 8
    assert probe_frames(np.zeros((7, 64), np.float32), 2) == [3]


def test_all_frames_count(model: Model) -> None:
    assert target(model).pixels == 4 * 32**2
    assert target(model).widest_rad == pytest.approx(0.3)
    nodding = replace(video(model), pitch=np.full(4, 0.4))
    assert target(model, trajectory=nodding).widest_rad == pytest.approx(np.arccos(np.cos(0.4) * np.cos(0.3)))


def test_auto_renders_a_short_video_by_the_networks(model: Model) -> None:
    renderer, facts = RendererChoice(model, "auto").select("one", model.person(1), 0.7, target(model))
    assert isinstance(renderer, AdaptiveRenderer)
    assert facts == {"renderer": "adaptive", "why": "there are too few images for baking to pay"}
    renderer, facts = RendererChoice(model, "adaptive").select("one", model.person(1), 0.7, target(model))
    assert isinstance(renderer, AdaptiveRenderer) and facts == {"renderer": "adaptive"}


def test_auto_bakes_a_long_video_where_it_looks_the_same(
    model: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(renderer_choice, "LEAST_PIXELS", 1000)
    choice = RendererChoice(model, "auto")
    monkeypatch.setattr(renderer_choice, "LEAST_PSNR", 25.0)
    renderer, facts = choice.select("one", model.person(1), 0.7, target(model))
    assert isinstance(renderer, BakedRenderer) and facts["renderer"] == "baked" and facts["blendshapes"] == 1
    assert facts["texture"] == 128 and facts["psnr_to_adaptive_db"] > 25
    assert "one: baked" in capsys.readouterr().err
    # The fact is the worse of two frames' decibels, against the adaptive renderer.
    adaptive = model.face(latents=model.person(1), expression=video(model).z_exp[3], psi=0.7).render(
        yaw=0.3, pitch=0.0, size=32, antialias=False
    )
    error = (
        (renderer.image(video(model).z_exp[3], yaw=0.3, pitch=0.0, size=32).rgb - adaptive)
        .square()
        .mean()
        .item()
    )
    assert facts["psnr_to_adaptive_db"] <= -10 * np.log10(error) + 0.1
    monkeypatch.setattr(renderer_choice, "LEAST_PSNR", 90.0)
    renderer, facts = choice.select("one", model.person(1), 0.7, target(model))
    assert isinstance(renderer, AdaptiveRenderer) and "the PSNR of baked frames would be" in facts["why"]
    assert "rendered by the networks" in capsys.readouterr().err


def test_auto_renders_who_cannot_be_baked_by_the_networks(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InputError("nothing of this person can be seen: every manifold is transparent")

    monkeypatch.setattr(renderer_choice, "LEAST_PIXELS", 1000)
    monkeypatch.setattr(renderer_choice, "bake", refuse)
    renderer, facts = RendererChoice(model, "auto").select("one", model.person(1), 0.7, target(model))
    assert isinstance(renderer, AdaptiveRenderer) and "transparent" in str(facts["why"])
    baked = RendererChoice(model, "baked")
    assert_one_line(lambda: baked.select("one", model.person(1), 0.7, target(model)), "one", "transparent")


def test_what_cannot_be_baked_is_refused_in_one_line(model: Model) -> None:
    baked = RendererChoice(model, "baked")
    aside = target(model, trajectory=video(model, yaw=1.19))
    assert_one_line(
        lambda: baked.select("one", model.person(1), 0.7, aside), "renderer is baked", "1.19 radians"
    )
    many = replace(video(model, frames=40), z_exp=np.eye(40, 64, dtype=np.float32))
    assert_one_line(
        lambda: baked.select("one", model.person(1), 0.7, target(model, trajectory=many)), "32 blendshapes"
    )
    checkpoint = small_checkpoint()
    checkpoint.generator.config = replace(checkpoint.generator.config, radiance_offset_gain=8.3)
    released = Model(checkpoint)
    assert_one_line(
        lambda: RendererChoice(released, "baked").select("one", model.person(1), 0.7, target(model)),
        "offset_gain 8.3",
    )
    renderer, facts = RendererChoice(released, "auto").select("one", model.person(1), 0.7, target(model))
    assert isinstance(renderer, AdaptiveRenderer) and "radiance_offset_gain 8.3" in str(facts["why"])
    assert "the expression changes" in str(facts["why"])


@pytest.mark.slow  # tests/avatars/baking/test_still.py bakes such a model in the quick suite
def test_a_released_model_is_baked_where_the_head_only_turns(model: Model) -> None:
    checkpoint = small_checkpoint()
    checkpoint.generator.config = replace(checkpoint.generator.config, radiance_offset_gain=8.3)
    released, turning = Model(checkpoint), video(model)
    one_smile = replace(turning, z_exp=np.repeat(turning.z_exp[-1:], 4, axis=0))
    requested = target(model, trajectory=one_smile, size=48)
    renderer, facts = RendererChoice(released, "baked").select("one", model.person(1), 0.7, requested)
    assert isinstance(renderer, BakedRenderer) and facts["blendshapes"] == 0
    assert facts["psnr_to_adaptive_db"] > 25


def test_the_contact_sheet_uses_the_avatar_for_what_it_was_baked_for(
    model: Model,
) -> None:
    choice, latents = RendererChoice(model, "baked"), model.person(1)
    adaptive = choice.adaptive(latents, 0.7)
    baked, _ = choice.select("one", latents, 0.7, target(model))
    smile, other = video(model).z_exp[-1], GENTLE * model.expressions.coefficients("jawOpen")
    for z_exp in (0 * smile, 0.5 * smile, smile):
        assert image_renderer(baked, adaptive, z_exp, yaw=-0.3, pitch=0.1) is baked
        assert image_renderer(adaptive, adaptive, z_exp, yaw=0.0, pitch=0.0) is adaptive
        assert image_renderer(baked, adaptive, z_exp, yaw=0.4, pitch=0.0) is adaptive
    for z_exp in (1.2 * smile, -0.2 * smile, other, smile + 0.1 * other):
        assert image_renderer(baked, adaptive, z_exp, yaw=0.0, pitch=0.0) is adaptive
    still, _ = choice.select("one", latents, 0.7, target(model, trajectory=video(model, strength=0.0)))
    assert (
        image_renderer(still, adaptive, 0 * smile, yaw=0.0, pitch=0.0) is adaptive
    )  # it was not baked for this expression


# ------------------------------------------------------------------------------------------------------ complete videos
@pytest.fixture
def config(folder: Path, tmp_path: Path) -> RenderConfig:
    return RenderConfig(
        model=folder, expression="smile", strength=(0.0, GENTLE), seeds=(1, 2), frames=3, size=32, video=False,
        grid=False, out=tmp_path / "out",
    )  # fmt: skip


def test_baked_frames_are_close_to_adaptive_ones_and_the_manifest_says_how(
    config: RenderConfig, tmp_path: Path
) -> None:
    run(replace(config, renderer="adaptive", out=tmp_path / "adaptive"))
    run(replace(config, renderer="baked", depth=True))
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    for person in manifest["people"]:
        assert (
            person["renderer"] == "baked"
            and person["psnr_to_adaptive_db"] > 25
            and person["blendshapes"] == 1
        )
        for frame in person["frames"]:
            one, other = (read_image(tmp_path / name / frame["file"]) / 255 for name in ("out", "adaptive"))
            assert -10 * np.log10(((one - other) ** 2).mean()) > 25
    adaptive = json.loads((tmp_path / "adaptive" / MANIFEST).read_text())
    assert [person["renderer"] for person in adaptive["people"]] == ["adaptive", "adaptive"]


# -------------------------------------------------------------------------------------------------- files of avatars
@pytest.fixture(scope="module")
def avatar(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """anifacegan bake on the small model, with one expression."""
    out = tmp_path_factory.mktemp("avatars") / "someone.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(visible_cells, "VIEW_SIZE", 32)
        assert bake_command(folder, out, "--expressions", f"smile={GENTLE}") == 0
    return out


def write_mat(path: Path, z_exp: np.ndarray) -> None:
    scipy.io.savemat(path, {"exp": z_exp[None], "face_model": OPEN_FACE_MODEL})


def bake_command(model: Path, out: Path, *more: object) -> int:
    coarse = ("--bake.grid", 24, "--bake.texture", 64, "--bake.widest_rad", 0.5)
    return command("bake", "--model", model, "--out", out, *coarse, *more)


def test_a_baked_file_looks_like_the_model_it_was_baked_from(avatar: Path, model: Model) -> None:
    player = load_avatar(avatar)
    card = player.card
    assert (card.name, card.model, card.face_model, card.psi) == ("someone", "small", OPEN_FACE_MODEL, 0.7)
    assert card.expressions == (f"smile={GENTLE}",) and card.presets == {"smile": {"mouthSmile": 0.8}}
    assert card.baking["person"] == "seed 1" and card.baking["settings"]["grid"] == 24
    for expression in ("neutral", f"smile={GENTLE}"):
        adaptive = model.face(seed=1, expression=expression).render(
            yaw=0.2, pitch=0.0, size=32, antialias=False
        )
        error = (
            (player.render(yaw=0.2, pitch=0.0, size=32, expression=expression) - adaptive)
            .square()
            .mean()
            .item()
        )
        assert -10 * np.log10(error) > 25


def test_an_avatar_file_is_rendered_with_names_files_sequences_and_a_sheet(
    avatar: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    z_exp = model.expressions.coefficients(f"smile={GENTLE}")
    for folder in ("mat", "sequence"):
        (tmp_path / folder).mkdir()
    write_mat(tmp_path / "mat" / "half.mat", 0.5 * z_exp)
    write_mat(tmp_path / "mat" / "other.mat", np.eye(64, dtype=np.float32)[5])
    for k in range(3):
        write_mat(tmp_path / "sequence" / f"{k}.mat", k / 2 * z_exp)
    short = ("--model", avatar, "--size", 12)
    named = ("--expression", f"smile={GENTLE}", "--frames", 3)
    assert command("render", *short, *named, "--out", "named") == 0
    manifest = json.loads((tmp_path / "named" / MANIFEST).read_text())
    assert manifest["sheet"]["expressions"] == ["neutral", f"smile={GENTLE}", "half"]  # other was not baked
    (person,) = manifest["people"]
    assert person["name"] == "someone" and person["renderer"] == "baked" and len(person["frames"]) == 3
    assert (tmp_path / "named" / "sheet.png").is_file() and (tmp_path / "named" / "someone.mp4").is_file()
    plain = (*short, "--video", "false", "--grid", "false")
    assert command("render", *plain, "--expression", "mat/half.mat", "--frames", 2, "--out", "file") == 0
    assert command("render", *plain, "--expression", "sequence", "--out", "sequence_out") == 0
    file, sequence = (sorted((tmp_path / name).glob("someone/*.png")) for name in ("file", "sequence_out"))
    assert len(file) == 2 and len(sequence) == 3


def test_the_reverse_of_a_baked_expression_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_avatar(tmp_path / "ball.safetensors", ball_avatar())
    short = ("--model", tmp_path / "ball.safetensors", "--size", 12, "--grid", "false", "--video", "false")
    still = ("--frames", 4, "--expression", "both", "--out", tmp_path / "out")
    assert command("render", *short, *still, "--strength", -0.5) == 0
    assert "warning" not in capsys.readouterr().err
    assert command("render", *short, *still, "--strength", -0.6, -1) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line.lower()]
    expected = (
        "warning: avatar 'a <ball>' was baked for 0 to 1 times 'shift', and is less exact below -0.5 times"
    )
    assert len(lines) == 1 and lines[0].startswith(expected)


@pytest.mark.parametrize("of_photograph", [True, False])
def test_images_of_a_photographs_avatar_say_that_they_are_synthetic(
    of_photograph: bool, tmp_path: Path
) -> None:
    ball = ball_avatar()
    baking = {**ball.card.baking, "photograph": "me.jpg"} if of_photograph else ball.card.baking
    save_avatar(tmp_path / "a.safetensors", replace(ball, card=replace(ball.card, baking=baking)))
    words = ("--model", tmp_path / "a.safetensors", "--size", 16, "--frames", 2, "--out", tmp_path / "out")
    assert command("render", *words, "--expression", "both", "--grid_size", 16) == 0
    texts = {path.name: Image.open(path).info for path in (tmp_path / "out").rglob("*.png")}
    assert "sheet.png" in texts and len(texts) == 3
    assert {info.get("Description") for info in texts.values()} == {SYNTHETIC if of_photograph else None}
    (film,) = (tmp_path / "out").glob("*.mp4")
    assert (SYNTHETIC.encode() in film.read_bytes()) == of_photograph


def test_cameras_of_an_earlier_run_are_said(
    avatar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They look like those of the new frames beside them, whose names are the same."""
    out = tmp_path / "out"
    short = (
        "--model",
        avatar,
        "--size",
        12,
        "--frames",
        1,
        "--grid",
        "false",
        "--video",
        "false",
        "--out",
        out,
    )
    still = ("--expression", f"smile={GENTLE}")
    assert command("render", *short, *still, "--yaw", 0.2, "--cameras") == 0
    assert "earlier run" not in capsys.readouterr().err
    assert command("render", *short, *still, "--yaw", -0.2) == 0
    assert f"{out}: beside the new files, 5 of an earlier run stay, the first is dataset.json" in (
        capsys.readouterr().err
    )


def test_two_files_of_one_name_are_not_baked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "twins.safetensors"
    assert bake_command(folder, out, "--expressions", "a/smile.mat", "b/smile.mat") == 2
    assert "'a/smile.mat' and 'b/smile.mat' are both called 'smile'" in one_error_line(capsys)
    assert not out.exists()


def test_an_expression_that_is_too_strong_to_be_baked_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "torn.safetensors"
    assert (
        bake_command(folder, out, "--expressions", "smile=1000") == 0
    )  # random weights tear at any strength
    assert "expression 'smile=1000': 1 % of the points miss their places by" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["sheet.png", "manifest.json", ".anifacegan.json", ".anifacegan.lock", ".", ".."]
)
def test_an_avatar_that_is_called_as_a_file_of_results_is_refused_first(
    name: str, avatar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"{name}.safetensors"
    file.write_bytes(avatar.read_bytes())
    words = ("--expression", f"smile={GENTLE}", "--frames", 1, "--size", 8, "--out", tmp_path / "out")
    assert command("render", "--model", file, *words) == 2
    assert f"person {name}, named by the avatar or latents file" in one_error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_an_avatar_file_brings_its_own_truncation(avatar: Path, tmp_path: Path) -> None:
    baked = load_avatar(avatar)
    other = replace(baked, card=replace(baked.card, psi=1.0))
    save_avatar(tmp_path / "whole.safetensors", other)
    out = tmp_path / "out"
    usual = (
        "--expression",
        f"smile={GENTLE}",
        "--frames",
        1,
        "--size",
        8,
        "--grid",
        "false",
        "--video",
        "false",
    )
    assert command("render", "--model", tmp_path / "whole.safetensors", *usual, "--out", out) == 0
    assert json.loads((out / "manifest.json").read_text())["settings"]["psi"] == 1.0


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--renderer", "adaptive"), ("renderer is adaptive", "without networks")),
        (("--psi", 0.5), ("psi is 0.5", "0.7")),
        (("--latents", "people.npz"), ("latents is people.npz", "one person already")),
        (("--seeds", 3), ("seeds is 3", "one person already")),
        (("--expression", "jawOpen=1"), ("jawOpen", "cannot be made", "smile")),
        (("--strength", 3.0), ("3 times", "up to 1.5")),
        (("--yaw", 0.7), ("0.70 radians", "0.50")),
        (("--grid_yaw", 0.0, 0.6), ("0.60 radians", "0.50")),
    ],
)
def test_what_an_avatar_file_cannot_do_is_refused_in_one_line(
    avatar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    options: tuple, parts: tuple[str, ...],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    given = {"--expression": (f"smile={GENTLE}",), options[0]: options[1:]}
    words = [word for option, values in given.items() for word in (option, *values)]
    assert command("render", "--model", avatar, "--frames", 2, "--size", 8, *words, "--out", out) == 2
    error = one_error_line(capsys)
    assert all(part in error for part in parts), error
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--expressions", "laugh"), ("laugh", "not known")),
        (("--expressions", "no.mat"), ("no.mat",)),
        (("--bake.texture", 4), ("texture is 4",)),
        (("--latents", "no.npz"), ("no.npz",)),
        (("--psi", "nan"), ("psi",)),
        (("--seed", -1), ("seed is -1",)),
    ],
)
def test_what_cannot_be_baked_is_refused_by_the_command(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    options: tuple, parts: tuple[str, ...],
) -> None:  # fmt: skip
    assert bake_command(folder, tmp_path / "a.safetensors", *options) == 2
    error = one_error_line(capsys)
    assert all(part in error for part in parts), error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "part"), [("a.txt", ".safetensors"), ("no/a.safetensors", "folder that exists")]
)
def test_a_place_that_cannot_be_written_is_refused_first(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    out: str, part: str,
) -> None:  # fmt: skip
    assert bake_command(folder, tmp_path / out, "--expressions", "smile") == 2
    assert part in one_error_line(capsys)
    assert list(tmp_path.iterdir()) == []
