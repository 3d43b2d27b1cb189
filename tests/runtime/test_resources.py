"""Files are found in the user's folder first, then among the shipped ones, from any folder."""

from pathlib import Path

import pytest

from anifacegan.runtime import resources
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.resources import SHIPPED_MODELS, found, located, located_model, shipped_root
from tests.fixtures.one_line import assert_one_line


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder outside the checkout; the home folder is beside it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return folder


def test_shipped_files_are_found_from_any_folder(elsewhere: Path) -> None:
    assert located("mat/smile.mat") == shipped_root() / "mat" / "smile.mat"
    assert located(Path("configs/render_smile.yaml")).is_file()
    assert located("mat").is_dir()


def test_a_missing_file_is_one_line_in_a_folder_that_has_been_removed(elsewhere: Path) -> None:
    elsewhere.rmdir()
    for text in ("a.mat", "mat/nothing.mat"):
        assert_one_line(
            lambda text=text: located(text), text, "which has been removed", "among the shipped files"
        )


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_shipped_models_are_found_by_name_and_by_path(name: str, elsewhere: Path) -> None:
    folder = shipped_root() / "checkpoints" / name
    assert located_model(name) == located_model(f"checkpoints/{name}") == folder
    assert found(name) is None  # a name alone is a model's only where a model is expected


def test_the_users_file_comes_before_the_shipped_one(elsewhere: Path) -> None:
    for folder in ("mat", "demo"):
        (elsewhere / folder).mkdir()
    (elsewhere / "mat" / "smile.mat").touch()
    assert located("mat/smile.mat") == Path("mat/smile.mat")
    assert located("mat/blink.mat") == shipped_root() / "mat" / "blink.mat"
    assert located_model("demo") == Path("demo")


def test_a_tilde_is_the_home_folder(elsewhere: Path) -> None:
    file = Path.home() / "mine.mat"
    file.touch()
    assert located("~/mine.mat") == file


def test_a_missing_file_is_one_line_that_names_both_places(elsewhere: Path) -> None:
    with pytest.raises(InputError) as error:
        located("mat/none.mat", "an expression")
    assert str(error.value) == (
        f"mat/none.mat: no such file or folder in {elsewhere} or among the shipped files ({shipped_root()}), "
        "expected an expression"
    )
    absolute = elsewhere / "none"
    with pytest.raises(InputError) as error:
        located_model(absolute)
    assert str(error.value) == f"{absolute}: no such file or folder, expected a model folder"


@pytest.mark.parametrize("path", ["setup.py", "tests", "mat/../setup.py", "."])
def test_nothing_but_the_shipped_folders_is_searched(path: str, elsewhere: Path) -> None:
    place = found(path)
    assert place is None or place == Path(".")


def test_an_installed_package_holds_the_shipped_files_itself(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "anifacegan"
    (package / "shipped" / "mat").mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert located("mat") == package / "shipped" / "mat"
