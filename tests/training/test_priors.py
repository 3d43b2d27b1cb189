"""Runs of the prior task on a few coefficients, and generators that take the finished priors."""

import dataclasses
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.face_model.coefficients import BFM, OPEN_FACE_MODEL
from anifacegan.models.checkpoints import load_checkpoint
from anifacegan.models.config import CoefficientVAEConfig, PriorKind
from anifacegan.models.prior_checkpoints import load_prior
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_folders import MARKER
from anifacegan.runtime.typed_config import read_config
from anifacegan.training import priors
from anifacegan.training.config import PriorConfig, PriorRun, TrainConfig
from anifacegan.training.initialization import moment_errors
from anifacegan.training.priors import cross_validation, run
from anifacegan.training.run import run as run_generator
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.photographs import write_photographs
from tests.fixtures.tiny_training_set import GENERATOR, SCHEDULE, SIZE, tiny_config
from tests.training.test_run import call_train_py

PHOTOGRAPHS = 12
KINDS: tuple[PriorKind, ...] = ("identity", "expression")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs") / "data"
    write_photographs(folder, PHOTOGRAPHS, 8)
    return folder


def config(data: DataConfig, out: Path, kind: PriorKind = "expression") -> PriorRun:
    """Of the sizes of the tiny generator's priors."""
    return PriorRun(out, data, kind, network=GENERATOR.expression_prior, priors=PriorConfig(steps=3, batch=8))


@pytest.fixture(scope="module")
def finished(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[PriorKind, Path]:
    """Folders of the priors of the tiny data set."""
    out = tmp_path_factory.mktemp("priors")
    return {kind: run(config(DataConfig(tiny / "data", SIZE), out / kind, kind)) for kind in KINDS}


def gaussian(count: int, dim: int = 64) -> torch.Tensor:
    rng = torch.Generator().manual_seed(2)
    return 3 + torch.randn(count, dim, generator=rng) * torch.linspace(0.5, 2.0, dim)


# ------------------------------------------------------------------------------------------------------ what it leaves
def test_a_run_leaves_its_configuration_and_a_prior_that_says_what_it_is(tiny: Path, tmp_path: Path) -> None:
    requested = config(DataConfig(tiny / "data", SIZE), tmp_path / "run", "identity")
    assert run(requested) == tmp_path / "run" / "model"
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.name != MARKER) == [
        "config.yaml",
        "model",
    ]
    assert read_config(PriorRun, ["--config", str(tmp_path / "run" / "config.yaml")], "train.py") == requested
    prior = load_prior(tmp_path / "run" / "model")
    assert prior.vae.decode(torch.zeros(1, 8)).shape == (1, 80)
    assert (prior.card.kind, prior.card.face_model, prior.card.name) == ("identity", OPEN_FACE_MODEL, "prior")
    assert prior.card.licence.startswith("MIT") and "CC0" in prior.card.licence
    said = prior.card.training
    assert said["items"] == 8 and said["seed"] == 0
    assert said["config"] == yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert {"mean_error_in_deviations", "covariance_error", "covariance_error_of_halves"} <= said[
        "decoded"
    ].keys()
    errors = {"mean_error_in_deviations", "covariance_error"}
    assert said["other_half"].keys() == errors | {f"{name}_of_halves" for name in errors}


def test_photographs_priors_are_of_bfm_and_claim_no_licence(photographs: Path, tmp_path: Path) -> None:
    card = load_prior(run(config(DataConfig(photographs, 8), tmp_path / "run"))).card
    assert (card.face_model, card.licence, card.training["items"]) == (BFM, "", PHOTOGRAPHS)


def test_a_zip_and_its_folder_give_one_prior_and_another_seed_another(
    photographs: Path, tmp_path: Path
) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "archive"), "zip", photographs))
    requested = config(DataConfig(photographs, 8), tmp_path / "a")
    weights = [
        (run(changed) / "model.safetensors").read_bytes()
        for changed in (
            requested,
            dataclasses.replace(requested, out=tmp_path / "b", data=DataConfig(archive, 8)),
            dataclasses.replace(requested, out=tmp_path / "c", seed=1),
        )
    ]
    assert weights[0] == weights[1] != weights[2]


def test_only_the_coefficients_of_the_kind_are_fitted(photographs: Path, tmp_path: Path, monkeypatch) -> None:
    fitted = {}

    def recorded(coefficients: torch.Tensor, config: PriorRun, rng: torch.Generator):
        fitted.setdefault(config.kind, coefficients)  # first all items, then a half of them
        return whole(coefficients, config, rng)

    whole = priors.fitted
    monkeypatch.setattr(priors, "fitted", recorded)
    for kind in KINDS:
        run(config(DataConfig(photographs, 8), tmp_path / kind, kind))
    latents = FaceDataset(DataConfig(photographs, 8)).load_coefficients()
    assert torch.equal(fitted["identity"], latents.id) and torch.equal(fitted["expression"], latents.exp)


@pytest.mark.parametrize("broken", [KeyboardInterrupt, FloatingPointError])
def test_a_run_that_does_not_end_leaves_the_earlier_prior(
    broken: type[BaseException], photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested = config(DataConfig(photographs, 8), tmp_path / "run")
    run(requested)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*")}
    assert len(before) == 5  # config.yaml, the two files of the model, and a marker in each folder

    def stop(*arguments: object) -> None:
        raise broken

    monkeypatch.setattr(priors, "cross_validation", stop)
    with pytest.raises(broken):
        run(requested)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*.*")} == before


def test_a_prior_takes_the_place_of_no_other_run(photographs: Path, tmp_path: Path) -> None:
    """Of the other kind, with another option, or of a network of another kind; the same run may be repeated."""
    out = tmp_path / "run"
    requested = config(DataConfig(photographs, 8), out)
    run(requested)
    content = {path: path.read_bytes() for path in out.rglob("*.*")}
    others = {"kind": "identity", "seed": 3, "name": "other", "data": DataConfig(tmp_path, 8)}
    for option, value in others.items():
        key = "data.path" if option == "data" else option
        expected = rf"{key} is .*, expected .* as in .*run/config\.yaml; take another --out"
        with pytest.raises(InputError, match=expected):
            run(dataclasses.replace(requested, **{option: value}))
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == content
    run(requested)
    (out / "config.yaml").write_text("out: run\n")  # of a generator, which is the task where none is named
    with pytest.raises(InputError, match="task is prior, expected generator as in"):
        run(requested)
    (out / "config.yaml").unlink()
    with pytest.raises(InputError, match=r"run/config\.yaml: is missing, expected the run that"):
        run(requested)


def test_the_other_half_is_decoded_as_well_as_the_first_half_knows_it() -> None:
    """A wide prior of Gaussian data has no fault but the half that it was fitted to."""
    wide = PriorRun(
        Path(),
        DataConfig(Path()),
        "expression",
        network=CoefficientVAEConfig(hidden_dim=128, layers=1, latent_dim=64),
        priors=PriorConfig(steps=1, batch=8),
    )
    report = cross_validation(gaussian(4000), wide, torch.Generator().manual_seed(0))
    # Two halves of 2000 differ by sqrt(2 / 2000) deviations in each of 64 means, the largest by about three of those.
    assert 0.05 < report["mean_error_in_deviations_of_halves"] < 0.15
    for name in ("mean_error_in_deviations", "covariance_error"):
        # Decoded noise is a third sample: its error is that of the halves, and that of 2000 draws, independent of it.
        assert 0.7 < report[name] / report[f"{name}_of_halves"] < 2


def test_the_other_half_is_not_the_half_that_was_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    data, fitted = gaussian(101), {}

    class Constant:
        def decode(self, latent: torch.Tensor) -> torch.Tensor:
            return torch.full((len(latent), 64), 3.0)

    def recorded(coefficients: torch.Tensor, config: PriorRun, rng: torch.Generator):
        fitted["rows"] = coefficients
        return Constant(), {}

    monkeypatch.setattr(priors, "fitted", recorded)
    requested = config(DataConfig(Path()), Path())
    report = cross_validation(data, requested, torch.Generator().manual_seed(0))
    seen = {tuple(row.tolist()) for row in fitted["rows"]}
    unseen = torch.stack([row for row in data if tuple(row.tolist()) not in seen])
    assert (len(seen), len(unseen)) == (50, 51)
    assert report["covariance_error"] == pytest.approx(torch.cov(unseen.T).norm().item(), rel=1e-5)
    assert report["covariance_error_of_halves"] == pytest.approx(
        moment_errors(fitted["rows"], unseen)["covariance_error"], rel=1e-5
    )


# ----------------------------------------------------------------------------------------------------------- bad input
def test_too_few_items_are_refused(tmp_path: Path) -> None:
    write_photographs(tmp_path / "few", 7, 8)
    requested = config(DataConfig(tmp_path / "few", 8), tmp_path / "run")
    assert_one_line(lambda: run(requested), "few: holds 7 items, expected at least 8")
    assert not (tmp_path / "run").exists()


def test_a_negative_seed_is_refused(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seed is -1, expected at least 0"):
        dataclasses.replace(config(DataConfig(photographs, 8), tmp_path), seed=-1)


def test_a_folder_that_is_no_priors_is_refused(finished: dict[PriorKind, Path], tmp_path: Path) -> None:
    assert_one_line(lambda: load_prior(tmp_path), f"{tmp_path / 'card.yaml'}: no such file")
    shutil.copytree(finished["identity"], tmp_path / "odd")
    card = yaml.safe_load((tmp_path / "odd" / "card.yaml").read_text())
    for change, message in (
        ({"prior": None}, "'prior' holds None"),
        ({"kind": "hair"}, "kind is hair, expected one of identity, expression"),
        ({"kind": "expression"}, "tensor 'encoder.0.0.weight' has shape (16, 80), expected shape (16, 64)"),
    ):
        (tmp_path / "odd" / "card.yaml").write_text(yaml.safe_dump(card | change))
        assert_one_line(lambda: load_prior(tmp_path / "odd"), str(tmp_path / "odd"), message)


# ------------------------------------------------------------------------------------------------------- the generator
def with_priors(tiny: Path, out: Path, finished: dict[PriorKind, Path]) -> TrainConfig:
    named = {f"{kind}_prior_model": folder for kind, folder in finished.items()}
    return dataclasses.replace(tiny_config(tiny, out), **named)


def test_a_generator_keeps_the_priors_that_it_is_given(
    tiny: Path, finished: dict[PriorKind, Path], tmp_path: Path
) -> None:
    """After training they are the very weights of the folders, and the card says where they are from."""
    model = load_checkpoint(run_generator(with_priors(tiny, tmp_path / "run", finished)))
    for kind, folder in finished.items():
        weights = load_file(folder / "model.safetensors")
        fitted = model.generator.get_submodule(f"{kind}_prior").state_dict()
        assert weights.keys() == fitted.keys() and all(
            torch.equal(weights[name], fitted[name]) for name in fitted
        )
        assert model.card.training["facts"][f"{kind}_prior"] == dataclasses.asdict(load_prior(folder).card)
    assert model.card.licence.startswith("MIT")


def test_one_finished_prior_leaves_the_other_to_be_fitted(
    tiny: Path, finished: dict[PriorKind, Path], tmp_path: Path
) -> None:
    some = {"expression": finished["expression"]}
    no_steps = dataclasses.replace(SCHEDULE, warm_up_deform=0, near_surface=0, complete=0)
    requested = dataclasses.replace(with_priors(tiny, tmp_path / "run", some), schedule=no_steps)
    facts = load_checkpoint(run_generator(requested)).card.training["facts"]
    assert facts["expression_prior"]["kind"] == "expression" and "covariance_error" in facts["identity_prior"]


def test_a_finished_prior_takes_the_place_of_the_initial_models(
    tiny: Path, finished: dict[PriorKind, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And another expression of the template is said."""
    no_steps = dataclasses.replace(SCHEDULE, warm_up_deform=0, near_surface=0, complete=0)
    first = run_generator(dataclasses.replace(tiny_config(tiny, tmp_path / "first"), schedule=no_steps))
    requested = with_priors(tiny, tmp_path / "second", {"identity": finished["identity"]})
    requested = dataclasses.replace(requested, initial_model=first, schedule=no_steps)
    generator = dataclasses.replace(requested.generator, template_expression="jawOpen=0.1")
    second = run_generator(dataclasses.replace(requested, generator=generator))
    line = "initial_model: the template's expression changes from 'neutral' to 'jawOpen=0.1'"
    assert line in capsys.readouterr().err.splitlines()
    before, after = (load_checkpoint(folder).generator.state_dict() for folder in (first, second))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[0] for name in changed} == {"identity_prior", "mean_frequencies", "mean_phases"}


def test_priors_of_unknown_licence_leave_the_model_without_one(
    tiny: Path, finished: dict[PriorKind, Path], tmp_path: Path
) -> None:
    shutil.copytree(finished["identity"], tmp_path / "prior")
    card = yaml.safe_load((tmp_path / "prior" / "card.yaml").read_text())
    (tmp_path / "prior" / "card.yaml").write_text(yaml.safe_dump(card | {"licence": ""}))
    no_steps = dataclasses.replace(SCHEDULE, warm_up_deform=0, near_surface=0, complete=0)
    requested = with_priors(tiny, tmp_path / "run", {"identity": tmp_path / "prior"})
    assert (
        load_checkpoint(run_generator(dataclasses.replace(requested, schedule=no_steps))).card.licence == ""
    )


def test_priors_that_do_not_fit_are_refused_before_anything_is_written(
    tiny: Path, photographs: Path, finished: dict[PriorKind, Path], tmp_path: Path
) -> None:
    of_bfm = run(config(DataConfig(photographs, 8), tmp_path / "bfm"))
    wider = dataclasses.replace(
        config(DataConfig(tiny / "data", SIZE), tmp_path / "wide"),
        network=dataclasses.replace(GENERATOR.expression_prior, latent_dim=9),
    )
    for folder, message in (
        (finished["identity"], "holds a prior of kind identity, expected expression"),
        (of_bfm, f"belongs to face model '{BFM}', expected '{OPEN_FACE_MODEL}' as the data"),
        (run(wider), "has latent_dim 9, expected 8 as generator.expression_prior.latent_dim"),
        (tmp_path / "nowhere", "no such file"),
    ):
        requested = with_priors(tiny, tmp_path / "run", {"expression": folder})
        assert_one_line(partial(run_generator, requested), str(folder), message)
        assert not (tmp_path / "run").exists()


# --------------------------------------------------------------------------------------------------------- the command
def test_train_py_fits_the_shipped_configurations(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    root = Path(__file__).resolve().parents[2]
    for kind in KINDS:
        out = tmp_path / kind
        options = [
            "--out",
            str(out),
            "--data.path",
            str(photographs),
            "--data.size",
            "8",
            "--priors.steps",
            "2",
        ]
        call_train_py(["--config", str(root / "configs" / f"prior_{kind}.yaml"), *options], monkeypatch)
        said = capsys.readouterr().err
        assert f"{kind} prior on unseen items" in said and said.endswith(
            f"model written to {out / 'model'}\n"
        )
        assert load_prior(out / "model").card.kind == kind
        assert np.isfinite(load_prior(out / "model").card.training["other_half"]["covariance_error"])
