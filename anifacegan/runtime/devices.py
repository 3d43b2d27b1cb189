"""Selection of the device that a model computes on."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from anifacegan.runtime.errors import InputError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
"""Device names of configurations; ``auto`` is the GPU where PyTorch finds one, else the CPU."""


def select_device(device: object) -> str:
    """Return PyTorch's name of a device, ``cpu`` or ``cuda``, of a name of Device or a ``torch.device`` without number.

    Raises:
        InputError: ``cuda`` is requested, and PyTorch finds no GPU; or it is no device.
    """
    name = str(device) if getattr(device, "index", 0) is None else device  # a torch.device without a number
    if not isinstance(name, str) or name not in get_args(Device):
        raise InputError(f"device is {device!r}, expected one of {', '.join(get_args(Device))}")
    import torch  # here, because configurations name devices, and their help is printed without PyTorch

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but PyTorch sees no GPU here; expected cpu or auto")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def allow_tf32(allowed: bool) -> None:
    """Set, for the whole process, whether GPUs may round the inputs of float32 matrix products and convolutions to 10
    bits (TF32), which is several times faster."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def autocast_kind(device: "torch.device") -> str:
    """Return the kind of device whose autocast setting holds for a device: its own, but the CPU's for ``meta``, whose
    tensors without numbers stand for a GPU's in the tests."""
    return "cpu" if device.type == "meta" else device.type


def has_memory(tensor: "torch.Tensor") -> bool:
    """Return whether compiled loops can read a tensor's numbers: it is on the CPU, neither traced by torch.compile nor
    a tensor without numbers, with which the cost of a computation is counted."""
    import torch

    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter)
    return plain and tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def multiplies_bfloat16(device: str) -> bool:
    """Return whether a device, ``cpu`` or ``cuda``, has instructions for matrix products in bfloat16, which others
    emulate slowly.

    A CPU's are AMX or AVX-512 BF16 (x86), as Linux lists them; on other systems the answer is no.
    """
    if device == "cuda":
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and not _cpu_flags().isdisjoint({"amx_bf16", "avx512_bf16"})


@cache
def _cpu_flags() -> frozenset[str]:
    """Return the features of the CPU that Linux lists; none on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))
