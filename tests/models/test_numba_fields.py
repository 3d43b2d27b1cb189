"""Numba fields equal the PyTorch fields, and replace them only where they can."""

import dataclasses

import pytest
import torch

from anifacegan.models import numba_fields
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.config import TemplateConfig
from anifacegan.models.generator import ConditionedFields, Generator
from anifacegan.models.numba_fields import with_numba_fields
from anifacegan.models.planes_config import FeaturePlanesConfig
from anifacegan.runtime.cpu import torch_threads
from tests.fixtures.small_models import PLANES, SMALL, SMALL_ALIGNMENT, small_generator, with_random_offsets

FIELDS = ("offset", "scalar", "radiance", "align")
ROUNDING = {"scalar": 16 * 25 * 2**-24}
"""The manifold scalar is a sum of 16 terms, and at most 25: each term is rounded by 25 * 2^-24 at most."""
SINE_ROUNDING = 5 * 36 * 2**-24
"""Of the other fields: arguments of sines are up to 36, rounded by 36 * 2^-24 in each of up to five layers."""


PLANES_ROUNDING = 3e-5
"""Of the template with planes: a place on the chart of size 1 is rounded by about 4 * 2^-24, 3e-6 texels of the finest
plane; neighbouring texels differ by up to 2, and features are multiplied by up to 0.5 times 10."""


def generator(layers: int = 3, planes: FeaturePlanesConfig | None = None) -> Generator:
    template = TemplateConfig(hidden_dim=8, layers=layers, mapping_dim=8, sigma_gain=3.0, planes=planes)
    deformation = dataclasses.replace(SMALL.deformation, output_scale=0.3)
    made = small_generator(
        dataclasses.replace(
            SMALL,
            template=template,
            deformation=deformation,
            alignment=SMALL_ALIGNMENT,
        )
    )
    with_random_offsets(made.alignment)
    rng = torch.Generator().manual_seed(5)
    for layer in made.manifolds.hidden:
        torch.nn.init.normal_(layer.weight, 0, 0.3, generator=rng)
    return made


def fields(people: int = 1, layers: int = 3, planes: FeaturePlanesConfig | None = None) -> ConditionedFields:
    rng = torch.Generator().manual_seed(2)
    latents = [torch.randn(people, size, generator=rng) for size in (80, 64, 80)]
    return generator(layers, planes).condition(Latents(*latents))


@torch.no_grad()
@pytest.mark.parametrize("planes", [None, PLANES], ids=["paper", "planes"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layers", [2, 5])
@pytest.mark.parametrize("count", [0, 1, 40, 41, 100, 1000])
def test_numba_fields_equal_the_pytorch_fields(
    count: int,
    layers: int,
    threads: int,
    planes: FeaturePlanesConfig | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For no points, part of a tile, whole tiles, and parts of several tiles."""
    monkeypatch.setattr(numba_fields, "ACTIVATIONS", 40 * 8)
    original = fields(layers=layers, planes=planes)
    fast = with_numba_fields(original)
    x = 0.2 * torch.rand(1, count, 3) - 0.1
    with torch_threads(threads):
        assert_alike(original, fast, x)


def assert_alike(original: ConditionedFields, fast: ConditionedFields, x: torch.Tensor) -> None:
    for name in FIELDS:
        one, other = getattr(original, name), getattr(fast, name)
        assert type(one) is not type(other)
        expected, found = (
            values if isinstance(values, tuple) else (values,) for values in (one(x), other(x))
        )
        for expected_value, value in zip(expected, found, strict=True):
            rounding = ROUNDING.get(name, SINE_ROUNDING)
            if name == "radiance" and original.radiance.planes is not None:
                rounding = PLANES_ROUNDING
            torch.testing.assert_close(value, expected_value, atol=rounding, rtol=0, msg=name)


def test_points_that_require_gradients_are_refused() -> None:
    fast, x = with_numba_fields(fields()), torch.zeros(1, 2, 3, requires_grad=True)
    for name in FIELDS:
        with pytest.raises(ValueError, match="gradient"):
            getattr(fast, name)(x)
        with torch.no_grad():
            getattr(fast, name)(x)


@torch.no_grad()
def test_results_are_not_overwritten_by_the_next_call() -> None:
    """The buffers of activations are reused; returned tensors are not."""
    fast = with_numba_fields(fields())
    x = 0.1 * torch.rand(1, 9, 3)
    first = [fast.offset(x), fast.scalar(x), *fast.radiance(x)]
    copies = [values.clone() for values in first]
    for name in ("offset", "scalar", "radiance"):
        getattr(fast, name)(-x)
    assert all(torch.equal(one, other) for one, other in zip(first, copies, strict=True))


def test_fields_of_batches_and_other_precisions_are_not_replaced() -> None:
    two = fields(people=2)
    assert all(
        getattr(with_numba_fields(two), name) is getattr(two, name)
        for name in ("offset", "radiance", "align")
    )
    original = fields()
    other = dataclasses.replace(original, align=lambda x: 0 * x)
    assert with_numba_fields(other).align is other.align
    double_fields = (
        generator()
        .double()
        .condition(Latents(*(torch.randn(1, n, dtype=torch.float64) for n in (80, 64, 80))))
    )
    assert all(
        getattr(with_numba_fields(double_fields), name) is getattr(double_fields, name)
        for name in FIELDS
        if name != "scalar"
    )


@torch.no_grad()
def test_a_place_that_is_not_a_number_reads_no_other_memory() -> None:
    radiance = with_numba_fields(fields(planes=PLANES)).radiance
    x = 0.1 * torch.rand(1, 4, 3)
    expected = radiance(x)
    rgb, alpha = radiance(torch.cat([x, x * torch.nan, x * torch.inf], dim=1))
    # BLAS sums the products of 12 points in another order than those of 4
    assert torch.allclose(rgb[:, :4], expected[0], rtol=0, atol=1e-5)
    assert torch.allclose(alpha[:, :4], expected[1], rtol=0, atol=1e-5)
    assert alpha[:, 4:].isnan().all()
