"""A film that cannot be fitted leaves no trace."""

from pathlib import Path

import numpy as np
import pytest

from anifacegan.capture.face_fitter import FaceFitter
from anifacegan.capture.film_files import Film, NoFaceError
from anifacegan.capture.film_fit import work_files
from anifacegan.cli.fit import film as fit_film_module
from anifacegan.cli.fit.config import FitConfig
from anifacegan.rendering.video import write_video
from anifacegan.runtime.growing_folders import GrowingFolder


def test_a_film_without_a_face_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "a.mp4", tmp_path / "out"
    write_video(path, iter([np.zeros((32, 32, 3), np.uint8)] * 3), 25)

    def seen_in_vain(fitter: FaceFitter, film: Film, work: Path, number: int | None) -> None:
        work.mkdir(parents=True)
        for name in work_files(film):
            (work / name).write_text("landmarks")
        raise NoFaceError(f"{film.path}: no face found")

    monkeypatch.setattr(fit_film_module, "fit_film", seen_in_vain)
    with pytest.raises(NoFaceError), GrowingFolder(out) as folder:
        fit_film_module.fit_one_film(FitConfig(path, out), FaceFitter.__new__(FaceFitter), folder, path)
    assert {item.name for item in tmp_path.iterdir()} == {"a.mp4"}
