"""A file of another kind than its name says is named for what it is."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anifacegan.face_model.coefficients import read_coefficients
from anifacegan.face_model.load import load_face_model
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.file_kinds import foreign_kind
from anifacegan.runtime.npz_files import read_npz
from anifacegan.runtime.tensor_files import read_pytorch, read_safetensors
from anifacegan.runtime.zip_entries import read_whole

FLAME = {"f": np.zeros(2**20), "v_template": np.zeros(9), "shapedirs": np.zeros(9)}
READS = {
    ".pth": lambda path: read_pytorch(path, "weights"),
    ".npz": lambda path: read_npz(path, "arrays"),
    ".safetensors": lambda path: read_safetensors(path, "weights"),
    ".task": lambda path: read_whole(path, "a network"),
    ".mat": read_coefficients,
    "_front.mat": load_face_model,
    "_open.npz": load_face_model,
}


@pytest.mark.parametrize("ending", READS)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_flame_is_named_wherever_another_file_is_expected(ending: str, protocol: int, tmp_path: Path) -> None:
    (tmp_path / f"a{ending}").write_bytes(pickle.dumps(FLAME, protocol))
    refused(
        READS[ending], tmp_path / f"a{ending}", "is the FLAME face model, a Python pickle that is not read"
    )


@pytest.mark.parametrize("ending", READS)
def test_bfm_of_2017_and_2019_is_named_wherever_another_file_is_expected(ending: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="pip install 'anifacegan[mat73]'")
    with h5py.File(tmp_path / f"a{ending}", "w") as file:
        for part in ("shape", "color", "expression"):
            for name in ("mean", "pcaBasis", "pcaVariance", "noiseVariance"):
                file.create_dataset(f"{part}/model/{name}", data=np.zeros(1000))
    refused(READS[ending], tmp_path / f"a{ending}", "is a Basel Face Model of 2017 or 2019 (.h5)")


def refused(read: Callable[[Path], object], path: Path, words: str) -> None:
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: {words}")


def test_a_pickle_of_something_else_is_a_pickle(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(pickle.dumps({"v_template": 1, "weights": np.zeros(9)}, 2))
    with pytest.raises(InputError, match="is a Python pickle, expected arrays"):
        read_npz(tmp_path / "a.npz", "arrays")
    assert foreign_kind(b"(dp0\nS'a'") == "is a Python pickle"
