"""A film of known landmarks is fitted, bridged, resumed, written, and drives a renderer."""

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anifacegan.capture import film_fit
from anifacegan.capture.face_fitter import FaceFitter
from anifacegan.capture.face_points import FacePoints
from anifacegan.capture.film_files import Film, open_film
from anifacegan.capture.film_fit import FittedFilm, LostFrames, fit_film
from anifacegan.capture.film_work import save_array
from anifacegan.capture.fit import LandmarkFitter
from anifacegan.capture.landmarks import upright_crop
from anifacegan.cli.fit import film as film_command
from anifacegan.cli.fit.config import FitConfig
from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.face_model.config import DriveConfig
from anifacegan.face_model.expressions import ExpressionReader
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import load_head_parts
from anifacegan.face_model.trajectories import planned_trajectory, requested_expressions
from anifacegan.rendering.video import write_video
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.output_folders import MARKER
from tests.capture.conftest import Motion
from tests.fixtures.small_disk import files_of_at_most

LOST = range(12, 17)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """A grey film of forty frames; its landmarks come from elsewhere."""
    path = tmp_path_factory.mktemp("film") / "me.mp4"
    write_video(path, (np.full((64, 64, 3), 90, np.uint8) for _ in range(40)), fps=25)
    return open_film(path)


@pytest.fixture(scope="module")
def fitter(landmark_fitter: LandmarkFitter, face_model: MorphableModel) -> Iterator[FaceFitter]:
    """A fitter without MediaPipe."""
    fitter = object.__new__(FaceFitter)
    fitter.model, fitter.parts, fitter.fitter = face_model, load_head_parts(), landmark_fitter
    fitter._lm68 = FacePoints(face_model, landmark_fitter.points.units, face_model.landmark_vertices.numpy())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitter, "detector", SimpleNamespace(sha256="of the landmarker"), raising=False)
        patch.setattr(film_fit, "CHUNK_FRAMES", 15)
        patch.setattr(film_fit, "OVERLAP_FRAMES", 10)
        yield fitter


def follow(monkeypatch: pytest.MonkeyPatch, motion: Motion, stop: int = 1000) -> list[int]:
    """Let the tracker return the landmarks of a motion, none in LOST, and be interrupted at a frame; return a list to
    which it adds the times that it is asked for."""
    asked: list[int] = []

    class Tracker:
        last = None

        def __init__(self, *arguments: object) -> None:
            pass

        def landmarks(self, frame: np.ndarray, millisecond: int) -> np.ndarray | None:
            k = round(millisecond / 40)
            if k == stop:
                raise KeyboardInterrupt
            asked.append(k)
            return None if k in LOST else motion.landmarks[k]

        def start_anew(self) -> None:
            pass

        def close(self) -> None:
            pass

    monkeypatch.setattr(film_fit, "FaceTracker", Tracker)
    return asked


@pytest.fixture(scope="module")
def fitted(
    fitter: FaceFitter, film: Film, motion: Motion, tmp_path_factory: pytest.TempPathFactory
) -> FittedFilm:
    """The film, fitted without an interruption."""
    with pytest.MonkeyPatch.context() as patch:
        follow(patch, motion)
        return fit_film(fitter, film, tmp_path_factory.mktemp("film") / "unbroken", quiet=True)


def test_the_motion_is_found_and_lost_frames_are_bridged(
    fitted: FittedFilm, motion: Motion, landmark_fitter: LandmarkFitter
) -> None:
    assert fitted.lost == (LostFrames(LOST.start, LOST.stop - 1, "no face found"),)
    assert np.isnan(fitted.landmarks[LOST.start]).all() and np.isfinite(fitted.z_exp).all()
    names = landmark_fitter.points.units.names
    jaw, blink = names.index("jawOpen"), names.index("eyeBlinkLeft")
    assert np.corrcoef(fitted.strengths[:, jaw], motion.strengths[:, jaw])[0, 1] > 0.97
    assert fitted.strengths[:, blink].argmax() == motion.closed.argmax()
    assert np.corrcoef(fitted.pose[:, 1], motion.pose[:, 1])[0, 1] > 0.99
    assert np.abs(fitted.pose[:, 1] - motion.pose[:, 1])[list(LOST)].max() < 0.1


def test_an_interrupted_fit_goes_on_and_gives_the_same(
    fitter: FaceFitter,
    film: Film,
    motion: Motion,
    fitted: FittedFilm,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    follow(monkeypatch, motion, stop=33)
    with pytest.raises(KeyboardInterrupt):
        fit_film(fitter, film, tmp_path / "work", quiet=True)
    asked = follow(monkeypatch, motion)
    again = fit_film(fitter, film, tmp_path / "work", quiet=True)
    assert asked == list(range(30, 40))  # whole chunks are kept
    np.testing.assert_array_equal(again.z_exp, fitted.z_exp)
    np.testing.assert_array_equal(again.pose, fitted.pose)


def test_the_results_of_another_fit_are_not_taken(
    fitter: FaceFitter, film: Film, motion: Motion, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A film of the same name, size and number of frames, another face, and other models are told apart."""
    follow(monkeypatch, motion, stop=3)
    for _ in range(2):  # the second one goes on
        with pytest.raises(KeyboardInterrupt):
            fit_film(fitter, film, tmp_path / "work", quiet=True)
    same = tmp_path / film.path.name
    same.write_bytes(film.path.read_bytes()[:-1] + b"x")
    others = [
        (fitter, Film(film.path, film.times[:-1]), 1),
        (fitter, Film(same, film.times), 1),
        (fitter, film, 2),
    ]
    for attribute, value in (("mean", fitter.model.mean + 0.1), ("sha256", "of another landmarker")):
        changed = copy.copy(fitter)
        part = "model" if attribute == "mean" else "detector"
        setattr(changed, part, copy.deepcopy(getattr(fitter, part)))
        setattr(getattr(changed, part), attribute, value)
        others.append((changed, film, 1))
    for other, its_film, number in others:
        with pytest.raises(InputError, match="unfinished fit of another film, or with another face number"):
            fit_film(other, its_film, tmp_path / "work", number=number, quiet=True)


def test_a_full_disk_is_said_in_the_words_of_the_system(tmp_path: Path) -> None:
    with (
        files_of_at_most(4000),
        pytest.raises(InputError, match=r"rows.npy: cannot be written \(File too large\)"),
    ):
        save_array(tmp_path / "rows.npy", np.zeros(5000))
    assert not list(tmp_path.iterdir())
    save_array(tmp_path / "rows.npy", np.arange(5000.0))
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), np.arange(5000.0))


def test_a_film_without_a_face_is_refused(
    fitter: FaceFitter, film: Film, motion: Motion, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tests.capture.test_film_fit.LOST", range(40))
    follow(monkeypatch, motion)
    with pytest.raises(InputError, match=r"me\.mp4: no face found in any of 40 frames"):
        fit_film(fitter, film, tmp_path / "work", quiet=True)


def test_of_a_large_frame_only_the_face_is_kept(motion: Motion) -> None:
    """Its crop is that of the whole frame."""
    frame = np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8)
    points = motion.landmarks[0] + np.array([400.0, 300.0])
    kept = film_fit._FacePixels.of(frame, points)
    assert kept.pixels.size < frame.size / 10 and kept.pixels.base is None
    crop = upright_crop(points, 1.6)
    cut, whole = kept.place(crop).cut(kept.pixels, 64), crop.cut(frame, 64)
    assert np.abs(cut.astype(int) - whole).max() <= 1  # rounded coordinates
    outside = film_fit._FacePixels.of(frame, points + 2000)
    assert outside.pixels.shape == frame.shape and outside.place(crop) == crop


def test_a_work_folder_may_be_a_text_and_is_no_file(
    fitter: FaceFitter, film: Film, motion: Motion, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    follow(monkeypatch, motion, stop=1)
    with pytest.raises(KeyboardInterrupt):
        fit_film(fitter, film, str(tmp_path / "work"), quiet=True)
    assert (tmp_path / "work" / "film.txt").is_file()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"file: cannot be written \(File exists\)"):
        fit_film(fitter, film, str(tmp_path / "file"), quiet=True)


@pytest.mark.parametrize("number", [0, -1, True])
def test_numbers_of_no_face_are_refused(fitter: FaceFitter, film: Film, tmp_path: Path, number: int) -> None:
    with pytest.raises(InputError, match="number is .*, expected a whole number from 1 to"):
        fit_film(fitter, film, tmp_path / "work", number=number, quiet=True)
    assert not (tmp_path / "work").exists()


def test_the_written_sequence_drives_expression_and_pose(
    fitter: FaceFitter,
    film: Film,
    motion: Motion,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    follow(monkeypatch, motion)
    config = FitConfig(photographs=film.path, out=tmp_path, crops=True, size=64)
    with GrowingFolder(tmp_path) as folder:
        film_command.fit_one_film(config, fitter, folder, film.path)
    assert "frames 12 to 16 (0.48 to 0.64 s): no face found, bridged" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == [MARKER, "faces", "me.mat", "overlays"]
    assert len(open_film(tmp_path / "overlays" / "me.mp4")) == 40
    reader = ExpressionReader("demo", OPEN_FACE_MODEL, {}, fitter.parts.expression_basis())
    drive = DriveConfig(expression=str(tmp_path / "me.mat"), pose_from_mat=True)
    trajectory = planned_trajectory(drive, reader, *requested_expressions(drive, reader))
    assert len(trajectory) == 40
    assert np.corrcoef(trajectory.yaw, motion.pose[:, 1])[0, 1] > 0.99
    assert np.corrcoef(trajectory.z_exp[:, 0], motion.strengths.max(axis=1))[0, 1] > 0.3
    faces = FaceDataset(DataConfig(path=tmp_path / "faces", size=64))
    assert len(faces) == 40
    pairs = itertools.islice(zip(faces.poses[:, 1], trajectory.yaw, strict=True), 3)
    assert all(abs(one - other) < 1e-6 for one, other in pairs)
