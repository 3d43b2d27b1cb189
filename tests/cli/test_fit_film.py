"""A film that cannot be fitted leaves no trace, and crops of an earlier film of its name are counted."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anifacegan.capture.face_fitter import FaceFitter
from anifacegan.capture.film_files import Film, NoFaceError, open_film
from anifacegan.capture.film_fit import FittedFilm, work_files
from anifacegan.cli.fit import film as fit_film_module
from anifacegan.cli.fit.config import FitConfig
from anifacegan.cli.fit.results import result_names
from anifacegan.rendering.video import write_video
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.output_folders import own_files
from tests.fixtures.commands import command, one_error_line

NETWORK = Path(__file__).parents[2] / "checkpoints" / "reconstruction"


def test_a_film_without_a_face_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "a.mp4", tmp_path / "out"
    write_video(path, iter([np.zeros((32, 32, 3), np.uint8)] * 3), 25)

    def seen_in_vain(fitter: FaceFitter, film: Film, work: Path, number: int | None) -> None:
        work.mkdir(parents=True)
        for name in work_files(film):
            write_complete(work / name, "landmarks")
        raise NoFaceError(f"{film.path}: no face found")

    monkeypatch.setattr(fit_film_module, "fit_film", seen_in_vain)
    with pytest.raises(NoFaceError), GrowingFolder(out) as folder:
        fit_film_module.fit_one_film(FitConfig(path, out), FaceFitter.__new__(FaceFitter), folder, path)
    assert {item.name for item in tmp_path.iterdir()} == {"a.mp4"}


def test_results_are_claimed_when_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is killed while it fits leaves no claim to them: what somebody puts there is not replaced."""
    path, out = tmp_path / "a.mp4", tmp_path / "out"
    write_video(path, iter([np.zeros((32, 32, 3), np.uint8)] * 3), 25)
    while_fitting = set[str]()

    def fitting(_: FaceFitter, film: Film, work: Path, number: int | None) -> None:
        while_fitting.update(own_files(out))
        raise KeyboardInterrupt

    monkeypatch.setattr(fit_film_module, "fit_film", fitting)
    with pytest.raises(KeyboardInterrupt), GrowingFolder(out) as folder:
        config = FitConfig(path, out, crops=True)
        fit_film_module.fit_one_film(config, FaceFitter.__new__(FaceFitter), folder, path)
    assert while_fitting and all(name.startswith("unfinished-a/") for name in while_fitting)


def fit_with_crops(
    path: Path, out: Path, frames: int, monkeypatch: pytest.MonkeyPatch, crops: bool = True
) -> None:
    """Fit a film of so many frames with stand-ins that compute nothing: each file's text is the number of frames."""
    write_video(path, iter([np.zeros((32, 32, 3), np.uint8)] * frames), 25)

    def fitted(_: FaceFitter, film: Film, work: Path, number: int | None) -> SimpleNamespace:
        face = SimpleNamespace(coefficients=lambda: None)
        error_px = np.zeros(len(film))
        return SimpleNamespace(lost=(), film=film, error_px=error_px, frame=lambda *_: face)

    def write_pictures(
        _: object, __: object, folder: GrowingFolder, fitted: SimpleNamespace, ___: object
    ) -> None:
        for name in fit_film_module._crop_files(fitted.film):
            write_complete(folder.file(name), str(frames))

    monkeypatch.setattr(fit_film_module, "fit_film", fitted)
    monkeypatch.setattr(fit_film_module, "_write_pictures", write_pictures)
    monkeypatch.setattr(
        fit_film_module, "write_sequence", lambda path, *_, **__: write_complete(path, "rows")
    )
    config = FitConfig(path, out, crops=crops, overlays=False)
    with GrowingFolder(out) as folder:
        fit_film_module.fit_one_film(config, FaceFitter.__new__(FaceFitter), folder, path)


def test_crops_of_a_longer_film_of_the_same_name_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its numbers have more digits. Crops of other films, of photographs, and files of others are not counted."""
    path, out = tmp_path / "me.mp4", tmp_path / "out"
    fit_with_crops(path, out, 12, monkeypatch)
    fit_with_crops(tmp_path / "me_1.mp4", out, 3, monkeypatch)
    with GrowingFolder(out) as folder:
        for name in result_names(Path("me_2024.jpg")):
            write_complete(folder.file(name), "photograph")
    (out / "faces" / "me_77.png").write_text("mine")
    of_others = {"me_77.png", "me_2024.mat", "me_2024.png"}
    of_others |= {f"me_1_{k}.{kind}" for k in range(3) for kind in ("mat", "png")}
    assert capsys.readouterr().err == ""
    fit_with_crops(path, out, 4, monkeypatch)
    new = {f"me_{k}.{kind}" for k in range(4) for kind in ("mat", "png")}
    earlier = {f"me_{k:02d}.{kind}" for k in range(12) for kind in ("mat", "png")}
    assert {path.name for path in (out / "faces").iterdir()} == of_others | new | earlier
    assert {(out / "faces" / name).read_text() for name in new} == {"4"}
    said = (
        "beside the new files, 24 files of an earlier film of this name stay, the first is faces/me_00.mat\n"
    )
    assert capsys.readouterr().err == f"{out}: {said}"


def test_an_overlay_and_crops_that_are_not_made_again_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "me.mp4", tmp_path / "out"
    fit_with_crops(path, out, 3, monkeypatch)
    with GrowingFolder(out) as folder:
        for film in ("me", "other"):
            write_complete(folder.file(f"overlays/{film}.mp4"), "overlay")
    assert capsys.readouterr().err == ""
    fit_with_crops(path, out, 2, monkeypatch, crops=False)
    assert "beside the new files, 7 files of an earlier film of this name stay" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        (("--same_person", "true"), "same_person is True, expected false for a film"),
        (("--size", "128"), "size is 128, expected no --size for a film without --crops"),
        (("--network", str(NETWORK)), f"network is {NETWORK}, expected no --network for a film"),
    ],
)
def test_options_of_photographs_are_no_choice_of_a_film(
    option: tuple[str, str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "me.mp4"
    write_video(path, iter([np.zeros((32, 32, 3), np.uint8)] * 3), 25)
    assert command("fit", path, "--out", tmp_path / "out", *option) == 2
    assert expected in one_error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_the_overlay_film_is_as_long_as_the_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where few frames a second are no whole number: rounded, ten frames of 4 seconds took 5."""
    film = SimpleNamespace(path=tmp_path / "me.mp4", frames_per_second=2.4)
    fitted = FittedFilm.__new__(FittedFilm)
    object.__setattr__(fitted, "film", film)
    pictures = iter([np.zeros((32, 32, 3), np.uint8)] * 12)
    monkeypatch.setattr(fit_film_module, "_pictures", lambda *_: pictures)
    with GrowingFolder(tmp_path / "out") as folder:
        config = FitConfig(film.path, tmp_path / "out")
        fit_film_module._write_pictures(config, FaceFitter.__new__(FaceFitter), folder, fitted, [])
    written = open_film(tmp_path / "out" / "overlays" / "me.mp4")
    assert len(written) == 12 and written.times[-1] == pytest.approx(11 / 2.4, abs=1e-3)
