"""Dual discrimination: the mesh beside an image matters, gradients reach the generator, and runs go on with it."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.posed_images import PosedImages, RealImages
from anifacegan.face_model.mesh_images import CHANNELS
from anifacegan.models.config import DiscriminatorConfig
from anifacegan.models.discriminator import Discriminator
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.typed_config import read_config
from anifacegan.training.adversarial_gradients import discriminator_gradients
from anifacegan.training.config import DualConfig, TrainConfig
from anifacegan.training.dual import ShownMeshes, draw_shifts, shifted
from anifacegan.training.run import run
from anifacegan.training.snapshots import load_newest
from anifacegan.training.weights import AdversarialWeights
from tests.fixtures.resumed_runs import ADVERSARIAL_SIZE as SIZE
from tests.fixtures.resumed_runs import photograph_config, same_end
from tests.fixtures.tiny_bfm import write_photograph_set

ROOT = Path(__file__).resolve().parents[2]
BATCH = 4
NETWORK = DiscriminatorConfig(size=SIZE, capacity=64, max_channels=8, start="kaiming")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def discriminator() -> Discriminator:
    return Discriminator(NETWORK, CHANNELS).initialize(rng())


def shown(seed: int, shift: int = 0) -> ShownMeshes:
    condition = torch.randn(BATCH, CHANNELS, SIZE, SIZE, generator=rng(seed))
    return ShownMeshes(condition, torch.full((BATCH, 2), shift))


def images(seed: int) -> torch.Tensor:
    return torch.randn(BATCH, 3, SIZE, SIZE, generator=rng(seed)).tanh()


# ----------------------------------------------------------------------------------------------------------- one pair
def test_other_meshes_beside_the_same_images_change_the_scores() -> None:
    network = discriminator()
    scores = [meshes.judged(network, images(1)).logit for meshes in (shown(2), shown(3), shown(2))]
    assert (scores[0] - scores[1]).abs().min() > 1e-3 and torch.equal(scores[0], scores[2])
    swapped = dataclasses.replace(shown(2), condition=shown(2).condition.flip(0))
    assert (swapped.judged(network, images(1)).logit - scores[0]).abs().max() > 1e-3


def test_gradients_reach_the_image_through_the_shift() -> None:
    image = images(1).requires_grad_()
    shown(2, shift=3).judged(discriminator(), image).logit.sum().backward()
    assert image.grad is not None
    assert (image.grad[..., -3:, :] == 0).all() and (
        image.grad[..., :-3, :-3].abs().amax((1, 2, 3)) > 0
    ).all()


def test_image_and_mesh_are_shifted_together_and_borders_are_repeated() -> None:
    place = torch.arange(SIZE, dtype=torch.float32).expand(2, 3, SIZE, SIZE)
    moved = shifted(place, torch.tensor([[0, 2], [1, -1]]))
    assert moved[0, 0, 0].tolist() == [0, 0, *range(SIZE - 2)]
    assert moved[1, 0, 5].tolist() == [*range(1, SIZE), SIZE - 1]
    pair = shown(2, shift=2).beside(PosedImages(images(1), torch.zeros(BATCH, 2)))
    assert torch.equal(pair.image[..., 2:, 2:], images(1)[..., :-2, :-2])
    assert pair.condition is not None
    assert torch.equal(pair.condition[..., 2:, 2:], shown(2).condition[..., :-2, :-2])


def test_shifts_are_drawn_one_image_at_a_time_up_to_the_share() -> None:
    alone = draw_shifts([rng(3)], 128, 1 / 32)
    assert torch.equal(draw_shifts([rng(2), rng(3)], 128, 1 / 32)[1:], alone)
    many = draw_shifts([rng(seed) for seed in range(400)], 128, 1 / 32)
    assert many.min() == -4 and many.max() == 4
    assert not draw_shifts([rng(2)], 128, 0.0).any()


def test_the_penalty_is_of_the_image_alone_and_split_batches_add_up() -> None:
    real = shown(2).beside(PosedImages(images(1), torch.zeros(BATCH, 2)))
    fake = shown(5).beside(PosedImages(images(4), torch.zeros(BATCH, 2)))
    whole, parts = discriminator(), discriminator()
    terms = discriminator_gradients(whole, real, fake, AdversarialWeights())
    discriminator_gradients(parts, real, fake, AdversarialWeights(), max_images=1)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=2e-6, rtol=1e-4)
    image = real.image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(whole(image, real.condition).logit.sum(), image)
    expected = 0.5 * gradient.square().flatten(1).sum(1).mean()
    torch.testing.assert_close(terms["discriminator_r1"], expected)


# --------------------------------------------------------------------------------------------------------- whole runs
@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    write_photograph_set(folder, SIZE)
    return folder


def config(tiny: Path, out: Path, enabled: bool = True) -> TrainConfig:
    whole = photograph_config(tiny, out)
    dual = DualConfig(enabled=enabled, shift=0.1)
    return dataclasses.replace(
        whole, adversarial=dataclasses.replace(whole.adversarial, dual=dual, mirror=True)
    )


def test_real_images_come_with_the_codes_of_their_own_files(tiny: Path) -> None:
    dataset = FaceDataset(DataConfig(tiny / "photographs", SIZE))
    table = dataset.load_coefficients()
    real = RealImages(dataset, 0, mirror=True, coefficients=table)
    drawn = real.draw([rng(seed) for seed in range(20)])
    assert drawn.face is not None and 0 < drawn.face.mirrored.sum() < 20
    pixels = dataset.load_images().permute(0, 3, 1, 2).float() / 127.5 - 1
    for k in range(20):
        (item,) = (table.exp == drawn.face.z_exp[k]).all(1).nonzero()[0].tolist()
        image = pixels[item].flip(-1) if drawn.face.mirrored[k] else pixels[item]
        assert torch.equal(drawn.image[k], image) and torch.equal(drawn.face.z_id[k], table.id[item])
        assert torch.equal(drawn.face.pose[k], table.pose[item])
        sign = -1 if drawn.face.mirrored[k] else 1
        assert drawn.pose[k].tolist() == [table.pose[item, 0].item(), sign * table.pose[item, 1].item()]


def test_a_run_learns_with_it_and_goes_on_as_if_unbroken(tiny: Path, tmp_path: Path) -> None:
    run(config(tiny, tmp_path / "unbroken"))
    content = load_newest(tmp_path / "unbroken")
    assert content is not None
    weight = content["adversarial"]["discriminator"]["from_rgb.weight"]
    assert weight.shape[1] == 3 + CHANNELS
    moments = content["adversarial"]["discriminator_optimizer"]["state"][0]["exp_avg_sq"]
    assert (moments.flatten(2).sum((0, 2)) > 0).all()  # every channel of image and mesh has been learnt from
    shutil.copytree(tmp_path / "unbroken", tmp_path / "run")
    (tmp_path / "run" / "snapshot_00000005.pt").unlink()
    shutil.rmtree(tmp_path / "run" / "model")
    run(config(tiny, tmp_path / "run"))
    same_end(tmp_path / "run", tmp_path / "unbroken")
    with pytest.raises(
        InputError, match=r"adversarial.dual.enabled is False, expected True as in the snapshots"
    ):
        run(config(tiny, tmp_path / "run", enabled=False))


def test_other_data_of_real_images_are_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="adversarial.dual.enabled is True, expected false with the option real"
    ):
        dataclasses.replace(config(tiny, tmp_path), real=DataConfig(tiny / "photographs", SIZE))


def test_the_dual_configuration_differs_in_nothing_else() -> None:
    plain, dual = (
        read_config(TrainConfig, ["--config", str(ROOT / "configs" / f"{name}.yaml")], "test")
        for name in ("ffhq128", "ffhq128_dual")
    )
    assert dual.adversarial.dual.enabled and not plain.adversarial.dual.enabled
    same = dataclasses.replace(dual.adversarial, dual=plain.adversarial.dual)
    assert dataclasses.replace(dual, adversarial=same, name=plain.name, out=plain.out) == plain


def test_without_it_the_discriminator_and_the_draws_are_as_before() -> None:
    plain = Discriminator(NETWORK).initialize(rng())
    again = Discriminator(NETWORK, 0).initialize(rng())
    assert plain.from_rgb.weight.shape[1] == 3
    assert all(torch.equal(*pair) for pair in zip(plain.parameters(), again.parameters(), strict=True))
    assert np.isfinite(plain(images(1)).logit.detach().numpy()).all()
