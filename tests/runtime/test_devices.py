import pytest
import torch

from anifacegan.geometry.rays import Rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.runtime import devices
from anifacegan.runtime.devices import multiplies_bfloat16, select_device
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.tensor_records import moved
from anifacegan.training.paired import PairedBatch


def batch() -> PairedBatch:
    latents = Latents(torch.randn(2, 80), torch.randn(2, 64), torch.randn(2, 80))
    rays = Rays(torch.randn(2, 3, 3), torch.randn(2, 3, 3))
    distance, inside = torch.rand(2, 3), torch.ones(2, 3, dtype=torch.bool)
    return PairedBatch(
        latents.z_id, latents.z_exp, latents.z_noise, rays, torch.rand(2, 3, 3), distance, inside
    )


def test_a_record_moves_with_the_records_inside_it() -> None:
    before = batch()
    after = moved(before, torch.device("meta"))
    tensors = [value for name, value in vars(after).items() if name != "rays"] + list(
        vars(after.rays).values()
    )
    assert len(tensors) == 8 and all(tensor.device.type == "meta" for tensor in tensors)
    assert after.inside.dtype == torch.bool and before.rgb.device.type == "cpu"


def test_a_record_that_is_there_already_keeps_its_tensors() -> None:
    before = batch()
    after = moved(before, torch.device("cpu"))
    assert after.rgb is before.rgb and after.rays.origins is before.rays.origins


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused() -> None:
    assert select_device("auto") == select_device("cpu") == "cpu"
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
