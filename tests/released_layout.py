"""The released files' layout, written from one of our generators: what anifacegan.released reads, backwards."""

import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from anifacegan.models.generator import Generator
from anifacegan.models.manifolds import CENTRE
from anifacegan.shapes import BOX

PADDED = 7
"""Inputs and outputs of the released deformation field, of which three are used."""


def write_released(folder: Path, generator: Generator, vaes_beside: bool = False) -> Path:
    """The four or five files; ``ema.pth`` holds the generator's weights and ``generator.pth`` zeros."""
    folder.mkdir(parents=True, exist_ok=True)
    ours = {name: tensor.detach().clone() for name, tensor in generator.state_dict().items()}
    siren = siren_tensors(ours)
    torch.save({name: torch.zeros_like(tensor) for name, tensor in siren.items()}, folder / "generator.pth")
    torch.save({"decay": 0.999, "num_updates": 1, "shadow_params": list(siren.values())}, folder / "ema.pth")
    torch.save(deformation_tensors(ours), folder / "dif.pth")
    for name in ("identity", "expression"):
        path = folder / (f"vae_{name}.pth" if vaes_beside else f"pretrained_vaes/{name}/vae.pth")
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(vae_tensors(ours, f"{name}_prior."), path)
    return folder


def siren_tensors(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Template and manifold predictor."""
    renamed = {}
    for name, tensor in ours.items():
        area, _, rest = name.partition(".")
        parts = rest.split(".")
        if name == "template.code_scale":
            continue                                                   # ours alone
        if area == "template":
            kind = parts[-1]
            if parts[0] == "layers":
                renamed[f"siren.network.{parts[1]}.layer.{kind}"] = tensor
            elif parts[0] == "colour_layer":
                renamed[f"siren.color_layer_sine.0.layer.{kind}"] = tensor
            elif parts[0] == "mapping":
                renamed[f"siren.mapping_network.{_mapping(parts, ours, 'template')}"] = tensor
            else:
                head = {"sigma_heads": "output_sigma", "rgb_heads": "output_color"}[parts[0]]
                renamed[f"siren.{head}.{parts[1]}.{kind}"] = tensor
        elif area == "manifolds" and parts[0] == "hidden":
            renamed[f"model_sample.network.{2 * int(parts[1])}.{parts[2]}"] = tensor
        elif area == "manifolds":
            renamed[f"model_sample.output_layer.{parts[1]}"] = tensor
    # Theirs normalises once more, to W (k u - c) + b: W = W' / k, b = b' - (k - 1) W c.
    weight, bias = "model_sample.network.0.weight", "model_sample.network.0.bias"
    renamed[weight] = renamed[weight] * BOX
    renamed[bias] = renamed[bias] - (1 / BOX - 1) * renamed[weight] @ torch.tensor(CENTRE)
    return renamed


def deformation_tensors(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Deformation field, with noise where nothing is read."""
    rng = torch.Generator().manual_seed(1)
    renamed = {}
    for name, tensor in ours.items():
        area, _, rest = name.partition(".")
        parts = rest.split(".")
        if area != "deformation":
            continue
        if parts[0] == "layers":
            renamed[f"network.{parts[1]}.layer.{parts[-1]}"] = tensor
        elif parts[0] == "mapping":
            renamed[f"mapping_network.{_mapping(parts, ours, 'deformation')}"] = tensor
        else:
            noise = torch.randn(PADDED - 3, *tensor.shape[1:], generator=rng)
            renamed[f"final_layer.{parts[1]}"] = torch.cat([tensor / BOX, noise])
    first = renamed["network.0.layer.weight"]
    renamed["network.0.layer.weight"] = torch.cat([first, torch.randn(len(first), PADDED - 3, generator=rng)], dim=1)
    return renamed


def vae_tensors(ours: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    names = {"mean": "fc_mu", "log_variance": "fc_var", "output": "final_layer"}
    renamed = {}
    for name, tensor in ours.items():
        if name.startswith(prefix):
            first, _, rest = name.removeprefix(prefix).partition(".")
            renamed[f"{names.get(first, first)}.{rest}"] = tensor
    return renamed


def _mapping(parts: list[str], ours: dict[str, Tensor], area: str) -> str:
    """``mapping.hidden.1.weight`` -> ``network.2.weight``; the output comes last."""
    hidden = sum(name.startswith(f"{area}.mapping.hidden.") and name.endswith(".weight") for name in ours)
    place = hidden if parts[1] == "output" else int(parts[2])
    return f"network.{2 * place}.{parts[-1]}"


def write_averages(folder: Path, generator: Generator) -> None:
    """``averages.npz`` of a generator's truncation mean: raw outputs of the mapping network."""
    frequencies = (generator.mean_frequencies - 30) / 15
    np.savez(
        folder / "averages.npz", avg_frequencies=frequencies.numpy(), avg_phase_shifts=generator.mean_phases.numpy()
    )


def golden_folder(folder: Path, golden: Path, official: Path) -> Path:
    """The golden model with the official deformation field and the given means, as a user would lay it out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("generator.pth", "ema.pth", "vae_identity.pth", "vae_expression.pth"):
        shutil.copy(golden / name, folder / name)
    shutil.copy(official / "dif.pth", folder / "dif.pth")
    expected = np.load(golden / "expected.npz")
    np.savez(
        folder / "averages.npz",
        avg_frequencies=expected["avg_frequencies"],
        avg_phase_shifts=expected["avg_phase_shifts"],
    )
    return folder
