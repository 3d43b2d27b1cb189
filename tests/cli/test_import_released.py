"""anifacegan import-released: the same model in our own format."""

import shutil
from pathlib import Path

import pytest
import torch

from anifacegan.face_model.coefficients import BFM
from anifacegan.models.released import PITCH_OFFSET, load_released
from anifacegan.rendering.model import load_model
from tests.fixtures.commands import command
from tests.fixtures.released_layout import golden_folder, write_averages, write_released
from tests.fixtures.small_models import small_generator, write_small_model
from tests.models.test_released import RELEASED_SMALL


@pytest.fixture
def released(tmp_path: Path) -> Path:
    generator = small_generator(RELEASED_SMALL)
    folder = write_released(tmp_path / "released", generator)
    write_averages(folder, generator)
    return folder


def test_the_imported_model_is_the_released_one(released: Path, tmp_path: Path) -> None:
    assert command("import-released", "--released", released, "--out", tmp_path / "ours") == 0
    ours, theirs = load_model(tmp_path / "ours"), load_model(released)
    assert ours.generator.config == theirs.generator.config
    assert ours.generator.config.radiance_offset_gain == pytest.approx(1 / 0.12)
    for (name, a), b in zip(
        ours.generator.state_dict().items(), theirs.generator.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    z_exp = torch.randn(64, generator=torch.Generator().manual_seed(0)).numpy()
    views = [
        model.face(seed=5, expression=z_exp, psi=0.7).render(yaw=0.3, size=12) for model in (ours, theirs)
    ]
    assert torch.equal(*views)


def test_a_model_of_ours_comes_before_a_stray_file_of_the_released_one(
    released: Path, tmp_path: Path
) -> None:
    write_small_model(tmp_path / "ours")
    expected = load_model(tmp_path / "ours").face(seed=1).render(size=8)
    shutil.copy(released / "generator.pth", tmp_path / "ours")
    assert torch.equal(load_model(tmp_path / "ours").face(seed=1).render(size=8), expected)


def test_what_is_imported_is_the_released_model_also_beside_one_of_ours(
    released: Path, tmp_path: Path
) -> None:
    write_small_model(released)
    assert command("import-released", "--released", released, "--out", tmp_path / "imported") == 0
    assert load_model(tmp_path / "imported").card.face_model == BFM
    assert load_model(tmp_path / "imported").generator.config == load_released(released).config


def test_the_card_says_where_it_comes_from(released: Path, tmp_path: Path) -> None:
    command("import-released", "--released", released, "--out", tmp_path / "ours")
    card = load_model(tmp_path / "ours").card
    assert (card.face_model, card.pitch_offset) == (BFM, PITCH_OFFSET)
    assert set(card.training["sha256"]) == {
        "generator.pth", "ema.pth", "dif.pth", "averages.npz",
        "pretrained_vaes/identity/vae.pth", "pretrained_vaes/expression/vae.pth",
    }  # fmt: skip
    assert all(len(checksum) == 64 for checksum in card.training["sha256"].values())


def test_the_card_knows_the_files_that_lie_beside_the_folder(released: Path, tmp_path: Path) -> None:
    inner = tmp_path / "repository" / "checkpoints"
    released.rename(tmp_path / "whole")
    inner.mkdir(parents=True)
    (tmp_path / "whole" / "pretrained_vaes").rename(inner.parent / "pretrained_vaes")
    for path in (tmp_path / "whole").iterdir():
        path.rename(inner / path.name)
    (inner / "other.pth").write_bytes(b"not read")
    for number, folder in enumerate((inner, inner.parent)):
        assert command("import-released", "--released", folder, "--out", tmp_path / f"ours{number}") == 0
        card = load_model(tmp_path / f"ours{number}").card
        assert set(card.training["sha256"]) == {
            "generator.pth", "ema.pth", "dif.pth", "averages.npz",
            "pretrained_vaes/identity/vae.pth", "pretrained_vaes/expression/vae.pth",
        }  # fmt: skip


def test_the_truncation_mean_of_random_people_is_kept(released: Path, tmp_path: Path) -> None:
    (released / "averages.npz").unlink()
    command("import-released", "--released", released, "--out", tmp_path / "ours")
    mean = load_model(tmp_path / "ours").generator.mean_frequencies
    assert torch.equal(mean, load_model(released).generator.mean_frequencies)
    assert mean.std() > 0


def test_golden_images_survive_the_import(golden: Path, official: Path, tmp_path: Path) -> None:
    import numpy as np

    folder = golden_folder(tmp_path / "released", golden, official)
    assert command("import-released", "--released", folder, "--out", tmp_path / "ours") == 0
    expected = np.load(golden / "expected.npz")
    latents = (torch.from_numpy(expected["z_id"]), torch.from_numpy(expected["z_noise"]))
    face = load_model(tmp_path / "ours").face(latents=latents, expression=official / "01626.mat", psi=0.7)
    image = torch.from_numpy((expected["images"][1] + 1) / 2)  # case 1: the smile, frontal
    assert (face.render(size=24, antialias=False) - image.clamp(0, 1)).abs().max() <= 5e-4


@pytest.mark.parametrize("kind", ["missing", "ours", "broken"])
def test_anything_else_is_refused_in_one_line_and_nothing_is_written(
    kind: str, released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = {"missing": tmp_path / "no", "ours": tmp_path / "small", "broken": released}[kind]
    if kind == "ours":
        write_small_model(folder)
    if kind == "broken":
        (released / "dif.pth").write_bytes(b"junk")
    assert command("import-released", "--released", folder, "--out", tmp_path / "out" / "ours") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(folder) in error
    assert not (tmp_path / "out").exists()


def test_the_folder_to_write_has_to_be_said(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("import-released", "--released", released) == 2
    assert "no value for 'out', expected a path" in capsys.readouterr().err
