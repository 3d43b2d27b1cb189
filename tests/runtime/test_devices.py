import dataclasses

import numpy as np
import pytest
import torch

from anifacegan.geometry.rays import Rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.runtime import devices
from anifacegan.runtime.devices import multiplies_bfloat16, select_device
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.tensor_records import Packed, moved
from anifacegan.training.paired import PairedBatch


def batch() -> PairedBatch:
    latents = Latents(torch.randn(2, 80), torch.randn(2, 64), torch.randn(2, 80))
    rays = Rays(torch.randn(2, 3, 3), torch.randn(2, 3, 3))
    distance, inside = torch.rand(2, 3), torch.ones(2, 3, dtype=torch.bool)
    return PairedBatch(
        latents.z_id, latents.z_exp, latents.z_noise, rays, torch.rand(2, 3, 3), distance, inside, ~inside
    )


def test_a_record_moves_with_the_records_inside_it() -> None:
    before = batch()
    after = moved(before, torch.device("meta"))
    tensors = [value for name, value in vars(after).items() if name != "rays"] + list(
        vars(after.rays).values()
    )
    assert len(tensors) == 9 and all(tensor.device.type == "meta" for tensor in tensors)
    assert after.inside.dtype == torch.bool and before.rgb.device.type == "cpu"


def test_a_record_that_is_there_already_keeps_its_tensors() -> None:
    before = batch()
    after = moved(before, torch.device("cpu"))
    assert after.rgb is before.rgb and after.rays.origins is before.rays.origins


def test_packed_records_come_out_as_they_went_in() -> None:
    """Of one piece of memory, whatever the types, and with tuples and parts that are no tensors."""

    @dataclasses.dataclass(frozen=True)
    class Record:
        batches: tuple[PairedBatch, ...]
        wide: torch.Tensor
        name: str = "record"
        nothing: torch.Tensor | None = None

    record = Record((batch(), batch()), torch.arange(3, dtype=torch.float64).expand(5, 3))
    found = Packed(record, pinned=False).on(torch.device("cpu"))
    assert found.name == "record" and found.nothing is None and torch.equal(found.wide, record.wide)
    tensors = []
    for before, after in zip(record.batches, found.batches, strict=True):
        for name in ("z_id", "rgb", "inside"):
            one, other = getattr(before, name), getattr(after, name)
            assert torch.equal(one, other) and one.dtype == other.dtype
            tensors.append(other)
        assert torch.equal(before.rays.directions, after.rays.directions)
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused() -> None:
    assert select_device("auto") == select_device("cpu") == select_device(torch.device("cpu")) == "cpu"
    with pytest.raises(InputError, match="device is device"):
        select_device(torch.device("cpu", 1))
    for device in (np.array(["cpu", "cpu"]), np.array("cpu"), ["cpu"], None, 0):
        with pytest.raises(InputError, match="^device is .*, expected one of auto, cpu, cuda"):
            select_device(device)
    with pytest.raises(InputError, match="device is cuda, but PyTorch sees no GPU"):
        select_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_with_a_gpu_auto_takes_it_and_cpu_does_not() -> None:
    assert select_device("auto") == select_device("cuda") == "cuda" and select_device("cpu") == "cpu"


def test_a_cpu_multiplies_bfloat16_where_linux_lists_an_instruction_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for flags, expected in (
        ({"avx512f", "amx_bf16"}, True),
        ({"avx512_bf16"}, True),
        ({"avx512f", "bf16"}, False),
    ):
        monkeypatch.setattr(devices, "_cpu_flags", lambda flags=flags: frozenset(flags))
        assert multiplies_bfloat16("cpu") is expected
    assert not multiplies_bfloat16("mps")
