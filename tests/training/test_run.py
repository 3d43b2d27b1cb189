"""Whole runs of the generator on a tiny data set: what they leave behind, and what they refuse."""

import dataclasses
import runpy
import shutil
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from anifacegan.face_model.coefficients import read_coefficients, write_coefficients
from anifacegan.face_model.expressions import PRESETS
from anifacegan.models.checkpoints import load_checkpoint
from anifacegan.models.config import DeformationConfig
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_folders import MARKER
from anifacegan.runtime.typed_config import read_config
from anifacegan.training import initial_weights
from anifacegan.training.config import Reporting, TrainConfig
from anifacegan.training.run import run
from anifacegan.training.schedule import Schedule
from anifacegan.training.snapshots import load_newest
from anifacegan.training.weight_groups import FIELDS
from anifacegan.training.weights import LossWeights
from tests.fixtures.resumed_runs import same_end
from tests.fixtures.tiny_training_set import (
    COUNT,
    HELD_OUT,
    REPORTING,
    SCHEDULE,
    SIZE,
    tiny_config,
    tiny_latents,
)

ROOT = Path(__file__).resolve().parents[2]
SHEETS = ("expressions", "deformation", "yaw", "depth")


@pytest.fixture(scope="module")
def unbroken(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("run") / "unbroken"
    assert run(tiny_config(tiny, out)) == out / "model"
    return out


# ------------------------------------------------------------------------------------------------------ what it leaves
def test_a_run_leaves_losses_snapshots_previews_and_its_configuration(unbroken: Path) -> None:
    lines = [yaml.safe_load(line) for line in (unbroken / "stats.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "deformation" in line] == [2, 4, 6]
    assert [line["step"] for line in lines if "held_out_psnr" in line] == [3, 6, 7]
    assert "colour" not in lines[0] and lines[-1].keys() == {"step", "held_out_psnr"}
    assert sorted(path.name for path in unbroken.glob("snapshot_*")) == [
        "snapshot_00000004.pt",
        "snapshot_00000007.pt",
    ]
    preview = np.asarray(Image.open(unbroken / "preview.png"))
    assert preview.shape == (3 * REPORTING.preview_size, HELD_OUT * REPORTING.preview_size, 3)
    assert list((unbroken / "tensorboard").iterdir())
    assert sorted(path.name for path in unbroken.iterdir() if path.name != MARKER) == sorted(
        ["config.yaml", "model", "preview.png", "stats.jsonl", "surfaces", "tensorboard"]
        + [f"{name}.png" for name in SHEETS]
        + ["snapshot_00000004.pt", "snapshot_00000007.pt"]
    )


def test_faces_of_the_priors_are_imitated_beside_the_datas(
    tiny: Path, unbroken: Path, tmp_path: Path
) -> None:
    """Another share, and another pool, teach the deformation something else."""
    whole = tiny_config(tiny, tmp_path / "run")
    shortest = dataclasses.replace(whole.schedule, near_surface=0, complete=0, prior_faces=3)
    ends = []
    for number, change in enumerate(({"prior_faces": 0}, {}, {"prior_share": 1.0}, {"prior_faces": 4})):
        config = dataclasses.replace(
            whole, out=tmp_path / f"run{number}", schedule=dataclasses.replace(shortest, **change)
        )
        shutil.copytree(unbroken / "surfaces", config.out / "surfaces")
        ends.append(load_checkpoint(run(config)).generator.deformation.head.weight)
    assert all(not torch.equal(one, other) for one, other in combinations(ends, 2))


@pytest.mark.parametrize("name", ["distance.npy", "surfaces.json", "prior_faces.npy"])
def test_a_file_in_the_way_of_the_surfaces_is_said_before_anything_is_written(
    name: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anifacegan.training.run.checksums", None)
    whole = tiny_config(tiny, tmp_path / "run")
    config = dataclasses.replace(whole, schedule=dataclasses.replace(whole.schedule, prior_faces=3))
    (config.out / "surfaces").mkdir(parents=True)
    (config.out / "surfaces" / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}: is in the way"):
        run(config)
    assert [path.name for path in config.out.rglob("*") if path.is_file()] == [name]


def test_the_preview_shows_the_held_out_images_in_its_first_row(tiny: Path, unbroken: Path) -> None:
    size = REPORTING.preview_size
    preview = np.asarray(Image.open(unbroken / "preview.png"))
    nearest = np.linspace(0, SIZE - 1, size).round().astype(int)
    for column in range(HELD_OUT):
        image = np.asarray(Image.open(tiny / "data" / f"{COUNT - HELD_OUT + column:06d}.png"))
        rendered = preview[:size, column * size : (column + 1) * size]
        assert np.array_equal(rendered, image[nearest][:, nearest])


def test_learning_rates_and_gradient_norms_of_every_field_are_in_tensorboard_alone(unbroken: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(unbroken / "tensorboard"))
    events.Reload()
    watched = [f"{value}/{field}" for value in ("learning_rate", "gradient_norm") for field in FIELDS]
    for name in watched:
        seen = {event.step: event.value for event in events.Scalars(name)}
        first = {"template": 4, "manifolds": 6}.get(name.partition("/")[2], 2)  # those two have a later stage
        assert seen.keys() == set(range(first, 7, 2)), name
        assert all(0 < value < 1e9 for value in seen.values()), name
    assert not any(name in (unbroken / "stats.jsonl").read_text() for name in watched)
    for name in ("preview", *SHEETS):
        assert [event.step for event in events.Images(name)] == [3, 6, 7]


def test_the_written_configuration_is_the_one_that_ran(tiny: Path, unbroken: Path) -> None:
    assert read_config(TrainConfig, ["--config", str(unbroken / "config.yaml")], "train.py") == tiny_config(
        tiny, unbroken
    )


def test_the_finished_model_holds_the_averaged_weights_and_says_how_it_came_about(unbroken: Path) -> None:
    model, newest = load_checkpoint(unbroken / "model"), load_newest(unbroken)
    assert newest is not None
    weights = model.generator.state_dict()
    means = ("mean_frequencies", "mean_phases")
    assert all(torch.equal(weights[name], newest["average"][name]) for name in weights if name not in means)
    assert any(not torch.equal(newest["average"][name], newest["generator"][name]) for name in weights)
    assert (weights["mean_frequencies"] != 0).any()  # what truncation pulls towards
    assert model.card.presets == PRESETS and model.basis is not None and model.appearance
    said = model.card.training
    assert said["steps"] == 7 and said["seed"] == 0 and "no adversarial training" in said["stage"]
    assert said["config"] == yaml.safe_load((unbroken / "config.yaml").read_text())
    errors = {"manifold_init_error_world", "alignment_init_error_world"}
    assert said["facts"].keys() == {"identity_prior", "expression_prior", *errors}


def test_priors_are_fitted_without_the_held_out_people(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = {}

    def recorded(
        vae: object, coefficients: torch.Tensor, config: object, rng: object, name: str
    ) -> dict[str, float]:
        fitted[name] = coefficients
        return {}

    monkeypatch.setattr(initial_weights, "fit_prior", recorded)
    config = tiny_config(tiny, tmp_path / "run")
    no_steps = dataclasses.replace(SCHEDULE, warm_up_deform=0, near_surface=0, complete=0)
    run(dataclasses.replace(config, schedule=no_steps))
    latents = tiny_latents(tiny)
    assert torch.equal(fitted["identity"], latents.id[:-HELD_OUT])
    assert torch.equal(fitted["expression"], latents.exp[:-HELD_OUT])


# ------------------------------------------------------------------------------------------------------- bad input
def refusal(config: TrainConfig) -> str:
    """What a run says that does not begin; its folder stays as it was."""
    before = {path: path.stat().st_mtime_ns for path in config.out.rglob("*")}
    with pytest.raises(InputError) as caught:
        run(config)
    assert "\n" not in str(caught.value)
    assert {path: path.stat().st_mtime_ns for path in config.out.rglob("*")} == before
    return str(caught.value)


def other_networks(config: TrainConfig) -> TrainConfig:
    wider = dataclasses.replace(config.generator, deformation=DeformationConfig(hidden_dim=9, mapping_dim=8))
    return dataclasses.replace(config, generator=wider)


CHANGES: dict[str, tuple[str, Callable[[TrainConfig], TrainConfig]]] = {
    "networks": ("generator.deformation.hidden_dim is 9, expected 8", other_networks),
    "a field less": (
        "generator.alignment is null, expected keys and values",
        lambda c: dataclasses.replace(c, generator=dataclasses.replace(c.generator, alignment=None)),
    ),
    "seed": ("schedule.seed is 3, expected 0", lambda c: dataclasses.replace(c, schedule=Schedule(**SEED_3))),
    "a weight": (
        "weights.colour is 2.0, expected 1.0",
        lambda c: dataclasses.replace(c, weights=LossWeights(colour=2.0)),
    ),
    "priors": (
        "priors.steps is 5, expected 2",
        lambda c: dataclasses.replace(c, priors=dataclasses.replace(c.priors, steps=5)),
    ),
    "the start": (
        "initial_model is a, expected null",
        lambda c: dataclasses.replace(c, initial_model=Path("a")),
    ),
    "training images": (
        "reporting.held_out is 1, expected 2",
        lambda c: dataclasses.replace(c, reporting=dataclasses.replace(c.reporting, held_out=1)),
    ),
}
SEED_3 = vars(SCHEDULE) | {"seed": 3}


@pytest.mark.parametrize(("message", "change"), CHANGES.values(), ids=CHANGES.keys())
def test_a_run_does_not_go_on_with_another_configuration(
    message: str, change: Callable[[TrainConfig], TrainConfig], tiny: Path, unbroken: Path, tmp_path: Path
) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    said = refusal(change(tiny_config(tiny, tmp_path / "run")))
    assert said == f"{message} as in the snapshots of {tmp_path / 'run'}; take another --out for a new run"


def test_a_run_does_not_go_on_with_other_data(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    shutil.copytree(tiny / "data", tmp_path / "data")
    first = read_coefficients(tmp_path / "data" / "000000.mat")
    write_coefficients(tmp_path / "data" / "000001.mat", first)
    config = tiny_config(tiny, tmp_path / "run")
    said = refusal(dataclasses.replace(config, data=dataclasses.replace(config.data, path=tmp_path / "data")))
    assert said.startswith("data.path is of SHA-256 ") and "take another --out" in said


def test_a_run_does_not_go_on_with_an_image_that_was_replaced_by_one_of_its_size(
    tiny: Path, unbroken: Path, tmp_path: Path
) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    shutil.copytree(tiny / "data", tmp_path / "data")
    replaced = bytearray((tmp_path / "data" / "000001.png").read_bytes())
    replaced[-30] ^= 1
    (tmp_path / "data" / "000001.png").write_bytes(replaced)
    config = tiny_config(tiny, tmp_path / "run")
    said = refusal(dataclasses.replace(config, data=dataclasses.replace(config.data, path=tmp_path / "data")))
    assert said.startswith("data.path is of SHA-256 ") and "take another --out" in said


def test_a_run_does_not_go_on_with_another_face_model(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    other = tmp_path / "other.npz"
    with np.load(tiny / "face_model.npz") as arrays:
        np.savez(other, **dict(arrays) | {"mean": 1.001 * arrays["mean"]})
    said = refusal(dataclasses.replace(tiny_config(tiny, tmp_path / "run"), face_model=other))
    assert said.startswith("face_model is of SHA-256 ")


def test_places_reports_threads_and_the_name_may_change(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    shutil.copytree(tiny, tmp_path / "moved")
    moved = tiny_config(tmp_path / "moved", tmp_path / "run")
    reporting = dataclasses.replace(moved.reporting, log_every=5, keep_snapshots=9)
    run(dataclasses.replace(moved, reporting=reporting, threads=torch.get_num_threads(), name="other"))
    same_end(tmp_path / "run", unbroken)
    assert load_checkpoint(tmp_path / "run" / "model").card.name == "other"


def test_what_a_run_refuses_of_data_and_initial_model_is_said_before_anything_is_written(
    tiny: Path, unbroken: Path, tmp_path: Path
) -> None:
    """Also that the data have too few images, and that the initial model's networks are others."""
    config = tiny_config(tiny, tmp_path / "run")
    few = dataclasses.replace(config, reporting=dataclasses.replace(config.reporting, held_out=COUNT))
    assert refusal(few) == (
        f"the data set has {COUNT} images, expected more than the {COUNT} held out (reporting.held_out)"
    )
    deformation = dataclasses.replace(config.generator.deformation, hidden_dim=24)
    wider = dataclasses.replace(config.generator, deformation=deformation)
    others = dataclasses.replace(config, generator=wider, initial_model=unbroken / "model")
    assert "holds other networks than 'generator' says" in refusal(others)
    assert not (tmp_path / "run").exists()


def test_data_of_another_face_model_are_refused(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny / "data", tmp_path / "data")
    for path in (tmp_path / "data").glob("*.mat"):
        write_coefficients(path, dataclasses.replace(read_coefficients(path), face_model="bfm09"))
    config = tiny_config(tiny, tmp_path / "run")
    with pytest.raises(InputError, match="belongs to face model 'bfm09', expected 'anifacegan-open-4'"):
        run(dataclasses.replace(config, data=dataclasses.replace(config.data, path=tmp_path / "data")))
    assert not (tmp_path / "run").exists()


def test_a_new_run_can_start_from_a_finished_model(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    config = tiny_config(tiny, tmp_path / "run")
    no_steps = dataclasses.replace(config.schedule, warm_up_deform=0, near_surface=0, complete=0)
    folder = run(dataclasses.replace(config, initial_model=unbroken / "model", schedule=no_steps))
    first, second = (load_file(path / "model.safetensors") for path in (folder, unbroken / "model"))
    assert all(torch.equal(first[name], second[name]) for name in second)
    before, after = load_checkpoint(unbroken / "model").card, load_checkpoint(folder).card
    initial = {"path": str(unbroken / "model"), "licence": before.licence} | before.training
    assert after.training["facts"] == {"initial_model": initial}
    assert after.training["stage"] == f"from {unbroken / 'model'}" and after.licence == before.licence != ""


def test_an_initial_model_with_other_networks_is_refused(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    config = tiny_config(tiny, tmp_path / "run")
    wider = dataclasses.replace(config.generator, deformation=DeformationConfig(hidden_dim=9, mapping_dim=8))
    with pytest.raises(InputError, match="initial_model: .* holds other networks"):
        run(dataclasses.replace(config, initial_model=unbroken / "model", generator=wider))


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Reporting)])
def test_reports_need_at_least_one_of_everything(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is 0, expected at least 1"):
        Reporting(**{name: 0})


def test_near_levels_are_fewer_than_the_manifolds(tiny: Path, tmp_path: Path) -> None:
    config = tiny_config(tiny, tmp_path)
    with pytest.raises(ValueError, match="schedule.near_levels is 6, expected 1 to 5"):
        dataclasses.replace(config, schedule=dataclasses.replace(SCHEDULE, near_levels=6))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("fov_deg", 15.0, "12.0"), ("fov_deg", 11.999, "12.0"), ("background_z", 0.0, "-0.12")],
)
def test_the_camera_and_the_background_are_those_of_the_data(
    name: str, value: float, expected: str, tiny: Path, tmp_path: Path
) -> None:
    config = tiny_config(tiny, tmp_path)
    ray_sampling = dataclasses.replace(config.generator.ray_sampling, **{name: value})
    with pytest.raises(ValueError) as caught:
        dataclasses.replace(
            config, generator=dataclasses.replace(config.generator, ray_sampling=ray_sampling)
        )
    assert (
        str(caught.value) == f"generator.ray_sampling.{name} is {value}, expected {expected} as in the data"
    )


# -------------------------------------------------------------------------------------------------------- the command
def call_train_py(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """train.py as the main program, but for the setting that would stay with this process."""
    monkeypatch.setattr("anifacegan.runtime.cpu.keep_freed_memory", lambda: True)
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    runpy.run_path(str(ROOT / "train.py"), run_name="__main__")


def test_train_py_trains_the_tiny_configuration(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """configs/tiny_cpu.yaml with its own networks and batches, on fewer images and for fewer steps."""
    threads = torch.get_num_threads()
    options = {
        "out": tmp_path / "run",
        "face_model": tiny / "face_model.npz",
        "data.path": tiny / "data",
        "data.size": SIZE,
        "threads": threads,
        "priors.steps": 3,
        "manifold_init.steps": 3,
        "schedule.warm_up_deform": 2,
        "schedule.near_surface": 2,
        "schedule.complete": 1,
        "reporting.held_out": 2,
        "reporting.preview_size": 8,
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    call_train_py(["--config", str(ROOT / "configs" / "tiny_cpu.yaml"), *arguments], monkeypatch)
    assert capsys.readouterr().err.endswith(f"model written to {tmp_path / 'run' / 'model'}\n")
    assert load_checkpoint(tmp_path / "run" / "model").card.name == "tiny"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--data.path", "nowhere"], "nowhere: no such data set"),
        (["--data.path", "nowhere", "--schedule.steps_near", "3"], "schedule.steps_near"),
        (
            ["--data.path", "nowhere", "--reporting.held_out", "0"],
            "reporting.held_out is 0, expected at least 1",
        ),
    ],
)
def test_train_py_says_what_is_wrong_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    with pytest.raises(SystemExit) as caught:
        call_train_py(["--out", str(tmp_path / "run"), *arguments], monkeypatch)
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line_before_anything_is_written(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for value, said in (("cuda", "PyTorch sees no GPU here"), ("gpu", "device")):
        with pytest.raises(SystemExit) as left:
            options = ["--out", str(tmp_path / "run"), "--data.path", str(tiny / "data"), "--device", value]
            call_train_py(options, monkeypatch)
        error = capsys.readouterr().err
        assert left.value.code == 2 and said in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_run_may_begin_on_a_gpu_and_go_on_without(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    on_gpu = dataclasses.replace(tiny_config(tiny, out), device="cuda")
    run(on_gpu)
    lines = [(folder / "stats.jsonl").read_text().splitlines() for folder in (unbroken, out)]
    for expected, got in zip(*([yaml.safe_load(line) for line in part] for part in lines), strict=True):
        assert got == pytest.approx(expected, rel=1e-2, abs=1e-4)  # Adam's first steps blow rounding up
    finished = load_file(out / "model" / "model.safetensors")
    for device in ("cpu", "cuda"):
        (out / "snapshot_00000007.pt").unlink()
        shutil.rmtree(out / "model")
        run(dataclasses.replace(on_gpu, device=device))
        again = load_file(out / "model" / "model.safetensors")
        assert all(
            torch.allclose(again[name], value, rtol=1e-2, atol=1e-2) for name, value in finished.items()
        )
