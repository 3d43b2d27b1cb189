"""The fit of the shading field to the light on synthetic people."""

import dataclasses
from pathlib import Path

import pytest
import torch

from anifacegan.models.checkpoints import load_checkpoint
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import Generator
from anifacegan.runtime.errors import ConfigError, InputError
from anifacegan.training import shading_fit
from anifacegan.training.init_config import ShadingInitConfig
from anifacegan.training.paired import PairedData
from anifacegan.training.run import run
from anifacegan.training.shading_fit import Lights, fit_shading, held_out_error, shown_vertices
from tests.fixtures.small_models import small_generator
from tests.fixtures.tiny_training_set import GENERATOR, tiny_config, tiny_renderer, write_tiny_set
from tests.models.test_shading import SHADING

SHADED = dataclasses.replace(GENERATOR, shading=SHADING)
QUICK = ShadingInitConfig(faces=10, steps=3, batch=2, points=20)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny_set(folder)
    return folder


def people(count: int, seed: int = 0) -> Latents:
    rng = torch.Generator().manual_seed(seed)
    return Latents(*(torch.randn(count, size, generator=rng) for size in (80, 64, 80)))


def paired(latents: Latents) -> PairedData:
    """Data of which only latents and poses are asked for; the last two faces are held out."""
    data = object.__new__(PairedData)
    data.z_id, data.z_exp, data.z_noise = latents.z_id, latents.z_exp, latents.z_noise
    data.pose, data.count = torch.zeros(len(latents.z_id), 2), len(latents.z_id) - 2
    return data


def shaded_by_one_coefficient(generator: Generator, latents: Latents) -> Lights:
    """Faces that the first expression coefficient makes lighter at the right and darker at the left."""
    rng = torch.Generator().manual_seed(7)
    x = 0.1 * torch.rand(60, 3, generator=rng) - 0.05
    change = 0.2 * latents.z_exp[:, :1] * (40 * x[:, 0]).sin()
    visible = torch.rand(change.shape, generator=rng) < 0.7
    return Lights(
        latents, x, torch.where(visible, change, 5.0).half(), visible
    )  # what is hidden teaches nothing


def test_it_learns_the_light_of_new_people(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, latents = small_generator(SHADED), people(400)
    lights = shaded_by_one_coefficient(generator, latents)
    monkeypatch.setattr(shading_fit, "drawn_lights", lambda *arguments: lights)
    config = ShadingInitConfig(faces=400, steps=1200, batch=32, points=30, lr=5e-3)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    error = fit_shading(generator, tiny_renderer(), paired(latents), config, torch.Generator().manual_seed(1))
    assert error < 0.5  # 1: that of a field that changes nothing
    assert error == held_out_error(generator, lights, torch.arange(360, 400))
    changed = {name for name, value in generator.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.startswith("shading.") for name in changed)


def test_lights_are_those_of_the_data_and_of_the_prior_by_turns() -> None:
    generator, renderer, latents = small_generator(SHADED), tiny_renderer(), people(5)
    lights = shading_fit.drawn_lights(
        generator, renderer, paired(latents), 10, torch.Generator().manual_seed(1)
    )
    shown = shown_vertices(renderer)
    assert lights.change.shape == (10, shown.sum()) and lights.x.shape == (shown.sum(), 3)
    assert torch.equal(lights.latents.z_exp[0], latents.z_exp[0])
    assert torch.equal(lights.latents.z_exp[6], latents.z_exp[0])
    assert not torch.equal(lights.latents.z_exp[3], latents.z_exp[0])
    assert torch.equal(lights.latents.z_noise[4], latents.z_noise[1])
    assert lights.change.isfinite().all() and lights.change.std() > 1e-3
    front, back = (lights.visible[:, lights.x[:, 2] > 0].float().mean(), lights.visible.float().mean())
    assert front > 0.5 and back < 1


def test_a_run_fits_it_once(tiny: Path, tmp_path: Path) -> None:
    """From scratch, and to a model that has none; a model that has one keeps it."""
    no_steps = dataclasses.replace(
        tiny_config(tiny, tmp_path).schedule, warm_up_deform=0, near_surface=0, complete=0
    )

    def made(name: str, initial: str | None, generator=SHADED) -> tuple[Generator, dict]:
        config = dataclasses.replace(
            tiny_config(tiny, tmp_path / name),
            generator=generator,
            shading_init=QUICK,
            schedule=no_steps,
            initial_model=None if initial is None else tmp_path / initial / "model",
        )
        checkpoint = load_checkpoint(run(config))
        return checkpoint.generator, checkpoint.card.training["facts"]

    first, facts = made("first", None)
    assert facts["shading_init_error"] > 0 and first.shading.head.weight.any()
    plain, facts = made("plain", None, GENERATOR)
    assert plain.shading is None and "shading_init_error" not in facts
    added, facts = made("added", "plain")
    assert facts["shading_init_error"] > 0 and added.shading.head.weight.any()
    kept, facts = made("kept", "first")
    assert "shading_init_error" not in facts
    assert torch.equal(kept.shading.head.weight, first.shading.head.weight)
    for name, value in plain.state_dict().items():
        assert torch.equal(added.state_dict()[name], value)
    with pytest.raises(InputError, match="initial_model: .* holds other networks"):
        made(
            "wider", "first", dataclasses.replace(SHADED, shading=dataclasses.replace(SHADING, hidden_dim=9))
        )
    with pytest.raises(InputError, match="initial_model: .* holds other networks"):
        made("without", "first", GENERATOR)


def test_a_run_goes_on_teaching_it(tiny: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(tiny_config(tiny, tmp_path / "run"), generator=SHADED, shading_init=QUICK)
    none = dataclasses.replace(config.schedule, warm_up_deform=0, near_surface=0, complete=0)
    fitted = load_checkpoint(run(dataclasses.replace(config, out=tmp_path / "fit", schedule=none))).generator
    taught = load_checkpoint(run(config)).generator
    assert not torch.equal(fitted.shading.expression_head.weight, taught.shading.expression_head.weight)


@pytest.mark.parametrize("changes", [{"faces": 9}, {"steps": 0}, {"lr": 0.0}, {"points": 0}])
def test_impossible_options_are_refused(changes: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        ShadingInitConfig(**changes)
