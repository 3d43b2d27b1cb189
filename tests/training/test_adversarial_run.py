"""Whole runs through the adversarial stage: what they leave behind, and what they refuse."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from anifacegan.data.config import DataConfig
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.models.checkpoints import load_checkpoint
from anifacegan.models.config import DiscriminatorConfig, FaceRegressorConfig
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.regressor_checkpoints import FaceRegressorCard, save_face_regressor
from anifacegan.runtime.errors import InputError
from anifacegan.training import patch_gradients
from anifacegan.training.adversarial import AdversarialTraining, Iteration
from anifacegan.training.config import TrainConfig
from anifacegan.training.run import run
from anifacegan.training.snapshots import load_newest
from anifacegan.training.weight_groups import FIELDS
from anifacegan.training.weights import AdversarialWeights, LossWeights
from tests.fixtures.photographs import write_photographs
from tests.fixtures.resumed_runs import ADVERSARIAL_SIZE as SIZE
from tests.fixtures.resumed_runs import adversarial_config, flat, paired_adversarial_config
from tests.fixtures.tiny_training_set import write_tiny_set

TERMS = {field.name for field in dataclasses.fields(AdversarialWeights)}
RIGHT = {"discriminator_right_real", "discriminator_right_fake"}
IMITATION = {"deformation", "mouth_gap", "roughness", "minimal", "neutral", "geometry"}
"""What is on where nothing is said; the landmarks need a network."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    write_tiny_set(folder, count=6, size=SIZE)
    write_photographs(folder / "photographs", 4, SIZE)
    return folder


@pytest.fixture(scope="module")
def unbroken(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("run") / "unbroken"
    run(adversarial_config(tiny, out))
    return out


def lines(folder: Path) -> list[dict]:
    return [yaml.safe_load(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


def test_every_adversarial_term_is_logged_by_name(unbroken: Path) -> None:
    logged = [line.keys() - {"step"} for line in lines(unbroken) if "deformation" in line]
    assert len(logged) == 5
    assert all(not (TERMS | RIGHT | {"geometry"}) & names for names in logged[:3])
    assert all(names == TERMS | RIGHT | IMITATION for names in logged[3:])


def test_the_finished_model_says_that_it_was_trained_adversarially(unbroken: Path) -> None:
    said = load_checkpoint(unbroken / "model").card.training
    assert said["stage"].endswith("; 2 adversarial steps on the same renders") and said["steps"] == 5


def test_images_are_rendered_in_the_schedules_precision_and_the_discriminator_is_float32(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half: dict[str, list[bool]] = {"rendered": [], "judged": []}

    def watched(what: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            half[what].append(torch.is_autocast_enabled("cpu"))
            return real(*given, **options)

        return call

    monkeypatch.setattr(patch_gradients, "render_rays", watched("rendered", patch_gradients.render_rays))
    monkeypatch.setattr(Discriminator, "forward", watched("judged", Discriminator.forward))
    config = adversarial_config(tiny, tmp_path / "run")
    run(dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, precision="bfloat16")))
    assert len(half["rendered"]) > 10 and all(half["rendered"])
    assert len(half["judged"]) > 4 and not any(half["judged"])


def test_generator_and_discriminator_learn(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The averaged weights as well."""
    before: list[dict[str, torch.Tensor]] = []
    real = AdversarialTraining.run_iteration

    def recorded(training: AdversarialTraining, iteration: Iteration, *terms) -> dict[str, torch.Tensor]:
        parts = flat(
            {
                "discriminator": training.discriminator.state_dict(),
                "generator": training.generator.state_dict(),
            }
        )
        before.append({name: value.clone() for name, value in parts.items()})
        return real(training, iteration, *terms)

    monkeypatch.setattr(AdversarialTraining, "run_iteration", recorded)
    run(adversarial_config(tiny, tmp_path / "run"))
    content = load_newest(tmp_path / "run")
    assert content is not None
    after = flat(
        {"discriminator": content["adversarial"]["discriminator"], "generator": content["generator"]}
    )
    for one, other in (before, (before[1], after)):
        changed = {name.split(".")[0] for name in one if not torch.equal(one[name], other[name])}
        networks = {"discriminator": ("from_rgb", "blocks", "output"), "generator": FIELDS}
        assert changed == {f"/{network}/{part}" for network, parts in networks.items() for part in parts}
    pairs = ((content["average"][name], content["generator"][name]) for name in content["generator"])
    assert any(not torch.equal(mean, value) for mean, value in pairs)


def test_paired_terms_are_in_the_generators_step_where_configured(
    tiny: Path, unbroken: Path, tmp_path: Path
) -> None:
    """From the same weights and draws: other terms, and other ends."""
    run(paired_adversarial_config(tiny, tmp_path / "run"))
    pairs = {"colour", "silhouette", "free_space"}
    for folder, terms in ((unbroken, set()), (tmp_path / "run", pairs)):
        assert [line.keys() & pairs for line in lines(folder) if "generator_fake" in line] == [terms] * 2
    without, paired = (load_newest(folder) for folder in (unbroken, tmp_path / "run"))
    assert without is not None and paired is not None
    name = "template.layers.0.linear.weight"
    assert not torch.equal(without["generator"][name], paired["generator"][name])
    said = load_checkpoint(tmp_path / "run" / "model").card.training["stage"]
    assert "2 adversarial steps on the same renders, with paired renders" in said


def test_a_finished_model_can_continue_with_adversarial_steps_only(
    tiny: Path, unbroken: Path, tmp_path: Path
) -> None:
    whole = adversarial_config(tiny, tmp_path / "run", initial_model=unbroken / "model")
    alone = dataclasses.replace(whole.schedule, warm_up_deform=0, near_surface=0, complete=0)
    run(dataclasses.replace(whole, schedule=alone))
    logged = [line for line in lines(tmp_path / "run") if "deformation" in line]
    assert [line.keys() - {"step"} for line in logged] == [TERMS | RIGHT | IMITATION] * 2


def network(folder: Path, seed: int, face_model: str = OPEN_FACE_MODEL) -> Path:
    made = FaceRegressor(FaceRegressorConfig(backbone="plain", size=SIZE, channels=(8,)))
    made.initialize(torch.Generator().manual_seed(seed))
    torch.nn.init.normal_(made.backbone.head.weight, generator=torch.Generator().manual_seed(seed))
    save_face_regressor(folder, made, FaceRegressorCard("R", face_model))
    return folder


def test_landmarks_through_a_network_take_part(tiny: Path, tmp_path: Path) -> None:
    """The network may move, but the run does not go on with another one, or with another weight."""

    def with_landmarks(where: Path, weight: float = 100.0) -> TrainConfig:
        whole = adversarial_config(
            tiny, tmp_path / "run", reconstruction=where, weights=LossWeights(landmarks=weight)
        )
        return dataclasses.replace(
            whole, adversarial=dataclasses.replace(whole.adversarial, deformation_steps=1)
        )

    ours, other = network(tmp_path / "ours", 0), network(tmp_path / "other", 1)
    run(with_landmarks(ours))
    logged = [line for line in lines(tmp_path / "run") if "deformation" in line]
    assert [line.keys() - {"step"} for line in logged[3:]] == [TERMS | RIGHT | IMITATION | {"landmarks"}] * 2
    assert all("landmarks" not in line for line in logged[:3])
    run(with_landmarks(ours.rename(tmp_path / "moved")))
    with pytest.raises(InputError, match="reconstruction is of SHA-256 .*, expected of SHA-256"):
        run(with_landmarks(other))
    with pytest.raises(InputError, match="weights.landmarks is 50.0, expected 100.0"):
        run(with_landmarks(tmp_path / "moved", 50.0))


def test_landmarks_are_refused_in_one_line_before_anything_is_written(tiny: Path, tmp_path: Path) -> None:
    """Without a network, and with one of another face model."""
    weights = LossWeights(landmarks=1.0)
    with pytest.raises(
        InputError, match="^weights.landmarks is 1.0, expected 0 while 'reconstruction' is empty"
    ):
        adversarial_config(tiny, tmp_path / "run", weights=weights)
    older = network(tmp_path / "older", 0, "anifacegan-open-1")
    with pytest.raises(
        InputError, match="^reconstruction: .*older belongs to face model 'anifacegan-open-1'"
    ):
        run(adversarial_config(tiny, tmp_path / "run", weights=weights, reconstruction=older))
    assert not (tmp_path / "run").exists()


def test_without_weights_no_term_looks_at_images(tiny: Path, tmp_path: Path) -> None:
    run(
        adversarial_config(
            tiny, tmp_path / "run", weights=LossWeights(geometry=0.0), reconstruction=tmp_path / "not read"
        )
    )
    assert all("geometry" not in line and "landmarks" not in line for line in lines(tmp_path / "run"))


def test_photographs_without_appearance_latents_serve_as_real_images(tiny: Path, tmp_path: Path) -> None:
    photographs = DataConfig(tiny / "photographs", SIZE, pitch_offset=0.1)
    folder = run(adversarial_config(tiny, tmp_path / "run", real=photographs))
    logged = [line for line in lines(tmp_path / "run") if "discriminator_real" in line]
    assert len(logged) == 2
    card = load_checkpoint(folder).card
    assert card.training["stage"].endswith(f"2 adversarial steps on {tiny / 'photographs'}")
    assert card.licence == ""  # nobody said what the photographs' is


def test_photographs_may_move_but_not_change(tiny: Path, tmp_path: Path) -> None:
    photographs = DataConfig(tiny / "photographs", SIZE)
    run(adversarial_config(tiny, tmp_path / "run", real=photographs))
    shutil.copytree(photographs.path, tmp_path / "moved")
    run(adversarial_config(tiny, tmp_path / "run", real=DataConfig(tmp_path / "moved", SIZE)))
    moved = adversarial_config(tiny, tmp_path / "run", real=DataConfig(tmp_path / "moved", SIZE))
    image = next((tmp_path / "moved").glob("00000.png"))
    content = image.read_bytes()
    image.write_bytes(content[:-30] + bytes([content[-30] ^ 1]) + content[-29:])  # another of its size
    with pytest.raises(InputError, match="real.path is of SHA-256 .*, expected of SHA-256"):
        run(moved)
    for gone in sorted((tmp_path / "moved").glob("00000.*")):
        gone.unlink()
    with pytest.raises(InputError, match="real.path is of SHA-256 .*, expected of SHA-256"):
        run(moved)


def test_another_discriminator_than_the_snapshots_is_refused(
    tiny: Path, unbroken: Path, tmp_path: Path
) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    wider = DiscriminatorConfig(size=SIZE, capacity=128, max_channels=8)
    with pytest.raises(InputError, match="discriminator.capacity is 128, expected 64 as in the snapshots"):
        run(adversarial_config(tiny, tmp_path / "run", discriminator=wider))


def test_images_of_another_size_than_the_discriminators_are_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="discriminator.size is 32, expected 16 as data.size"):
        adversarial_config(tiny, tmp_path, discriminator=DiscriminatorConfig(size=32))
    with pytest.raises(ValueError, match="discriminator.size is 16, expected 32 as real.size"):
        adversarial_config(tiny, tmp_path, real=DataConfig(tiny / "photographs", 32))
