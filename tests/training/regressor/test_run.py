"""Whole runs of the face reconstruction task on a tiny data set: what they leave behind, and what they refuse."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.mirroring import mirroring_of
from anifacegan.face_model.coefficients import read_coefficients, write_coefficients
from anifacegan.face_model.load import load_face_model
from anifacegan.geometry.cameras import from_lm68
from anifacegan.models.config import FaceRegressorConfig
from anifacegan.models.regressor_checkpoints import load_face_regressor, save_face_regressor
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.typed_config import read_config
from anifacegan.training.regressor.config import ReconstructionReporting, ReconstructionRun
from anifacegan.training.regressor.data import load_images
from anifacegan.training.regressor.run import run
from anifacegan.training.resume_check import fixed_values
from anifacegan.training.snapshots import load_newest
from tests.fixtures.resumed_runs import reconstruction_config
from tests.fixtures.tiny_training_set import COUNT, SIZE
from tests.training.test_run import call_train_py

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def unbroken(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("run") / "unbroken"
    assert run(reconstruction_config(tiny, out)) == out / "model"
    return out


# ------------------------------------------------------------------------------------------------------ what it leaves
def test_a_run_leaves_losses_reports_snapshots_and_a_model(tiny: Path, unbroken: Path) -> None:
    lines = [yaml.safe_load(line) for line in (unbroken / "stats.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "landmarks" in line] == [2, 4, 6]
    assert [line["step"] for line in lines if "yaw_deg" in line] == [3, 6, 7]
    assert sorted(path.name for path in unbroken.iterdir()) == sorted(
        [
            ".anifacegan.json",
            "config.yaml",
            "model",
            "snapshot_00000004.pt",
            "snapshot_00000007.pt",
            "stats.jsonl",
            "tensorboard",
        ]
    )
    written = read_config(ReconstructionRun, ["--config", str(unbroken / "config.yaml")], "train.py")
    assert written == reconstruction_config(tiny, unbroken)


def test_the_model_is_the_trained_network_and_says_its_errors(unbroken: Path) -> None:
    network, card = load_face_regressor(unbroken / "model")
    newest = load_newest(unbroken)
    assert newest is not None
    assert all(torch.equal(value, newest["network"][name]) for name, value in network.state_dict().items())
    assert card.face_model == "anifacegan-open-4" and card.training["steps"] == 7
    last = [yaml.safe_load(line) for line in (unbroken / "stats.jsonl").read_text().splitlines()][-1]
    assert card.training["errors"] == {name: value for name, value in last.items() if name != "step"}
    assert float(network.backbone.head.weight.detach().abs().max()) > 0  # it started at zero


def test_images_are_read_in_order_and_resampled(tiny: Path) -> None:
    dataset = FaceDataset(DataConfig(tiny / "data", SIZE))
    whole, small = load_images(dataset, SIZE), load_images(dataset, 16)
    for item in range(COUNT):
        assert torch.equal(whole.pixels[item].permute(1, 2, 0), dataset[item].image)
        assert torch.equal(whole.rows[item, 80:144], torch.from_numpy(dataset.face(item).exp))
    assert small.pixels.shape == (COUNT, 3, 16, 16)
    torch.testing.assert_close(small.landmarks_px / 15, whole.landmarks_px / (SIZE - 1))
    means = [images.pixels.float().mean(dim=(1, 2, 3)) for images in (small, whole)]
    torch.testing.assert_close(*means, atol=12.0, rtol=0)


def test_mirror_images_join_the_training_but_not_those_of_held_out_images(tiny: Path) -> None:
    """Held-out images and their mirror images are left out; pixels, coefficients and landmarks belong together."""
    data = DataConfig(tiny / "data", SIZE, mirror=True)
    mirroring = mirroring_of(load_face_model(None))
    dataset = FaceDataset(data, mirroring)
    training, held_out = load_images(dataset, SIZE).split(2)
    kept = COUNT - 2
    assert (len(training), len(held_out)) == (2 * kept, 2)
    items = torch.tensor([0, kept - 1, kept, 2 * kept - 1])
    for item, pixels, name in zip(items, training.pixels_of(items), [0, kept - 1] * 2, strict=True):
        mirrored = item >= kept
        face = mirroring.mirrored(dataset.face(name)) if mirrored else dataset.face(name)
        image = dataset[name].image
        assert torch.equal(pixels.permute(1, 2, 0), image.flip(1) if mirrored else image)
        assert torch.equal(training.rows[item, :80], torch.from_numpy(face.id))
        assert face.lm68 is not None
        place = from_lm68(torch.from_numpy(face.lm68)[None], SIZE)[0]
        torch.testing.assert_close(training.landmarks_px[item], place)
    assert torch.equal(held_out.pixels[0].permute(1, 2, 0), dataset[kept].image)
    assert torch.equal(held_out.rows[1, 80:144], torch.from_numpy(dataset.face(COUNT - 1).exp))


def test_a_run_learns_from_mirror_images(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    """With other first batches than without them, and the same held-out images."""
    config = reconstruction_config(tiny, tmp_path / "run")
    mirrored = dataclasses.replace(config.data, mirror=True)
    run(dataclasses.replace(config, data=mirrored))
    with_mirror, without = (
        [yaml.safe_load(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
        for folder in (tmp_path / "run", unbroken)
    )
    assert len(with_mirror) == len(without) and with_mirror[0] != without[0]


def test_a_run_may_start_from_a_finished_network(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    network, about = load_face_regressor(unbroken / "model")
    with torch.no_grad():
        network.mean += 1.0  # another data set's statistics
        network.scale *= 2.0
    save_face_regressor(tmp_path / "initial", network, dataclasses.replace(about, licence="CC0"))
    config = dataclasses.replace(
        reconstruction_config(tiny, tmp_path / "run"), initial_model=tmp_path / "initial"
    )
    unchanged = dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, steps=0))
    same, card = load_face_regressor(run(unchanged))
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in same.state_dict().items())
    assert card.licence == "CC0" and card.training["steps"] == 0
    assert card.training["facts"]["initial_model"]["steps"] == about.training["steps"] == 7
    further, _ = load_face_regressor(run(dataclasses.replace(config, out=tmp_path / "further")))
    assert not torch.equal(further.backbone.head.weight, network.backbone.head.weight)
    assert torch.equal(further.mean, network.mean) and torch.equal(further.scale, network.scale)


def test_a_run_goes_on_without_its_initial_network(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken / "model", tmp_path / "initial")
    config = dataclasses.replace(
        reconstruction_config(tiny, tmp_path / "run"), initial_model=tmp_path / "initial"
    )
    finished = load_face_regressor(run(config))[1]
    shutil.rmtree(tmp_path / "initial")
    shutil.rmtree(tmp_path / "run" / "model")
    assert load_face_regressor(run(config))[1] == finished


def test_an_initial_network_that_does_not_fit_is_refused(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(
        reconstruction_config(tiny, tmp_path / "run"), initial_model=unbroken / "model"
    )
    wider = dataclasses.replace(config, network=FaceRegressorConfig(size=16, channels=(8, 16, 16)))
    with pytest.raises(InputError, match="initial_model: .* is another network than 'network' says"):
        run(wider)
    network, about = load_face_regressor(unbroken / "model")
    save_face_regressor(tmp_path / "other", network, dataclasses.replace(about, face_model="bfm09"))
    with pytest.raises(
        InputError, match="initial_model: .* belongs to face model 'bfm09', expected 'anifacegan-"
    ):
        run(dataclasses.replace(config, initial_model=tmp_path / "other"))
    assert not (tmp_path / "run").exists()


# --------------------------------------------------------------------------------------------------------- the device
def test_a_run_may_go_on_where_it_did_not_begin(tiny: Path, unbroken: Path) -> None:
    """Snapshots hold nothing of the device, so those from before there was a choice of it are as good."""
    newest = load_newest(unbroken)
    assert newest is not None and not any("device" in name for name in newest["fixed"])
    config = reconstruction_config(tiny, unbroken)
    elsewhere = [
        fixed_values(dataclasses.replace(config, device=device), {}) for device in ("auto", "cpu", "cuda")
    ]
    assert elsewhere[0] == elsewhere[1] == elsewhere[2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(tiny: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(reconstruction_config(tiny, tmp_path / "run"), device="cuda")
    with pytest.raises(
        InputError, match="device is cuda, but PyTorch sees no GPU here; expected cpu or auto"
    ):
        run(config)
    assert not (tmp_path / "run").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_run_may_begin_on_a_gpu_and_go_on_without(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    on_gpu = dataclasses.replace(reconstruction_config(tiny, out), device="cuda")
    run(on_gpu)
    lines = [(folder / "stats.jsonl").read_text().splitlines() for folder in (unbroken, out)]
    first = [yaml.safe_load(part[0]) for part in lines]
    assert first[1] == pytest.approx(first[0], rel=0.05, abs=0.05)  # Adam's first steps blow rounding up
    for device in ("cpu", "cuda"):
        (out / "snapshot_00000007.pt").unlink()
        shutil.rmtree(out / "model")
        run(dataclasses.replace(on_gpu, device=device))
        network, card = load_face_regressor(out / "model")
        assert card.training["steps"] == 7 and next(network.parameters()).device.type == "cpu"


# ----------------------------------------------------------------------------------------------------------- bad input
def test_a_run_that_began_otherwise_is_refused(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    config = reconstruction_config(tiny, tmp_path / "run")
    wider = dataclasses.replace(config, network=FaceRegressorConfig(size=16, channels=(8, 16, 16)))
    with pytest.raises(InputError, match="network.channels is .* as in the snapshots of") as caught:
        run(wider)
    assert "\n" not in str(caught.value)
    shutil.copytree(tiny / "data", tmp_path / "data")
    image = next((tmp_path / "data").glob("*.png"))
    with Image.open(image) as before:
        Image.eval(before.convert("RGB"), lambda value: 255 - value // 2).save(image, compress_level=0)
    with pytest.raises(InputError, match="data.path is of SHA-256 .*, expected of SHA-256"):
        run(dataclasses.replace(config, data=dataclasses.replace(config.data, path=tmp_path / "data")))
    fewer = dataclasses.replace(config.reporting, held_out=1)
    with pytest.raises(InputError, match="reporting.held_out is 1, expected 2"):
        run(dataclasses.replace(config, reporting=fewer))


@pytest.mark.parametrize("owner", ["bfm09", None])
def test_data_of_another_face_model_are_refused(tiny: Path, tmp_path: Path, owner: str | None) -> None:
    """Files that do not say whose they are, are Deep3DFaceRecon's."""
    shutil.copytree(tiny / "data", tmp_path / "data")
    for path in (tmp_path / "data").glob("*.mat"):
        write_coefficients(path, dataclasses.replace(read_coefficients(path), face_model=owner))
    config = reconstruction_config(tiny, tmp_path / "run")
    with pytest.raises(InputError, match="belongs to face model 'bfm09', expected 'anifacegan-open-4'"):
        run(dataclasses.replace(config, data=DataConfig(tmp_path / "data", SIZE)))
    assert not (tmp_path / "run").exists()


def test_a_data_set_that_is_all_held_out_is_refused(tiny: Path, tmp_path: Path) -> None:
    config = reconstruction_config(tiny, tmp_path / "run")
    many = dataclasses.replace(config.reporting, held_out=COUNT)
    with pytest.raises(InputError, match=f"holds {COUNT} images, expected at least {COUNT + 2}"):
        run(dataclasses.replace(config, reporting=many))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(ReconstructionReporting)])
def test_reports_need_at_least_one_of_everything(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0, expected at least 1"):
        ReconstructionReporting(**{name: 0})


# --------------------------------------------------------------------------------------------------------- the command
@pytest.mark.parametrize("name", ["reconstruction", "judge"])
def test_train_py_trains_the_shipped_configurations(
    name: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """With their own networks, on fewer and smaller images and for two steps."""
    options = {
        "out": tmp_path / "run",
        "face_model": tiny / "face_model.npz",
        "data.path": tiny / "data",
        "data.size": SIZE,
        "network.size": 32,
        "schedule.steps": 2,
        "schedule.batch": 2,
        "reporting.held_out": 2,
    }
    arguments = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    call_train_py(["--config", str(ROOT / "configs" / f"{name}.yaml"), *arguments], monkeypatch)
    assert capsys.readouterr().err.endswith(f"model written to {tmp_path / 'run' / 'model'}\n")
    network, card = load_face_regressor(tmp_path / "run" / "model")
    assert card.name == name and network.config.size == 32


def test_train_py_says_what_is_wrong_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    config = str(ROOT / "configs" / "reconstruction.yaml")
    with pytest.raises(SystemExit) as caught:
        call_train_py(
            ["--config", config, "--network.size", "100", "--out", str(tmp_path / "run")], monkeypatch
        )
    said = capsys.readouterr().err
    assert caught.value.code == 2 and said.count("\n") == 1
    assert "network.size is 100, expected a multiple of 32" in said
