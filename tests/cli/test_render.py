"""anifacegan render: people, expressions and views as files; mistakes in one line; all or nothing."""

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import scipy.io
import torch

from anifacegan.cli.render import run as render_run
from anifacegan.cli.render.config import RenderConfig
from anifacegan.cli.render.plan import plan_video
from anifacegan.cli.render.run import run
from anifacegan.face_model.coefficients import BFM, read_expression
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.models.latent_files import write_people
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.image_files import read_image
from anifacegan.runtime.output_folders import MANIFEST, MARKER
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.released_layout import golden_folder, write_averages, write_released
from tests.fixtures.small_models import small_generator, write_small_model
from tests.models.test_released import RELEASED_SMALL

ROOT = Path(__file__).resolve().parents[2]
MATS = ("blink", "brow_raise", "frown", "jaw_open", "pucker", "smile")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def config(model: Path, tmp_path: Path) -> RenderConfig:
    """Two people, four frames, no contact sheet and no video; most tests use these."""
    return RenderConfig(
        model=model,
        expression="smile",
        seeds=(1, 2),
        frames=4,
        size=12,
        video=False,
        grid=False,
        out=tmp_path / "out",
    )


def frames_of(folder: Path, person: str) -> np.ndarray:
    return np.stack([read_image(path) for path in sorted((folder / person).glob("frame_*.png"))])


def write_mat(path: Path, **arrays: object) -> Path:
    scipy.io.savemat(path, arrays)
    return path


# ------------------------------------------------------------------ what is written
def test_the_command_writes_frames_videos_sheet_and_manifest(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # mat/smile.mat is one of the shipped files
    smile = ROOT / "configs" / "render_smile.yaml"
    code = command("render", "--config", smile, "--model", model, "--size", 12, "--frames", 3, "--depth")
    assert code == 0
    out = tmp_path / "multiview_imgs"
    manifest = json.loads((out / MANIFEST).read_text())
    assert sorted(path.name for path in out.iterdir() if path.name != MARKER) == sorted(
        [MANIFEST, "sheet.png"]
        + [f"seed{k}{end}" for k in (60, 8, 36, 3, 27) for end in ("", ".mp4", ".npz")]
    )
    on_disk = {
        path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file() and path.name != MARKER
    }
    assert set(manifest["files"]) | {MANIFEST} == on_disk
    assert [person["seed"] for person in manifest["people"]] == [60, 8, 36, 3, 27]
    for person in manifest["people"]:
        assert [frame["yaw"] for frame in person["frames"]] == [-0.35, 0, 0.35]
        assert [frame["strength"] for frame in person["frames"]] == [0, 0.5, 1]
        assert imageio_ffmpeg.count_frames_and_secs(str(out / person["video"]))[0] == 3
        for frame in person["frames"]:
            assert read_image(out / frame["file"]).shape == (12, 12, 3)
            assert read_image(out / frame["depth"]).dtype == np.uint16
    assert manifest["sheet"]["expressions"] == [
        "neutral",
        "smile",
        *(name for name in MATS if name != "smile"),
    ]
    assert manifest["sheet"]["yaw"] == [-0.35, 0, 0.35]
    sheet = read_image(out / "sheet.png")
    assert sheet.shape[0] > 9 * 12 and sheet.shape[1] > 7 * 12
    assert manifest["model"]["name"] == "small" and manifest["versions"]["torch"] == torch.__version__
    assert manifest["seconds"]["total"] >= manifest["seconds"]["frames"] >= 0
    assert "5 people, 15 frames of 12 px" in capsys.readouterr().out


def test_frames_are_what_the_library_renders(config: RenderConfig) -> None:
    run(replace(config, psi=0.6, pitch=(0.0, 0.2)))
    loaded = load_model(config.model)
    smile = loaded.expression("smile")[0].numpy()
    for k, share in enumerate((0, 1 / 3, 2 / 3, 1)):
        face = loaded.face(seed=2, expression=(share * smile).astype(np.float32), psi=0.6)
        image = face.image(yaw=-0.35 + 0.7 * share, pitch=0.2 * share, size=12)
        expected = (image.rgb * 255).permute(1, 2, 0).numpy()
        assert np.abs(frames_of(config.out, "seed2")[k] - expected).max() <= 0.51


def test_cameras_of_the_frames_are_written(config: RenderConfig) -> None:
    """Landmarks on the face, projected with the files, are where the renderer's rays meet them."""
    run(replace(config, cameras=True, pitch=0.1))
    manifest = json.loads((config.out / MANIFEST).read_text())
    labels = dict(json.loads((config.out / "dataset.json").read_text())["labels"])
    landmarks = np.random.default_rng(0).uniform(-0.08, 0.08, (68, 3))
    for person in manifest["people"]:
        transforms = json.loads((config.out / person["name"] / "transforms.json").read_text())
        colmap = {path.name for path in (config.out / person["name"] / "colmap").iterdir()}
        assert (
            colmap
            == {"cameras.txt", "images.txt", "points3D.txt"}
            <= {Path(f).name for f in manifest["files"]}
        )
        for frame, entry in zip(person["frames"], transforms["frames"], strict=True):
            assert (
                f"{person['name']}/{entry['file_path']}" == frame["file"] and len(labels[frame["file"]]) == 25
            )
            assert frame["camera"]["camera_to_world_opengl"] == entry["transform_matrix"]
            from_world = np.linalg.inv(np.array(entry["transform_matrix"]))
            x, y, z = from_world[:3, :3] @ landmarks.T + from_world[:3, 3:]
            found = np.stack(
                [transforms["cx"] - transforms["fl_x"] * x / z, transforms["cy"] + transforms["fl_y"] * y / z]
            )
            angles = {name: torch.tensor([frame[name]], dtype=torch.float64) for name in ("yaw", "pitch")}
            seen = (
                orbit_camera(**angles, size=config.size)
                .project(torch.from_numpy(landmarks)[None])[0]
                .T.numpy()
            )
            assert np.abs(found - (seen + 0.5)).max() < 0.1  # pixels; centres are at halves in these files
    assert len(labels) == 8


def test_antialias_smooths_frames_and_not_depth(config: RenderConfig) -> None:
    face = load_model(config.model).face(seed=1, expression="smile")
    for antialias in (True, False):
        out = config.out / str(antialias)
        manifest = run(replace(config, seeds=1, yaw=0.3, size=40, depth=True, antialias=antialias, out=out))
        expected = face.render(yaw=0.3, size=40, antialias=antialias)
        assert (frames_of(out, "seed1")[-1] == to_bytes(expected)).all()
        assert manifest["settings"]["antialias"] is antialias
    smooth, one_ray = (config.out / name / "seed1" for name in ("True", "False"))
    assert (smooth / "frame_003.png").read_bytes() != (one_ray / "frame_003.png").read_bytes()
    assert (smooth / "depth_003.png").read_bytes() == (one_ray / "depth_003.png").read_bytes()


def test_pose_and_expression_both_change_the_image(config: RenderConfig) -> None:
    run(replace(config, yaw=0.0, out=config.out / "expression"))
    run(replace(config, expression="neutral", out=config.out / "yaw"))
    run(replace(config, expression="neutral", yaw=0.0, out=config.out / "neither"))
    for name, changes in (("expression", True), ("yaw", True), ("neither", False)):
        frames = frames_of(config.out / name, "seed1").astype(int)
        assert (np.abs(frames[0] - frames[-1]).max() > 5) == changes, name


def test_a_seed_is_the_same_face_alone_or_among_others(config: RenderConfig) -> None:
    run(config)
    run(replace(config, seeds=2, out=config.out / "alone"))
    assert np.array_equal(frames_of(config.out, "seed2"), frames_of(config.out / "alone", "seed2"))
    assert not np.array_equal(frames_of(config.out, "seed1"), frames_of(config.out, "seed2"))


def test_a_second_run_gives_the_same_bytes_whatever_the_global_generators_hold(config: RenderConfig) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    run(replace(config, video=True, grid=True, depth=True))
    torch.manual_seed(1)
    np.random.seed(1)
    first = {path: path.read_bytes() for path in config.out.rglob("*.*") if path.suffix in (".png", ".mp4")}
    run(replace(config, video=True, grid=True, depth=True))
    assert {path: path.read_bytes() for path in first} == first


def test_written_latents_render_the_same_face(config: RenderConfig) -> None:
    run(config)
    run(replace(config, seeds=RenderConfig.seeds, latents=config.out / "seed2.npz", out=config.out / "again"))
    assert np.array_equal(frames_of(config.out, "seed2"), frames_of(config.out / "again", "seed2"))


def test_a_file_of_several_people_renders_each(config: RenderConfig, tmp_path: Path) -> None:
    people = [load_model(config.model).person(seed) for seed in (1, 2)]
    write_people(tmp_path / "pair.npz", *(torch.cat(latents) for latents in zip(*people, strict=True)))
    run(config)
    run(replace(config, seeds=RenderConfig.seeds, latents=tmp_path / "pair.npz", out=tmp_path / "pair"))
    for k, seed in enumerate((1, 2)):
        assert np.array_equal(frames_of(tmp_path / "pair", f"pair_{k}"), frames_of(config.out, f"seed{seed}"))


def test_transparent_frames_over_the_background_are_the_image(config: RenderConfig) -> None:
    run(replace(config, seeds=1, frames=1, transparent=True, video=True))
    rgba = frames_of(config.out, "seed1")[0] / 255
    loaded = load_model(config.model)
    image = loaded.face(seed=1, expression="smile").image(yaw=0.35, size=12)
    background = image.rgb - image.foreground_rgb  # premultiplied by what shines through
    blended = rgba[..., :3] * rgba[..., 3:] + background.permute(1, 2, 0).numpy()
    assert rgba.shape == (12, 12, 4)
    assert 0.1 < rgba[..., 3].mean() < 0.9 and rgba[..., 3].std() > 0.1  # both parts are seen
    assert np.abs(blended - image.rgb.permute(1, 2, 0).numpy()).max() < 1.1 / 255


def test_depth_maps_hold_the_distance(config: RenderConfig) -> None:
    manifest = run(replace(config, seeds=1, frames=1, depth=True))
    levels = read_image(config.out / "seed1" / "depth_000.png").astype(np.float64)
    near, far = manifest["depth"]["at_0"], manifest["depth"]["at_65535"]
    image = load_model(config.model).face(seed=1, expression="smile").image(yaw=0.35, size=12)
    assert np.abs(near + levels / 65535 * (far - near) - image.depth[0].numpy()).max() < 1e-4


# ------------------------------------------------------------------ which expressions
def test_a_folder_is_a_sequence_sorted_by_name(config: RenderConfig, tmp_path: Path) -> None:
    folder = tmp_path / "video"
    folder.mkdir()
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((3, 64)).astype(np.float32)
    for name, exp in zip(("b", "a", "c"), latents, strict=True):
        write_mat(folder / f"{name}.mat", exp=exp[None], face_model="anifacegan-open-4")
    plan = plan_video(replace(config, expression=str(folder), frames=None))
    assert np.array_equal(plan.trajectory.z_exp, latents[[1, 0, 2]])
    assert plan.trajectory.labels == ("a", "b", "c")
    resampled = plan_video(replace(config, expression=str(folder), frames=5))
    assert np.allclose(resampled.trajectory.z_exp[3], (latents[0] + latents[2]) / 2, atol=1e-6)


def test_several_expressions_follow_one_another(config: RenderConfig) -> None:
    requested = ("smile", "jawOpen=0.5", str(ROOT / "mat" / "blink.mat"))
    trajectory = plan_video(replace(config, expression=requested, frames=9)).trajectory
    assert trajectory.labels == ("smile",) * 3 + ("jawOpen=0.5",) * 3 + ("blink",) * 3
    assert trajectory.strength.tolist() == [0, 1, 0] * 3
    blink, _ = read_expression(ROOT / "mat" / "blink.mat")
    assert np.array_equal(trajectory.z_exp[7], blink)
    assert not trajectory.z_exp[[0, 2, 3, 5, 6, 8]].any()


def test_one_expression_takes_fifty_frames_from_neutral(config: RenderConfig) -> None:
    trajectory = plan_video(replace(config, frames=None)).trajectory
    assert len(trajectory) == 50
    assert not trajectory.z_exp[0].any()
    assert np.allclose(trajectory.yaw, np.linspace(-0.35, 0.35, 50))


def test_strength_can_be_held_or_led(config: RenderConfig) -> None:
    full = load_model(config.model).expression("smile")[0].numpy()
    held = plan_video(replace(config, strength=0.5)).trajectory.z_exp
    led = plan_video(replace(config, strength=(1.0, 0.0, 1.0), frames=3)).trajectory.z_exp
    assert np.allclose(held, 0.5 * full[None].repeat(4, 0))
    assert np.allclose(led, np.array([1, 0, 1])[:, None] * full)


def test_poses_come_from_the_files_on_request(config: RenderConfig, tmp_path: Path) -> None:
    with_pose = write_mat(
        tmp_path / "a.mat", exp=np.zeros((1, 64)), pose=[[0.1, -0.2]], angle=[[9.0, 9.0, 9.0]]
    )
    without_pose = write_mat(tmp_path / "b.mat", exp=np.zeros((1, 64)), angle=[[0.25, 0.3, 0.0]])
    target = replace(config, expression=(str(with_pose), str(without_pose)), pose_from_mat=True, frames=2)
    trajectory = plan_video(target).trajectory
    assert np.allclose(trajectory.pitch, [0.1, 0.25]) and np.allclose(trajectory.yaw, [-0.2, 0.3])
    assert np.allclose(plan_video(replace(target, pitch_offset=0.1)).trajectory.pitch, [0.1, 0.15])


# ------------------------------------------------------------------ which face model
def test_a_file_for_another_face_model_is_refused_by_name(tmp_path: Path, config: RenderConfig) -> None:
    bfm = write_small_model(tmp_path / "bfm", face_model=BFM)
    expected = "smile.mat: is for face model 'anifacegan-open-4', but model 'small' takes 'bfm09'"
    with pytest.raises(InputError, match=expected):
        run(replace(config, model=bfm, expression=str(ROOT / "mat" / "smile.mat")))


def test_a_file_that_does_not_say_its_face_model_is_warned_of_once(
    config: RenderConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "video"
    folder.mkdir()
    for k in range(3):
        write_mat(folder / f"{k}.mat", exp=np.zeros((1, 64)))
    run(replace(config, expression=str(folder)))
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert "0.mat: does not say which face model it is for; taken to be for 'anifacegan-open-4'" in warning
    assert "(and 2 more warnings like this)" in warning


def test_released_models_take_unlabelled_files_without_a_warning(
    tmp_path: Path, config: RenderConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    bfm = write_small_model(tmp_path / "bfm", face_model=BFM)
    mat = write_mat(tmp_path / "01626.mat", exp=np.zeros((1, 64)))
    run(replace(config, model=bfm, expression=str(mat), grid=True))
    assert capsys.readouterr().err == ""
    labels = json.loads((config.out / MANIFEST).read_text())["sheet"]["expressions"]
    assert labels == ["neutral", "01626"]  # the files of mat/ are for another face model


def test_a_released_folder_without_an_expression_says_what_to_bring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = small_generator(RELEASED_SMALL)
    folder = write_released(tmp_path / "released", generator)
    write_averages(folder, generator)
    smile = ROOT / "configs" / "render_smile.yaml"
    assert command("render", "--config", smile, "--model", folder, "--out", tmp_path / "out") == 2
    line = one_error_line(capsys)
    assert "bring a Deep3DFaceRecon .mat, whose 'exp' holds BFM expression coefficients" in line
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ golden numbers
@pytest.mark.parametrize("case", range(4))
def test_golden_images_through_the_command(
    case: int,
    golden: Path,
    official: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = golden_folder(tmp_path / "model", golden, official)
    expected = np.load(golden / "expected.npz")
    ratio, camera_pitch, camera_yaw = expected["cases"][case]
    np.savez(tmp_path / "person.npz", z_id=expected["z_id"], z_noise=expected["z_noise"])
    code = command(
        "render", "--model", folder, "--latents", tmp_path / "person.npz", "--expression", official / "01626.mat",
        "--strength", ratio, "--pitch", math.pi / 2 - camera_pitch, "--yaw", camera_yaw - math.pi / 2,
        "--frames", 1, "--size", 24, "--psi", 0.7, "--grid", "false", "--depth", "--antialias", "false",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 0, capsys.readouterr().err
    pixels = read_image(tmp_path / "out" / "person" / "frame_000.png").astype(np.float64)
    expected_pixels = (np.clip(expected["images"][case], -1, 1) + 1) / 2 * 255
    assert (
        np.abs(pixels - expected_pixels.transpose(1, 2, 0)).max() <= 0.5 + 255 / 2 * 1e-3
    )  # rounding, and the tolerance
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    near, far = manifest["depth"]["at_0"], manifest["depth"]["at_65535"]
    depth = near + read_image(tmp_path / "out" / "person" / "depth_000.png") / 65535 * (far - near)
    assert np.abs(depth - np.clip(expected["depths"][case, 0], near, far)).max() <= 1e-4


# ------------------------------------------------------------------ mistakes
def broken_mat(tmp_path: Path) -> str:
    (tmp_path / "broken.mat").write_bytes((ROOT / "mat" / "smile.mat").read_bytes()[:300])
    return str(tmp_path / "broken.mat")


def text_as_mat(tmp_path: Path) -> str:
    (tmp_path / "text.mat").write_text("not a mat file")
    return str(tmp_path / "text.mat")


def nan_mat(tmp_path: Path) -> str:
    return str(write_mat(tmp_path / "nan.mat", exp=np.full((1, 64), np.nan)))


def short_mat(tmp_path: Path) -> str:
    return str(write_mat(tmp_path / "short.mat", exp=np.zeros((1, 63))))


def empty_folder(tmp_path: Path) -> str:
    (tmp_path / "empty").mkdir()
    return str(tmp_path / "empty")


def nan_latents(tmp_path: Path) -> str:
    np.savez(tmp_path / "nan.npz", z_id=np.zeros((1, 80)), z_noise=np.full((1, 80), np.inf))
    return str(tmp_path / "nan.npz")


def short_latents(tmp_path: Path) -> str:
    np.savez(tmp_path / "short.npz", z_id=np.zeros((1, 79)), z_noise=np.zeros((1, 80)))
    return str(tmp_path / "short.npz")


def unknown_key(tmp_path: Path) -> str:
    (tmp_path / "unknown.yaml").write_text("expresion: mat/smile.mat\n")
    return str(tmp_path / "unknown.yaml")


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--expression", "no.mat", "no.mat: no such file"),
        ("--expression", broken_mat, "broken.mat: not a readable MATLAB"),
        ("--expression", text_as_mat, "text.mat: not a readable MATLAB"),
        ("--expression", nan_mat, "nan.mat: 'exp' has 64 values that are not finite"),
        ("--expression", short_mat, r"short.mat: 'exp' has shape \(1, 63\).*expected \(1, 64\)"),
        ("--expression", empty_folder, "empty: holds no .mat file"),
        ("--expression", "smlie=0.7", "'smlie' is not known; model 'small' has smile, jawOpen, mouthSmile"),
        ("--expression", "smile=wide", "cannot read 'smile=wide', expected name=strength"),
        ("--expression", "videos/talk", "videos/talk: no .mat file and no folder"),
        ("--latents", "no.npz", "no.npz: no such file"),
        ("--latents", nan_latents, "nan.npz: 'z_noise' has values that are not finite"),
        ("--latents", short_latents, r"short.npz: 'z_id' has shape \(1, 79\).*expected \(N, 80\)"),
        ("--config", unknown_key, "unknown.yaml: unknown key 'expresion', did you mean 'expression'"),
        ("--config", "no.yaml", "no.yaml: no such file"),
        ("--model", "nowhere", "nowhere: no such file or folder"),
        ("--model", empty_folder, "card.yaml: no such file"),
        ("--frames", "0", "frames is 0, expected 1 to 100000"),
        ("--size", "1", "size is 1, expected 8 to 4096"),
        ("--psi", "nan", "psi is nan, expected -4 to 4"),
        ("--psi", ".nan", "psi is nan, expected -4 to 4"),
        ("--psi", "70", "psi is 70.0, expected -4 to 4; 1 is the full variety of people"),
        ("--yaw", ".inf", "yaw is inf, expected finite numbers"),
        ("--yaw", "90", "yaw 90 and pitch 0 are farther from frontal than 1.4 radians"),
        ("--grid_yaw", "2", "yaw 2 and pitch 0 are farther from frontal"),
        ("--seeds", "-1", r"seeds are \[-1\], expected whole numbers from 0"),
        ("--seeds", "3,3", r"seeds are \[3, 3\], expected whole numbers from 0 to 2\*\*63 - 1, each once"),
        ("--fps", "0", "fps is 0, expected 1 to 240"),
        ("--nope", "1", "unknown option '--nope', --help shows all"),
        ("--device", "tpu", "device is tpu, expected one of auto, cpu, cuda"),
        ("--pose_from_mat", "true", "expression 'smile': pose_from_mat needs .mat files"),
        ("--pitch_offset", "0.1", "pitch_offset is 0.1, expected no --pitch_offset without --pose_from_mat"),
        ("--strength", "0,1,2,1,0", "strength has 5 values, expected at most one for each of 3 frames"),
        ("--yaw", "0,0.1,0.2,0", "yaw has 4 values, expected at most one for each of 3 frames"),
        ("--views.limit", "1", "views.limit is 1.0, expected no --views.limit without --stills"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    option: str,
    value: object,
    expected: str,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = value(tmp_path) if callable(value) else value
    monkeypatch.chdir(tmp_path)
    given = {"--model": model, "--expression": "smile", "--size": 12, "--frames": 3} | {option: text}
    before = sorted(tmp_path.rglob("*"))
    assert command("render", *(word for pair in given.items() for word in pair)) == 2
    assert re.search(expected, one_error_line(capsys))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--pose_from_mat --yaw 0.1", r"yaw is 0.1, expected no --yaw with --pose_from_mat"),
        ("--pose_from_mat --pitch 0.1", r"pitch is 0.1, expected no --pitch with --pose_from_mat"),
        ("--video false --fps 30", "fps is 30, expected no --fps with --video false"),
        ("--grid false --grid_yaw 0", "grid_yaw is 0.0, expected no --grid_yaw with --grid false"),
        ("--latents people.npz --seeds 7", "seeds is 7, expected no --seeds with --latents"),
        ("--expression smile jawOpen --frames 6 --strength 0 1 2 1", "strength has 4 values, .* of 3 frames"),
    ],
)
def test_an_option_that_another_leaves_without_effect_is_refused(
    words: str, expected: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--model", model, "--size", 12, "--out", tmp_path / "out")
    assert command("render", *given, *words.split()) == 2
    assert re.search(expected, one_error_line(capsys)) and not (tmp_path / "out").exists()


def test_a_pair_of_values_is_a_beginning_and_an_end_of_which_a_single_frame_has_the_end(
    config: RenderConfig,
) -> None:
    trajectory = plan_video(replace(config, yaw=(-0.2, 0.3), strength=(0.0, 0.5), frames=1)).trajectory
    assert (trajectory.yaw, trajectory.strength) == (0.3, 0.5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_one_line(config: RenderConfig) -> None:
    with pytest.raises(InputError, match="device is cuda, but PyTorch sees no GPU here"):
        run(replace(config, device="cuda"))


def test_a_disk_that_fills_up_leaves_the_old_images(
    config: RenderConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config)
    before = {path: path.read_bytes() for path in config.out.rglob("*") if path.is_file()}
    written = 0
    write_bytes = Path.write_bytes

    def until_full(path: Path, content: bytes) -> int:
        nonlocal written
        written += len(content)
        if written > 1500:
            raise OSError(28, os.strerror(28))
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", until_full)
    with pytest.raises(InputError, match=r"out: cannot be written \(No space left on device\)"):
        run(replace(config, seeds=(3, 4)))
    assert {path: path.read_bytes() for path in config.out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "name",
    [
        "seed2/frame_003.png",
        "seed2/depth_003.png",
        "seed2.mp4",
        "seed2.npz",
        "sheet.png",
        "seed2/transforms.json",
        "seed2/colmap/images.txt",
        MANIFEST,
    ],
)
def test_a_file_in_the_way_is_said_before_anything_is_rendered(
    name: str, config: RenderConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render_run, "filled_when_complete", None)  # in which all is rendered
    (config.out / name).parent.mkdir(parents=True, exist_ok=True)
    (config.out / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}: is in the way and was not written by anifacegan"):
        run(replace(config, depth=True, cameras=True, video=True, grid=True))


@pytest.mark.parametrize("name", ["sheet.png", "dataset.json", MANIFEST])
def test_a_common_file_in_the_way_is_said_before_the_model_is_loaded(
    name: str, config: RenderConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render_run, "plan_video", None)
    config.out.mkdir()
    (config.out / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}: is in the way and was not written by anifacegan"):
        run(replace(config, cameras=True, grid=True))


def test_all_files_that_are_written_are_asked_for_before(
    config: RenderConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(render_run, "require_room", lambda _, names, overwrite: asked.extend(names))
    manifest = run(replace(config, depth=True, cameras=True, video=True, grid=True, frames=2))
    assert set(asked) == {*manifest["files"], MANIFEST}


def test_files_of_names_that_are_not_written_are_not_in_the_way(config: RenderConfig) -> None:
    names = ("seed2/depth_003.png", "seed2/frame_004.png", "seed2.mp4", "sheet.png", "dataset.json")
    (config.out / "seed2").mkdir(parents=True)
    for name in names:
        (config.out / name).write_text("mine")
    run(replace(config, frames=2))
    assert {(config.out / name).read_text() for name in names} == {"mine"}


def test_latents_that_no_network_can_take_are_found(config: RenderConfig, tmp_path: Path) -> None:
    huge = np.full((1, 80), 3e38, np.float32)
    np.savez(tmp_path / "huge.npz", z_id=huge, z_noise=huge)
    with pytest.raises(InputError, match="huge.npz: 'z_id' has a value of size 3e.38"):
        run(replace(config, seeds=RenderConfig.seeds, latents=tmp_path / "huge.npz"))
    assert not config.out.exists()


def test_the_file_is_a_command_of_its_own(model: Path, tmp_path: Path) -> None:
    """From a strange folder, without the package on any path: as render.sh calls it."""
    command = [sys.executable, str(ROOT / "render.py"), "--model", str(model), "--frames", "1", "--size", "8"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([*command, "--seeds", "7", "--grid", "false"], **options)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "multiview_imgs" / "seed7" / "frame_000.png").is_file()
    failed = subprocess.run([*command, "--frames", "0"], **options)
    assert (failed.returncode, failed.stderr) == (
        2,
        "error: anifacegan render: frames is 0, expected 1 to 100000\n",
    )
