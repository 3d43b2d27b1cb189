"""Released checkpoints load as they are, and give the images that the authors' code gives."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.geometry.conventions import WORLD_PER_NETWORK_UNIT
from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import DeformationConfig, GeneratorConfig, ManifoldConfig, TemplateConfig
from anifacegan.models.generator import ConditionedFields, Generator
from anifacegan.models.released import load_released, released_folder
from anifacegan.rendering.model import Model, load_model
from anifacegan.rendering.volume import render_rays
from anifacegan.runtime.errors import InputError
from benchmarks.brute_force_renderer import brute_force_colours
from tests.fixtures.released_layout import golden_folder, write_averages, write_released
from tests.fixtures.small_models import SMALL, small_generator

RELEASED_SMALL = dataclasses.replace(
    SMALL,
    template=TemplateConfig(hidden_dim=8, layers=4, mapping_dim=8, mapping_layers=2),
    deformation=DeformationConfig(hidden_dim=12, layers=2, mapping_dim=6, mapping_layers=1),
    manifolds=ManifoldConfig(hidden_dim=16, layers=2),
    ray_sampling=GeneratorConfig().ray_sampling,
    radiance_offset_gain=1 / WORLD_PER_NETWORK_UNIT,
)
"""Layers counted differently from everything that is released; what no tensor tells is as released."""


@pytest.fixture(scope="module")
def golden_model(golden: Path, official: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(golden_folder(tmp_path_factory.mktemp("golden"), golden, official))


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden / "expected.npz"))


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A folder in the released layout with random weights, and the truncation mean beside them."""
    generator = small_generator(RELEASED_SMALL)
    folder = write_released(tmp_path / "released", generator)
    write_averages(folder, generator)
    return folder


def test_golden_identities_decode(golden_model: Model, expected: dict[str, np.ndarray]) -> None:
    decoded = golden_model.generator.identity_prior.decode(torch.from_numpy(expected["vae_normal"]))
    assert (decoded - torch.from_numpy(expected["vae_decoded"])).abs().max() <= 1e-5


def golden_case(model: Model, expected: dict[str, np.ndarray], case: int) -> tuple[ConditionedFields, Rays]:
    """The conditioned fields and the rays of one of the golden images."""
    ratio, camera_pitch, camera_yaw = expected["cases"][case]
    latents = [torch.from_numpy(expected[name]) for name in ("z_id", "smile", "z_noise")]
    person_latents = Latents(latents[0], float(ratio) * latents[1], latents[2])
    pitch = torch.tensor([math.pi / 2 - camera_pitch], dtype=torch.float32)
    yaw = torch.tensor([camera_yaw - math.pi / 2], dtype=torch.float32)
    fields = model.generator.condition(person_latents, float(expected["psi"]))
    return fields, image_rays(yaw=yaw, pitch=pitch, size=expected["images"].shape[-1])


@pytest.mark.parametrize("case", range(4))
@torch.no_grad()
def test_golden_case(golden_model: Model, expected: dict[str, np.ndarray], case: int) -> None:
    fields, rays = golden_case(golden_model, expected, case)
    colours = render_rays(fields, rays)

    def largest_error(got: torch.Tensor, name: str) -> float:
        theirs = torch.from_numpy(expected[name][case])
        return (got.reshape(theirs.shape) - theirs).abs().max().item()

    valid = torch.from_numpy(expected["valid"][case][..., 0])  # (R, L + 1)
    assert torch.equal(colours.hit[0], valid)
    assert 0.5 < valid.float().mean() < 1  # there is something to compare, and misses
    assert largest_error(2 * colours.rgb[0].T - 1, "images") <= 1e-3
    assert largest_error(colours.depth, "depths") <= 1e-4
    for got, name in (
        (colours.x_target, "intersections_target"),
        (colours.x_template, "intersections_canonical"),
    ):
        assert (got[0] - torch.from_numpy(expected[name][case]))[valid].abs().max() <= 1e-5

    # The renderer that the golden set in tests/golden was made with.
    slow = brute_force_colours(fields, rays)
    assert largest_error(2 * slow[:, :3].T - 1, "images") <= 1e-3
    assert largest_error(slow[:, 7], "depths") <= 1e-4


def test_golden_expression_is_the_official_file(
    golden_model: Model, expected: dict[str, np.ndarray], official: Path
) -> None:
    z_exp = golden_model.expression(official / "01626.mat")
    assert torch.equal(z_exp, torch.from_numpy(expected["smile"]))


def test_golden_image_through_the_front_door(
    golden_model: Model, expected: dict[str, np.ndarray], official: Path
) -> None:
    latents = (torch.from_numpy(expected["z_id"]), torch.from_numpy(expected["z_noise"]))
    face = golden_model.face(latents=latents, expression=official / "01626.mat", psi=0.7)
    _, camera_pitch, camera_yaw = expected["cases"][2]
    yaw, pitch = float(camera_yaw) - math.pi / 2, math.pi / 2 - float(camera_pitch)
    image = face.image(yaw=yaw, pitch=pitch, size=24, antialias=False)
    expected_image = torch.from_numpy((expected["images"][2] + 1) / 2)
    assert (image.rgb - expected_image.clamp(0, 1)).abs().max() <= 5e-4  # [0, 1] is half of [-1, 1]
    assert (image.depth - torch.from_numpy(expected["depths"][2])).abs().max() <= 1e-4


@pytest.mark.parametrize("vaes_in_folder", [False, True])
def test_released_layout_reads_back(tmp_path: Path, vaes_in_folder: bool) -> None:
    generator = small_generator(RELEASED_SMALL)
    folder = write_released(tmp_path / "released", generator, vaes_in_folder)
    write_averages(folder, generator)
    assert released_folder(folder) == folder
    read = load_released(folder)
    assert read.config == dataclasses.replace(
        RELEASED_SMALL, template=dataclasses.replace(RELEASED_SMALL.template, sigma_gain=1.0)
    )
    theirs = read.state_dict()
    for name, tensor in generator.state_dict().items():
        assert torch.allclose(theirs[name], tensor, rtol=1e-5, atol=1e-5), name


def test_full_size_is_inferred_from_the_tensors(tmp_path: Path) -> None:
    config = dataclasses.replace(GeneratorConfig(), radiance_offset_gain=1 / WORLD_PER_NETWORK_UNIT)
    generator = Generator(config).initialize(torch.Generator().manual_seed(0))
    folder = write_released(tmp_path / "released", generator)
    write_averages(folder, generator)
    read = load_released(folder)
    assert read.config == config
    assert read.template.mapping.output.weight.shape == (4608, 256)
    assert read.deformation.mapping.output.weight.shape == (768, 128)
    assert read.identity_prior.encoder[0][0].weight.shape == (512, 80)
    assert torch.equal(read.template.layers[7].linear.weight, generator.template.layers[7].linear.weight)


def test_truncation_mean_is_of_random_people_where_none_is_given(released: Path) -> None:
    (released / "averages.npz").unlink()
    before = torch.get_rng_state()
    first, second = load_released(released), load_released(released)
    assert torch.equal(torch.get_rng_state(), before)  # which belongs to the calling program
    assert torch.equal(first.mean_frequencies, second.mean_frequencies)
    z_id, z_noise = first.sample_people([torch.Generator().manual_seed(seed) for seed in range(2000)])
    film = first.template.film_parameters(z_id, z_noise)
    for mean, values in ((first.mean_frequencies, film.frequencies), (first.mean_phases, film.phases)):
        error_of_mean = values.std(0) / math.sqrt(len(values))
        assert ((mean[0] - values.mean(0)).abs() < 6 * error_of_mean + 1e-6).all()


@pytest.mark.parametrize(
    "name", ["dif.pth", "pretrained_vaes/identity/vae.pth", "pretrained_vaes/expression/vae.pth"]
)
def test_a_missing_file_is_named(released: Path, name: str) -> None:
    (released / name).unlink()
    with pytest.raises(InputError, match=f"{released / name}: no such file"):
        load_released(released)


def test_without_averaged_weights_the_raw_ones_are_used_and_a_line_says_so(
    released: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_released(released)
    assert capsys.readouterr().err == ""
    (released / "ema.pth").unlink()
    assert torch.equal(load_released(released).template.layers[1].linear.weight, torch.zeros(8, 8))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{released}: holds no ema.pth" in said


TENSORS = [
    ("generator.pth", "siren.network.2.layer.bias", (8,)),
    ("generator.pth", "siren.color_layer_sine.0.layer.weight", (8, 11)),
    ("generator.pth", "siren.output_color.1.weight", (3, 8)),
    ("generator.pth", "siren.mapping_network.network.2.bias", (8,)),
    ("generator.pth", "model_sample.output_layer.weight", (1, 16)),
    ("dif.pth", "network.0.layer.bias", (12,)),
    ("dif.pth", "final_layer.weight", (7, 12)),
    ("pretrained_vaes/identity/vae.pth", "decoder_input.bias", (16,)),
    ("pretrained_vaes/expression/vae.pth", "final_layer.2.weight", (64, 16)),
]
"""A file, a tensor in it, the shape that it has and has to have."""


def message_of(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        load_released(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(("file", "tensor", "shape"), TENSORS)
def test_a_missing_tensor_is_named_with_its_shape(
    released: Path, file: str, tensor: str, shape: tuple[int, ...]
) -> None:
    (released / "ema.pth").unlink()
    tensors = torch.load(released / file, weights_only=True)
    assert tuple(tensors.pop(tensor).shape) == shape
    torch.save(tensors, released / file)
    assert message_of(released) == f"{released / file}: tensor '{tensor}' is missing, expected shape {shape}"


@pytest.mark.parametrize(("file", "tensor", "shape"), TENSORS)
def test_a_misshaped_tensor_is_named_with_both_shapes(
    released: Path, file: str, tensor: str, shape: tuple[int, ...]
) -> None:
    (released / "ema.pth").unlink()
    tensors = torch.load(released / file, weights_only=True)
    wrong = (99, *shape[1:])
    torch.save(tensors | {tensor: torch.zeros(wrong)}, released / file)
    assert message_of(released) == f"{released / file}: tensor '{tensor}' has shape {wrong}, expected {shape}"


def test_too_few_averages_are_refused(released: Path) -> None:
    averages = torch.load(released / "ema.pth", weights_only=True)
    torch.save(averages | {"shadow_params": averages["shadow_params"][:-1]}, released / "ema.pth")
    count = len(averages["shadow_params"])
    with pytest.raises(
        InputError, match=rf"ema\.pth: {count - 1} averages, expected one for each of the {count}"
    ):
        load_released(released)


def test_misordered_averages_are_refused(released: Path) -> None:
    averages = torch.load(released / "ema.pth", weights_only=True)
    torch.save(averages | {"shadow_params": averages["shadow_params"][::-1]}, released / "ema.pth")
    with pytest.raises(InputError, match=r"the average of '[\w.]+' has shape .*, expected \("):
        load_released(released)


def test_an_unknown_tensor_is_named(released: Path) -> None:
    tensors = torch.load(released / "dif.pth", weights_only=True)
    torch.save(tensors | {"extra.weight": torch.zeros(2, 3)}, released / "dif.pth")
    assert "1 unexpected tensors, the first is 'extra.weight' of shape (2, 3)" in message_of(released)


def test_values_that_are_not_finite_are_refused(released: Path) -> None:
    tensors = torch.load(released / "dif.pth", weights_only=True)
    tensors["network.1.layer.bias"][3] = torch.nan
    torch.save(tensors, released / "dif.pth")
    with pytest.raises(InputError, match=r"'network\.1\.layer\.bias' has values that are not finite"):
        load_released(released)


class Trap:
    """Unpickling this leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (open, (str(self.mark), "w"))


def test_code_in_a_file_is_not_run(released: Path, tmp_path: Path) -> None:
    torch.save({"network.0.layer.weight": Trap(tmp_path / "mark")}, released / "dif.pth")
    with pytest.raises(InputError, match=r"dif\.pth: holds Python objects"):
        load_released(released)
    assert not (tmp_path / "mark").exists()
