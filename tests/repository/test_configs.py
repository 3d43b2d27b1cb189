"""Every shipped YAML is what its command reads, and says what the issue promises."""

from pathlib import Path

import pytest
import yaml

from anifacegan.cli.ablate.config import AblationConfig
from anifacegan.cli.bake.run import BakeCommand
from anifacegan.cli.render.config import RenderConfig
from anifacegan.cli.train import CONFIGS as TASK_CONFIGS
from anifacegan.models.checkpoints import load_checkpoint
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.typed_config import read_config
from anifacegan.training.config import TrainConfig
from anifacegan.training.initial_weights import _networks

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def kind_of(path: Path) -> type:
    """configs/render_*.yaml are for render, ablation.yaml for ablate, all others for train."""
    if path.name == "ablation.yaml":
        return AblationConfig
    if path.name.startswith("render_"):
        return RenderConfig
    return TASK_CONFIGS[yaml.safe_load(path.read_text()).get("task", "generator")]()


def test_there_are_configurations() -> None:
    kinds = {RenderConfig, AblationConfig, *(config() for config in TASK_CONFIGS.values())}
    assert {kind_of(path) for path in CONFIGS} == kinds


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_shipped_configuration_parses(path: Path) -> None:
    read_config(kind_of(path), ["--config", str(path)], "test")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_key_is_used(path: Path) -> None:
    """What the file says arrives in the configuration (a key that is read and dropped would pass unnoticed)."""
    config = read_config(kind_of(path), ["--config", str(path)], "test")

    def compare(content: dict, parsed: object, prefix: str) -> None:
        for key, value in content.items():
            got = getattr(parsed, key)
            if isinstance(value, dict) and not isinstance(got, dict):
                compare(value, got, f"{prefix}{key}.")
            else:
                plain = list(got) if isinstance(got, tuple) else str(got) if isinstance(got, Path) else got
                assert plain == value, f"{prefix}{key}"

    compare(yaml.safe_load(path.read_text()), config, "")


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("priors.steps", "0", "at least 1"),
        ("priors.batch", "0", "at least 1"),
        ("priors.lr", "0", "more than 0"),
        ("priors.noise_variance", "-1", "more than 0"),
        ("manifold_init.steps", "0", "at least 1"),
        ("manifold_init.batch", "-3", "at least 1"),
        ("manifold_init.lr", "-0.1", "more than 0"),
        ("manifold_init.reach", "0", "more than 0"),
        ("schedule.batch", "0", "at least 1"),
        ("schedule.prior_faces", "-1", "at least 0"),
        ("schedule.prior_share", "1.1", "0 to 1"),
        ("schedule.seed", "-1", "at least 0"),
        ("schedule.lr_template", "0", "more than 0"),
        ("schedule.average_decay", "1", "less than 1"),
        ("weights.mouth_gap", "-1", "at least 0"),
        ("weights.colour", ".nan", "at least 0"),
        ("reporting.log_every", "0", "at least 1"),
        ("generator.template.hidden_dim", "0", "1 to 8192"),
        ("generator.template.layers", "1", "2 to 64"),
        ("generator.deformation.layers", "0", "1 to 64"),
        ("generator.deformation.output_scale", "0", "more than 0"),
        ("generator.manifolds.hidden_dim", "0", "1 to 8192"),
        ("generator.identity_prior.latent_dim", "0", "1 to 8192"),
        ("data.size", "0", "1 to 8192"),
        ("adversarial_weights.discriminator_r1", "-1", "at least 0"),
        ("threads", "-1", "at least 0"),
    ],
)
def test_a_number_that_makes_no_sense_is_named(option: str, value: str, expected: str) -> None:
    arguments = ["--config", str(ROOT / "configs" / "demo.yaml"), f"--{option}={value}"]
    with pytest.raises(InputError) as caught:
        read_config(TrainConfig, arguments, "train.py")
    message = str(caught.value)
    assert message.startswith(f"train.py: {option} is ") and message.endswith(f"expected {expected}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("former", "present"),
    [
        ("shells.steps", "manifold_init"),
        ("generator.march.samples", "generator.ray_sampling"),
        ("weights.curtain", "weights.mouth_gap"),
        ("adversarial.split.pictures", "adversarial.split.images"),
        ("adversarial.discriminator_lead", "adversarial.discriminator_warmup"),
        ("adversarial.picture_steps", "adversarial.image_steps"),
    ],
)
def test_a_former_key_is_refused_with_its_present_name(former: str, present: str, tmp_path: Path) -> None:
    content: object = 1
    for part in reversed(former.split(".")):
        content = {part: content}
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(content))
    demo = str(ROOT / "configs" / "demo.yaml")
    for arguments in (["--config", demo, str(tmp_path / "old.yaml")], ["--config", demo, f"--{former}", "1"]):
        with pytest.raises(InputError, match=rf"which is now '(--)?{present}(\.\w+)?'$"):
            read_config(TrainConfig, arguments, "train.py")


def test_a_former_option_of_baking_is_refused_with_its_present_name() -> None:
    with pytest.raises(InputError, match="'--bake.stations', which is now '--bake.inbetweens'$"):
        read_config(BakeCommand, ["--out", "a.safetensors", "--bake.stations", "2"], "anifacegan bake")


@pytest.mark.parametrize(
    "arguments", [["--renderer", "exact"], ["--renderer=exact"], ["--config", "old.yaml"]]
)
def test_a_former_value_is_refused_with_its_present_name(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.yaml").write_text("renderer: exact\n")
    with pytest.raises(InputError, match="^(render|old.yaml): renderer is exact, which is now adaptive$"):
        read_config(RenderConfig, arguments, "render")


def test_a_value_is_not_renamed_to_one_that_the_option_does_not_take() -> None:
    with pytest.raises(InputError, match="renderer is reference, expected one of adaptive, baked, auto$"):
        read_config(RenderConfig, ["--renderer", "reference"], "render")


def test_render_smile_is_what_render_py_does_without_it() -> None:
    assert (
        read_config(RenderConfig, ["--config", str(ROOT / "configs/render_smile.yaml")], "test")
        == RenderConfig()
    )


def test_render_smile_turns_five_heads_while_the_smile_comes() -> None:
    config = read_config(RenderConfig, ["--config", str(ROOT / "configs/render_smile.yaml")], "test")
    assert isinstance(config.seeds, tuple) and len(config.seeds) == 5
    assert (config.yaw, config.size, config.truncation) == ((-0.35, 0.35), 256, 0.7)
    assert config.out == Path("multiview_imgs")
    assert config.video and config.grid
    assert (ROOT / str(config.expression)).is_file()


@pytest.mark.parametrize("name", ["demo", "synthetic64", "synthetic128"])
def test_what_is_trained_like_the_demo_or_goes_on_from_it_has_its_networks(name: str) -> None:
    config = read_config(TrainConfig, ["--config", str(ROOT / "configs" / f"{name}.yaml")], "test")
    shipped = load_checkpoint(ROOT / "checkpoints" / "demo").generator.config
    assert _networks(config.generator) == _networks(shipped)
