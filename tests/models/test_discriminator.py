"""The discriminator: its layout is the published one, and it is smooth enough to be trained."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from anifacegan.losses.adversarial import r1_penalty
from anifacegan.models.config import DISCRIMINATOR_SIZES, DiscriminatorConfig
from anifacegan.models.discriminator import Discriminator, HalvingBlock, halve, with_coordinates

TINY = DiscriminatorConfig(size=16, capacity=64, max_channels=8)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int, size: int = 16, dtype: torch.dtype = torch.float32, seed: int = 1) -> Tensor:
    return 2 * torch.rand(count, 3, size, size, generator=rng(seed), dtype=dtype) - 1


def test_channels_follow_the_paper_s_family() -> None:
    """min(400, 2^k) with k from 13 - log2(size) to 12; log2(size) - 1 blocks."""
    expected = {
        16: [400, 400, 400, 400],
        128: [64, 128, 256, 400, 400, 400, 400],
        256: [32, 64, 128, 256, 400, 400, 400, 400],
        512: [16, 32, 64, 128, 256, 400, 400, 400, 400],
    }
    for size, channels in expected.items():
        config = DiscriminatorConfig(size=size)
        assert [config.channels(resolution) for resolution in config.resolutions] == channels


def test_the_layers_follow_the_channels() -> None:
    discriminator = Discriminator(DiscriminatorConfig(size=32, capacity=256, max_channels=40))
    shapes = {
        name: tuple(weight.shape) for name, weight in discriminator.named_parameters() if "weight" in name
    }
    assert shapes == {
        "from_rgb.weight": (8, 3, 1, 1),
        "blocks.from_32.first.weight": (16, 10, 3, 3),
        "blocks.from_32.second.weight": (16, 18, 3, 3),
        "blocks.from_32.project.weight": (16, 8, 1, 1),
        "blocks.from_16.first.weight": (32, 18, 3, 3),
        "blocks.from_16.second.weight": (32, 34, 3, 3),
        "blocks.from_16.project.weight": (32, 16, 1, 1),
        "blocks.from_8.first.weight": (40, 34, 3, 3),
        "blocks.from_8.second.weight": (40, 42, 3, 3),
        "blocks.from_8.project.weight": (40, 32, 1, 1),
        "blocks.from_4.first.weight": (40, 42, 3, 3),
        "blocks.from_4.second.weight": (40, 42, 3, 3),
        "output.weight": (3, 40, 2, 2),
    }


@pytest.mark.parametrize("size", DISCRIMINATOR_SIZES)
def test_every_size_gives_a_score_and_two_angles_an_image(size: int) -> None:
    discriminator = Discriminator(DiscriminatorConfig(size=size, capacity=512, max_channels=6)).initialize(
        rng()
    )
    judgement = discriminator(images(2, size))
    assert judgement.logit.shape == (2,) and judgement.pose.shape == (2, 2)
    assert len(discriminator.blocks) == DISCRIMINATOR_SIZES.index(size) + 3


def test_weights_start_uniform_within_the_inverse_root_of_the_inputs() -> None:
    """PyTorch's own distribution, drawn from the given generator: its deviation is the bound / sqrt(3)."""
    discriminator = Discriminator(DiscriminatorConfig(size=64)).initialize(rng())
    for layer in (module for module in discriminator.modules() if isinstance(module, torch.nn.Conv2d)):
        bound = 1 / math.sqrt(layer.in_channels * layer.kernel_size[0] ** 2)
        assert layer.weight.abs().max() <= bound and layer.bias.abs().max() <= bound
        if layer.weight.numel() > 1000:  # the deviation of a deviation is 0.5 / sqrt(count)
            assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_untrained_logits_vary_moderately() -> None:
    discriminator = Discriminator(DiscriminatorConfig(size=64, start="kaiming")).initialize(rng())
    with torch.no_grad():
        logits = discriminator(images(4, 64)).logit
    assert 0.01 < logits.abs().mean() < 10


def test_the_same_generator_gives_the_same_weights_and_no_other_does() -> None:
    weights = [Discriminator(TINY).initialize(rng(seed)).from_rgb.weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    "change", [{"size": 48}, {"size": 8}, {"size": 1024}, {"capacity": 8}, {"max_channels": 0}]
)
def test_a_configuration_that_cannot_be_built_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(change))} is "):
        dataclasses.replace(TINY, **change)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="32 pixels wide, expected 16"):
        Discriminator(TINY)(images(1, 32))


# ---------------------------------------------------------------------------------------------------------- the blocks
def test_coordinates_run_from_minus_one_to_one_right_and_down() -> None:
    seen = with_coordinates(torch.zeros(2, 1, 3, 3))
    assert seen.shape == (2, 3, 3, 3)
    assert seen[1, 1].tolist() == [[-1, 0, 1]] * 3
    assert seen[1, 2].tolist() == [[-1] * 3, [0] * 3, [1] * 3]


def test_a_block_is_the_mean_of_both_branches_over_root_two() -> None:
    block = HalvingBlock(2, 2, blur=False)
    for convolution in (block.first, block.second):
        nn.init.zeros_(convolution.weight)
        nn.init.constant_(convolution.bias, 3.0)
    x = torch.randn(1, 2, 4, 4, generator=rng())
    expected = (3 + x.reshape(1, 2, 2, 2, 2, 2).mean(dim=(3, 5))) / 2**0.5
    assert torch.allclose(block(x), expected, atol=1e-6)


def test_blurred_halving_is_the_filter_1_3_3_1() -> None:
    x = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    x[..., 3, 4] = 64.0
    row, column = (
        torch.tensor([0.0, 3, 1, 0]),
        torch.tensor([0.0, 1, 3, 0]),
    )  # pixels 2i-1 .. 2i+2 make output i
    assert torch.equal(halve(x, blur=True)[0, 0], torch.outer(row, column).double())


def test_halving_keeps_a_flat_image_flat_up_to_its_border() -> None:
    for blur in (False, True):
        assert torch.allclose(halve(torch.full((1, 2, 8, 8), 0.7), blur), torch.full((1, 2, 4, 4), 0.7))


def test_blurred_downsampling_removes_a_fine_pattern_at_any_position() -> None:
    """Stripes two pixels wide are at the limit of the smaller image; a plain mean keeps or drops them by chance."""
    stripes = torch.tensor([1.0, 1, -1, -1]).repeat(8).expand(1, 1, 32, 32)
    moved = stripes.roll(1, dims=-1)
    inside = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    plain = [halve(x, blur=False)[inside].abs().max().item() for x in (stripes, moved)]
    blurred = [halve(x, blur=True)[inside].abs().max().item() for x in (stripes, moved)]
    assert plain == [1.0, 0.0]
    assert max(blurred) == pytest.approx(0.5) and min(blurred) == pytest.approx(0.0, abs=1e-6)


# ------------------------------------------------------------------------------------------------------------ gradients
def test_r1_gives_every_weight_its_second_derivative() -> None:
    """R1 is differentiated twice: with respect to the image, then to the weights."""
    discriminator = Discriminator(TINY).initialize(rng()).double()
    image = images(2, dtype=torch.float64).requires_grad_()
    weights = [discriminator.blocks["from_8"].second.weight, discriminator.from_rgb.weight]

    def penalty() -> Tensor:
        return r1_penalty(discriminator(image).logit, image)

    gradients = torch.autograd.grad(penalty(), weights)
    for weight, gradient in zip(weights, gradients, strict=True):
        direction = torch.randn(weight.shape, generator=rng(2), dtype=torch.float64)
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight.add_(direction, alpha=step)
            values.append(penalty().item())
            with torch.no_grad():
                weight.sub_(direction, alpha=step)
        expected = (values[0] - values[1]) / 2e-6
        assert (gradient * direction).sum().item() == pytest.approx(expected, rel=1e-5)


def test_an_image_has_the_same_logit_alone_and_in_a_batch() -> None:
    discriminator = Discriminator(TINY).initialize(rng()).double()
    random_images = images(3, dtype=torch.float64)
    together = discriminator(random_images)
    for k in range(3):
        alone = discriminator(random_images[k : k + 1])
        assert torch.allclose(alone.logit, together.logit[k : k + 1], atol=1e-12)
        assert torch.allclose(alone.pose, together.pose[k : k + 1], atol=1e-12)
