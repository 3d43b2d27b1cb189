"""The deformation field: a step in world units that leads to the template."""

import torch
from torch import Tensor

from anifacegan.models.config import DeformationConfig
from anifacegan.models.deformation import DeformationField

SMALL = DeformationConfig(hidden_dim=6, layers=3, mapping_dim=5, mapping_layers=2, output_scale=0.25)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def field() -> DeformationField:
    """A field that moves points: the head's weight is not zero."""
    deformation = DeformationField(SMALL).double()
    deformation.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        deformation.head.weight.copy_(0.01 * draw(3, 6, seed=1))
        deformation.head.bias.copy_(0.01 * draw(3, seed=2))
    return deformation


def test_starts_as_the_identity() -> None:
    deformation = DeformationField(DeformationConfig())
    deformation.initialize(torch.Generator().manual_seed(0))
    step = deformation.bind(torch.ones(2, 80), torch.ones(2, 64))(torch.rand(2, 7, 3))
    assert torch.equal(step, torch.zeros(2, 7, 3))


def test_the_offset_follows_the_formula_layer_by_layer() -> None:
    """x / 0.12 -> sin(frequency * (W x + b) + phase), block by block -> Linear, scaled; the latent is
    [z_id, z_exp]."""
    deformation = field()
    z_id, z_exp, x = draw(2, 80, seed=3), draw(2, 64, seed=4), 0.1 * draw(2, 5, 3, seed=5)
    steps = deformation.bind(z_id, z_exp)(x)
    for b in range(2):
        film = deformation.mapping(torch.cat([z_id[b], z_exp[b]])[None])
        for n in range(5):
            h = x[b, n] / 0.12
            for k, layer in enumerate(deformation.layers):
                block = slice(6 * k, 6 * k + 6)
                linear = layer.linear.weight @ h + layer.linear.bias
                h = (film.frequencies[0, block] * linear + film.phases[0, block]).sin()
            expected = 0.25 * (deformation.head.weight @ h + deformation.head.bias)
            torch.testing.assert_close(steps[b, n], expected, atol=1e-12, rtol=0)


def test_the_head_s_bias_times_the_output_scale_is_a_step_in_world_units() -> None:
    deformation = DeformationField(SMALL)
    deformation.initialize(torch.Generator().manual_seed(0))
    torch.nn.init.constant_(deformation.head.bias, 0.05)
    step = deformation.bind(torch.zeros(1, 80), torch.zeros(1, 64))(torch.rand(1, 4, 3))
    torch.testing.assert_close(step, torch.full((1, 4, 3), 0.0125))


def test_identity_and_expression_both_change_the_offset() -> None:
    deformation, x = field(), 0.1 * draw(1, 5, 3, seed=5)
    z_id, z_exp = draw(1, 80, seed=3), draw(1, 64, seed=4)
    step = deformation.bind(z_id, z_exp)(x)
    assert not torch.allclose(step, deformation.bind(0 * z_id, z_exp)(x))
    assert not torch.allclose(step, deformation.bind(z_id, 0 * z_exp)(x))


def test_a_batch_of_faces_equals_one_by_one() -> None:
    deformation, x = field(), 0.1 * draw(3, 5, 3, seed=5)
    z_id, z_exp = draw(3, 80, seed=3), draw(3, 64, seed=4)
    together = deformation.bind(z_id, z_exp)(x)
    for b in range(3):
        alone = deformation.bind(z_id[b : b + 1], z_exp[b : b + 1])(x[b : b + 1])
        torch.testing.assert_close(together[b : b + 1], alone, atol=1e-12, rtol=0)
