"""Selection of the device that a model computes on."""

from typing import Literal

from anifacegan.runtime.errors import InputError

Device = Literal["auto", "cpu", "cuda"]
"""Device names of configurations; ``auto`` is the GPU where PyTorch finds one, else the CPU."""


def select_device(device: Device) -> str:
    """Return PyTorch's name of a device, ``cpu`` or ``cuda``.

    Raises:
        InputError: ``cuda`` is requested, and PyTorch finds no GPU.
    """
    import torch  # here, because configurations name devices, and their help is printed without PyTorch

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but PyTorch sees no GPU here; expected cpu or auto")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
