"""anifacegan measure: a network's errors on any data set, and what does not belong together."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from anifacegan.data.config import NO_AUGMENTATION, AugmentationConfig, DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.mirroring import mirroring_of
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL, read_coefficients, write_coefficients
from anifacegan.face_model.load import load_face_model
from anifacegan.face_model.regressed import FaceLandmarks
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.training.regressor.data import load_images
from anifacegan.training.regressor.report import held_out_report
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.judged_model import write_judge
from tests.fixtures.tiny_training_set import COUNT, SIZE


def measure(tiny: Path, network: Path, *more: str) -> int:
    options = {
        "network": network,
        "data.path": tiny / "data",
        "data.size": SIZE,
        "face-model": tiny / "face_model.npz",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return command("measure", *arguments, "--device", "cpu", *more)


def rows(printed: str) -> dict[str, tuple[str, ...]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()]
    return {name: tuple(values) for name, *values in cells}


def test_the_table_is_the_report_of_all_images(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_judge(tmp_path / "judge")
    measure(tiny, folder)
    printed = rows(capsys.readouterr().out)
    network, _ = load_face_regressor(folder)
    images = load_images(FaceDataset(DataConfig(tiny / "data", SIZE)), network.config.frame)
    model = load_face_model(tiny / "face_model.npz")
    landmarks = FaceLandmarks(model, network.config.camera)
    report = held_out_report(network, landmarks, images, AugmentationConfig(), mirroring_of(model))
    heading = printed.pop(f"{folder}, {COUNT} images")
    assert heading == ("as they are", "mean with the mirror image", "augmented")
    del printed["---"]
    assert printed == {
        name: tuple(f"{report[prefix + name]:.4g}" for prefix in ("", "mirror_", "augmented_"))
        for name in list(report)[: len(report) // 3]
    }
    assert all(len({row[column] for row in printed.values()}) > 1 for column in range(3))
    assert any(plain != both != augmented != plain for plain, both, augmented in printed.values())


def test_augmentations_can_be_switched_off(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = {name: value for name, value in vars(NO_AUGMENTATION).items() if name.endswith("_share")}
    off = [word for name, value in shares.items() for word in (f"--augmentation.{name}", str(value))]
    measure(tiny, write_judge(tmp_path / "judge"), *off)
    printed = rows(capsys.readouterr().out)
    del printed[next(iter(printed))]  # the heading
    assert "yaw_deg" in printed and all(plain == augmented for plain, _, augmented in printed.values())


@pytest.mark.parametrize("stranger", ["judge", "data"])
def test_a_network_or_data_of_another_face_model_are_refused(
    stranger: str, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    owners = {"judge": OPEN_FACE_MODEL, "data": OPEN_FACE_MODEL, stranger: "bfm09"}
    shutil.copytree(tiny / "data", tmp_path / "data")
    for path in (tmp_path / "data").glob("*.mat"):
        write_coefficients(path, dataclasses.replace(read_coefficients(path), face_model=owners["data"]))
    judge = write_judge(tmp_path / "judge", owners["judge"])
    assert measure(tiny, judge, "--data.path", str(tmp_path / "data")) == 2
    expected = f"{stranger}: belongs to face model 'bfm09', expected 'anifacegan-open-4'"
    assert expected in one_error_line(capsys)
