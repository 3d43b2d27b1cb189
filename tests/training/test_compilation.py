"""Compiled fields compute what the others do, and where compiling fails nothing is lost but time."""

import dataclasses
import subprocess
import sys
from functools import partial
from pathlib import Path

import jaxtyping
import pytest
import torch

from anifacegan.geometry.rays import image_rays
from anifacegan.models import siren
from anifacegan.models.checkpoints import load_checkpoint
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import Generator
from anifacegan.rendering.volume import render_rays
from anifacegan.training import run as training_run
from anifacegan.training.compilation import compile_fields
from anifacegan.training.resume_check import fixed_values
from tests.fixtures.small_models import WITH_PLANES, small_generator
from tests.fixtures.tiny_training_set import SCHEDULE, tiny_config, write_tiny_set

ROOT = Path(__file__).resolve().parents[2]
ALL_FIELDS = dataclasses.replace(
    WITH_PLANES, deformation=dataclasses.replace(WITH_PLANES.deformation, aligned=True)
)
GRAPHS = 5
"""Template, deformation, manifolds, and alignment: for the manifolds in several rounds, for the deformation in one."""
BATCH = 2


@pytest.fixture(autouse=True)
def _compiled_as_outside_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled yet, and shapes are not checked: PyTorch cannot compile the checks, nor whole functions that
    are wrapped in them."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    torch.compiler.reset()


def learned(generator: Generator, seed: int) -> tuple[torch.Tensor, ...]:
    """Colours of two new people, and the gradients of some weights."""
    rng = torch.Generator().manual_seed(seed)
    latents = Latents(*(torch.randn(BATCH, dim, generator=rng) for dim in (80, 64, 80)))
    generator.zero_grad()
    rgb = render_rays(
        generator.condition(latents),
        image_rays(yaw=torch.zeros(BATCH), pitch=torch.zeros(BATCH), size=4, fov_deg=12.0),
    ).rgb
    rgb.square().sum().backward()
    fields = (generator.template.mapping, generator.deformation.mapping, generator.manifolds)
    return rgb.detach(), *(field.output.weight.grad.clone() for field in fields)


def broken(module: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
    raise RuntimeError("no C++ compiler\nand a long explanation")


def compare() -> None:
    """Compare compiled fields with those whose sine layers are PyTorch's operations, as compiled ones are.

    The graphs are run as they were found, so colours are equal; gradients are float32 sums of the same numbers in
    another order, which moves them by 1e-7 of the largest.
    """
    plain, compiled, graphs = small_generator(ALL_FIELDS), small_generator(ALL_FIELDS), []

    def counted(module: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        graphs.append(module)
        return module.forward

    compile_fields(compiled, counted)
    for seed in range(3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(siren, "fusable", lambda x: False)
            rgb, *gradients = learned(plain, seed)
        compiled_rgb, *compiled_gradients = learned(compiled, seed)
        assert torch.equal(compiled_rgb, rgb)
        for one, other in zip(compiled_gradients, gradients, strict=True):
            assert (one - other).abs().max() < 2e-6 * other.abs().max()
        assert len(graphs) == GRAPHS


@pytest.mark.slow
def test_compiled_fields_compute_the_same_and_each_is_compiled_once_for_all_people() -> None:
    """In a process that checks no shapes, where PyTorch compiles each field as a whole."""
    program = "from tests.training.test_compilation import compare; compare()"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=600)


@pytest.mark.slow
def test_iterations_after_the_first_compile_nothing_again() -> None:
    """As torch._dynamo counts graphs, over three adversarial iterations."""
    script = str(ROOT / "tests" / "fixtures" / "compiled_iterations.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    first, *later = map(int, done.stdout.split())
    assert len(later) == 2 and set(later) == {first} and first >= 6
    assert "recompile_limit" not in done.stderr  # where PyTorch gives up, it counts no graphs either


def test_bound_fields_keep_what_is_not_compiled() -> None:
    generator = small_generator(ALL_FIELDS)
    plain = generator.alignment.bind(torch.zeros(1, 80))
    compile_fields(generator, "eager")
    compiled = generator.alignment.bind(torch.zeros(1, 80))
    assert isinstance(compiled, type(plain)) and type(compiled.in_one_round()) is type(compiled)
    assert compiled.in_one_round().config.rounds == 1
    assert torch.equal(compiled.shift, plain.shift)


def test_weights_keep_their_names() -> None:
    plain, compiled = small_generator(ALL_FIELDS), small_generator(ALL_FIELDS)
    compile_fields(compiled, "eager")
    assert list(compiled.state_dict()) == list(plain.state_dict())
    assert list(dict(compiled.named_modules())) == list(dict(plain.named_modules()))


def test_a_failed_compilation_is_reported_in_one_line_and_changes_nothing(
    capsys: pytest.CaptureFixture,
) -> None:
    plain, compiled = small_generator(ALL_FIELDS), small_generator(ALL_FIELDS)
    compile_fields(compiled, broken)
    for seed in range(2):
        assert all(
            torch.equal(*pair) for pair in zip(learned(plain, seed), learned(compiled, seed), strict=True)
        )
    assert capsys.readouterr().err == "compile: does not work here (no C++ compiler), going on without\n"


@pytest.mark.slow
def test_a_run_goes_on_where_compiling_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    write_tiny_set(tmp_path)
    monkeypatch.setattr(training_run, "compile_fields", partial(compile_fields, backend=broken))
    one_step = dataclasses.replace(SCHEDULE, warm_up_deform=1, near_surface=0, complete=0)
    requested = dataclasses.replace(tiny_config(tmp_path, tmp_path / "run"), schedule=one_step, compile=True)
    model = load_checkpoint(training_run.run(requested))  # which refuses names that it does not know
    assert model.card.training["steps"] == 1
    assert capsys.readouterr().err.count("compile: does not work here") == 1


def test_a_run_may_go_on_compiled_or_not(tmp_path: Path) -> None:
    requested = tiny_config(tmp_path, tmp_path)
    assert fixed_values(requested, {}) == fixed_values(dataclasses.replace(requested, compile=True), {})
