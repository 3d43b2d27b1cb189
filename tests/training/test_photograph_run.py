"""Whole runs as the paper's: photographs with BFM coefficients and nothing else. A tiny face stands in for BFM."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from anifacegan.data.config import DataConfig
from anifacegan.face_model.bfm import load_bfm
from anifacegan.face_model.coefficients import BFM, OPEN_FACE_MODEL, read_coefficients, write_coefficients
from anifacegan.face_model.face_mesh import face_mesh
from anifacegan.models.checkpoints import load_checkpoint
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import FaceRegressorConfig
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.models.regressor_checkpoints import DEEP3D, FaceRegressorCard, save_face_regressor
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_folders import MARKER
from anifacegan.training.config import PriorConfig, PriorRun, TrainConfig
from anifacegan.training.image_imitation import ImitationFiles, load_image_imitation
from anifacegan.training.init_config import ManifoldInitConfig
from anifacegan.training.priors import run as run_prior
from anifacegan.training.run import export, run
from anifacegan.training.snapshots import load_newest, save_snapshot
from anifacegan.training.state import State
from anifacegan.training.weights import AdversarialWeights, ImageWeights, LossWeights
from tests.fixtures.resumed_runs import ADVERSARIAL_SIZE as SIZE
from tests.fixtures.resumed_runs import adversarial_config, photograph_config, same_end
from tests.fixtures.tiny_bfm import PHOTOGRAPHS, write_photograph_set
from tests.fixtures.tiny_training_set import HELD_OUT, write_tiny_set

RIGHT = {"discriminator_right_real", "discriminator_right_fake"}
ADVERSARIAL = {field.name for field in dataclasses.fields(AdversarialWeights)}
POINTS = {"deformation", "mouth_gap", "roughness", "minimal", "neutral"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    write_photograph_set(folder, SIZE)
    return folder


def network(folder: Path, face_model: str = BFM) -> Path:
    made = FaceRegressor(FaceRegressorConfig(backbone="plain", size=SIZE, channels=(8,)))
    made.initialize(torch.Generator().manual_seed(0))
    torch.nn.init.normal_(made.backbone.head.weight, generator=torch.Generator().manual_seed(0))
    save_face_regressor(folder, made, FaceRegressorCard("R", face_model))
    return folder


def nothing(*arguments: object) -> None:
    """In place of the steps, where they are of no account."""


@pytest.fixture(scope="module")
def with_all_terms(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], TrainConfig]:
    """Run folder -> configuration, landmarks included."""
    r = network(tmp_path_factory.mktemp("R") / "bfm")

    def config(out: Path) -> TrainConfig:
        whole = photograph_config(tiny, out, reconstruction=r, weights=LossWeights(landmarks=100.0))
        schedule = dataclasses.replace(whole.schedule, slow_average_decay=0.1, left_out_limit=3)
        return dataclasses.replace(whole, schedule=schedule)

    return config


@pytest.fixture(scope="module")
def unbroken(with_all_terms: Callable[[Path], TrainConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("run") / "unbroken"
    assert run(with_all_terms(out)) == out / "model"
    return out


# ------------------------------------------------------------------------------------------------------ what it leaves
def test_the_deformation_learns_first_and_then_all_fields_from_every_term(unbroken: Path) -> None:
    lines = [yaml.safe_load(line) for line in (unbroken / "stats.jsonl").read_text().splitlines()]
    assert [line.keys() - {"step"} for line in lines] == [POINTS] * 3 + [
        ADVERSARIAL | RIGHT | POINTS | {"geometry", "landmarks"}
    ] * 2


def test_only_visible_vertices_are_drawn_and_no_error_of_colours_is_claimed(unbroken: Path) -> None:
    assert sorted(
        path.name for path in unbroken.iterdir() if path.suffix != ".pt" and path.name != MARKER
    ) == sorted(
        ["config.yaml", "model", "preview.png", "stats.jsonl", "surfaces", "tensorboard"]
        + [f"{name}.png" for name in ("expressions", "deformation", "yaw", "depth")]
    )
    surfaces = {path.name for path in (unbroken / "surfaces").iterdir() if path.name != MARKER}
    assert surfaces == {f"{name}.{end}" for name in ("photographs", "prior_faces") for end in ("json", "npy")}
    assert "held_out_psnr" not in (unbroken / "stats.jsonl").read_text()


def test_the_preview_begins_with_the_photographs_that_training_never_sees(tiny: Path, unbroken: Path) -> None:
    preview = np.asarray(Image.open(unbroken / "preview.png"))
    size = len(preview) // 3
    nearest = np.linspace(0, SIZE - 1, size).round().astype(int)
    assert preview.shape == (3 * size, HELD_OUT * size, 3)
    for column in range(HELD_OUT):
        name = f"{PHOTOGRAPHS - HELD_OUT + column:05d}.png"
        image = np.asarray(Image.open(tiny / "photographs" / name))
        assert np.array_equal(preview[:size, column * size : (column + 1) * size], image[nearest][:, nearest])


def test_a_run_that_lost_its_end_repeats_it(
    with_all_terms: Callable[[Path], TrainConfig], unbroken: Path, tmp_path: Path
) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    (tmp_path / "run" / "snapshot_00000005.pt").unlink()
    shutil.rmtree(tmp_path / "run" / "model")
    run(with_all_terms(tmp_path / "run"))
    same_end(tmp_path / "run", unbroken)


def test_the_second_average_can_be_exported_and_the_finished_model_has_the_first(
    with_all_terms: Callable[[Path], TrainConfig], unbroken: Path, tmp_path: Path
) -> None:
    content = load_newest(unbroken)
    assert content is not None
    name = "deformation.head.weight"
    fast, slow = content["average"][name], content["slow_average"][name]
    assert not torch.equal(fast, slow)
    assert export(with_all_terms(unbroken), None, tmp_path / "slow", slow=True) == 5
    for folder, expected in ((tmp_path / "slow", slow), (unbroken / "model", fast)):
        assert torch.equal(load_file(folder / "model.safetensors")[name], expected)


@pytest.mark.parametrize("key", ["generator.ray_sampling.near", "schedule.batch", "schedule.steps"])
def test_a_snapshot_is_not_exported_by_a_config_yaml_that_was_changed(
    key: str, with_all_terms: Callable[[Path], TrainConfig], unbroken: Path, tmp_path: Path
) -> None:
    """The model would be silently wrong; a resumed run refuses the same."""
    config = with_all_terms(unbroken)
    rays = dataclasses.replace(config.generator.ray_sampling, near=config.generator.ray_sampling.near - 0.1)
    changed = {
        "generator.ray_sampling.near": {
            "generator": dataclasses.replace(config.generator, ray_sampling=rays)
        },
        "schedule.batch": {"schedule": dataclasses.replace(config.schedule, batch=1)},
        "schedule.steps": {"schedule": dataclasses.replace(config.schedule, adversarial=1)},
    }[key]
    said = key.replace("schedule.steps", "schedule.adversarial")
    with pytest.raises(InputError, match=rf"{said} is .*, expected .* as in the snapshots of .*was changed"):
        export(dataclasses.replace(config, **changed), None, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_snapshot_behind_the_runs_last_step_is_not_exported(
    with_all_terms: Callable[[Path], TrainConfig], unbroken: Path, tmp_path: Path
) -> None:
    content = load_newest(unbroken)
    assert content is not None
    save_snapshot(tmp_path / "run", 99, content | {"step": 99}, keep=1)
    config = with_all_terms(tmp_path / "run")
    for start in (lambda: export(config, None, tmp_path / "model"), lambda: run(config)):
        with pytest.raises(InputError, match="is of step 99, expected at most 5, the run's last"):
            start()


def test_the_finished_model_is_bfms_and_claims_nothing_of_the_users_images(
    tiny: Path, unbroken: Path
) -> None:
    checkpoint = load_checkpoint(unbroken / "model")
    card = checkpoint.card
    assert (card.face_model, card.licence, card.pitch_offset) == (BFM, "", 0.1)
    assert (card.expression_units, card.presets, checkpoint.appearance, checkpoint.basis) == (
        (),
        {},
        {},
        None,
    )
    assert card.training["stage"] == (
        f"3 steps of the deformation on the face model's mesh; 2 adversarial steps on {tiny / 'photographs'}"
    )
    assert card.training["facts"].keys() == {"crop_check", "identity_prior", "expression_prior"}


def test_the_finished_model_loads_and_renders_with_a_mat_file(tiny: Path, unbroken: Path) -> None:
    model = load_model(unbroken / "model")
    assert (model.generator.template.latent_scale == 1).all()
    smile = tiny / "photographs" / "00000.mat"
    images = [
        model.face(seed=1, expression=e).render(yaw=0.2, pitch=0.1, size=12) for e in (smile, smile, None)
    ]
    assert images[0].shape == (3, 12, 12) and torch.isfinite(images[0]).all()
    assert torch.equal(images[0], images[1]) and not torch.equal(images[0], images[2])
    with pytest.raises(InputError, match="has no named expressions"):
        model.face(seed=1, expression="smile")


def test_manifolds_start_as_spheres_and_nothing_is_fitted_to_them(tiny: Path, tmp_path: Path) -> None:
    config = photograph_config(tiny, tmp_path / "run")
    started = {}

    def recorded(state: State, *others: object) -> None:
        started.update(
            {name: value.clone() for name, value in state.generator.manifolds.state_dict().items()}
        )

    run(config, train=recorded)
    again = Generator(config.generator).initialize(torch.Generator().manual_seed(config.schedule.seed))
    assert all(torch.equal(started[name], value) for name, value in again.manifolds.state_dict().items())


# --------------------------------------------------------------------------------------------------------- other starts
def test_a_finished_model_goes_on_at_another_size(tiny: Path, unbroken: Path, tmp_path: Path) -> None:
    """As configs/ffhq256.yaml goes on from configs/ffhq128.yaml: the discriminator is a fresh one."""
    whole = photograph_config(tiny, tmp_path / "run", initial_model=unbroken / "model")
    alone = dataclasses.replace(whole.schedule, warm_up_deform=0, adversarial=1)
    folder = run(
        dataclasses.replace(whole, schedule=alone, manifold_init=ManifoldInitConfig()), train=nothing
    )
    before, after = (load_file(path / "model" / "model.safetensors") for path in (unbroken, folder.parent))
    assert all(torch.equal(after[name], value) for name, value in before.items() if "mean_" not in name)
    card = load_checkpoint(folder).card
    assert card.licence == "" and card.training["facts"]["initial_model"]["steps"] == 5


def test_finished_priors_of_bfm_are_taken(tiny: Path, tmp_path: Path) -> None:
    config = photograph_config(tiny, tmp_path / "run")
    data = DataConfig(tiny / "photographs", SIZE)
    sizes, steps = config.generator.identity_prior, PriorConfig(steps=2, batch=4)
    write_photograph_set(tmp_path, SIZE)
    for item in range(PHOTOGRAPHS, 9):  # a prior by itself takes a few more
        for suffix in ("mat", "png"):
            source = tmp_path / "photographs" / f"00000.{suffix}"
            shutil.copy(source, source.with_name(f"{item:05d}.{suffix}"))
    data = dataclasses.replace(data, path=tmp_path / "photographs")
    prior = run_prior(PriorRun(tmp_path / "prior", data, "identity", network=sizes, priors=steps))
    run(dataclasses.replace(config, identity_prior_model=prior), train=nothing)
    facts = load_checkpoint(tmp_path / "run" / "model").card.training["facts"]
    assert facts["identity_prior"]["face_model"] == BFM and facts["expression_prior"].keys() > {
        "covariance_error"
    }


def test_photographs_of_the_open_face_model_have_its_named_expressions_and_no_surfaces(
    tmp_path: Path,
) -> None:
    """Coefficients that our own network found in photographs: their appearance latents are unknown."""
    write_tiny_set(tmp_path, count=6, size=SIZE)
    for path in (tmp_path / "data").glob("*.mat"):
        write_coefficients(path, dataclasses.replace(read_coefficients(path), noise=None, pose=None))
    config = adversarial_config(tmp_path, tmp_path / "run")
    alone = dataclasses.replace(config.schedule, near_surface=0, complete=0, adversarial=1)
    checkpoint = load_checkpoint(run(dataclasses.replace(config, schedule=alone), train=nothing))
    assert not (tmp_path / "run" / "surfaces" / "distance.npy").exists()
    assert checkpoint.card.face_model == OPEN_FACE_MODEL and checkpoint.card.licence == ""
    assert checkpoint.basis is not None and not checkpoint.appearance
    assert "manifold_init_error_world" in checkpoint.card.training["facts"]


def test_deep3dfacerecons_own_file_is_the_network_of_bfms_landmarks(tiny: Path, tmp_path: Path) -> None:
    torch.save({"net_recon": FaceRegressor(DEEP3D).backbone.state_dict()}, tmp_path / "epoch_20.pth")
    model = load_bfm(tiny / "BFM_model_front.mat")
    files = ImitationFiles(tiny / "BFM_model_front.mat", tmp_path / "epoch_20.pth")
    weights = ImageWeights(geometry=0.0, landmarks=1.0)
    loaded = load_image_imitation(weights, files, face_mesh(model), 12.0, torch.device("cpu"))
    assert loaded is not None and loaded.landmarks is not None
    assert loaded.landmarks.network.config == DEEP3D
    latents = Latents(torch.randn(2, 80), torch.randn(2, 64), torch.randn(2, 80))
    target = loaded.landmarks.of_latents(PosedLatents(latents, torch.zeros(2, 2)))
    torch.testing.assert_close(target, 0.1 * model.landmarks(model.shape(latents.z_id, latents.z_exp)))


# ----------------------------------------------------------------------------------------------------------- bad input
def replaced_schedule(config: TrainConfig, **changes: int) -> TrainConfig:
    return dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, **changes))


BAD: dict[str, tuple[str, Callable[[TrainConfig], TrainConfig]]] = {
    "near_surface": (
        "schedule.near_surface is 3, expected 0: its steps learn from synthetic images of the open face model, and "
        "{data} holds photographs",
        lambda c: replaced_schedule(c, near_surface=3, complete=2),
    ),
    "complete": (
        "schedule.complete is 2, expected 0: its steps learn from synthetic images of the open face model, and "
        "{data} holds photographs",
        lambda c: replaced_schedule(c, complete=2),
    ),
    "paired rays": (
        "adversarial.paired_rays is 8, expected 0: its steps learn from synthetic images of the open face model, and "
        "{data} holds photographs",
        lambda c: dataclasses.replace(c, adversarial=dataclasses.replace(c.adversarial, paired_rays=8)),
    ),
    "manifold_init": (
        "manifold_init.start is mean_head, expected spheres: 'bfm09' is a face without a head to lay "
        "initial manifolds about",
        lambda c: dataclasses.replace(c, manifold_init=ManifoldInitConfig()),
    ),
    "no face model": (
        "{folder}/nowhere.mat: no such file, expected Deep3DFaceRecon's BFM_model_front.mat",
        lambda c: dataclasses.replace(c, face_model=c.data.path.parent / "nowhere.mat"),
    ),
    "all held out": (
        "the data set has 7 images, expected more than the 7 held out (reporting.held_out)",
        lambda c: dataclasses.replace(c, reporting=dataclasses.replace(c.reporting, held_out=PHOTOGRAPHS)),
    ),
}


@pytest.mark.parametrize(("message", "change"), BAD.values(), ids=BAD.keys())
def test_what_does_not_fit_is_one_line_before_anything_is_written(
    message: str, change: Callable[[TrainConfig], TrainConfig], tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        run(change(photograph_config(tiny, tmp_path / "run")))
    assert str(caught.value) == message.format(data=tiny / "photographs", folder=tiny)
    assert not (tmp_path / "run").exists()


def test_photographs_without_bfm_are_refused(tiny: Path, tmp_path: Path) -> None:
    """Files that do not say whose they are, are Deep3DFaceRecon's; so is its mesh alone."""
    write_tiny_set(tmp_path, count=3, size=SIZE)
    config = photograph_config(tiny, tmp_path / "run")
    with pytest.raises(
        InputError, match=f"photographs: belongs to face model '{BFM}', expected '{OPEN_FACE_MODEL}'$"
    ):
        run(dataclasses.replace(config, face_model=tmp_path / "face_model.npz"))
    with pytest.raises(
        InputError, match=f"data: belongs to face model '{OPEN_FACE_MODEL}', expected '{BFM}'$"
    ):
        run(dataclasses.replace(config, data=DataConfig(tmp_path / "data", SIZE)))


def test_a_network_or_a_model_of_another_face_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    ours = network(tmp_path / "R", OPEN_FACE_MODEL)
    config = photograph_config(
        tiny, tmp_path / "run", reconstruction=ours, weights=LossWeights(landmarks=1.0)
    )
    with pytest.raises(InputError, match=f"^reconstruction: .*R belongs to face model '{OPEN_FACE_MODEL}'"):
        run(config)
    write_tiny_set(tmp_path, count=6, size=SIZE)
    model = run(adversarial_config(tmp_path, tmp_path / "open"), train=nothing)
    config = photograph_config(tiny, tmp_path / "run2", initial_model=model)
    with pytest.raises(
        InputError, match=f"^initial_model: .*model belongs to face model '{OPEN_FACE_MODEL}'"
    ):
        run(config)


def test_a_run_does_not_go_on_with_other_photographs(
    tiny: Path, with_all_terms: Callable[[Path], TrainConfig], unbroken: Path, tmp_path: Path
) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    shutil.copytree(tiny / "photographs", tmp_path / "photographs")
    shutil.copy(tmp_path / "photographs" / "00000.mat", tmp_path / "photographs" / "00001.mat")
    config = with_all_terms(tmp_path / "run")
    with pytest.raises(InputError, match="^data.path is of SHA-256 .* as in the snapshots of"):
        run(dataclasses.replace(config, data=dataclasses.replace(config.data, path=tmp_path / "photographs")))
