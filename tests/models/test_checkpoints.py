"""Model folders: what is saved comes back, what is broken is named, what is interrupted leaves the old model."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from anifacegan.face_model.coefficients import ExpressionBasis
from anifacegan.models.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from anifacegan.models.model_folder import CARD, TENSORS
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_folders import MARKER
from benchmarks.peak_memory import peak_bytes, reset_peak
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.small_disk import files_of_at_most
from tests.fixtures.small_models import PLANES, WITH_PLANES, small_checkpoint


def complete_checkpoint(name: str = "complete") -> Checkpoint:
    """Nothing is left at its default; another name has other weights, too."""
    small = small_checkpoint()
    small.generator.mean_phases.fill_(float(len(name)))
    card = dataclasses.replace(
        small.card,
        name=name,
        pitch_offset=0.1,
        licence="CC0",
        training={"command": "train.py", "seed": 3, "stages": ["warm start", "joint"], "hours": 1.5},
    )
    appearance = {"mean": np.linspace(0, 1, 7, dtype=np.float32), "matrix": np.eye(3)[::-1].copy()}
    return dataclasses.replace(small, card=card, appearance=appearance)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved model to break."""
    save_checkpoint(tmp_path / "model", complete_checkpoint())
    return tmp_path / "model"


def assert_same(a: Checkpoint, b: Checkpoint) -> None:
    state, other = a.generator.state_dict(), b.generator.state_dict()
    assert state.keys() == other.keys()
    for name, tensor in state.items():
        assert torch.equal(tensor, other[name]) and tensor.dtype == other[name].dtype, name
    assert a.generator.config == b.generator.config
    assert a.card == b.card
    assert (a.basis is None) == (b.basis is None)
    if a.basis is not None and b.basis is not None:
        assert a.basis.names == b.basis.names
        np.testing.assert_array_equal(a.basis.units_to_exp, b.basis.units_to_exp)
    assert a.appearance.keys() == b.appearance.keys()
    for name, array in a.appearance.items():
        np.testing.assert_array_equal(array, b.appearance[name], strict=True)


def change_card(folder: Path, change: Callable[[dict], None]) -> None:
    card = yaml.safe_load((folder / CARD).read_text())
    change(card)
    (folder / CARD).write_text(yaml.safe_dump(card))


def change_tensors(folder: Path, change: Callable[[dict], None]) -> None:
    tensors = load_file(folder / TENSORS)
    change(tensors)
    save_file(tensors, folder / TENSORS)


def test_what_is_saved_comes_back(folder: Path) -> None:
    assert_same(load_checkpoint(folder), complete_checkpoint())
    assert sorted(path.name for path in folder.parent.rglob("*")) == sorted(["model", CARD, TENSORS, MARKER])


def test_a_model_without_expressions_and_appearance_comes_back(tmp_path: Path) -> None:
    card = dataclasses.replace(small_checkpoint().card, expression_units=(), presets={})
    bare = Checkpoint(small_checkpoint().generator, card)
    save_checkpoint(tmp_path / "runs" / "new" / "model", bare)
    assert_same(load_checkpoint(tmp_path / "runs" / "new" / "model"), bare)


@pytest.mark.parametrize("half", [False, True])
def test_feature_planes_come_back_in_the_precision_that_they_are_stored_in(
    half: bool, tmp_path: Path
) -> None:
    planes = dataclasses.replace(PLANES, half_precision=half)
    template = dataclasses.replace(WITH_PLANES.template, planes=planes)
    saved = small_checkpoint(config=dataclasses.replace(WITH_PLANES, template=template))
    save_checkpoint(tmp_path, saved)
    names = ("planes", "grid", "mix", "skip", "person.weight", "person.bias")
    tables = {f"template.planes.{name}" for name in names}
    networks = ("template.mapping.", "deformation.mapping.", "identity_prior.", "expression_prior.")
    tables |= {name for name, _ in saved.generator.named_parameters() if name.startswith(networks)}
    stored = {name for name, tensor in load_file(tmp_path / TENSORS).items() if tensor.dtype == torch.float16}
    assert stored == (tables if half else set()) | {"alignment.features", "alignment.mix"}
    for name in tables if half else ():
        table = saved.generator.get_parameter(name)
        table.data = table.data.half().float()
    assert_same(load_checkpoint(tmp_path), saved)


def test_features_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    planes = dataclasses.replace(PLANES, half_precision=True)
    template = dataclasses.replace(WITH_PLANES.template, planes=planes)
    saved = small_checkpoint(config=dataclasses.replace(WITH_PLANES, template=template))
    saved.generator.template.planes.grid.data[3, 1] = 1e5
    with pytest.raises(InputError, match=r"'template.planes.grid' holds 1e\+05, expected at most 65504"):
        save_checkpoint(tmp_path / "model", saved)


@pytest.mark.parametrize("name", ["template.planes.planes", "template.planes.radius", "mean_mix"])
def test_feature_planes_are_checked(name: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, small_checkpoint(config=WITH_PLANES))
    change_tensors(tmp_path, lambda tensors: tensors[name].view(-1)[-1:].fill_(torch.inf))
    assert_one_line(lambda: load_checkpoint(tmp_path), TENSORS, f"'{name}' has values that are not finite")
    change_tensors(tmp_path, lambda tensors: tensors.update({name: torch.zeros(2, 7)}))
    assert_one_line(lambda: load_checkpoint(tmp_path), TENSORS, f"'{name}'", "(2, 7)")
    change_tensors(tmp_path, lambda tensors: tensors.pop(name))
    assert_one_line(lambda: load_checkpoint(tmp_path), TENSORS, f"'{name}'", "missing")


@pytest.mark.parametrize("index", [-1, 151, 2**31 - 1])
def test_nodes_that_do_not_exist_are_refused(index: int, tmp_path: Path) -> None:
    """Compiled code reads the alignment's nodes by these indices; 150, one after the last, means none."""
    save_checkpoint(tmp_path, small_checkpoint(config=WITH_PLANES))
    change_tensors(tmp_path, lambda tensors: tensors["alignment.node"].view(-1)[:1].fill_(index))
    assert_one_line(
        lambda: load_checkpoint(tmp_path), TENSORS, "'alignment.node'", str(index), "from 0 to 150"
    )


def test_the_same_model_is_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "again", complete_checkpoint())
    for name in (CARD, TENSORS):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_saving_again_replaces_the_model_and_keeps_other_files(folder: Path) -> None:
    (folder / "LICENSE").write_text("CC0")
    save_checkpoint(folder, complete_checkpoint("second"))
    assert_same(load_checkpoint(folder), complete_checkpoint("second"))
    assert sorted(path.name for path in folder.parent.rglob("*")) == sorted(
        ["model", CARD, TENSORS, MARKER, "LICENSE"]
    )


@pytest.mark.parametrize(
    "target",
    ["anifacegan.models.model_folder.safetensors_content", "anifacegan.models.model_folder.yaml_text"],
)
@pytest.mark.parametrize("error", [InputError("no such name"), KeyboardInterrupt()])
def test_an_interrupted_save_leaves_the_old_model(
    target: str, error: BaseException, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(target, fail)
        save_checkpoint(folder, complete_checkpoint("second"))
    assert_same(load_checkpoint(folder), complete_checkpoint())
    assert sorted(path.name for path in folder.parent.rglob("*")) == sorted(["model", CARD, TENSORS, MARKER])


def test_a_full_disk_is_one_line_and_leaves_the_old_model_or_none(folder: Path) -> None:
    second = complete_checkpoint("second")
    for target in (folder, folder.with_name("new")):
        with files_of_at_most(1000):
            assert_one_line(partial(save_checkpoint, target, second), f"{target}: cannot be written")
    assert_same(load_checkpoint(folder), complete_checkpoint())
    assert sorted(path.name for path in folder.parent.rglob("*")) == sorted(["model", CARD, TENSORS, MARKER])


@pytest.mark.parametrize("name", ["template.layers.0.linear.weight", "deformation.head.bias", "mean_phases"])
def test_a_missing_tensor_is_named_with_the_expected_shape(name: str, folder: Path) -> None:
    shape = tuple(load_file(folder / TENSORS)[name].shape)
    change_tensors(folder, lambda tensors: tensors.pop(name))
    assert_one_line(lambda: load_checkpoint(folder), TENSORS, f"'{name}'", "missing", str(shape))


def test_a_misshaped_tensor_is_named_with_both_shapes(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.update({"deformation.head.bias": torch.zeros(7)}))
    assert_one_line(lambda: load_checkpoint(folder), TENSORS, "'deformation.head.bias'", "(7,)", "(3,)")


@pytest.mark.parametrize(
    "name", ["template.layers.0.linear.weight", "mean_phases", "expression.units_to_exp", "appearance.mean"]
)
def test_a_tensor_that_is_not_finite_is_named(name: str, folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors[name].view(-1)[-1:].fill_(torch.nan))
    assert_one_line(lambda: load_checkpoint(folder), TENSORS, f"'{name}' has values that are not finite")


def test_ray_sampling_that_is_not_finite_is_refused(folder: Path) -> None:
    change_card(folder, lambda card: card["generator"]["ray_sampling"].update(background_z=float("nan")))
    assert_one_line(lambda: load_checkpoint(folder), CARD, "background_z is nan, expected -100 to 100")


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("template", "hidden_dim", 10**9),
        ("template", "layers", 10**9),
        ("deformation", "mapping_dim", 10**9),
        ("manifolds", "count", 10**9),
        ("identity_prior", "latent_dim", 10**9),
        ("ray_sampling", "samples", 10**9),
    ],
)
def test_a_size_that_would_fill_the_memory_is_refused_at_once(
    part: str, name: str, value: int, folder: Path
) -> None:
    change_card(folder, lambda card: card["generator"][part].update({name: value}))
    assert_one_line(lambda: load_checkpoint(folder), CARD, f"generator.{part}.{name} is 1000000000, expected")


def test_a_large_size_is_compared_with_the_tensors_before_it_is_allocated(folder: Path) -> None:
    change_card(folder, lambda card: card["generator"]["template"].update(hidden_dim=8000, layers=60))
    reset_peak(torch.device("cpu"))
    before = peak_bytes(torch.device("cpu"))
    assert_one_line(lambda: load_checkpoint(folder), TENSORS, "expected shape (")
    assert peak_bytes(torch.device("cpu")) - before < 2**28  # the weights would take 15 GB


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.bool, torch.int32, torch.complex64])
def test_tensors_of_other_types_are_refused(kind: torch.dtype, folder: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors["deformation.head.bias"] = torch.zeros(3).to(kind)

    change_tensors(folder, change)
    assert_one_line(lambda: load_checkpoint(folder), TENSORS)


def test_bfloat16_is_read(folder: Path) -> None:
    change_tensors(
        folder, lambda tensors: tensors.update({"deformation.head.bias": torch.ones(3).bfloat16()})
    )
    assert load_checkpoint(folder).generator.deformation.head.bias.tolist() == [1.0, 1.0, 1.0]


def test_a_weight_that_makes_every_sum_infinite_is_refused(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.update({"deformation.head.bias": torch.full((3,), 1e38)}))
    assert_one_line(
        lambda: load_checkpoint(folder), TENSORS, "'deformation.head.bias' has a value of size 1e+38"
    )


def test_an_unexpected_tensor_is_named(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.update({"discriminator.weight": torch.zeros(2, 5)}))
    assert_one_line(lambda: load_checkpoint(folder), TENSORS, "'discriminator.weight'", "(2, 5)")


def test_an_expression_basis_that_does_not_fit_its_names_is_named(folder: Path) -> None:
    change_card(folder, lambda card: card["expression_units"].pop())
    assert_one_line(
        lambda: load_checkpoint(folder), TENSORS, "'expression.units_to_exp'", "(64, 3)", "(64, 2)"
    )


CARD_CHANGES: dict[str, tuple[Callable[[dict], object], str]] = {
    "unknown key": (lambda card: card.update(lisence="CC0"), "lisence"),
    "unknown key of the generator": (lambda card: card["generator"].update(gain=2), "gain"),
    "unknown nested key": (lambda card: card["generator"]["template"].update(hiden_dim=8), "hiden_dim"),
    "wrong type": (lambda card: card["generator"]["ray_sampling"].update(samples="many"), "samples"),
    "out of range": (lambda card: card["generator"]["ray_sampling"].update(samples=1), "samples"),
    "missing name": (lambda card: card.pop("name"), "name"),
    "generator is a number": (lambda card: card.update(generator=5), "'generator'"),
    "generator is empty": (lambda card: card.update(generator=None), "'generator'"),
}


@pytest.mark.parametrize(("change", "part"), CARD_CHANGES.values(), ids=CARD_CHANGES.keys())
def test_a_broken_card_is_named(change: Callable[[dict], None], part: str, folder: Path) -> None:
    change_card(folder, change)
    assert_one_line(lambda: load_checkpoint(folder), str(folder / CARD), part)


@pytest.mark.parametrize(
    "content", [b"", b"name: [", b"- a\n- b\n", b"a plain text", b"name: \xff\xfe", b"\x00" * 80]
)
def test_an_unreadable_card_is_named(content: bytes, folder: Path) -> None:
    (folder / CARD).write_bytes(content)
    assert_one_line(lambda: load_checkpoint(folder), str(folder / CARD))


@pytest.mark.parametrize("length", [0, 5, 300, -4])
def test_unreadable_weights_are_named(length: int, folder: Path) -> None:
    (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:length])
    assert_one_line(lambda: load_checkpoint(folder), str(folder / TENSORS))


def test_weights_of_another_kind_are_named(folder: Path) -> None:
    (folder / TENSORS).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert_one_line(lambda: load_checkpoint(folder), str(folder / TENSORS))


@pytest.mark.parametrize("name", [CARD, TENSORS])
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    assert_one_line(lambda: load_checkpoint(folder), str(folder / name), "no such file")


def test_a_loaded_basis_gives_the_same_expressions(folder: Path) -> None:
    basis, original = load_checkpoint(folder).basis, complete_checkpoint().basis
    assert isinstance(basis, ExpressionBasis) and original is not None
    strengths = {"mouthSmile": 0.7, "jawOpen": 0.1}
    np.testing.assert_array_equal(basis.from_strengths(strengths), original.from_strengths(strengths))
