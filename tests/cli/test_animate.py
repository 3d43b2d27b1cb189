"""``anifacegan animate``: options, drivers, and what is written, with a maker that needs no MediaPipe."""

import dataclasses
import itertools
import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from anifacegan.avatars.avatar import Avatar, AvatarCard, load_avatar
from anifacegan.capture.crop import Crop
from anifacegan.capture.face_fitter import FittedFace
from anifacegan.capture.film_files import Film, open_film
from anifacegan.capture.film_fit import FittedFilm
from anifacegan.capture.landmarks import DetectedFace
from anifacegan.capture.light import Colours
from anifacegan.capture.painted_head import PhotoView
from anifacegan.capture.photo_avatar import PhotoAvatar
from anifacegan.cli.animate import refined, run
from anifacegan.cli.animate.command import main
from anifacegan.cli.animate.config import AnimateConfig
from anifacegan.cli.animate.driver import driver_trajectory, film_trajectory, sequence_trajectory
from anifacegan.cli.animate.refined import REFINED_FILES
from anifacegan.geometry.cameras import from_frontal
from anifacegan.models.latent_files import read_people
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import ConfigError, InputError
from anifacegan.runtime.output_folders import claim, note_contents, require_room
from anifacegan.training.refinement.config import RefinementConfig
from tests.capture.test_face_fitter import fit_with
from tests.fixtures.flat_avatars import layered_mesh_of, square
from tests.fixtures.photo_views import disc_view
from tests.rendering.test_video import loud

WORDS = ["--size", "64", "--frames", "3", "--yaw", "0"]
REFINE = [
    "--refine", "--refinement.steps", "2", "--refinement.inversion_steps", "1", "--refinement.rays", "16",
    "--refinement.guide_views", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    """A red square that every expression leaves as it is."""
    mesh = layered_mesh_of(square(0.0, (200, 40, 30, 255)))
    directions = np.eye(64, dtype=np.float32) * 100
    count = len(mesh.vertices)
    mesh = dataclasses.replace(
        mesh,
        z_exp=directions,
        blendshapes=np.zeros((64, 1, count, 3), np.float32),
        texel_offsets=np.zeros((64, 1, 0, 2), np.float32),
    )
    demo = load_model("demo")
    card = AvatarCard(
        "photo",
        "demo",
        demo.card.face_model,
        1.0,
        tuple(map(str, range(64))),
        presets=demo.card.presets,
        expression_units=demo.card.expression_units,
    )
    return Avatar(mesh, card, demo.checkpoint.basis)


@pytest.fixture
def photograph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, avatar: Avatar) -> Path:
    """A photograph, and a maker that gives the red square for it."""

    class Maker:
        fitter = None

        def __init__(self, *files: object) -> None:
            pass

        def __enter__(self) -> "Maker":
            return self

        def __exit__(self, *failure: object) -> None:
            pass

        def make(self, pixels: np.ndarray, label: Path, number: int | None) -> PhotoAvatar:
            fit = dataclasses.replace(fit_with(yaw=0.1), crop=Crop.whole(32))
            detected = DetectedFace(np.zeros((478, 2)))
            colours = Colours(np.zeros(80), np.zeros(27), 0.0)
            return PhotoAvatar(avatar, FittedFace(detected, fit, colours, np.zeros((68, 2))), pixels)

        def view(self, pixels: np.ndarray, face: FittedFace) -> PhotoView:
            return disc_view(face.fit.yaw)

    monkeypatch.setattr(run, "PhotoAvatarMaker", Maker)
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(path)
    return path


def an_empty_fit(film: Film) -> FittedFilm:
    """A fit of a film whose face is neutral and frontal in every frame."""
    frames = len(film)
    return FittedFilm(
        film=film,
        z_id=np.zeros(80),
        colours=Colours(np.zeros(80), np.zeros(27), 0.0),
        pose=np.zeros((frames, 2)),
        crops=(Crop.whole(32),) * frames,
        strengths=np.zeros((frames, 52)),
        z_exp=np.zeros((frames, 64)),
        landmarks=np.zeros((frames, 478, 2)),
        error_px=np.zeros(frames),
        lost=(),
    )


def mp4_text(path: Path) -> str:
    """What ffmpeg says about a file."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    return subprocess.run(command, capture_output=True, text=True).stderr


def test_everything_is_written_and_says_that_it_is_synthetic(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    main([str(photograph), "--out", str(out), *WORDS])
    assert re.search(r"out: avatar in \d+ s, 3 frames of 64 px", capsys.readouterr().out)
    images = sorted(path.stem for path in out.glob("*.png"))
    assert images == [
        "beside_photograph", "blink", "jaw_open", "neutral", "own_view", "smile", "turned_left", "turned_right",
    ]  # fmt: skip
    for path in out.glob("*.png"):
        assert "Synthetic" in Image.open(path).info["Description"]
    assert "Synthetic image: made by anifacegan" in mp4_text(out / "film.mp4")
    beside = np.asarray(Image.open(out / "beside_photograph.png"))
    assert beside.shape == (64, 8 * 64, 3) and (beside[:, :64] == 90).all()
    again = load_avatar(out / "avatar.safetensors")
    np.testing.assert_array_equal(beside[32, 128 + 32], [200, 40, 30])
    assert again.render(size=16).shape == (3, 16, 16)


def test_refine_writes_a_model_and_its_person(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    main([str(photograph), "--out", str(out), *WORDS, *REFINE])
    assert re.search(r"out/refined: model fine-tuned in \d+ s", capsys.readouterr().out)
    model, latents = load_model(out / "refined"), read_people(out / "refined" / "person.npz")
    assert "one photograph" in model.card.training["stage"] and "synthetic" in model.card.licence
    image = model.face(latents=latents, expression="smile").render(yaw=0.1, size=16)
    assert image.shape == (3, 16, 16)
    beside = Image.open(out / "refined_beside_photograph.png")
    assert beside.size == (8 * 64, 64) and "Synthetic" in beside.info["Description"]
    assert not list(out.glob("unfinished*")) and not list((out / "refined").glob("*.lock"))
    require_room(out, REFINED_FILES)  # a second run may replace its own files


def test_an_interrupted_refinement_leaves_nothing(
    photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(refined, "refined_person", interrupted)
    with pytest.raises(KeyboardInterrupt):
        main([str(photograph), "--out", str(tmp_path / "out"), *WORDS, *REFINE])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["refined/model.safetensors", "own_view.png", "turned_right.png"])
def test_files_of_others_are_refused_before_anything_is_computed(
    name: str, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anifacegan.cli.animate.run.load_model", lambda _: pytest.fail("computed"))
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(InputError, match=rf"{name}: is in the way"):
        main([str(photograph), "--out", str(tmp_path / "out"), *WORDS, *REFINE])
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("option", "read", "written"),
    [
        ("--photograph", "own_view.png", "own_view.png"),
        ("--driver", "film.mp4", "film.mp4"),
        ("--model", "refined", "refined/model.safetensors"),
    ],
)
def test_results_of_an_earlier_run_that_are_read_are_not_replaced(
    option: str, read: str, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "load_model", lambda _: pytest.fail("computed"))
    out, link = tmp_path / "out", tmp_path / "link"
    claim(out, [written])
    (out / written).parent.mkdir(exist_ok=True)
    (out / written).write_text("earlier")
    note_contents(out, [written])
    link.symlink_to(out)
    words = [] if option == "--photograph" else [str(tmp_path / "photo.jpg")]
    with pytest.raises(InputError, match="is read and would be replaced, expected another --out"):
        main([*words, "--out", str(link), *REFINE, option, str(out / read)])


def test_the_mark_can_be_left_out(photograph: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    main([str(photograph), "--out", str(out), "--mark_synthetic", "false", *WORDS])
    assert "Description" not in Image.open(out / "neutral.png").info
    assert "Synthetic" not in mp4_text(out / "film.mp4")


def test_a_driver_that_cannot_be_followed_writes_nothing(photograph: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"yaw 1.1 and pitch 0 are 1.10 radians from frontal"):
        main([str(photograph), "--out", str(out), "--size", "64", "--frames", "2", "--yaw", "1.1"])
    assert not out.exists()


def test_files_of_others_are_not_replaced(photograph: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "film.mp4").write_text("mine")
    with pytest.raises(InputError, match=r"film.mp4"):
        main([str(photograph), "--out", str(out), *WORDS])
    assert [path.name for path in out.iterdir()] == ["film.mp4"]
    main([str(photograph), "--out", str(out), "--overwrite", "true", *WORDS])
    assert (out / "film.mp4").read_bytes() != b"mine"


def test_drivers_are_names_files_and_sequences(tmp_path: Path) -> None:
    reader = load_model("demo").expressions
    plain = AnimateConfig(Path("a.png"), Path("out"))
    film = driver_trajectory(plain, reader)
    smile = reader.coefficients(Path("mat/smile.mat"))
    assert len(film) == 50 and film.yaw[0] == -0.3 and film.yaw[-1] == 0.3
    np.testing.assert_allclose(film.z_exp[-1], smile, atol=1e-5)
    table = tmp_path / "take.csv"
    table.write_text("timecode,jawOpen,eyeBlinkLeft\n0,0.5,0\n1,0.25,1\n")
    recorded = driver_trajectory(dataclasses.replace(plain, driver=str(table)), reader)
    np.testing.assert_allclose(
        recorded.z_exp[1], reader.coefficients("jawOpen=0.25,eyeBlinkLeft=1"), atol=1e-5
    )
    rows = np.stack([smile, 0 * smile])
    direct = sequence_trajectory(rows, yaw=np.array([0.1, 0.2]), pitch=np.zeros(2))
    np.testing.assert_array_equal(direct.z_exp, rows)


def test_a_film_drives_with_its_sound(
    photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The film's expressions and poses are those of a fit, of which the last one is turned too far."""
    path = tmp_path / "me.MP4"
    sources = ["testsrc=size=48x32:rate=20:duration=0.15", "sine=frequency=440:duration=0.15"]
    inputs = [word for source in sources for word in ("-f", "lavfi", "-i", source)]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *inputs, str(path)], check=True)
    pose = np.array([[0.0, 0.1], [0.05, -0.2], [0.9, -0.9]])

    def fit_film(fitter: object, film: Film, work: Path) -> FittedFilm:
        return dataclasses.replace(an_empty_fit(film), pose=pose)

    monkeypatch.setattr(run, "fit_film", fit_film)
    out = tmp_path / "out"
    main([str(photograph), "--out", str(out), "--driver", str(path), "--size", "64"])
    assert "in 1 of 3 frames the head is turned farther" in capsys.readouterr().err
    for name, width in (("film.mp4", 64), ("beside_driver.mp4", 128)):
        said = mp4_text(out / name)
        assert f"{width}x64" in said and "20 fps" in said and "Audio: aac" in said and "Synthetic" in said
        assert len(open_film(out / name)) == 3


def test_an_uneven_film_whose_picture_is_late_keeps_its_time(
    photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames at 0, 0.1, 0.2, 0.3 and 0.8 s, from 0.5 s of a sound on that becomes loud at 1 s."""
    path = tmp_path / "me.mkv"
    times = "setpts='if(lt(N,4),N*0.1,0.8)/TB'"
    sources = ["aevalsrc='if(gt(t,1),sin(2000*t),0)':duration=1.5", "testsrc=size=32x32:rate=10:duration=0.5"]
    inputs = ["-f", "lavfi", "-i", sources[0], "-itsoffset", "0.5", "-f", "lavfi", "-i", sources[1]]
    words = [
        *inputs,
        "-map",
        "0:a",
        "-map",
        "1:v",
        "-vf",
        f"{times},setpts=PTS+0.5/TB",
        "-fps_mode",
        "passthrough",
    ]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *words, str(path)], check=True)
    assert open_film(path).start_s == pytest.approx(0.5, abs=0.03)
    monkeypatch.setattr(run, "fit_film", lambda fitter, film, work: an_empty_fit(film))
    out = tmp_path / "out"
    main([str(photograph), "--out", str(out), "--driver", str(path), "--size", "64"])
    for name in ("film.mp4", "beside_driver.mp4"):
        assert abs(int(loud(out / name).argmax()) - 5) <= 1
        np.testing.assert_allclose(open_film(out / name).times, np.arange(9) / 10, atol=0.01)
    driver = [frame[:, :64] for frame in open_film(out / "beside_driver.mp4").frames()]
    changes = [np.abs(one.astype(int) - other).mean() > 1 for one, other in itertools.pairwise(driver)]
    assert changes == [True] * 3 + [False] * 4 + [True]


def test_views_of_a_film_are_turned_back_to_the_widest_one() -> None:
    film = Film(Path("a.mp4"), np.arange(3) / 25)
    pose = np.array([[0.1, -0.2], [0.9, -0.9], [-0.2, 1.2]])
    fitted = dataclasses.replace(an_empty_fit(film), pose=pose)
    found = film_trajectory(fitted, 0.8)
    angle = from_frontal(yaw=found.yaw, pitch=found.pitch)
    np.testing.assert_allclose(angle, [from_frontal(yaw=-0.2, pitch=0.1), 0.8, 0.8], atol=1e-7)
    np.testing.assert_allclose(
        found.pitch * pose[:, 1], found.yaw * pose[:, 0], atol=1e-12
    )  # the same direction


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        (("none.mp4",), "none.mp4: no such file"),
        (("a.mp4", "smile"), "expected no driver beside it"),
        (("none.mp4", "--yaw", "0.1"), "yaw is 0.1, expected no --yaw with a film as driver"),
    ],
)
def test_a_film_that_cannot_drive_is_one_line(
    photograph: Path, tmp_path: Path, driver: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        main([str(photograph), "--out", str(tmp_path / "out"), "--driver", *driver])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 8}, "size"),
        ({"fps": 0}, "fps"),
        ({"frames": 0}, "frames"),
        ({"face": 0}, "face"),
        ({"yaw": float("nan")}, "yaw"),
        ({"driver": ""}, "driver"),
        ({"driver_pose": True, "yaw": 0.1}, "yaw is 0.1, expected no --yaw with --driver_pose"),
        (
            {"refinement": RefinementConfig(inversion_steps=3)},
            "no --refinement.inversion_steps without --refine",
        ),
    ],
)
def test_wrong_options_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=message):
        AnimateConfig(Path("a.png"), Path("out"), **changes)  # type: ignore[arg-type]
