"""The priors: the layout of the released VAEs, and latents that can be sliced."""

import pytest
import torch
from torch import Tensor, nn

from anifacegan.models.coefficient_vae import CoefficientVAE, Latents
from anifacegan.models.config import CoefficientVAEConfig

SMALL = CoefficientVAEConfig(hidden_dim=7, layers=3, latent_dim=4)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def small_vae() -> CoefficientVAE:
    """Every weight and bias is drawn, so that none can be left out unseen."""
    vae = CoefficientVAE(6, SMALL)
    for k, parameter in enumerate(vae.parameters()):
        parameter.data.copy_(draw(*parameter.shape, seed=k))
    return vae


def linear(layer: nn.Module, h: Tensor) -> Tensor:
    return layer.weight @ h + layer.bias


def leaky(h: Tensor) -> Tensor:
    return torch.where(h > 0, h, 0.01 * h)


def test_layers_have_the_released_sizes() -> None:
    vae = CoefficientVAE(80, CoefficientVAEConfig())
    linears = {
        name.removesuffix(".weight"): tuple(p.shape)
        for name, p in vae.named_parameters()
        if name.endswith("weight")
    }
    expected = {f"encoder.{k}.0": (512, 512 if k else 80) for k in range(5)}
    expected |= {f"decoder.{k}.0": (512, 512) for k in range(5)}
    expected |= {"mean": (256, 512), "log_variance": (256, 512), "decoder_input": (512, 256)}
    expected |= {"output.0": (512, 512), "output.2": (80, 512)}
    assert linears == expected


def test_decoding_follows_the_formula_layer_by_layer() -> None:
    """A plain Linear without activation comes first, a LeakyReLU(0.01) after every hidden layer."""
    vae, latents = small_vae(), draw(3, 4, seed=100)
    decoded = vae.decode(latents)
    for b in range(3):
        h = linear(vae.decoder_input, latents[b])
        for block in vae.decoder:
            h = leaky(linear(block[0], h))
        expected = linear(vae.output[2], leaky(linear(vae.output[0], h)))
        torch.testing.assert_close(decoded[b], expected)


def test_mean_and_log_variance_share_the_encoder() -> None:
    vae, coefficients = small_vae(), draw(3, 6, seed=100)
    mean, log_variance = vae.encode(coefficients)
    for b in range(3):
        h = coefficients[b]
        for block in vae.encoder:
            h = leaky(linear(block[0], h))
        torch.testing.assert_close(mean[b], linear(vae.mean, h))
        torch.testing.assert_close(log_variance[b], linear(vae.log_variance, h))


def test_slicing_latents_slices_each_of_them() -> None:
    latents = Latents(draw(5, 80, seed=1), draw(5, 64, seed=2), draw(5, 80, seed=3))
    part = latents[1:3]
    assert (len(latents), len(part)) == (5, 2)
    assert torch.equal(part.z_id, latents.z_id[1:3])
    assert torch.equal(part.z_exp, latents.z_exp[1:3])
    assert torch.equal(part.z_noise, latents.z_noise[1:3])


def test_a_prior_initialized_as_the_identity_reconstructs_coefficients() -> None:
    rng = torch.Generator().manual_seed(0)
    vae = CoefficientVAE(5, CoefficientVAEConfig(hidden_dim=13, layers=3, latent_dim=6))
    vae.initialize(rng)
    mean, root = torch.randn(5, generator=rng), torch.randn(5, 5, generator=rng) + 3 * torch.eye(5)
    vae.start_as_identity(mean, root, variance=0.04)
    white = torch.randn(50, 5, generator=rng)
    coefficients = mean + white @ root.T
    latent, log_variance = vae.encode(coefficients)
    torch.testing.assert_close(latent[:, :5], white, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(log_variance.exp(), torch.full_like(log_variance, 0.04))
    torch.testing.assert_close(vae.decode(latent), coefficients, atol=1e-4, rtol=1e-4)


def test_a_narrow_prior_cannot_start_as_the_identity() -> None:
    vae = CoefficientVAE(5, CoefficientVAEConfig(hidden_dim=9, layers=1, latent_dim=5))
    assert not vae.can_be_identity(5)
    with pytest.raises(ValueError, match="latent_dim >= 5 and hidden_dim >= 10"):
        vae.start_as_identity(torch.zeros(5), torch.eye(5), 0.1)
