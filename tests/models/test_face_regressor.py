"""The face reconstruction network, its landmarks and its files."""

import dataclasses
from pathlib import Path

import pytest
import torch

from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.face_model.coefficients import FaceCoefficients
from anifacegan.face_model.regressed import FIELD_COLUMNS, FaceLandmarks, Reconstruction, pose_of
from anifacegan.geometry.cameras import euler_from_rotation, from_lm68, orbit_rotation
from anifacegan.models.config import FaceRegressorConfig
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.model_folder import CARD, TENSORS
from anifacegan.models.regressor_backbones import ResNet50Backbone
from anifacegan.models.regressor_checkpoints import (
    FaceRegressorCard,
    load_deep3dfacerecon,
    load_face_regressor,
    save_face_regressor,
)
from anifacegan.runtime.errors import InputError
from tests.fixtures.tiny_head import tiny_model
from tests.fixtures.tiny_training_set import COUNT, SIZE

SMALL = FaceRegressorConfig(size=24, channels=(8, 16, 16))
RESNET = FaceRegressorConfig(backbone="resnet50", size=64)
CONFIGS = [SMALL, dataclasses.replace(SMALL, backbone="plain"), RESNET]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(config: FaceRegressorConfig = SMALL) -> FaceRegressor:
    """Random in every layer: a fresh network's last one is zero."""
    made = FaceRegressor(config)
    made.initialize(generator())
    rng = generator(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=rng)
    return made.eval()


def random_images(batch: int = 2, size: int = 24) -> torch.Tensor:
    return torch.rand(batch, 3, size, size, generator=generator(2))


def batch_of(faces: list[FaceCoefficients]) -> Reconstruction:
    names = [field.name for field in dataclasses.fields(Reconstruction)]
    return Reconstruction(
        **{name: torch.stack([torch.from_numpy(getattr(face, name)) for face in faces]) for name in names}
    )


@pytest.fixture(scope="module")
def dataset(tiny: Path) -> FaceDataset:
    return FaceDataset(DataConfig(tiny / "data", SIZE))


# ---------------------------------------------------------------------------------------------------------- landmarks
@pytest.mark.parametrize("size", [SIZE, 128])
def test_landmarks_of_exact_coefficients_are_the_files_ones_in_the_generators_camera(
    dataset: FaceDataset, size: int
) -> None:
    """At any size."""
    model = tiny_model()
    faces = [dataset.face(item) for item in range(COUNT)]
    found = FaceLandmarks(model, "generator").pixels(batch_of(faces), size)
    true = from_lm68(torch.stack([torch.from_numpy(face.lm68) for face in faces]), size)
    torch.testing.assert_close(found, true, atol=1e-3, rtol=0)  # float32 angles in the file


def test_the_lm68_of_the_open_model_follows_from_its_coefficients(face_model, real_renderer) -> None:
    """The same for a rendered item of the real model, lids included."""
    from anifacegan.data.synthetic.renderer import render_item

    faces = [render_item(real_renderer, 3, item, 16, factor=1)[1] for item in range(3)]
    found = FaceLandmarks(face_model, "generator").pixels(batch_of(faces), 128)
    error = (found - from_lm68(torch.stack([torch.from_numpy(face.lm68) for face in faces]), 128)).norm(
        dim=-1
    )
    assert float(error.max()) < 0.02  # eyeballs are fitted to samples of their vertices: 20 micrometres


def test_landmarks_in_deep3dfacerecons_camera_are_a_pinhole_of_1015_px_at_distance_10() -> None:
    """Its lm68, from the formulas of Deep3DFaceRecon written out for one face; y is turned over as it saves it."""
    model, rng = tiny_model(), generator(4)
    z_id, z_exp = torch.randn(1, 80, generator=rng), torch.randn(1, 64, generator=rng)
    angle, trans = torch.tensor([[0.2, -0.4, 0.1]]), torch.tensor([[0.1, -0.05, 0.3]])
    posed = model.pose(model.landmarks(model.shape(z_id, z_exp)), angle, trans)[0]
    x, y, z = posed.unbind(-1)
    up = 111.5 + 1015 * y / (10 - z)
    lm68 = torch.stack([111.5 + 1015 * x / (10 - z), 223 - up], dim=-1)
    face = Reconstruction(z_id, z_exp, torch.zeros(1, 80), angle, torch.zeros(1, 27), trans)
    found = FaceLandmarks(model, "deep3dfacerecon").pixels(face, 224)
    torch.testing.assert_close(found, from_lm68(lm68[None], 224), atol=1e-3, rtol=0)


def test_unposed_landmarks_are_the_face_model_s() -> None:
    model, rng = tiny_model(), generator(5)
    z_id, z_exp = torch.randn(3, 80, generator=rng), torch.randn(3, 64, generator=rng)
    whole = model.landmarks(model.shape(z_id, z_exp))
    torch.testing.assert_close(
        FaceLandmarks(model, "generator").unposed(z_id, z_exp), whole, atol=1e-5, rtol=0
    )


def test_pose_is_that_of_the_camera_that_the_angle_came_from() -> None:
    pitch, yaw = torch.tensor([0.3, -0.4, 0.0]), torch.tensor([-0.9, 0.5, 0.0])
    angle = euler_from_rotation(orbit_rotation(yaw=yaw, pitch=pitch)[1])
    assert float((angle[:, 0] - pitch).abs().max()) > 0.01  # Euler's pitch is another number
    torch.testing.assert_close(pose_of(angle), torch.stack([pitch, yaw], dim=-1), atol=1e-6, rtol=0)


def test_landmarks_are_differentiable_in_the_image() -> None:
    """The landmark term differentiates through coefficients, network and resampling."""
    image = random_images(size=40).requires_grad_()
    pixels = FaceLandmarks(tiny_model(), "generator").pixels(network()(image), 128)
    (gradient,) = torch.autograd.grad(pixels.square().sum(), image)
    assert bool(gradient.isfinite().all()) and float(gradient.abs().max()) > 0


# ---------------------------------------------------------------------------------------------------------- network
def test_rows_and_fields_are_the_same_numbers() -> None:
    rows = torch.arange(2 * 257, dtype=torch.float32).reshape(2, 257)
    assert torch.equal(Reconstruction.from_rows(rows).rows(), rows)
    assert Reconstruction.from_rows(rows).trans.shape == (2, 3)
    assert FIELD_COLUMNS["angle"] == slice(224, 227)  # as Deep3DFaceRecon's 257 numbers


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.backbone)
def test_an_untrained_network_regresses_the_mean_face(config: FaceRegressorConfig) -> None:
    made = FaceRegressor(config)
    made.initialize(generator())
    rows = torch.randn(50, 257, generator=generator(6))
    rows[:, -1] = 2.0  # a coefficient that never changes
    made.set_statistics(rows)
    face = made.eval()(random_images())
    torch.testing.assert_close(face.rows(), rows.mean(dim=0).expand(2, -1))
    torch.testing.assert_close(made.scale[:-1], rows.std(dim=0)[:-1])
    assert float(made.scale[-1]) > 0


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.backbone)
def test_images_of_a_batch_are_independent_and_of_any_size(config: FaceRegressorConfig) -> None:
    made, images = network(config), random_images(3, 48)
    with torch.no_grad():
        whole, alone = made(images).rows(), made(images[1:2]).rows()
    assert float((whole[1:2] - alone).norm() / alone.norm()) < 1e-4  # sums in another order
    assert float((whole[0] - whole[1]).norm() / alone.norm()) > 1e-3
    assert made.features(images).shape == (3, 2048 if config.backbone == "resnet50" else 256)


def test_the_same_seed_gives_the_same_weights() -> None:
    torch.manual_seed(1)
    first = network().state_dict()
    torch.manual_seed(2)
    assert all(torch.equal(first[name], value) for name, value in network().state_dict().items())


def test_the_shipped_sizes_are_small() -> None:
    made = FaceRegressor(FaceRegressorConfig())
    assert 200_000 < sum(parameter.numel() for parameter in made.parameters()) < 2_000_000


@pytest.mark.parametrize(
    "change, message",
    [
        ({"size": 100}, "^size is 100, expected a multiple of 32"),
        ({"channels": (8, 12)}, r"^channels is \[8, 12\], expected multiples of 8"),
    ],
)
def test_sizes_that_do_not_halve_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FaceRegressorConfig(**change)


# ---------------------------------------------------------------------------------------------------------- ResNet-50
@pytest.fixture(scope="module")
def released() -> dict[str, torch.Tensor]:
    """A random state dict in Deep3DFaceRecon's naming."""
    rng = generator(7)
    return {
        name: like if like.ndim == 0 else 0.05 * torch.rand(like.shape, generator=rng)
        for name, like in ResNet50Backbone().state_dict().items()
    }


def test_the_layout_has_the_released_names_and_shapes(released: dict[str, torch.Tensor]) -> None:
    heads = {name: tuple(t.shape) for name, t in released.items() if name.startswith("final_layers")}
    sizes = (80, 64, 80, 3, 27, 2, 1)
    assert heads == {f"final_layers.{k}.weight": (n, 2048, 1, 1) for k, n in enumerate(sizes)} | {
        f"final_layers.{k}.bias": (n,) for k, n in enumerate(sizes)
    }
    assert released["backbone.layer3.5.conv2.weight"].shape == (256, 256, 3, 3)
    assert released["backbone.layer1.0.downsample.1.running_var"].shape == (256,)
    assert (
        "backbone.fc.weight" not in released and len(released) == 318 + 14
    )  # 53 convolutions, 53 normalisations


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: {"net_recon": t, "opt_00": {"state": {}}},
        dict,
        lambda t: {f"module.{name}": value for name, value in t.items()},
    ],
    ids=["file", "alone", "distributed"],
)
def test_released_weights_load(wrap, released: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(wrap(released), tmp_path / "epoch_20.pth")
    loaded, card = load_face_regressor(tmp_path / "epoch_20.pth")
    assert all(torch.equal(loaded.backbone.state_dict()[name], value) for name, value in released.items())
    assert (card.face_model, loaded.config.size, loaded.config.camera) == ("bfm09", 224, "deep3dfacerecon")
    assert not loaded.training
    raw = loaded.backbone(random_images(1, 64))
    expected = loaded.backbone.final_layers[3](
        loaded.backbone.features(random_images(1, 64))[..., None, None]
    )
    torch.testing.assert_close(Reconstruction.from_rows(raw).angle, expected.flatten(1))


def test_old_weights_without_batch_counts_load(released: dict[str, torch.Tensor], tmp_path: Path) -> None:
    old = {name: value for name, value in released.items() if not name.endswith("num_batches_tracked")}
    torch.save({"net_recon": old}, tmp_path / "old.pth")
    load_deep3dfacerecon(tmp_path / "old.pth")


@pytest.mark.parametrize(
    "name, tensor, message",
    [
        (
            "final_layers.1.weight",
            None,
            r"'final_layers.1.weight' is missing, expected shape \(64, 2048, 1, 1\)",
        ),
        (
            "backbone.bn1.bias",
            torch.zeros(63),
            r"tensor 'backbone.bn1.bias' has shape \(63,\), expected shape \(64,\)",
        ),
        ("backbone.fc.bias", torch.zeros(9), r"unexpected tensor 'backbone.fc.bias' of shape \(9,\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_one_line(
    name: str, tensor: torch.Tensor | None, message: str, released: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    changed = released | {name: tensor}
    torch.save({"net_recon": {k: v for k, v in changed.items() if v is not None}}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match=message) as caught:
        load_face_regressor(tmp_path / "bad.pth")
    assert str(caught.value).startswith(str(tmp_path / "bad.pth")) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"no weights", b""])
def test_a_file_that_holds_no_weights_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(InputError, match="bad.pth: (not readable as weights|is empty)") as caught:
        load_face_regressor(tmp_path / "bad.pth")
    assert "\n" not in str(caught.value)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"net_recon": Path("anything")}, tmp_path / "code.pth")
    with pytest.raises(InputError, match="holds Python objects"):
        load_face_regressor(tmp_path / "code.pth")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing.pth: no such file or folder, expected a model folder"):
        load_face_regressor(tmp_path / "nothing.pth")


# ---------------------------------------------------------------------------------------------------------- folders
@pytest.mark.parametrize("config", CONFIGS[:2], ids=lambda config: config.backbone)
def test_what_is_saved_comes_back(config: FaceRegressorConfig, tmp_path: Path) -> None:
    saved = network(config)
    saved.set_statistics(torch.randn(9, 257, generator=generator(8)))
    card = FaceRegressorCard("small", "synthetic", "MIT", {"steps": 3, "errors": {"yaw_deg": 1.5}})
    save_face_regressor(tmp_path / "model", saved, card)
    loaded, said = load_face_regressor(tmp_path / "model")
    assert (said, loaded.config) == (card, config)
    torch.testing.assert_close(loaded(random_images()).rows(), saved(random_images()).rows(), atol=0, rtol=0)


@pytest.mark.parametrize("config", CONFIGS[:2], ids=lambda config: config.backbone)
def test_weights_stored_in_half_precision_come_back_in_single(
    config: FaceRegressorConfig, tmp_path: Path
) -> None:
    """Rounded to 11 bits: relatively by at most 2^-11, below float16's smallest normal number by at most 2^-25."""
    saved, card = network(config), FaceRegressorCard("small", "synthetic")
    save_face_regressor(tmp_path / "single", saved, card)
    save_face_regressor(tmp_path / "half", saved, card, half=True)
    bytes_of = [(tmp_path / name / TENSORS).stat().st_size for name in ("half", "single")]
    assert bytes_of[0] < 0.75 * bytes_of[1]
    state = load_face_regressor(tmp_path / "half")[0].state_dict()
    for name, tensor in saved.state_dict().items():
        assert state[name].dtype == tensor.dtype, name  # counters stay integers
        torch.testing.assert_close(state[name], tensor, rtol=2**-11, atol=2**-25)


def test_a_weight_beyond_half_precision_is_refused(tmp_path: Path) -> None:
    saved = network()
    with torch.no_grad():
        next(saved.parameters()).flatten()[0] = 1e5
    with pytest.raises(InputError, match="holds 1e\\+05, expected at most 65504 for half precision"):
        save_face_regressor(tmp_path / "model", saved, FaceRegressorCard("small", "synthetic"), half=True)
    assert not (tmp_path / "model").exists()


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    save_face_regressor(tmp_path / "model", network(), FaceRegressorCard("small", "synthetic"))
    card = tmp_path / "model" / CARD
    text = card.read_text()
    card.write_text(text.replace("  - 8\n", "  - 16\n"))
    with pytest.raises(InputError, match=f"{TENSORS}: tensor 'backbone.stem.0.weight' has shape"):
        load_face_regressor(tmp_path / "model")
    card.write_text(text.replace("reconstruction:", "generator:"))
    with pytest.raises(InputError, match="is of a generator, expected the card of a face regressor"):
        load_face_regressor(tmp_path / "model")
    card.write_text(text.replace("reconstruction:", "network:"))
    with pytest.raises(InputError, match="no key 'reconstruction', expected the card of a face regressor"):
        load_face_regressor(tmp_path / "model")
