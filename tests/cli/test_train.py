"""anifacegan train: the key task of the configuration selects what is trained."""

from pathlib import Path

import pytest

from anifacegan.cli.train import COMMAND, CONFIGS
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.typed_config import given_options, read_one_of
from anifacegan.training.unused_options import require_effects
from tests.fixtures.commands import command, one_error_line

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "arguments, name",
    [
        (["--config", "configs/demo.yaml"], "generator"),
        (["--config", "configs/reconstruction.yaml"], "reconstruction"),
        (["--config=configs/judge.yaml", "--out", "x"], "reconstruction"),
        (["--config", "configs/prior_identity.yaml"], "prior"),
        (["--config", "configs/judge.yaml", "--task", "reconstruction"], "reconstruction"),
        (["--task=generator", "--out", "x", "--data.path", "y", "--data.size", "64"], "generator"),
    ],
)
def test_the_file_or_the_option_says_the_task(
    arguments: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    config = read_one_of(CONFIGS, "task", arguments, "train")
    assert type(config) is CONFIGS[name]() and config.task == name


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("task: drawing\n", "task is drawing, expected one of generator, reconstruction, prior"),
        ("[1, 2]", "odd.yaml: holds a list"),
        ("task: [", "odd.yaml: not readable as YAML"),
        ("\xff", "odd.yaml: not readable as YAML"),
    ],
)
def test_what_says_no_task_is_refused(content: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        read_one_of(CONFIGS, "task", ["--config", str(tmp_path / "odd.yaml")], "train")
    assert part in str(caught.value)


NO_GAME = ("--schedule.adversarial", "0")
NO_COEFFICIENTS = ("--weights.id", "0", "--weights.exp", "0", "--weights.tex", "0")
TINY, DEMO = "tiny_adversarial", "demo"


@pytest.mark.parametrize(
    ("config", "words", "key"),
    [
        (TINY, (*NO_GAME, "--real.path", "y", "--real.size", "64"), "real.path"),
        (TINY, (*NO_GAME, "--reconstruction", "y"), "reconstruction"),
        (TINY, ("--reconstruction", "y"), "reconstruction"),
        (TINY, (*NO_GAME, "--discriminator.capacity", "64"), "discriminator.capacity"),
        (TINY, (*NO_GAME, "--adversarial.batch", "4"), "adversarial.batch"),
        (TINY, (*NO_GAME, "--adversarial.mirror"), "adversarial.mirror"),
        (TINY, (*NO_GAME, "--rasterizer", "numba"), "rasterizer"),
        (TINY, (*NO_GAME, "--adversarial_weights.generator_pose", "1"), "adversarial_weights.generator_pose"),
        (TINY, ("--initial_model", "m", "--priors.steps", "3"), "priors.steps"),
        (TINY, ("--initial_model", "m", "--manifold_init.steps", "3"), "manifold_init.steps"),
        (TINY, ("--manifold_init.start", "spheres", "--manifold_init.steps", "3"), "manifold_init.steps"),
        (TINY, ("--schedule.lr_planes", "0.1"), "schedule.lr_planes"),
        (TINY, ("--schedule.lr_shading", "0.1"), "schedule.lr_shading"),
        (TINY, ("--alignment_init.points", "10"), "alignment_init.points"),
        (TINY, ("--schedule.prior_share", "0.1"), "schedule.prior_share"),
        (DEMO, ("--schedule.lr_manifolds", "0.1"), "schedule.lr_manifolds"),
        ("judge", ("--augmentation.blur_share", "0", "--augmentation.blur", "0.01"), "augmentation.blur"),
        ("judge", ("--augmentation.jitter_share", "0", "--augmentation.zoom", "0.01"), "augmentation.zoom"),
        ("judge", (*NO_COEFFICIENTS, "--weights.effect_exponent", "1"), "weights.effect_exponent"),
        ("prior_identity", ("--data.pitch_offset", "0.1"), "data.pitch_offset"),
    ],
)
def test_an_option_without_an_effect_is_refused(
    config: str,
    words: tuple[str, ...],
    key: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    given = (
        "--config",
        f"configs/{config}.yaml",
        "--data.path",
        tmp_path / "none",
        "--out",
        tmp_path / "run",
    )
    assert command("train", *given, *words) == 2
    assert f"error: {key} is " in (line := one_error_line(capsys)) and f"expected no --{key} with" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (TINY, NO_GAME),  # what the file holds may be left without effect
        (TINY, (*NO_GAME, "--weights.landmarks", "0", "--weights.geometry", "0")),
        (TINY, ("--real.path", "y", "--real.size", "64", "--real.pitch_offset", "0.1")),
        (TINY, ("--reconstruction", "y", "--weights.landmarks", "1000")),
        (TINY, ("--initial_model", "m", "--schedule.batch", "4")),
        (DEMO, ("--schedule.lr_planes", "0.1", "--expression_prior_model", "p")),
        ("ffhq128", ("--data.path", "y", "--face_model", "null", "--reconstruction", "r", "--out", "o")),
        ("judge", ("--augmentation.blur", "0.01", "--weights.effect_exponent", "1", "--weights.id", "0")),
        ("prior_identity", ("--data.size", "64")),
        ("synthetic64", ("--schedule.batch", "4", "--shading_init.steps", "3")),
    ],
)
def test_options_with_an_effect_and_those_of_the_file_are_taken(
    config: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    arguments = ["--config", f"configs/{config}.yaml", *words]
    require_effects(read_one_of(CONFIGS, "task", arguments, COMMAND), given_options(arguments))


def test_a_run_whose_folder_was_moved_begins_nothing_at_its_old_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    moved = tmp_path / "moved"
    (moved / "model").mkdir(parents=True)
    (moved / "config.yaml").write_text("out: runs/old\ndata: {path: data}\nkind: identity\ntask: prior\n")
    assert command("train", "--config", "moved/config.yaml") == 2
    line = one_error_line(capsys)
    assert "out is runs/old, expected --out moved, where the run of moved/config.yaml is now" in line
    assert not (tmp_path / "runs").exists()
    assert command("train", "--config", "moved/config.yaml", "--out", "other") == 2
    assert "data: no such" in one_error_line(capsys)
    (moved / "config.yaml").rename(moved / "mine.yaml")  # an example for other runs
    assert command("train", "--config", "moved/mine.yaml") == 2
    assert "data: no such" in one_error_line(capsys)
